/**
 * The receiving half of one client connection: framing of packets across any split of bytes, admission, and hand-over to a worker.
 *
 * All sockets receive into one scratch buffer. Small bodies are copied from there into a slab slot; the rest of a large body lands in its slot directly (`nextBuffer`).
 * When a slot, a tag, a descriptor or the connection's budget is missing, the connection *blocks*: unread bytes are kept aside, the socket is not read, and
 * the network thread calls `resume` when something was given back. Nothing is ever dropped, nothing grows beyond its limit.
 *
 * After a failed request nothing more is executed for the connection (`wire.md` 6.5): `failed` is set, later bytes are discarded.
 */
import { WIRE_LIMITS } from '../config/limits.js';
import { errorBody, resultCodeFor } from '../protocol/errors.js';
import { HEADER_BYTES, headerV1, PacketHeader } from '../protocol/header.js';
import { isRepairReadOp, isWriteOp, OP } from '../protocol/opcodes.js';
import { Admission, VERDICT } from './admission.js';
import type { NetworkThread } from './networkThread.js';
import { PacketArg } from './packetArg.js';
import { PacketFacts } from './packetFacts.js';
import { TAG_KIND } from './pending.js';
import { STATE } from './receiveState.js';
import type { ReplyQueue } from './replyQueue.js';
import { OWN_SHARE_USED, type Route, type WorkerPort } from './workerPort.js';

/** From this many missing body bytes on, the body is received straight into its slot. */
const DIRECT_BYTES_MIN = 16 * 1024;
const EMPTY = new Uint8Array(0);

const header = new PacketHeader();
const admission = new Admission();
const facts = new PacketFacts();

export class Connection {
  readonly index: number;
  readonly generation: number;
  readonly remote: string;
  readonly replies: ReplyQueue;
  /** What its address is admitted as: bits of `PORT_CLASS`, set by the listener. */
  classes = 0;
  /** An error reply is due or sent: nothing more is executed. */
  failed = false;
  /** Waiting for a resource; not reading. */
  blocked = false;
  /** Blocked by its own work at the worker, a stream of unknown length or repair reads, or by a follower's share, and not by what others hold. */
  waitsForOwn = false;
  /**
   * When bytes were received last, monotonic ms. A packet that is incomplete must progress; one that is complete was so by then, even if it waits here for a resource,
   * because nothing is read meanwhile.
   */
  progressMs = 0;

  readonly #net: NetworkThread;
  #state: number = STATE.header;
  /** The header being received or executed; raw, for echo. Shared size: one a connection. */
  readonly #raw = Buffer.alloc(HEADER_BYTES);
  readonly #rawView = new DataView(this.#raw.buffer, this.#raw.byteOffset, HEADER_BYTES);
  #rawFill = 0;
  readonly #arg = new PacketArg();
  #bodyBytes = 0;
  #bodyFill = 0;
  /** The request being received: its tag, and where its body goes. */
  #tag = -1;
  #slotAt = 0;
  #port: WorkerPort | null = null;
  #heap: Buffer | null = null;
  #skipCrc = 0;
  /** Stream read being cut into chunks. */
  #chunkAt = 0;
  #chunkLeft = 0;
  /** A packet of a stream of unknown length is at the worker. */
  #streaming = false;
  #lastLarge = false;
  /** The socket's current buffer is a part of the request's slot: the slot may not be given back before the next read or the close. */
  #direct = false;
  /** Bytes received but not consumed because the connection blocked. */
  #carry: Buffer | null = null;

  constructor(net: NetworkThread, index: number, generation: number, remote: string, replies: ReplyQueue) {
    this.#net = net;
    this.index = index;
    this.generation = generation;
    this.remote = remote;
    this.replies = replies;
  }

