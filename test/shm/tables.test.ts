/** Partition and disk tables, and the poison words. */
import fc from 'fast-check';
import t from 'tap';
import { createLimitTable, LIMIT_LANES, LimitTable } from '../../src/shm/limitTable.js';
import { createPoisonTable, nextGeneration, PoisonTable } from '../../src/shm/poison.js';
import {
  createDiskTable,
  createPartitionTable,
  DiskTable,
  PARTITION_COUNT,
  PARTITION_FLAG,
  PartitionTable,
} from '../../src/shm/tables.js';

t.test('each worker’s limits have a row of their own, and each lane its cells', async (t) => {
  const memory = createLimitTable(2);
  const table = new LimitTable(memory);
  const reader = new LimitTable(structuredClone(memory));
  for (let lane = 0; lane < LIMIT_LANES; lane++) {
    const at = lane * 10;
    table.setLane(1, lane, {
      waiting: at + 1,
      running: at + 2,
      passedOps: at + 3,
      passedBytes: 2 ** 50 + at,
    });
  }
  table.setWaiting(1, 99, 9);
  for (let lane = 0; lane < LIMIT_LANES; lane++) {
    const at = lane * 10;
    t.strictSame(reader.lane(1, lane), {
      waiting: at + 1,
      running: at + 2,
      passedOps: at + 3,
      passedBytes: 2 ** 50 + at,
    });
    t.strictSame(reader.lane(0, lane), { waiting: 0, running: 0, passedOps: 0, passedBytes: 0 });
  }
  t.same([reader.waiting(1), reader.waitingFromNetwork(1)], [99, 90]);
  table.setHeldReads(1, 5);
  t.same([reader.waiting(1), reader.waitingFromNetwork(1), reader.waitingFromNetwork(0)], [99, 95, 0]);
  t.throws(() => reader.waiting(2), /no such row/);
});

t.test('each cell of a partition row holds its own value', async (t) => {
  const memory = createPartitionTable(3);
  const table = new PartitionTable(memory);
  const reader = new PartitionTable(structuredClone(memory));
  t.equal(table.claim(11), 0);
  const row = table.claim(12);
  table.setSizeBytes(row, 2 ** 40);
  table.setUsedBytes(row, 5);
  table.setExtentCount(row, 64);
  table.setStatus(row, -1);
  table.setAppliedId(row, 9_007_199_254_740_991);
  table.setMaxExtentId(row, 1025);
  table.setFlags(row, PARTITION_FLAG.leader);
  t.strictSame(
    [
      reader.id(row),
      reader.sizeBytes(row),
      reader.usedBytes(row),
      reader.extentCount(row),
      reader.status(row),
      reader.appliedId(row),
      reader.maxExtentId(row),
      reader.flags(row),
    ],
    [12, 2 ** 40, 5, 64, -1, 9_007_199_254_740_991, 1025, 1],
  );
  t.equal(reader.usedBytes(0), 0, 'the neighbour is untouched');
  t.equal(reader.rowOf(12), row);
  t.equal(reader.rowOf(13), -1);
});

t.test('rows are claimed, freed and claimed again, clean, with a new version each time', async (t) => {
  const table = new PartitionTable(createPartitionTable(2));
  const row = table.claim(1);
  table.setUsedBytes(row, 77);
  t.equal(table.claim(2), 1);
  t.equal(table.claim(3), -1, 'full');
  const before = table.version();
  table.free(row);
  t.not(table.version(), before);
  t.throws(() => table.free(row), /free already/);
  t.equal(table.claim(3), row);
  t.equal(table.usedBytes(row), 0);
  t.throws(() => table.claim(0), /partition id 0/);
  t.throws(() => table.setStatus(2, 1), /no such row/);
  t.throws(() => table.status(2), /no such row/);
});

