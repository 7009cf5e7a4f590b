/**
 * Brings the tiny deletes that this replica has missed from the first host (`repair.md` 9): reads its file and ours side by side and has carried out what is missing. What that is, is decided in `tinyDeletes.ts`.
 */

import { TINY_DELETE_FILE_BYTES_MAX } from '../partition/internalRecords.js';
import { OP } from '../protocol/opcodes.js';
import { encodeRequest } from '../protocol/packet.js';
import { TINY_DELETE_RECORD_BYTES, TINY_DELETE_REPLY_BYTES_MAX } from '../protocol/tinyDelete.js';
import { BLOCK_BYTES } from '../storage/layout.js';
import { eachBounded } from './bounded.js';
import type { OwnReplica } from './ownReplica.js';
import type { PeerConnection, PeerPacket } from './peerConnection.js';
import { checkAnswer } from './peerReplica.js';
import {
  type MissedDelete,
  missedDeletes,
  NEVER_SYNCED,
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

export interface DeleteSyncParts {
  readonly ownAddress: string;
  dial(address: string): Promise<PeerConnection>;
  nextReqId(): number;
  crc32(data: Uint8Array): number;
  nowMs(): number;
}

/** Of one partition. */
export class DeleteSync {
  readonly #own: OwnReplica;
  readonly #parts: DeleteSyncParts;
  #state: SyncState = NEVER_SYNCED;
  #upToDateWith = '';
  /** One sync at a time: two would carry out the same deletes twice. */
  #last: Promise<void> = Promise.resolve();

  constructor(own: OwnReplica, parts: DeleteSyncParts) {
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
    const from = syncFrom(this.#state, leader, bytes, this.#parts.nowMs());
    if (from !== null) {
      await this.#bring(leader, from, bytes);
      this.#state = synced(this.#state, leader, from, bytes, this.#parts.nowMs());
    }
    this.#upToDateWith = leader;
  }

  async #bring(leader: string, from: number, bytes: number): Promise<void> {
    const { dial, nextReqId } = this.#parts;
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
        await this.#carryOut(records, position);
        position += packet.body.byteLength;
      }
      await this.#own.finishDeletes(bytes);
    } finally {
      connection.close();
    }
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

  async #carryOut(theirs: Uint8Array, offset: number): Promise<void> {
    for (let at = 0; at < theirs.byteLength; at += COMPARE_BYTES) {
      const part = theirs.subarray(at, at + COMPARE_BYTES);
      const ours = await this.#own.tinyDeleteRecords(offset + at, part.byteLength);
      let failure: Error | null = null;
      await eachBounded(missedDeletes(part, ours, offset + at), DELETES_AT_ONCE, async (missed) => {
        try {
          await this.#delete(missed);
        } catch (error) {
          failure ??= error as Error;
        }
      });
      if (failure !== null) throw failure;
    }
  }

  #delete({ record, at }: MissedDelete): Promise<void> {
    const { extentId, extentOffset, sizeBytes } = record;
    return this.#own.missedDelete(extentId, { extentOffset, sizeBytes, recordAt: at });
  }
}
