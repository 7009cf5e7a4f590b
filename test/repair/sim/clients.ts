/**
 * Clients of a simulated run: they create, append and delete through the primary, a few packets at a time, and tell the ledger what was acknowledged. A failed packet ends a connection, and what was open on it is not appended to
 * any more, as clients do. Deletes are asked for again until they are acknowledged, as meta nodes do.
 */
import { OP } from '../../../src/protocol/opcodes.js';
import { bytesOf, chooseBytes, type Extent, type Ledger, type Range } from './ledger.js';
import type { Master } from './master.js';
import { PARTITION } from './place.js';
import type { Answer, ClientConnection, ClientPacket } from './primarySide.js';
import { Broken, type World } from './world.js';

/** Every packet is answered, or its connection has ended, within this: a pause of the primary or of a follower is in it. */
const ANSWER_MS_MAX = 30_000;
const THINK_MS_MAX = 6_000;
const APPENDS_MAX = 6;
/** An extent is deleted when nothing that was sent to it can still be on its way. */
const SETTLED_MS = 15_000;
/** Tried so often until it is served. */
const PROOF_MS = 5_000;
const NO_BYTES = new Uint8Array(0);

interface OpenExtent {
  readonly extent: Extent;
  size: number;
  appends: number;
}

export class Clients {
  /** What is to be deleted and was not acknowledged as such. */
  readonly toRemove = new Set<Extent | Range>();
  /** Since the faults have stopped an append to a new extent was acknowledged, and one to a tiny extent. */
  readonly served = { normal: false, tiny: false };
  readonly #world: World;
  readonly #ledger: Ledger;
  readonly #master: Master;
  readonly #clients: readonly Client[];
  #nextProofMs = 0;

  constructor(world: World, ledger: Ledger, master: Master, count: number) {
    this.#world = world;
    this.#ledger = ledger;
    this.#master = master;
    this.#clients = Array.from({ length: count }, () => new Client(world, master));
    master.changed = () => {
      for (const client of this.#clients) client.leave();
    };
    for (const client of this.#clients) this.#think(client);
    world.roundBegins = () => {
      if (!world.stormy) return;
      for (const client of this.#clients) world.after(world.between(0, 100), () => this.#act(client));
    };
  }

  #think(client: Client): void {
    const world = this.#world;
    world.after(world.between(100, world.stormy ? THINK_MS_MAX : 1_000), () => {
      this.#think(client);
      this.#act(client);
    });
  }

  #act(client: Client): void {
    if (client.connected()) for (let i = this.#world.between(1, 3); i > 0; i -= 1) this.#do(client);
  }

  #do(client: Client): void {
    const { random, stormy } = this.#world;
    const removal = [...this.toRemove][random.below(this.toRemove.size + 1)];
    if (removal !== undefined && !client.removing.has(removal)) return this.#remove(client, removal);
    if (!stormy) return this.#proveService(client);
    const kind = random.next();
    const open = [...client.open][random.below(client.open.size)];
    if (kind < 0.15 || (kind < 0.6 && open === undefined)) this.#create(client);
    else if (kind < 0.6) this.#append(client, open!);
    else if (kind < 0.85) this.#tiny(client);
    else this.#chooseRemoval(client);
  }

  /** Whatever has happened: appends are served again. */
  #proveService(client: Client): void {
    const { served } = this;
    const { nowMs } = this.#world;
    if (nowMs < this.#nextProofMs) return;
    this.#nextProofMs = nowMs + PROOF_MS;
    const [open] = client.open;
    if (!served.normal && open === undefined) this.#create(client);
    else if (!served.normal) this.#append(client, open!);
    else if (!served.tiny) this.#tiny(client);
  }

  #create(client: Client): void {
    const sentMs = this.#world.nowMs;
    client.send(
      { opcode: OP.createExtent, extentType: 1, extentId: 0, extentOffset: 0, body: new Uint8Array(8) },
      (answer) => {
        const extent = this.#ledger.created(answer.extentId, sentMs);
        if (client.isUsable) client.open.add({ extent, size: 0, appends: 0 });
      },
    );
  }

  #append(client: Client, open: OpenExtent): void {
    const { random, hits } = this.#world;
    const length = random.chance(0.08)
      ? this.#world.between(100_000, 200_000)
      : this.#world.between(1, 9_000);
    const from = chooseBytes(random, length);
    const synced = random.chance(0.4);
    const at = open.size;
    const extentId = open.extent.id;
    open.size += length;
    open.appends += 1;
    const sentMs = this.#world.nowMs;
    open.extent.sentMs = sentMs;
    if (open.appends >= APPENDS_MAX) client.open.delete(open);
    const opcode = synced ? OP.syncWrite : OP.write;
    client.send({ opcode, extentType: 1, extentId, extentOffset: at, body: bytesOf(from, length) }, () => {
      this.#ledger.appended({ extentId, at, length, from, synced, removal: 'none' }, sentMs);
      if (this.#inRound()) hits.appendsInRounds += 1;
      if (!this.#world.stormy) this.served.normal = true;
    });
  }

  #tiny(client: Client): void {
    const { random, hits } = this.#world;
    const sentMs = this.#world.nowMs;
    const length = this.#world.between(1, 9_000);
    const from = chooseBytes(random, length);
    const synced = random.chance(0.4);
    const opcode = synced ? OP.syncWrite : OP.write;
    const body = bytesOf(from, length);
    client.send(
      { opcode, extentType: 0, extentId: 0, extentOffset: 0, body },
      ({ extentId, extentOffset }) => {
        hits.tinyAppends += 1;
        if (!this.#world.stormy) this.served.tiny = true;
        this.#ledger.appended({ extentId, at: extentOffset, length, from, synced, removal: 'none' }, sentMs);
      },
    );
  }

  #chooseRemoval(client: Client): void {
    const { random } = this.#world;
    const before = this.#world.nowMs - SETTLED_MS;
    const extents = [...this.#ledger.extents.values()].filter(
      (one) => one.removal === 'none' && one.ranges.length > 0 && one.sentMs < before && !this.#isOpen(one),
    );
    const ranges = this.#ledger.tiny.filter(({ removal }) => removal === 'none');
    const candidates: (Extent | Range)[] = random.chance(0.5) ? extents : ranges;
    const chosen = candidates[random.below(candidates.length)];
    if (chosen === undefined) return;
    chosen.removal = 'asked';
    this.toRemove.add(chosen);
    this.#remove(client, chosen);
  }

