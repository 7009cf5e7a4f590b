/** Limits per disk, decided: rates, concurrency, orders, and changes while things wait (`pains.md` 7, 22). */
import fc from 'fast-check';
import t from 'tap';
import { UNLIMITED } from '../../src/config/diskLimits.js';
import { LANE } from '../../src/partition/diskLimits.js';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import { OP } from '../../src/protocol/opcodes.js';
import { LimitRig, limits } from './limitRig.js';

t.test('without limits nothing is asked and nothing waits', async (t) => {
  const rig = new LimitRig(UNLIMITED);
  for (let opcode = 0; opcode < 256; opcode++) rig.come(opcode);
  t.equal(rig.started.length, 256);
  t.notOk(rig.ops.some((op) => op.chargedLane !== 0 || rig.limits.concerns(op)));
  t.equal(rig.limits.wakeInMs(rig.nowMs), Number.POSITIVE_INFINITY);
});

t.test('which operations belong to which limit', async (t) => {
  const all = { readOpsPerSecond: 1e6, writeOpsPerSecond: 1e6 };
  const rig = new LimitRig(limits(all, all));
  rig.nowMs += 1000;
  for (let opcode = 0; opcode < 256; opcode++) rig.come(opcode, { connection: opcode });
  const lanes = new Map<number, number[]>();
  for (const op of rig.ops) {
    if (op.chargedLane !== 0) lanes.set(op.chargedLane, [...(lanes.get(op.chargedLane) ?? []), op.opcode]);
  }
  t.same(lanes.get(LANE.clientsRead), [OP.read, OP.streamRead, OP.streamFollowerRead]);
  t.same(lanes.get(LANE.clientsWrite), [
    ...[OP.createExtent, OP.markDelete, OP.write, OP.randomWrite, OP.syncRandomWrite, OP.syncWrite],
  ]);
  t.same(lanes.get(LANE.backgroundRead), [
    OP.extentRepairRead,
    OP.readTinyDeleteRecord,
    OP.tinyExtentRepairRead,
  ]);
  t.equal(rig.started.length, 256, 'what is answered from memory passes');
});

t.test('operations pass at their rate, in order of arrival, and the others wait', async (t) => {
  const rig = new LimitRig(limits({ readOpsPerSecond: 10 }));
  for (let i = 0; i < 50; i++) rig.read();
  t.equal(rig.limits.waiting, 49);
  t.equal(rig.limits.lanes[LANE.clientsRead]!.waiting, 49);
  rig.write();
  t.same(rig.started, [0, 50], 'one burst; a write has no limit');
  for (let ms = 0; ms < 10_000; ms += 7) {
    const before = rig.started.length;
    rig.pass(7);
    t.ok(rig.started.length - before <= 2);
  }
  t.same(
    rig.started.filter((tag) => tag < 50),
    Array.from({ length: 50 }, (_, tag) => tag),
  );
  t.equal(rig.limits.waiting, 0);
});

t.test('the mean rate of operations and bytes is never exceeded, whatever comes when', async (t) => {
  const arrival = fc.record({
    ms: fc.integer({ min: 0, max: 400 }),
    size: fc.integer({ min: 1, max: 131_072 }),
    isRead: fc.boolean(),
  });
  const rates = fc.record({
    readOpsPerSecond: fc.integer({ min: 1, max: 2_000 }),
    readBytesPerSecond: fc.integer({ min: 1_000, max: 10_000_000 }),
    writeOpsPerSecond: fc.integer({ min: 1, max: 2_000 }),
    writeBytesPerSecond: fc.integer({ min: 1_000, max: 10_000_000 }),
  });
  fc.assert(
    fc.property(
      rates,
      fc.array(arrival, { maxLength: 200 }),
      fc.integer({ min: 1, max: 4 }),
      (of, arrivals, members) => {
        const rig = new LimitRig(limits(of), members);
        const fromMs = rig.nowMs;
        for (const { ms, size, isRead } of arrivals) {
          rig.pass(ms);
          if (isRead) rig.read({ size });
          else rig.write({ size });
          const seconds = (rig.nowMs - fromMs) / 1000;
          for (const [lane, ops, bytes] of [
            [LANE.clientsRead, of.readOpsPerSecond, of.readBytesPerSecond],
            [LANE.clientsWrite, of.writeOpsPerSecond, of.writeBytesPerSecond],
          ] as const) {
            // A burst of a tenth of a second, one operation at least, and the one that overdraws.
            const { passedOps, passedBytes } = rig.limits.lanes[lane]!;
            if (passedOps > (ops / members) * (seconds + 0.1) + 2) return false;
            if (passedBytes > (bytes / members) * (seconds + 0.1) + 131_073) return false;
          }
        }
        return true;
      },
    ),
  );
  t.pass('for every run of arrivals');
});

