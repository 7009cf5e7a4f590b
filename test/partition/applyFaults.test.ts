/**
 * What keeps a committed entry from being carried out: extents that are not here, a full disk, a failing one.
 */
import t from 'tap';
import { MISSING_RECORD_BYTES } from '../../src/partition/missingRanges.js';
import { APPLY_LANES } from '../../src/partition/storeHost.js';
import { OP } from '../../src/protocol/opcodes.js';
import { ApplyRig } from './applyRig.js';
import { ROOT } from './simRig.js';
import { pattern } from './storeRig.js';

const KiB = 1024;
const CARRIED_OUT = { kind: 'applied', error: null };
const ENOSPC = 28;
const EIO = 5;

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** Ranges that are missing, by extent. */
function missingOf(rig: ApplyRig): string[] {
  return [...rig.apply.missing.ranges.records()].map(
    ({ extentId, from, to, index }) => `${extentId} [${from}, ${to}) @${index}`,
  );
}

function errorAt(index: number, cause: string): object {
  const of = `ApplyID(${index}) Partition(7)_Extent`;
  return { kind: 'applied', error: new RegExp(`${of.replace(/[()]/g, '\\$&')}.* apply err\\(${cause}`) };
}

t.test('what is not here is durable in RAFT_MISSING when its entry ends', async (t) => {
  const rig = ApplyRig.start([8 * KiB]);
  const unknown = rig.write({ extentId: 2000, at: 100, body: pattern(50, 1) });
  rig.run();
  const short = rig.write({ extentId: 1025, at: 8 * KiB - 10, body: pattern(20, 2) });
  const more = rig.write({ extentId: 2000, at: 120, body: pattern(10, 3) });
  const fits = rig.write({ extentId: 1025, at: 0, body: pattern(20, 4) });
  rig.run();
  t.match(rig.outcomeOf(unknown), errorAt(1, 'extent does not exist'));
  t.match(rig.outcomeOf(short), errorAt(2, 'try again'));
  t.match(rig.outcomeOf(more), errorAt(3, 'extent does not exist'));
  t.same(rig.outcomeOf(fits), CARRIED_OUT);
  t.equal(rig.content(1025).length, 8 * KiB, 'no extent gets longer');
  t.same(missingOf(rig), ['2000 [100, 150) @3', '1025 [8182, 8202) @2']);
  for (let seed = 1; seed <= 20; seed += 1) {
    const next = rig.next(rig.rig.sim.withRoot(rig.rig.sim.rootFolder, seed).powerLoss(seed));
    t.same(missingOf(next).toSorted(), ['1025 [8182, 8202) @2', '2000 [100, 150) @1']);
  }
});

t.test('a storm at one missing range costs one write of RAFT_MISSING', async (t) => {
  const rig = ApplyRig.start([]);
  for (let entry = 0; entry < 100; entry += 1)
    rig.write({ extentId: 2000, at: entry % 50, body: pattern(50, 1) });
  rig.run();
  t.equal(rig.apply.appliedIndex, 100);
  const first = rig.rig.sim.content(`${rig.partition.path}/RAFT_MISSING`).length;
  for (let entry = 0; entry < 100; entry += 1)
    rig.write({ extentId: 2000, at: entry % 50, body: pattern(50, 1) });
  rig.run();
  t.equal(rig.rig.sim.content(`${rig.partition.path}/RAFT_MISSING`).length, first);
  t.same(missingOf(rig), ['2000 [0, 99) @200']);
});

t.test('an extent that was deleted is no reason to stop, and nothing of it is missing', async (t) => {
  const rig = ApplyRig.start([8 * KiB]);
  const before = rig.write({ extentId: 1025, at: 0, body: pattern(50, 1) });
  rig.run();
  rig.rig.send({ opcode: OP.markDelete, extentId: 1025 });
  rig.run();
  const after = rig.write({ extentId: 1025, at: 0, body: pattern(50, 2) });
  rig.run();
  t.same(rig.outcomeOf(before), CARRIED_OUT);
  t.match(rig.outcomeOf(after), errorAt(2, 'extent does not exist'));
  t.same(missingOf(rig), []);
  // A replay of both, as after a kill before the next save of APPLY.
  const next = rig.next(rig.rig.sim.processEnd(1));
  t.equal(next.apply.appliedIndex, 0);
  next.write({ extentId: 1025, at: 0, body: pattern(50, 1) });
  next.write({ extentId: 1025, at: 0, body: pattern(50, 2) });
  next.pass(11);
  t.same([next.apply.durableApplied, missingOf(next)], [2, []]);
});

