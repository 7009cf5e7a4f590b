/** The node-wide maps of disks and partitions that the Go API calls Disk and SpaceManager, over real shared tables and workers that only answer. */
import t from 'tap';
import { type AttachedPartition, COMMAND, type CommandAnswer, EVENT } from '../../src/partition/messages.js';
import { takeGroupEvent } from '../../src/server/groupEvents.js';
import type { NetworkThread } from '../../src/server/networkThread.js';
import { NodeState } from '../../src/server/nodeState.js';
import type { WorkerHandle } from '../../src/server/workerHandle.js';
import {
  createDiskTable,
  createPartitionTable,
  DiskTable,
  PARTITION_FLAG,
  PartitionTable,
} from '../../src/shm/tables.js';

const GiB = 1024 ** 3;

interface FakeWorker {
  handle: WorkerHandle;
  asked: { kind: number; value: unknown }[];
  answer: CommandAnswer;
}

/** A worker of disk `disk` that answers every command with `answer`. */
function fakeWorker(disk: number): FakeWorker {
  const fake: FakeWorker = {
    asked: [],
    answer: { ok: true, value: null },
    handle: {
      index: disk,
      disk,
      member: 0,
      failure: '',
      port: { refusal: '', hung: false },
      ask: async (kind: number, value: unknown) => {
        fake.asked.push({ kind, value });
        return fake.answer;
      },
    } as unknown as WorkerHandle,
  };
  return fake;
}

function attached(id: number, row: number, sizeBytes: number): AttachedPartition {
  return {
    id,
    volume: 'vol1',
    sizeBytes,
    path: `/d/datapartition_${id}_${sizeBytes}`,
    hosts: ['10.0.0.1:17310'],
    peers: [{ id: 2, addr: '10.0.0.1:17310' }],
    row,
    createType: 0,
  };
}

/** Two disks, /d0 and /d1, of one worker each, without partitions. */
function setUp() {
  const workers = [fakeWorker(0), fakeWorker(1)];
  const disks = createDiskTable(2);
  const workerRows = createDiskTable(2);
  const tables = [createPartitionTable(8), createPartitionTable(8)];
  const routes = new Map<number, unknown>();
  let connections = 0;
  const state = new NodeState(
    { routes } as unknown as NetworkThread,
    workers.map(({ handle }, index) => ({ path: `/d${index}`, handles: [handle] })),
    disks,
    workerRows,
    tables,
    () => connections,
  );
  const space = new DiskTable(disks);
  for (const row of [0, 1]) {
    space.setTotalBytes(row, 100 * GiB);
    space.setAvailableBytes(row, 60 * GiB);
  }
  return {
    state,
    workers,
    space,
    health: new DiskTable(workerRows),
    partitions: tables.map((table) => new PartitionTable(table)),
    routes,
    setConnections: (count: number) => {
      connections = count;
    },
  };
}

t.test('a partition is asked for its files from the moment on that its extents are loaded', async (t) => {
  const { state, workers } = setUp();
  t.strictSame(await state.snapshot(7), { ok: false, message: 'DataPartition(7) not found' });
  state.attach(workers[1]!.handle, attached(7, 0, GiB));
  workers[1]!.answer = { ok: true, value: Buffer.from('[]') };
  t.strictSame(await state.snapshot(7), { ok: true, value: Buffer.from('[]') });
  t.strictSame(workers[1]!.asked, [{ kind: COMMAND.snapshot, value: { partitionId: 7 } }]);
  workers[1]!.answer = { ok: false, message: 'disk has broken' };
  t.match(await state.snapshot(7), { ok: false, message: 'disk has broken' });
});

t.test('a disk is its path, the numbers of its table and the errors of its workers', async (t) => {
  const { state, space, health } = setUp();
  space.setUsedBytes(1, 40 * GiB);
  space.setReservedBytes(1, 5 * GiB);
  health.setReadErrors(1, 3);
  health.setWriteErrors(1, 4);
  t.match(state.disks()[1], {
    path: '/d1',
    total: 100 * GiB,
    used: 40 * GiB,
    available: 60 * GiB,
    reserved: 5 * GiB,
    readErrors: 3,
    writeErrors: 4,
    status: 2,
    responsive: true,
  });
  t.same(
    state.disks().map((disk) => disk.path),
    ['/d0', '/d1'],
  );
});

