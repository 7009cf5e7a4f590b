/**
 * The part of a raft message that whoever passes it on has to know: what kind, which group, from whom, to whom. Nothing is made of the rest, which stays bytes until
 * its worker decodes it (`raftMessage.ts`).
 */
import { HEAD_AT, HEAD_BYTES, headFault, RAFT_BODY_BYTES_MIN, RAFT_MESSAGE } from './raftMessage.js';
import { SNAPSHOT_META_HEAD_BYTES } from './raftStructs.js';
import { SAFE_INTEGERS } from './uint64Form.js';

/** Filled by `readRaftHead`; one object serves all messages of a stream. */
export interface RaftHead {
  /** One of `RAFT_MESSAGE`. */
  type: number;
  /** 0 in heartbeats. */
  group: number;
  from: number;
  to: number;
}

/** A head that nothing was read into. */
export function emptyHead(): RaftHead {
  return { type: 0, group: 0, from: 0, to: 0 };
}

/**
 * Reads the head of a body, without its length, into `head`. Returns null, or what is wrong with it: another version, an unknown type, too short for its type, or a
 * number beyond 2^53 - 1. `head` means nothing then.
 */
export function readRaftHead(body: Uint8Array, head: RaftHead): string | null {
  const fault = headFault(body);
  if (fault !== null) return fault;
  const type = body[HEAD_AT.type]!;
  const bytesMin = type === RAFT_MESSAGE.snapshot ? SNAPSHOT_BYTES_MIN : RAFT_BODY_BYTES_MIN;
  if (body.byteLength < bytesMin) return `${body.byteLength} bytes, type ${type} has at least ${bytesMin}`;
  const group = uint64At(body, HEAD_AT.group);
  const from = uint64At(body, HEAD_AT.from);
  const to = uint64At(body, HEAD_AT.to);
  if (group === null || from === null || to === null) return 'a group or node id is larger than 2^53 - 1';
  head.type = type;
  head.group = group;
  head.from = from;
  head.to = to;
  return null;
}

/** Head and meta, without members. */
const SNAPSHOT_BYTES_MIN = HEAD_BYTES + SNAPSHOT_META_HEAD_BYTES;

function uint64At(bytes: Uint8Array, at: number): number | null {
  return SAFE_INTEGERS.fromWords(uint32At(bytes, at), uint32At(bytes, at + 4));
}

function uint32At(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}
