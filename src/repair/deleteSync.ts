/**
 * Brings the tiny deletes that this replica has missed from the first host (`repair.md` 9): reads its file and ours side by side and has carried out what is missing. What that is, is decided in `tinyDeletes.ts`.
 */

import { type MissedRange, TINY_DELETE_FILE_BYTES_MAX } from '../partition/internalRecords.js';
import { OP } from '../protocol/opcodes.js';
import { encodeRequest } from '../protocol/packet.js';
import {
  TINY_DELETE_RECORD_BYTES,
  TINY_DELETE_REPLY_BYTES_MAX,
  writeTinyDeleteRecord,
} from '../protocol/tinyDelete.js';
import { BLOCK_BYTES, TINY_EXTENT_FIRST, TINY_EXTENT_LAST } from '../storage/layout.js';
import { eachBounded } from './bounded.js';
import type { PeerConnection, PeerPacket } from './peerConnection.js';
import { checkAnswer } from './peerReplica.js';
import {
  DeferredDeletes,
  type MissedDelete,
  missedDeletes,
  neverSynced,
  recordKey,
  type SyncState,
  synced,
  syncFrom,
} from './tinyDeletes.js';

/** A first host that has nothing to send is silent (R11), and it is asked only for what it has announced. */
const PACKET_MS = 10_000;
/** Deletes at the worker at one time. */
const DELETES_AT_ONCE = 16;
/** Bytes of both files that are compared at one time: whole slots. */
const COMPARE_BYTES = Math.floor(BLOCK_BYTES / TINY_DELETE_RECORD_BYTES) * TINY_DELETE_RECORD_BYTES;
/** Records that wait to be looked for in our file, each a hundred bytes of memory. */
const MISPLACED_MAX = 50_000;
const TINY_IDS = Array.from({ length: TINY_EXTENT_LAST }, (_, i) => TINY_EXTENT_FIRST + i);

/** One reading of a first host's file. */
interface Reading {
  readonly deferred: DeferredDeletes;
  /** Missed deletes whose slot another record has here, by their keys. */
  readonly misplaced: Map<string, MissedDelete>;
}

export interface DeleteSyncParts {
  readonly ownAddress: string;
  dial(address: string): Promise<PeerConnection>;
  nextReqId(): number;
  crc32(data: Uint8Array): number;
  nowMs(): number;
}

/** This node's replica, as `OwnReplica` has it. */
export interface DeletesHere {
  readonly partitionId: number;
  tinyExtents(ids: readonly number[]): Promise<readonly { readonly fileId: number; readonly size: number }[]>;
  tinyDeleteRecords(offset: number, bytes: number): Promise<Uint8Array>;
  describe(): Promise<{ readonly tinyDeleteEnd: number }>;
  missedDelete(extentId: number, range: MissedRange): Promise<boolean>;
  finishDeletes(bytes: number): Promise<void>;
}

/** Of one partition. */
export class DeleteSync {
  readonly #own: DeletesHere;
  readonly #parts: DeleteSyncParts;
  #state: SyncState = neverSynced();
  #upToDateWith = '';
  /** One sync at a time: two would carry out the same deletes twice. */
  #last: Promise<void> = Promise.resolve();

  constructor(own: DeletesHere, parts: DeleteSyncParts) {
    this.#own = own;
    this.#parts = parts;
  }

  /** The first host whose deletes were all carried out here, as of its last announcement in this life; empty: none. */
  get upToDateWith(): string {
    return this.#upToDateWith;
  }

  /** Carries out the deletes of `leader`'s file up to `bytes`. */
  run(leader: string, bytes: number): Promise<void> {
    const run = this.#last.then(() => this.#run(leader, bytes));
    this.#last = run.catch(() => {});
    return run;
  }

