/**
 * Every v1.4.0 data node opcode as one table (`wire.md` 4), and fast look-ups made from it.
 *
 * The server's admission, the workers' dispatch, metrics, error replies and docs take names, groups and rules from here. Which opcodes this
 * build executes is not said here: that belongs to who executes them.
 */
import type { PacketHeader } from './header.js';

/** `write`: append ops; `randomWrite`: raft ops; `sync`: durable before the reply; `read`: request without body; `master`: admin tasks. */
export type OpcodeGroup = 'write' | 'randomWrite' | 'sync' | 'read' | 'master';

/** Which cap a request body has: `write` = user data, `other` = everything else (`wire.md` 13#1). */
export type BodyClass = 'none' | 'write' | 'other';

export interface OpcodeRow {
  readonly value: number;
  /** Name of the reference, `OpWrite`. */
  readonly name: string;
  /** First part of an error reply's text (`wire.md` 5.3). */
  readonly action: string;
  readonly groups: readonly OpcodeGroup[];
  /** Whether Size bytes follow a request (`wire.md` 3.1). A read request with a result code has a body nevertheless. */
  readonly body: BodyClass;
  /** `<Op>` of `cfs_dataNode_<Op>` (`admin.md` 11.1); empty for those the reference has no name for. */
  readonly metric: string;
}

/** Action, and beginning of the message, of opcodes that a data node does not know. */
export const UNKNOWN_OPCODE_ACTION = 'unknown opcode';

/**
 * Opcodes from here to 0xef never travel: requests of this node's own threads to its workers (`partition/internalOps.ts`). Whoever sends one over the wire is refused as with any unknown opcode.
 */
export const INTERNAL_OPCODE_FIRST = 0xd0;
const INTERNAL_OPCODE_LAST = 0xef;
/** Their errors go where those of a notification go. */
const INTERNAL_ACTION = 'ActionRepair:';

/** Opcode values by name, for code that builds or dispatches packets. */
export const OP = {
  createExtent: 0x01,
  markDelete: 0x02,
  write: 0x03,
  read: 0x04,
  streamRead: 0x05,
  streamFollowerRead: 0x06,
  getAllWatermarks: 0x07,
  notifyReplicasToRepair: 0x08,
  extentRepairRead: 0x09,
  broadcastMinAppliedId: 0x0a,
  randomWrite: 0x0f,
  getAppliedId: 0x10,
  getPartitionSize: 0x11,
  syncRandomWrite: 0x12,
  syncWrite: 0x13,
  readTinyDeleteRecord: 0x14,
  tinyExtentRepairRead: 0x15,
  getMaxExtentIdAndPartitionSize: 0x16,
  createDataPartition: 0x60,
  deleteDataPartition: 0x61,
  loadDataPartition: 0x62,
  dataNodeHeartbeat: 0x63,
  replicateFile: 0x64,
  deleteFile: 0x65,
  decommissionDataPartition: 0x66,
  addDataPartitionRaftMember: 0x67,
  removeDataPartitionRaftMember: 0x68,
  dataPartitionTryToLeader: 0x69,
  ping: 0xff,
} as const;

type Row = [
  value: number,
  name: string,
  action: string,
  groups: OpcodeGroup[],
  body: BodyClass,
  metric?: string,
];

