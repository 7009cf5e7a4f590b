/**
 * The links of all client connections to their followers, and what is staged for them in a turn: small packets behind each other in one write a link, large ones from their slots.
 *
 * One link for each pair of client connection and follower address, made when a packet first names the address, closed with the connection (`docs/replication.md`). Used by `forwarding.ts` alone.
 */
import {
  HEADER_BYTES,
  HEADER_OFFSET,
  writeRemainingFollowers,
  writeReplyFields,
} from '../protocol/header.js';
import { FollowerLink, type LinkOwner, LOSS, type Loss, type Staging } from './followerLink.js';
import { FollowerShare } from './followerShare.js';
import { MoveList } from './moveList.js';
import type { NetworkBuffers } from './networkBuffers.js';
import type { PendingTable } from './pending.js';

const STAGING_BYTES = 256 * 1024;
/** How often links are looked at for late followers. */
const SWEEP_MS = 100;

/** What happens to packets on the links. */
export interface LinkListener {
  done(tag: number): void;
  failed(tag: number, text: string): void;
  /** `dialled`: the follower was reached at all. */
  lost(tag: number, dialled: boolean, text: string): void;
  /** A link is done with a packet. */
  letGo(link: FollowerLink, tag: number): void;
  /** No earlier packet of its connection has failed. */
  mayBeSent(tag: number): boolean;
  /** Some link has something to send: `flush` soon. */
  wake(): void;
}

/** What the links are made of. */
export interface LinkParts {
  readonly pending: PendingTable;
  readonly buffers: NetworkBuffers;
  readonly slotOffset: (slot: number) => number;
  readonly clockMs: () => number;
  readonly errnoText: (errno: number) => string;
  readonly dialMs: number;
  readonly replyMs: number;
}

/** The links of one client connection; and those to the list of followers that it has named last. */
interface ConnectionLinks {
  readonly all: FollowerLink[];
  addresses: readonly string[];
  named: readonly FollowerLink[];
}

/** A link that was lost is told to the log once, and counted. */
export type LossListener = (address: string, loss: Loss, text: string) => void;

export class FollowerLinks implements LinkOwner, Staging {
  readonly pending: PendingTable;
  readonly dialMs: number;
  readonly replyMs: number;
  readonly errnoText: (errno: number) => string;
  readonly clockMs: () => number;
  /** Sockets that are not closed. */
  open = 0;
  /** Links lost, by LOSS; packets that a follower has answered with an error. */
  readonly losses: number[] = Object.keys(LOSS).map(() => 0);
  refusals = 0;
  readonly #parts: LinkParts;
  readonly #listener: LinkListener;
  readonly #lossListener: LossListener;
  /** By index of the client connection. */
  readonly #byConnection = new Map<number, ConnectionLinks>();
  /** By address; as long as there is a link to it. */
  readonly #shares = new Map<string, FollowerShare>();
  #scheduled: FollowerLink[] = [];
  readonly #told = new WeakSet<FollowerLink>();
  #sweeper: NodeJS.Timeout | null = null;
  // What is staged: [from, to) of the buffer is not written yet.
  #staging = Buffer.allocUnsafeSlow(STAGING_BYTES);
  #stagingView = viewOf(this.#staging);
  #from = 0;
  #to = 0;
  readonly #moves = new MoveList();

  constructor(parts: LinkParts, listener: LinkListener, lossListener: LossListener) {
    this.#parts = parts;
    this.#listener = listener;
    this.#lossListener = lossListener;
    this.pending = parts.pending;
    this.dialMs = parts.dialMs;
    this.replyMs = parts.replyMs;
    this.errnoText = parts.errnoText;
    this.clockMs = parts.clockMs;
  }

  /** The links of a client connection to `addresses`, in their order; those that are new are dialled. The list is not changed any more. */
  linksTo(connection: number, addresses: readonly string[]): readonly FollowerLink[] {
    let own = this.#byConnection.get(connection);
    if (own === undefined) {
      own = { all: [], addresses: [], named: [] };
      this.#byConnection.set(connection, own);
    }
    if (own.addresses === addresses) return own.named;
    own.addresses = addresses;
    const { all } = own;
    own.named = addresses.map(
      (address) => all.find((link) => link.address === address) ?? this.#dial(all, address),
    );
    return own.named;
  }

