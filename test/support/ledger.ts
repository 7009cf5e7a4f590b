/** Load on one replicated partition, as clients make it, and a ledger of what was acknowledged: what every replica must have once repair has run. */
import zlib from 'node:zlib';
import { formatFollowers } from '../../src/protocol/followers.js';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { encodeClientMarkDelete } from '../../src/protocol/tinyDelete.js';
import type { Ask, PacketClient, Reply } from './packetClient.js';
import { create, pattern, write } from './requests.js';

/** Appends to a normal extent, in turn: a whole block first, whose checksum is stored with it. */
const SIZES = [131_072, 20_000, 300, 4_096, 65_000];
/** Of these lengths one is a sync append, and one in four of the tiny ones. */
const SYNC_BYTES = 4_096;
const EXTENT_BYTES = 1 << 20;
const TINY_SEED = 1 << 24;
/** What each kind of load may write until more is allowed: what waits for another condition must not fill the disk. */
const BYTES_MAX = 3 << 20;

/** Who has the partition, and ways there. */
export interface Hosts {
  hostsOf(partitionId: number): string[];
  client(host: string): PacketClient;
}

/** An acknowledged tiny append. */
export interface TinyAppend {
  readonly extentId: number;
  readonly offset: number;
  readonly body: Buffer;
  /** `asked`: a delete of it was not acknowledged; it may be there or not. */
  deleted: 'no' | 'asked' | 'yes';
}

export class Ledger {
  /** Acknowledged bytes of each normal extent that was created with success. */
  readonly extents = new Map<number, number>();
  readonly deleted = new Set<number>();
  readonly tiny: TinyAppend[] = [];
  /** Failed attempts of each kind of load, and what was acknowledged. */
  readonly failed = { normal: 0, tiny: 0 };
  readonly acknowledged = { normal: 0, tiny: 0 };
  readonly partitionId: number;
  /** Ids of extents that were given out again. */
  readonly idsTwice: number[] = [];
  readonly #nodes: Hosts;
  readonly #bytes = { normal: 0, tiny: 0 };
  readonly #chosen = new Set<number>();
  #seed = TINY_SEED;
  #stopping = false;
  #running: Promise<void>[] = [];

  constructor(nodes: Hosts, partitionId: number) {
    this.#nodes = nodes;
    this.partitionId = partitionId;
  }

