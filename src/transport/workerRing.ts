/**
 * Main's end of the ring to one worker. What finds no room is dropped and counted, but for the end of a snapshot, which is kept until it is written.
 */
import { SAFE_INTEGERS, writeUint64 } from '../protocol/uint64Form.js';
import { RAFT_IN } from '../raft/ports.js';
import { MessageRingProducer } from '../shm/messageRing.js';
import type { Drops } from './figures.js';
import type { TransportWorker } from './parts.js';

const NODE_ID_BYTES = 8;

interface SnapshotEnd {
  readonly group: number;
  readonly bytes: Uint8Array;
}

export class WorkerRing {
  readonly #ring: MessageRingProducer;
  readonly #bell: TransportWorker;
  readonly #drops: Drops;
  /** Ends of snapshots that found no room. One a snapshot that the worker sent, so there are few. */
  #ends: SnapshotEnd[] = [];
  /** Something was written since the bell was rung. */
  #isDirty = false;

  constructor(worker: TransportWorker, drops: Drops) {
    this.#ring = new MessageRingProducer(worker.toWorker);
    this.#bell = worker;
    this.#drops = drops;
  }

  /** Something waits for room: `flush` again, soon. */
  get waits(): boolean {
    return this.#ring.waits || this.#ends.length > 0;
  }

  /** One of `RAFT_IN`, but `snapshotSent`; false: it was dropped. */
  write(kind: number, a: number, bytes: Uint8Array): boolean {
    const isWritten = this.#ring.write(kind, a, bytes);
    if (isWritten) this.#isDirty = true;
    else this.#drops.workerFull += 1;
    return isWritten;
  }

  /** A snapshot for `to` has ended. */
  snapshotSent(group: number, to: number, isTaken: boolean): void {
    const bytes = new Uint8Array(NODE_ID_BYTES + 1);
    writeUint64(new DataView(bytes.buffer), 0, to, SAFE_INTEGERS);
    bytes[NODE_ID_BYTES] = isTaken ? 1 : 0;
    this.#ends.push({ group, bytes });
  }

  /** Writes what waits, and rings once for all that was written. */
  flush(): void {
    if (this.#ring.waits) {
      this.#ring.flush();
      this.#isDirty = true;
    }
    let written = 0;
    for (const { group, bytes } of this.#ends) {
      if (!this.#ring.write(RAFT_IN.snapshotSent, group, bytes)) break;
      written += 1;
    }
    if (written > 0) {
      this.#ends = this.#ends.slice(written);
      this.#isDirty = true;
    }
    if (!this.#isDirty) return;
    this.#isDirty = false;
    this.#bell.ring();
  }
}
