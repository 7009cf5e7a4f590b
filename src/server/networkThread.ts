/**
 * What a network thread owns: its slab, its tags, its connections, and one pair of rings to each worker.
 *
 * Work comes in turns. A turn begins with bytes from sockets or a wake-up from a worker; at its end (`turn`) descriptors are published, with at most one
 * wake-up a worker, replies are drained and sent, and blocked connections try again. While a turn is due, workers need not wake this thread: its doorbell
 * says that it is awake. With little in flight the turn spins for the replies first, because sleeping and being woken costs more than most replies take.
 */
import assert from 'node:assert';
import { REPLY_I32, RESULT_SKIPPED } from '../partition/messages.js';
import { errorBody, resultCodeFor } from '../protocol/errors.js';
import type { PacketHeader } from '../protocol/header.js';
import { actionOf, isRepairReadOp } from '../protocol/opcodes.js';
import { RESULT } from '../protocol/resultCodes.js';
import type { Slab } from '../shm/slab.js';
import type { Connection } from './connection.js';
import { writeRequest } from './descriptors.js';
import type { FollowerLink } from './followerLink.js';
import { Forwarding } from './forwarding.js';
import { LocalAnswers } from './localAnswers.js';
import { LoneReply } from './loneReply.js';
import { NetworkBuffers } from './networkBuffers.js';
import type { ConnectionLimits, NetworkParts } from './networkParts.js';
import type { Operations } from './operations.js';
import { PendingTable, TAG, TAG_KIND } from './pending.js';
import type { ReplyQueue } from './replyQueue.js';
import { OWN_SHARE_USED, type Route, slotKindFor, WORK, type WorkerPort } from './workerPort.js';

/** Smallest slot of a request: it must hold an error text or a small reply body. */
const SLOT_BYTES_MIN = 4096;

export class NetworkThread {
  readonly pending: PendingTable;
  readonly slab: Slab;
  readonly limits: ConnectionLimits;
  readonly routes = new Map<number, Route>();
  readonly buffers: NetworkBuffers;
  readonly local: LocalAnswers;
  readonly forwarding: Forwarding;
  readonly operations: Operations;
  /** Loop clock, ms: read once a turn. */
  nowMs = 0;

  readonly #parts: NetworkParts;
  readonly #connections: (Connection | undefined)[] = [];
  readonly #flushList: ReplyQueue[] = [];
  #blocked: Connection[] = [];
  #turnDue = false;
  #released = false;
  #inFlight = 0;
  readonly #lone: LoneReply;
  readonly #turn = (): void => this.turn();

  constructor(parts: NetworkParts) {
    this.#parts = parts;
    this.pending = new PendingTable(parts.tags);
    this.slab = parts.slab;
    this.buffers = new NetworkBuffers(parts.slab, parts.copyMany);
    this.limits = parts.limits;
    this.local = new LocalAnswers(this, parts.admin);
    this.forwarding = new Forwarding(this, parts.forwarding);
    this.operations = parts.operations;
    this.#lone = new LoneReply(parts);
    this.nowMs = parts.monotonicMs();
  }

  /** Requests at workers. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Some connection waits for what others hold: a slot, a tag, room in a ring. */
  get starving(): boolean {
    return this.#blocked.some(({ failed, replies, waitsForOwn }) => !failed && !waitsForOwn && !replies.full);
  }

  /** The clock now, ms: for what must be finer than a turn. */
  clockMs(): number {
    return this.#parts.monotonicMs();
  }

  crc32(data: Uint8Array, seed: number): number {
    return this.#parts.crc32(data, seed);
  }

  // Connections.