t.test('each cell of a disk row holds its own value', async (t) => {
  const table = new DiskTable(createDiskTable(2));
  const cells = [
    [table.totalBytes, table.setTotalBytes],
    [table.usedBytes, table.setUsedBytes],
    [table.availableBytes, table.setAvailableBytes],
    [table.reservedBytes, table.setReservedBytes],
    [table.status, table.setStatus],
    [table.readErrors, table.setReadErrors],
    [table.writeErrors, table.setWriteErrors],
    [table.lastProgressMs, table.setLastProgressMs],
    [table.inFlight, table.setInFlight],
    [table.heartbeatMs, table.setHeartbeatMs],
    [table.mode, table.setMode],
    [table.probeMs, table.setProbeMs],
    [table.foldersFound, table.setFoldersFound],
    [table.foldersDone, table.setFoldersDone],
  ] as const;
  for (const [index, [, set]] of cells.entries()) set.call(table, 1, index + 0.5);
  t.strictSame(
    cells.map(([get]) => get.call(table, 1)),
    cells.map((_, index) => index + 0.5),
  );
  t.strictSame(
    cells.map(([get]) => get.call(table, 0)),
    cells.map(() => 0),
  );
});

t.test('a poisoned generation stays poisoned until a later one is', async (t) => {
  const table = new PoisonTable(createPoisonTable(4));
  t.equal(table.isPoisoned(2, 1), false);
  table.poison(2, 5);
  t.ok(table.isPoisoned(2, 5));
  t.notOk(table.isPoisoned(2, 6), 'the next connection on this index');
  t.notOk(table.isPoisoned(1, 5), 'another index');
  table.poison(2, 4);
  t.ok(table.isPoisoned(2, 5), 'a late poisoning of an earlier one changes nothing');
  table.poison(2, 6);
  t.notOk(table.isPoisoned(2, 5));
  t.ok(table.isPoisoned(2, 6));
  t.throws(() => table.poison(0, 0), /generation 0/);
});

t.test('generations go on past the int32 border and leave 0 out', async (t) => {
  t.equal(nextGeneration(1), 2);
  t.equal(nextGeneration(2 ** 31 - 1), -(2 ** 31));
  t.equal(nextGeneration(-1), 1);
  const table = new PoisonTable(createPoisonTable(1));
  table.poison(0, 2 ** 31 - 1);
  table.poison(0, nextGeneration(2 ** 31 - 1));
  t.ok(table.isPoisoned(0, -(2 ** 31)));
});

t.test('in whatever order poisonings arrive, the latest generation stands', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1 }), (generations) => {
      const table = new PoisonTable(createPoisonTable(1));
      for (const generation of generations) table.poison(0, generation);
      return table.isPoisoned(0, Math.max(...generations));
    }),
  );
  t.pass('any order');
});

t.test('what is counted of a partition begins at 0 with each claim, and is nobody else’s', async (t) => {
  const memory = createPartitionTable(2);
  const owner = new PartitionTable(memory);
  const reader = new PartitionTable(structuredClone(memory));
  const one = owner.claim(1);
  const two = owner.claim(2);
  const counts = Object.values(PARTITION_COUNT);
  for (const [index, count] of counts.entries()) owner.count(one, count, index + 1);
  owner.count(one, PARTITION_COUNT.errors, 10);
  t.strictSame(
    counts.map((count) => reader.counted(one, count)),
    [1, 2, 3, 4, 5, 6, 7, 18],
  );
  t.strictSame(
    counts.map((count) => reader.counted(two, count)),
    [0, 0, 0, 0, 0, 0, 0, 0],
  );
  t.strictSame([reader.id(one), reader.flags(one), reader.claimed()], [1, 0, 2]);
  owner.free(one);
  t.equal(reader.claimed(), 1);
  t.equal(owner.claim(3), one);
  t.strictSame(
    counts.map((count) => reader.counted(one, count)),
    [0, 0, 0, 0, 0, 0, 0, 0],
  );
});
