/**
 * Main's end of the ring to one worker. A ring has room for a message or two of 1 MiB, which a socket brings in one turn: what finds no room waits here, in order, up to a bound. Beyond that it is
 * dropped and counted, but for the end of a snapshot, which is always kept.
 */
import { SAFE_INTEGERS, writeUint64 } from '../protocol/uint64Form.js';
import { RAFT_IN } from '../raft/ports.js';
import { MessageRingProducer } from '../shm/messageRing.js';
import type { Drops } from './figures.js';
import type { TransportWorker } from './parts.js';

const NODE_ID_BYTES = 8;

interface Waiting {
  readonly kind: number;
  readonly a: number;
  readonly bytes: Uint8Array;
}

export class WorkerRing {
  readonly #ring: MessageRingProducer;
  readonly #bell: TransportWorker;
  readonly #drops: Drops;
  readonly #waitBytesMax: number;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  /** Something was written since the bell was rung. */
  #isDirty = false;

  constructor(worker: TransportWorker, waitBytesMax: number, drops: Drops) {
    this.#ring = new MessageRingProducer(worker.toWorker);
    this.#bell = worker;
    this.#waitBytesMax = waitBytesMax;
    this.#drops = drops;
  }

  /** Something waits for room: `flush` again, soon. */
  get waits(): boolean {
    return this.#ring.waits || this.#waiting.length > 0;
  }

  /** One of `RAFT_IN`, but `snapshotSent`. The bytes are the ring's from then on. False: it was dropped. */
  write(kind: number, a: number, bytes: Uint8Array): boolean {
    if (!this.waits && this.#ring.write(kind, a, bytes)) {
      this.#isDirty = true;
      return true;
    }
    if (this.#waitingBytes + bytes.byteLength > this.#waitBytesMax) {
      this.#drops.workerFull += 1;
      return false;
    }
    this.#keep({ kind, a, bytes });
    return true;
  }

  /** A snapshot for `to` has ended. One for each that the worker has sent: there are few. */
  snapshotSent(group: number, to: number, isTaken: boolean): void {
    const bytes = new Uint8Array(NODE_ID_BYTES + 1);
    writeUint64(new DataView(bytes.buffer), 0, to, SAFE_INTEGERS);
    bytes[NODE_ID_BYTES] = isTaken ? 1 : 0;
    this.#keep({ kind: RAFT_IN.snapshotSent, a: group, bytes });
  }

  /** Writes what waits, as far as there is room, and rings once for all that was written. Whether anything was. */
  flush(): boolean {
    this.#writeWaiting();
    if (!this.#isDirty) return false;
    this.#isDirty = false;
    this.#bell.ring();
    return true;
  }

  #keep(waiting: Waiting): void {
    this.#waiting.push(waiting);
    this.#waitingBytes += waiting.bytes.byteLength;
  }

  #writeWaiting(): void {
    if (this.#ring.flush()) this.#isDirty = true;
    let written = 0;
    for (const { kind, a, bytes } of this.#waiting) {
      if (!this.#ring.write(kind, a, bytes)) break;
      this.#waitingBytes -= bytes.byteLength;
      written += 1;
    }
    if (written === 0) return;
    this.#waiting = this.#waiting.slice(written);
    this.#isDirty = true;
  }
}
