/**
 * The structures that raft's wire and log share (`raft.md` 3): entry, member, configuration change, snapshot meta, hard state. Bytes only.
 *
 * Node ids, terms, indexes and group ids are safe integers here: what comes from outside and is larger is refused by name. Decoded data and contexts are views of
 * the bytes they came in.
 */
import assert from 'node:assert';
import { MEMBERS_MAX } from './adminBodies.js';
import type { Decoded } from './jsonText.js';
import { SAFE_INTEGERS, type Uint64, type Uint64Form, Uint64Reader, writeUint64 } from './uint64Form.js';

/** What an entry's data is (`raft.md` 3.1). */
export const ENTRY_TYPE = { normal: 0, configurationChange: 1 } as const;

export interface RaftEntry<U extends Uint64 = number> {
  /** One of `ENTRY_TYPE`. */
  type: number;
  term: U;
  index: U;
  /** Empty for a new leader's first entry. Never changed after the entry was made. */
  data: Uint8Array;
}

/** A member of a group (`raft.md` 3.2). */
export interface RaftPeer<U extends Uint64 = number> {
  /** 0 normal, 1 arbiter. */
  type: number;
  priority: number;
  nodeId: U;
}

export const CHANGE_TYPE = { add: 0, remove: 1, update: 2 } as const;

/** The data of an entry of type 1 (`raft.md` 3.3). */
export interface ConfigurationChange<U extends Uint64 = number> {
  /** One of `CHANGE_TYPE`. */
  type: number;
  peer: RaftPeer<U>;
  context: Uint8Array;
}

/** What a snapshot stands for (`raft.md` 3.4). */
export interface SnapshotMeta<U extends Uint64 = number> {
  index: U;
  term: U;
  peers: readonly RaftPeer<U>[];
}

/** What a member must never forget (`raft.md` 3.6). Vote 0: nobody. */
export interface HardState<U extends Uint64 = number> {
  term: U;
  commit: U;
  vote: U;
}

/** Type, term and index in front of an entry's data. */
export const ENTRY_HEAD_BYTES = 17;
export const PEER_BYTES = 11;
/** Index, term and number of members. */
export const SNAPSHOT_META_HEAD_BYTES = 20;
export const HARD_STATE_BYTES = 24;
/** Type and member in front of a change's context. */
const CHANGE_HEAD_BYTES = 1 + PEER_BYTES;

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function tooShort(what: string, bytes: Uint8Array, least: number): { ok: false; message: string } {
  return { ok: false, message: `${what} of ${bytes.byteLength} bytes, at least ${least} are needed` };
}

/** Writes an entry at `offset` of the bytes that `view` shows. It takes `ENTRY_HEAD_BYTES` and its data. */
export function writeEntry(
  view: DataView,
  offset: number,
  entry: RaftEntry<Uint64>,
  form: Uint64Form<Uint64> = SAFE_INTEGERS,
): void {
  const { type, term, index, data } = entry;
  assert(type === ENTRY_TYPE.normal || type === ENTRY_TYPE.configurationChange, 'an entry of a known type');
  view.setUint8(offset, type);
  writeUint64(view, offset + 1, term, form);
  writeUint64(view, offset + 9, index, form);
  new Uint8Array(view.buffer, view.byteOffset + offset + ENTRY_HEAD_BYTES, data.byteLength).set(data);
}

/** An entry's bytes (`raft.md` 3.1). */
export function encodeEntry(entry: RaftEntry<Uint64>, form: Uint64Form<Uint64> = SAFE_INTEGERS): Uint8Array {
  const bytes = new Uint8Array(ENTRY_HEAD_BYTES + entry.data.byteLength);
  writeEntry(viewOf(bytes), 0, entry, form);
  return bytes;
}

/** Reads an entry that fills `bytes`. */
export function decodeEntry(bytes: Uint8Array): Decoded<RaftEntry> {
  return readEntry(new Uint64Reader(bytes, SAFE_INTEGERS));
}

/** The same in any form of u64. */
export function readEntry<U extends Uint64>(reader: Uint64Reader<U>): Decoded<RaftEntry<U>> {
  const { bytes, view } = reader;
  if (bytes.byteLength < ENTRY_HEAD_BYTES) return tooShort('entry', bytes, ENTRY_HEAD_BYTES);
  const type = view.getUint8(0);
  if (type > ENTRY_TYPE.configurationChange) return { ok: false, message: `entry of unknown type ${type}` };
  const entry = {
    type,
    term: reader.uint64(1, 'term of an entry'),
    index: reader.uint64(9, 'index of an entry'),
    data: bytes.subarray(ENTRY_HEAD_BYTES),
  };
  return reader.made(entry);
}

function writePeer(view: DataView, offset: number, peer: RaftPeer<Uint64>, form: Uint64Form<Uint64>): void {
  view.setUint8(offset, peer.type);
  view.setUint16(offset + 1, peer.priority);
  writeUint64(view, offset + 3, peer.nodeId, form);
}

function peerAt<U extends Uint64>(reader: Uint64Reader<U>, offset: number): RaftPeer<U> {
  return {
    type: reader.view.getUint8(offset),
    priority: reader.view.getUint16(offset + 1),
    nodeId: reader.uint64(offset + 3, 'node id of a member'),
  };
}

/** A member's bytes (`raft.md` 3.2). */
export function encodePeer(peer: RaftPeer<Uint64>, form: Uint64Form<Uint64> = SAFE_INTEGERS): Uint8Array {
  const bytes = new Uint8Array(PEER_BYTES);
  writePeer(viewOf(bytes), 0, peer, form);
  return bytes;
}

