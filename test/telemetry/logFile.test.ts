/**
 * A log file under a writer that fails, stalls, or takes a part: what is kept, dropped, tried again and waited for.
 */
import t from 'tap';
import { LogFile, type WriteBytes } from '../../src/telemetry/logFile.js';

/** A file whose writes the test ends one by one. */
class FakeFile {
  #taken = Buffer.alloc(0);
  readonly pending: { bytes: Uint8Array; done: Parameters<WriteBytes>[2] }[] = [];
  readonly reports: string[] = [];
  readonly log: LogFile;

  constructor(queuedBytesMax: number) {
    const writeBytes: WriteBytes = (_fd, bytes, done) => this.pending.push({ bytes, done });
    this.log = new LogFile(7, queuedBytesMax, (what) => this.reports.push(what), writeBytes);
  }

  get text(): string {
    return this.#taken.toString();
  }

  /** Ends the write under way, which takes `count` bytes at most. */
  take(count = Number.POSITIVE_INFINITY): void {
    const write = this.pending.shift();
    if (write === undefined) throw new Error('no write is under way');
    const part = write.bytes.subarray(0, count);
    this.#taken = Buffer.concat([this.#taken, part]);
    write.done(null, part.length);
  }

  fail(code: string): void {
    const write = this.pending.shift();
    if (write === undefined) throw new Error('no write is under way');
    write.done(Object.assign(new Error(`${code}: no`), { code }), 0);
  }

  /** Waits until a write is under way. */
  async untilTried(): Promise<void> {
    for (let tries = 0; this.pending.length === 0; tries += 1) {
      if (tries > 10_000) throw new Error('never tried again');
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

t.test('one write is under way at a time; lines that came meanwhile go together', async (t) => {
  const file = new FakeFile(1_000);
  for (const line of ['a\n', 'b\n', 'c\n']) file.log.write(line);
  t.equal(file.pending.length, 1);
  file.take();
  t.equal(file.text, 'a\n');
  t.equal(file.pending.length, 1);
  file.take();
  t.equal(file.text, 'a\nb\nc\n');
  t.equal(file.pending.length, 0);
});

t.test('a write that takes a part is continued where it stopped', async (t) => {
  const file = new FakeFile(1_000);
  file.log.write('grüße\n');
  while (file.pending.length > 0) file.take(3);
  t.equal(file.text, 'grüße\n');
  t.equal(await file.log.drain(0), true, 'all of it is written');
});

t.test(
  'a file that takes nothing: memory is bounded, lines are counted and reported, and it recovers',
  async (t) => {
    const file = new FakeFile(10);
    file.log.write('12345678\n');
    file.log.write('too long\n');
    t.equal(file.log.dropped, 1);
    t.strictSame(file.reports, ['lines are lost, the file does not take them']);
    file.fail('EAGAIN');
    await file.untilTried();
    file.take();
    t.equal(file.text, '12345678\n', 'nothing kept is lost');
    file.log.write('after\n');
    file.take();
    t.equal(file.text, '12345678\nafter\n');
  },
);

t.test('an error is reported and the same bytes are tried again', async (t) => {
  const file = new FakeFile(1_000);
  file.log.write('x\n');
  file.fail('ENOSPC');
  t.strictSame(file.reports, ['ENOSPC: no']);
  file.log.write('y\n');
  t.equal(file.pending.length, 0, 'not at once: a full disk is not asked for every line');
  t.equal(await file.log.drain(1), false, 'waiting for it is bounded');
  const timer = setTimeout(() => {}, 60_000);
  await file.untilTried();
  clearTimeout(timer);
  file.take();
  file.take();
  t.equal(file.text, 'x\ny\n');
});

t.test('drain waits for what was taken', async (t) => {
  const file = new FakeFile(1_000);
  t.equal(await file.log.drain(0), true, 'nothing to wait for');
  file.log.write('x\n');
  const drained = file.log.drain(60_000);
  file.take();
  t.equal(await drained, true);
});
