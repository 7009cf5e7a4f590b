/**
 * Requests that this network thread has taken on and not yet answered, by tag.
 *
 * A tag is an index into parallel arrays, so taking on a packet allocates nothing. The raw header stays here and is echoed from here: ReqID and KernelOffset never
 * travel to a worker. A tag belongs to one connection's reply queue (linked by `next`, in request order) until its reply is sent, and to a worker from
 * dispatch until that worker's reply; it is free again when both have let go. A tag whose connection died, or whose disk stalled, is *abandoned*: its slot
 * stays taken until the worker gives it back, because the worker may still write into it.
 *
 * The tag of a packet that goes to followers too has more holders (`holds`): its reply queue, its worker, and each link that has to do with it. The last one that lets go frees it.
 */
import assert from 'node:assert';
import { REPLY_F64, REPLY_I32 } from '../partition/messages.js';
import { HEADER_BYTES } from '../protocol/header.js';
import { RESULT } from '../protocol/resultCodes.js';
import type { RingConsumer } from '../shm/ring.js';

/** Room for one raw header, a cache line. */
const HEADER_STRIDE = 64;

/** Life of a tag. `replicating`: its worker has done it, and followers have not all. `failing`: a follower has failed it, and its worker has not ended it. */
export const TAG = { free: 0, waiting: 1, done: 2, abandoned: 3, replicating: 4, failing: 5 } as const;

/** What a tag stands for: a whole packet, one chunk of a stream read, a packet executed on this thread, or one packet of a stream of unknown length. */
export const TAG_KIND = { packet: 0, chunk: 1, local: 2, stream: 3 } as const;

export class PendingTable {
  readonly capacity: number;
  /** Raw request headers, HEADER_STRIDE bytes a tag. */
  readonly headers: Buffer;
  readonly headerView: DataView;
  readonly state: Uint8Array;
  readonly kind: Uint8Array;
  /** Index of the connection, and of the worker (-1: none). */
  readonly connection: Int32Array;
  readonly worker: Int32Array;
  /** WORK: which share of its worker it counts in. */
  readonly share: Uint8Array;
  /** Slab handle, -1: none. */
  readonly slot: Int32Array;
  /** Next tag of the same connection, -1: last. */
  readonly next: Int32Array;
  /** Bytes charged to the connection's budget. */
  readonly charged: Int32Array;
  /** When its request was here as a whole, ms of the monotonic clock. */
  readonly arrivedMs: Float64Array;
  /** 0: more packets of the same reply follow. */
  readonly last: Uint8Array;
  readonly resultCode: Uint8Array;
  readonly crc: Uint32Array;
  /** Body bytes of the reply: in the slot, or in `body`. */
  readonly bodyBytes: Int32Array;
  readonly extentId: Float64Array;
  readonly extentOffset: Float64Array;
  /** Who has to do with it: 1, or more where it is forwarded. */
  readonly holds: Uint16Array;
  /** Followers that it goes to, 0: it is not forwarded; and the bytes of the body that they get. */
  readonly followers: Uint8Array;
  readonly forwardBytes: Int32Array;
  /** Kind `stream`: bytes that the whole answer covers from here on, and of the hole that this packet stands for. */
  readonly remainingBytes: Float64Array;
  readonly holeBytes: Float64Array;
  /** Arg of the request, echoed in error replies (`wire.md` 3.4). */
  readonly arg: (Uint8Array | null)[];
  /** Reply body on the heap (errors made here, admin replies, large lists). */
  readonly body: (Uint8Array | null)[];

