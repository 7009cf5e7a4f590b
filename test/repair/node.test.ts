/** The repair thread as a whole on the test's own thread: when rounds run, what is told of them, changed settings, partitions that go, the stop. */
import { crc32 } from 'node:zlib';
import t, { type Test } from 'tap';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import { PARTITION_INFO_BYTES, writePartitionInfo } from '../../src/partition/internalRecords.js';
import { JUDGED } from '../../src/partition/waitingBlocks.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeUint64Body } from '../../src/protocol/queries.js';
import {
  oldestRoundAt,
  REPAIR_COUNTER,
  type RepairEvent,
  type RepairSettings,
  type RepairView,
  repairCounterNames,
} from '../../src/repair/messages.js';
import { RepairNode } from '../../src/repair/repairNode.js';
import { Counters, createCounters } from '../../src/shm/counters.js';
import { FakePeer } from '../support/fakePeer.js';
import { until } from '../support/until.js';
import { type Given, portsAndWorkers, repairMemory, type Taken } from './repairWorker.js';

const OWN = '10.0.0.1:17310';
const SETTINGS: RepairSettings = {
  ...{ enabled: true, roundsPerDisk: 1, rounds: 4, fetchesPerRound: 2, bytesPerSecond: 0 },
};
/** An empty partition with 64 equal tiny extents. */
const INFO = {
  ...{ tinyDeletePosition: 0, tinyDeleteEnd: 24, createType: 0, hosts: 2, extents: 64, extentIdMax: 64 },
  ...{
    sizeBytes: 0,
    deletedIds: 0,
    tinyAvailable: 60,
    tinyWriting: 1,
    tinyBroken: 3,
    tinyRepairing: 0,
    status: 2,
  },
};

function answerOf({ opcode }: Taken): Given {
  switch (opcode) {
    case INTERNAL_OP.describe: {
      const body = new Uint8Array(PARTITION_INFO_BYTES);
      writePartitionInfo(new DataView(body.buffer), 0, INFO);
      return { body };
    }
    case INTERNAL_OP.takeTiny:
      return { body: Uint8Array.of(3, 4) };
    case INTERNAL_OP.listExtents:
    case INTERNAL_OP.listDeleted:
      return { extentOffset: -1 };
    default:
      return {};
  }
}

async function rig(t: Test, change: Partial<RepairSettings> = {}) {
  const { ports, workers } = portsAndWorkers(repairMemory(1, 32, 16));
  const peer = await FakePeer.start(t);
  const counters = new Counters(createCounters(repairCounterNames(1)));
  const events: RepairEvent[] = [];
  const asked: number[] = [];
  const judged: string[] = [];
  const clock = { ms: 1_000 };
  /** `answers`: what a test has to say to a question; null: the ordinary answer. `told`: indexes that all have applied. */
  const worker = { answers: (_taken: Taken): Given | null => null, told: [] as number[] };
  const node = new RepairNode({
    ...{ ports, counters, diskPaths: ['/d'], address: OWN, settings: { ...SETTINGS, ...change } },
    crc32: (data) => crc32(data),
    nowMs: () => performance.now() + clock.ms,
    wallMs: () => Date.now(),
    post: (event) => events.push(event),
  });
  const timer = setInterval(() => {
    for (const taken of [...workers[0]!.take()]) {
      asked.push(taken.opcode);
      const { extentId, extentOffset, size } = taken;
      if (taken.opcode === INTERNAL_OP.blockJudged) judged.push(`${extentId}/${extentOffset} ${size}`);
      workers[0]!.answer(taken, worker.answers(taken) ?? answerOf(taken));
    }
  }, 1);
  t.teardown(async () => {
    node.take({ type: 'stop' });
    await until('the stop', () => events.some(({ type }) => type === 'stopped'));
    clearInterval(timer);
  });
  const view = (): RepairView => {
    node.take({ type: 'view', number: 1, id: null });
    return (events.pop() as RepairEvent & { type: 'view' }).view;
  };
  node.take({
    type: 'attached',
    partition: { id: 7, worker: 0, disk: 0, hosts: [OWN, peer.address], createType: 0 },
  });
  return { node, peer, counters, events, asked, judged, clock, view, worker };
}

