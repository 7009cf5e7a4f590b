/**
 * The sending half of one client connection: replies leave in request order, whatever order the workers answered in (`wire.md` 6.6).
 *
 * The queue is a linked list of tags (`PendingTable.next`). `flush` sends from its head everything that is done: small replies are built one behind the other in
 * the network thread's staging buffer and leave in one write; a large chunk leaves from its slab slot, with its header written into the slot's headroom. A slot goes
 * back only when the socket has handed its bytes to the kernel. After an error reply the rest of the queue is abandoned and the connection half-closed.
 */
import assert from 'node:assert';
import type { Socket } from 'node:net';
import {
  HEADER_BYTES,
  writeExtent,
  writePartitionId,
  writeReplyFields,
  writeStreamReadHeader,
} from '../protocol/header.js';
import { RESULT } from '../protocol/resultCodes.js';
import { TINY_REPAIR_ARG_BYTES } from '../protocol/tinyRepairArg.js';
import { type FailedPacket, failedPacket } from './failedPacket.js';
import type { NetworkThread } from './networkThread.js';
import { TAG, TAG_KIND } from './pending.js';
import { writeStreamPacket } from './streamPacket.js';

/** Bodies up to this size are copied behind their header; larger ones leave from their slot. */
const COPY_BYTES_MAX = 32 * 1024;

/** Packets of a repair read that are at the worker or not sent yet, at one time: one is read while another one is sent. */
const BACKGROUND_PACKETS_MAX = 2;

/** Hears of an error reply that was sent. */
export type FailureListener = (packet: FailedPacket) => void;

export class ReplyQueue {
  /** Bytes of requests and replies charged to this connection, and packets in the queue. */
  bytes = 0;
  count = 0;
  /** In the network thread's list of queues to flush. */
  scheduled = false;
  /** An error reply was sent. */
  ended = false;
  /** Loop clock when the socket last took everything, or when output began to wait. */
  progressMs = 0;

  readonly #net: NetworkThread;
  readonly #socket: Socket;
  readonly #failed: FailureListener;
  /** Index of the connection, and its peer. */
  readonly #index: number;
  readonly #remote: string;
  #head = -1;
  #tail = -1;
  /** A request that gets an error reply although its worker has not answered: its tag, and the reply. */
  #failTag = -1;
  #endWhenEmpty = false;
  #failCode = 0;
  #failBody: Uint8Array | null = null;
  /** What the queue begins with, up to its last packet, is the rest of an operation that has ended. */
  #restEnded = false;
  /** Slots whose bytes the socket still holds. */
  readonly #held: number[] = [];
  readonly #onFlushed = (): void => this.#flushed();

  /** `failed` hears of each error reply. */
  constructor(net: NetworkThread, socket: Socket, index: number, remote: string, failed: FailureListener) {
    this.#index = index;
    this.#remote = remote;
    this.#failed = failed;
    this.#net = net;
    this.#socket = socket;
    socket.on('drain', () => net.schedule(this));
  }

  /** No further packet may be taken on before some are answered. */
  get full(): boolean {
    const { limits } = this.#net;
    return (
      this.count >= limits.inFlightPacketsMax ||
      (this.bytes >= limits.inFlightBytesMax && this.count > 0) ||
      this.#socket.writableLength > limits.replyBufferBytesMax
    );
  }

  /** For what may wait, repair reads: enough is on its way to keep the connection busy. What its peer does not fetch holds no more memory than that. */
  get busy(): boolean {
    return this.count >= BACKGROUND_PACKETS_MAX || this.outputWaits;
  }

  /** Reply bytes wait for the peer. */
  get outputWaits(): boolean {
    return this.#socket.writableLength > 0;
  }