t.test('every operation passes after all, and the loop is told when to look', async (t) => {
  const rig = new LimitRig(limits({ writeBytesPerSecond: 10_000, readOpsPerSecond: 3 }, { readsAtOnce: 1 }));
  for (let i = 0; i < 20; i++) {
    rig.write({ size: 5_000, connection: 1 });
    rig.read({ connection: i % 4 });
    rig.repairRead({ connection: i % 3 });
  }
  let looks = 0;
  for (; rig.limits.waiting > 0 && looks < 1000; looks++) {
    rig.endAll();
    rig.release();
    const wakeInMs = rig.limits.wakeInMs(rig.nowMs);
    if (Number.isFinite(wakeInMs)) rig.pass(wakeInMs);
  }
  t.equal(rig.limits.waiting, 0);
  t.equal(rig.started.length, 60);
  t.ok(looks < 200, `${looks} looks`);
  t.ok(rig.nowMs - 1000 < 20_000, 'ten seconds of bytes, seven of reads');
});

t.test('no more run at one time than are allowed', async (t) => {
  const step = fc.oneof(fc.constantFrom('read', 'write', 'repairRead'), fc.integer({ min: 0, max: 30 }));
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 5 }),
      fc.array(step, { maxLength: 300 }),
      (readsAtOnce, backgroundAtOnce, steps) => {
        const rig = new LimitRig(limits({ readsAtOnce, writesAtOnce: 2 }, { readsAtOnce: backgroundAtOnce }));
        const of = (lane: number): number =>
          [...rig.running.values()].filter((op) => op.chargedLane === lane).length;
        for (const one of steps) {
          if (typeof one === 'number') {
            const tag = [...rig.running.keys()][one];
            if (tag !== undefined) rig.end(tag);
            rig.release();
          } else {
            rig[one as 'read']({ extentId: steps.indexOf(one) % 4 });
          }
          if (of(LANE.clientsRead) > readsAtOnce || of(LANE.clientsWrite) > 2) return false;
          if (of(LANE.backgroundRead) > backgroundAtOnce) return false;
        }
        while (rig.running.size > 0) {
          rig.endAll();
          rig.release();
        }
        return rig.limits.waiting === 0 && rig.started.length === rig.ops.length;
      },
    ),
  );
  t.pass('for every run of steps');
});

t.test('a connection’s operations, and an extent’s within a class, keep their order', async (t) => {
  const kinds = ['read', 'write', 'repairRead', 'query'] as const;
  const step = fc.record({
    kind: fc.constantFrom(...kinds),
    connection: fc.integer({ min: 0, max: 4 }),
    extentId: fc.integer({ min: 0, max: 3 }),
    ms: fc.integer({ min: 0, max: 60 }),
  });
  const of = limits(
    { readOpsPerSecond: 40, writeOpsPerSecond: 25, readsAtOnce: 3 },
    { readOpsPerSecond: 10, readsAtOnce: 2 },
  );
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 150 }), (steps) => {
      const rig = new LimitRig(of);
      for (const { kind, connection, extentId, ms } of steps) {
        rig.pass(ms);
        if (ms % 3 === 0) rig.endAll();
        if (kind === 'query') rig.come(OP.getPartitionSize, { connection, extentId });
        else rig[kind]({ connection, extentId });
      }
      for (let i = 0; i < 10_000 && rig.limits.waiting > 0; i++) {
        rig.endAll();
        rig.pass(50);
      }
      const inOrder = (key: (tag: number) => string | null): boolean => {
        const last = new Map<string, number>();
        return rig.started.every((tag) => {
          const group = key(tag);
          if (group === null) return true;
          const ok = (last.get(group) ?? -1) < tag;
          last.set(group, tag);
          return ok;
        });
      };
      const kindOf = (tag: number): string => steps[tag]!.kind;
      return (
        rig.started.length === steps.length &&
        inOrder((tag) => `c${steps[tag]!.connection}`) &&
        inOrder((tag) => {
          if (kindOf(tag) === 'query') return null;
          return `${kindOf(tag) === 'repairRead'}${steps[tag]!.extentId}`;
        })
      );
    }),
  );
  t.pass('for every run of steps');
});

t.test('a write and the read behind it are not swapped; others go past them', async (t) => {
  const rig = new LimitRig(limits({ writeOpsPerSecond: 1 }));
  const first = rig.write();
  const write = rig.write({ connection: 1, extentId: 5 });
  const same = rig.read({ connection: 1, extentId: 6 });
  const sameExtent = rig.read({ connection: 2, extentId: 5 });
  const query = rig.come(OP.getPartitionSize, { connection: 1 });
  const repair = rig.repairRead({ connection: 3, extentId: 5 });
  const other = rig.read({ connection: 4, extentId: 9 });
  t.same(rig.started, [first, repair, other]);
  rig.pass(1000);
  t.same(
    rig.started.slice(3),
    [write, same, sameExtent, query].toSorted((a, b) => rig.started.indexOf(a) - rig.started.indexOf(b)),
  );
  t.ok(rig.started.indexOf(same) < rig.started.indexOf(query));
  t.equal(rig.started[3], write, 'all of them behind the write');
});