const notifications = ({ asked }: FakePeer): number =>
  asked.filter(({ opcode }) => opcode === OP.notifyReplicasToRepair).length;

t.test(
  'rounds of both kinds as soon as the master has told the hosts, and a minute apart then',
  async (t) => {
    const { node, peer, counters, asked, clock, view } = await rig(t);
    await until('rounds before this thread are forgotten', () => asked.includes(INTERNAL_OP.forgetRounds));
    t.equal(view().partitions[0]!.role, 'unknown');
    t.equal(peer.asked.length, 0, 'META makes no first host');
    node.take({ type: 'hosts', id: 7, hosts: [OWN, peer.address] });
    await until('both rounds', () => counters.value(REPAIR_COUNTER.tinyRounds) === 1);
    t.equal(notifications(peer), 2, 'also where nothing is to be repaired');
    const task = JSON.parse(
      peer.asked.find(({ opcode }) => opcode === OP.notifyReplicasToRepair)!.body.toString(),
    );
    t.match(task, { TaskType: 0, LeaderTinyDeleteRecordFileSize: 24, LeaderAddr: OWN });
    t.match(view(), {
      roundsRunning: 0,
      partitionCount: 1,
      partitions: [
        {
          id: 7,
          role: 'primary',
          running: null,
          lastNormal: { failure: '' },
          lastTiny: { report: { absent: [], bad: 2 } },
        },
      ],
    });
    clock.ms += 61_000;
    await until('the next round', () => counters.value(REPAIR_COUNTER.normalRounds) === 2);
    t.equal(counters.value(REPAIR_COUNTER.tinyRounds), 1);
    await until('the gauges', () => counters.value(REPAIR_COUNTER.tinyAvailable) === 60);
    t.equal(counters.value(REPAIR_COUNTER.tinyBroken), 3);
    await until('the age of the last round', () => counters.value(oldestRoundAt(0)) < 60);
  },
);

t.test('rounds end with the age of the list, and with repair.enabled; tasks of others do not', async (t) => {
  const { node, peer, counters, events, clock, view } = await rig(t, { enabled: false });
  node.take({ type: 'hosts', id: 7, hosts: [OWN, peer.address] });
  const body = Buffer.from('{"TaskType":0,"LeaderAddr":"10.0.0.9:1"}');
  node.take({ type: 'task', number: 5, id: 7, body });
  node.take({ type: 'task', number: 6, id: 8, body });
  await until('the tasks', () => events.filter(({ type }) => type === 'answer').length === 2);
  t.match(
    events.find((event) => event.type === 'answer' && event.number === 5),
    { failure: null },
  );
  t.match(
    events.find((event) => event.type === 'answer' && event.number === 6),
    { failure: 'data partition not exists' },
  );
  t.equal(notifications(peer), 0);
  node.take({ type: 'settings', settings: SETTINGS });
  await until('both rounds', () => counters.value(REPAIR_COUNTER.tinyRounds) === 1);
  clock.ms += 16 * 60_000;
  node.take({ type: 'settings', settings: SETTINGS });
  t.match(view(), { roundsRunning: 0, partitions: [{ role: 'unknown' }] }, 'the list is too old');
  t.equal(counters.value(REPAIR_COUNTER.normalRounds), 1);
  node.take({ type: 'hosts', id: 7, hosts: [OWN, peer.address] });
  await until('a fresh list', () => counters.value(REPAIR_COUNTER.normalRounds) === 2);
});

t.test('what reads wait for gets an answer; of a partition that is gone nobody waits', async (t) => {
  const { node, judged } = await rig(t);
  node.take({ type: 'damaged', place: { partitionId: 8, extentId: 1, block: 0 } });
  node.take({ type: 'damaged', place: { partitionId: 7, extentId: 1025, block: 2 } });
  await until('the answer', () => judged.length > 0);
  t.same(judged, [`1025/${2 * 131_072} ${JUDGED.notLooked}`], 'its hosts are not known yet');
});

