/**
 * When log files are renamed, to what, and which renamed ones go: the decisions alone.
 */
import fc from 'fast-check';
import t from 'tap';
import {
  candidatePaths,
  choosePath,
  filesToRemove,
  headRoomBytes,
  localDay,
  type OldFile,
  PRESSED_FILE_BYTES,
  type RotationRule,
  rotationDue,
  stampOf,
  timeStamp,
} from '../../src/telemetry/rotation.js';

const GiB = 1024 ** 3;
const NOON = new Date(2024, 4, 1, 12, 3, 4).getTime();
const DAILY: RotationRule = { bytesMax: 1_000, daily: true, names: 'stamped' };
const NUMBERED: RotationRule = { bytesMax: 1_000, daily: false, names: 'numbered' };

t.test('days and stamps are local time', async (t) => {
  t.equal(localDay(NOON), 20240501);
  t.equal(timeStamp(NOON), '20240501120304');
  t.equal(timeStamp(new Date(2031, 0, 9, 0, 0, 0).getTime()), '20310109000000');
});

t.test('a file is renamed when it would exceed its size', async (t) => {
  const due = (sizeBytes: number, bytes: number, pressed = false): boolean =>
    rotationDue(DAILY, { sizeBytes, day: 20240501 }, bytes, NOON, pressed);
  t.equal(due(900, 100), false, 'exactly full is not beyond');
  t.equal(due(900, 101), true);
  t.equal(due(0, 5_000), false, 'an empty file is not renamed for a long line');
  t.equal(due(1_001, 0), true, 'found too large');
  const large: RotationRule = { bytesMax: 20 * GiB, daily: true, names: 'stamped' };
  const file = { sizeBytes: PRESSED_FILE_BYTES, day: 20240501 };
  t.equal(rotationDue(large, file, 1, NOON, false), false);
  t.equal(rotationDue(large, file, 1, NOON, true), true, 'earlier while space is short');
  t.equal(due(900, 100, true), false, 'a smaller bound holds anyway');
});

t.test(
  'a file is renamed at the change of the day, if its rule says so and it holds something',
  async (t) => {
    const midnight = new Date(2024, 4, 2).getTime();
    const file = { sizeBytes: 1, day: 20240501 };
    t.equal(rotationDue(DAILY, file, 1, midnight - 1, false), false);
    t.equal(rotationDue(DAILY, file, 1, midnight, false), true);
    t.equal(rotationDue({ ...DAILY, daily: false }, file, 1, midnight, false), false);
    t.equal(rotationDue(DAILY, { ...file, sizeBytes: 0 }, 1, midnight, false), false);
  },
);

t.test('names: a stamp, the next second where it is taken; numbers, the oldest is overwritten', async (t) => {
  const stamped = candidatePaths(DAILY, '/l/a.log', NOON);
  t.strictSame(stamped.slice(0, 2), ['/l/a.log.20240501120304.old', '/l/a.log.20240501120305.old']);
  t.equal(
    choosePath(
      DAILY,
      stamped.map((path, index) => ({ path, takenMs: index < 2 ? 1 : null })),
    ),
    stamped[2],
  );
  t.equal(
    choosePath(
      DAILY,
      stamped.map((path) => ({ path, takenMs: 1 })),
    ),
    null,
    'nothing is overwritten',
  );
  t.strictSame(candidatePaths(NUMBERED, '/u/a', NOON), ['/u/a.1', '/u/a.2', '/u/a.3']);
  const at = (times: (number | null)[]): string | null =>
    choosePath(
      NUMBERED,
      times.map((takenMs, index) => ({ path: `.${index + 1}`, takenMs })),
    );
  t.equal(at([null]), '.1');
  t.equal(at([5, null]), '.2');
  t.equal(at([5, 3, 7]), '.2');
});

t.test('only renamed files of the log files count', async (t) => {
  const files = ['dataNode_info.log', 'output.log'];
  t.equal(stampOf('dataNode_info.log.20240501120304.old', files), '20240501120304');
  t.equal(stampOf('output.log.20240501120304.old', files), '20240501120304');
  for (const name of [
    'dataNode_info.log',
    'dataNode_info.log.old',
    'dataNode_info.log.2024050112030.old',
    'dataNode_info.log.20240501120304.old.gz',
    'metaNode_info.log.20240501120304.old',
    'x-dataNode_info.log.20240501120304.old',
  ])
    t.equal(stampOf(name, files), null, name);
});

t.test('head room: the setting, else 50 GiB or a fifth of the file system', async (t) => {
  t.equal(headRoomBytes(7, 1e15), 7);
  t.equal(headRoomBytes(0, 100 * GiB), 20 * GiB);
  t.equal(headRoomBytes(0, 1_000 * GiB), 50 * GiB);
});

const old = (stamp: number, sizeBytes: number, file = 'a.log'): OldFile => ({
  name: `${file}.${String(20240501000000 + stamp)}.old`,
  sizeBytes,
});

t.test('the oldest go until there is head room, and until no more is kept than allowed', async (t) => {
  const files = [old(3, 10), old(1, 10, 'z.log'), old(2, 10)];
  const going = (free: number, headRoom: number, oldMax: number): number[] =>
    filesToRemove(files, free, headRoom, oldMax).map((name) => files.findIndex((file) => file.name === name));
  t.strictSame(going(100, 100, 0), [], 'enough space, no bound');
  t.strictSame(going(99, 100, 0), [1]);
  t.strictSame(going(85, 100, 0), [1, 2]);
  t.strictSame(going(0, 100, 0), [1, 2, 0], 'all of them if need be');
  t.strictSame(going(100, 100, 30), []);
  t.strictSame(going(100, 100, 29), [1]);
  t.strictSame(going(85, 100, 29), [1, 2], 'both bounds hold');
});

t.test('never more go than it takes, and always the oldest', async (t) => {
  const files = fc
    .uniqueArray(fc.integer({ min: 0, max: 59 }), { maxLength: 12 })
    .chain((stamps) =>
      fc.tuple(...stamps.map((stamp) => fc.integer({ min: 1, max: 100 }).map((size) => old(stamp, size)))),
    );
  const bytes = fc.integer({ min: 0, max: 600 });
  fc.assert(
    fc.property(files, bytes, bytes, bytes, (present, free, headRoom, oldMax) => {
      const going = filesToRemove(present, free, headRoom, oldMax);
      const sorted = [...present].sort((a, b) => (a.name < b.name ? -1 : 1));
      const fits = (count: number): boolean => {
        const sum = (some: readonly OldFile[]): number => some.reduce((all, file) => all + file.sizeBytes, 0);
        const kept = sum(sorted.slice(count));
        return free + sum(sorted.slice(0, count)) >= headRoom && (oldMax === 0 || kept <= oldMax);
      };
      let count = 0;
      while (count < sorted.length && !fits(count)) count += 1;
      return (
        going.join() ===
        sorted
          .slice(0, count)
          .map(({ name }) => name)
          .join()
      );
    }),
  );
  t.pass('against a plain count');
});
