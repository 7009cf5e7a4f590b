/** Small parts of the repair thread: who is first host, full disks, bounds of what runs, the pace of fetches, kept connections, a thread that dies. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { DiskRoom, FULL_MS, tellsFullDisk } from '../../src/repair/diskRoom.js';
import { Gate } from '../../src/repair/gate.js';
import { HostList, LIST_FRESH_MS } from '../../src/repair/hostList.js';
import { repairCounterNames } from '../../src/repair/messages.js';
import { Pace } from '../../src/repair/pace.js';
import { PeerConnection } from '../../src/repair/peerConnection.js';
import { Sources } from '../../src/repair/sources.js';
import { RepairThread } from '../../src/repair/startRepair.js';
import { createCounters } from '../../src/shm/counters.js';
import { FakePeer } from '../support/fakePeer.js';
import { until } from '../support/until.js';
import { repairMemory, turns } from './repairWorker.js';

const OWN = '10.0.0.1:17310';
const OTHER = '10.0.0.1:17311';

t.test('only a fresh list of the master makes a first host, by address and port', async (t) => {
  const list = new HostList([OWN, OTHER]);
  t.equal(list.role(OWN, false, 0), 'unknown', 'META alone does not');
  list.told([OWN, OTHER], 1000);
  t.equal(list.role(OWN, false, 1000 + LIST_FRESH_MS), 'primary');
  t.equal(list.role(OTHER, false, 1000), 'member', 'the same IP with another port is another node');
  t.equal(list.role(OWN, false, 1001 + LIST_FRESH_MS), 'unknown', 'the list is too old');
  list.told([OTHER, OWN], 2000);
  t.equal(list.role(OWN, false, 2000), 'member');
  t.equal(list.role(OWN, true, 2000), 'joining');
  list.told([OWN], 3000);
  t.equal(list.role(OWN, false, 3000), 'alone');
});

t.test('pains 8: a full disk lets one fetch try after a while, and all when it has written', async (t) => {
  const room = new DiskRoom();
  t.ok(room.admits(0));
  room.full(0);
  t.notOk(room.admits(FULL_MS - 1));
  t.ok(room.admits(FULL_MS), 'one tries');
  t.notOk(room.admits(FULL_MS), 'the others wait for it');
  room.full(FULL_MS + 5);
  t.notOk(room.admits(2 * FULL_MS));
  t.ok(room.admits(2 * FULL_MS + 5));
  room.untried(2 * FULL_MS + 5);
  t.ok(room.admits(2 * FULL_MS + 5), 'the one that was to try did not come to it: the next one does');
  t.notOk(room.admits(2 * FULL_MS + 6));
  room.wrote();
  t.ok(room.admits(2 * FULL_MS + 6));
  room.untried(2 * FULL_MS + 7);
  t.notOk(room.isFull);
  t.ok(tellsFullDisk('write /d/1: no space left on device'));
  t.ok(tellsFullDisk('ActionWrite:_no space left on the device'));
  t.notOk(tellsFullDisk('write /d/1: input/output error'));
});

t.test('a gate lets so many in, in order, and its bound may change', async (t) => {
  const gate = new Gate(1);
  const order: number[] = [];
  const entered = [1, 2, 3].map(async (id) => {
    await gate.enter();
    order.push(id);
  });
  await turns();
  t.same([order, gate.running, gate.waiting], [[1], 1, 2]);
  gate.leave();
  await turns();
  t.same(order, [1, 2]);
  gate.change(2);
  await Promise.all(entered);
  t.same([order, gate.running, gate.waiting], [[1, 2, 3], 2, 0]);
});

t.test(
  'the pace of all fetches: what is beyond it waits, a higher one is in force at once, a stop ends it',
  async (t) => {
    let nowMs = 0;
    const stop = new AbortController();
    const pace = new Pace(1_000_000, () => nowMs, stop.signal);
    await pace.take(1_000_000);
    let taken = 0;
    const waiting = pace.take(100).then(() => {
      taken += 1;
    });
    await turns();
    t.equal(taken, 0);
    nowMs = 10;
    pace.change(0);
    await waiting;
    await pace.take(1e9);
    pace.change(1);
    const forever = pace.take(1);
    stop.abort();
    await t.rejects(forever, /stopping/);
  },
);

t.test(
  'connections are kept for the next stream, unless something is left on them or they were closed',
  async (t) => {
    const peer = await FakePeer.start(t);
    const { signal } = new AbortController();
    const sources = new Sources((address) => PeerConnection.dial(address, signal));
    t.teardown(() => sources.close());
    const first = await sources.lease(peer.address, false);
    t.ok(first.isFresh);
    first.giveBack();
    const second = await sources.lease(peer.address, false);
    t.equal(second.connection, first.connection);
    t.notOk(second.isFresh);
    second.giveBack();
    const third = await sources.lease(peer.address, true);
    t.not(third.connection, first.connection, 'a fresh one is wanted');
    third.discard('not wanted');
    peer.stop();
    await until('the close is noticed', () => first.connection.failure !== null);
    await t.rejects(sources.lease(peer.address, false), /ECONNREFUSED/, 'a closed one is not given out');
  },
);

t.test(
  'a thread that dies: an alarm, its notifications and those that follow are answered with an error',
  async (t) => {
    const entry = join(t.testdir({}), 'dies.mjs');
    writeFileSync(
      entry,
      `import { parentPort } from 'node:worker_threads';
     parentPort.on('message', ({ type }) => { if (type === 'task') throw new Error('defect'); });`,
    );
    const alarms: string[] = [];
    const memory = repairMemory(1);
    const settings = { enabled: true, roundsPerDisk: 1, rounds: 1, fetchesPerRound: 1, bytesPerSecond: 0 };
    const thread = new RepairThread({
      ...{
        memory,
        counters: createCounters(repairCounterNames(1)),
        diskPaths: ['/d'],
        address: OWN,
      },
      ...{ settings, log: () => {}, alarm: (text) => alarms.push(text), entry: pathToFileURL(entry) },
    });
    t.equal(memory.healing[0], 1, 'reads may wait for heals');
    thread.change({ ...settings, enabled: false });
    t.equal(memory.healing[0], 0);
    thread.change(settings);
    t.equal(memory.healing[0], 1);
    t.equal(await thread.task(7, Buffer.from('{}')), 'repair is not served: its thread has ended');
    t.equal(memory.healing[0], 0);
    thread.change(settings);
    t.equal(memory.healing[0], 0, 'whatever is set');
    t.match(alarms, [/the repair thread died.*defect/s]);
    t.equal(alarms.length, 1);
    t.match(await thread.task(7, Buffer.from('{}')), /has ended/);
    t.match(await thread.view(null), /has ended/);
    await thread.stop();
  },
);
