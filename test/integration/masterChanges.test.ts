/** What an operator may change while a node runs: masters, rack, cell and zone. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import t from 'tap';
import { parseConfig } from '../../src/config/schema.js';
import { startDataNode } from '../../src/dataNode.js';
import { freePorts } from '../../src/standalone/standaloneConfig.js';
import { FakeCluster } from '../support/fakeMaster/cluster.js';
import { testFolder } from '../support/nodeProcess.js';
import { until } from '../support/until.js';

t.test('other masters and other labels hold from the next call and the next heartbeat on', async (t) => {
  const cluster = await FakeCluster.start(t, { masters: 2 });
  const [leader, follower] = cluster.servers;
  const folder = testFolder(t);
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  const [port, raftHeartbeat, raftReplica] = await freePorts('127.0.0.1', 3);
  const parsed = parseConfig(
    JSON.stringify({
      role: 'datanode',
      localIP: '127.0.0.1',
      port: String(port),
      raftHeartbeat: String(raftHeartbeat),
      raftReplica: String(raftReplica),
      raftDir: join(folder, 'raft'),
      logDir: folder,
      rack: 'rack-01',
      disks: [`${disk}:0`],
      masterAddr: [leader!.addr],
    }),
  );
  if (!parsed.ok) throw new Error(parsed.message);
  const node = await startDataNode({ config: parsed.config, log: pino({ level: 'silent' }) });
  t.teardown(() => node.stop());
  const known = cluster.state.nodes.get(node.addresses.data)!;
  await until('a heartbeat', () => known.heartbeat?.RackName === 'rack-01');
  t.notOk(cluster.state.posted[0]!.includes('CellName'));
  const moved = { ...parsed.config, rack: 'rack-02', cell: 'cell-1' };
  t.match(await node.reload(moved), { ok: true, value: { changed: ['cell', 'rack'], needRestart: [] } });
  await until('another rack', () => known.heartbeat?.RackName === 'rack-02');
  t.ok(cluster.state.posted.at(-1)!.includes('"RackName":"rack-02","CellName":"cell-1","PartitionReports"'));
  t.strictSame(follower!.asked, [], 'the follower is unknown to the node');
  await node.reload({ ...moved, masterAddrs: [follower!.addr] });
  await until('a response by the follower', () => follower!.asked.includes('/dataNode/response'));
  t.strictSame(cluster.state.rejected, []);
});
