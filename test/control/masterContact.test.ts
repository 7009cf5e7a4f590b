/** A master that sends no heartbeats any more: what the node makes of it, and when it registers again. */
import t from 'tap';
import type { MasterOutcome } from '../../src/control/masterCall.js';
import type { MasterCaller } from '../../src/control/masterClient.js';
import { MasterContact, reasonOf, SILENCE_MS } from '../../src/control/masterContact.js';
import type { Outcome } from '../../src/control/nodeView.js';
import type { Registration } from '../../src/control/registration.js';
import { FakeView, partitionOf } from './fakeView.js';

const ADDRESS = '10.0.0.1:17310';
const REGISTRATION: Registration = { cluster: 'c', localIP: '10.0.0.1', address: ADDRESS, nodeId: 7 };
const unknownNode: MasterOutcome = { ok: false, kind: 'refused', code: 10, message: 'x', detail: '' };
const noMaster: MasterOutcome = { ok: false, kind: 'noMaster', message: 'no valid master', detail: '' };

function setUp(nodeReply: MasterOutcome, hosts: string[] = [], partitionReply?: MasterOutcome) {
  const view = new FakeView();
  view.partitionList = [partitionOf(1), partitionOf(2)];
  const paths: string[] = [];
  const master: MasterCaller = {
    async call({ path }) {
      paths.push(path);
      if (path === '/dataNode/get') return nodeReply;
      return partitionReply ?? { ok: true, data: { Hosts: ['10.0.0.9:1', ...hosts] } };
    },
  };
  const warned: string[] = [];
  const alarms: string[] = [];
  const log = {
    info() {},
    warn: (_fields: object, text: string) => void warned.push(text),
  } as unknown as ConstructorParameters<typeof MasterContact>[0]['log'];
  const time = { nowMs: 0 };
  const state = { registered: 0, outcome: { ok: true, value: REGISTRATION } as Outcome<Registration> };
  const contact = new MasterContact({
    master,
    registration: REGISTRATION,
    nodeView: view,
    register: async () => {
      state.registered += 1;
      return state.outcome;
    },
    alarm: (text) => void alarms.push(text),
    log,
    nowMs: () => time.nowMs,
  });
  return { view, paths, warned, alarms, time, state, contact };
}

t.test('as long as heartbeats come nobody is asked', async (t) => {
  const { paths, time, contact } = setUp(unknownNode);
  for (let minute = 0; minute < 10; minute++) {
    time.nowMs += 60_000;
    contact.heard();
    time.nowMs += SILENCE_MS - 1;
    await contact.tick();
  }
  t.strictSame(paths, []);
});

t.test('a master that has lost the node but lists it as a host: the node registers again', async (t) => {
  const { paths, warned, alarms, time, state, contact } = setUp(unknownNode, [ADDRESS]);
  time.nowMs = SILENCE_MS;
  await contact.tick();
  t.strictSame(paths, ['/dataNode/get', '/dataPartition/get']);
  t.equal(state.registered, 1);
  t.match(warned, [/the master has lost this node/]);
  t.strictSame(alarms, []);
});

t.test('a node that was decommissioned does not come back by itself', async (t) => {
  const { paths, warned, time, state, contact, view } = setUp(unknownNode);
  time.nowMs = SILENCE_MS;
  await contact.tick();
  t.strictSame(paths, ['/dataNode/get', '/dataPartition/get', '/dataPartition/get']);
  t.equal(state.registered, 0);
  t.match(warned, [/It stays out until a restart/]);
  view.partitionList = [];
  time.nowMs += 60_000;
  await contact.tick();
  t.equal(state.registered, 0, 'nor one without partitions');
});

t.test('a master that goes away in the middle of a look has not left the node out', async (t) => {
  const { paths, warned, time, state, contact } = setUp(unknownNode, [], noMaster);
  time.nowMs = SILENCE_MS;
  await contact.tick();
  t.strictSame(paths, ['/dataNode/get', '/dataPartition/get']);
  t.equal(state.registered, 0);
  t.match(warned, [/no master answers/]);
});

t.test('another node id is an alarm', async (t) => {
  const { alarms, time, state, contact } = setUp(unknownNode, [ADDRESS]);
  state.outcome = { ok: true, value: { ...REGISTRATION, nodeId: 8 } };
  time.nowMs = SILENCE_MS;
  await contact.tick();
  t.match(alarms, [`the master has registered ${ADDRESS} as node 8, which was 7: restart it`]);
});

t.test('a failed attempt is repeated with the next look', async (t) => {
  const { warned, time, state, contact } = setUp(unknownNode, [ADDRESS]);
  state.outcome = { ok: false, message: 'not now' };
  time.nowMs = SILENCE_MS;
  await contact.tick();
  time.nowMs += 60_000;
  await contact.tick();
  t.equal(state.registered, 2);
  t.match(warned.at(-1), 'registering again failed');
});

t.test('the same reason is told once in ten minutes, another one at once', async (t) => {
  const { warned, time, contact } = setUp({ ok: true, data: {} });
  for (time.nowMs = SILENCE_MS; time.nowMs < SILENCE_MS + 1_200_000; time.nowMs += 60_000)
    await contact.tick();
  t.equal(warned.length, 2);
  t.match(warned[0], /whether it can reach the data port/);
});

t.test('a heartbeat that comes during a look ends it', async (t) => {
  const { warned, time, state, contact } = setUp(unknownNode, [ADDRESS]);
  time.nowMs = SILENCE_MS;
  const look = contact.tick();
  t.equal(contact.tick(), look, 'one look at a time');
  time.nowMs += 1;
  contact.heard();
  await look;
  t.equal(state.registered, 0);
  t.strictSame(warned, []);
});

t.test('what the answers mean', async (t) => {
  t.equal(reasonOf({ ok: true, data: {} }), 'known');
  t.equal(reasonOf({ ok: false, kind: 'refused', code: 1, message: '', detail: '' }), 'known');
  t.equal(reasonOf(noMaster), 'noMaster');
  t.equal(reasonOf({ ok: false, kind: 'undecodable', message: '', detail: '' }), 'noMaster');
  t.equal(reasonOf(unknownNode), null);
});

t.test('a stop ends the looks', async (t) => {
  const { paths, time, contact } = setUp(noMaster);
  contact.start();
  await contact.stop();
  time.nowMs = SILENCE_MS;
  await contact.tick();
  t.strictSame(paths, []);
});
