/**
 * Reading the journals of a disk: what was durable is found, what is damaged is told, whatever the bytes are.
 */
import t from 'tap';
import { native } from '../../src/native/addon.js';
import { type FoundJournal, readJournals } from '../../src/raft/journalReader.js';
import { Random } from '../sim/random.js';
import type { SimDisk } from '../sim/simDisk.js';
import {
  framesOn,
  JournalRig,
  logEntries,
  logRecords,
  openJournal,
  plannedOf,
  RIG_FOLDER,
  rigDisk,
  type SeenFrame,
} from './journalRig.js';

const RAFT = '/disk/.extentd.raft';
const NEW = { term: 0, vote: 0, commit: 0 };

function read(disk: SimDisk): FoundJournal {
  const journals = readJournals(disk, RAFT, native.crc32c);
  if (typeof journals === 'string' || journals.length !== 1) throw new Error(String(journals));
  return journals[0]!;
}

/** A rig with a frame an entry of group 1, of 12 KiB each. */
function written(count: number): JournalRig {
  const rig = new JournalRig();
  rig.journal.join(1, NEW, 0, 0);
  for (let index = 1; index <= count; index += 1) {
    rig.journal.entries(1, logEntries(index, index, 1, 8200));
    rig.run();
  }
  return rig;
}

/** The index ranges that the journal has of group 1. */
function ranges(found: FoundJournal): [number, number][] {
  return plannedOf(found, 1).runs.map(({ firstIndex, lastIndex }) => [firstIndex, lastIndex]);
}

/** Changes bytes on the disk behind everybody's back. */
function overwrite(disk: SimDisk, path: string, offset: number, bytes: Uint8Array): void {
  const fd = disk.open(path, 2, 0);
  disk.write(fd, bytes, offset);
  disk.close(fd);
}

function damage(disk: SimDisk, { segment, offset }: SeenFrame): void {
  overwrite(disk, `${RIG_FOLDER}/${segment}`, offset + 60, new Uint8Array(600).fill(0x77));
}

t.test('no journals, and empty ones', async (t) => {
  t.same(readJournals(rigDisk(), RAFT, native.crc32c), []);
  const rig = new JournalRig();
  t.match(read(rig.disk), { frames: 0, gaps: [], problems: [], unreadable: false });
  const written2 = written(3);
  written2.journal.checkpoint(1, written2.journal.durableFrame);
  written2.run();
  written2.journal.stop();
  t.match(read(written2.disk), { frames: 0, gaps: [], problems: [], last: { frame: 4, life: 1 } });
  const denied = rigDisk();
  denied.mkdir(RAFT, 0o755);
  denied.addFault({ call: 'scan', path: /raft$/, errno: 13, count: 1 });
  t.equal(readJournals(denied, RAFT, native.crc32c), `readdir ${RAFT}: permission denied`);
});

t.test('every durable frame is found, across segments', async (t) => {
  const rig = written(20);
  const found = read(rig.disk);
  t.match(found, { frames: 20, gaps: [], problems: [], last: { frame: 20 } });
  t.same(
    ranges(found),
    Array.from({ length: 20 }, (_, at) => [at + 1, at + 1]),
  );
  const { bytes } = plannedOf(found, 1).runs[13]!;
  t.same(Buffer.from(bytes), Buffer.concat(logRecords(14, 14, 1, 8200)), 'and so are its entries');
});

t.test('a torn last frame is the end; a damaged one with whole ones behind it is a gap', async (t) => {
  const rig = written(20);
  const frames = framesOn(rig.disk);
  damage(rig.disk, frames[19]!);
  t.match(read(rig.disk), { frames: 19, gaps: [], problems: [], last: { frame: 19 } });
  damage(rig.disk, frames[7]!);
  const found = read(rig.disk);
  t.same(found.gaps, [{ from: 8, to: 8 }]);
  t.same(found.problems, ['frames 8 to 8 are damaged or missing']);
  t.match(plannedOf(found, 1).plan, { lost: 'frames 8 to 8 of the journal are lost' });
  t.equal(ranges(found).length, 7);
});

t.test('the first frame of a segment, a whole segment, a name: all of it is a gap', async (t) => {
  const frames = framesOn(written(20).disk);
  const second = frames.filter(({ segment }) => segment === 'segment.1');
  const gap = [{ from: second[0]!.number, to: second.at(-1)!.number }];
  const first = written(20);
  damage(first.disk, second[0]!);
  t.same(read(first.disk).gaps, [{ from: second[0]!.number, to: second[0]!.number }]);
  const zeros = written(20);
  overwrite(zeros.disk, `${RIG_FOLDER}/segment.1`, 0, new Uint8Array(65536));
  t.same(read(zeros.disk).gaps, gap);
  const gone = written(20);
  gone.disk.unlink(`${RIG_FOLDER}/segment.1`);
  t.same(read(gone.disk).gaps, gap);
  const oldest = written(20);
  oldest.disk.unlink(`${RIG_FOLDER}/segment.0`);
  t.same(
    read(oldest.disk).gaps,
    [{ from: 1, to: second[0]!.number - 1 }],
    'the tail tells that it was needed',
  );
});

