/**
 * One thread that sends requests (a network thread, the repair thread) as a worker sees it: its rings and doorbell, and how a descriptor becomes an operation.
 *
 * A thread with an event loop is woken by the id of that loop, which it has only when it runs. So the id stands in a shared word that is read at each wake-up, -1 at first: workers may be there before
 * the thread is, and the thread may be followed by another one. No ring is missed, because a thread puts its id there before it arms its doorbell for the first time, and
 * one that begins looks into its rings before it sleeps.
 */
import assert from 'node:assert';
import { native } from '../native/addon.js';
import {
  REPLY_F64,
  REPLY_I32,
  REQUEST_F64,
  REQUEST_I32,
  REQUEST_KIND,
  REQUEST_KIND_SHIFT,
  RESULT_ASSIGNED,
} from '../partition/messages.js';
import type { Operation } from '../partition/operation.js';
import { Doorbell } from '../shm/doorbell.js';
import { RingConsumer, RingProducer } from '../shm/ring.js';
import type { RequestPort } from './workerData.js';

export class Port {
  readonly requests: RingConsumer;
  readonly replies: RingProducer;
  readonly doorbell: Doorbell;
  readonly internal: boolean;

  constructor(memory: RequestPort) {
    this.requests = new RingConsumer(memory.requests);
    this.replies = new RingProducer(memory.replies);
    this.internal = memory.internal;
    this.doorbell = new Doorbell(memory.doorbell, () => {
      const id = Atomics.load(memory.loop, 0);
      if (id >= 0) native.notifyLoop(id);
    });
  }
}

/** Copies the request descriptor `at` of port number `port` into `op`; the ring's slot may then be given back. */
export function fillOperation(op: Operation, { requests, internal }: Port, at: number, port: number): void {
  const { i32, f64 } = requests;
  const i = at * 16;
  const f = at * 8;
  const kind = i32[i + REQUEST_I32.kind]!;
  op.port = port;
  op.region = port;
  op.tag = i32[i + REQUEST_I32.tag]!;
  op.opcode = kind & 0xff;
  op.extentType = (kind >> 8) & 0xff;
  op.remainingFollowers = (kind >> 16) & 0xff;
  op.internal = internal;
  op.forwarded = !internal && kind >>> REQUEST_KIND_SHIFT === REQUEST_KIND.forwarded;
  op.crc = i32[i + REQUEST_I32.crc]! >>> 0;
  op.replyCrc = op.crc;
  op.size = i32[i + REQUEST_I32.size]! >>> 0;
  op.bufferOffset = f64[f + REQUEST_F64.bufferOffset]!;
  op.bufferBytes = i32[i + REQUEST_I32.bufferBytes]!;
  op.connection = i32[i + REQUEST_I32.connection]!;
  op.generation = i32[i + REQUEST_I32.generation]!;
  op.expectedCrc = internal ? i32[i + REQUEST_I32.expectedCrc]! >>> 0 : 0;
  op.partitionId = f64[f + REQUEST_F64.partitionId]!;
  op.extentId = f64[f + REQUEST_F64.extentId]!;
  op.extentOffset = f64[f + REQUEST_F64.extentOffset]!;
  op.issuedAtMs = i32[i + REQUEST_I32.issuedAtMs]!;
  op.primary = false;
}

/** Reserves a reply descriptor and fills it from `op`; `largeBody`: its body follows as an event. `unserved`: the disk had nothing to do with it. */
export function writeReply(
  { replies }: Port,
  op: Operation,
  resultCode: number,
  bodyBytes: number,
  largeBody: boolean,
  unserved: boolean,
): void {
  const at = replies.reserve(true);
  const i = at * 16;
  const f = at * 8;
  replies.i32[i + REPLY_I32.tag] = op.tag;
  replies.i32[i + REPLY_I32.resultCode] = resultCode;
  replies.i32[i + REPLY_I32.crc] = op.replyCrc;
  replies.i32[i + REPLY_I32.bodyBytes] = bodyBytes;
  replies.i32[i + REPLY_I32.largeBody] = largeBody ? 1 : 0;
  replies.i32[i + REPLY_I32.unserved] = unserved ? 1 : 0;
  replies.f64[f + REPLY_F64.extentId] = op.extentId;
  replies.f64[f + REPLY_F64.extentOffset] = op.extentOffset;
  replies.f64[f + REPLY_F64.remainingBytes] = op.remainingBytes;
  replies.f64[f + REPLY_F64.holeBytes] = op.holeBytes;
}

/** Reserves a reply descriptor that says what was given to the forwarded packet `op` (`RESULT_ASSIGNED`); its answer follows as another one. */
export function writeAssigned({ replies }: Port, op: Operation, loan: number): void {
  const at = replies.reserve(true);
  assert(at >= 0, 'a reply ring has room for what is assigned');
  const i = at * 16;
  const f = at * 8;
  replies.i32[i + REPLY_I32.tag] = op.tag;
  replies.i32[i + REPLY_I32.resultCode] = RESULT_ASSIGNED;
  replies.i32[i + REPLY_I32.crc] = op.crc;
  replies.i32[i + REPLY_I32.bodyBytes] = op.size;
  replies.i32[i + REPLY_I32.largeBody] = 0;
  // No sign of life of the disk.
  replies.i32[i + REPLY_I32.unserved] = 1;
  replies.f64[f + REPLY_F64.extentId] = op.extentId;
  replies.f64[f + REPLY_F64.extentOffset] = op.extentOffset;
  replies.f64[f + REPLY_F64.loan] = loan;
  replies.f64[f + REPLY_F64.holeBytes] = 0;
}