  #isOpen(extent: Extent): boolean {
    return this.#clients.some(({ open }) => [...open].some((one) => one.extent === extent));
  }

  #remove(client: Client, removed: Extent | Range): void {
    const { hits } = this.#world;
    client.removing.add(removed);
    this.#ledger.removing(removed);
    client.send(
      removalPacket(removed),
      () => {
        client.removing.delete(removed);
        if (!this.toRemove.delete(removed)) return;
        hits.acknowledgedDeletes += 1;
        if (this.#inRound()) hits.deletesInRounds += 1;
        this.#world.note(`deleted ${JSON.stringify(removed).slice(0, 120)}`);
        this.#ledger.removed(removed);
      },
      () => this.#mayGiveUp(removed),
    );
  }

  /** Whoever has asked for a delete in vain does not always ask again: then the first host's record of it has to do. */
  #mayGiveUp(removed: Extent | Range): void {
    const { random, traits, hits } = this.#world;
    if ('ranges' in removed || traits.changingHosts || !this.toRemove.has(removed) || random.chance(0.3))
      return;
    if (!this.#ledger.mayGiveUp(this.#master.first, removed)) return;
    hits.deletesGivenUp += 1;
    this.toRemove.delete(removed);
  }

  #inRound(): boolean {
    return this.#master.first.life?.inRound === true;
  }
}

function removalPacket(removed: Extent | Range): ClientPacket {
  if ('ranges' in removed)
    return { opcode: OP.markDelete, extentType: 1, extentId: removed.id, extentOffset: 0, body: NO_BYTES };
  const { extentId, at, length } = removed;
  const body = Buffer.from(
    JSON.stringify({
      ...{
        FileOffset: 0,
        PartitionId: PARTITION,
        ExtentId: extentId,
        ExtentOffset: at,
        Size: length,
        CRC: 0,
      },
    }),
  );
  return { opcode: OP.markDelete, extentType: 0, extentId, extentOffset: at, body };
}

/** One client with one connection at a time. */
class Client {
  readonly open = new Set<OpenExtent>();
  readonly removing = new Set<Extent | Range>();
  readonly #world: World;
  readonly #master: Master;
  #connection: ClientConnection | null = null;
  #unanswered = 0;
  #arrivesMs = 0;

  constructor(world: World, master: Master) {
    this.#world = world;
    this.#master = master;
  }

  get isUsable(): boolean {
    return this.#connection?.isUsable === true;
  }

  /** Whether there is a connection, and nothing is unanswered on it. */
  connected(): boolean {
    const [primary, ...followers] = this.#master.members;
    if (this.#connection === null) {
      if (this.#world.nowMs < this.#master.servedFromMs) return false;
      const { life } = primary!;
      if (life === null) return false;
      const connection = life.primary.connect(followers, () => {
        if (this.#connection !== connection) return;
        this.#connection = null;
        this.#unanswered = 0;
        this.open.clear();
        this.removing.clear();
      });
      this.#connection = connection;
    }
    return this.#unanswered === 0;
  }

  /** Another node is the first host. */
  leave(): void {
    this.#connection?.lost();
  }

  send(packet: ClientPacket, acknowledged: (answer: Answer) => void, refused: () => void = () => {}): void {
    const world = this.#world;
    const connection = this.#connection!;
    let known = false;
    this.#unanswered += 1;
    this.#arrivesMs = Math.max(this.#arrivesMs, world.nowMs + world.delayMs());
    world.events.at(this.#arrivesMs, () =>
      connection.take(packet, (answer) => {
        if (known) throw new Broken('a packet was answered twice');
        known = true;
        if (this.#connection === connection) this.#unanswered -= 1;
        if (answer.error === null) {
          world.hits.acknowledged += 1;
          acknowledged(answer);
        } else {
          world.hits.failed += 1;
          world.note(`a client is told: ${answer.error}`);
          refused();
        }
      }),
    );
    world.after(ANSWER_MS_MAX, () => {
      if (!known && this.#connection === connection)
        throw new Broken(`a packet has no answer after ${ANSWER_MS_MAX} ms`);
    });
  }
}