t.test('a class does not starve the other', async (t) => {
  const rig = new LimitRig(limits({}, { readOpsPerSecond: 1 }));
  for (let i = 0; i < 1000; i++) rig.repairRead({ extentId: 5 });
  for (let i = 0; i < 100; i++) {
    const tag = rig.write({ extentId: 5 });
    t.equal(rig.started.at(-1), tag, 'a client’s write to the same extent goes at once');
  }
  const both = new LimitRig(limits({ readOpsPerSecond: 100 }, { readOpsPerSecond: 10 }));
  for (let i = 0; i < 1000; i++) {
    both.read();
    both.repairRead();
  }
  for (let i = 0; i < 1000; i++) both.pass(1);
  t.ok(both.limits.lanes[LANE.clientsRead]!.passedOps >= 99, 'clients at their rate');
  t.ok(both.limits.lanes[LANE.backgroundRead]!.passedOps >= 9, 'background at its rate');
});

t.test('a change holds for what waits: 0 lets all of it go, in order', async (t) => {
  const rig = new LimitRig(limits({ readOpsPerSecond: 1, readsAtOnce: 2 }));
  for (let i = 0; i < 30; i++) rig.read({ connection: i % 5 });
  rig.limits.change(limits({ readOpsPerSecond: 10 }), rig.nowMs);
  for (let i = 0; i < 100; i++) rig.pass(10);
  t.ok(rig.started.length <= 12 && rig.started.length >= 10, `${rig.started.length} after a second`);
  rig.limits.change(UNLIMITED, rig.nowMs);
  rig.release();
  t.same(
    rig.started,
    rig.ops.map(({ tag }) => tag),
  );
  rig.endAll();
  t.equal(rig.limits.lanes[LANE.clientsRead]!.running, 0);
});

t.test('what nobody waits for goes without being charged, and lets those behind it go', async (t) => {
  const rig = new LimitRig(limits({ readOpsPerSecond: 1 }));
  for (let i = 0; i < 10; i++) rig.read({ connection: i % 2 });
  rig.gone.add(1);
  rig.sweep();
  t.same(rig.skipped, [1, 3, 5, 7, 9]);
  t.equal(rig.limits.waiting, 4);
  rig.gone.add(0);
  rig.release();
  t.same(rig.skipped, [1, 3, 5, 7, 9, 2, 4, 6, 8]);
  t.equal(rig.limits.lanes[LANE.clientsRead]!.passedOps, 1);
  t.equal(rig.limits.waiting, 0);
});

t.test('several workers of a disk have its rates together, and one operation each at least', async (t) => {
  const of = limits({ readBytesPerSecond: 1_000_000, readsAtOnce: 6 }, { readsAtOnce: 1 });
  const rig = new LimitRig(of, 4);
  for (let i = 0; i < 10; i++) rig.repairRead();
  t.equal(rig.started.length, 1);
  for (let i = 0; i < 10; i++) rig.read({ size: 100_000 });
  t.equal(rig.started.length, 2, 'six at once are one and a half, and one overdraws the bytes');
  rig.pass(300);
  t.equal(rig.started.length, 2);
  rig.endAll();
  rig.pass(101);
  t.equal(
    rig.limits.lanes[LANE.clientsRead]!.passedBytes,
    200_000,
    '100,000 bytes are 0.4 s of a quarter of the rate',
  );
});

t.test('a job of the node has its turn among repair reads, and a gone one holds up nobody', async (t) => {
  const rig = new LimitRig(limits({}, { readOpsPerSecond: 100 }));
  const { limits: disk } = rig;
  for (let i = 0; i < 16; i++) rig.repairRead();
  let taken = 0;
  for (let ms = 0; ms < 2000; ms++) {
    rig.pass(1);
    while (disk.waiting < 16) rig.repairRead();
    if (disk.takeBackground('read', 4096, rig.nowMs)) {
      taken++;
      disk.endBackground('read');
    }
  }
  t.ok(taken >= 10, `${taken} times, one of seventeen in line`);
  t.ok(rig.started.length + taken <= 212, 'together within the rate');
  t.ok(rig.started.length + taken >= 190, 'and no rate is lost');
  for (let i = 0; i < 2000; i++) rig.repairRead();
  const before = rig.started.length;
  for (let ms = 0; ms < 3000; ms++) rig.pass(1);
  t.ok(rig.started.length - before >= 190, 'without it the line goes on after a second at most');
});