t.test('a member that is back has a round of both kinds at once, and a minute of rest then', async (t) => {
  const { node, peer, counters, clock } = await rig(t);
  const rounds = (): number[] =>
    [REPAIR_COUNTER.normalRounds, REPAIR_COUNTER.tinyRounds].map((index) => counters.value(index));
  peer.answer = (_asked, socket) => {
    socket.destroy();
    return [];
  };
  node.take({ type: 'hosts', id: 7, hosts: [OWN, peer.address] });
  await until('it is missed', () => counters.value(REPAIR_COUNTER.absentMembers) === 1);
  t.same(rounds(), [1, 1]);
  peer.answer = () => undefined;
  clock.ms += 61_000;
  await until('both rounds', () => String(rounds()) === '2,2');
  await until('nobody is absent', () => counters.value(REPAIR_COUNTER.absentMembers) === 0);
  t.same(rounds(), [2, 2]);
  clock.ms += 61_000;
  await until('the next round', () => String(rounds()) === '3,2');
});

t.test(
  'an absent member is named and counted, a worker that is gone ends the rounds of its partitions',
  async (t) => {
    const { node, peer, counters, events, clock, view } = await rig(t);
    peer.stop();
    node.take({ type: 'hosts', id: 7, hosts: [OWN, peer.address] });
    await until('both rounds', () => counters.value(REPAIR_COUNTER.tinyRounds) === 1);
    t.match(view().partitions[0]!.lastTiny!.report, {
      absent: [{ address: peer.address, reason: /ECONNREFUSED/ }],
      good: 0,
      bad: 2,
    });
    await until('the gauge', () => counters.value(REPAIR_COUNTER.absentMembers) === 1);
    t.ok(
      events.some((event) => event.type === 'log' && event.message === 'a replica takes no part in repair'),
    );
    node.take({ type: 'workerGone', index: 0, reason: 'disk has broken' });
    clock.ms += 61_000;
    await until('a round that fails', () => counters.value(REPAIR_COUNTER.failedRounds) === 1);
    t.match(view().partitions[0]!.lastNormal, { report: null, failure: 'disk has broken' });
    node.take({ type: 'detached', id: 7 });
    t.equal(view().partitionCount, 0);
  },
);

t.test('who leads a group asks all hosts what they have applied, and tells all the least', async (t) => {
  const { node, peer, counters, clock, view, worker } = await rig(t);
  worker.answers = ({ opcode, body }) => {
    if (opcode === OP.broadcastMinAppliedId) worker.told.push(Number(body.readBigUInt64BE()));
    return opcode === INTERNAL_OP.raftState ? { extentOffset: 90, remainingBytes: 95, holeBytes: 1 } : null;
  };
  let applied: number | null = 70;
  peer.answer = ({ opcode }, socket) => {
    if (opcode !== OP.getAppliedId) return undefined;
    if (applied === null) socket.destroy();
    return applied === null ? [] : [{ header: {}, arg: new Uint8Array(0), body: encodeUint64Body(applied) }];
  };
  const told = (): number[] =>
    peer.asked
      .filter(({ opcode }) => opcode === OP.broadcastMinAppliedId)
      .map(({ body }) => Number(body.readBigUInt64BE()));
  clock.ms += 1_000;
  await until('it was told', () => told().length === 1);
  await until('the view', () => view().partitions[0]!.exchange !== null);
  t.same([told(), worker.told], [[70], [70]]);
  t.match(view().partitions[0]!.exchange, { leastId: 70, mostId: 90, failure: '' });
  t.equal(new Set(peer.asked.map(({ connection }) => connection)).size, 1, 'over one connection');
  applied = null;
  clock.ms += 60_000;
  await until('a failure', () => view().partitions[0]!.exchange!.failure !== '');
  t.equal(told().length, 1, 'nothing is told unless all have answered');
  await until('the age', () => counters.value(REPAIR_COUNTER.oldestExchangeSeconds) > 59);
  const asked = peer.asked.length;
  clock.ms += 60_000;
  applied = 95;
  await until('the next one', () => told().length === 2);
  t.ok(peer.asked.length > asked);
  t.same([told()[1], worker.told[1]], [90, 90]);
  await until('the age', () => counters.value(REPAIR_COUNTER.oldestExchangeSeconds) < 59);
  node.take({ type: 'detached', id: 7 });
  await until('no partition, no age', () => counters.value(REPAIR_COUNTER.oldestExchangeSeconds) === 0);
});
