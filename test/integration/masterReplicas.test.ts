/** Two nodes under one master: partitions on both, loads compared, and what a master does when one of them is gone. */
import t from 'tap';
import { debugData, startClusterNode } from '../support/clusterNode.js';
import { FakeCluster } from '../support/fakeMaster/cluster.js';
import { until, untilAnswer } from '../support/until.js';

const GiB = 1024 ** 3;

t.test('two replicas, and a creation that only one of them could carry out', async (t) => {
  const cluster = await FakeCluster.start(t, { msPerSecond: 20 });
  const [first, second] = await Promise.all(
    ['127.0.0.1', '127.0.0.2'].map((ip) => startClusterNode(t, { masters: cluster.addrs, ip })),
  );
  await Promise.all([first!, second!].map(({ process }) => process.whenReady()));
  const nodes = [first!, second!].map(({ address }) => cluster.state.nodes.get(address)!);
  await until('both have answered', () => nodes.every((node) => cluster.state.isActive(node)));
  t.not(nodes[0]!.id, nodes[1]!.id);
  const [partition] = await cluster.createVolume('vol1', 1, GiB);
  t.strictSame([...partition!.replicas.keys()], partition!.hosts);
  cluster.load(partition!);
  await until('loads of both', () => cluster.comparison(partition!, 0) !== null);
  const day = Date.now() / 1000 + 86_400;
  t.strictSame(cluster.comparison(partition!, day), { differing: [], missing: [], compared: [] });
  t.equal((await second!.process.terminate()).code, 0);
  await t.rejects(cluster.createPartition('vol1', GiB), /ECONNREFUSED|closed|no reply/);
  const left = await untilAnswer('the deletion of what was created', async () => {
    const { partitions } = (await debugData(first!, '/partitions')) as { partitions: { id: number }[] };
    return partitions.length === 1 ? partitions : null;
  });
  t.equal(left[0]?.id, partition!.id);
  await until('the other one is inactive', () => !cluster.state.isActive(nodes[1]!), 20_000);
  t.ok(cluster.state.isActive(nodes[0]!));
  await first!.process.terminate();
});
