/**
 * One connection to one follower, of one client connection: dial, order, matching of replies, deadlines, and its end. Acts on a socket; what follows from what it hears is
 * decided elsewhere (`LinkOwner`).
 *
 * Packets are pushed in the order of the client connection and stay in their slots until the link takes them (`send`): nothing is handed to a socket that still holds bytes, so a follower that hangs costs no memory
 * beyond the slots and one staging buffer. A packet is let go when it was answered; where the link is lost, when its socket is closed, because until then the system may read the slot.
 */
import { connect, type Socket } from 'node:net';
import { HEADER_BYTES } from '../protocol/header.js';
import { parsePeerAddress } from '../protocol/peerAddress.js';
import {
  badAddressText,
  dialText,
  dialTimeoutText,
  type ErrnoText,
  lostText,
  replyTimeoutText,
  type SocketError,
} from './followerErrors.js';
import { FollowerQueue } from './followerQueue.js';
import { FollowerReplies } from './followerReplies.js';
import type { FollowerShare } from './followerShare.js';
import type { PendingTable } from './pending.js';

/** Bodies up to this size are copied behind each other; larger ones leave from their slots. */
export const COPIED_BYTES_MAX = 32 * 1024;
const KEEP_ALIVE_MS = 60_000;

/** Why a link is lost, for figures. */
export const LOSS = { dial: 0, closed: 1, timeout: 2, mismatch: 3 } as const;
export type Loss = (typeof LOSS)[keyof typeof LOSS];

/** What a link asks of whoever owns it, and tells it. */
export interface LinkOwner {
  readonly pending: PendingTable;
  readonly dialMs: number;
  readonly replyMs: number;
  /** Shared by all sockets: whatever is received is taken at once. */
  receiveBuffer(): Buffer;
  clockMs(): number;
  readonly errnoText: ErrnoText;
  /** The follower has done a packet. */
  done(tag: number): void;
  /** The follower has failed a packet. */
  failed(tag: number, text: string): void;
  /** The link is lost, and with it each packet on it, in their order. */
  lost(link: FollowerLink, loss: Loss, tag: number, text: string): void;
  /** The link is done with a packet; nothing of it is read any more. */
  letGo(link: FollowerLink, tag: number): void;
  /** No earlier packet of the client connection has failed: what stands behind a failure is not sent. */
  mayBeSent(tag: number): boolean;
  /** The link may take packets (again). */
  ready(link: FollowerLink): void;
  /** The socket is closed. */
  closed(link: FollowerLink): void;
}

/** Where small packets are built for one write. */
export interface Staging {
  /** Room behind what was staged. */
  fits(bytes: number): boolean;
  /** Appends header and body of a packet. */
  add(tag: number): void;
  /** What was staged since the last call, to be written; null: nothing. */
  take(): Buffer | null;
  /** Header and body of a large packet, where they lie. */
  large(tag: number): Buffer;
}

export class FollowerLink {
  readonly address: string;
  /** What the follower may hold, over all links to it. */
  readonly share: FollowerShare;
  /** In its owner's list of links to be sent on. */
  scheduled = false;
  readonly #owner: LinkOwner;
  readonly #queue = new FollowerQueue();
  readonly #replies: FollowerReplies;
  readonly #socket: Socket | null;
  /** Ends of the writes under way, as `FollowerQueue.handed` was. */
  readonly #writes: number[] = [];
  #dialTimer: NodeJS.Timeout | null = null;
  #up = false;
  /** Nothing is sent or taken any more. */
  #ended = false;
  /** Why; a packet that comes later gets the same. */
  #loss: Loss = LOSS.closed;
  #lossText = '';
  #ends = '';
  readonly #held: number[] = [];
  readonly #onWritten = (): void => this.#written();

