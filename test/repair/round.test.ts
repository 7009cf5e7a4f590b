/** Rounds and tasks on replicas that are maps of sizes: they converge, and whatever fails is named and harms nothing else. */
import fc from 'fast-check';
import t from 'tap';
import type { ExtentInfo } from '../../src/protocol/extentInfo.js';
import type { RepairTask } from '../../src/protocol/repairTask.js';
import { runMemberTask } from '../../src/repair/memberTask.js';
import { type RoundPeers, type RoundReplica, type RoundReport, runRound } from '../../src/repair/round.js';

/** One replica: sizes by extent id, and how it fails. */
class FakeReplica implements RoundReplica {
  readonly sizes = new Map<number, number>();
  readonly deleted = new Set<number>();
  readonly given: { good: readonly number[]; bad: readonly number[] }[] = [];
  readonly syncs: [leader: string, bytes: number][] = [];
  listFails = '';
  /** Extents whose fetch fails here. */
  readonly broken = new Set<number>();
  running = 0;
  mostRunning = 0;

  readonly address: string;
  private readonly all: () => Map<string, FakeReplica>;

  constructor(address: string, all: () => Map<string, FakeReplica>) {
    this.address = address;
    this.all = all;
  }

  async list(tinyIds: readonly number[] | null): Promise<{ extents: ExtentInfo[]; tinyDeleteBytes: number }> {
    if (this.listFails !== '') throw new Error(this.listFails);
    const wanted = [...this.sizes].filter(([id]) => (tinyIds === null ? id > 64 : tinyIds.includes(id)));
    const extents = wanted.map(([fileId, size]) => ({
      fileId,
      size,
      crc: 0,
      deleted: false,
      modTime: 0,
      source: '',
    }));
    return { extents, tinyDeleteBytes: 72 };
  }

  isDeleted(id: number): boolean {
    return this.deleted.has(id);
  }

  async create(id: number): Promise<void> {
    if (this.sizes.has(id)) throw new Error('extent already exists');
    this.sizes.set(id, 0);
  }

  async fetch({ fileId, size, source }: ExtentInfo): Promise<void> {
    this.running += 1;
    this.mostRunning = Math.max(this.mostRunning, this.running);
    await Promise.resolve();
    this.running -= 1;
    if (this.broken.has(fileId)) throw new Error('disk full');
    const own = this.sizes.get(fileId);
    if (own === undefined) throw new Error('extent does not exist');
    const there = this.all().get(source)?.sizes.get(fileId) ?? -1;
    if (there < size) throw new Error('EOF');
    if (own < size) this.sizes.set(fileId, size);
  }

  async giveBack(good: readonly number[], bad: readonly number[]): Promise<void> {
    this.given.push({ good, bad });
  }

  async syncTinyDeletes(leader: string, bytes: number): Promise<void> {
    if (this.broken.has(-1)) throw new Error('no records');
    this.syncs.push([leader, bytes]);
  }
}

interface Cluster {
  replicas: FakeReplica[];
  peers: RoundPeers;
  tasks: RepairTask[];
}

function cluster(...sizes: Record<number, number>[]): Cluster {
  const byAddress = new Map<string, FakeReplica>();
  const replicas = sizes.map((own, i) => {
    const replica = new FakeReplica(`10.0.0.${i + 1}:17310`, () => byAddress);
    for (const [id, size] of Object.entries(own)) replica.sizes.set(Number(id), size);
    byAddress.set(replica.address, replica);
    return replica;
  });
  const tasks: RepairTask[] = [];
  const peers: RoundPeers = {
    list: async (address, tinyIds) => (await byAddress.get(address)!.list(tinyIds)).extents,
    async notify(address, task) {
      tasks.push(task);
      await runMemberTask(task, byAddress.get(address)!, 3);
    },
  };
  return { replicas, peers, tasks };
}

function round({ replicas, peers }: Cluster, tinyIds: number[] | null = null): Promise<RoundReport> {
  const hosts = replicas.map(({ address }) => address);
  return runRound({ partitionId: 7, hosts, tinyIds, fetchesMax: 3 }, replicas[0]!, peers);
}

const sizesOf = ({ replicas }: Cluster): Record<number, number>[] =>
  replicas.map(({ sizes }) => Object.fromEntries([...sizes].sort(([a], [b]) => a - b)));