// Rows 0x0A, 0x10, 0x11, 0x16: the reference never fails there and has no action; ours name the operation in the same manner.
const TABLE: Row[] = [
  [OP.createExtent, 'OpCreateExtent', 'ActionCreateExtent:', [], 'other'],
  [OP.markDelete, 'OpMarkDelete', 'ActionMarkDelete:', [], 'other'],
  [OP.write, 'OpWrite', 'ActionWrite:', ['write'], 'write'],
  [OP.read, 'OpRead', UNKNOWN_OPCODE_ACTION, ['read'], 'none', 'Read'],
  [OP.streamRead, 'OpStreamRead', 'ActionStreamRead', ['read'], 'none'],
  [OP.streamFollowerRead, 'OpStreamFollowerRead', 'ActionStreamRead', ['read'], 'none'],
  [OP.getAllWatermarks, 'OpGetAllWatermarks', 'ActionGetAllExtentWatermarks:', [], 'other'],
  [OP.notifyReplicasToRepair, 'OpNotifyReplicasToRepair', 'ActionRepair:', [], 'other'],
  [OP.extentRepairRead, 'OpExtentRepairRead', 'ActionStreamRead', ['read'], 'none'],
  [OP.broadcastMinAppliedId, 'OpBroadcastMinAppliedID', 'ActionBroadcastMinAppliedID', [], 'other'],
  [OP.randomWrite, 'OpRandomWrite', 'ActionWrite:', ['randomWrite'], 'write'],
  [OP.getAppliedId, 'OpGetAppliedId', 'ActionGetAppliedId', [], 'other'],
  [OP.getPartitionSize, 'OpGetPartitionSize', 'ActionGetPartitionSize', [], 'other'],
  [OP.syncRandomWrite, 'OpSyncRandomWrite', 'ActionWrite:', ['randomWrite', 'sync'], 'write'],
  [OP.syncWrite, 'OpSyncWrite', 'ActionWrite:', ['write', 'sync'], 'write'],
  [OP.readTinyDeleteRecord, 'OpReadTinyDeleteRecord', 'ActionStreamReadTinyDeleteRecord', ['read'], 'none'],
  [OP.tinyExtentRepairRead, 'OpTinyExtentRepairRead', 'ActionStreamReadTinyExtentRepair', ['read'], 'none'],
  [
    OP.getMaxExtentIdAndPartitionSize,
    'OpGetMaxExtentIDAndPartitionSize',
    'ActionGetMaxExtentIDAndPartitionSize',
    [],
    'other',
  ],
  [OP.createDataPartition, 'OpCreateDataPartition', 'ActionCreateDataPartition', ['master'], 'other'],
  [OP.deleteDataPartition, 'OpDeleteDataPartition', 'ActionDeleteDataPartition', ['master'], 'other'],
  [OP.loadDataPartition, 'OpLoadDataPartition', 'ActionLoadDataPartition', ['master'], 'other'],
  // The reference answers a bad heartbeat under the create action.
  [OP.dataNodeHeartbeat, 'OpDataNodeHeartbeat', 'ActionCreateDataPartition', ['master'], 'other'],
  [OP.replicateFile, 'OpReplicateFile', UNKNOWN_OPCODE_ACTION, [], 'other', ''],
  [OP.deleteFile, 'OpDeleteFile', UNKNOWN_OPCODE_ACTION, [], 'other', ''],
  [
    OP.decommissionDataPartition,
    'OpDecommissionDataPartition',
    'ActionDecommissionPartition',
    ['master'],
    'other',
  ],
  [
    OP.addDataPartitionRaftMember,
    'OpAddDataPartitionRaftMember',
    'ActionAddDataPartitionRaftMember',
    ['master'],
    'other',
  ],
  [
    OP.removeDataPartitionRaftMember,
    'OpRemoveDataPartitionRaftMember',
    'ActionRemoveDataPartitionRaftMember',
    ['master'],
    'other',
  ],
  [
    OP.dataPartitionTryToLeader,
    'OpDataPartitionTryToLeader',
    'ActionDataPartitionTryToLeader',
    ['master'],
    'other',
  ],
  [OP.ping, 'OpPing', UNKNOWN_OPCODE_ACTION, [], 'other', ''],
];

/** The whole table, in order of value. */
export const OPCODES: readonly OpcodeRow[] = TABLE.map(([value, name, action, groups, body, metric]) => ({
  value,
  name,
  action,
  groups,
  body,
  metric: metric ?? name,
}));

