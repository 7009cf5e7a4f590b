/**
 * New requests of all ports as a worker takes them, a turn's worth at a time: descriptors become operations, and the bodies of writes are checksummed in one native call a port.
 *
 * Clients come first and have most of a turn; the node's own thread has a few places of each turn, so that neither shuts the other out. Outcomes of forwarded appends are handed on at once.
 */
import { native } from '../native/addon.js';
import {
  REQUEST_I32,
  REQUEST_KIND,
  REQUEST_KIND_SHIFT,
  SETTLE_F64,
  SETTLE_I32,
} from '../partition/messages.js';
import type { Operation } from '../partition/operation.js';
import { changesExtent } from '../protocol/opcodes.js';
import type { RingConsumer } from '../shm/ring.js';
import type { OperationPool } from './operationPool.js';
import { fillOperation, type Port } from './port.js';

/** Requests taken a turn: enough to share the costs of a turn, few enough to keep the first one's reply prompt. */
export const REQUESTS_PER_TURN = 256;
/** Of those, internal ones: 2 MiB of repaired data, some milliseconds of a slow disk. */
export const INTERNAL_PER_TURN = 16;

/** An append whose tiny extent was lent has come to its end on all replicas, or not. */
export type Settle = (partitionId: number, extentId: number, loan: number, acknowledged: boolean) => void;

export class RequestIntake {
  /** What the last `take` has taken, in order, up to the number that it returned. */
  readonly operations: Operation[] = [];
  /** Settles read by the last `take`. */
  settles = 0;
  /** Internal requests came since somebody set this to false. */
  internalSeen = false;
  readonly #ports: readonly Port[];
  readonly #regions: readonly Uint8Array[];
  readonly #pool: OperationPool;
  readonly #settle: Settle;
  /** Most that is taken in a turn up to each port. */
  readonly #until: readonly number[];
  /** Ranges to checksum, pairs of (offset, bytes), by port; and their results. */
  readonly #ranges: readonly Float64Array[];
  readonly #crcs = new Uint32Array(REQUESTS_PER_TURN);

  constructor(ports: readonly Port[], regions: readonly Uint8Array[], pool: OperationPool, settle: Settle) {
    this.#ports = ports;
    this.#regions = regions;
    this.#pool = pool;
    this.#settle = settle;
    const internal = ports.some((port) => port.internal) ? INTERNAL_PER_TURN : 0;
    this.#until = ports.map((port) => REQUESTS_PER_TURN - (port.internal ? 0 : internal));
    this.#ranges = ports.map(() => new Float64Array(REQUESTS_PER_TURN * 2));
  }

  /** Takes what has come, a turn's worth at most. Returns how many operations. */
  take(): number {
    this.settles = 0;
    let count = 0;
    for (let p = 0; p < this.#ports.length; p++) {
      const internal = this.#ports[p]!.internal;
      const until = internal ? Math.min(count + INTERNAL_PER_TURN, this.#until[p]!) : this.#until[p]!;
      const before = count;
      count = this.#takeFrom(p, count, until);
      if (internal && count > before) this.internalSeen = true;
    }
    return count;
  }

  #takeFrom(p: number, first: number, until: number): number {
    const port = this.#ports[p]!;
    const ops = this.operations;
    const ranges = this.#ranges[p]!;
    const { requests } = port;
    let count = first;
    let writes = 0;
    let settles = 0;
    while (count < until) {
      const at = requests.next();
      if (at < 0) break;
      if (requests.i32[at * 16 + REQUEST_I32.kind]! >>> REQUEST_KIND_SHIFT === REQUEST_KIND.settle) {
        this.#readSettle(requests, at);
        settles++;
        continue;
      }
      const op = this.#pool.acquire();
      fillOperation(op, port, at, p);
      if (changesExtent(op.opcode)) {
        ranges[writes * 2] = op.bufferOffset;
        ranges[writes * 2 + 1] = op.size;
        writes++;
      }
      ops[count++] = op;
    }
    if (count > first || settles > 0) requests.release();
    this.settles += settles;
    if (writes > 0) this.#checksum(p, first, writes);
    return count;
  }

  /** Checksums of the `writes` writes among the operations from `first` on, all of port `p`. */
  #checksum(p: number, first: number, writes: number): void {
    const ops = this.operations;
    native.crc32Many(this.#regions[p]!, this.#ranges[p]!, this.#crcs, writes);
    for (let i = first, w = 0; w < writes; i++) {
      const op = ops[i]!;
      if (changesExtent(op.opcode)) op.bodyCrc = this.#crcs[w++]!;
    }
  }

  #readSettle({ i32, f64 }: RingConsumer, at: number): void {
    const f = at * 8;
    this.#settle(
      f64[f + SETTLE_F64.partitionId]!,
      f64[f + SETTLE_F64.extentId]!,
      f64[f + SETTLE_F64.loan]!,
      i32[at * 16 + SETTLE_I32.acknowledged]! === 1,
    );
  }
}
