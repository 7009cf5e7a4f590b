/**
 * Packets that go to followers too, on the network thread: hands what `replication.ts` decides to the links, the reply queues and the workers. Used by the network thread and its reply queues.
 *
 * A tag is held by its reply queue, its worker and each link (`PendingTable.holds`), and keeps its slot and its place among the worker's requests until all have let go; so what waits for followers is
 * bounded by the shares of primary work.
 */
import assert from 'node:assert';
import { REPLY_F64, REPLY_I32, RESULT_ASSIGNED, RESULT_SKIPPED } from '../partition/messages.js';
import { ACTION, errorBody, resultCodeFor } from '../protocol/errors.js';
import { HEADER_OFFSET, type PacketHeader, readUint64, writeExtent } from '../protocol/header.js';
import { OP } from '../protocol/opcodes.js';
import { RESULT } from '../protocol/resultCodes.js';
import type { Connection } from './connection.js';
import { writeSettle } from './descriptors.js';
import type { FollowerLink } from './followerLink.js';
import { FollowerLinks, type LinkListener, type LossListener } from './followerLinks.js';
import type { NetworkThread } from './networkThread.js';
import { TAG } from './pending.js';
import { EFFECT, OUTCOME, Replication } from './replication.js';
import { OWN_SHARE_USED, type WorkerPort } from './workerPort.js';

/** What forwarding is made of, beside the network thread's own parts. */
export interface ForwardingParts {
  readonly dialMs: number;
  readonly replyMs: number;
  /** The operating system's words for an errno. */
  readonly errnoText: (errno: number) => string;
  readonly lost: LossListener;
}

/** ExtentType of a packet that addresses tiny extents. */
const TINY = 0;

export class Forwarding implements LinkListener {
  readonly links: FollowerLinks;
  readonly #net: NetworkThread;
  readonly #replication: Replication;
  /** By tag: where it goes, and 1 when it was given to those links; and the worker's error text, which comes in pieces. */
  readonly #links: (readonly FollowerLink[] | null)[];
  readonly #forwarded: Uint8Array;
  readonly #texts: (Uint8Array | null)[];
  readonly #codes: Uint8Array;
  /** By tag: 1 where a follower's failure, if it is the answer, is told without the request's Arg. */
  readonly #withoutArg: Uint8Array;

  constructor(net: NetworkThread, parts: ForwardingParts) {
    const { capacity } = net.pending;
    this.#net = net;
    this.#replication = new Replication(capacity);
    this.#links = new Array<readonly FollowerLink[] | null>(capacity).fill(null);
    this.#forwarded = new Uint8Array(capacity);
    this.#texts = new Array<Uint8Array | null>(capacity).fill(null);
    this.#codes = new Uint8Array(capacity);
    this.#withoutArg = new Uint8Array(capacity);
    const { pending, buffers, slab } = net;
    const slotOffset = (slot: number): number => slab.payloadOffset(slot);
    const clockMs = (): number => net.clockMs();
    const { dialMs, replyMs, errnoText } = parts;
    this.links = new FollowerLinks(
      { pending, buffers, slotOffset, clockMs, dialMs, replyMs, errnoText },
      this,
      parts.lost,
    );
  }

  /** Packets that are not known to be done or failed as a whole. */
  get open(): number {
    return this.#replication.open;
  }

  /** Links of the client connection at `index` to the followers that its packet names. */
  linksTo(index: number, addresses: readonly string[]): readonly FollowerLink[] {
    return this.links.linksTo(index, addresses);
  }

  /**
   * Whether a packet that has got `slot` may wait for these followers too, none of which may hold more than its share: 0 when it may. Else OWN_SHARE_USED: their answers are waited for; or -1: maybe clients are, that
   * have sent a part of a packet.
   */
  refusal(links: readonly FollowerLink[], slot: number, port: WorkerPort): number {
    const { slab } = this.#net;
    for (const { share } of links) {
      if (!share.admits(slab, slot, port)) return share.unsent > 0 ? -1 : OWN_SHARE_USED;
    }
    return 0;
  }

  /** A tag was taken for a packet that `links` are to get. */
  hold(tag: number, links: readonly FollowerLink[], port: WorkerPort): void {
    const { pending, slab } = this.#net;
    pending.followers[tag] = links.length;
    this.#links[tag] = links;
    this.#forwarded[tag] = 0;
    for (const { share } of links) {
      share.hold(slab, pending.slot[tag]!, port);
      share.unsent++;
    }
  }

