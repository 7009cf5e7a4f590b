/** What a worker counts of the operations that it ends: by partition and by disk. */
import t from 'tap';
import { Operation } from '../../src/partition/operation.js';
import { OP } from '../../src/protocol/opcodes.js';
import { createDiskWork, DISK_WORK, DiskWork } from '../../src/shm/diskWork.js';
import { createPartitionTable, PARTITION_COUNT, PartitionTable } from '../../src/shm/tables.js';
import { WorkCount } from '../../src/workers/workCount.js';

const WORK = [DISK_WORK.readBytes, DISK_WORK.writeBytes, DISK_WORK.otherOps, DISK_WORK.errors];

function rig() {
  const table = new PartitionTable(createPartitionTable(2));
  const work = new DiskWork(createDiskWork());
  const count = new WorkCount(table, work);
  const row = table.claim(7);
  return {
    table,
    count,
    work,
    row,
    /** Takes an operation at 100 ms and ends it at `endMs`. */
    run(opcode: number, change: Partial<Operation>, endMs: number, ok = true, bytes = 0): void {
      const op = Object.assign(new Operation(), { opcode, partitionId: 7 });
      count.nowMs = 100;
      count.taken(op);
      Object.assign(op, { tableRow: row }, change);
      count.nowMs = endMs;
      count.ended(op, ok, bytes);
    },
    partition: () => Object.values(PARTITION_COUNT).map((cell) => table.counted(row, cell)),
    disk: () => [
      ...WORK.map((counter) => work.counters.value(counter)),
      ...[work.reads.snapshot(), work.writes.snapshot()].map(({ count, sumUs }) => `${count}: ${sumUs}`),
    ],
  };
}

t.test('reads, writes, other operations and errors, each in its place', async (t) => {
  const { run, partition, disk } = rig();
  run(OP.streamRead, { size: 5_000 }, 101, true, 4_000);
  run(OP.extentRepairRead, { size: 10 }, 100.5, true, 10);
  run(OP.write, { size: 4_096 }, 103);
  run(OP.syncWrite, { size: 4 }, 104);
  run(OP.syncRandomWrite, { size: 20 }, 100);
  run(OP.createExtent, { size: 8 }, 200);
  run(OP.getAllWatermarks, {}, 200, true, 999);
  run(OP.write, { size: 4_096 }, 300, false);
  run(OP.streamRead, { size: 4_096 }, 300, false, 30);
  t.strictSame(partition(), [2, 4_010, 1_500, 3, 4_120, 7_000, 2, 2]);
  t.strictSame(disk(), [4_010, 4_120, 2, 2, '2: 1500', '3: 7000']);
});

t.test(
  'an operation without a partition, or whose partition’s row is another’s by now, counts for the disk alone',
  async (t) => {
    const { run, partition, disk, table, row } = rig();
    run(OP.write, { tableRow: -1, size: 9 }, 101, false);
    table.free(row);
    t.equal(table.claim(8), row);
    run(OP.write, { size: 9 }, 101);
    run(OP.streamRead, {}, 101, true, 9);
    run(OP.markDelete, {}, 101);
    run(OP.markDelete, {}, 101, false);
    t.strictSame(partition(), [0, 0, 0, 0, 0, 0, 0, 0]);
    t.strictSame(disk(), [9, 9, 1, 2, '1: 1000', '1: 1000']);
  },
);

t.test('reads that waited for a heal, as their sums are told', async (t) => {
  const { count, work } = rig();
  count.waits({ served: 3, gaveUp: 1 });
  count.waits({ served: 4, gaveUp: 2 });
  t.strictSame(
    [DISK_WORK.waitsServed, DISK_WORK.waitsGivenUp].map((counter) => work.counters.value(counter)),
    [4, 2],
  );
});

t.test('a clock that seems to run back counts as no time', async (t) => {
  const { run, partition } = rig();
  run(OP.write, { size: 1 }, 99);
  t.strictSame(partition().slice(3, 6), [1, 1, 0]);
});