/** Reads a member. */
export function decodePeer(bytes: Uint8Array): Decoded<RaftPeer> {
  return readPeer(new Uint64Reader(bytes, SAFE_INTEGERS));
}

/** The same in any form of u64. */
export function readPeer<U extends Uint64>(reader: Uint64Reader<U>): Decoded<RaftPeer<U>> {
  const { bytes } = reader;
  if (bytes.byteLength !== PEER_BYTES)
    return { ok: false, message: `member of ${bytes.byteLength} bytes, not ${PEER_BYTES}` };
  const peer = peerAt(reader, 0);
  return reader.made(peer);
}

/** The data of an entry that changes the members (`raft.md` 3.3). */
export function encodeConfigurationChange(
  change: ConfigurationChange<Uint64>,
  form: Uint64Form<Uint64> = SAFE_INTEGERS,
): Uint8Array {
  const bytes = new Uint8Array(CHANGE_HEAD_BYTES + change.context.byteLength);
  const view = viewOf(bytes);
  view.setUint8(0, change.type);
  writePeer(view, 1, change.peer, form);
  bytes.set(change.context, CHANGE_HEAD_BYTES);
  return bytes;
}

/** Reads such data. */
export function decodeConfigurationChange(bytes: Uint8Array): Decoded<ConfigurationChange> {
  return readConfigurationChange(new Uint64Reader(bytes, SAFE_INTEGERS));
}

/** The same in any form of u64. */
export function readConfigurationChange<U extends Uint64>(
  reader: Uint64Reader<U>,
): Decoded<ConfigurationChange<U>> {
  const { bytes, view } = reader;
  if (bytes.byteLength < CHANGE_HEAD_BYTES) return tooShort('configuration change', bytes, CHANGE_HEAD_BYTES);
  const type = view.getUint8(0);
  if (type > CHANGE_TYPE.update)
    return { ok: false, message: `configuration change of unknown type ${type}` };
  const change = { type, peer: peerAt(reader, 1), context: bytes.subarray(CHANGE_HEAD_BYTES) };
  return reader.made(change);
}

/** What a snapshot stands for (`raft.md` 3.4). */
export function encodeSnapshotMeta(
  meta: SnapshotMeta<Uint64>,
  form: Uint64Form<Uint64> = SAFE_INTEGERS,
): Uint8Array {
  const bytes = new Uint8Array(SNAPSHOT_META_HEAD_BYTES + meta.peers.length * PEER_BYTES);
  const view = viewOf(bytes);
  writeUint64(view, 0, meta.index, form);
  writeUint64(view, 8, meta.term, form);
  view.setUint32(16, meta.peers.length);
  for (const [i, peer] of meta.peers.entries())
    writePeer(view, SNAPSHOT_META_HEAD_BYTES + i * PEER_BYTES, peer, form);
  return bytes;
}

/** Reads a meta that fills `bytes`. */
export function decodeSnapshotMeta(bytes: Uint8Array): Decoded<SnapshotMeta> {
  return readSnapshotMeta(new Uint64Reader(bytes, SAFE_INTEGERS));
}

/** The same in any form of u64. */
export function readSnapshotMeta<U extends Uint64>(reader: Uint64Reader<U>): Decoded<SnapshotMeta<U>> {
  const { bytes, view } = reader;
  if (bytes.byteLength < SNAPSHOT_META_HEAD_BYTES)
    return tooShort('snapshot meta', bytes, SNAPSHOT_META_HEAD_BYTES);
  const count = view.getUint32(16);
  const peerBytes = bytes.byteLength - SNAPSHOT_META_HEAD_BYTES;
  if (count > MEMBERS_MAX)
    return { ok: false, message: `snapshot meta with ${count} members, at most ${MEMBERS_MAX} are taken` };
  if (count * PEER_BYTES !== peerBytes)
    return { ok: false, message: `snapshot meta with ${count} members in ${peerBytes} bytes` };
  const index = reader.uint64(0, 'index of a snapshot');
  const term = reader.uint64(8, 'term of a snapshot');
  const peers: RaftPeer<U>[] = [];
  for (let i = 0; i < count && reader.fault === null; i += 1)
    peers.push(peerAt(reader, SNAPSHOT_META_HEAD_BYTES + i * PEER_BYTES));
  return reader.made({ index, term, peers });
}

/** The 24 bytes of a hard state (`raft.md` 3.6). */
export function encodeHardState(
  state: HardState<Uint64>,
  form: Uint64Form<Uint64> = SAFE_INTEGERS,
): Uint8Array {
  const bytes = new Uint8Array(HARD_STATE_BYTES);
  const view = viewOf(bytes);
  writeUint64(view, 0, state.term, form);
  writeUint64(view, 8, state.commit, form);
  writeUint64(view, 16, state.vote, form);
  return bytes;
}

/** Reads a hard state. */
export function decodeHardState(bytes: Uint8Array): Decoded<HardState> {
  return readHardState(new Uint64Reader(bytes, SAFE_INTEGERS));
}

/** The same in any form of u64. */
export function readHardState<U extends Uint64>(reader: Uint64Reader<U>): Decoded<HardState<U>> {
  const { bytes } = reader;
  if (bytes.byteLength !== HARD_STATE_BYTES)
    return { ok: false, message: `hard state of ${bytes.byteLength} bytes, not ${HARD_STATE_BYTES}` };
  const state = {
    term: reader.uint64(0, 'term of the hard state'),
    commit: reader.uint64(8, 'commit of the hard state'),
    vote: reader.uint64(16, 'vote of the hard state'),
  };
  return reader.made(state);
}