t.test('attached partitions are allocated on their disk, once', async (t) => {
  const { state, workers, routes } = setUp();
  t.equal(state.attach(workers[0]!.handle, attached(7, 0, 10 * GiB)), null);
  t.equal(state.attach(workers[0]!.handle, attached(7, 0, 10 * GiB)), null);
  t.equal(state.attach(workers[0]!.handle, attached(8, 1, 95 * GiB)), null);
  t.match(state.disks(), [
    { allocated: 105 * GiB, unallocated: 0, partitionCount: 2 },
    { allocated: 0, unallocated: 100 * GiB, partitionCount: 0 },
  ]);
  t.same([...routes.keys()], [7, 8]);
  t.match(state.attach(workers[1]!.handle, attached(7, 0, 10 * GiB)), /partition 7 is on \/d0 too/);
});

t.test('a full disk is read-only, a disk with a broken worker unavailable', async (t) => {
  const { state, workers, space, health } = setUp();
  space.setAvailableBytes(0, 0);
  health.setStatus(1, -1);
  t.same(
    state.disks().map((disk) => disk.status),
    [1, -1],
  );
  health.setStatus(1, 2);
  workers[1]!.handle.failure = 'thread ended';
  t.equal(state.disks()[1]?.status, -1);
});

t.test('a disk that hangs is unavailable and does not answer as long as it hangs', async (t) => {
  const { state, workers } = setUp();
  workers[1]!.handle.port.hung = true;
  t.match(state.disks(), [
    { status: 2, responsive: true },
    { status: -1, responsive: false },
  ]);
  workers[1]!.handle.port.hung = false;
  t.match(state.disks()[1], { status: 2, responsive: true });
});

t.test('a partition is found by id, with the numbers of its table', async (t) => {
  const { state, workers, partitions } = setUp();
  const table = partitions[0]!;
  const row = table.claim(7);
  table.setUsedBytes(row, 123);
  table.setExtentCount(row, 66);
  table.setStatus(row, 2);
  table.setFlags(row, PARTITION_FLAG.leader);
  state.attach(workers[0]!.handle, attached(7, row, 10 * GiB));
  t.same(state.partition(7), {
    id: 7,
    volume: 'vol1',
    sizeBytes: 10 * GiB,
    usedBytes: 123,
    extentCount: 66,
    status: 2,
    path: `/d/datapartition_7_${10 * GiB}`,
    diskPath: '/d0',
    hosts: ['10.0.0.1:17310'],
    peers: [{ id: 2, addr: '10.0.0.1:17310' }],
    replicas: ['10.0.0.1:17310'],
    raftProblem: '',
    isLeader: true,
  });
  t.equal(state.partition(8), undefined);
  t.same(
    state.partitions().map((partition) => partition.id),
    [7],
  );
});