t.test('after one round all replicas have the longest copy of each extent', async (t) => {
  const three = cluster({ 1025: 100, 1026: 7 }, { 1025: 300 }, { 1025: 200, 1027: 9 });
  const report = await round(three);
  const all = { 1025: 300, 1026: 7, 1027: 9 };
  t.same(sizesOf(three), [all, all, all]);
  t.match(report, { absent: [], failedTasks: [], failedFetchCount: 0, entries: 6, leftOut: 0, nonsense: 0 });
  t.same(
    three.replicas.map(({ syncs }) => syncs.length),
    [0, 1, 1],
    'every task brings the tiny deletes, none to this node',
  );
  t.same(three.tasks[0]!.leaderAddr, '10.0.0.1:17310');
  t.equal(three.tasks[0]!.leaderTinyDeleteRecordFileSize, 72);
});

t.test('a member that does not answer is left out and named; the others are repaired', async (t) => {
  const three = cluster({ 1025: 100 }, {}, { 1025: 300 });
  three.replicas[1]!.listFails = 'connect ECONNREFUSED';
  const report = await round(three);
  t.same(sizesOf(three), [{ 1025: 300 }, {}, { 1025: 300 }]);
  t.same(report.absent, [{ address: '10.0.0.2:17310', reason: 'connect ECONNREFUSED' }]);
});

t.test(
  'tiny extents always come back: good when all hosts agree, bad otherwise, bad when the round fails',
  async (t) => {
    const torn = cluster({ 1: 4096, 2: 8192 }, { 1: 4096, 2: 4096 });
    torn.replicas[1]!.broken.add(2);
    const first = await round(torn, [1, 2]);
    t.same(torn.replicas[0]!.given, [
      { good: [1], bad: [] },
      { good: [], bad: [2] },
    ]);
    t.same([first.good, first.bad], [1, 1]);
    torn.replicas[1]!.broken.clear();
    await round(torn, [2]);
    t.same(torn.replicas[0]!.given.slice(2), [{ good: [2], bad: [] }], 'the next round repairs it');
    const absent = cluster({ 1: 4096 }, { 1: 4096 }, { 1: 4096 });
    absent.replicas[2]!.listFails = 'gone';
    await round(absent, [1]);
    t.same(absent.replicas[0]!.given, [{ good: [], bad: [1] }]);
    const broken = cluster({ 1: 4096 }, { 1: 4096 });
    broken.replicas[0]!.listFails = 'partition is gone';
    await t.rejects(round(broken, [1]), /partition is gone/);
    t.same(broken.replicas[0]!.given, [{ good: [], bad: [1] }]);
  },
);

t.test(
  'what was made equal is writable when the round ends, what was equal before it does anything',
  async (t) => {
    const two = cluster({ 1: 4096, 2: 8192, 3: 0, 4: 0 }, { 1: 4096, 2: 4096, 3: 4096, 4: 0 });
    const [primary] = two.replicas;
    const { notify } = two.peers;
    two.peers.notify = async (address, task) => {
      t.same(primary!.given, [{ good: [1, 4], bad: [] }], 'nobody waits for fetches of others');
      await notify(address, task);
    };
    const report = await round(two, [1, 2, 3, 4]);
    t.same(primary!.given, [
      { good: [1, 4], bad: [] },
      { good: [2, 3], bad: [] },
    ]);
    t.same([report.good, report.bad, report.entries], [4, 0, 2]);
  },
);

t.test('nobody looks again where it cannot help', async (t) => {
  const lists = async (change: (some: Cluster) => unknown): Promise<number> => {
    const three = cluster({ 2: 8192 }, { 2: 4096 }, { 2: 8192 });
    let asked = 0;
    const { list } = three.peers;
    three.peers.list = (address, ids) => {
      asked += 1;
      return list(address, ids);
    };
    change(three);
    const report = await round(three, [2]);
    t.same([report.good, report.bad, three.replicas[0]!.given], [0, 1, [{ good: [], bad: [2] }]]);
    return asked;
  };
  const failed = new Error('no reply for 30 minutes');
  t.equal(
    await lists(({ peers }) => Object.assign(peers, { notify: () => Promise.reject(failed) })),
    2,
    'still at it',
  );
  t.equal(await lists(({ replicas }) => Object.assign(replicas[2]!, { listFails: 'gone' })), 2, 'absent');
  t.equal(await lists(({ replicas }) => replicas[1]!.sizes.delete(2)), 2, 'nothing was to be done');
  t.equal(await lists(({ replicas }) => replicas[1]!.broken.add(2)), 4);
});