  async #run(leader: string, bytes: number): Promise<void> {
    if (leader === this.#parts.ownAddress) return;
    if (bytes < 0 || bytes > TINY_DELETE_FILE_BYTES_MAX || bytes % TINY_DELETE_RECORD_BYTES !== 0)
      throw new Error(`${leader} announces ${bytes} bytes of tiny deletes`);
    const from = syncFrom(this.#state, leader, bytes, await this.#deferredDue(), this.#parts.nowMs());
    if (from !== null) {
      const deferred = await this.#bring(leader, from, bytes);
      this.#state = synced(this.#state, leader, from, bytes, deferred, this.#parts.nowMs());
    }
    this.#upToDateWith = leader;
  }

  async #deferredDue(): Promise<boolean> {
    const { deferred } = this.#state;
    return Number.isFinite(deferred.fromBytes) && deferred.isDue(await this.#own.tinyExtents(TINY_IDS));
  }

  /** Resolves with what could not be carried out yet. */
  async #bring(leader: string, from: number, bytes: number): Promise<DeferredDeletes> {
    const { dial, nextReqId } = this.#parts;
    const reading: Reading = { deferred: new DeferredDeletes(), misplaced: new Map() };
    const { partitionId } = this.#own;
    const reqId = nextReqId();
    const connection = await dial(leader);
    try {
      connection.send(
        encodeRequest({ opcode: OP.readTinyDeleteRecord, reqId, partitionId, extentOffset: from }),
      );
      for (let position = from; position < bytes; ) {
        const packet = await connection.next(PACKET_MS);
        checkAnswer(leader, packet, reqId, partitionId);
        this.#check(leader, packet, position);
        // What was added since the announcement comes with the next one.
        const records = packet.body.subarray(0, bytes - position);
        await this.#compare(records, position, reading);
        position += packet.body.byteLength;
      }
    } finally {
      connection.close();
    }
    await this.#own.finishDeletes(bytes);
    await this.#append(reading);
    return reading.deferred;
  }

  #check(leader: string, { header, body }: PeerPacket, position: number): void {
    const { byteLength } = body;
    const whole = byteLength > 0 && byteLength % TINY_DELETE_RECORD_BYTES === 0;
    if (!whole || byteLength > TINY_DELETE_REPLY_BYTES_MAX)
      throw new Error(`${leader}: ${byteLength} bytes of tiny deletes in one packet`);
    if (header.extentOffset !== position)
      throw new Error(`${leader}: tiny deletes at ${header.extentOffset}, expected at ${position}`);
    if (this.#parts.crc32(body) !== header.crc)
      throw new Error(`${leader}: the checksum of tiny deletes differs`);
  }

  async #compare(theirs: Uint8Array, offset: number, reading: Reading): Promise<void> {
    for (let at = 0; at < theirs.byteLength; at += COMPARE_BYTES) {
      const part = theirs.subarray(at, at + COMPARE_BYTES);
      const ours = await this.#own.tinyDeleteRecords(offset + at, part.byteLength);
      const missed = missedDeletes(part, ours, offset + at);
      for (const each of missed.filter(({ at: place }) => place < 0))
        reading.misplaced.set(keyOf(each), each);
      const placed = missed.filter(({ at: place }) => place >= 0);
      await this.#carryOut(placed, reading.deferred);
      if (reading.misplaced.size >= MISPLACED_MAX) await this.#append(reading);
    }
  }

  /** Carries out the misplaced ones that stand nowhere in our file. Else each whole sync would put them behind its end again. */
  async #append({ misplaced, deferred }: Reading): Promise<void> {
    if (misplaced.size === 0) return;
    const { tinyDeleteEnd } = await this.#own.describe();
    for (let offset = 0; offset < tinyDeleteEnd; offset += COMPARE_BYTES) {
      const ours = await this.#own.tinyDeleteRecords(offset, Math.min(COMPARE_BYTES, tinyDeleteEnd - offset));
      for (let at = 0; at < ours.byteLength; at += TINY_DELETE_RECORD_BYTES)
        misplaced.delete(recordKey(ours, at));
    }
    await this.#carryOut([...misplaced.values()], deferred);
    misplaced.clear();
  }

  async #carryOut(missed: readonly MissedDelete[], deferred: DeferredDeletes): Promise<void> {
    let failure: Error | null = null;
    await eachBounded(missed, DELETES_AT_ONCE, async (each) => {
      const { extentId, extentOffset, sizeBytes } = each.record;
      try {
        const range = { extentOffset, sizeBytes, recordAt: each.at };
        if (!(await this.#own.missedDelete(extentId, range))) deferred.add(each);
      } catch (error) {
        failure ??= error as Error;
      }
    });
    if (failure !== null) throw failure;
  }
}

function keyOf({ record }: MissedDelete): string {
  const slot = new Uint8Array(TINY_DELETE_RECORD_BYTES);
  writeTinyDeleteRecord(new DataView(slot.buffer), 0, record);
  return recordKey(slot, 0);
}