  /** A packet was dispatched to its worker: it goes to its links too, now or when the worker has given out its id or place. */
  begin(tag: number, header: PacketHeader): void {
    const { pending } = this.#net;
    // The reply queue and the worker.
    pending.holds[tag] = 2;
    pending.forwardBytes[tag] = header.size;
    const assigns = header.opcode === OP.createExtent || header.extentType === TINY;
    this.#apply(tag, this.#replication.begin(tag, pending.followers[tag]!, assigns));
  }

  /** The worker's descriptor `at` about a forwarded packet. Returns whether that was the packet's end at the worker. */
  reply(port: WorkerPort, at: number): boolean {
    const { pending, slab } = this.#net;
    const { i32 } = port.replies;
    const i = at * 16;
    const tag = i32[i + REPLY_I32.tag]!;
    const code = i32[i + REPLY_I32.resultCode]!;
    if (code === RESULT_ASSIGNED) {
      this.#assigned(tag, port, at);
      return false;
    }
    slab.takeBack(pending.slot[tag]!);
    if (code === RESULT_SKIPPED) {
      if (pending.state[tag] === TAG.waiting) {
        pending.state[tag] = TAG.done;
        pending.resultCode[tag] = RESULT_SKIPPED;
      }
      this.#apply(tag, this.#replication.skipped(tag));
      this.#net.releaseTag(tag);
    } else if (code === RESULT.ok) {
      if (this.#replication.outcome(tag) === OUTCOME.open) {
        pending.answered(tag, port.replies, at);
        pending.state[tag] = TAG.replicating;
      }
      this.#apply(tag, this.#replication.endedHere(tag, true));
      this.#net.releaseTag(tag);
    } else {
      assert(
        i32[i + REPLY_I32.largeBody] === 1,
        'sockets may read the slot of a forwarded packet: its text comes over the event ring',
      );
      this.#codes[tag] = code;
      this.#texts[tag] = new Uint8Array(i32[i + REPLY_I32.bodyBytes]!);
    }
    return true;
  }

  /** A piece of the worker's error text. */
  textPiece(tag: number, offset: number, piece: Uint8Array): void {
    const { pending } = this.#net;
    const text = this.#texts[tag] ?? null;
    // The rest of a text of another packet, whose tag was given back before.
    if (text === null) return;
    text.set(piece, offset);
    if (offset + piece.length < text.length) return;
    this.#texts[tag] = null;
    // Also in place of a follower's that was known before: the worker's error comes first (`wire.md` 7.4).
    if (!this.#replication.isDecided(tag)) {
      pending.resultCode[tag] = this.#codes[tag]!;
      pending.body[tag] = text;
      pending.bodyBytes[tag] = text.length;
    }
    this.#apply(tag, this.#replication.endedHere(tag, false));
    this.#net.releaseTag(tag);
  }

  /** The reply queue gives a packet up that it has not answered. */
  abandoned(tag: number): void {
    this.#apply(tag, this.#replication.abandoned(tag));
    this.#net.releaseTag(tag);
  }

  /** Nobody holds the tag any more; its slot is still its own. */
  freed(tag: number): void {
    // Links that never got it do not let go of it.
    if (this.#forwarded[tag] === 0) {
      for (const link of this.#links[tag]!) {
        link.share.unsent--;
        this.#giveBack(link, tag);
      }
    }
    this.#links[tag] = null;
  }

  /** The client connection at `index` has ended, or its last reply has left: its links are closed. */
  closeLinks(index: number): void {
    this.links.close(index);
  }

  /** Packets are forwarded. Called in each turn, when bodies are in their slots. */
  flush(): void {
    this.links.flush();
  }

  // LinkListener.

  done(tag: number): void {
    this.#apply(tag, this.#replication.answered(tag));
  }

  failed(tag: number, text: string): void {
    this.#failedThere(tag, ACTION.receiveFromFollower, text);
  }

  lost(tag: number, dialled: boolean, text: string): void {
    this.#failedThere(tag, dialled ? ACTION.receiveFromFollower : ACTION.sendToFollowers, text);
  }

  letGo(link: FollowerLink, tag: number): void {
    this.#giveBack(link, tag);
    this.#net.releaseTag(tag);
  }