  get #hosts(): readonly string[] {
    return this.#nodes.hostsOf(this.partitionId);
  }

  connect(): PacketClient {
    return this.#nodes.client(this.#hosts[0]!);
  }

  /** A request as a client sends it to the first host. */
  replicated(ask: Ask): Ask {
    const followers = this.#hosts.slice(1);
    return { ...ask, remainingFollowers: followers.length, arg: formatFollowers(followers) };
  }

  /** Begins appends on three connections. */
  start(): void {
    this.#stopping = false;
    this.allowMore();
    this.#running = [this.#load('normal'), this.#load('normal'), this.#load('tiny')];
  }

  /** Loads that have written what they may go on. */
  allowMore(): void {
    this.#bytes.normal = 0;
    this.#bytes.tiny = 0;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
  }

  /** Deletes a normal extent; true when that was acknowledged. */
  async deleteExtent(extentId: number): Promise<boolean> {
    const { partitionId } = this;
    const reply = await this.#once({ opcode: OP.markDelete, extentType: 1, partitionId, extentId });
    if (reply?.resultCode !== RESULT.ok) return false;
    this.deleted.add(extentId);
    return true;
  }

  /** Deletes what a tiny append has written; true when that was acknowledged. */
  async deleteTiny(append: TinyAppend): Promise<boolean> {
    const { partitionId } = this;
    const { extentId, offset, body } = append;
    append.deleted = 'asked';
    const key = { fileOffset: 0, partitionId, extentId, extentOffset: offset, size: body.length, crc: 0 };
    const ask = { opcode: OP.markDelete, extentType: 0, partitionId, extentId };
    const reply = await this.#once({ ...ask, body: encodeClientMarkDelete(key) });
    if (reply?.resultCode !== RESULT.ok) return false;
    append.deleted = 'yes';
    return true;
  }

  /** A normal extent with at least so many acknowledged bytes, each once: no two parts of a test do something to the same one. */
  nextExtentWith(bytes: number): number {
    for (const [id, acknowledged] of this.extents) {
      if (acknowledged < bytes || this.#chosen.has(id)) continue;
      this.#chosen.add(id);
      return id;
    }
    throw new Error(`no extent has ${bytes} bytes`);
  }

  /** What is wrong with a replica, given its extents with data; null: nothing is. */
  faultOf(extents: ReadonlyMap<number, Buffer>): string | null {
    for (const id of this.deleted) if (extents.has(id)) return `extent ${id} was deleted, and is there`;
    for (const [id, acknowledged] of this.extents) {
      if (this.deleted.has(id)) continue;
      const bytes = extents.get(id) ?? Buffer.alloc(0);
      if (bytes.length < acknowledged) return `extent ${id}: ${bytes.length} of ${acknowledged} bytes`;
    }
    for (const [id, bytes] of extents)
      if (this.extents.has(id) && !bytes.equals(pattern(id, 0, bytes.length)))
        return `extent ${id} has other bytes`;
    for (const { extentId, offset, body, deleted } of this.tiny) {
      const bytes = extents.get(extentId)?.subarray(offset, offset + body.length) ?? Buffer.alloc(0);
      const wanted = deleted === 'yes' ? Buffer.alloc(body.length) : body;
      if (deleted !== 'asked' && !bytes.equals(wanted))
        return `tiny extent ${extentId} at ${offset}, ${body.length} bytes, deleted: ${deleted}`;
    }
    return null;
  }

  /** What was given out twice, of extents and of ranges of tiny ones; empty: nothing. */
  givenTwice(): string[] {
    const byPlace = this.tiny.toSorted((a, b) => a.extentId - b.extentId || a.offset - b.offset);
    const twice = byPlace.filter((append, at) => {
      const before = byPlace[at - 1];
      return before?.extentId === append.extentId && before.offset + before.body.length > append.offset;
    });
    return [
      ...this.idsTwice.map((id) => `extent ${id}`),
      ...twice.map(({ extentId, offset }) => `tiny extent ${extentId} at ${offset}`),
    ];
  }

  /** Appends until it is stopped; after a failure on a new connection, and to a new extent. */
  async #load(kind: 'normal' | 'tiny'): Promise<void> {
    while (!this.#stopping) {
      if (this.#bytes[kind] >= BYTES_MAX) {
        await pause(20);
        continue;
      }
      const client = this.connect();
      client.keepReplies = false;
      // The connection may end at any time: what is not answered counts as failed.
      const done = await (kind === 'normal' ? this.#fillExtent(client) : this.#tinyAppends(client)).catch(
        () => false,
      );
      if (!done) this.failed[kind] += 1;
      await client.end();
      // A tiny append that fails breaks its extent until a round has looked at it: few are enough.
      if (!done) await pause(kind === 'tiny' ? 500 : 50);
    }
  }

  async #fillExtent(client: PacketClient): Promise<boolean> {
    const { resultCode, extentId } = await client.ask(this.replicated(create(this.partitionId)));
    if (resultCode !== RESULT.ok) return false;
    if (this.extents.has(extentId)) this.idsTwice.push(extentId);
    this.extents.set(extentId, 0);
    for (let at = 0; at < EXTENT_BYTES && !this.#stopping && this.#bytes.normal < BYTES_MAX; ) {
      const asked = SIZES.map((bytes) => {
        const isSync = bytes === SYNC_BYTES;
        const ask = write(this.partitionId, extentId, at, pattern(extentId, at, bytes), isSync);
        at += bytes;
        return client.ask(this.replicated(ask));
      });
      for (const [i, outcome] of (await Promise.allSettled(asked)).entries()) {
        if (outcome.status === 'rejected' || outcome.value.resultCode !== RESULT.ok) return false;
        this.extents.set(extentId, this.extents.get(extentId)! + SIZES[i]!);
        this.acknowledged.normal += 1;
        this.#bytes.normal += SIZES[i]!;
      }
    }
    return true;
  }

  async #tinyAppends(client: PacketClient): Promise<boolean> {
    const { partitionId } = this;
    while (!this.#stopping && this.#bytes.tiny < BYTES_MAX) {
      const bodies = Array.from({ length: 4 }, () =>
        pattern(this.#seed++, 0, 1 + ((this.#seed * 777) % 30_000)),
      );
      const asked = bodies.map((body, at) => {
        const opcode = at === 0 ? OP.syncWrite : OP.write;
        const crc = zlib.crc32(body);
        return client.ask(this.replicated({ opcode, extentType: 0, partitionId, crc, body }));
      });
      for (const [i, outcome] of (await Promise.allSettled(asked)).entries()) {
        if (outcome.status === 'rejected' || outcome.value.resultCode !== RESULT.ok) return false;
        const { extentId, extentOffset: offset } = outcome.value;
        this.tiny.push({ extentId, offset, body: bodies[i]!, deleted: 'no' });
        this.acknowledged.tiny += 1;
        this.#bytes.tiny += bodies[i]!.length;
      }
    }
    return true;
  }

  /** One request on a connection of its own; null: no answer. */
  async #once(ask: Ask): Promise<Reply | null> {
    const client = this.connect();
    const reply = await client.ask(this.replicated(ask)).catch(() => null);
    await client.end();
    return reply;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
