/** Replica lists fetched from a master that is a fake: who takes them, and which answers are none. */
import t from 'tap';
import type { MasterOutcome } from '../../src/control/masterCall.js';
import { ReplicaLists } from '../../src/control/replicaLists.js';
import { FakeMaster } from './fakeMaster.js';
import { FakeView, partitionOf } from './fakeView.js';

const HOSTS = ['10.0.0.1:17310', '10.0.0.2:17310', '10.0.0.3:17310'];

function setUp() {
  const view = new FakeView();
  const master = new FakeMaster();
  const logged: string[] = [];
  const log = {
    info: (_fields: object, text: string) => void logged.push(text),
    warn: (_fields: object, text: string) => void logged.push(text),
    debug() {},
  } as unknown as ConstructorParameters<typeof ReplicaLists>[0]['log'];
  const time = { nowMs: 0 };
  const lists = new ReplicaLists({ master, nodeView: view, log, nowMs: () => time.nowMs, random: () => 0 });
  return { view, master, logged, time, lists };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

t.test('the list of the master becomes the current one, and META stays as it was', async (t) => {
  const { view, master, logged, lists } = setUp();
  view.partitionList = [partitionOf(7, { volume: 'vol 1' })];
  master.outcome = async () => ({ ok: true, data: { PartitionID: 7, Hosts: HOSTS, Peers: [], Status: 2 } });
  t.strictSame(view.partition(7)?.replicas, ['127.0.0.1:17310'], 'META until the first answer');
  lists.tick();
  await settled();
  t.strictSame(master.requests, [
    { method: 'GET', path: '/dataPartition/get', query: { id: '7', name: 'vol 1' }, body: '' },
  ]);
  t.strictSame(view.partition(7)?.replicas, HOSTS);
  t.strictSame(view.partition(7)?.hosts, ['127.0.0.1:17310']);
  t.strictSame(logged, ['replicas changed, as the master lists them']);
  await lists.stop();
});

t.test(
  'a partition that is deleted and made again between two looks is asked for as a new one',
  async (t) => {
    const { view, master, time, lists } = setUp();
    view.partitionList = [partitionOf(7), partitionOf(8)];
    master.outcome = async () => ({ ok: true, data: { Hosts: HOSTS } });
    lists.tick();
    await settled();
    t.equal(master.requests.length, 2);
    view.partitionList = [partitionOf(7), view.partition(8)!];
    time.nowMs += 1_000;
    lists.tick();
    await settled();
    t.strictSame(view.partition(7)?.replicas, HOSTS);
    t.strictSame(
      master.requests.slice(2).map(({ query }) => query!.id),
      ['7'],
      'and the other one is not',
    );
    await lists.stop();
  },
);

t.test('answers without a usable list leave the list that is there', async (t) => {
  const { view, master, time, lists } = setUp();
  view.partitionList = [partitionOf(7)];
  const bad = [
    null,
    5,
    {},
    { Hosts: null },
    { Hosts: [] },
    { Hosts: 'x' },
    { Hosts: [''] },
    { Hosts: [5] },
    { Hosts: ['x'.repeat(10_000)] },
    { Hosts: Array(1000).fill('10.0.0.1:1') },
    { PartitionID: 8, Hosts: HOSTS },
  ];
  for (const data of bad) {
    master.outcome = async () => ({ ok: true, data });
    lists.tick();
    await settled();
    time.nowMs += 3_600_000;
  }
  t.equal(master.requests.length, bad.length, 'each was asked for');
  t.strictSame(view.partition(7)?.replicas, ['127.0.0.1:17310']);
  master.outcome = async () => ({ ok: false, kind: 'noMaster', message: 'no valid master', detail: '' });
  lists.tick();
  await settled();
  t.strictSame(view.partition(7)?.replicas, ['127.0.0.1:17310']);
  await lists.stop();
});

t.test('four questions at one time, whatever the number of partitions', async (t) => {
  const { view, master, lists } = setUp();
  view.partitionList = Array.from({ length: 500 }, (_, index) => partitionOf(index + 1));
  let open = 0;
  let most = 0;
  master.outcome = async () => {
    most = Math.max(most, ++open);
    await settled();
    open -= 1;
    return { ok: true, data: { Hosts: HOSTS } };
  };
  lists.tick();
  for (let turn = 0; turn < 2_000 && master.requests.length < 500; turn++) await settled();
  t.equal(master.requests.length, 500);
  t.equal(most, 4);
  await lists.stop();
});

t.test('a stop ends what is under way and asks for nothing more', async (t) => {
  const { view, master, lists } = setUp();
  view.partitionList = Array.from({ length: 10 }, (_, index) => partitionOf(index + 1));
  master.outcome = (signal) =>
    new Promise((resolve) => {
      signal.addEventListener('abort', () =>
        resolve({ ok: false, kind: 'aborted', message: 'aborted', detail: '' }),
      );
    });
  lists.start();
  t.equal(master.requests.length, 4);
  await lists.stop();
  lists.tick();
  t.equal(master.requests.length, 4);
});

t.test(
  'a partition that the master does not know is told once, and again when it was known meanwhile',
  async (t) => {
    const { view, master, logged, time, lists } = setUp();
    view.partitionList = [partitionOf(7)];
    const unknown: MasterOutcome = {
      ok: false,
      kind: 'refused',
      code: 9,
      message: 'no partition',
      detail: '',
    };
    const ask = async (outcome: MasterOutcome): Promise<void> => {
      master.outcome = async () => outcome;
      lists.tick();
      await settled();
      time.nowMs += 3_600_000;
    };
    await ask({ ...unknown, code: 7 });
    t.strictSame(logged, [], 'another refusal says nothing of it');
    await ask(unknown);
    await ask(unknown);
    t.equal(logged.length, 1);
    t.match(logged[0], /the master does not know this partition/);
    await ask({ ok: true, data: { PartitionID: 7, Hosts: ['127.0.0.1:17310'] } });
    await ask(unknown);
    t.equal(logged.length, 2);
    await lists.stop();
  },
);