  addConnection(connection: Connection): void {
    assert(this.#connections[connection.index] === undefined, 'a connection index has one user');
    this.#connections[connection.index] = connection;
  }

  /** The connection at an index that is in use. */
  connectionAt(index: number): Connection {
    return this.#connections[index]!;
  }

  /** The socket is closed: nothing of it is executed any more, its index may be used again by a new generation. */
  removeConnection(connection: Connection): void {
    this.#parts.poison.poison(connection.index, connection.generation);
    connection.closed();
    connection.replies.closed();
    this.forwarding.closeLinks(connection.index);
    this.#connections[connection.index] = undefined;
    this.wake();
  }

  drop(connection: Connection, reason: string): void {
    connection.stop();
    this.#parts.sockets().drop(connection, reason);
  }

  halfClose(index: number): void {
    // Everything before the failure was answered, so whatever a worker still has of this connection came behind it.
    const connection = this.#connections[index]!;
    this.#parts.poison.poison(index, connection.generation);
    this.forwarding.closeLinks(index);
    this.#parts.sockets().halfClose(index);
  }

  /**
   * Takes a tag and a slot for a request of `connection` to `port` whose body or answer has `bytes`. Below 0 when something is missing: the caller
   * blocks; OWN_SHARE_USED when it is the share of repair reads, or of one of the followers (`links`) that the packet goes to. `slabShare.ts` says what each kind of work may use.
   */
  takeTag(
    connection: Connection,
    kind: number,
    raw: Uint8Array,
    port: WorkerPort,
    bytes: number,
    primary: boolean,
    links: readonly FollowerLink[] | null = null,
  ): number {
    const background = isRepairReadOp(raw[2]!);
    const other = background ? WORK.background : WORK.leaf;
    const share = primary ? WORK.primary : other;
    const refused = background ? OWN_SHARE_USED : -1;
    if (!port.admits(share)) return refused;
    const slotKind = slotKindFor(share, kind === TAG_KIND.packet);
    const slot = this.slab.acquire(Math.max(bytes, SLOT_BYTES_MIN), port.disk, slotKind);
    if (slot < 0) return refused;
    const refusal = links === null ? 0 : this.forwarding.refusal(links, slot, port);
    const tag = refusal === 0 ? this.pending.acquire(connection.index, kind, raw, 0) : refusal;
    if (tag < 0) {
      this.slab.release(slot);
      return tag;
    }
    this.pending.assign(tag, slot, port.index, share);
    port.admit(share);
    if (links !== null) this.forwarding.hold(tag, links, port);
    return tag;
  }

  /** Gives back a tag that was never dispatched (its packet did not arrive completely). */
  releaseUndispatched(tag: number): void {
    const { followers, worker, share } = this.pending;
    if (followers[tag] === 0) this.port(worker[tag]!).settle(share[tag]!);
    this.releaseTag(tag);
  }

  /** Lets go of a tag that no worker holds; the last one gives it back, with its slot. What is forwarded counts as its worker's until then. */
  releaseTag(tag: number): void {
    const { holds, followers, worker, share } = this.pending;
    if (--holds[tag]! > 0) return;
    if (followers[tag]! > 0) {
      this.port(worker[tag]!).settle(share[tag]!);
      this.forwarding.freed(tag);
    }
    const slot = this.pending.slot[tag]!;
    if (slot >= 0) this.releaseSlot(slot);
    this.pending.slot[tag] = -1;
    this.pending.release(tag);
    this.#released = true;
  }

  releaseSlot(slot: number): void {
    this.slab.release(slot);
    this.freed();
  }

  /** Something was given back: whoever is blocked tries again. */
  freed(): void {
    this.#released = true;
    if (this.#blocked.length > 0) this.wake();
  }

  /** `connection` tries again when something was given back. */
  waitForResources(connection: Connection): void {
    this.#blocked.push(connection);
    this.wake();
  }

  // Requests.

  /** The worker with this index. */
  port(index: number): WorkerPort {
    return this.#parts.ports[index]!;
  }

  /** Writes a request's descriptor; it is published at the end of the turn. */
  dispatch(
    connection: Connection,
    tag: number,
    port: WorkerPort,
    header: PacketHeader,
    extentOffset: number,
    bytes: number,
  ): void {
    const { pending } = this;
    const forwarded = pending.followers[tag]! > 0;
    const slot = pending.slot[tag]!;
    const at = port.requests.reserve(header.remainingFollowers === 0);
    assert(at >= 0, 'a tag was taken only while the ring had room');
    writeRequest(
      port.requests,
      at,
      this.slab,
      slot,
      connection,
      tag,
      header,
      extentOffset,
      bytes,
      this.#parts.wallMs(),
      forwarded,
    );
    pending.crc[tag] = header.crc;
    pending.extentId[tag] = header.extentId;
    pending.extentOffset[tag] = extentOffset;
    pending.arrivedMs[tag] = connection.progressMs;
    this.slab.handOver(slot);
    connection.replies.push(tag, Math.max(bytes, SLOT_BYTES_MIN));
    if (port.inFlight++ === 0) port.silentMs = 0;
    this.#inFlight++;
    port.dirty = true;
    if (forwarded) this.forwarding.begin(tag, header);
    this.wake();
  }

  // Turns.

  /** A worker has something: a turn now. */
  called(): void {
    if (!this.#turnDue) this.turn();
  }

  /** Makes sure that a turn follows soon. */
  wake(): void {
    if (this.#turnDue) return;
    this.#turnDue = true;
    this.#parts.sleeper.disarm();
    setImmediate(this.#turn);
  }

  schedule(queue: ReplyQueue): void {
    if (queue.scheduled) return;
    queue.scheduled = true;
    this.#flushList.push(queue);
    this.wake();
  }

  /** Publishes, drains, sends, and goes to sleep unless there is more. */
  turn(): void {
    const parts = this.#parts;
    this.#turnDue = true;
    parts.sleeper.disarm();
    this.nowMs = parts.monotonicMs();
    for (const port of parts.ports) port.publish();
    this.forwarding.flush();
    let seen = parts.sleeper.sequence();
    this.#drainAndSend();
    this.#lone.observe(this.#inFlight);
    if (this.#inFlight === 1 && this.#flushList.length === 0 && this.#lone.wait(seen)) {
      seen = parts.sleeper.sequence();
      this.#drainAndSend();
    }
    this.#turnDue = false;
    const more = this.#flushList.length > 0 || (this.#released && this.#blocked.length > 0);
    if (more || !parts.sleeper.arm(seen)) this.wake();
  }

  #drainAndSend(): void {
    for (const port of this.#parts.ports) this.#drain(port);
    this.#parts.drainEvents();
    this.forwarding.flush();
    const list = this.#flushList;
    for (let i = 0; i < list.length; i++) {
      const queue = list[i]!;
      queue.scheduled = false;
      queue.flush();
    }
    list.length = 0;
    this.#resumeBlocked();
    for (const port of this.#parts.ports) port.publish();
  }

  /** Takes the replies of one worker now: a piece of a large body must not overtake its reply. */
  drainPort(index: number): void {
    this.#drain(this.#parts.ports[index]!);
  }

  #drain(port: WorkerPort): void {
    const { replies } = port;
    let taken = false;
    let count = 0;
    let served = 0;
    for (let at = replies.next(); at >= 0; at = replies.next()) {
      served += 1 - replies.i32[at * 16 + REPLY_I32.unserved]!;
      if (this.#reply(port, at)) count++;
      taken = true;
    }
    if (!taken) return;
    replies.release();
    this.#lone.answered();
    port.inFlight -= count;
    this.#inFlight -= count;
    if (served > 0) port.silentMs = 0;
  }

  /** Takes one descriptor; false: its packet is still at the worker. */
  #reply(port: WorkerPort, at: number): boolean {
    const { pending } = this;
    const { i32 } = port.replies;
    const i = at * 16;
    const tag = i32[i + REPLY_I32.tag]!;
    assert(pending.worker[tag] === port.index, 'a tag comes back from its worker');
    if (pending.followers[tag]! > 0) return this.forwarding.reply(port, at);
    this.slab.takeBack(pending.slot[tag]!);
    port.settle(pending.share[tag]!);
    const resultCode = i32[i + REPLY_I32.resultCode]!;
    if (pending.state[tag] === TAG.abandoned) this.releaseTag(tag);
    else if (resultCode === RESULT_SKIPPED) {
      // It stands behind a failure of the same connection, where its queue will end.
      pending.state[tag] = TAG.done;
      pending.resultCode[tag] = RESULT_SKIPPED;
    } else {
      pending.answered(tag, port.replies, at);
      const bodyToCome = i32[i + REPLY_I32.largeBody] === 1 ? pending.bodyBytes[tag]! : 0;
      if (bodyToCome > 0) pending.body[tag] = new Uint8Array(bodyToCome);
      else this.#done(tag, resultCode);
    }
    return true;
  }

  /** A piece of a large body arrived over the event ring. */
  bodyPiece(tag: number, offset: number, piece: Uint8Array): void {
    if (this.pending.followers[tag]! > 0) return this.forwarding.textPiece(tag, offset, piece);
    const body = this.pending.body[tag];
    if (!body) return;
    body.set(piece, offset);
    if (offset + piece.length === body.length) this.#done(tag, this.pending.resultCode[tag]!);
  }

  #done(tag: number, resultCode: number): void {
    const { pending } = this;
    if (pending.state[tag] === TAG.abandoned) return this.releaseTag(tag);
    pending.state[tag] = TAG.done;
    const connection = this.#connections[pending.connection[tag]!]!;
    if (resultCode !== RESULT.ok) this.fail(connection);
    else if (pending.kind[tag] === TAG_KIND.stream) {
      connection.streamed(tag);
      this.#released = true;
    }
    this.schedule(connection.replies);
  }

  /** An error reply is due: nothing more is executed for the connection. */
  fail(connection: Connection): void {
    if (!connection.failed) connection.stop();
  }

  #resumeBlocked(): void {
    if (!this.#released || this.#blocked.length === 0) return;
    this.#released = false;
    const waiting = this.#blocked;
    this.#blocked = [];
    for (const connection of waiting) {
      if (connection.failed) continue;
      if (connection.resume()) this.#parts.sockets().resumeReading(connection);
    }
  }

  // A disk that completes nothing.

  /** Ends every connection that waits for `port` with an error reply; the slots stay taken until the worker gives them back. Returns how many. */
  failPort(port: WorkerPort, message: string): number {
    let failed = 0;
    for (const connection of this.#connections) {
      if (connection === undefined || connection.replies.ended) continue;
      // Also where a failure stands behind it, or a follower's waits for the worker's: neither is answered before it.
      const tag = connection.replies.firstWaitingAt(port.index);
      if (tag < 0) continue;
      failed++;
      // The tag itself stays with the worker.
      const action = actionOf(this.pending.headers[this.pending.headerOffset(tag) + 2]!);
      this.fail(connection);
      connection.replies.failAt(tag, resultCodeFor(action, message), errorBody(action, message));
    }
    return failed;
  }
}
