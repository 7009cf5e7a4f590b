/**
 * One network thread as a worker sees it: its rings and doorbell, and how a descriptor becomes an operation.
 */
import { native } from '../native/addon.js';
import { REPLY_F64, REPLY_I32, REQUEST_F64, REQUEST_I32 } from '../partition/messages.js';
import type { Operation } from '../partition/operation.js';
import { Doorbell } from '../shm/doorbell.js';
import { RingConsumer, RingProducer } from '../shm/ring.js';
import type { NetworkPort } from './workerData.js';

export class Port {
  readonly requests: RingConsumer;
  readonly replies: RingProducer;
  readonly doorbell: Doorbell;

  constructor(memory: NetworkPort) {
    this.requests = new RingConsumer(memory.requests);
    this.replies = new RingProducer(memory.replies);
    this.doorbell = new Doorbell(memory.doorbell, () => native.notifyLoop(memory.loopId));
  }
}

/** Copies the request descriptor `at` into `op`; the ring's slot may then be given back. */
export function fillOperation(op: Operation, requests: RingConsumer, at: number, port: number): void {
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
  op.crc = i32[i + REQUEST_I32.crc]! >>> 0;
  op.replyCrc = op.crc;
  op.size = i32[i + REQUEST_I32.size]! >>> 0;
  op.bufferOffset = f64[f + REQUEST_F64.bufferOffset]!;
  op.bufferBytes = i32[i + REQUEST_I32.bufferBytes]!;
  op.connection = i32[i + REQUEST_I32.connection]!;
  op.generation = i32[i + REQUEST_I32.generation]!;
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
