/**
 * A primary's side of replicated packets in a simulated run: what becomes of a packet is decided by the production's `Replication`; connections of clients, and links to followers with their deadlines, are stand-ins for `forwarding.ts` and
 * `followerLink.ts`.
 */
import { OP } from '../../../src/protocol/opcodes.js';
import { EFFECT, OUTCOME, Replication } from '../../../src/server/replication.js';
import type { Sent } from '../../partition/storeRig.js';
import type { Life } from './life.js';
import { PARTITION } from './place.js';
import type { SimNode } from './simNode.js';
import type { World } from './world.js';

/** Packets of one process. */
const TAGS = 4096;
const REPLY_MS = 5_000;

/** A packet as a client sends it. */
export interface ClientPacket {
  readonly opcode: number;
  readonly extentType: number;
  readonly extentId: number;
  readonly extentOffset: number;
  readonly body: Uint8Array;
}

/** `error` null: acknowledged. */
export interface Answer {
  readonly error: string | null;
  readonly extentId: number;
  readonly extentOffset: number;
}

interface Packet {
  readonly tag: number;
  fields: ClientPacket;
  readonly answered: (answer: Answer) => void;
  error: string;
  /** It has failed, though its answer may be still to come. */
  failed: boolean;
  ready: boolean;
  loan: number;
}

export class PrimarySide {
  readonly world: World;
  readonly life: Life;
  readonly #replication = new Replication(TAGS);
  readonly #connections = new Set<ClientConnection>();
  #lastTag = -1;

  constructor(world: World, life: Life) {
    this.world = world;
    this.life = life;
  }

  get replication(): Replication {
    return this.#replication;
  }

  /** `ended`: the connection is gone, and what was not answered never will be. */
  connect(followers: readonly SimNode[], ended: () => void): ClientConnection {
    const connection = new ClientConnection(this, followers, () => {
      this.#connections.delete(connection);
      ended();
    });
    this.#connections.add(connection);
    return connection;
  }

  nextTag(): number {
    this.#lastTag += 1;
    return this.#lastTag;
  }

