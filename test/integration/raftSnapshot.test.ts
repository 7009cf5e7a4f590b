/** Three real nodes with a raft group, whose logs are cut while one of them is down: what it gets then is a snapshot, which carries no data, and it is equal to the others all the same. */
import t from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeUint64Body } from '../../src/protocol/queries.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { readMetrics } from '../http/metricsRig.js';
import { PARTITION, RaftTrio } from '../support/raftNodes.js';
import { read } from '../support/requests.js';
import { until, untilAnswer } from '../support/until.js';

const NODES = [0, 1, 2];
/** What a follower that hears of its leader, and takes entries, counts. */
const MOVING = ['appendRequest', 'heartbeatRequest'].flatMap((type) => [
  `extentd_raft_messages_total{direction="in",type="${type}"}`,
  `extentd_raft_bytes_total{direction="in",type="${type}"}`,
]);
MOVING.push('extentd_raft_messages_total{direction="out",type="appendResponse"}');

t.test(
  'logs are cut while a node is down: it gets a snapshot, refuses what it has not compared, and is equal again',
  async (t) => {
    const group = await RaftTrio.start(t);
    const { trio } = group;
    const lost = [...group.expected.keys()][1]!;
    await group.randomWrites(10, NODES);
    const leader = await group.leader(NODES);
    const victim = NODES.find((node) => node !== leader)!;
    const others = NODES.filter((node) => node !== victim);
    // So that what it refuses can be seen before it is there again.
    await trio.setRepair(victim, { enabled: false });
    await trio.kill(victim);
    await group.randomWrites(60, others);
    for (const node of others) {
      await untilAnswer(
        'it has saved what it has applied',
        async () => ((await group.durable(node)) >= 60 ? true : null),
        20_000,
      );
      // What the exchange would never say, since the node that is down has not answered.
      await group.must(node, {
        opcode: OP.broadcastMinAppliedId,
        partitionId: PARTITION,
        body: encodeUint64Body(60),
      });
      await until('its log is cut', () => group.lastTruncate(node) >= 50, 10_000);
    }
    t.not(group.differing(victim).length, 0);
    const metrics = await trio.serveMetrics(victim);
    await trio.bringBack(victim);
    await untilAnswer(
      'it has taken a snapshot, and refuses what it has not compared',
      async () => {
        const reply = await group.ask(victim, read(PARTITION, lost, 0, 4096, OP.streamFollowerRead));
        if (reply === null || reply.resultCode === RESULT.ok) return null;
        return /content is missing on this replica/.test(String(reply.body)) ? true : null;
      },
      30_000,
    );
    await untilAnswer(
      'its metrics tell of the snapshot',
      async () =>
        readMetrics(await metrics()).samples.get(
          'extentd_raft_snapshots_total{direction="in",event="acknowledged"}',
        ) || null,
    );
    const before = readMetrics(await metrics()).samples;
    await group.randomWrites(20, NODES);
    await untilAnswer('its metrics move', async () => {
      const { samples } = readMetrics(await metrics());
      return MOVING.every((series) => samples.get(series)! > before.get(series)!) || null;
    });
    const gauges = ['raft_connections{direction="in"}', 'raft_connections{direction="out"}'];
    for (const gauge of gauges) t.ok(before.get(`extentd_${gauge}`)! > 0, gauge);
    await untilAnswer('its worker, which counts its groups once a second, has counted this one', async () => {
      const { samples } = readMetrics(await metrics());
      const ofDisk = (name: string) => [...samples].find(([series]) => series.startsWith(`${name}{`))![1];
      return (
        (ofDisk('extentd_disk_raft_groups') === 1 && ofDisk('extentd_disk_raft_leader_changes_total') > 0) ||
        null
      );
    });
    await trio.setRepair(victim, { enabled: true });
    await untilAnswer('the victim is whole', () => group.isWhole(victim), 40_000);
    for (const node of NODES) t.same(group.differing(node), [], `node ${node}`);
    const reply = await group.must(victim, read(PARTITION, lost, 0, 4096, OP.streamFollowerRead));
    t.ok(reply.body.equals(group.expected.get(lost)!.subarray(0, 4096)));
    t.same(await trio.stop(), [0, 0]);
  },
);