  /** Appends a tag that charges `bytes`. */
  push(tag: number, bytes: number): void {
    const { pending } = this.#net;
    pending.charged[tag] = bytes;
    if (this.#tail < 0) this.#head = tag;
    else pending.next[this.#tail] = tag;
    this.#tail = tag;
    this.bytes += bytes;
    this.count++;
  }

  /** The first request that worker `port` still has and that is to be answered; -1: none. What stands behind a failure is not. */
  firstWaitingAt(port: number): number {
    const { pending } = this.#net;
    for (let tag = this.#head; tag >= 0 && tag !== this.#failTag; tag = pending.next[tag]!) {
      if (pending.worker[tag] === port && pending.isAtWorker(tag)) return tag;
      if (pending.hasFailed(tag)) return -1;
    }
    return -1;
  }

  /** Some packet that stands before `tag` in the queue has failed. */
  isBehindFailure(tag: number): boolean {
    const { pending } = this.#net;
    for (let at = this.#head; at >= 0 && at !== tag; at = pending.next[at]!) {
      if (pending.hasFailed(at) || at === this.#failTag) return true;
    }
    return false;
  }

  /** The peer sends nothing more: FIN after the last reply. */
  endWhenEmpty(): void {
    this.#endWhenEmpty = true;
    if (this.count === 0 && !this.ended) this.#socket.end();
  }

  /** The request `tag`, as `firstWaitingAt` has found it, is answered with an error when its turn comes, without waiting for its worker. */
  failAt(tag: number, resultCode: number, body: Uint8Array): void {
    this.#failTag = tag;
    this.#failCode = resultCode;
    this.#failBody = body;
    this.#net.schedule(this);
  }

  /** Sends what is done at the head of the queue. */
  flush(): void {
    const net = this.#net;
    const { pending, limits } = net;
    const endedBefore = this.ended;
    const nowMs = net.clockMs();
    let corked = false;
    let wrote = false;
    let at = 0;
    // Where the disk was given up the queue ends, even when the worker's answer has come since: the connection takes nothing more.
    while (this.#head >= 0 && this.#head !== this.#failTag && pending.state[this.#head] === TAG.done) {
      if (this.#socket.writableLength > limits.replyBufferBytesMax) break;
      const tag = this.#head;
      assert(
        pending.resultCode[tag] !== RESULT.none,
        'a skipped request stands behind the failure that ends its queue',
      );
      const large = this.#isLargeChunk(tag);
      const need = large ? 0 : this.#replyBytes(tag);
      if (at > 0 && (large || at + need > net.buffers.staging.length)) {
        corked = this.#cork(corked);
        at = this.#writeStaging(at);
        wrote = true;
      }
      this.#pop(tag);
      const resultCode = pending.resultCode[tag]!;
      const last = pending.last[tag] === 1;
      net.operations.replied(pending, tag, resultCode, pending.bodyBytes[tag]!, nowMs, this.#remote);
      if (large) {
        corked = this.#cork(corked);
        this.#writeChunk(tag);
        wrote = true;
      } else {
        if (need > net.buffers.staging.length) net.buffers.replaceStaging(need);
        at = this.#stage(tag, at);
        const failed = resultCode !== RESULT.ok;
        if (failed) this.#tell(tag, resultCode, at);
        this.#release(tag);
        if (failed) {
          this.#restEnded = !last;
          this.ended = true;
          break;
        }
      }
    }
    if (this.#head >= 0 && this.#head === this.#failTag && !this.ended) {
      if (at + HEADER_BYTES + this.#failBody!.length > net.buffers.staging.length)
        at = this.#writeStaging(at);
      at = this.#stageFailure(at);
      const { length } = this.#failBody!;
      net.operations.replied(pending, this.#failTag, this.#failCode, length, nowMs, this.#remote);
      this.#restEnded = true;
      this.ended = true;
    }
    if (at > 0) {
      this.#writeStaging(at);
      wrote = true;
    }
    if (corked) this.#socket.uncork();
    if (wrote) this.#afterWrite();
    if (this.ended && !endedBefore) this.#end();
    else if (this.#endWhenEmpty && this.count === 0) this.#socket.end();
  }

  /** The connection is gone: everything queued is abandoned, held slots are free. */
  closed(): void {
    this.ended = true;
    this.#abandonAll();
    this.#flushed(true);
  }

  #cork(already: boolean): boolean {
    if (!already) this.#socket.cork();
    return true;
  }

  #isLargeChunk(tag: number): boolean {
    const { pending } = this.#net;
    return (
      pending.kind[tag] === TAG_KIND.chunk &&
      pending.resultCode[tag] === RESULT.ok &&
      pending.bodyBytes[tag]! > COPY_BYTES_MAX
    );
  }

  #replyBytes(tag: number): number {
    const { pending } = this.#net;
    const argBytes = Math.max(pending.arg[tag]?.length ?? 0, TINY_REPAIR_ARG_BYTES);
    return HEADER_BYTES + argBytes + pending.bodyBytes[tag]!;
  }

  /** Builds a reply at `at` of the staging buffer; returns the end. */
  #stage(tag: number, at: number): number {
    const net = this.#net;
    const { pending } = net;
    const { staging, stagingView } = net.buffers;
    const from = pending.headerOffset(tag);
    const bodyBytes = pending.bodyBytes[tag]!;
    const ok = pending.resultCode[tag] === RESULT.ok;
    let end = at + HEADER_BYTES;
    if (ok && pending.kind[tag] === TAG_KIND.stream) {
      if (bodyBytes + pending.holeBytes[tag]! === 0) return at;
      end += writeStreamPacket(stagingView, at, pending, tag);
    } else if (ok && pending.kind[tag] === TAG_KIND.chunk) {
      writeStreamReadHeader(
        stagingView,
        at,
        pending.headerView,
        from,
        pending.extentOffset[tag]!,
        pending.crc[tag]!,
        bodyBytes,
      );
    } else {
      for (let i = 0; i < HEADER_BYTES; i++) staging[at + i] = pending.headers[from + i]!;
      const arg = ok ? null : pending.arg[tag]!;
      writeReplyFields(
        stagingView,
        at,
        pending.resultCode[tag]!,
        pending.crc[tag]!,
        bodyBytes,
        arg?.length ?? 0,
      );
      if (pending.worker[tag]! >= 0)
        writeExtent(stagingView, at, pending.extentId[tag]!, pending.extentOffset[tag]!);
      else if (pending.extentId[tag]! > 0) writePartitionId(stagingView, at, pending.extentId[tag]!);
      if (arg !== null) {
        staging.set(arg, end);
        end += arg.length;
      }
    }
    if (bodyBytes > 0) {
      const heap = pending.body[tag];
      if (heap) staging.set(heap, end);
      else {
        net.buffers.movesOut.add(net.slab.payloadOffset(pending.slot[tag]!), end, bodyBytes);
        if (net.buffers.movesOut.full) net.buffers.copyOut();
      }
    }
    return end + bodyBytes;
  }

  /** Tells of the error reply that ends at `end` of the staging buffer. */
  #tell(tag: number, resultCode: number, end: number): void {
    const { pending, buffers } = this.#net;
    buffers.copyOut();
    const text = buffers.staging.toString('utf8', end - pending.bodyBytes[tag]!, end);
    this.#failed(failedPacket(pending.headers, pending.headerOffset(tag), resultCode, text));
  }

  #stageFailure(at: number): number {
    const { pending } = this.#net;
    const { staging, stagingView } = this.#net.buffers;
    const from = pending.headerOffset(this.#failTag);
    const body = this.#failBody!;
    for (let i = 0; i < HEADER_BYTES; i++) staging[at + i] = pending.headers[from + i]!;
    writeReplyFields(stagingView, at, this.#failCode, pending.headerView.getUint32(from + 5), body.length, 0);
    writeExtent(stagingView, at, pending.extentId[this.#failTag]!, pending.extentOffset[this.#failTag]!);
    staging.set(body, at + HEADER_BYTES);
    this.#failed(failedPacket(pending.headers, from, this.#failCode, Buffer.from(body).toString()));
    return at + HEADER_BYTES + body.length;
  }

  #writeStaging(end: number): number {
    const net = this.#net;
    net.buffers.copyOut();
    this.#socket.write(net.buffers.staging.subarray(0, end), this.#onFlushed);
    if (this.#socket.writableLength > 0) net.buffers.replaceStaging();
    return 0;
  }

  #writeChunk(tag: number): void {
    const net = this.#net;
    const { pending } = net;
    const slot = pending.slot[tag]!;
    const bodyBytes = pending.bodyBytes[tag]!;
    const at = net.slab.payloadOffset(slot) - HEADER_BYTES;
    writeStreamReadHeader(
      net.buffers.slabView,
      at,
      pending.headerView,
      pending.headerOffset(tag),
      pending.extentOffset[tag]!,
      pending.crc[tag]!,
      bodyBytes,
    );
    this.#socket.write(net.buffers.slabBuffer(at, HEADER_BYTES + bodyBytes), this.#onFlushed);
    this.#held.push(slot);
    pending.slot[tag] = -1;
    this.#release(tag);
  }

  #pop(tag: number): void {
    const { pending } = this.#net;
    this.#head = pending.next[tag]!;
    if (this.#head < 0) this.#tail = -1;
    this.bytes -= pending.charged[tag]!;
    this.count--;
  }

  #release(tag: number): void {
    this.#net.releaseTag(tag);
  }

  #afterWrite(): void {
    if (this.#socket.writableLength === 0) this.#flushed();
    else if (this.progressMs === 0) this.progressMs = this.#net.nowMs;
  }

  #flushed(always = false): void {
    if (!always && this.#socket.writableLength > 0) {
      this.progressMs = this.#net.nowMs;
      return;
    }
    this.progressMs = 0;
    for (const slot of this.#held) this.#net.releaseSlot(slot);
    this.#held.length = 0;
    // Whoever waits for the output alone, with no slot held, goes on too.
    this.#net.freed();
  }

  /** After an error reply: the peer's later packets are not answered; FIN, then a short linger (`wire.md` 6.5). */
  #end(): void {
    this.#abandonAll();
    this.#net.halfClose(this.#index);
  }

  #abandonAll(): void {
    const { pending, operations, forwarding } = this.#net;
    for (let tag = this.#head; tag >= 0; ) {
      const next = pending.next[tag]!;
      if (pending.last[tag] === 1) {
        if (!this.#restEnded) operations.abandoned++;
        this.#restEnded = false;
      }
      if (pending.followers[tag]! > 0) forwarding.abandoned(tag);
      else if (pending.state[tag] === TAG.done) this.#release(tag);
      else pending.state[tag] = TAG.abandoned;
      tag = next;
    }
    this.#head = -1;
    this.#tail = -1;
    this.bytes = 0;
    this.count = 0;
  }
}