  /** Not when its outcome is known, or it stands behind a failure. */
  mayBeSent(tag: number): boolean {
    return !this.#isBehindFailure(tag);
  }

  wake(): void {
    this.#net.wake();
  }

  #assigned(tag: number, port: WorkerPort, at: number): void {
    const { pending } = this.#net;
    const { i32, f64 } = port.replies;
    const extentId = f64[at * 8 + REPLY_F64.extentId]!;
    const extentOffset = f64[at * 8 + REPLY_F64.extentOffset]!;
    pending.extentId[tag] = extentId;
    pending.extentOffset[tag] = extentOffset;
    pending.forwardBytes[tag] = i32[at * 16 + REPLY_I32.bodyBytes]!;
    // Followers get them, and their replies are compared with them.
    writeExtent(pending.headerView, pending.headerOffset(tag), extentId, extentOffset);
    const loan = f64[at * 8 + REPLY_F64.loan]!;
    const behind = this.#replication.outcome(tag) === OUTCOME.open && this.#isBehindFailure(tag);
    this.#apply(tag, this.#replication.assigned(tag, loan, behind));
  }

  #isBehindFailure(tag: number): boolean {
    if (this.#replication.outcome(tag) !== OUTCOME.open) return true;
    const connection = this.#connection(tag);
    return connection.failed && connection.replies.isBehindFailure(tag);
  }

  #failedThere(tag: number, action: string, text: string): void {
    const { pending } = this.#net;
    const open = this.#replication.outcome(tag) === OUTCOME.open;
    if (open) {
      const body = errorBody(action, text);
      pending.resultCode[tag] = resultCodeFor(action, text);
      pending.crc[tag] = pending.headerView.getUint32(pending.headerOffset(tag) + HEADER_OFFSET.crc);
      pending.body[tag] = body;
      pending.bodyBytes[tag] = body.length;
      // As the reference does: its own execution has taken Arg away by then (`wire.md` 3.4).
      this.#withoutArg[tag] = action === ACTION.receiveFromFollower ? 1 : 0;
    }
    this.#apply(tag, this.#replication.failedThere(tag));
  }

  #apply(tag: number, effects: number): void {
    if (effects === EFFECT.none) return;
    const { pending } = this.#net;
    if ((effects & EFFECT.forward) !== 0) {
      this.#forwarded[tag] = 1;
      for (const link of this.#links[tag]!) {
        link.share.unsent--;
        pending.holds[tag]!++;
        this.links.push(link, tag);
      }
    }
    if ((effects & (EFFECT.settleWhole | EFFECT.settleBroken)) !== 0) {
      this.#settle(tag, (effects & EFFECT.settleWhole) !== 0);
    }
    if ((effects & EFFECT.fail) !== 0) {
      assert(pending.state[tag] !== TAG.done, 'a packet that was answered does not fail');
      pending.state[tag] = TAG.failing;
      this.#net.fail(this.#connection(tag));
    }
    if ((effects & EFFECT.answer) === 0) return;
    assert(pending.state[tag] !== TAG.done, 'a packet has one outcome');
    pending.state[tag] = TAG.done;
    if (this.#replication.outcome(tag) === OUTCOME.failedThere && this.#withoutArg[tag] === 1)
      pending.arg[tag] = null;
    this.#net.schedule(this.#connection(tag).replies);
  }

  /** A follower does not hold the packet up any more: another may wait for it. */
  #giveBack({ share }: FollowerLink, tag: number): void {
    const { pending, slab } = this.#net;
    if (share.giveBack(slab, pending.slot[tag]!, this.#net.port(pending.worker[tag]!))) this.#net.freed();
  }

  #settle(tag: number, whole: boolean): void {
    const { pending } = this.#net;
    const port = this.#net.port(pending.worker[tag]!);
    const partition = readUint64(pending.headerView, pending.headerOffset(tag) + HEADER_OFFSET.partitionId);
    const at = port.requests.reserve(true);
    assert(at >= 0, 'a request ring has room for the settle of each request');
    writeSettle(port.requests, at, partition, pending.extentId[tag]!, this.#replication.loan(tag), whole);
    port.dirty = true;
    this.#net.wake();
  }

  #connection(tag: number): Connection {
    return this.#net.connectionAt(this.#net.pending.connection[tag]!);
  }
}