  /** True while a packet has begun and is not complete: its progress deadline runs. */
  get midPacket(): boolean {
    if (this.blocked || this.#state === STATE.discard) return false;
    return (
      this.#rawFill > 0 ||
      (this.#state !== STATE.header && this.#state !== STATE.chunks && this.#state !== STATE.stream)
    );
  }

  /** The buffer for the socket's next read: the missing part of a large body, or the shared scratch buffer. */
  nextBuffer(): Buffer {
    if (this.#state === STATE.body && !this.blocked) {
      const missing = this.#bodyBytes - this.#bodyFill;
      if (missing >= DIRECT_BYTES_MIN) {
        this.#direct = true;
        return this.#net.buffers.slabBuffer(this.#slotAt + this.#bodyFill, missing);
      }
    }
    this.#direct = false;
    return this.#lastLarge ? this.#net.buffers.scratchSmall : this.#net.buffers.scratch;
  }

  /** Takes `count` bytes that the socket put into `buffer` (as given by `nextBuffer`). Returns false when the socket must not be read on. */
  received(count: number, buffer: Uint8Array): boolean {
    this.progressMs = this.#net.clockMs();
    if (this.#direct) {
      this.#direct = false;
      if (this.failed) {
        this.#abandonRequest();
        return true;
      }
      this.#bodyFill += count;
      if (this.#bodyFill === this.#bodyBytes) this.#dispatch();
    } else {
      this.#consume(buffer, 0, count);
    }
    return !this.blocked;
  }

  /** Tries again after something was given back. Returns true when the socket may be read on. */
  resume(): boolean {
    this.blocked = false;
    const carry = this.#carry;
    this.#carry = null;
    if (carry !== null) this.#consume(carry, 0, carry.length);
    else this.#consume(EMPTY, 0, 0);
    return !this.blocked;
  }

  /** Nothing more is executed; a half-received body's slot is given back as soon as the socket cannot write into it. */
  stop(): void {
    this.failed = true;
    if (!this.#direct) this.#abandonRequest();
    this.#state = STATE.discard;
    this.#carry = null;
    this.#heap = this.#net.local.dropBody(this.#heap);
  }

  /** The socket is closed. */
  closed(): void {
    this.#direct = false;
    this.stop();
  }

  #consume(bytes: Uint8Array, from: number, to: number): void {
    this.#walk(bytes, from, to);
    // Descriptors are shown to workers at the end of the turn, so the bodies may follow here, all in one call.
    this.#net.buffers.copyIn(bytes);
  }

  #walk(bytes: Uint8Array, from: number, to: number): void {
    let at = from;
    for (;;) {
      const before = this.#state;
      const start = at;
      at = this.#step(bytes, at, to);
      if (this.blocked) {
        if (at < to) this.#carry = Buffer.from(bytes.subarray(at, to));
        return;
      }
      if (at === start && this.#state === before) return;
      if (at === to && this.#state === STATE.header) return;
    }
  }

  /** One step of the receiver; returns the position up to which bytes were used. No progress means: more bytes are needed. */
  #step(bytes: Uint8Array, at: number, to: number): number {
    switch (this.#state) {
      case STATE.header:
        return this.#takeHeader(bytes, at, to);
      case STATE.arg:
        return this.#takeArg(bytes, at, to);
      case STATE.admit:
        this.#admit();
        return at;
      case STATE.body:
        return this.#takeBody(bytes, at, to);
      case STATE.control:
        return this.#takeHeap(bytes, at, to);
      case STATE.skip:
        return this.#skipBody(bytes, at, to);
      case STATE.chunks:
        this.#issueChunks();
        return at;
      case STATE.stream:
        this.#issueStream();
        return at;
      default:
        return to;
    }
  }

  #takeHeader(bytes: Uint8Array, at: number, to: number): number {
    const count = Math.min(HEADER_BYTES - this.#rawFill, to - at);
    const raw = this.#raw;
    for (let i = 0; i < count; i++) raw[this.#rawFill + i] = bytes[at + i]!;
    this.#rawFill += count;
    if (this.#rawFill > 0 && headerV1.decode(this.#rawView, 0, header) === 'badMagic') {
      this.#net.drop(this, `bad magic ${raw[0]}`);
      return to;
    }
    if (this.#rawFill < HEADER_BYTES) return to;
    if (header.argBytes > WIRE_LIMITS.argBytesMax) {
      this.#net.drop(this, `Arg of ${header.argBytes} bytes, the limit is ${WIRE_LIMITS.argBytesMax}`);
      return to;
    }
    this.#arg.begin(header.argBytes);
    this.#state = header.argBytes === 0 ? STATE.admit : STATE.arg;
    return at + count;
  }

  #takeArg(bytes: Uint8Array, at: number, to: number): number {
    const count = this.#arg.take(bytes, at, to);
    if (this.#arg.isComplete) this.#state = STATE.admit;
    return at + count;
  }

  /** Decides about the complete header and takes what its execution needs, or blocks. */
  #admit(): void {
    const net = this.#net;
    const route = this.#decide();
    if (admission.verdict === VERDICT.close) return net.drop(this, admission.reason);
    if (this.replies.full) return this.#block();
    if (admission.verdict === VERDICT.route) return this.#admitRouted(route!.port, admission.bodyBytes);
    if (admission.verdict === VERDICT.read || admission.verdict === VERDICT.stream) {
      this.#port = route!.port;
      this.#chunkAt = header.extentOffset;
      this.#chunkLeft = header.opcode === OP.readTinyDeleteRecord ? 0 : header.size;
      this.#state = admission.verdict === VERDICT.read ? STATE.chunks : STATE.stream;
      return;
    }
    this.#bodyBytes = admission.bodyBytes;
    this.#bodyFill = 0;
    this.#skipCrc = 0;
    if (admission.verdict === VERDICT.refuse) {
      this.#state = STATE.skip;
      if (this.#bodyBytes === 0) this.#refuse();
      return;
    }
    this.#heap = net.local.takeBody(header.opcode, admission.bodyBytes);
    this.#state = this.#heap === null ? STATE.skip : STATE.control;
    if (this.#bodyBytes > 0) return;
    if (this.#heap === null) this.#refuse();
    else this.#toControl();
  }

  #decide(): Route | undefined {
    headerV1.decode(this.#rawView, 0, header);
    const route = this.#net.routes.get(header.partitionId);
    facts.look(header, this.classes, route, this.#arg.lists);
    admission.decide(header, facts);
    return route;
  }

  #admitRouted(port: WorkerPort, bodyBytes: number): void {
    const net = this.#net;
    const links = facts.forwarded ? net.forwarding.linksTo(this.index, this.#arg.lists.addresses) : null;
    const primary = header.remainingFollowers > 0;
    const tag = net.takeTag(this, TAG_KIND.packet, this.#raw, port, bodyBytes, primary, links);
    if (tag < 0) return this.#block(tag === OWN_SHARE_USED);
    if (header.argBytes > 0) net.pending.arg[tag] = this.#arg.bytes;
    this.#tag = tag;
    this.#port = port;
    this.#slotAt = net.slab.payloadOffset(net.pending.slot[tag]!);
    this.#bodyBytes = bodyBytes;
    this.#bodyFill = 0;
    this.#lastLarge = bodyBytes >= DIRECT_BYTES_MIN * 4;
    this.#state = STATE.body;
    if (bodyBytes === 0) this.#dispatch();
  }

  #takeBody(bytes: Uint8Array, at: number, to: number): number {
    const count = Math.min(this.#bodyBytes - this.#bodyFill, to - at);
    if (count === 0) return at;
    const { buffers } = this.#net;
    buffers.movesIn.add(at, this.#slotAt + this.#bodyFill, count);
    if (buffers.movesIn.full) buffers.copyIn(bytes);
    this.#bodyFill += count;
    if (this.#bodyFill === this.#bodyBytes) this.#dispatch();
    return at + count;
  }

  /** The packet is complete: to its worker, behind everything this connection sent before. */
  #dispatch(): void {
    const tag = this.#tag;
    this.#tag = -1;
    headerV1.decode(this.#rawView, 0, header);
    const net = this.#net;
    net.dispatch(this, tag, this.#port!, header, header.extentOffset, header.size);
    this.#nextPacket();
  }

  #issueChunks(): void {
    const net = this.#net;
    headerV1.decode(this.#rawView, 0, header);
    const background = isRepairReadOp(header.opcode);
    while (this.#chunkLeft > 0) {
      if (this.failed) return this.#nextPacket();
      const bytes = Math.min(this.#chunkLeft, WIRE_LIMITS.readChunkBytes);
      if (background ? this.replies.busy : this.replies.full) return this.#block(background);
      const tag = net.takeTag(this, TAG_KIND.chunk, this.#raw, this.#port!, bytes, false);
      if (tag < 0) return this.#block(tag === OWN_SHARE_USED);
      if (bytes < this.#chunkLeft) net.pending.last[tag] = 0;
      net.dispatch(this, tag, this.#port!, header, this.#chunkAt, bytes);
      this.#chunkAt += bytes;
      this.#chunkLeft -= bytes;
    }
    this.#nextPacket();
  }

  /** Asks for the next packet of a stream of unknown length, one at a time; what the peer sent behind the request waits until the stream has ended. */
  #issueStream(): void {
    if (this.#streaming || this.replies.busy) return this.#block(true);
    headerV1.decode(this.#rawView, 0, header);
    const port = this.#port!;
    const tag = this.#net.takeTag(this, TAG_KIND.stream, this.#raw, port, WIRE_LIMITS.readChunkBytes, false);
    if (tag >= 0) this.#net.dispatch(this, tag, port, header, this.#chunkAt, this.#chunkLeft);
    this.#streaming = tag >= 0;
    this.#block(this.#streaming || tag === OWN_SHARE_USED);
  }

  /** The worker has answered one packet of the stream: the next one, or the next request, when the network thread calls `resume`. */
  streamed(tag: number): void {
    const { remainingBytes, holeBytes, bodyBytes } = this.#net.pending;
    const covered = holeBytes[tag]! + bodyBytes[tag]!;
    this.#streaming = false;
    this.#chunkAt += covered;
    this.#chunkLeft = Math.min(remainingBytes[tag]! - covered, 0xffff_ffff);
    if (this.#chunkLeft <= 0 || covered === 0) this.#nextPacket();
    else this.#net.pending.last[tag] = 0;
  }

  #takeHeap(bytes: Uint8Array, at: number, to: number): number {
    const count = Math.min(this.#bodyBytes - this.#bodyFill, to - at);
    this.#heap!.set(bytes.subarray(at, at + count), this.#bodyFill);
    this.#bodyFill += count;
    if (this.#bodyFill === this.#bodyBytes) this.#toControl();
    return at + count;
  }

  #toControl(): void {
    const net = this.#net;
    const tag = net.local.takeTag(this, this.#raw);
    if (tag < 0) return this.#block();
    const body = this.#heap!;
    this.#heap = null;
    headerV1.decode(this.#rawView, 0, header);
    const partitionId = Number.isSafeInteger(header.partitionId) ? header.partitionId : -1;
    net.local.control(this, tag, header.opcode, partitionId, body);
    this.#nextPacket();
  }

  #skipBody(bytes: Uint8Array, at: number, to: number): number {
    const count = Math.min(this.#bodyBytes - this.#bodyFill, to - at);
    headerV1.decode(this.#rawView, 0, header);
    if (count > 0 && isWriteOp(header.opcode)) {
      this.#skipCrc = this.#net.crc32(bytes.subarray(at, at + count), this.#skipCrc);
    }
    this.#bodyFill += count;
    if (this.#bodyFill === this.#bodyBytes) this.#refuse();
    return at + count;
  }

  /** Answers the error that admission found; the decision is made again, because the header was reused in between. */
  #refuse(): void {
    const net = this.#net;
    const tag = net.local.takeTag(this, this.#raw);
    if (tag < 0) return this.#block();
    headerV1.decode(this.#rawView, 0, header);
    facts.look(header, this.classes, net.routes.get(header.partitionId), this.#arg.lists);
    admission.refuse(header, facts, this.#skipCrc);
    const { action, message } = admission;
    net.pending.arg[tag] = this.#arg.bytes;
    net.local.finish(this, tag, resultCodeFor(action, message), errorBody(action, message));
    this.#nextPacket();
  }

  #nextPacket(): void {
    this.#rawFill = 0;
    this.#port = null;
    this.#state = this.failed ? STATE.discard : STATE.header;
  }

  #block(waitsForOwn = false): void {
    this.blocked = true;
    this.waitsForOwn = waitsForOwn;
    this.#net.waitForResources(this);
  }

  #abandonRequest(): void {
    if (this.#tag < 0) return;
    this.#net.releaseUndispatched(this.#tag);
    this.#tag = -1;
  }
}