  #dial(all: FollowerLink[], address: string): FollowerLink {
    const share = this.#shares.get(address) ?? new FollowerShare();
    this.#shares.set(address, share);
    share.links++;
    const link = new FollowerLink(address, share, this);
    this.open++;
    all.push(link);
    this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS).unref();
    return link;
  }

  /** A packet goes to a follower with the next `flush`. */
  push(link: FollowerLink, tag: number): void {
    link.push(tag);
    this.ready(link);
  }

  /** Sends what waits. */
  flush(): void {
    while (this.#scheduled.length > 0) {
      const list = this.#scheduled;
      this.#scheduled = [];
      for (const link of list) {
        link.scheduled = false;
        link.send(this);
        if (link.holdsOutput) this.#replaceStaging();
        this.#from = 0;
        this.#to = 0;
      }
    }
  }

  /** The client connection has ended. */
  close(connection: number): void {
    const own = this.#byConnection.get(connection);
    if (own === undefined) return;
    this.#byConnection.delete(connection);
    for (const link of own.all) link.close();
  }

  // LinkOwner.

  receiveBuffer(): Buffer {
    return this.#parts.buffers.scratchSmall;
  }

  done(tag: number): void {
    this.#listener.done(tag);
  }

  failed(tag: number, text: string): void {
    this.refusals++;
    this.#listener.failed(tag, text);
  }

  lost(link: FollowerLink, loss: Loss, tag: number, text: string): void {
    if (!this.#told.has(link)) {
      this.#told.add(link);
      this.losses[loss]!++;
      this.#lossListener(link.address, loss, text);
    }
    this.#listener.lost(tag, loss !== LOSS.dial, text);
  }

  letGo(link: FollowerLink, tag: number): void {
    this.#listener.letGo(link, tag);
  }

  mayBeSent(tag: number): boolean {
    return this.#listener.mayBeSent(tag);
  }

  ready(link: FollowerLink): void {
    if (link.scheduled) return;
    link.scheduled = true;
    this.#scheduled.push(link);
    this.#listener.wake();
  }

  closed({ address, share }: FollowerLink): void {
    if (--share.links === 0) this.#shares.delete(address);
    this.open--;
    if (this.open > 0 || this.#sweeper === null) return;
    clearInterval(this.#sweeper);
    this.#sweeper = null;
  }

  // Staging.

  fits(bytes: number): boolean {
    return this.#to + bytes <= this.#staging.length && !this.#moves.full;
  }

  add(tag: number): void {
    const { pending } = this;
    const bytes = pending.forwardBytes[tag]!;
    const from = pending.headerOffset(tag);
    for (let i = 0; i < HEADER_BYTES; i++) this.#staging[this.#to + i] = pending.headers[from + i]!;
    this.#patch(this.#stagingView, this.#to, tag);
    if (bytes > 0) {
      this.#moves.add(this.#parts.slotOffset(pending.slot[tag]!), this.#to + HEADER_BYTES, bytes);
    }
    this.#to += HEADER_BYTES + bytes;
  }

  take(): Buffer | null {
    if (this.#from === this.#to) return null;
    this.#parts.buffers.copyOutTo(this.#staging, this.#moves);
    const staged = this.#staging.subarray(this.#from, this.#to);
    this.#from = this.#to;
    return staged;
  }

  large(tag: number): Buffer {
    const { pending } = this;
    const { buffers, slotOffset } = this.#parts;
    const at = slotOffset(pending.slot[tag]!) - HEADER_BYTES;
    const from = pending.headerOffset(tag);
    // Every follower gets the same, so another socket may be reading it.
    for (let i = 0; i < HEADER_BYTES; i++) buffers.slabView.setUint8(at + i, pending.headers[from + i]!);
    this.#patch(buffers.slabView, at, tag);
    return buffers.slabBuffer(at, HEADER_BYTES + pending.forwardBytes[tag]!);
  }

  /** What a forwarded header has otherwise than that of the request (`wire.md` 7.2). */
  #patch(view: DataView, at: number, tag: number): void {
    const crc = this.pending.headerView.getUint32(this.pending.headerOffset(tag) + HEADER_OFFSET.crc);
    writeRemainingFollowers(view, at, 0);
    writeReplyFields(view, at, 0, crc, this.pending.forwardBytes[tag]!, 0);
  }

  #replaceStaging(): void {
    this.#staging = Buffer.allocUnsafeSlow(STAGING_BYTES);
    this.#stagingView = viewOf(this.#staging);
  }

  #sweep(): void {
    const nowMs = this.clockMs();
    for (const { all } of this.#byConnection.values()) for (const link of all) link.sweep(nowMs);
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