const rows: readonly (OpcodeRow | undefined)[] = Array.from({ length: 256 }, (_, value) =>
  OPCODES.find((row) => row.value === value),
);
const GROUP_BIT: Record<OpcodeGroup, number> = { write: 1, randomWrite: 2, sync: 4, read: 8, master: 16 };
const groupBits = Uint8Array.from(rows, (row) =>
  (row?.groups ?? []).reduce((bits, group) => bits | GROUP_BIT[group], 0),
);
const names = rows.map((row, value) => row?.name ?? `Op0x${value.toString(16).padStart(2, '0')}`);

/** The row of an opcode, or undefined where v1.4.0 has none for data nodes. */
export function opcodeRow(opcode: number): OpcodeRow | undefined {
  return rows[opcode];
}

/** OpWrite, OpSyncWrite: the body's CRC is checked on arrival, the primary assigns tiny extents. */
export function isWriteOp(opcode: number): boolean {
  return (groupBits[opcode]! & 1) !== 0;
}

/** OpRandomWrite, OpSyncRandomWrite: go through raft. */
export function isRandomWriteOp(opcode: number): boolean {
  return (groupBits[opcode]! & 2) !== 0;
}

/** Changes bytes of an extent: an append or rewrite of a client, or a random write that raft has committed. */
export function changesExtent(opcode: number): boolean {
  return (groupBits[opcode]! & 3) !== 0;
}

/** Data is on disk before the reply. */
export function isSyncOp(opcode: number): boolean {
  return (groupBits[opcode]! & 4) !== 0;
}

/** Requests whose Size is the number of bytes wanted. */
export function isReadOp(opcode: number): boolean {
  return (groupBits[opcode]! & 8) !== 0;
}

/** What other replicas read from this one for their repair: background work here. */
export function isRepairReadOp(opcode: number): boolean {
  return (
    opcode === OP.extentRepairRead || opcode === OP.tinyExtentRepairRead || opcode === OP.readTinyDeleteRecord
  );
}

/** Admin tasks of the master: no checks of extent type or partition on arrival. */
export function isMasterOp(opcode: number): boolean {
  return (groupBits[opcode]! & 16) !== 0;
}

/** A packet that this node, as primary, assigns ids for (`wire.md` 4, groups). */
export function isPrimaryPacket(opcode: number, remainingFollowers: number): boolean {
  return (
    remainingFollowers > 0 && (isWriteOp(opcode) || opcode === OP.createExtent || opcode === OP.markDelete)
  );
}

/** Whether an opcode is one of this node's own requests to itself. */
export function isInternalOp(opcode: number): boolean {
  return opcode >= INTERNAL_OPCODE_FIRST && opcode <= INTERNAL_OPCODE_LAST;
}

/** First part of this opcode's error texts; `unknown opcode` for opcodes that are not handled. */
export function actionOf(opcode: number): string {
  return rows[opcode]?.action ?? (isInternalOp(opcode) ? INTERNAL_ACTION : UNKNOWN_OPCODE_ACTION);
}

/** `OpWrite`; `Op0x55` where there is none. For logs. */
export function nameOf(opcode: number): string {
  return names[opcode]!;
}

/** `<Op>` of the metric names; empty for opcodes without one. */
export function metricOf(opcode: number): string {
  return rows[opcode]?.metric ?? '';
}

/** Which cap applies to a request's body. */
export function bodyClassOf(opcode: number): BodyClass {
  return rows[opcode]?.body ?? 'other';
}

/** Body bytes that follow a request on the wire (`wire.md` 3.1). */
export function requestBodyBytes(header: PacketHeader): number {
  return header.resultCode === 0 && isReadOp(header.opcode) ? 0 : header.size;
}

/**
 * Body bytes that follow a reply on the wire. Peers skip the body of 0x04, 0x05, 0x06, 0x09 with result code 0, which no proper reply has;
 * so do we, to stay in step with a peer that sends one.
 */
export function replyBodyBytes(header: PacketHeader): number {
  if (header.resultCode !== 0) return header.size;
  const { opcode } = header;
  const skipped =
    opcode === OP.read ||
    opcode === OP.streamRead ||
    opcode === OP.streamFollowerRead ||
    opcode === OP.extentRepairRead;
  return skipped ? 0 : header.size;
}