t.test('the number in a damaged head does not keep an emptied journal from being opened', async (t) => {
  const rig = written(2);
  rig.journal.checkpoint(1, rig.journal.durableFrame);
  rig.run();
  t.equal(rig.journal.stop(), 0);
  overwrite(rig.disk, `${RIG_FOLDER}/segment.0`, 8, new Uint8Array([0, 0, 1]));
  const again = openJournal(rig.disk, rig.region);
  t.not(typeof again, 'string', String(again));
});

t.test('a disk that does not read: what is missing is not known', async (t) => {
  const short = written(20);
  const fd = short.disk.open(`${RIG_FOLDER}/segment.1`, 2, 0);
  short.disk.truncate(fd, 5000);
  short.disk.close(fd);
  t.ok(read(short.disk).gaps.length > 0);
  for (const [call, path] of [
    ['pread', /segment.1$/],
    ['open', /segment.1$/],
    ['scan', /0$/],
  ] as const) {
    const rig = written(20);
    rig.disk.addFault({ call, path, errno: 5, count: 1000 });
    const found = read(rig.disk);
    t.equal(found.unreadable, true, call);
    t.match(found.problems[0], /input\/output error/);
  }
});

t.test('a mark that is damaged is told; then what the last frame needs counts again', async (t) => {
  const rig = written(3);
  rig.journal.checkpoint(1, rig.journal.durableFrame);
  rig.run();
  rig.journal.stop();
  overwrite(rig.disk, `${RIG_FOLDER}/emptied`, 9, new Uint8Array([1, 2]));
  const found = read(rig.disk);
  t.match(
    found,
    { frames: 1, problems: [/emptied is damaged/] },
    'the last frame tells that it alone is needed',
  );
  t.equal(found.groups.get(1)!.isSettled, true);
});

t.test(
  'what segments hold of earlier lives is none of this one, torn beginnings of a life included',
  async (t) => {
    const rig = new JournalRig();
    rig.journal.join(1, NEW, 0, 0);
    let index = 1;
    let torn = 0;
    for (let round = 0; round < 80; round += 1) {
      rig.journal.entries(1, logEntries(index, index, 1, 8200));
      index += 1;
      rig.run();
      if (rig.journal.dueForCheckpoint() === 1) rig.journal.checkpoint(1, rig.journal.durableFrame);
      rig.run();
      const found = read(rig.disk);
      const last = rig.journal.durableFrame;
      t.match(found, { gaps: [], problems: [], last: { frame: last } });
      const newest = framesOn(rig.disk).at(-1)!;
      const { offset, segment, life } = newest;
      const whole = rig.disk.content(`${RIG_FOLDER}/${segment}`).slice(offset + 60, offset + 660);
      // As if the power had gone while it was written.
      damage(rig.disk, newest);
      if (offset === 0 && life > 4) torn += 1;
      t.match(read(rig.disk), { gaps: [], problems: [], last: { frame: last - 1 } });
      overwrite(rig.disk, `${RIG_FOLDER}/${newest.segment}`, newest.offset + 60, whole);
    }
    t.ok(torn > 3, `${torn}`);
  },
);

/** One change of a segment's bytes that no write of the journal makes. */
function spoil(disk: SimDisk, random: Random): void {
  const names = (disk.scan(RIG_FOLDER) as { name: string }[]).map(({ name }) => `${RIG_FOLDER}/${name}`);
  const path = names[random.below(names.length)]!;
  const bytes = disk.content(path);
  const offset = random.chance(0.5)
    ? 4096 * random.below(16) + random.below(120)
    : random.below(bytes.byteLength);
  const length = 1 + random.below(random.chance(0.5) ? 4 : 9000);
  const source = disk.content(names[random.below(names.length)]!);
  const from = 4096 * random.below(16);
  const value = random.below(256);
  const spoilt = random.chance(0.3) ? source.slice(from, from + length) : new Uint8Array(length).fill(value);
  overwrite(disk, path, offset, spoilt.subarray(0, Math.max(0, bytes.byteLength - offset)));
}

t.test('whatever bytes are there: no exception, and no entry that was never written', async (t) => {
  const random = new Random(77);
  let [runs, gaps] = [0, 0];
  for (let round = 0; round < 400; round += 1) {
    const rig = written(6 + random.below(16));
    for (let changes = 1 + random.below(4); changes > 0; changes -= 1) spoil(rig.disk, random);
    const found = read(rig.disk);
    gaps += found.gaps.length;
    for (const { bytes, firstIndex } of plannedOf(found, 1).runs) {
      const [record] = logRecords(firstIndex, firstIndex, 1, 8200);
      if (Buffer.compare(bytes, record!) !== 0) return void t.fail(`entry ${firstIndex} of round ${round}`);
      runs += 1;
    }
  }
  t.ok(runs > 1000 && gaps > 50, `${runs} runs, ${gaps} gaps`);
});