  readonly #free: Int32Array;
  #freeCount: number;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.headers = Buffer.alloc(capacity * HEADER_STRIDE);
    this.headerView = new DataView(this.headers.buffer, this.headers.byteOffset, this.headers.byteLength);
    this.state = new Uint8Array(capacity);
    this.kind = new Uint8Array(capacity);
    this.connection = new Int32Array(capacity);
    this.worker = new Int32Array(capacity);
    this.share = new Uint8Array(capacity);
    this.slot = new Int32Array(capacity);
    this.next = new Int32Array(capacity);
    this.charged = new Int32Array(capacity);
    this.arrivedMs = new Float64Array(capacity);
    this.last = new Uint8Array(capacity);
    this.resultCode = new Uint8Array(capacity);
    this.crc = new Uint32Array(capacity);
    this.bodyBytes = new Int32Array(capacity);
    this.extentId = new Float64Array(capacity);
    this.extentOffset = new Float64Array(capacity);
    this.holds = new Uint16Array(capacity);
    this.followers = new Uint8Array(capacity);
    this.forwardBytes = new Int32Array(capacity);
    this.remainingBytes = new Float64Array(capacity);
    this.holeBytes = new Float64Array(capacity);
    this.arg = new Array<Uint8Array | null>(capacity).fill(null);
    this.body = new Array<Uint8Array | null>(capacity).fill(null);
    this.#free = Int32Array.from({ length: capacity }, (_, i) => capacity - 1 - i);
    this.#freeCount = capacity;
  }

  /** Tags in use. */
  get inUse(): number {
    return this.capacity - this.#freeCount;
  }

  /** Byte offset of a tag's raw header in `headers`. */
  headerOffset(tag: number): number {
    return tag * HEADER_STRIDE;
  }

  /** Its worker has not ended it, and somebody waits for the answer. */
  isAtWorker(tag: number): boolean {
    return this.state[tag] === TAG.waiting || this.state[tag] === TAG.failing;
  }

  /** It is answered with an error, now or when its worker has ended it. */
  hasFailed(tag: number): boolean {
    const state = this.state[tag];
    return state === TAG.failing || (state === TAG.done && this.resultCode[tag] !== RESULT.ok);
  }

  /** Takes a tag for `connection` and copies the raw header from `source`; -1 when all are taken. */
  acquire(connection: number, kind: number, source: Uint8Array, sourceOffset: number): number {
    if (this.#freeCount === 0) return -1;
    const tag = this.#free[--this.#freeCount]!;
    assert(this.state[tag] === TAG.free, 'a free tag is free');
    this.state[tag] = TAG.waiting;
    this.kind[tag] = kind;
    this.connection[tag] = connection;
    this.worker[tag] = -1;
    this.slot[tag] = -1;
    this.next[tag] = -1;
    this.charged[tag] = 0;
    this.bodyBytes[tag] = 0;
    this.share[tag] = 0;
    this.last[tag] = 1;
    this.holds[tag] = 1;
    this.followers[tag] = 0;
    const at = tag * HEADER_STRIDE;
    for (let i = 0; i < HEADER_BYTES; i++) this.headers[at + i] = source[sourceOffset + i]!;
    return tag;
  }

  /** The tag is for a request to a worker, with a slot. */
  assign(tag: number, slot: number, worker: number, share: number): void {
    this.slot[tag] = slot;
    this.worker[tag] = worker;
    this.share[tag] = share;
  }

  /** Takes over what a worker's reply, descriptor `at` of its ring, says of a tag. */
  answered(tag: number, { i32, f64 }: RingConsumer, at: number): void {
    const i = at * 16;
    const f = at * 8;
    this.resultCode[tag] = i32[i + REPLY_I32.resultCode]!;
    this.crc[tag] = i32[i + REPLY_I32.crc]!;
    this.bodyBytes[tag] = i32[i + REPLY_I32.bodyBytes]!;
    this.extentId[tag] = f64[f + REPLY_F64.extentId]!;
    this.extentOffset[tag] = f64[f + REPLY_F64.extentOffset]!;
    this.remainingBytes[tag] = f64[f + REPLY_F64.remainingBytes]!;
    this.holeBytes[tag] = f64[f + REPLY_F64.holeBytes]!;
  }

  /** Gives a tag back. Its slot must have been released, its worker must have replied. */
  release(tag: number): void {
    assert(this.state[tag] !== TAG.free, 'a tag is released once');
    this.state[tag] = TAG.free;
    this.arg[tag] = null;
    this.body[tag] = null;
    this.#free[this.#freeCount++] = tag;
  }
}
