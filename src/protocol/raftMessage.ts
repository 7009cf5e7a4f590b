/**
 * Raft messages (`raft.md` 2.2, 2.4): one message to one framed buffer, and a body back to a message. Bytes only; `raftFramer.ts` splits the stream.
 *
 * What is decoded is a view of the body, which must belong to the message from then on. Types that nobody may send over the wire decode like others: who
 * receives decides.
 */
import assert from 'node:assert';
import type { Decoded } from './jsonText.js';
import {
  ENTRY_HEAD_BYTES,
  encodeSnapshotMeta,
  PEER_BYTES,
  type RaftEntry,
  readEntry,
  readSnapshotMeta,
  SNAPSHOT_META_HEAD_BYTES,
  type SnapshotMeta,
  writeEntry,
} from './raftStructs.js';
import { SAFE_INTEGERS, type Uint64, type Uint64Form, Uint64Reader, writeUint64 } from './uint64Form.js';

export const RAFT_MESSAGE = {
  appendRequest: 0,
  voteRequest: 1,
  heartbeatRequest: 2,
  snapshot: 3,
  electionAckRequest: 4,
  appendResponse: 5,
  voteResponse: 6,
  heartbeatResponse: 7,
  /** Made by the leader's own node from a stream's outcome; never on the wire. */
  snapshotResponse: 8,
  electionAckResponse: 9,
  campaign: 10,
  proposal: 11,
  leaseOffline: 12,
  leaseTimeout: 13,
  checkQuorumRequest: 14,
  checkQuorumResponse: 15,
} as const;

/** One message; fields that a type does not use are 0, false, empty or null. */
export interface RaftMessage<U extends Uint64 = number> {
  /** One of `RAFT_MESSAGE`. */
  type: number;
  /** Of a vote request: in spite of a living leader. In a lease time-out: such a request is to be made. Means nothing elsewhere. */
  forceVote: boolean;
  reject: boolean;
  rejectIndex: U;
  /** 0 in heartbeats. */
  group: U;
  from: U;
  to: U;
  /** 0: no term check. */
  term: U;
  logTerm: U;
  index: U;
  commit: U;
  entries: readonly RaftEntry<U>[];
  context: Uint8Array;
  /** Of a snapshot header, else null. */
  snapshot: SnapshotMeta<U> | null;
}

/** Bytes of the length in front of each body; it does not count itself. */
export const FRAME_HEAD_BYTES = 4;
/** The byte that a receiver of a snapshot writes back when it has taken it (`raft.md` 2.6). */
export const SNAPSHOT_ACK = 1;

const VERSION = 1;
const TYPE_MAX = RAFT_MESSAGE.checkQuorumResponse;
/** Fields that every message has; the tail follows. */
export const HEAD_BYTES = 68;
/** Number of entries. */
const COUNT_BYTES = 4;
/** Shortest body of any message but a snapshot header: no entries, no context. */
export const RAFT_BODY_BYTES_MIN = HEAD_BYTES + COUNT_BYTES;
/** Length in front of an entry. */
const SIZE_BYTES = 4;
const ENTRY_BYTES_MIN = SIZE_BYTES + ENTRY_HEAD_BYTES;
const EMPTY = new Uint8Array(0);

/** Where the fields of the head are; `raft.md` 2.2. */
export const HEAD_AT = {
  ...{ version: 0, type: 1, forceVote: 2, reject: 3, rejectIndex: 4, group: 12, from: 20, to: 28 },
  ...{ term: 36, logTerm: 44, index: 52, commit: 60 },
} as const;

/** A message with its length in front. A snapshot header has its meta, every other type has none. */
export function encodeMessage(
  message: RaftMessage<Uint64>,
  form: Uint64Form<Uint64> = SAFE_INTEGERS,
): Uint8Array {
  const frame = new Uint8Array(messageBytes(message));
  writeMessage(message, frame, form);
  return frame;
}

