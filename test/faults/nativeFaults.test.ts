/**
 * The same life on a real disk with faults in the addon (`src/native/src/fault.rs`), one of its operation codes after the other: what comes of it is what comes of
 * the same fault on the simulated disk, word for word.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { IO, native } from '../../src/native/addon.js';
import { NativeDisk } from '../../src/storage/nativeDisk.js';
import type { PartitionPromises } from '../crash/promises.js';
import { temporaryFolder } from '../partition/nativeRig.js';
import { ROOT } from '../partition/simRig.js';
import { BATCH_CAPACITY, rigRegions } from '../partition/storeRig.js';
import { SimClock } from '../sim/simClock.js';
import { sparseCopy } from '../support/sparseCopy.js';
import type { FaultKind } from './failpointDisk.js';
import { FAILPOINTS } from './failpoints.js';
import { FaultRig } from './faultRig.js';
import { copyOf, FaultRuns } from './faultRun.js';
import { FaultScenario, type Outcome } from './faultScenario.js';
import { firstLife } from './firstLife.js';

const DEVICE = 9;
const A_DAY_MS = 86_400_000;
/** Bytes that a transfer is cut to: half of what the first write moves. */
const SHORT_BYTES = 4;
const DELAY_MS = 1;
/** Rounds of waiting in which nothing ends before what hangs is released; each is this long. */
const HANG_ROUNDS = 5;
const ROUND_MS = 10;

/** Codes that the storage code uses, and their failpoints. */
const CALLS: Partial<Record<keyof typeof IO, RegExp>> = {
  pread: /^(batch\.pread|submitPread):/,
  pwrite: /^(batch\.pwrite|submitPwrite):/,
  fdatasync: /^submitFdatasync:/,
  punchHole: /^submitPunch:/,
  seekData: /^submitSeekData:/,
  seekHole: /^submitSeekHole:/,
  close: /^submitClose:/,
  fstat: /^submitFstat:/,
  open: /^submit(Open|Create):/,
  unlink: /^submitUnlink:/,
  removeTree: /^submitRemoveTree:/,
  fsyncFolder: /^submitFsyncFolder:/,
  statfs: /^submitStatfs:/,
  ftruncate: /^submitTruncate:/,
};
/** Of these the two errnos are told apart: no room is no failure of the disk. For the others one errno stands for all. */
const TAKE_ROOM: readonly string[] = ['pwrite', 'fdatasync', 'open'];
/** Codes that it does not use: there is nothing to fail. */
const UNUSED: readonly (keyof typeof IO)[] = ['fsync', 'fallocateKeepSize', 'rename', 'mkdir'];

const home = temporaryFolder();
t.setTimeout(200_000);
t.teardown(() => rmSync(home, { recursive: true, force: true }));
const template = join(home, 'template');
const simulated = new FaultRuns();
/** One life after the other has them. */
const regions = rigRegions();

/** The disk as the first life leaves it. */
function prepare(): Map<number, PartitionPromises> {
  native.mkdirSync(template, 0o755);
  const { rig, disk } = start(template, Date.now(), false);
  const promised = firstLife(rig);
  disk.stop(5000);
  return promised;
}

const promised = prepare();
let lives = 0;

interface Told {
  outcomes: Outcome[];
  diskErrors: number[];
  complaints: string[];
}

interface Life extends Told {
  hung: boolean;
  passed: ReadonlyMap<string, number>;
  /** What went wrong in the next life, without faults. */
  next: Outcome[];
}

interface LifeOptions {
  /** Batches run on an I/O thread, and what hangs is released when nothing else moves. */
  threaded?: boolean;
  /** Whether the faults begin at once, or when the reads do. */
  armed?: 'at once' | 'at reads';
}

/** One life on a copy of the disk; `arm` sets its faults. */
function live(arm: () => void, { threaded = false, armed = 'at once' }: LifeOptions = {}): Life {
  lives += 1;
  const root = join(home, `life${lives}`);
  const { rig, disk, hung } = start(root, Date.now() + A_DAY_MS, threaded);
  // The times too: EXTENT_CLEAN knows those of its extents.
  sparseCopy(disk, template, root);
  const scenario = new FaultScenario(rig, copyOf(promised), () => undefined);
  if (armed === 'at once') arm();
  let waiting = armed === 'at reads';
  scenario.run(() => {
    if (waiting) arm();
    waiting = false;
  });
  scenario.stop();
  native.clearFaults(DEVICE);
  disk.stop(5000);
  const next = start(root, Date.now() + 2 * A_DAY_MS, false);
  const after = new FaultScenario(next.rig, scenario.promises, () => undefined);
  after.start();
  after.isSteady('next');
  after.stop();
  next.disk.stop(5000);
  rmSync(root, { recursive: true, force: true });
  const plain = (text: string): string => text.replaceAll(root, ROOT);
  return {
    outcomes: scenario.outcomes.map(({ step, error }) => ({ step, error: plain(error) })),
    diskErrors: rig.diskErrors,
    complaints: [...rig.complaints, ...rig.told].map(plain),
    hung: hung(),
    passed: rig.failpoints.passed,
    next: after.outcomes.filter(({ error }) => error !== ''),
  };
}