  end(): void {
    for (const connection of [...this.#connections]) connection.lost();
  }
}

export class ClientConnection {
  readonly #side: PrimarySide;
  readonly #links: Link[];
  readonly #ended: () => void;
  readonly #open: Packet[] = [];
  #gone = false;

  constructor(side: PrimarySide, followers: readonly SimNode[], ended: () => void) {
    this.#side = side;
    this.#ended = ended;
    this.#links = followers.map((node) => new Link(side, node));
  }

  get isUsable(): boolean {
    return !this.#gone && !this.#open.some(({ failed }) => failed);
  }

  /** A packet has come from the client. */
  take(fields: ClientPacket, answered: (answer: Answer) => void): void {
    const { life, replication } = this.#side;
    if (!this.isUsable) return;
    const isTiny = fields.extentType === 0;
    const assigns = fields.opcode === OP.createExtent || isTiny;
    const packet: Packet = {
      ...{ tag: this.#side.nextTag(), fields, answered, error: '', failed: false, ready: false, loan: 0 },
    };
    this.#open.push(packet);
    const effect = replication.begin(packet.tag, this.#links.length, assigns);
    const { opcode, extentType, extentId, extentOffset, body } = fields;
    life.send(
      {
        ...{ opcode, extentType, extentId, extentOffset, partitionId: PARTITION },
        ...{ remainingFollowers: this.#links.length, forwarded: true },
      },
      body,
      (sent) => this.#endedHere(packet, sent),
      (sent) => this.#assigned(packet, sent),
    );
    this.#apply(packet, effect);
  }

  /** The process, or the client's connection, has ended. */
  lost(): void {
    if (this.#gone) return;
    this.#gone = true;
    if (this.#side.life.alive)
      for (const packet of this.#open) this.#apply(packet, this.#side.replication.abandoned(packet.tag));
    for (const link of this.#links) link.close();
    this.#side.world.after(this.#side.world.delayMs(), () => this.#ended());
  }

  #assigned(packet: Packet, { assigned }: Sent): void {
    const { extentId, extentOffset, loan, body } = assigned!;
    const isDelete = packet.fields.opcode === OP.markDelete;
    packet.fields = { ...packet.fields, extentId, extentOffset, ...(isDelete ? { body } : {}) };
    packet.loan = loan;
    const behindFailure =
      this.#gone || this.#open.slice(0, this.#open.indexOf(packet)).some(({ failed }) => failed);
    this.#apply(packet, this.#side.replication.assigned(packet.tag, loan, behindFailure));
  }

  #endedHere(packet: Packet, sent: Sent): void {
    if (!sent.ok && !this.#side.replication.isDecided(packet.tag)) packet.error = sent.error;
    if (sent.ok && packet.fields.opcode === OP.write && packet.fields.extentType === 1)
      packet.fields = { ...packet.fields, extentOffset: sent.extentOffset };
    this.#apply(packet, this.#side.replication.endedHere(packet.tag, sent.ok));
  }

  #apply(packet: Packet, effect: number): void {
    const { replication, life } = this.#side;
    if ((effect & EFFECT.forward) !== 0)
      for (const link of this.#links)
        link.send(packet.fields, (error) => {
          if (!life.alive) return;
          if (error !== null && packet.error === '') packet.error = `ActionReceiveFromFollower_${error}`;
          const { tag } = packet;
          this.#apply(packet, error === null ? replication.answered(tag) : replication.failedThere(tag));
        });
    if ((effect & (EFFECT.settleWhole | EFFECT.settleBroken)) !== 0) {
      const whole = (effect & EFFECT.settleWhole) !== 0;
      life.partition.settleTinyAppend(packet.fields.extentId, packet.loan, whole);
      life.pump();
    }
    if ((effect & EFFECT.fail) !== 0) packet.failed = true;
    if ((effect & EFFECT.answer) !== 0) {
      packet.ready = true;
      this.#answerInOrder();
    }
  }

  #answerInOrder(): void {
    while (this.#open[0]?.ready === true && !this.#gone) {
      const { tag, fields, error, answered } = this.#open.shift()!;
      const ok = this.#side.replication.outcome(tag) === OUTCOME.acknowledged;
      const { extentId, extentOffset } = fields;
      answered({ error: ok ? null : error, extentId, extentOffset });
      if (!ok) this.lost();
    }
  }
}

interface Forwarded {
  readonly fields: ClientPacket;
  readonly ended: (error: string | null) => void;
}

/** One connection to one follower. Whoever is lost on it is told so once. */
class Link {
  readonly #side: PrimarySide;
  readonly #node: SimNode;
  readonly #waiting: Forwarded[] = [];
  #target: Life | null = null;
  #dialled = false;
  #closed = '';
  #arrivesMs = 0;
  #executing = false;
  /** Nothing arrives any more, in one direction or in the other, and nobody is told. */
  #silent: 'there' | 'back' | null = null;
  readonly #atFollower: Forwarded[] = [];

  constructor(side: PrimarySide, node: SimNode) {
    this.#side = side;
    this.#node = node;
  }

  send(fields: ClientPacket, ended: (error: string | null) => void): void {
    const { world } = this.#side;
    const forwarded = { fields, ended };
    if (this.#closed !== '') return ended(this.#closed);
    this.#waiting.push(forwarded);
    world.after(REPLY_MS, () => {
      if (this.#waiting.includes(forwarded)) this.lose('i/o timeout');
    });
    if (world.stormy && world.random.chance(0.004)) {
      world.hits.lostInFlight += 1;
      world.after(world.delayMs(), () => this.lose('EOF'));
    }
    if (world.stormy && world.traits.silence && this.#silent === null && world.random.chance(0.02)) {
      world.hits.silentLinks += 1;
      this.#silent = world.random.chance(0.5) ? 'there' : 'back';
    }
    if (!this.#dialled) {
      this.#dialled = true;
      world.after(world.delayMs(), () => {
        this.#target = this.#node.life;
        if (this.#target === null) this.lose('connection refused');
      });
    }
    this.#arrivesMs = Math.max(this.#arrivesMs, world.nowMs + 3 + world.delayMs());
    world.events.at(this.#arrivesMs, () => {
      if (this.#silent === 'there' || (this.#closed !== '' && !world.random.chance(0.5))) return;
      this.#atFollower.push(forwarded);
      this.#execute();
    });
  }

  lose(reason: string): void {
    if (this.#closed !== '') return;
    this.#closed = reason;
    for (const { ended } of this.#waiting.splice(0)) ended(reason);
  }

  /** The client's connection is closed; what was sent may still be executed. */
  close(): void {
    this.#closed ||= 'closed';
    this.#waiting.splice(0);
  }

  /** The follower executes one packet at a time, and none behind a failure. */
  #execute(): void {
    const target = this.#target;
    const forwarded = this.#atFollower[0];
    if (this.#executing || forwarded === undefined || target === null) return;
    if (!target.alive) return this.#silent === null ? this.lose('EOF') : undefined;
    this.#executing = true;
    const { opcode, extentType, extentId, extentOffset, body } = forwarded.fields;
    target.send({ opcode, extentType, extentId, extentOffset, partitionId: PARTITION }, body, (sent) => {
      this.#executing = false;
      this.#atFollower.shift();
      if (sent.ok) this.#execute();
      else this.#atFollower.splice(0);
      this.#reply(forwarded, sent.ok ? null : sent.error);
    });
  }

  #reply(forwarded: Forwarded, error: string | null): void {
    const { world } = this.#side;
    if (this.#silent === 'back') return;
    world.after(world.delayMs(), () => {
      const at = this.#waiting.indexOf(forwarded);
      if (at < 0) return;
      this.#waiting.splice(at, 1);
      forwarded.ended(error);
    });
  }
}
