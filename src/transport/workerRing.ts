/**
 * Main's end of the ring to one worker: what finds no room waits (`shm/waitingRing.ts`), and beyond the bound is dropped, counted and told. The bell is rung once for all that was written.
 */
import { SAFE_INTEGERS, writeUint64 } from '../protocol/uint64Form.js';
import { RAFT_IN } from '../raft/ports.js';
import { WaitingRing } from '../shm/waitingRing.js';
import type { Drops } from './figures.js';
import type { TransportLog, TransportWorker } from './parts.js';

const NODE_ID_BYTES = 8;

export class WorkerRing {
  readonly #ring: WaitingRing;
  readonly #bell: TransportWorker;
  readonly #drops: Drops;
  readonly #log: TransportLog;

  constructor(worker: TransportWorker, waitBytesMax: number, drops: Drops, log: TransportLog) {
    this.#ring = new WaitingRing(worker.toWorker, waitBytesMax);
    this.#bell = worker;
    this.#drops = drops;
    this.#log = log;
  }

  /** Something waits for room: `flush` again, soon. */
  get waits(): boolean {
    return this.#ring.waits;
  }

  /** One of `RAFT_IN`, but `snapshotSent`. False: it was dropped. */
  write(kind: number, a: number, bytes: Uint8Array): boolean {
    if (this.#ring.write(kind, a, bytes)) return true;
    this.#drops.workerFull += 1;
    this.#log.write('warn', 'raft ring full', 'a worker takes no raft messages: they are dropped');
    return false;
  }

  /** A snapshot for `to` has ended. One for each that the worker has sent: there are few. */
  snapshotSent(group: number, to: number, isTaken: boolean): void {
    const bytes = new Uint8Array(NODE_ID_BYTES + 1);
    writeUint64(new DataView(bytes.buffer), 0, to, SAFE_INTEGERS);
    bytes[NODE_ID_BYTES] = isTaken ? 1 : 0;
    this.#ring.keep(RAFT_IN.snapshotSent, group, bytes);
  }

  /** Writes what waits, as far as there is room, and rings once for all that was written. Whether anything was. */
  flush(): boolean {
    this.#ring.flush();
    if (!this.#ring.dirty) return false;
    this.#ring.dirty = false;
    this.#bell.ring();
    return true;
  }
}
