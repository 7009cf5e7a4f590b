/**
 * The repair thread's end of the rings to the workers (docs/repair.md, "What a worker offers"): questions go into a ring, their answers come back as promises. Owned by the repair thread; used through
 * `ownReplica.ts`.
 *
 * A question needs a slot of the slab and a place at its worker. When either is missing it waits in line for its worker, and its sender with it, so nothing grows beyond what its senders ask at one time. Whatever was
 * asked in one turn of the event loop becomes visible with one wake-up a worker.
 */
import assert from 'node:assert';
import { issuedAt, REPLY_F64, REPLY_I32, REQUEST_F64, REQUEST_I32 } from '../partition/messages.js';
import { RESULT } from '../protocol/resultCodes.js';
import { Doorbell, type DoorbellSleeper } from '../shm/doorbell.js';
import { DESCRIPTOR_F64, DESCRIPTOR_I32 } from '../shm/layout.js';
import { RingConsumer, RingProducer } from '../shm/ring.js';
import { Slab } from '../shm/slab.js';
import { SLOT_KIND } from '../shm/slabShare.js';
import type { RepairMemory } from './messages.js';

/** A question to one worker: fields as in its packet (`wire.md` 2) or as its row of `internalOps.ts` has them. */
export interface WorkerQuestion {
  readonly opcode: number;
  readonly partitionId: number;
  readonly extentId?: number;
  readonly extentOffset?: number;
  readonly extentType?: number;
  /** Default: the body's length. */
  readonly size?: number;
  readonly crc?: number;
  /** Of the content to be replaced (`INTERNAL_OP.healBlock`). */
  readonly expectedCrc?: number;
  readonly body?: Uint8Array;
  /** Room for the answer, bytes. */
  readonly answerBytes?: number;
}

/** A good answer. `body` is the caller's. */
export interface WorkerAnswer {
  readonly crc: number;
  readonly extentId: number;
  readonly extentOffset: number;
  readonly remainingBytes: number;
  readonly holeBytes: number;
  readonly body: Uint8Array;
}

/** An error text of a worker, as it would stand in a packet. */
export class WorkerError extends Error {
  readonly resultCode: number;

  constructor(resultCode: number, text: string) {
    super(text);
    this.resultCode = resultCode;
  }
}

interface Asked {
  readonly question: WorkerQuestion;
  resolve(answer: WorkerAnswer): void;
  reject(error: Error): void;
  /** Once it is at the worker. */
  slot: number;
}

interface Port {
  readonly index: number;
  readonly disk: number;
  readonly requestsMax: number;
  readonly requests: RingProducer;
  readonly replies: RingConsumer;
  readonly doorbell: Doorbell;
  readonly waiting: Asked[];
  /** By tag. */
  readonly atWorker: Map<number, Asked>;
  gone: string;
}

/** An error text must fit. */
const SLOT_BYTES_MIN = 4096;
/** Tags are told apart by these bits: more than a ring has. */
const TAG_MASK = 0xff_ffff;
const NO_BYTES = new Uint8Array(0);

export interface WorkerPortsParts {
  readonly memory: RepairMemory;
  /** The thread's own doorbell. */
  readonly sleeper: DoorbellSleeper;
  /** Wakes a worker. */
  wake(words: Int32Array): void;
  wallMs(): number;
}

export class WorkerPorts {
  readonly #parts: WorkerPortsParts;
  readonly #slab: Slab;
  readonly #ports: readonly Port[];
  #lastTag = 0;
  #turnDue = false;
  #closed = false;
  #waiting = 0;
  #firstPort = 0;

