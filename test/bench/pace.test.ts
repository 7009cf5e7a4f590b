/** Open-loop schedules, the gate between reads and writes, and how connections are divided. */
import t from 'tap';
import { KIND } from '../../bench/kinds.js';
import { MixGate, OpenLoopSchedule } from '../../bench/pace.js';
import { classConnections, defaultThreads, divide } from '../../bench/topology.js';

t.test('operations fall due at even intervals', async (t) => {
  const schedule = new OpenLoopSchedule(1000, 100);
  t.notOk(schedule.due(99.9));
  t.ok(schedule.due(100));
  schedule.take(100);
  t.notOk(schedule.due(100.5));
  t.ok(schedule.due(101));
});

t.test('an operation sent at the next tick counts from when it was sent', async (t) => {
  const schedule = new OpenLoopSchedule(1000, 100);
  schedule.ticked(99.5);
  t.equal(schedule.take(100.6), 100.6);
});

t.test('an operation held back by the server counts from its intended start', async (t) => {
  const schedule = new OpenLoopSchedule(1000, 100);
  // The tick at 100.5 found no free slot: 400 ms later the server answers, and the backlog is sent.
  schedule.ticked(100.5);
  t.equal(schedule.take(500), 100);
  t.equal(schedule.take(500), 101);
  schedule.ticked(500);
  t.equal(schedule.overdue(), 399, 'due from 102 to 500');
});

t.test('a tick that comes far too late is charged, too', async (t) => {
  const schedule = new OpenLoopSchedule(1000, 100);
  t.equal(schedule.take(150), 100);
});

t.test('the gate keeps two classes in proportion and never blocks both', async (t) => {
  for (const share of [
    [50, 50],
    [90, 10],
    [1, 99],
  ] as const) {
    const gate = new MixGate(share, 8);
    const sent = [0, 0];
    for (let step = 0; step < 10_000; step++) {
      // The faster class is always tried first.
      const side = gate.maySend(0) ? 0 : 1;
      if (!gate.maySend(side)) t.fail('one class may always send');
      gate.sent(side);
      sent[side]!++;
    }
    const wanted = (10_000 * share[0]) / (share[0] + share[1]);
    t.ok(Math.abs(sent[0]! - wanted) <= 10, `${share}: ${sent}`);
  }
});

t.test('connections are divided by class, thread and partition', async (t) => {
  const mix = [
    [KIND.write, 75],
    [KIND.read, 25],
  ] as const;
  t.same(classConnections(mix, 8), { append: 6, read: 2 });
  t.same(classConnections(mix, 2), { append: 1, read: 1 }, 'at least one of each');
  t.same(classConnections([[KIND.read, 100]], 3), { append: 0, read: 3 });
  const settings = { conns: 8, extents: 2, mix, rate: 800, threads: 4, volume: null };
  const workers = divide(settings, [{ hosts: ['a:1'], partitions: [1, 2, 3], leaders: [0, 0, 0] }]);
  t.equal(workers.length, 2, 'every thread needs a connection of each class');
  for (const worker of workers) {
    t.same(
      worker.map((part) => part.class),
      ['append', 'append', 'append', 'read'],
    );
  }
  const all = workers.flat();
  t.same(all.map((part) => part.index).sort(), [0, 1, 2, 3, 4, 5, 6, 7]);
  t.same(all.find((part) => part.index === 1)!.lanePartitions, [3, 1], 'partitions in turn over all extents');
  const rate = all.reduce((sum, part) => sum + part.ratePerSecond!, 0);
  t.ok(Math.abs(rate - 800) < 1e-9, 'the rates add up');
});

t.test(
  'host lists take turns in each class, and so do the partitions of a list and the replicas read from',
  async (t) => {
    const mix = [
      [KIND.write, 50],
      [KIND.followerread, 50],
    ] as const;
    const lists = [
      { hosts: ['a:1', 'b:1'], partitions: [1, 3, 5], leaders: [0, 0, 0] },
      { hosts: ['b:1', 'a:1'], partitions: [2], leaders: [0] },
    ];
    const all = divide({ conns: 8, extents: 1, mix, rate: null, threads: 1, volume: 'demo' }, lists).flat();
    for (const name of ['append', 'read']) {
      const some = all.filter((part) => part.class === name);
      t.same(
        some.map((part) => part.list),
        [0, 1, 0, 1],
        name,
      );
      t.same(
        some.map((part) => part.replica),
        [0, 0, 1, 1],
        name,
      );
      for (const { list, lanePartitions } of some)
        t.ok(lanePartitions.every((id) => lists[list]!.partitions.includes(id)));
    }
    t.same(
      all.filter((part) => part.list === 0).map((part) => part.lanePartitions[0]),
      [1, 3, 5, 1],
      'all partitions of the list',
    );
  },
);

t.test('the default leaves half of the cores to the node', async (t) => {
  t.equal(defaultThreads(4, 2), 1);
  t.equal(defaultThreads(4, 1), 1);
  t.equal(defaultThreads(64, 64), 4);
  t.equal(defaultThreads(1, 64), 1);
});

t.test(
  'what goes to raft leaders: each connection on one partition of a cluster, whatever its extents',
  async (t) => {
    const lists = [
      { hosts: ['a:1', 'b:1'], partitions: [1, 3, 5], leaders: [0, 1, 0] },
      { hosts: ['b:1', 'a:1'], partitions: [2], leaders: [0] },
    ];
    for (const kind of [KIND.randwrite, KIND.syncrandwrite, KIND.read]) {
      const settings = { conns: 8, extents: 2, mix: [[kind, 100]] as const, rate: null, threads: 1 };
      const lanes = (volume: string | null) =>
        divide({ ...settings, volume }, lists)
          .flat()
          .map(({ lanePartitions }) => lanePartitions.join());
      t.same(lanes('demo'), ['1,1', '2,2', '3,3', '2,2', '5,5', '2,2', '1,1', '2,2']);
      t.same(
        lanes(null),
        ['1,3', '2,2', '5,1', '2,2', '3,5', '2,2', '1,3', '2,2'],
        'one node is all there is',
      );
    }
  },
);