t.test('an extent that comes late: what is carried out takes itself off the list', async (t) => {
  const rig = ApplyRig.start([]);
  rig.write({ extentId: 1025, at: 0, body: pattern(3000, 1) });
  rig.run();
  rig.rig.sendCreate();
  rig.run();
  rig.rig.sendWrite(1025, 0, pattern(4000, 2));
  rig.run();
  rig.write({ extentId: 1025, at: 1000, body: pattern(500, 3) });
  rig.run();
  t.same(missingOf(rig), ['1025 [0, 1000) @1', '1025 [1500, 3000) @1']);
});

t.test(
  'a copy is written where something is missing that it is new enough for, and nowhere else',
  async (t) => {
    const rig = ApplyRig.start([8 * KiB]);
    rig.write({ extentId: 1025, at: 8000, body: pattern(3000, 1) });
    rig.run();
    rig.rig.sendWrite(1025, 8 * KiB, pattern(8 * KiB, 9));
    rig.run();
    rig.write({ extentId: 1025, at: 9000, body: pattern(500, 3) });
    rig.run();
    const before = rig.content(1025);
    const copy = pattern(8 * KiB, 5);
    const results: [number, string | null][] = [];
    const fill = (appliedIndex: number): void =>
      rig.apply.fill({ extentId: 1025, from: 4 * KiB, bytes: copy, appliedIndex }, (...result) =>
        results.push(result),
      );
    fill(0);
    rig.run();
    t.same([results, missingOf(rig).length], [[[0, null]], 2], 'a copy that is too old');
    t.ok(sameBytes(rig.content(1025), before));
    fill(1);
    rig.run();
    t.same(results[1], [2500, null]);
    const expected = before.slice();
    expected.set(copy.subarray(8000 - 4 * KiB, 11_000 - 4 * KiB), 8000);
    expected.set(pattern(500, 3), 9000);
    t.ok(sameBytes(rig.content(1025), expected));
    t.same(missingOf(rig), []);
    rig.pass(11);
    t.equal(rig.rig.sim.content(`${rig.partition.path}/RAFT_MISSING`).length, 0, 'and the file says so');
  },
);

t.test('an entry and a copy of one extent wait for each other', async (t) => {
  const rig = ApplyRig.start([8 * KiB]);
  rig.write({ extentId: 1025, at: 8000, body: pattern(3000, 1) });
  rig.run();
  rig.rig.sendWrite(1025, 8 * KiB, pattern(8 * KiB, 9));
  rig.run();
  const ended: string[] = [];
  rig.rig.threaded = true;
  rig.apply.fill({ extentId: 1025, from: 8000, bytes: pattern(3000, 5), appliedIndex: 1 }, () =>
    ended.push('copy'),
  );
  rig.rig.turn();
  rig.write({ extentId: 1025, at: 8500, body: pattern(100, 7) });
  rig.apply.fill({ extentId: 1025, from: 8000, bytes: pattern(3000, 6), appliedIndex: 1 }, () =>
    ended.push('second'),
  );
  rig.run();
  t.same(ended.toSorted(), ['copy', 'second']);
  t.ok(sameBytes(rig.content(1025).subarray(8000, 8500), pattern(3000, 5).subarray(0, 500)));
  t.ok(sameBytes(rig.content(1025).subarray(8500, 8600), pattern(100, 7)), 'the later write stands');
});

t.test(
  'RAFT_MISSING that is damaged asks for a comparison; one that cannot be read is an error',
  async (t) => {
    const rig = ApplyRig.start([]);
    for (const at of [0, 1000, 2000]) rig.write({ extentId: 2000, at, body: pattern(50, 1) });
    rig.run();
    rig.pass(11);
    const path = `${rig.partition.path}/RAFT_MISSING`;
    const { sim } = rig.rig;
    const fd = sim.open(path, 2, 0);
    sim.write(fd, new Uint8Array([1]), MISSING_RECORD_BYTES + 20);
    sim.close(fd);
    const next = rig.next(sim.processEnd(1));
    t.same(missingOf(next), ['2000 [0, 50) @3', '2000 [2000, 2050) @3'], 'as new as APPLY at least');
    t.equal(next.apply.missing.compareFrom, 3);
    next.write({ extentId: 2001, at: 0, body: pattern(50, 1) });
    next.write({ extentId: 2002, at: 0, body: pattern(50, 1) });
    next.pass(11);
    const third = next.rig.sim.processEnd(2);
    const after = rig.next(third);
    const kept = ['2000 [0, 50) @5', '2000 [2000, 2050) @5', '2001 [0, 50) @5', '2002 [0, 50) @5'];
    t.same(
      [missingOf(after), after.apply.missing.compareFrom],
      [kept, 3],
      'what stood behind it is not lost',
    );
    const again = rig.rig.bare(third.processEnd(3));
    again.sim.addFault({ call: 'pread', path: /RAFT_MISSING$/, errno: EIO, count: 1 });
    again.load(ROOT);
    t.throws(() => new ApplyRig(again), { message: /^read .*RAFT_MISSING: input\/output error$/ });
  },
);