/** Bytes of a message with its length in front. */
export function messageBytes(message: RaftMessage<Uint64>): number {
  return FRAME_HEAD_BYTES + HEAD_BYTES + tailBytes(message);
}

/** The same as `encodeMessage`, into `frame`, which has just as many bytes as `messageBytes` tells. */
export function writeMessage(
  message: RaftMessage<Uint64>,
  frame: Uint8Array,
  form: Uint64Form<Uint64> = SAFE_INTEGERS,
): void {
  const { type, snapshot } = message;
  assert(type >= 0 && type <= TYPE_MAX, 'a message of a known type');
  assert((type === RAFT_MESSAGE.snapshot) === (snapshot !== null), 'a snapshot header alone has a meta');
  const { buffer, byteOffset, byteLength } = frame;
  new DataView(buffer, byteOffset).setUint32(0, byteLength - FRAME_HEAD_BYTES);
  const view = new DataView(buffer, byteOffset + FRAME_HEAD_BYTES, byteLength - FRAME_HEAD_BYTES);
  writeHead(view, message, form);
  if (snapshot === null) writeTail(frame, view, message, form);
  else frame.set(encodeSnapshotMeta(snapshot, form), FRAME_HEAD_BYTES + HEAD_BYTES);
}

function writeHead(view: DataView, message: RaftMessage<Uint64>, form: Uint64Form<Uint64>): void {
  view.setUint8(HEAD_AT.version, VERSION);
  view.setUint8(HEAD_AT.type, message.type);
  view.setUint8(HEAD_AT.forceVote, Number(message.forceVote));
  view.setUint8(HEAD_AT.reject, Number(message.reject));
  writeUint64(view, HEAD_AT.rejectIndex, message.rejectIndex, form);
  writeUint64(view, HEAD_AT.group, message.group, form);
  writeUint64(view, HEAD_AT.from, message.from, form);
  writeUint64(view, HEAD_AT.to, message.to, form);
  writeUint64(view, HEAD_AT.term, message.term, form);
  writeUint64(view, HEAD_AT.logTerm, message.logTerm, form);
  writeUint64(view, HEAD_AT.index, message.index, form);
  writeUint64(view, HEAD_AT.commit, message.commit, form);
}

/** Bytes behind the head. */
function tailBytes({ snapshot, entries, context }: RaftMessage<Uint64>): number {
  if (snapshot !== null) {
    assert(entries.length === 0 && context.byteLength === 0, 'a snapshot header has nothing but its meta');
    return SNAPSHOT_META_HEAD_BYTES + snapshot.peers.length * PEER_BYTES;
  }
  let bytes = COUNT_BYTES + context.byteLength;
  for (const { data } of entries) bytes += ENTRY_BYTES_MIN + data.byteLength;
  return bytes;
}

/** Writes entries and context. */
function writeTail(
  frame: Uint8Array,
  view: DataView,
  { entries, context }: RaftMessage<Uint64>,
  form: Uint64Form<Uint64>,
): void {
  view.setUint32(HEAD_BYTES, entries.length);
  let at = HEAD_BYTES + COUNT_BYTES;
  for (const entry of entries) {
    const sizeBytes = ENTRY_HEAD_BYTES + entry.data.byteLength;
    view.setUint32(at, sizeBytes);
    writeEntry(view, at + SIZE_BYTES, entry, form);
    at += SIZE_BYTES + sizeBytes;
  }
  assert(
    FRAME_HEAD_BYTES + at + context.byteLength === frame.byteLength,
    'a frame of the bytes that were told',
  );
  frame.set(context, FRAME_HEAD_BYTES + at);
}

/**
 * Reads a body, without its length. Refuses another version, an unknown type, whatever is cut off or claims more than is there, and numbers beyond 2^53 - 1: the
 * connection that brought it is to be closed (`raft.md` 2.7).
 */
export function decodeMessage(body: Uint8Array): Decoded<RaftMessage> {
  return readMessage(new Uint64Reader(body, SAFE_INTEGERS));
}