t.test('a job alone: charged, paced, told when to come again', async (t) => {
  const rig = new LimitRig(limits({}, { readBytesPerSecond: 1_000_000, readsAtOnce: 2 }));
  const { limits: disk } = rig;
  t.ok(disk.takeBackground('read', 500_000, rig.nowMs));
  t.notOk(disk.takeBackground('read', 1, rig.nowMs), 'in debt');
  t.ok(disk.takeBackground('write', 1_000_000, rig.nowMs), 'writes have limits of their own: none');
  disk.endBackground('write');
  const waitMs = disk.waitMs('read', rig.nowMs);
  t.ok(waitMs >= 499 && waitMs <= 501, `${waitMs} ms for 500,000 bytes of debt`);
  t.equal(disk.wakeInMs(rig.nowMs), waitMs);
  rig.nowMs += waitMs;
  t.ok(disk.takeBackground('read', 1, rig.nowMs));
  t.equal(disk.wakeInMs(rig.nowMs), Number.POSITIVE_INFINITY, 'nobody waits');
  rig.nowMs += 1000;
  t.notOk(disk.takeBackground('read', 1, rig.nowMs), 'two are under way');
  t.equal(disk.wakeInMs(rig.nowMs), Number.POSITIVE_INFINITY, 'one of them has to end');
  disk.endBackground('read');
  t.ok(disk.takeBackground('read', 1, rig.nowMs));
  disk.endBackground('read');
  disk.endBackground('read');
  t.equal(disk.lanes[LANE.backgroundRead]!.running, 0);
});

t.test('internal requests are background work, whatever they ask, and have no connection', async (t) => {
  const rig = new LimitRig(limits({ readsAtOnce: 1, writesAtOnce: 1 }, { readsAtOnce: 1, writesAtOnce: 1 }));
  const own = { internal: true, connection: 5 };
  const clients = [rig.read({ connection: 5 }), rig.write({ connection: 6 })];
  const waits = rig.read({ connection: 5 });
  const reads = [OP.streamRead, OP.extentRepairRead, OP.tinyExtentRepairRead, INTERNAL_OP.readBlock];
  const writes = [
    ...[OP.write, OP.createExtent, INTERNAL_OP.tinyHole, INTERNAL_OP.createExtent],
    ...[INTERNAL_OP.missedDelete, INTERNAL_OP.syncExtent, INTERNAL_OP.endJoining],
    INTERNAL_OP.healBlock,
  ];
  for (const ops of [reads, writes]) {
    const tags = ops.map((opcode) => rig.come(opcode, own));
    for (const [i, tag] of tags.entries()) {
      t.equal(rig.started.at(-1), tag, `opcode ${ops[i]} takes the one place of its kind`);
      rig.end(tag);
      rig.release();
    }
  }
  t.ok(
    clients.every((tag) => rig.running.has(tag)),
    'clients were not in their way, nor they in theirs',
  );
  t.notOk(rig.started.includes(waits), 'what waits on a connection of the same number held up nobody');
  rig.come(OP.write, own);
  const blocked = rig.come(INTERNAL_OP.syncExtent, own);
  const free = [
    ...[INTERNAL_OP.listExtents, INTERNAL_OP.describe, INTERNAL_OP.listDeleted, INTERNAL_OP.takeTiny],
    ...[
      INTERNAL_OP.giveBackTiny,
      INTERNAL_OP.forgetRounds,
      INTERNAL_OP.extentSize,
      INTERNAL_OP.finishDeletes,
    ],
  ].map((opcode) => rig.come(opcode, own));
  t.notOk(rig.started.includes(blocked));
  t.ok(
    free.every((tag) => rig.running.has(tag)),
    'what is answered from memory waits for nothing',
  );
  t.same([rig.limits.waiting, rig.limits.internalWaiting], [2, 1]);
  rig.endAll();
  rig.release();
  t.same([rig.limits.waiting, rig.limits.internalWaiting], [0, 0]);
});

t.test('internal requests of one extent keep their order: a sync covers the writes before it', async (t) => {
  const rig = new LimitRig(limits({}, { writeBytesPerSecond: 10_000 }));
  const own = { internal: true, extentId: 1025 };
  const tags = [
    rig.come(OP.write, { ...own, size: 5000 }),
    rig.come(OP.write, { ...own, size: 5000 }),
    rig.come(INTERNAL_OP.syncExtent, own),
  ];
  rig.pass(200);
  t.same(rig.started, tags.slice(0, 1));
  rig.pass(10_000);
  t.same(rig.started, tags.slice(0, 2));
  rig.pass(10_000);
  t.same(rig.started, tags);
});