t.test('a full disk pauses, and goes on without passing anything over', async (t) => {
  const rig = ApplyRig.start([8 * KiB, 8 * KiB]);
  rig.rig.sim.addFault({ call: 'pwrite', path: /1025$/, errno: ENOSPC, count: 3 });
  rig.write({ extentId: 1025, at: 0, body: pattern(100, 1) });
  rig.write({ extentId: 1026, at: 0, body: pattern(100, 2) });
  rig.write({ extentId: 1025, at: 0, body: pattern(50, 3) });
  rig.run();
  t.same([rig.ends, rig.apply.appliedIndex, rig.apply.lacksRoom], [[], 0, true]);
  rig.write({ extentId: 1026, at: 0, body: pattern(70, 4) });
  rig.run();
  t.ok(sameBytes(rig.content(1026).subarray(0, 100), pattern(100, 2)), 'what comes meanwhile does not start');
  rig.pass(2);
  t.same([rig.ends, rig.apply.lacksRoom], [[], true], 'also while it is tried');
  rig.pass(1);
  t.equal(rig.apply.lacksRoom, false);
  t.same(
    rig.ends.map(({ index, outcome }) => [index, outcome]),
    [1, 2, 3, 4].map((index) => [index, CARRIED_OUT]),
  );
  t.ok(sameBytes(rig.content(1025).subarray(0, 50), pattern(50, 3)));
  t.ok(sameBytes(rig.content(1025).subarray(50, 100), pattern(100, 1).subarray(50)));
  t.ok(sameBytes(rig.content(1026).subarray(0, 70), pattern(70, 4)));
});

t.test('a write that comes short is made again', async (t) => {
  const rig = ApplyRig.start([8 * KiB]);
  rig.rig.sim.addFault({ call: 'pwrite', path: /1025$/, shortBytes: 30, count: 1 });
  rig.write({ extentId: 1025, at: 0, body: pattern(100, 1) });
  rig.run();
  t.same(rig.ends, []);
  rig.pass(1);
  t.equal(rig.ends.length, 1);
  t.ok(sameBytes(rig.content(1025).subarray(0, 100), pattern(100, 1)));
});

for (const [what, call] of [
  ['a failing write', 'pwrite'],
  ['a failing sync of a sync write', 'fdatasync'],
] as const) {
  t.test(`${what} stops the replica: nothing behind it is applied, and APPLY does not move`, async (t) => {
    const rig = ApplyRig.start([8 * KiB, 8 * KiB]);
    rig.write({ extentId: 1026, at: 0, body: pattern(100, 1) });
    rig.pass(11);
    rig.rig.sim.addFault({ call, path: /1025$/, errno: EIO, count: 1 });
    rig.write({ extentId: 1025, at: 0, body: pattern(100, 1), sync: true });
    rig.write({ extentId: 1026, at: 0, body: pattern(100, 2) });
    rig.run();
    rig.write({ extentId: 1026, at: 0, body: pattern(100, 3) });
    rig.run();
    t.same(
      rig.ends.map(({ outcome }) => outcome.kind),
      ['applied', 'stopped', 'stopped', 'stopped'],
    );
    t.match(rig.ends[1]!.outcome, { reason: /1025: input\/output error/ });
    t.same(rig.rig.diskErrors, [EIO]);
    rig.pass(30);
    t.same([rig.file('APPLY'), rig.apply.durableApplied], ['1', 1]);
    rig.rig.stop();
    t.equal(rig.file('APPLY'), '1');
  });
}

t.test('a disk that fails elsewhere stops it too', async (t) => {
  const rig = ApplyRig.start([8 * KiB]);
  rig.rig.health.status = -1;
  rig.write({ extentId: 1025, at: 0, body: pattern(100, 1) });
  rig.run();
  t.same(rig.ends[0]!.outcome, { kind: 'stopped', reason: 'disk has broken' });
});

t.test('a sync before a save that fails stops it, and the replay finds the extent broken', async (t) => {
  const rig = ApplyRig.start([8 * KiB]);
  rig.rig.sim.addFault({ call: 'fdatasync', path: /1025$/, errno: ENOSPC, count: 1 });
  rig.write({ extentId: 1025, at: 0, body: pattern(100, 1) });
  rig.pass(14);
  t.ok(rig.apply.isHalted);
  t.notOk(rig.has('APPLY'));
  const next = rig.next(rig.rig.sim.processEnd(1));
  const index = next.write({ extentId: 1025, at: 0, body: pattern(100, 1) });
  next.run();
  t.match(next.outcomeOf(index), errorAt(1, 'extent has been broken'));
  t.same(missingOf(next), ['1025 [0, 100) @1']);
});

