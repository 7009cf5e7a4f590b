/**
 * Every metric of `/metrics` as one table: name, type, labels, and what `docs/metrics.md` says of it. Pure data.
 *
 * First the reference's names (`admin.md` 11.1), which have no labels and partly depend on operation and cluster; then ours; last those of the process, which
 * `processMetrics.ts` gets from a library, help and all, under the names that the reference's has.
 */

import { type MetricRow, row } from './metricRow.js';
import { RAFT_METRICS } from './raftMetricTable.js';

/** Metrics by the name that the page's code uses. */
export const METRICS = {
  startTime: row('cfs_dataNode_start_time', 'gauge', [], 'Start time, Unix seconds times 1000.'),
  lastDuration: row(
    'cfs_dataNode_<Op>',
    'gauge',
    [],
    'Duration of the last operation of this kind, nanoseconds.',
  ),
  samples: row('cfs_dataNode_<Op>_count', 'counter', [], 'Operations of this kind since the start.'),
  warnings: row('cfs_dataNode_<cluster>_dataNode_warning', 'counter', [], 'Alarms raised since the start.'),

  operations: row(
    'extentd_operations_total',
    'counter',
    ['op', 'result'],
    'Operations that were answered, by kind and result code.',
  ),
  durations: row(
    'extentd_operation_duration_seconds',
    'histogram',
    ['op'],
    'From the complete request to its last reply packet.',
  ),
  bytes: row(
    'extentd_operation_bytes_total',
    'counter',
    ['op', 'direction'],
    'Bytes of packet bodies received (in) and sent (out).',
  ),
  abandoned: row(
    'extentd_abandoned_requests_total',
    'counter',
    [],
    'Requests without a reply, because their connection had failed or was gone.',
  ),
  connections: row('extentd_connections', 'gauge', [], 'Open connections at the data port.'),
  inFlight: row('extentd_requests_in_flight', 'gauge', [], 'Requests and chunks of reads at disk workers.'),
  followerLinks: row(
    'extentd_follower_links',
    'gauge',
    [],
    'Open connections to followers, one for each client connection and follower.',
  ),
  replicating: row(
    'extentd_replicated_requests_in_flight',
    'gauge',
    [],
    'Requests that go to followers too and are not known to be done or failed.',
  ),
  followerFailures: row(
    'extentd_follower_failures_total',
    'counter',
    ['reason'],
    'Lost connections to followers that had requests on them, and requests that a follower has failed (`error`).',
  ),
  slabSlots: row('extentd_slab_slots', 'gauge', ['bytes'], 'Payload slots, by their size.'),
  slabUsed: row('extentd_slab_slots_used', 'gauge', ['bytes'], 'Payload slots in use, by their size.'),
  ringSlots: row(
    'extentd_ring_slots',
    'gauge',
    ['disk', 'worker', 'ring'],
    'Descriptors of the ring between the network thread and a worker.',
  ),
  ringUsed: row(
    'extentd_ring_slots_used',
    'gauge',
    ['disk', 'worker', 'ring'],
    'Descriptors in the ring that were not taken yet.',
  ),
  loopLag: row(
    'extentd_main_loop_lag_seconds',
    'histogram',
    [],
    'How late the event loop of the main thread was, looked at fifty times a second.',
  ),

  repairRounds: row(
    'extentd_repair_rounds_total',
    'counter',
    ['kind'],
    'Rounds of repair of the partitions of which this node is the first host, by kind of extents.',
  ),
  repairTasks: row(
    'extentd_repair_tasks_total',
    'counter',
    [],
    'Tasks of repair carried out for other nodes.',
  ),
  repairExtents: row(
    'extentd_repair_fetched_extents_total',
    'counter',
    [],
    'Extents that were made as long here as on another replica.',
  ),
  repairBytes: row(
    'extentd_repair_fetched_bytes_total',
    'counter',
    [],
    'Bytes that were written for it, holes included.',
  ),
  repairFailures: row(
    'extentd_repair_failures_total',
    'counter',
    ['what'],
    'What failed: rounds, notifications to members, fetches of extents, syncs of tiny deletes, votes on blocks that differ.',
  ),
  repairHealed: row(
    'extentd_repair_healed_total',
    'counter',
    ['what'],
    'Blocks that got the content that most replicas have, and stored checksums that were wrong over a right block.',
  ),
  repairAbsent: row(
    'extentd_repair_absent_members',
    'gauge',
    [],
    'Replicas that took no part in the last rounds of those partitions.',
  ),
  repairTiny: row(
    'extentd_repair_tiny_extents',
    'gauge',
    ['state'],
    'Tiny extents of those partitions, available for small writes or broken until a round finds all replicas equal.',
  ),
  repairJoining: row(
    'extentd_repair_joining_partitions',
    'gauge',
    [],
    'New replicas that do not have all data yet.',
  ),
  repairOldest: row(
    'extentd_repair_oldest_round_age_seconds',
    'gauge',
    ['disk'],
    'Since the last round began, of the partition that has waited longest; a round is due each minute.',
  ),

  ...RAFT_METRICS,

  diskTotal: row('extentd_disk_total_bytes', 'gauge', ['disk'], 'Capacity less the reserve.'),
  diskUsed: row('extentd_disk_used_bytes', 'gauge', ['disk'], 'Used of it.'),
  diskAvailable: row('extentd_disk_available_bytes', 'gauge', ['disk'], 'Available of it.'),
  diskReserved: row('extentd_disk_reserved_bytes', 'gauge', ['disk'], 'Kept free.'),
  diskStatus: row('extentd_disk_status', 'gauge', ['disk'], '2 read-write, 1 read-only, -1 unavailable.'),
  diskHung: row(
    'extentd_disk_hung',
    'gauge',
    ['disk'],
    '1 while the probe or the thread of the disk is silent.',
  ),
  diskRefusing: row(
    'extentd_disk_refusing',
    'gauge',
    ['disk'],
    '1 while the disk takes no requests: it does not answer, or could not be served.',
  ),
  diskThreaded: row(
    'extentd_disk_writes_threaded',
    'gauge',
    ['disk'],
    '1 while writes run on I/O threads, because the disk is slow; 0: inline.',
  ),
  diskErrors: row(
    'extentd_disk_errors_total',
    'counter',
    ['disk', 'kind'],
    'Failed calls on the disk, reading or changing it.',
  ),
  diskPartitions: row('extentd_disk_partitions', 'gauge', ['disk'], 'Partitions served from the disk.'),
  diskLeads: row(
    'extentd_disk_partitions_led',
    'gauge',
    ['disk'],
    'Partitions of the disk whose raft group this node leads, or whose only host it is.',
  ),
  diskRaftOut: row(
    'extentd_disk_raft_groups_out_of_service',
    'gauge',
    ['disk'],
    'Partitions of the disk whose raft group should run and does not; the log says why.',
  ),
  diskRaftGroups: row(
    'extentd_disk_raft_groups',
    'gauge',
    ['disk'],
    'Partitions of the disk whose raft group runs.',
  ),
  diskRaftLeaders: row(
    'extentd_disk_raft_leader_changes_total',
    'counter',
    ['disk'],
    'Times that a raft group of the disk has got a leader, as seen here.',
  ),
  diskRaftWaiting: row(
    'extentd_disk_raft_requests_waiting',
    'gauge',
    ['disk'],
    'Random writes, and reads of the leader, that are with their groups.',
  ),
  diskWaiting: row(
    'extentd_disk_requests_waiting_for_limits',
    'gauge',
    ['disk'],
    'Requests that wait for a limit of the disk, or behind one that does.',
  ),
  diskDurations: row(
    'extentd_disk_operation_duration_seconds',
    'histogram',
    ['disk', 'kind'],
    'Reads and writes at the disk worker, limits included; a read counts once for each 128 KiB.',
  ),
  diskBytes: row(
    'extentd_disk_bytes_total',
    'counter',
    ['disk', 'kind'],
    'Bytes read and written for packets.',
  ),
  diskOther: row(
    'extentd_disk_other_operations_total',
    'counter',
    ['disk'],
    'Operations at the disk worker that neither read nor write extents.',
  ),
  diskFailed: row(
    'extentd_disk_failed_operations_total',
    'counter',
    ['disk'],
    'Operations at the disk worker that were answered with an error.',
  ),
  diskWaits: row(
    'extentd_disk_reads_waited_for_heal_total',
    'counter',
    ['disk', 'outcome'],
    'Reads that have met a damaged block and waited for it to be healed, and got it, or an error.',
  ),

  volumePartitions: row(
    'extentd_volume_partitions',
    'gauge',
    ['volume'],
    'Partitions of the volume on this node.',
  ),
  volumeUsed: row('extentd_volume_used_bytes', 'gauge', ['volume'], 'Bytes used by them.'),
  volumeOperations: row(
    'extentd_volume_operations_total',
    'counter',
    ['volume', 'kind'],
    'Operations on them; a read counts once for each 128 KiB.',
  ),
  volumeBytes: row('extentd_volume_bytes_total', 'counter', ['volume', 'kind'], 'Bytes read and written.'),
  volumeSeconds: row(
    'extentd_volume_duration_seconds_total',
    'counter',
    ['volume', 'kind'],
    'Sum of the durations of those reads and writes at the disk worker.',
  ),
  volumeFailed: row(
    'extentd_volume_failed_operations_total',
    'counter',
    ['volume'],
    'Operations on them that were answered with an error.',
  ),

  partitionUsed: row(
    'extentd_partition_used_bytes',
    'gauge',
    partitionLabels(),
    'Bytes used by the partition.',
  ),
  partitionStatus: row(
    'extentd_partition_status',
    'gauge',
    partitionLabels(),
    '2 read-write, 1 read-only, -1 unavailable, its disk aside.',
  ),
  partitionOperations: row(
    'extentd_partition_operations_total',
    'counter',
    partitionLabels('kind'),
    'Operations on the partition; a read counts once for each 128 KiB.',
  ),
  partitionBytes: row(
    'extentd_partition_bytes_total',
    'counter',
    partitionLabels('kind'),
    'Bytes read and written.',
  ),
  partitionSeconds: row(
    'extentd_partition_duration_seconds_total',
    'counter',
    partitionLabels('kind'),
    'Sum of the durations of those reads and writes at the disk worker.',
  ),
  partitionFailed: row(
    'extentd_partition_failed_operations_total',
    'counter',
    partitionLabels(),
    'Operations on the partition that were answered with an error.',
  ),

  cpu: row('process_cpu_seconds_total', 'counter', [], 'User and system CPU time of the process.'),
  cpuUser: row('process_cpu_user_seconds_total', 'counter', [], 'User part of it.'),
  cpuSystem: row('process_cpu_system_seconds_total', 'counter', [], 'System part of it.'),
  openFiles: row('process_open_fds', 'gauge', [], 'Open file descriptors.'),
  maxFiles: row('process_max_fds', 'gauge', [], 'Most of them.'),
  resident: row('process_resident_memory_bytes', 'gauge', [], 'Resident memory of the process.'),
  virtual: row('process_virtual_memory_bytes', 'gauge', [], 'Virtual memory of the process.'),
  processStart: row('process_start_time_seconds', 'gauge', [], 'Start of the process, Unix seconds.'),
} as const satisfies Record<string, MetricRow>;

/** Names of the process's metrics. */
export const PROCESS_METRICS: readonly string[] = Object.values(METRICS)
  .map(({ name }) => name)
  .filter((name) => name.startsWith('process_'));

function partitionLabels(...more: string[]): string[] {
  return ['partition', 'volume', 'disk', ...more];
}
