/** pains 21: a node whose disks all hang is still alive to the master, whatever else is asked of it. */
import t from 'tap';
import { setFault, startClusterNode } from '../support/clusterNode.js';
import { FakeCluster } from '../support/fakeMaster/cluster.js';
import { PacketClient } from '../support/packetClient.js';
import { create } from '../support/requests.js';
import { until } from '../support/until.js';

/** A heartbeat each 1.2 s. */
const MS_PER_SECOND = 20;

t.test('pains 21: heartbeats while every disk hangs and load tasks are outstanding', async (t) => {
  const cluster = await FakeCluster.start(t, { msPerSecond: MS_PER_SECOND });
  const node = await startClusterNode(t, {
    masters: cluster.addrs,
    disks: 2,
    config: {
      extentd: {
        listenAddress: '127.0.0.1',
        faultInjection: true,
        stallMs: 1000,
        probe: { intervalMs: 1000, timeoutMs: 2000 },
      },
    },
  });
  await node.process.whenReady();
  const known = cluster.state.nodes.get(node.address)!;
  await until('the first heartbeat', () => known.heartbeats > 0);
  const partitions = await cluster.createVolume('vol1', 4, 1024 ** 3);
  await until('a report of all', () => known.heartbeat!.PartitionReports.length === 4);
  for (const disk of [0, 1]) await setFault(node, disk, 'hang');
  const clients = partitions.map(({ id }) => {
    const client = new PacketClient(node.port);
    // It waits for its disk until the node refuses it.
    client.ask(create(id)).catch(() => {});
    return client;
  });
  for (const partition of partitions) cluster.load(partition);
  const gapsMs: number[] = [];
  let lastMs = performance.now();
  for (let beat = 0; beat < 5; beat += 1) {
    const before = known.heartbeats;
    await until('a heartbeat', () => known.heartbeats > before);
    gapsMs.push(performance.now() - lastMs);
    lastMs = performance.now();
  }
  const intervalMs = 60 * MS_PER_SECOND;
  t.ok(Math.max(...gapsMs) < 2 * intervalMs + 1_000, `gaps of ${gapsMs.map(Math.round).join(', ')} ms`);
  await until('both disks are reported', () => known.heartbeat!.BadDisks.length === 2, 30_000);
  t.strictSame(
    known.heartbeat!.PartitionReports.map(({ PartitionStatus }) => PartitionStatus),
    [-1, -1, -1, -1],
  );
  t.ok(cluster.state.isActive(known));
  await t.rejects(
    cluster.create(known, { ...partitions[0]!, id: 900 }),
    /ActionCreateDataPartition_from master Task\(.*\) cannot create Partition err\(No disk space to create a data partition\)/,
    'a disk that hangs is given nothing new',
  );
  for (const disk of [0, 1]) await setFault(node, disk, 'clear');
  await until('the disks are good again', () => known.heartbeat!.BadDisks.length === 0, 20_000);
  await Promise.all(clients.map((client) => client.end()));
  t.equal((await node.process.terminate()).code, 0);
});