t.test('a file that cannot be opened holds up no other', async (t) => {
  const rig = ApplyRig.start([8 * KiB, 8 * KiB], { openExtentsMax: 1 });
  rig.rig.sim.addFault({ call: 'open', path: /1025$/, errno: 13, count: 1 });
  const foreign = rig.write({ extentId: 1025, at: 0, body: pattern(100, 1) });
  const other = rig.write({ extentId: 1026, at: 0, body: pattern(100, 2) });
  rig.run();
  t.match(rig.outcomeOf(foreign), errorAt(1, 'open '));
  t.same(rig.outcomeOf(other), CARRIED_OUT);
  t.same(missingOf(rig), ['1025 [0, 100) @1']);
});

t.test('an APPLY that cannot be saved leaves the old one, and is saved later', async (t) => {
  for (const call of ['open', 'pwrite', 'fdatasync', 'rename'] as const) {
    const rig = ApplyRig.start([8 * KiB]);
    rig.write({ extentId: 1025, at: 0, body: pattern(100, 1) });
    rig.pass(11);
    rig.rig.sim.addFault({ call, path: /\.apply$/, errno: ENOSPC, count: 1 });
    rig.write({ extentId: 1025, at: 0, body: pattern(100, 2) });
    rig.pass(10);
    t.same([rig.file('APPLY'), rig.apply.durableApplied], ['1', 1], call);
    rig.pass(10);
    t.same([rig.file('APPLY'), rig.apply.durableApplied], ['2', 2], call);
  }
});

t.test('RAFT_MISSING that cannot be written holds up its entry, until it can', async (t) => {
  for (const call of ['open', 'pwrite', 'fdatasync'] as const) {
    const rig = ApplyRig.start([8 * KiB]);
    rig.rig.sim.addFault({ call, path: /RAFT_MISSING$/, errno: ENOSPC, count: 1 });
    rig.write({ extentId: 2000, at: 0, body: pattern(100, 1) });
    rig.write({ extentId: 1025, at: 0, body: pattern(100, 2) });
    rig.run();
    t.same(rig.ends, [], call);
    rig.pass(1);
    t.equal(rig.apply.appliedIndex, 2, call);
    t.same(missingOf(rig.next(rig.rig.sim.powerLoss(1))), ['2000 [0, 100) @1'], call);
  }
});

t.test('a partition that goes away in the middle of a save gives its place back', async (t) => {
  for (let steps = 0; steps < 12; steps += 1) {
    const rig = ApplyRig.start([8 * KiB]);
    rig.write({ extentId: 1025, at: 0, body: pattern(100, 1) });
    rig.run();
    rig.rig.simClock.advance(11_000);
    rig.rig.stores.tick();
    for (let step = 0; step < steps; step += 1) {
      rig.rig.turn();
      rig.rig.sim.step();
    }
    const { store } = rig.partition;
    rig.apply.abandon('data partition not exists');
    rig.rig.stores.retire(store, 'data partition not exists');
    rig.rig.partitions.clear();
    rig.run();
    t.same([rig.rig.sim.openFds(), rig.rig.stores.parkedOperations], [0, 0]);
    const { applies } = rig.rig.stores;
    let begun = 0;
    for (let save = 0; save < 2; save += 1) applies.askToSave(() => (begun += 1));
    t.equal(begun, 2, `after ${steps} steps both places are free`);
    const lanes = Array.from({ length: APPLY_LANES }, () => applies.takeLane());
    t.notOk(lanes.includes(null), 'and all lanes');
  }
});

t.test('a partition that is taken away ends what is on its way', async (t) => {
  const rig = ApplyRig.start([8 * KiB], { openExtentsMax: 100 });
  rig.rig.sim.addFault({ call: 'fdatasync', path: /1025$/, hang: true, count: 1 });
  rig.write({ extentId: 1025, at: 0, body: pattern(100, 1), sync: true });
  rig.write({ extentId: 2000, at: 0, body: pattern(100, 1) });
  rig.rig.turn();
  rig.rig.turn();
  rig.apply.abandon('data partition not exists');
  rig.rig.stores.retire(rig.partition.store, 'data partition not exists');
  for (let turn = 0; turn < 20; turn += 1) {
    rig.rig.turn();
    rig.rig.sim.step();
  }
  t.same(
    rig.ends.map(({ outcome }) => outcome),
    [1, 2].map(() => ({ kind: 'stopped', reason: 'data partition not exists' })),
  );
});
