/** A real node and masters that come late, die, proxy, hang or answer nonsense: it registers, and heartbeats go on. */
import t from 'tap';
import { MasterClient } from '../../src/control/masterClient.js';
import { MasterContact } from '../../src/control/masterContact.js';
import { register, registerOnce } from '../../src/control/registration.js';
import { ResponsePoster } from '../../src/control/responsePoster.js';
import { FakeView, partitionOf } from '../control/fakeView.js';
import { logOf, startClusterNode } from '../support/clusterNode.js';
import { FakeCluster } from '../support/fakeMaster/cluster.js';
import { until } from '../support/until.js';

const never = new AbortController().signal;
const log = { debug() {}, info() {}, warn() {} };

t.test('registration and heartbeats through a follower that proxies; the id is stable', async (t) => {
  const cluster = await FakeCluster.start(t, { masters: 2 });
  const [leader, follower] = cluster.servers;
  const node = await startClusterNode(t, { masters: [follower!.addr] });
  await node.process.whenReady();
  const known = cluster.state.nodes.get(node.address)!;
  await until('heartbeats', () => known.heartbeats >= 2);
  t.ok(follower!.asked.includes('/dataNode/add'));
  t.ok(leader!.responses >= 2, 'the leader has the responses');
  t.strictSame(cluster.state.rejected, []);
  t.equal((await node.process.terminate()).code, 0);
  const again = await startClusterNode(t, { masters: [leader!.addr], again: node });
  await again.process.whenReady();
  const before = known.heartbeats;
  await until('heartbeats after a restart', () => known.heartbeats >= before + 2);
  t.equal(cluster.state.nodes.size, 1, 'the same node');
  await again.process.terminate();
});

t.test('a master that is down at the start and comes later', async (t) => {
  const cluster = await FakeCluster.start(t);
  const [master] = cluster.servers;
  await master!.stop();
  const node = await startClusterNode(t, { masters: cluster.addrs });
  await until(
    'a failed attempt',
    () => node.process.hasEnded || /registration .* failed/.test(logText(node)),
  );
  t.notOk(node.process.hasEnded);
  await master!.start();
  await node.process.whenReady();
  await until('a heartbeat', () => (cluster.state.nodes.get(node.address)?.heartbeats ?? 0) > 0);
  await node.process.terminate();
});

t.test('the leader dies, another one takes over, and comes back on its port', async (t) => {
  const cluster = await FakeCluster.start(t, { masters: 3 });
  const [first, second] = cluster.servers;
  const node = await startClusterNode(t, { masters: cluster.addrs });
  await node.process.whenReady();
  const known = (): number => cluster.state.nodes.get(node.address)?.heartbeats ?? 0;
  await until('heartbeats to the first', () => known() >= 2 && first!.responses >= 2);
  await first!.stop();
  cluster.elect(1);
  await until('heartbeats to the second', () => second!.responses >= 2);
  await first!.start();
  cluster.elect(0);
  const before = first!.responses;
  await until('heartbeats to the first again', () => first!.responses >= before + 2);
  await second!.stop();
  const count = known();
  await until('and none depends on the second', () => known() >= count + 2);
  t.strictSame(cluster.state.rejected, []);
  await node.process.terminate();
});

t.test('every way in which a master can be of no use, beside one that serves', async (t) => {
  const cluster = await FakeCluster.start(t, { masters: 2, msPerSecond: 1000 });
  const [leader, other] = cluster.servers;
  const client = (): MasterClient =>
    new MasterClient({ masters: [leader!.addr, other!.addr], tryTimeoutMs: 200 });
  const options = { localIP: '', port: 17310, zoneName: '', log };
  for (const mode of ['loading', 'old', 'hang', 'cut', 'garbage', 'redirect', 'serve'] as const) {
    other!.mode = mode;
    const asked = other!.asked.length;
    const registration = await register({ ...options, master: client() }, never);
    t.match(registration, { cluster: 'fake', localIP: '127.0.0.1', nodeId: 2 }, mode);
    t.ok(other!.asked.length > asked, `${mode}: it was asked first`);
  }
  other!.mode = 'error';
  const refused = await client().call({ method: 'GET', path: '/admin/getIp' }, never);
  t.match(refused, { kind: 'refused', code: 1, message: 'request error, code[1], msg[internal error]' });
  cluster.elect(null);
  other!.mode = 'old';
  const leaderless = await client().call({ method: 'GET', path: '/admin/getIp' }, never);
  t.match(leaderless, { kind: 'noMaster', detail: `${other!.addr}: status 403 ""` });
  other!.mode = 'serve';
  const noLeader = await client().call({ method: 'GET', path: '/admin/getIp' }, never);
  t.match(noLeader, { kind: 'noMaster', detail: `${other!.addr}: status 400 "no leader"` });
  cluster.elect(0);
  await leader!.stop();
  const proxied = await client().call({ method: 'GET', path: '/admin/getIp' }, never);
  t.match(
    proxied,
    { kind: 'noMaster', detail: `${other!.addr}: status 502 ""` },
    'the proxy cannot reach it',
  );
});