t.test(
  'what raft groups tell: members, why a group does not run, a replica that is gone, alarms',
  async (t) => {
    const { state, workers, routes, partitions } = setUp();
    const raised: unknown[][] = [];
    const alarms = { raise: (...alarm: unknown[]) => void raised.push(alarm) };
    const tell = (worker: number, kind: number, value: unknown): void =>
      takeGroupEvent(state, alarms, workers[worker]!.handle, kind, value);
    state.attach(workers[0]!.handle, attached(7, partitions[0]!.claim(7), GiB));
    const detached: number[] = [];
    state.watch({
      attached: () => undefined,
      detached: (id) => void detached.push(id),
      hosts: () => undefined,
    });
    const hosts = ['10.0.0.1:17310', '10.0.0.2:17310'];
    const peers = hosts.map((addr, at) => ({ id: at + 2, addr }));
    tell(1, EVENT.members, { id: 7, hosts: [], peers: [] });
    tell(0, EVENT.members, { id: 7, hosts, peers });
    t.match(state.partition(7), { hosts, peers }, 'of the worker that has it');
    tell(1, EVENT.raft, { id: 7, reason: 'somebody else’s' });
    tell(0, EVENT.raft, { id: 7, reason: 'its log is damaged' });
    t.equal(state.partition(7)?.raftProblem, 'its log is damaged');
    tell(0, EVENT.raft, { id: 7, reason: '' });
    t.equal(state.partition(7)?.raftProblem, '');
    tell(0, EVENT.alarm, { kind: 'apply', text: '[ApplyRandomWrite] ..' });
    t.same(raised, [['[ApplyRandomWrite] ..', {}, 'apply']]);
    tell(1, EVENT.detached, { id: 7 });
    t.ok(state.partition(7));
    tell(0, EVENT.detached, { id: 7 });
    t.equal(state.partition(7), undefined);
    t.notOk(routes.has(7));
    t.same(detached, [7], 'repair hears of it');
    t.match(state.disks()[0], { allocated: 0, partitionCount: 0 });
  },
);

t.test('a partition is created by the worker of the chosen disk, once', async (t) => {
  const { state, workers } = setUp();
  workers[1]!.answer = { ok: true, value: attached(9, 0, GiB) };
  const request = {
    partitionId: 9,
    sizeBytes: GiB,
    volume: 'vol1',
    members: [],
    hosts: ['10.0.0.1:17310'],
    createType: 0 as const,
  };
  t.same(await state.createPartition(request, '/d1'), { ok: true, value: '/d1' });
  t.equal(state.partition(9)?.diskPath, '/d1');
  t.same(await state.createPartition(request, '/d0'), { ok: true, value: '/d1' });
  t.equal(workers[0]!.asked.length + workers[1]!.asked.length, 1);
});

t.test('a disk that is not configured is an error', async (t) => {
  const { state } = setUp();
  const request = {
    partitionId: 9,
    sizeBytes: GiB,
    volume: 'v',
    members: [],
    hosts: [],
    createType: 0 as const,
  };
  t.same(await state.createPartition(request, '/nowhere'), {
    ok: false,
    message: 'disk(/nowhere) not exsit',
  });
});

t.test('a deleted partition leaves the maps; an unknown one is gone already', async (t) => {
  const { state, workers, routes } = setUp();
  state.attach(workers[0]!.handle, attached(7, 0, GiB));
  t.same(await state.deletePartition(7), { ok: true, value: null });
  t.equal(state.partition(7), undefined);
  t.equal(routes.size, 0);
  t.equal(state.disks()[0]?.partitionCount, 0);
  t.same(await state.deletePartition(7), { ok: true, value: null });
  t.equal(workers[0]!.asked.length, 1);
});

t.test('the number of open connections is told as it is now', async (t) => {
  const { state, setConnections } = setUp();
  setConnections(5);
  t.equal(state.connectionCount(), 5);
  setConnections(0);
  t.equal(state.connectionCount(), 0);
});

t.test(
  'replicas are those of META until the master has listed them; the owner of the partition is told',
  async (t) => {
    const { state, workers } = setUp();
    state.attach(workers[1]!.handle, attached(7, 0, GiB));
    t.strictSame(state.partition(7)?.replicas, ['10.0.0.1:17310']);
    const replicas = ['10.0.0.2:17310', '10.0.0.1:17310'];
    state.setReplicas(7, replicas);
    state.setReplicas(7, replicas);
    t.strictSame(state.partition(7)?.replicas, replicas);
    t.strictSame(state.partition(7)?.hosts, ['10.0.0.1:17310'], 'META is decided by the group');
    t.strictSame(
      workers[1]!.asked,
      [{ kind: COMMAND.setReplicas, value: { partitionId: 7, replicas } }],
      'told when it changes',
    );
    state.setReplicas(8, replicas);
    t.equal(state.partition(8), undefined, 'an unknown one changes nothing');
    t.strictSame(state.partitionIds(), [7]);
  },
);

