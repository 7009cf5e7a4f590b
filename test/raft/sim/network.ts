/**
 * The network between simulated nodes: what is sent arrives late, not at all, twice, or out of order, as the faults of its link and the seed have it.
 *
 * A link goes one way. Without faults it keeps the order of its messages, as one connection does; a message that straggles is overtaken. A cut link loses what is
 * sent and what is on the way; the other direction goes on. A broken connection loses what is on the way and takes what is sent next.
 * Messages travel as the objects they are, or, with a `Wire`, as bytes that are made when they are sent and read when they arrive.
 */
import assert from 'node:assert';
import { RaftFramer } from '../../../src/protocol/raftFramer.js';
import { decodeMessage, encodeMessage, type RaftMessage } from '../../../src/protocol/raftMessage.js';
import type { Random } from '../../sim/random.js';
import type { EventQueue } from './events.js';

/** What a link does to its messages. Shares are of 1. */
export interface LinkFaults {
  delayMinMs: number;
  delayMaxMs: number;
  lossShare: number;
  /** The second one comes out of order. */
  duplicateShare: number;
  /** Messages that leave the order and come up to `straggleMs` later. */
  straggleShare: number;
  straggleMs: number;
}

/** A healthy local network. */
export const CALM: LinkFaults = {
  delayMinMs: 0,
  delayMaxMs: 1,
  lossShare: 0,
  duplicateShare: 0,
  straggleShare: 0,
  straggleMs: 0,
};

/** How messages become bytes and back. */
export interface Wire<M> {
  encode(message: M): Uint8Array;
  /** Bytes that `encode` gave; throws when they are not read as a message. */
  decode(bytes: Uint8Array): M;
}

/** The production codec, frame and all. */
export class RaftWire implements Wire<RaftMessage> {
  readonly #framer = new RaftFramer();

  encode(message: RaftMessage): Uint8Array {
    return encodeMessage(message);
  }

  decode(bytes: Uint8Array): RaftMessage {
    const bodies: Uint8Array[] = [];
    const fault = this.#framer.push(bytes, (body) => bodies.push(body));
    assert(fault === null && bodies.length === 1, `one frame: ${fault ?? bodies.length}`);
    const decoded = decodeMessage(bodies[0]!);
    assert(decoded.ok, decoded.ok ? '' : decoded.message);
    return decoded.value;
  }
}

/** What happened to messages: how often each fault was hit. */
export interface NetworkCounts {
  sent: number;
  delivered: number;
  lost: number;
  duplicated: number;
  straggled: number;
  /** Lost to a cut link. */
  cut: number;
  /** Lost with a connection. */
  broken: number;
}

interface Link {
  faults: LinkFaults | null;
  cut: boolean;
  /** Moment of the latest ordered delivery: none comes before it. */
  latestMs: number;
  /** Messages of earlier connections do not arrive. */
  connection: number;
}

const NODE_ID_MAX = 0xffff;

/** All links of a cluster; nodes are small numbers. */
export class SimNetwork<M> {
  readonly counts: NetworkCounts = {
    ...{ sent: 0, delivered: 0, lost: 0, duplicated: 0, straggled: 0, cut: 0, broken: 0 },
  };
  /** Of every link that has none of its own. */
  faults: LinkFaults = CALM;
  readonly #events: EventQueue;
  readonly #random: Random;
  readonly #deliver: (from: number, to: number, message: M) => void;
  readonly #wire: Wire<M> | null;
  readonly #links = new Map<number, Link>();

  /** `deliver` is called when a message arrives; whether anybody is there is its affair. */
  constructor(
    events: EventQueue,
    random: Random,
    deliver: (from: number, to: number, message: M) => void,
    wire: Wire<M> | null,
  ) {
    this.#events = events;
    this.#random = random;
    this.#deliver = deliver;
    this.#wire = wire;
  }

  send(from: number, to: number, message: M): void {
    const link = this.#link(from, to);
    const faults = link.faults ?? this.faults;
    this.counts.sent += 1;
    if (link.cut) {
      this.counts.cut += 1;
      return;
    }
    if (this.#hits(faults.lossShare)) {
      this.counts.lost += 1;
      return;
    }
    const { delayMinMs, delayMaxMs } = faults;
    const carried = this.#wire === null ? message : this.#wire.encode(message);
    const arrivesMs = this.#events.nowMs + delayMinMs + this.#random.below(delayMaxMs - delayMinMs + 1);
    if (this.#hits(faults.duplicateShare)) {
      this.counts.duplicated += 1;
      this.#carry(from, to, carried, arrivesMs + this.#random.below(faults.straggleMs + 1));
    }
    if (this.#hits(faults.straggleShare)) {
      this.counts.straggled += 1;
      this.#carry(from, to, carried, arrivesMs + 1 + this.#random.below(faults.straggleMs));
      return;
    }
    link.latestMs = Math.max(link.latestMs, arrivesMs);
    this.#carry(from, to, carried, link.latestMs);
  }

  /** Faults of one direction; null: those of the network. */
  setLink(from: number, to: number, faults: LinkFaults | null): void {
    this.#link(from, to).faults = faults;
  }

  /** Nothing goes from `from` to `to` any more. */
  cut(from: number, to: number): void {
    this.#link(from, to).cut = true;
  }

  heal(from: number, to: number): void {
    this.#link(from, to).cut = false;
  }

  /** Ends every cut and every link's own faults. */
  healAll(): void {
    for (const link of this.#links.values()) {
      link.cut = false;
      link.faults = null;
    }
  }

  isCut(from: number, to: number): boolean {
    return this.#link(from, to).cut;
  }

  /** What is on the way from `from` to `to` is lost. */
  breakConnection(from: number, to: number): void {
    const link = this.#link(from, to);
    link.connection += 1;
    link.latestMs = 0;
  }

  /** A share of 0 draws no number, so that runs without a fault are not changed by its being there. */
  #hits(share: number): boolean {
    return share > 0 && this.#random.chance(share);
  }

  #carry(from: number, to: number, carried: M | Uint8Array, arrivesMs: number): void {
    const link = this.#link(from, to);
    const { connection } = link;
    this.#events.at(arrivesMs, () => {
      if (link.connection !== connection) this.counts.broken += 1;
      else if (link.cut) this.counts.cut += 1;
      else this.#arrive(from, to, carried);
    });
  }

  #arrive(from: number, to: number, carried: M | Uint8Array): void {
    this.counts.delivered += 1;
    const message = this.#wire === null ? (carried as M) : this.#wire.decode(carried as Uint8Array);
    this.#deliver(from, to, message);
  }

  #link(from: number, to: number): Link {
    assert(from <= NODE_ID_MAX && to <= NODE_ID_MAX, 'nodes are small numbers');
    const key = from * (NODE_ID_MAX + 1) + to;
    let link = this.#links.get(key);
    if (link === undefined) {
      link = { faults: null, cut: false, latestMs: 0, connection: 0 };
      this.#links.set(key, link);
    }
    return link;
  }
}
