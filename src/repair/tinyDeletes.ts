/**
 * Tiny deletes that this replica has missed (`repair.md` 7.5, 9): which records of the first host are to be carried out here, and from where on its file is to be read. Pure.
 *
 * Both files are arrays of slots. A record that came by replication lies in the same slot on both replicas, so most slots are equal and cost nothing. One that is missing is carried out and
 * put into the same slot, also where its range is a hole here already, so that this replica can tell a third one when it is the first host; where another record lies there (files that an older node has synced
 * are shifted), it goes to the end of this file, unless it stands somewhere in it. Carrying one out twice does no harm: its range is a hole then, and a tiny extent's ranges are never used again.
 *
 * A range that the extent here does not have yet is neither: the data may still come from a replica that has missed the delete as well. It is deferred until the extent is as long.
 */
import assert from 'node:assert';
import {
  readTinyDeleteRecord,
  TINY_DELETE_FULL_SYNC_SECONDS,
  TINY_DELETE_RECORD_BYTES,
  type TinyDeleteRecord,
} from '../protocol/tinyDelete.js';
import { isTinyExtent, PAGE_BYTES } from '../storage/layout.js';

/** A record to be carried out. Byte offsets: `at` of its slot here, -1 for the end of the file; `theirs` of its slot in the first host's. */
export interface MissedDelete {
  readonly record: TinyDeleteRecord;
  readonly at: number;
  readonly theirs: number;
}

/**
 * Compares a piece of the first host's file with the same part of ours. `theirs` and `ours`: whole slots, ours may be shorter (the file ends there). `offset`: of the first slot in
 * the files.
 */
export function missedDeletes(theirs: Uint8Array, ours: Uint8Array, offset: number): MissedDelete[] {
  assert(theirs.byteLength % TINY_DELETE_RECORD_BYTES === 0, 'a piece of delete records is whole slots');
  const view = new DataView(theirs.buffer, theirs.byteOffset, theirs.byteLength);
  const missed: MissedDelete[] = [];
  for (let at = 0; at < theirs.byteLength; at += TINY_DELETE_RECORD_BYTES) {
    const record = readTinyDeleteRecord(view, at);
    if (record === null || !makesSense(record)) continue;
    const own = ours.subarray(at, at + TINY_DELETE_RECORD_BYTES);
    if (Buffer.compare(theirs.subarray(at, at + TINY_DELETE_RECORD_BYTES), own) === 0) continue;
    const theirPlace = offset + at;
    missed.push({ record, at: own.every((byte) => byte === 0) ? theirPlace : -1, theirs: theirPlace });
  }
  return missed;
}

/** Else it is an empty slot, half a record that a loss of power has left, or nothing that a store has written. A worker refuses those, and one must not keep all behind it from being carried out. */
function makesSense({ extentId, extentOffset, sizeBytes }: TinyDeleteRecord): boolean {
  const isRange = sizeBytes > 0 && Number.isSafeInteger(extentOffset + sizeBytes);
  return isTinyExtent(extentId) && isRange && extentOffset % PAGE_BYTES === 0;
}

/** Two slots are the same record when their keys are equal. `at`: byte offset in `slots`. */
export function recordKey(slots: Uint8Array, at: number): string {
  return Buffer.from(slots.buffer, slots.byteOffset + at, TINY_DELETE_RECORD_BYTES).toString('latin1');
}

/** Deletes of ranges that extents here do not have yet. */
export class DeferredDeletes {
  #fromBytes = Number.POSITIVE_INFINITY;
  /** By extent the smallest end of a range. */
  readonly #ends = new Map<number, number>();

  /** Place of the first one in the first host's file; Infinity: there is none. */
  get fromBytes(): number {
    return this.#fromBytes;
  }

  add({ record: { extentId, extentOffset, sizeBytes }, theirs }: MissedDelete): void {
    this.#fromBytes = Math.min(this.#fromBytes, theirs);
    this.#addEnd(extentId, extentOffset + sizeBytes);
  }

  addAll(others: DeferredDeletes): void {
    this.#fromBytes = Math.min(this.#fromBytes, others.#fromBytes);
    for (const [extentId, end] of others.#ends) this.#addEnd(extentId, end);
  }

  /** Whether one of them can be carried out. */
  isDue(tinyExtents: readonly { readonly fileId: number; readonly size: number }[]): boolean {
    return tinyExtents.some(
      ({ fileId, size }) => size >= (this.#ends.get(fileId) ?? Number.POSITIVE_INFINITY),
    );
  }

  #addEnd(extentId: number, end: number): void {
    this.#ends.set(extentId, Math.min(end, this.#ends.get(extentId) ?? Number.POSITIVE_INFINITY));
  }
}

/** What is known of the syncs of one partition in this life. */
export interface SyncState {
  /** The first host that the last whole sync was with; empty: none has ended. */
  readonly with: string;
  /** Monotonic ms of its end. */
  readonly fullAtMs: number;
  /** Up to where that host's file has been carried out here, but for what was deferred. */
  readonly doneBytes: number;
  readonly deferred: DeferredDeletes;
}

/** The state at the beginning of a life. */
export function neverSynced(): SyncState {
  return { with: '', fullAtMs: 0, doneBytes: 0, deferred: new DeferredDeletes() };
}

/**
 * From where on the file of `leader` is to be read; null: there is nothing new. A whole sync is due at the first task of a life, with another first host, and once a day: records below what
 * was done may have been missed by a packet that failed here. `leaderBytes`: the end that the task announces; `deferredDue`: something that was deferred can be carried out.
 */
export function syncFrom(
  state: SyncState,
  leader: string,
  leaderBytes: number,
  deferredDue: boolean,
  nowMs: number,
): number | null {
  if (leaderBytes <= 0) return null;
  const isFull = state.with !== leader || nowMs - state.fullAtMs >= TINY_DELETE_FULL_SYNC_SECONDS * 1000;
  if (isFull) return 0;
  const from = deferredDue ? Math.min(state.deferred.fromBytes, state.doneBytes) : state.doneBytes;
  return from < leaderBytes ? from : null;
}

/** The state after the file of `leader` was carried out from `from` up to `leaderBytes`, except `deferred`. */
export function synced(
  state: SyncState,
  leader: string,
  from: number,
  leaderBytes: number,
  deferred: DeferredDeletes,
  nowMs: number,
): SyncState {
  const fullAtMs = from === 0 ? nowMs : state.fullAtMs;
  const all = new DeferredDeletes();
  all.addAll(deferred);
  // Those behind `from` have had their turn.
  if (state.deferred.fromBytes < from) all.addAll(state.deferred);
  return { with: leader, fullAtMs, doneBytes: leaderBytes, deferred: all };
}