t.test('a hung master keeps a heartbeat waiting once, and no other master from being asked', async (t) => {
  const cluster = await FakeCluster.start(t, { masters: 3, msPerSecond: 1000 });
  const [leader, , hung] = cluster.servers;
  const master = new MasterClient({ masters: cluster.addrs, tryTimeoutMs: 150 });
  await register({ localIP: '', port: 17310, zoneName: '', log, master }, never);
  t.equal(master.leader, hung!.addr, 'a proxy is a leader as good as any');
  hung!.mode = 'hang';
  const poster = new ResponsePoster({ master, log });
  const task = { ID: 'x', OpCode: 99, OperatorAddr: '127.0.0.1:17310', Response: { Status: 1 } };
  const body = Buffer.from(JSON.stringify(task));
  poster.postHeartbeat('x', [body]);
  await until('the response is at the leader', () => leader!.responses === 1);
  await until('its answer is here', () => master.leader === cluster.servers[0]!.addr);
  const asked = hung!.asked.length;
  poster.postHeartbeat('x', [body]);
  await until('and the next one', () => leader!.responses === 2);
  t.equal(hung!.asked.length, asked, 'the hung one is asked no more');
  t.equal(cluster.state.nodes.get('127.0.0.1:17310')?.heartbeats, 2);
  await poster.stop();
});

t.test(
  'masters that have lost their table of nodes: a node registers again, one that was decommissioned does not',
  async (t) => {
    const cluster = await FakeCluster.start(t, { msPerSecond: 1000 });
    const master = new MasterClient({ masters: cluster.addrs });
    const options = { localIP: '', port: 17310, zoneName: '', log, master };
    const registration = (await register(options, never))!;
    const { address } = registration;
    const view = new FakeView();
    view.partitionList = [partitionOf(40, { volume: 'vol1' }), partitionOf(41, { volume: 'vol1' })];
    const kept = { volume: 'vol1', sizeBytes: 1, peers: [], replicas: new Map(), loads: new Map() };
    cluster.state.volumes.set('vol1', { isDeleted: false });
    cluster.state.partitions.set(40, { ...kept, id: 40, hosts: ['10.9.9.9:1'] });
    const alarms: string[] = [];
    const contact = new MasterContact({
      master,
      registration,
      nodeView: view,
      register: (signal) => registerOnce(options, signal),
      alarm: (text) => void alarms.push(text),
      log: { debug() {}, info() {}, warn() {} } as unknown as ConstructorParameters<
        typeof MasterContact
      >[0]['log'],
      silenceMs: 0,
    });
    await contact.tick();
    t.equal(cluster.state.nodes.size, 1, 'a master that knows the node is not bothered');
    t.notOk(cluster.servers[0]!.asked.includes('/dataPartition/get'));
    cluster.forgetNodes();
    await contact.tick();
    t.equal(cluster.state.nodes.size, 0, 'its partitions have other hosts: it was decommissioned');
    cluster.state.partitions.set(41, { ...kept, id: 41, hosts: ['10.9.9.9:1', address] });
    await contact.tick();
    t.strictSame([...cluster.state.nodes.keys()], [address]);
    t.match(
      alarms,
      [`as node 3, which was ${registration.nodeId}: restart it`],
      'the id is new, which is told',
    );
    await contact.stop();
  },
);

t.test('masters that hang do not delay a stop', async (t) => {
  const cluster = await FakeCluster.start(t, { masters: 2 });
  const node = await startClusterNode(t, { masters: cluster.addrs });
  await node.process.whenReady();
  await until('a heartbeat', () => (cluster.state.nodes.get(node.address)?.heartbeats ?? 0) > 0);
  for (const server of cluster.servers) server.mode = 'hang';
  const asked = (): number => cluster.servers.flatMap((server) => server.asked).length;
  const before = asked();
  await until('a response hangs', () => asked() > before);
  const ended = await node.process.terminate();
  t.equal(ended.code, 0);
  t.ok(ended.afterMs < 5_000, `ended after ${Math.round(ended.afterMs)} ms`);
});

/** The log, empty as long as there is none. */
function logText(node: Parameters<typeof logOf>[0]): string {
  try {
    return logOf(node);
  } catch {
    return '';
  }
}
