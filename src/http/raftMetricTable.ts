/**
 * The metrics of raft: what the transport and the workers carry between nodes, and what the repair thread does for it. Part of the table of metrics (`metricTable.ts`). Pure data.
 */
import { row } from './metricRow.js';

/** By the name that the page's code uses. */
export const RAFT_METRICS = {
  raftMessages: row(
    'extentd_raft_messages_total',
    'counter',
    ['direction', 'type'],
    'Messages received from other nodes, and taken for a connection to them.',
  ),
  raftBytes: row(
    'extentd_raft_bytes_total',
    'counter',
    ['direction', 'type'],
    'Bytes of those messages, lengths in front included.',
  ),
  raftDropped: row(
    'extentd_raft_dropped_messages_total',
    'counter',
    ['reason'],
    'Messages that went no further; raft sends again what matters.',
  ),
  raftConnections: row(
    'extentd_raft_connections',
    'gauge',
    ['direction'],
    'Open connections at the raft ports, and to those of other nodes.',
  ),
  raftConnectionEvents: row(
    'extentd_raft_connection_events_total',
    'counter',
    ['direction', 'event'],
    'What has become of connections at the raft ports, and to those of other nodes.',
  ),
  raftSnapshotsRunning: row(
    'extentd_raft_snapshots_running',
    'gauge',
    [],
    'Snapshots on their way to other nodes.',
  ),
  raftSnapshots: row(
    'extentd_raft_snapshots_total',
    'counter',
    ['direction', 'event'],
    'Snapshots for other nodes by their end, and those that came in.',
  ),
  raftOldestExchange: row(
    'extentd_raft_oldest_exchange_age_seconds',
    'gauge',
    [],
    'Since all replicas have told what they have applied, of the partition led here that has waited longest; they are asked each minute, and logs are cut no further meanwhile.',
  ),

  raftMissing: row(
    'extentd_raft_missing_ranges',
    'gauge',
    [],
    'Ranges of extents that raft has changed and this node could not write yet, or has to compare with other replicas after a snapshot; reads of them are sent elsewhere.',
  ),
  raftMissingBytes: row(
    'extentd_raft_missing_fetched_bytes_total',
    'counter',
    ['what'],
    'Bytes of such ranges that were compared with another replica, and those that differed and were written.',
  ),
} as const;
