/**
 * Who sends which packet to a data node: the classes of peers at its ports, and for each opcode those that have a reason to send it (`wire.md` 4, 7, 9).
 *
 * The access lists of the packet port (`server/portAccess.ts`) are made of this. Pure; a class is a bit, so that a connection's classes are one number and the
 * question is one look-up and one AND.
 *
 * A data node sends replicated packets (RemainingFollowers 0), repair reads and the small queries, and passes membership changes on to the raft leader. It sends
 * no primary packet, no stream read and no random write: those go through raft's own ports.
 */
import { ERROR_TEXT } from './errors.js';
import { isReadOp, isRepairReadOp, nameOf, OP } from './opcodes.js';

/** `clients`: clients, and meta nodes with their deletes; `peers`: other data nodes; `masters`: the masters' admin tasks. */
export const PORT_CLASS = { clients: 1, peers: 2, masters: 4 } as const;
export type PortClass = keyof typeof PORT_CLASS;

/** All classes: what an address is in that no list keeps out. */
export const EVERY_CLASS = PORT_CLASS.clients | PORT_CLASS.peers | PORT_CLASS.masters;

const { clients, peers, masters } = PORT_CLASS;

/** Opcode, senders with RemainingFollowers 0, senders with more. */
const TABLE: [opcode: number, plain: number, primary: number][] = [
  // With no followers: of a partition with one replica by its client, or forwarded by the primary.
  [OP.createExtent, clients | peers, clients],
  [OP.markDelete, clients | peers, clients],
  [OP.write, clients | peers, clients],
  [OP.syncWrite, clients | peers, clients],
  [OP.randomWrite, clients, clients],
  [OP.syncRandomWrite, clients, clients],
  [OP.streamRead, clients, clients],
  [OP.streamFollowerRead, clients, clients],
  [OP.getAllWatermarks, peers, peers],
  [OP.notifyReplicasToRepair, peers, peers],
  [OP.extentRepairRead, peers, peers],
  [OP.broadcastMinAppliedId, peers, peers],
  [OP.getAppliedId, peers, peers],
  [OP.getPartitionSize, peers, peers],
  [OP.readTinyDeleteRecord, peers, peers],
  [OP.tinyExtentRepairRead, peers, peers],
  [OP.getMaxExtentIdAndPartitionSize, peers, peers],
  [OP.createDataPartition, masters, masters],
  [OP.deleteDataPartition, masters, masters],
  [OP.loadDataPartition, masters, masters],
  [OP.dataNodeHeartbeat, masters, masters],
  // A node that is not the raft leader passes these on to it.
  [OP.decommissionDataPartition, masters | peers, masters | peers],
  [OP.addDataPartitionRaftMember, masters | peers, masters | peers],
  [OP.removeDataPartitionRaftMember, masters | peers, masters | peers],
  [OP.dataPartitionTryToLeader, masters, masters],
];

/** Offset of the half of `senders` for packets that name followers. */
const PRIMARY = 256;
// What no peer sends is answered `unknown opcode`, whoever asks.
const senders = new Uint8Array(2 * PRIMARY).fill(EVERY_CLASS);
for (const [opcode, plain, primary] of TABLE) {
  senders[opcode] = plain;
  senders[PRIMARY + opcode] = primary;
}

/** The classes (bits of `PORT_CLASS`) that may send a packet with this opcode. Those that this node does not know: all. */
export function sendersOf(opcode: number, remainingFollowers: number): number {
  return senders[remainingFollowers > 0 ? PRIMARY + opcode : opcode]!;
}

/** The message of a packet whose sender is of none of the classes that may send it; the result code follows from its beginning. */
export function notAdmitted(opcode: number, remainingFollowers: number): string {
  const allowed = sendersOf(opcode, remainingFollowers);
  const names = (Object.keys(PORT_CLASS) as PortClass[]).filter((name) => (allowed & PORT_CLASS[name]) !== 0);
  const lists = names.map((name) => `access.${name}`).join(' or ');
  // A client's read may be admitted by another replica; whatever else is refused fails at once.
  const text =
    isReadOp(opcode) && !isRepairReadOp(opcode) ? ERROR_TEXT.readNotAdmitted : ERROR_TEXT.notAdmitted;
  return `${text}: ${nameOf(opcode)} wants an address of ${lists}`;
}