  /** The loop's id must stand in its word already; `start` makes the first look into the rings. */
  constructor(parts: WorkerPortsParts) {
    const { memory } = parts;
    this.#parts = parts;
    this.#slab = new Slab(memory.slab);
    this.#ports = memory.ports.map(({ index, disk, requests, replies, requestsMax, doorbell }) => ({
      ...{ index, disk, requestsMax, waiting: [], atWorker: new Map(), gone: '' },
      requests: new RingProducer(requests),
      replies: new RingConsumer(replies),
      doorbell: new Doorbell(doorbell, (words) => parts.wake(words)),
    }));
    const disks = new Set(memory.ports.map(({ disk }) => disk));
    // One disk that hangs must leave the others room: with many of them a quarter is the most that one gets.
    const totalBytes = memory.slab.classes.reduce((sum, { bytes, slots }) => sum + bytes * slots, 0);
    const quota = totalBytes / Math.max(1, Math.min(disks.size, 4));
    for (const disk of disks) this.#slab.setDiskQuota(disk, quota);
  }

  /** Looks into the rings and arms the doorbell. */
  start(): void {
    this.#turn();
  }

  /** Questions that have no answer yet. */
  get open(): number {
    return this.#ports.reduce((sum, { atWorker, waiting }) => sum + atWorker.size + waiting.length, 0);
  }

  /** Asks a worker. Rejects with a `WorkerError` when it answers one, and with another error when it is gone or the thread is stopping. */
  ask(worker: number, question: WorkerQuestion): Promise<WorkerAnswer> {
    const port = this.#ports[worker];
    assert(port !== undefined, `no worker ${worker}`);
    if (this.#closed) return Promise.reject(new Error('the node is stopping'));
    if (port.gone !== '') return Promise.reject(new Error(port.gone));
    return new Promise((resolve, reject) => {
      port.waiting.push({ question, resolve, reject, slot: -1 });
      this.#waiting += 1;
      this.#send(port);
      this.#wake();
    });
  }

  /** A worker has ended: what is at it never comes back, and its slots stay taken, because the kernel may still write into them. */
  gone(index: number, reason: string): void {
    const port = this.#ports[index]!;
    port.gone = reason;
    for (const { slot, reject } of port.atWorker.values()) {
      this.#slab.quarantine(slot);
      reject(new Error(reason));
    }
    port.atWorker.clear();
    this.#refuseWaiting(port, reason);
  }

  /** Nothing more is sent. What is at workers is still taken back. */
  close(): void {
    this.#closed = true;
    for (const port of this.#ports) this.#refuseWaiting(port, 'the node is stopping');
  }

  /** A worker has rung. */
  called(): void {
    if (!this.#turnDue) this.#turn();
  }

  #refuseWaiting(port: Port, reason: string): void {
    const waiting = port.waiting.splice(0);
    this.#waiting -= waiting.length;
    for (const { reject } of waiting) reject(new Error(reason));
  }

  #wake(): void {
    if (this.#turnDue) return;
    this.#turnDue = true;
    this.#parts.sleeper.disarm();
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    const { sleeper } = this.#parts;
    this.#turnDue = true;
    sleeper.disarm();
    const seen = sleeper.sequence();
    let released = false;
    for (const port of this.#ports) released = this.#drain(port) || released;
    if (released && this.#waiting > 0) this.#sendWaiting();
    for (const { requests, doorbell } of this.#ports) if (requests.publish() > 0) doorbell.ring();
    this.#turnDue = false;
    if (!sleeper.arm(seen)) this.#wake();
  }

  /** Slots are shared: whoever is first in the row changes with each turn. */
  #sendWaiting(): void {
    const count = this.#ports.length;
    this.#firstPort = (this.#firstPort + 1) % count;
    for (let i = 0; i < count; i += 1) this.#send(this.#ports[(this.#firstPort + i) % count]!);
  }

  /** Sends what waits for a worker, in order, as long as there is room. */
  #send(port: Port): void {
    while (port.waiting.length > 0 && port.atWorker.size < port.requestsMax) {
      const asked = port.waiting[0]!;
      const { body = NO_BYTES, answerBytes = 0 } = asked.question;
      const slotBytes = Math.max(SLOT_BYTES_MIN, body.byteLength, answerBytes);
      asked.slot = this.#slab.acquire(slotBytes, port.disk, SLOT_KIND.leaf);
      if (asked.slot < 0) return;
      port.waiting.shift();
      this.#waiting -= 1;
      this.#write(port, asked, body);
    }
  }

  #write(port: Port, asked: Asked, body: Uint8Array): void {
    const { requests } = port;
    const { question, slot } = asked;
    const at = requests.reserve(true);
    assert(at >= 0, 'the ring has room for every request that is admitted');
    const tag = this.#tagFor(port);
    const offset = this.#slab.payloadOffset(slot);
    this.#slab.bytes.set(body, offset);
    const { i32, f64 } = requests;
    const i = at * DESCRIPTOR_I32;
    const f = at * DESCRIPTOR_F64;
    i32[i + REQUEST_I32.tag] = tag;
    i32[i + REQUEST_I32.kind] = question.opcode | ((question.extentType ?? 1) << 8);
    i32[i + REQUEST_I32.crc] = question.crc ?? 0;
    i32[i + REQUEST_I32.size] = question.size ?? body.byteLength;
    i32[i + REQUEST_I32.bufferBytes] = this.#slab.capacity(slot);
    i32[i + REQUEST_I32.connection] = 0;
    i32[i + REQUEST_I32.expectedCrc] = question.expectedCrc ?? 0;
    i32[i + REQUEST_I32.issuedAtMs] = issuedAt(this.#parts.wallMs());
    f64[f + REQUEST_F64.bufferOffset] = offset;
    f64[f + REQUEST_F64.partitionId] = question.partitionId;
    f64[f + REQUEST_F64.extentId] = question.extentId ?? 0;
    f64[f + REQUEST_F64.extentOffset] = question.extentOffset ?? 0;
    this.#slab.handOver(slot);
    port.atWorker.set(tag, asked);
  }

  #tagFor(port: Port): number {
    do this.#lastTag = (this.#lastTag + 1) & TAG_MASK;
    while (port.atWorker.has(this.#lastTag));
    return this.#lastTag;
  }

  /** Takes the answers of one worker; whether there were any. */
  #drain(port: Port): boolean {
    const { replies } = port;
    let any = false;
    for (let at = replies.next(); at >= 0; at = replies.next()) {
      any = true;
      this.#answer(port, at);
    }
    if (any) replies.release();
    return any;
  }

  #answer(port: Port, at: number): void {
    const { i32, f64 } = port.replies;
    const i = at * DESCRIPTOR_I32;
    const f = at * DESCRIPTOR_F64;
    // A worker that was given up is not heard any more.
    if (port.gone !== '') return;
    const asked = port.atWorker.get(i32[i + REPLY_I32.tag]!);
    assert(asked !== undefined, 'an answer belongs to a question');
    port.atWorker.delete(i32[i + REPLY_I32.tag]!);
    this.#slab.takeBack(asked.slot);
    const bytes = i32[i + REPLY_I32.bodyBytes]!;
    const from = this.#slab.payloadOffset(asked.slot);
    // A copy: the slot is somebody else's from now on.
    const body = this.#slab.bytes.slice(from, from + bytes);
    this.#slab.release(asked.slot);
    const resultCode = i32[i + REPLY_I32.resultCode]!;
    if (resultCode !== RESULT.ok)
      return asked.reject(new WorkerError(resultCode, Buffer.from(body).toString()));
    asked.resolve({
      crc: i32[i + REPLY_I32.crc]! >>> 0,
      extentId: f64[f + REPLY_F64.extentId]!,
      extentOffset: f64[f + REPLY_F64.extentOffset]!,
      remainingBytes: f64[f + REPLY_F64.remainingBytes]!,
      holeBytes: f64[f + REPLY_F64.holeBytes]!,
      body,
    });
  }
}
