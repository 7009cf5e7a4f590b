/** The metrics page, made from memory that a test has written; and the page that documents it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MetricsPage } from '../../src/http/metricsPage.js';
import { FIGURE } from '../../src/http/metricsSource.js';
import { METRICS, PROCESS_METRICS } from '../../src/http/metricTable.js';
import type { AskPartitions, NamedPartition } from '../../src/http/volumes.js';
import { OPERATION_NAMES } from '../../src/protocol/operationNames.js';
import { RAFT_MESSAGE } from '../../src/protocol/raftMessage.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { Counters } from '../../src/shm/counters.js';
import { DISK_WORK } from '../../src/shm/diskWork.js';
import { PARTITION_COUNT } from '../../src/shm/tables.js';
import { noFigures, publishFigures } from '../../src/transport/figures.js';
import { packageRoot } from '../packageRoot.js';
import { MetricsRig, type ReadMetrics, readMetrics } from './metricsRig.js';

const nobody: AskPartitions = async () => [];

async function pageOf(
  rig: MetricsRig,
  partitions: readonly NamedPartition[] = [],
  each = false,
): Promise<ReadMetrics & { text: string }> {
  const page = new MetricsPage(
    rig.source,
    async () => partitions,
    () => 0,
  );
  const { body } = await page.response(each);
  return { ...readMetrics(body), text: body };
}

const row = (operation: string): number => OPERATION_NAMES.indexOf(operation);

t.test('the names of the reference: an operation’s appear with its first sample', async (t) => {
  const rig = new MetricsRig(['/d1'], 'spark-1.a b,c');
  const before = await pageOf(rig);
  const own = ({ families }: ReadMetrics): string[] =>
    [...families].filter(([name]) => name.startsWith('cfs_')).map(([name, type]) => `${name} ${type}`);
  t.strictSame(own(before), [
    'cfs_dataNode_start_time gauge',
    'cfs_dataNode_spark_1_a_b_c_dataNode_warning counter',
  ]);
  t.equal(before.samples.get('cfs_dataNode_start_time'), 1_700_000_000_000, 'whole seconds × 1000');
  rig.operations.ended(row('OpWrite'), RESULT.ok, 100.5);
  rig.operations.ended(row('OpWrite'), RESULT.err, 20.25);
  rig.operations.ended(row('Read'), RESULT.argMismatchErr, 3);
  rig.operations.ended(row('other'), RESULT.argMismatchErr, 3);
  rig.figures.set(FIGURE.alarms, 7);
  const after = await pageOf(rig);
  t.strictSame(own(after), [
    'cfs_dataNode_start_time gauge',
    'cfs_dataNode_OpWrite gauge',
    'cfs_dataNode_OpWrite_count counter',
    'cfs_dataNode_Read gauge',
    'cfs_dataNode_Read_count counter',
    'cfs_dataNode_spark_1_a_b_c_dataNode_warning counter',
  ]);
  const { samples } = after;
  t.equal(samples.get('cfs_dataNode_OpWrite'), 20_250, 'the last one, ns');
  t.equal(samples.get('cfs_dataNode_OpWrite_count'), 2);
  t.equal(samples.get('cfs_dataNode_Read_count'), 1);
  t.equal(samples.get('cfs_dataNode_spark_1_a_b_c_dataNode_warning'), 7);
});

t.test('every operation of the reference has its metric', async (t) => {
  const rig = new MetricsRig(['/d1']);
  for (const operation of OPERATION_NAMES) rig.operations.ended(row(operation), RESULT.ok, 1);
  const { families } = await pageOf(rig);
  // The list of admin.md 11.1.
  const reference =
    'OpCreateExtent OpMarkDelete OpWrite OpSyncWrite OpRandomWrite OpSyncRandomWrite Read OpStreamRead OpStreamFollowerRead OpExtentRepairRead OpTinyExtentRepairRead OpReadTinyDeleteRecord OpGetAllWatermarks OpNotifyReplicasToRepair OpBroadcastMinAppliedID OpGetAppliedId OpGetPartitionSize OpGetMaxExtentIDAndPartitionSize OpCreateDataPartition OpDeleteDataPartition OpLoadDataPartition OpDataNodeHeartbeat OpDecommissionDataPartition OpAddDataPartitionRaftMember OpRemoveDataPartitionRaftMember OpDataPartitionTryToLeader'.split(
      ' ',
    );
  const wanted = reference.flatMap((operation) => [
    `cfs_dataNode_${operation}`,
    `cfs_dataNode_${operation}_count`,
  ]);
  const found = [...families.keys()].filter((name) => /^cfs_dataNode_(Op|Read)/.test(name));
  t.strictSame(found.toSorted(), wanted.toSorted());
});

t.test('operations by kind and result, their bytes, and exact cumulative buckets', async (t) => {
  const rig = new MetricsRig(['/d1']);
  for (const us of [31, 32, 100, 1_024, 10_000_000]) rig.operations.ended(row('OpWrite'), RESULT.ok, us);
  rig.operations.ended(row('OpWrite'), RESULT.diskNoSpaceErr, 50);
  rig.operations.moved(row('OpWrite'), 4_096, 17);
  rig.operations.ended(row('other'), RESULT.argMismatchErr, 9);
  const { samples, text } = await pageOf(rig);
  const wanted: [string, number][] = [
    ['extentd_operations_total{op="OpWrite",result="OpOk"}', 5],
    ['extentd_operations_total{op="OpWrite",result="OpDiskNoSpaceErr"}', 1],
    ['extentd_operations_total{op="other",result="OpArgMismatchErr"}', 1],
    ['extentd_operation_bytes_total{op="OpWrite",direction="in"}', 4_096],
    ['extentd_operation_bytes_total{op="OpWrite",direction="out"}', 17],
    ['extentd_operation_duration_seconds_bucket{op="OpWrite",le="0.000032"}', 1],
    ['extentd_operation_duration_seconds_bucket{op="OpWrite",le="0.000064"}', 3],
    ['extentd_operation_duration_seconds_bucket{op="OpWrite",le="0.001024"}', 4],
    ['extentd_operation_duration_seconds_bucket{op="OpWrite",le="0.002048"}', 5],
    ['extentd_operation_duration_seconds_bucket{op="OpWrite",le="8.388608"}', 5],
    ['extentd_operation_duration_seconds_bucket{op="OpWrite",le="+Inf"}', 6],
    ['extentd_operation_duration_seconds_count{op="OpWrite"}', 6],
    ['extentd_operation_duration_seconds_sum{op="OpWrite"}', 10.001237],
  ];
  for (const [series, value] of wanted) t.equal(samples.get(series), value, series);
  t.notMatch(text, 'OpStreamRead', 'what was not done has no series');
});

t.test('the node’s own figures and those of each disk', async (t) => {
  const rig = new MetricsRig(['/d"1', '/d\\2']);
  rig.figures.set(FIGURE.connections, 3);
  rig.figures.set(FIGURE.inFlight, 5);
  rig.figures.set(FIGURE.abandoned, 2);
  rig.figures.set(FIGURE.followerLinks, 6);
  rig.figures.set(FIGURE.replicating, 8);
  rig.figures.set(FIGURE.followerTimeout, 9);
  rig.figures.set(rig.at.slabUsed(1), 6);
  rig.figures.set(rig.at.diskStatus(0), 2);
  rig.figures.set(rig.at.diskStatus(1), -1);
  rig.figures.set(rig.at.hung(1), 1);
  rig.figures.set(rig.at.refusing(1), 1);
  rig.loopLag.record(40_000);
  rig.disks.setTotalBytes(1, 100);
  rig.disks.setUsedBytes(1, 60);
  rig.disks.setAvailableBytes(1, 40);
  rig.disks.setReservedBytes(1, 10);
  rig.workerRows.setReadErrors(1, 4);
  rig.workerRows.setWriteErrors(1, 5);
  rig.workerRows.setMode(1, 1);
  rig.limits.setWaiting(1, 9, 0);
  rig.tables[1]!.claim(7);
  rig.requests[1]!.reserve(true);
  rig.requests[1]!.reserve(true);
  rig.requests[1]!.publish();
  rig.works[1]!.reads.record(1_000);
  rig.works[1]!.writes.record(2_000);
  rig.works[1]!.writes.record(3_000);
  for (const [index, counter] of Object.values(DISK_WORK).entries())
    rig.works[1]!.counters.add(counter, 100 + index);
  const { samples } = await pageOf(rig);
  const disk = String.raw`disk="/d\\2"`;
  const wanted: [string, number][] = [
    ['extentd_connections', 3],
    ['extentd_requests_in_flight', 5],
    ['extentd_abandoned_requests_total', 2],
    ['extentd_follower_links', 6],
    ['extentd_replicated_requests_in_flight', 8],
    ['extentd_follower_failures_total{reason="timeout"}', 9],
    ['extentd_follower_failures_total{reason="dial"}', 0],
    ['extentd_slab_slots{bytes="131072"}', 8],
    ['extentd_slab_slots_used{bytes="131072"}', 6],
    ['extentd_slab_slots_used{bytes="4096"}', 0],
    ['extentd_main_loop_lag_seconds_bucket{le="0.032768"}', 0],
    ['extentd_main_loop_lag_seconds_bucket{le="0.065536"}', 1],
    [`extentd_ring_slots{${disk},worker="1",ring="requests"}`, 16],
    [`extentd_ring_slots_used{${disk},worker="1",ring="requests"}`, 2],
    [`extentd_ring_slots_used{${disk},worker="1",ring="replies"}`, 0],
    [String.raw`extentd_disk_status{disk="/d\"1"}`, 2],
    [String.raw`extentd_disk_hung{disk="/d\"1"}`, 0],
    [`extentd_disk_status{${disk}}`, -1],
    [`extentd_disk_hung{${disk}}`, 1],
    [`extentd_disk_refusing{${disk}}`, 1],
    [`extentd_disk_total_bytes{${disk}}`, 100],
    [`extentd_disk_used_bytes{${disk}}`, 60],
    [`extentd_disk_available_bytes{${disk}}`, 40],
    [`extentd_disk_reserved_bytes{${disk}}`, 10],
    [`extentd_disk_errors_total{${disk},kind="read"}`, 4],
    [`extentd_disk_errors_total{${disk},kind="write"}`, 5],
    [`extentd_disk_writes_threaded{${disk}}`, 1],
    [`extentd_disk_requests_waiting_for_limits{${disk}}`, 9],
    [`extentd_disk_partitions{${disk}}`, 1],
    [`extentd_disk_operation_duration_seconds_count{${disk},kind="read"}`, 1],
    [`extentd_disk_operation_duration_seconds_count{${disk},kind="write"}`, 2],
    [`extentd_disk_operation_duration_seconds_sum{${disk},kind="write"}`, 0.005],
    [`extentd_disk_bytes_total{${disk},kind="read"}`, 100],
    [`extentd_disk_bytes_total{${disk},kind="write"}`, 101],
    [`extentd_disk_other_operations_total{${disk}}`, 102],
    [`extentd_disk_failed_operations_total{${disk}}`, 103],
    [`extentd_disk_reads_waited_for_heal_total{${disk},outcome="healed"}`, 104],
    [`extentd_disk_reads_waited_for_heal_total{${disk},outcome="failed"}`, 105],
  ];
  for (const [series, value] of wanted) t.equal(samples.get(series), value, series);
});

t.test('pains 20: rates and latencies of each volume and, asked for, of each partition', async (t) => {
  const rig = new MetricsRig(['/d1', '/d2']);
  const counts = Object.values(PARTITION_COUNT);
  for (const [table, id] of [
    [0, 1],
    [0, 2],
    [1, 3],
    [1, 4],
  ] as const) {
    const at = rig.tables[table]!.claim(id);
    rig.tables[table]!.setUsedBytes(at, 1_000 * id);
    rig.tables[table]!.setStatus(at, 2);
    for (const [index, count] of counts.entries())
      rig.tables[table]!.count(at, count, 10 ** id * (index + 1));
  }
  const named: NamedPartition[] = [
    [1, '/d1', 'images'],
    [2, '/d1', 'logs'],
    [3, '/d2', 'images'],
    // Main serves the copy on another disk: this one does not count.
    [4, '/d1', 'images'],
  ];
  const { samples, families } = await pageOf(rig, named);
  const wanted: [string, number][] = [
    ['extentd_volume_partitions{volume="images"}', 2],
    ['extentd_volume_used_bytes{volume="images"}', 4_000],
    ['extentd_volume_operations_total{volume="images",kind="read"}', 1_010],
    ['extentd_volume_bytes_total{volume="images",kind="read"}', 2_020],
    ['extentd_volume_duration_seconds_total{volume="images",kind="read"}', 3_030 / 1e6],
    ['extentd_volume_operations_total{volume="images",kind="write"}', 4_040],
    ['extentd_volume_bytes_total{volume="images",kind="write"}', 5_050],
    ['extentd_volume_duration_seconds_total{volume="images",kind="write"}', 6_060 / 1e6],
    ['extentd_volume_operations_total{volume="images",kind="other"}', 7_070],
    ['extentd_volume_failed_operations_total{volume="images"}', 8_080],
    ['extentd_volume_partitions{volume="logs"}', 1],
    ['extentd_volume_operations_total{volume="logs",kind="read"}', 100],
  ];
  for (const [series, value] of wanted) t.equal(samples.get(series), value, series);
  t.notOk([...families.keys()].some((name) => name.startsWith('extentd_partition_')));

  const each = await pageOf(rig, named, true);
  const labels = 'partition="3",volume="images",disk="/d2"';
  const partition: [string, number][] = [
    [`extentd_partition_used_bytes{${labels}}`, 3_000],
    [`extentd_partition_status{${labels}}`, 2],
    [`extentd_partition_operations_total{${labels},kind="read"}`, 1_000],
    [`extentd_partition_bytes_total{${labels},kind="read"}`, 2_000],
    [`extentd_partition_duration_seconds_total{${labels},kind="read"}`, 3_000 / 1e6],
    [`extentd_partition_operations_total{${labels},kind="write"}`, 4_000],
    [`extentd_partition_bytes_total{${labels},kind="write"}`, 5_000],
    [`extentd_partition_duration_seconds_total{${labels},kind="write"}`, 6_000 / 1e6],
    [`extentd_partition_operations_total{${labels},kind="other"}`, 7_000],
    [`extentd_partition_failed_operations_total{${labels}}`, 8_000],
  ];
  for (const [series, value] of partition) t.equal(each.samples.get(series), value, series);
});

t.test('what the transport of raft has counted, each figure in its place', async (t) => {
  const rig = new MetricsRig(['/d1', '/d2']);
  const figures = noFigures();
  figures.received.messages[RAFT_MESSAGE.appendRequest] = 3;
  figures.sent.bytes[RAFT_MESSAGE.voteResponse] = 77;
  Object.assign(figures.drops, { workerFull: 4, lost: 5 });
  Object.assign(figures.incoming, { open: 6, cutOff: 7 });
  Object.assign(figures.outgoing, { open: 8, reconnects: 9 });
  Object.assign(figures.snapshots, {
    running: 1,
    taken: 10,
    failed: 12,
    tooMany: 2,
    received: 11,
    acknowledged: 5,
  });
  publishFigures(figures, new Counters(rig.source.raft));
  for (const { counters } of rig.works) counters.add(DISK_WORK.raftDropped, 20);
  const { samples, text } = await pageOf(rig);
  const wanted: [string, number][] = [
    ['messages_total{direction="in",type="appendRequest"}', 3],
    ['messages_total{direction="out",type="appendRequest"}', 0],
    ['bytes_total{direction="out",type="voteResponse"}', 77],
    ['dropped_messages_total{reason="workerFull"}', 4],
    ['dropped_messages_total{reason="lost"}', 5],
    ['dropped_messages_total{reason="mainFull"}', 40],
    ['connections{direction="in"}', 6],
    ['connections{direction="out"}', 8],
    ['connection_events_total{direction="in",event="cutOff"}', 7],
    ['connection_events_total{direction="out",event="reconnects"}', 9],
    ['snapshots_running', 1],
    ['snapshots_total{direction="out",event="taken"}', 10],
    ['snapshots_total{direction="out",event="failed"}', 10],
    ['snapshots_total{direction="out",event="tooMany"}', 2],
    ['snapshots_total{direction="in",event="received"}', 11],
    ['snapshots_total{direction="in",event="acknowledged"}', 5],
  ];
  for (const [series, value] of wanted) t.equal(samples.get(`extentd_raft_${series}`), value, series);
  t.notMatch(text, 'proposal', 'no node sends those');
});

t.test('the process’s metrics have the names of the Go library and true values', async (t) => {
  const { samples, families } = await pageOf(new MetricsRig(['/d1']));
  t.strictSame(
    [...families.keys()]
      .filter((name) => !name.startsWith('cfs_') && !name.startsWith('extentd_'))
      .toSorted(),
    PROCESS_METRICS.toSorted(),
  );
  const { user, system } = process.cpuUsage();
  const cpu = samples.get('process_cpu_seconds_total')!;
  t.ok(cpu > 0 && cpu <= (user + system) / 1e6, `${cpu} s of CPU, all of the process's`);
  t.ok(cpu > (user + system) / 2e6, 'what was used before the page was made is counted');
  t.ok(samples.get('process_open_fds')! > 2);
  t.ok(samples.get('process_max_fds')! > 2);
  t.ok(samples.get('process_resident_memory_bytes')! > 1e7);
  t.ok(samples.get('process_virtual_memory_bytes')! > samples.get('process_resident_memory_bytes')!);
  const startMs = samples.get('process_start_time_seconds')! * 1000;
  t.ok(Math.abs(Date.now() - process.uptime() * 1000 - startMs) < 2_000);
});

t.test('docs/metrics.md names exactly the metrics that exist, as they are', async (t) => {
  const page = readFileSync(join(packageRoot, 'docs/metrics.md'), 'utf8');
  const told = [...page.matchAll(/^\| `([^`]+)` \| (\w+) \| ([^|]*) \| (.+) \|$/gm)].map(
    ([, name, type, labels, help]) => `${name} | ${type} | ${labels} | ${help}`,
  );
  const wanted = Object.values(METRICS).map(({ name, type, labels, help }) => {
    const told = labels.length === 0 ? '-' : labels.map((label) => `\`${label}\``).join(', ');
    return `${name} | ${type} | ${told} | ${help}`;
  });
  t.strictSame(told, wanted);
});

t.test('a page has exactly the metrics of the table', async (t) => {
  const rig = new MetricsRig(['/d1'], 'c');
  rig.operations.ended(row('OpWrite'), RESULT.ok, 1);
  const { families } = await pageOf(rig, [], true);
  const wanted = Object.values(METRICS).map(({ name, type }) => {
    return `${name.replace('<Op>', 'OpWrite').replace('<cluster>', 'c')} ${type}`;
  });
  t.strictSame([...families].map(([name, type]) => `${name} ${type}`).toSorted(), wanted.toSorted());
});

t.test('a node that has done nothing has a page, of the right type', async (t) => {
  const page = new MetricsPage(new MetricsRig(['/d']).source, nobody, () => 0);
  const { status, contentType, body } = await page.response(true);
  t.strictSame([status, contentType], [200, 'text/plain; version=0.0.4; charset=utf-8']);
  t.doesNotThrow(() => readMetrics(body));
});