function start(
  root: string,
  nowMs: number,
  threaded: boolean,
): { rig: FaultRig; disk: NativeDisk; hung: () => boolean } {
  const doorbell = new Int32Array(new SharedArrayBuffer(64));
  const disk = new NativeDisk({
    device: DEVICE,
    regions,
    doorbell,
    threads: 2,
    batchCapacity: BATCH_CAPACITY,
  });
  let idle = 0;
  let hung = false;
  const step = (): boolean => {
    const seen = Atomics.load(doorbell, 0);
    const drained = disk.drainCompletions();
    idle = drained > 0 || disk.pending() === 0 ? 0 : idle + 1;
    if (drained > 0) return true;
    if (threaded && idle >= HANG_ROUNDS) {
      hung = true;
      idle = 0;
      native.clearFaults(DEVICE);
    } else if (disk.pending() > 0) native.waitDoorbell(doorbell, seen, 0, ROUND_MS);
    return false;
  };
  const rig = FaultRig.on(disk, {
    ...{ root, regions, step, onSyncFailed: () => undefined, threaded },
    clock: new SimClock(nowMs),
  });
  return { rig, disk, hung: () => hung };
}

/** Two extents that are made at once may be made in any order. */
function told({ outcomes, diskErrors, complaints }: Told): Record<keyof Told, (string | number)[]> {
  const plain = (text: string): string => text.replace(/\/\d+(?=:|$)/, '/EXTENT');
  return {
    outcomes: outcomes.map(({ step, error }) => `${step}: ${plain(error)}`).sort(),
    diskErrors,
    complaints: complaints.map(plain).sort(),
  };
}

function setFault(code: keyof typeof IO, kind: Exclude<FaultKind, 'EOPNOTSUPP'>): void {
  const faults = {
    EIO: { act: 'errno', value: 5 },
    ENOSPC: { act: 'errno', value: 28 },
    EAGAIN: { act: 'errno', value: 11 },
    short: { act: 'short', value: SHORT_BYTES },
    hang: { act: 'hang', value: 0 },
  } as const;
  const { act, value } = faults[kind];
  native.setFault(DEVICE, [IO[code]], act, value, 1);
}

t.test('every operation code of the addon has its faults, or is not used', async (t) => {
  t.same([...Object.keys(CALLS), ...UNUSED].sort(), Object.keys(IO).sort());
});

t.test('a life on a real disk passes the same failpoints', async (t) => {
  const life = live(() => undefined);
  const here = simulated.run([]);
  t.same(told(life), told(here));
  t.same(life.next, []);
  const names = FAILPOINTS.filter(({ behind }) => behind === undefined).map(({ name }) => name);
  t.same(
    names.filter((name) => !life.passed.has(name)),
    [],
  );
});

const threadedLife = told(simulated.run([], true));

for (const [name, call] of Object.entries(CALLS)) {
  const code = name as keyof typeof IO;
  const transfers = code === 'pread' || code === 'pwrite';
  t.test(`${code}: what fails in the addon is what fails in the simulation`, async (t) => {
    for (const kind of ['EIO', 'ENOSPC', 'EAGAIN', 'short'] as const) {
      // A batch knows no full queue.
      if ((kind === 'short' && !transfers) || (kind === 'EAGAIN' && transfers)) continue;
      if (kind === 'ENOSPC' && !TAKE_ROOM.includes(code)) continue;
      let before = '';
      for (const armed of ['at once', 'at reads'] as const) {
        const fault = { matches: (other: string) => call.test(other), kind, pass: 1, count: 1 };
        const expected = simulated.run([fault], false, armed);
        const [failed = before] = expected.fired;
        if (failed === before) continue;
        before = failed;
        const life = live(() => setFault(code, kind), { armed });
        const what = `${kind} ${armed}`;
        t.same(told(life), told(expected), what);
        t.same(life.next, [], `${what}: the next life`);
      }
    }
  });

  t.test(`${code}: a call that hangs changes nothing but the time`, async (t) => {
    const life = live(() => setFault(code, 'hang'), { threaded: true });
    t.same(told(life), threadedLife);
    t.ok(life.hung, 'until it was released');
    t.same(life.next, []);
  });
}

t.test('a disk on which every call is slow changes nothing but the time', async (t) => {
  const slow = (): void => native.setFault(DEVICE, [], 'delay', DELAY_MS, 0);
  const life = live(slow, { threaded: true });
  t.same(told(life), threadedLife);
  t.same(life.next, []);
});
