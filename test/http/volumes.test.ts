/** Volumes of partitions: how seldom main is asked for them, and sums that never go down. */
import t from 'tap';
import { ASK_INTERVAL_MS, type NamedPartition, Volumes } from '../../src/http/volumes.js';
import { createPartitionTable, PARTITION_COUNT, PartitionTable } from '../../src/shm/tables.js';

class Rig {
  nowMs = 0;
  asked = 0;
  names: readonly NamedPartition[] | null = [];
  readonly table = new PartitionTable(createPartitionTable(8));
  readonly volumes = new Volumes(
    [{ diskPath: '/d', table: this.table }],
    async () => {
      this.asked++;
      return this.names;
    },
    () => this.nowMs,
  );

  reads(volume: string): number | undefined {
    return this.volumes.look().volumes.get(volume)?.counts.get(PARTITION_COUNT.readOps);
  }

  /** Looks after `ms`. */
  async after(ms: number): Promise<void> {
    this.nowMs += ms;
    await this.volumes.refresh();
    this.volumes.look();
  }
}

t.test('main is asked once, and again only when a table has changed, and seldom', async (t) => {
  const rig = new Rig();
  rig.names = [[1, '/d', 'v']];
  rig.table.claim(1);
  for (let scrape = 0; scrape < 1_000; scrape++) await rig.after(ASK_INTERVAL_MS);
  t.equal(rig.asked, 1, 'nothing has changed');
  rig.names = [
    [1, '/d', 'v'],
    [2, '/d', 'v'],
  ];
  rig.table.claim(2);
  await rig.after(1);
  t.equal(rig.asked, 2);
  t.equal(rig.volumes.look().volumes.get('v')!.partitions, 2);
  for (let change = 0; change < 100; change++) {
    rig.table.free(rig.table.claim(3));
    await rig.after(1);
  }
  t.equal(rig.asked, 2, 'a hundred changes within the interval');
  await rig.after(ASK_INTERVAL_MS);
  t.equal(rig.asked, 3);
});

t.test('a partition that main did not know yet is asked for again', async (t) => {
  const rig = new Rig();
  rig.table.claim(1);
  await rig.after(0);
  t.strictSame([...rig.volumes.look().volumes], [], 'not made up');
  rig.names = [[1, '/d', 'v']];
  await rig.after(ASK_INTERVAL_MS - 1);
  t.equal(rig.asked, 1);
  await rig.after(1);
  t.equal(rig.asked, 2);
  t.equal(rig.volumes.look().volumes.get('v')!.partitions, 1);
});

t.test('no answer: what was known stays, and main is asked again after the interval', async (t) => {
  const rig = new Rig();
  rig.names = [[1, '/d', 'v']];
  rig.table.claim(1);
  await rig.after(0);
  rig.names = null;
  rig.table.claim(2);
  await rig.after(ASK_INTERVAL_MS);
  await rig.after(ASK_INTERVAL_MS);
  t.equal(rig.asked, 3);
  t.equal(rig.volumes.look().volumes.get('v')!.partitions, 1);
});

t.test('an answer that does not come holds a page up for a moment only', async (t) => {
  const table = new PartitionTable(createPartitionTable(1));
  table.claim(1);
  let asked = 0;
  let answer: (names: readonly NamedPartition[]) => void = () => {};
  const ask = (): Promise<readonly NamedPartition[]> => {
    asked++;
    return new Promise((resolve) => {
      answer = resolve;
    });
  };
  let nowMs = 0;
  const volumes = new Volumes([{ diskPath: '/d', table }], ask, () => (nowMs += ASK_INTERVAL_MS));
  await volumes.refresh();
  t.equal(volumes.look().volumes.size, 0, 'the page goes without');
  await volumes.refresh();
  t.equal(asked, 1, 'one question at a time');
  answer([[1, '/d', 'v']]);
  await volumes.refresh();
  t.equal(volumes.look().volumes.size, 1);
});

t.test('a volume’s sums do not fall when a partition goes, or comes back', async (t) => {
  const rig = new Rig();
  rig.names = [
    [1, '/d', 'v'],
    [2, '/d', 'v'],
  ];
  const one = rig.table.claim(1);
  const two = rig.table.claim(2);
  rig.table.count(one, PARTITION_COUNT.readOps, 100);
  rig.table.count(two, PARTITION_COUNT.readOps, 10);
  await rig.after(0);
  t.equal(rig.reads('v'), 110);
  t.equal(rig.reads('v'), 110, 'looking twice adds nothing');
  rig.table.count(two, PARTITION_COUNT.readOps, 5);
  t.equal(rig.reads('v'), 115);
  rig.table.free(one);
  t.equal(rig.reads('v'), 115);
  t.equal(rig.volumes.look().volumes.get('v')!.partitions, 1);
  const again = rig.table.claim(1);
  rig.table.count(again, PARTITION_COUNT.readOps, 7);
  t.equal(rig.reads('v'), 122, 'a new life begins at 0');
  rig.table.free(again);
  const last = rig.table.claim(1);
  rig.table.count(last, PARTITION_COUNT.readOps, 3);
  t.equal(rig.reads('v'), 125, 'also between two looks');
});