  constructor(address: string, share: FollowerShare, owner: LinkOwner) {
    this.address = address;
    this.share = share;
    this.#owner = owner;
    this.#replies = new FollowerReplies(owner.pending.headerView, {
      expected: () => (this.#queue.oldestHasLeft ? owner.pending.headerOffset(this.#queue.oldest) : -1),
      done: () => this.#answered(null),
      failed: (text) => this.#answered(text),
    });
    this.#socket = this.#dial();
  }

  /** Packets that were not answered. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** A packet for the follower. It is sent by `send`. */
  push(tag: number): void {
    this.#queue.push(tag);
    if (this.#ended) this.#failAll();
  }

  /** Hands what waits to the socket, if that holds nothing. */
  send(staging: Staging): void {
    const socket = this.#socket;
    if (!this.#up || this.#ended || socket === null || !this.#queue.waits || socket.writableLength > 0)
      return;
    const nowMs = this.#owner.clockMs();
    const { forwardBytes } = this.#owner.pending;
    let corked = false;
    while (this.#queue.waits) {
      const tag = this.#queue.waiting;
      if (!this.#owner.mayBeSent(tag)) {
        // What comes behind it on the link may stand before it on the client connection.
        this.#owner.letGo(this, this.#queue.passOver());
        continue;
      }
      const bytes = forwardBytes[tag]!;
      if (bytes > COPIED_BYTES_MAX) {
        // Several writes: one system call for all of them.
        if (!corked) socket.cork();
        corked = true;
        this.#write(staging.take());
        this.#queue.handOver(nowMs);
        this.#write(staging.large(tag));
      } else if (staging.fits(HEADER_BYTES + bytes)) {
        staging.add(tag);
        this.#queue.handOver(nowMs);
      } else break;
    }
    this.#write(staging.take());
    if (corked) socket.uncork();
  }

  /** Everything that was handed over is in it, or in the writes before. */
  #write(bytes: Buffer | null): void {
    if (bytes === null) return;
    this.#writes.push(this.#queue.handed);
    this.#socket!.write(bytes, this.#onWritten);
  }

  /** What was sent stands in the socket. */
  get holdsOutput(): boolean {
    return this.#socket !== null && this.#socket.writableLength > 0;
  }

  /** Looks whether the follower is late. */
  sweep(nowMs: number): void {
    if (this.#ended || !this.#queue.isOverdue(nowMs, this.#owner.replyMs)) return;
    this.#lose(LOSS.timeout, replyTimeoutText(this.#ends, this.address));
  }

  /** Its client connection has ended: nobody is to hear of its packets. Once. */
  close(): void {
    // An address that is none: its packets were let go as they came.
    if (this.#socket === null) return this.#closed();
    if (this.#ended) return;
    this.#end();
    const nowMs = this.#owner.clockMs();
    while (this.#queue.length > 0) this.#held.push(this.#queue.shift(nowMs));
    this.#socket.destroy();
  }

  #dial(): Socket | null {
    const target = parsePeerAddress(this.address);
    if (target === null) {
      this.#loss = LOSS.dial;
      this.#lossText = badAddressText(this.address);
      this.#ended = true;
      return null;
    }
    const socket = connect({
      ...target,
      ...{ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS },
      onread: {
        buffer: () => this.#owner.receiveBuffer(),
        callback: (count, buffer) => this.#received(count, buffer),
      },
    });
    const { dialMs, errnoText } = this.#owner;
    this.#dialTimer = setTimeout(() => this.#lose(LOSS.dial, dialTimeoutText(this.address)), dialMs);
    socket.on('connect', () => this.#connected());
    socket.on('error', (error: SocketError) => {
      if (this.#up) this.#lose(LOSS.closed, lostText(this.#ends, this.address, error, errnoText));
      else this.#lose(LOSS.dial, dialText(this.address, error, errnoText));
    });
    socket.on('end', () => this.#lose(LOSS.closed, 'EOF'));
    socket.on('close', () => {
      this.#lose(LOSS.closed, 'EOF');
      this.#closed();
    });
    return socket;
  }

  #connected(): void {
    this.#clearDialTimer();
    const { localAddress, localPort } = this.#socket!;
    this.#ends = `${localAddress}:${localPort}`;
    this.#up = true;
    this.#owner.ready(this);
  }

  #written(): void {
    this.#queue.left(this.#writes.shift()!);
    if (this.#queue.waits) this.#owner.ready(this);
  }

  #received(count: number, buffer: Uint8Array): boolean {
    if (this.#ended) return true;
    const fault = this.#replies.received(buffer, count);
    if (fault !== null) this.#lose(LOSS.mismatch, fault);
    return true;
  }

  /** The oldest packet was answered: done, or with a text. */
  #answered(text: string | null): void {
    if (this.#ended) return;
    const tag = this.#queue.shift(this.#owner.clockMs());
    if (text === null) this.#owner.done(tag);
    else this.#owner.failed(tag, text);
    this.#owner.letGo(this, tag);
  }

  #lose(loss: Loss, text: string): void {
    if (this.#ended) return;
    this.#loss = loss;
    this.#lossText = text;
    this.#end();
    this.#failAll();
    this.#socket?.destroy();
  }

  #end(): void {
    this.#ended = true;
    this.#clearDialTimer();
  }

  #failAll(): void {
    const nowMs = this.#owner.clockMs();
    while (this.#queue.length > 0) {
      const tag = this.#queue.shift(nowMs);
      this.#owner.lost(this, this.#loss, tag, this.#lossText);
      // A packet that came after the end never was the socket's.
      if (this.#socket === null || this.#socket.closed) this.#owner.letGo(this, tag);
      else this.#held.push(tag);
    }
  }

  #closed(): void {
    for (const tag of this.#held) this.#owner.letGo(this, tag);
    this.#held.length = 0;
    this.#owner.closed(this);
  }

  #clearDialTimer(): void {
    if (this.#dialTimer !== null) clearTimeout(this.#dialTimer);
    this.#dialTimer = null;
  }
}