/** The same in any form of u64. */
export function readMessage<U extends Uint64>(reader: Uint64Reader<U>): Decoded<RaftMessage<U>> {
  const fault = headFault(reader.bytes);
  if (fault !== null) return { ok: false, message: `raft message: ${fault}` };
  const message = readHead(reader);
  const tailFault = reader.fault ?? readTail(reader, message);
  return tailFault === null
    ? { ok: true, value: message }
    : { ok: false, message: `raft message of type ${message.type}: ${tailFault}` };
}

/** What keeps the head of a body from being read, or null. */
export function headFault(body: Uint8Array): string | null {
  if (body.byteLength < HEAD_BYTES) return `${body.byteLength} bytes, at least ${HEAD_BYTES} are needed`;
  const version = body[HEAD_AT.version]!;
  if (version !== VERSION) return `version ${version}, not ${VERSION}`;
  const type = body[HEAD_AT.type]!;
  return type > TYPE_MAX ? `unknown type ${type}` : null;
}

function readHead<U extends Uint64>(reader: Uint64Reader<U>): RaftMessage<U> {
  const { view } = reader;
  return {
    type: view.getUint8(HEAD_AT.type),
    forceVote: view.getUint8(HEAD_AT.forceVote) === 1,
    reject: view.getUint8(HEAD_AT.reject) === 1,
    rejectIndex: reader.uint64(HEAD_AT.rejectIndex, 'rejectIndex'),
    group: reader.uint64(HEAD_AT.group, 'group'),
    from: reader.uint64(HEAD_AT.from, 'from'),
    to: reader.uint64(HEAD_AT.to, 'to'),
    term: reader.uint64(HEAD_AT.term, 'term'),
    logTerm: reader.uint64(HEAD_AT.logTerm, 'logTerm'),
    index: reader.uint64(HEAD_AT.index, 'index'),
    commit: reader.uint64(HEAD_AT.commit, 'commit'),
    entries: [],
    context: EMPTY,
    snapshot: null,
  };
}

/** Fills in what follows the head; null, or what is wrong. */
function readTail<U extends Uint64>(reader: Uint64Reader<U>, message: RaftMessage<U>): string | null {
  const { view, bytes } = reader;
  if (message.type === RAFT_MESSAGE.snapshot) {
    const meta = readSnapshotMeta(reader.part(HEAD_BYTES, bytes.byteLength));
    if (!meta.ok) return meta.message;
    message.snapshot = meta.value;
    return null;
  }
  if (bytes.byteLength < HEAD_BYTES + COUNT_BYTES) return 'the number of entries is cut off';
  const count = view.getUint32(HEAD_BYTES);
  let at = HEAD_BYTES + COUNT_BYTES;
  if (count * ENTRY_BYTES_MIN > bytes.byteLength - at)
    return `${count} entries in ${bytes.byteLength - at} bytes`;
  const entries: RaftEntry<U>[] = [];
  for (let i = 0; i < count; i += 1) {
    if (at + SIZE_BYTES > bytes.byteLength) return `entry ${i} of ${count}: its size is cut off`;
    const sizeBytes = view.getUint32(at);
    at += SIZE_BYTES;
    if (sizeBytes > bytes.byteLength - at)
      return `entry ${i} of ${count}: ${sizeBytes} bytes, ${bytes.byteLength - at} are left`;
    const entry = readEntry(reader.part(at, at + sizeBytes));
    if (!entry.ok) return `entry ${i} of ${count}: ${entry.message}`;
    entries.push(entry.value);
    at += sizeBytes;
  }
  message.entries = entries;
  message.context = bytes.subarray(at);
  return null;
}

/** A block of a snapshot's stream (`raft.md` 2.6): its length, then itself. An empty one is the end of the stream. */
export function encodeSnapshotBlock(block: Uint8Array): Uint8Array {
  const frame = new Uint8Array(FRAME_HEAD_BYTES + block.byteLength);
  new DataView(frame.buffer).setUint32(0, block.byteLength);
  frame.set(block, FRAME_HEAD_BYTES);
  return frame;
}