t.test('LoadDisk twice: a partition that is attached again changes nothing', async (t) => {
  const { state, workers } = setUp();
  t.equal(state.attach(workers[1]!.handle, attached(7, 0, GiB)), null);
  state.setReplicas(7, ['10.0.0.2:17310']);
  t.equal(state.attach(workers[1]!.handle, attached(7, 0, GiB)), null);
  t.match(state.disks()[1], { allocated: GiB, partitionCount: 1 });
  t.strictSame(state.partition(7)?.replicas, ['10.0.0.2:17310']);
  t.strictSame([...state.attachments()], [[7, 1]]);
  t.match(
    state.attach(workers[0]!.handle, attached(7, 0, GiB)),
    /^partition 7 is on \/d1 too; this copy is ignored$/,
    'nor does a second copy on another disk',
  );
  t.match(state.disks()[0], { allocated: 0, partitionCount: 0 });
});

t.test(
  'what a group has decided changes the list of replicas that the master has told, and none before',
  async (t) => {
    const { state, workers } = setUp();
    const { handle } = workers[1]!;
    const told: unknown[] = [];
    const nothing = (): void => {};
    state.watch({ attached: nothing, detached: (id) => told.push(id), hosts: (...args) => told.push(args) });
    state.attach(handle, attached(7, 0, GiB));
    const [a, b, c, d] = [1, 2, 3, 4].map((last) => `10.0.0.${last}:17310`) as [
      string,
      string,
      string,
      string,
    ];
    const peers = [{ id: 2, addr: a }];
    state.setMembers(handle, { id: 7, hosts: [a, b], peers });
    t.strictSame([state.partition(7)!.replicas, told], [[a], []], 'it was not told yet');
    state.setReplicas(7, [b, a, c]);
    state.setMembers(handle, { id: 7, hosts: [a, b, d], peers });
    t.strictSame(state.partition(7)!.replicas, [b, a, d], 'in the order of the master, the new one last');
    t.strictSame(told, [
      [7, [b, a, c]],
      [7, [b, a, d]],
    ]);
    state.setMembers(workers[0]!.handle, { id: 7, hosts: [a], peers });
    t.strictSame(state.partition(7)!.hosts, [a, b, d], 'only by its own worker');
    state.detach(workers[0]!.handle, 7);
    t.ok(state.partition(7));
    state.detach(handle, 7);
    t.equal(state.partition(7), undefined);
    t.equal(told.at(-1), 7, 'repair has forgotten it too');
    t.match(state.disks()[1], { partitionCount: 0, allocated: 0 });
  },
);

t.test(
  'changes of members go to the worker of the partition; what it says of the leader comes back',
  async (t) => {
    const { state, workers } = setUp();
    const nobody = { id: 0, addr: '' };
    const change = { partitionId: 7, addPeer: { id: 9, addr: '10.0.0.9:1' }, removePeer: nobody };
    t.strictSame(await state.changeMembers('add', change), {
      ok: false,
      message: 'data partition not exists',
    });
    t.strictSame(await state.tryToLead(7), { ok: false, message: 'partition 7 not exsit' });
    state.attach(workers[1]!.handle, attached(7, 0, GiB));
    workers[1]!.answer = { ok: true, value: { leader: '10.0.0.2:17310' } };
    t.strictSame(await state.changeMembers('add', change), { ok: true, value: '10.0.0.2:17310' });
    t.strictSame(await state.tryToLead(7), { ok: true, value: null });
    workers[1]!.answer = { ok: false, message: 'no raft leader' };
    t.strictSame(await state.changeMembers('add', change), { ok: false, message: 'no raft leader' });
    t.strictSame(workers[1]!.asked.slice(0, 2), [
      { kind: COMMAND.changeMembers, value: { kind: 'add', change } },
      { kind: COMMAND.tryToLead, value: { id: 7 } },
    ]);
  },
);
