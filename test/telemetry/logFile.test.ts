/**
 * Lines on their way to a file that fails, stalls, or takes a part: what is kept, dropped, tried again and waited for.
 */
import t from 'tap';
import { FileLane } from '../../src/telemetry/fileLane.js';
import { LogFile } from '../../src/telemetry/logFile.js';
import { until } from '../support/until.js';

/** A file whose writes the test ends one by one. */
class FakeOutput {
  #taken = Buffer.alloc(0);
  readonly pending: { bytes: Uint8Array; resolve(written: number): void; reject(error: Error): void }[] = [];
  readonly reports: string[] = [];
  readonly log: LogFile;

  constructor(queuedBytesMax: number, lane = new FileLane()) {
    const output = {
      write: (bytes: Uint8Array): Promise<number> =>
        new Promise((resolve, reject) => this.pending.push({ bytes, resolve, reject })),
    };
    this.log = new LogFile(lane, output, (what) => this.reports.push(what), queuedBytesMax);
  }

  get text(): string {
    return this.#taken.toString();
  }

  /** Waits until a write is under way, and ends it; it takes `count` bytes at most. */
  async take(count = Number.POSITIVE_INFINITY): Promise<void> {
    await until('a write is under way', () => this.pending.length > 0);
    const write = this.pending.shift()!;
    const part = write.bytes.subarray(0, count);
    this.#taken = Buffer.concat([this.#taken, part]);
    write.resolve(part.length);
    await settled();
  }

  async fail(code: string): Promise<void> {
    this.pending.shift()!.reject(Object.assign(new Error(`${code}: no`), { code }));
    await settled();
  }
}

/** Lets promises that are due go on. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

t.test('one write is under way at a time; lines that came meanwhile go together', async (t) => {
  const file = new FakeOutput(1_000);
  for (const line of ['a\n', 'b\n', 'c\n']) file.log.write(line);
  t.equal(file.pending.length, 1);
  await file.take();
  t.equal(file.text, 'a\n');
  t.equal(file.pending.length, 1);
  await file.take();
  t.equal(file.text, 'a\nb\nc\n');
  t.equal(file.pending.length, 0);
});

t.test('a write that takes a part is continued where it stopped', async (t) => {
  const file = new FakeOutput(1_000);
  file.log.write('grüße\n');
  while (file.pending.length > 0) await file.take(3);
  t.equal(file.text, 'grüße\n');
  t.equal(await file.log.drain(0), true, 'all of it is written');
});

t.test(
  'a file that takes nothing: memory is bounded, lines are counted and reported, and it recovers',
  async (t) => {
    const file = new FakeOutput(10);
    file.log.write('12345678\n');
    file.log.write('too long\n');
    t.equal(file.log.dropped, 1);
    t.strictSame(file.reports, ['lines are lost, the file does not take them']);
    await file.fail('EAGAIN');
    await file.take();
    t.equal(file.text, '12345678\n', 'nothing kept is lost');
    t.equal(file.log.errors, 0, 'a pipe that is full has not failed');
    file.log.write('after\n');
    await file.take();
    t.equal(file.text, '12345678\nafter\n');
  },
);

t.test('an error is reported, counted, and the same bytes are tried again', async (t) => {
  const file = new FakeOutput(1_000);
  file.log.write('x\n');
  await file.fail('ENOSPC');
  t.strictSame(file.reports, ['ENOSPC: no']);
  t.equal(file.log.errors, 1);
  file.log.write('y\n');
  t.equal(file.pending.length, 0, 'not at once: a full disk is not asked for every line');
  t.equal(await file.log.drain(1), false, 'waiting for it is bounded');
  await file.take();
  await file.take();
  t.equal(file.text, 'x\ny\n');
});

t.test('what is written at once is bounded, at the end of a line', async (t) => {
  const file = new FakeOutput(2_000_000);
  const line = `${'x'.repeat(99_999)}\n`;
  for (let index = 0; index < 8; index += 1) file.log.write(line);
  await file.take();
  const sizes: number[] = [];
  while (file.pending.length > 0) {
    sizes.push(file.pending[0]!.bytes.length);
    await file.take();
  }
  t.strictSame(sizes, [300_000, 300_000, 100_000]);
  t.equal(file.text, line.repeat(8));
});

t.test('a write that takes nothing is not repeated in a circle', async (t) => {
  const file = new FakeOutput(1_000);
  file.log.write('x\n');
  await file.take(0);
  t.equal(file.pending.length, 0);
  t.equal(file.log.errors, 1);
});

t.test('drain waits for what was taken', async (t) => {
  const file = new FakeOutput(1_000);
  t.equal(await file.log.drain(0), true, 'nothing to wait for');
  file.log.write('x\n');
  const drained = file.log.drain(60_000);
  await file.take();
  t.equal(await drained, true);
});

t.test(
  'files of one lane: one call is under way, each has its turn, a hung one holds only this lane',
  async (t) => {
    const lane = new FileLane();
    const [a, b] = [new FakeOutput(1_000, lane), new FakeOutput(1_000, lane)];
    const other = new FakeOutput(1_000);
    for (const file of [a, b, other]) file.log.write('1\n');
    a.log.write('2\n');
    t.strictSame([a.pending.length, b.pending.length, other.pending.length], [1, 0, 1]);
    await a.take();
    t.strictSame([a.pending.length, b.pending.length], [0, 1], 'the other one comes before the next line');
    b.log.write('2\n');
    t.equal(lane.waiting, 1, 'a file waits once, however many lines it has');
    await other.take();
    t.equal(other.text, '1\n', 'the hung write of the lane is not in its way');
    await b.take();
    await a.take();
    await b.take();
    t.strictSame([a.text, b.text], ['1\n2\n', '1\n2\n']);
  },
);