t.test('a fetch that fails is named, and the others go on', async (t) => {
  const two = cluster({ 1025: 1, 1026: 1 }, { 1025: 5, 1026: 5 });
  two.replicas[0]!.broken.add(1025);
  const report = await round(two);
  t.same(sizesOf(two)[0], { 1025: 1, 1026: 5 });
  t.same(report.failedFetches, [{ extentId: 1025, reason: 'disk full' }]);
});

t.test('a notification that fails is named', async (t) => {
  const two = cluster({ 1025: 5 }, {});
  two.peers.notify = () => Promise.reject(new Error('no reply for 30 minutes'));
  const report = await round(two);
  t.same(report.failedTasks, [{ address: '10.0.0.2:17310', reason: 'no reply for 30 minutes' }]);
});

t.test('fetches are bounded', async (t) => {
  const many = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [1025 + i, 5]));
  const two = cluster({}, many);
  await round(two);
  t.same(two.replicas[0]!.sizes.size, 40);
  t.equal(two.replicas[0]!.mostRunning, 3);
});

t.test('a task of a Go first host, which names what is to be created twice, is fetched once', async (t) => {
  const two = cluster({ 1025: 5 }, {});
  const entry = { fileId: 1025, size: 5, crc: 0, deleted: false, modTime: 0, source: '10.0.0.1:17310' };
  const smaller = { ...entry, size: 3 };
  const task: RepairTask = {
    taskType: 0,
    extentsToBeCreated: [entry],
    extentsToBeRepaired: [smaller, entry, entry],
    leaderTinyDeleteRecordFileSize: 0,
    leaderAddr: '10.0.0.1:17310',
  };
  const report = await runMemberTask(task, two.replicas[1]!, 3);
  t.same([report.fetched, report.failedCount, sizesOf(two)[1]], [1, 0, { 1025: 5 }]);
});

t.test('a member makes neither what was deleted here for good nor a tiny extent', async (t) => {
  const two = cluster({ 1025: 5, 1: 4096 }, {});
  const [, member] = two.replicas;
  member!.deleted.add(1025);
  const entry = (fileId: number): ExtentInfo => ({
    ...{ fileId, size: 4096, crc: 0, deleted: false, modTime: 0 },
    source: '10.0.0.1:17310',
  });
  const task: RepairTask = {
    ...{ taskType: 0, leaderTinyDeleteRecordFileSize: 24, leaderAddr: 'x' },
    extentsToBeCreated: [entry(1025), entry(1)],
    extentsToBeRepaired: [entry(1025), entry(1)],
  };
  const report = await runMemberTask(task, member!, 3);
  t.same(sizesOf(two)[1], {});
  t.same(report.failed, [{ extentId: 1, reason: 'extent does not exist' }]);
  t.equal(report.deletesFailed, null);
});

t.test('tiny deletes that cannot be had are told, after everything else was done', async (t) => {
  const two = cluster({ 1025: 5 }, {});
  two.replicas[1]!.broken.add(-1);
  const task: RepairTask = {
    ...{ taskType: 0, leaderTinyDeleteRecordFileSize: 24, leaderAddr: 'x', extentsToBeRepaired: [] },
    extentsToBeCreated: [
      { fileId: 1025, size: 5, crc: 0, deleted: false, modTime: 0, source: '10.0.0.1:17310' },
    ],
  };
  const report = await runMemberTask(task, two.replicas[1]!, 3);
  t.match(report, { fetched: 1, deletesFailed: 'no records' });
});

t.test('rounds converge from any sizes, whoever is absent for a while', async (t) => {
  const sizes = fc.dictionary(
    fc.constantFrom('1025', '1026', '1027', '1028'),
    fc.integer({ min: 1, max: 9 }),
  );
  const check = await fc.check(
    fc.asyncProperty(
      fc.array(sizes, { minLength: 2, maxLength: 5 }),
      fc.nat({ max: 4 }),
      async (all, absent) => {
        const some = cluster(...all);
        const victim = some.replicas[absent];
        if (absent > 0 && victim !== undefined) victim.listFails = 'away';
        await round(some);
        if (victim !== undefined) victim.listFails = '';
        await round(some);
        const [first, ...others] = sizesOf(some).map((one) => JSON.stringify(one));
        return others.every((one) => one === first);
      },
    ),
    { numRuns: 500 },
  );
  t.notOk(check.failed, JSON.stringify(check.counterexample));
});
