/**
 * What clients of a simulated run were told, and the checks that hold the replicas to it (docs/durability.md, "With replicas").
 *
 * Acknowledged bytes are on every replica that lives, at that moment and for good. What a loss of power may take is found on the disk that loses it: pages that no sync has covered. From the first such page on, an extent
 * is in doubt: replicas may differ there, and only the run's keeper, a node that never loses anything, must have all that was acknowledged.
 */
import { FILE, isTinyExtent, PAGE_BYTES, roundUpToPage } from '../../../src/storage/layout.js';
import { Random } from '../../sim/random.js';
import { CELL_BYTES, Cells } from './cells.js';
import { contentOf, differsAt, sizesOf } from './contents.js';
import type { Master } from './master.js';
import type { SimNode } from './simNode.js';
import { Broken, type World } from './world.js';

/** Nothing that clients have sent is on its way after so long. */
const QUIET_MS = 20_000;
/** What was acknowledged while a new replica compared itself may come behind it. */
const COMPARED_MS = 10_000;
const NEVER_SYNCED = { bytes: 0, sentMs: 0 };
const POOL_BYTES = 1 << 20;
const pool = new Uint8Array(POOL_BYTES);
const zeros = new Uint8Array(POOL_BYTES);
const poolRandom = new Random(77);
for (let i = 0; i < POOL_BYTES; i += 1) pool[i] = 1 + poolRandom.below(255);

/** Bytes that an append brings: part of a pool, so that nobody has to keep them. */
export function bytesOf(from: number, length: number): Uint8Array {
  return pool.subarray(from, from + length);
}

export function chooseBytes(random: Random, length: number): number {
  return random.below(POOL_BYTES - length);
}

/** An append that was acknowledged. */
export interface Range {
  readonly extentId: number;
  readonly at: number;
  readonly length: number;
  readonly from: number;
  readonly synced: boolean;
  /** Of a tiny extent: somebody has asked for its removal; it was acknowledged. */
  removal: 'none' | 'asked' | 'done';
}

export interface Extent {
  readonly id: number;
  readonly ranges: Range[];
  /** When a client has appended to it last. */
  sentMs: number;
  removal: 'none' | 'asked' | 'done';
  /** What random writes change of it. */
  cells: Cells | null;
}

export class Ledger {
  /** Normal extents whose creation was acknowledged, and appends to tiny ones. */
  readonly extents = new Map<number, Extent>();
  readonly tiny: Range[] = [];
  /** Of extents that random writes change, or have changed. */
  readonly cells: Cells[] = [];
  readonly #world: World;
  readonly #master: Master;
  readonly #keeper: SimNode;
  /** By extent: where doubt begins. */
  readonly #doubt = new Map<number, number>();
  /** Replicas that were shorter than a tiny range when its removal was asked for. */
  readonly #behind = new Set<string>();
  /** By node and extent: the shortest that somebody has cut it to. */
  readonly #cuts = new Map<string, number>();
  /** And when it was last. */
  readonly #cutMs = new Map<string, number>();
  /** How far an extent was synced last, and when that was asked for. */
  readonly #synced = new Map<number, { bytes: number; sentMs: number }>();
  /** Ranges of tiny extents whose removal stands in the first host's record alone. */
  readonly #givenUp = new Set<Range>();
  /** Deleted extents whose files a loss of power may have brought back. */
  readonly #mayReturn = new Set<number>();

  constructor(world: World, master: Master, keeper: SimNode) {
    this.#world = world;
    this.#master = master;
    this.#keeper = keeper;
    world.joined = (node) => this.#isComplete(node);
    world.brought = (node, extentId) => this.#isDurable(node, extentId);
  }

  // What was acknowledged.

  /** `sentMs`: when the client asked. */
  created(id: number, sentMs: number): Extent {
    const known = this.extents.get(id);
    if (known !== undefined) throw new Broken(`extent ${id} was given out twice`);
    const extent: Extent = { id, ranges: [], sentMs: this.#world.nowMs, removal: 'none', cells: null };
    this.extents.set(id, extent);
    // A name that was not synced goes with the power.
    for (const node of this.#livingSince(sentMs))
      if (node.file(id) === undefined && node.lostPowerMs < sentMs)
        throw new Broken(`extent ${id} is acknowledged, and not on ${node.name}`);
    return extent;
  }

  /** `sentMs`: when the client asked. */
  appended(range: Range, sentMs: number): void {
    if (isTinyExtent(range.extentId)) {
      const { extentId, at, length } = range;
      const twice = this.tiny.find(
        (other) => other.extentId === extentId && at < other.at + other.length && other.at < at + length,
      );
      if (twice !== undefined && !this.#inDoubt(extentId, at))
        throw new Broken(`a range of tiny extent ${extentId} at ${at} was given out twice`);
      this.tiny.push(range);
    } else {
      const extent = this.extents.get(range.extentId)!;
      extent.ranges.push(range);
      if (range.synced) this.#synced.set(range.extentId, { bytes: range.at + range.length, sentMs });
    }
    for (const node of this.#livingSince(sentMs)) {
      const cutMs = this.#cutMs.get(`${node.name} ${range.extentId}`) ?? -1;
      // A follower may answer, and lose what it has, before the primary answers the client.
      if (cutMs < sentMs) this.#mustHold(node, range, 'is acknowledged, and not');
    }
  }

  /** An extent takes random writes from now on; false: there is none that may. Nobody has cut it, and no replica was in doubt so far. */
  makeCells(random: Random): boolean {
    const able = [...this.extents.values()].filter((extent) => this.#mayHaveCells(extent));
    const extent = able[random.below(able.length)];
    if (extent === undefined) return false;
    const appended = new Uint8Array(Math.floor(endOf(extent) / PAGE_BYTES) * PAGE_BYTES);
    for (const { at, length, from } of extent.ranges)
      if (at < appended.byteLength)
        appended.set(bytesOf(from, Math.min(length, appended.byteLength - at)), at);
    extent.cells = new Cells(extent.id, appended, this.#synced.get(extent.id) ?? NEVER_SYNCED);
    this.cells.push(extent.cells);
    return true;
  }

  /** It was deleted, and a loss of power may have brought it back somewhere. */
  mayBeBack(extentId: number): boolean {
    return this.#mayReturn.has(extentId);
  }

  /** Nobody has asked for its removal. */
  isThere(extentId: number): boolean {
    return this.extents.get(extentId)?.removal === 'none';
  }

  /** Replicas may differ in what was appended where this cell is. */
  isInDoubt(extentId: number, cell: number): boolean {
    return this.#inDoubt(extentId, (cell + 1) * CELL_BYTES);
  }

  #mayHaveCells(extent: Extent): boolean {
    const { id, removal, cells } = extent;
    const end = endOf(extent);
    if (removal !== 'none' || cells !== null || end < PAGE_BYTES) return false;
    const wasCut = [...this.#cuts.keys()].some((key) => key.endsWith(` ${id}`));
    return !wasCut && !this.#inDoubt(id, end);
  }

  removed(removed: Extent | Range): void {
    removed.removal = 'done';
    for (const node of this.#living()) {
      // A range that reaches behind the end of a short extent counts as gone there; what is left of it goes with a whole sync, within a day.
      if (!('ranges' in removed) && this.#isShort(node, removed))
        this.#doubtFrom(removed.extentId, removed.at);
      else if (!this.#behind.has(behindKey(node, removed))) this.#mustBeGone(node, removed);
    }
  }

  /** A delete is sent. A replica whose tiny extent ends before the range counts it as done (`wire.md` 9.4); what a fetch brings there meanwhile goes with the next sync of deletes. */
  removing(removed: Extent | Range): void {
    if ('ranges' in removed) return;
    for (const node of this.#master.members)
      if (roundUpToPage(node.file(removed.extentId)?.size ?? 0) < removed.at + removed.length)
        this.#behind.add(behindKey(node, removed));
  }

  /** The first host has done a tiny delete that nobody acknowledges, and its client does not ask again: repair brings it to the others. False: it has not, or some replica may count it as done with less. */
  mayGiveUp(first: SimNode, range: Range): boolean {
    const { extentId, at, length } = range;
    const found = new Uint8Array(length);
    first.file(extentId)?.read(at, found);
    const isDone = Buffer.compare(found, zeros.subarray(0, length)) === 0 && !this.#isShort(first, range);
    const others = this.#master.members;
    const may =
      isDone &&
      !others.some((node) => this.#isShort(node, range) || this.#behind.has(behindKey(node, range)));
    if (may) this.#givenUp.add(range);
    return may;
  }

  /** Somebody has cut this tiny extent below the end of the range, or a loss of power has. It may have been as short when the delete came. */
  #isShort(node: SimNode, { extentId, at, length }: Range): boolean {
    const cutTo = this.#cuts.get(`${node.name} ${extentId}`) ?? Number.POSITIVE_INFINITY;
    const sizeBytes = Math.min(cutTo, node.file(extentId)?.size ?? 0);
    return roundUpToPage(sizeBytes) < at + length;
  }

  // What is lost.

  /** Random writes do not change it. */
  mayBeCut(extentId: number): boolean {
    return (this.extents.get(extentId)?.cells ?? null) === null;
  }

  /** Somebody cuts an extent of a node that is down. */
  cut(node: SimNode, extentId: number, sizeBytes: number): void {
    const key = `${node.name} ${extentId}`;
    this.#cutMs.set(key, this.#world.nowMs);
    this.#cuts.set(key, Math.min(this.#cuts.get(key) ?? Number.POSITIVE_INFINITY, sizeBytes));
    this.#endsInside(extentId, sizeBytes);
    // The first host, which has the only record of it, is brought what was deleted.
    for (const range of this.#givenUp)
      if (range.extentId === extentId && sizeBytes < range.at + range.length)
        this.#doubtFrom(extentId, range.at);
  }

  /** A replica's tiny extent ends here now: a delete that it is yet to be told of, of a range around this place, counts as done there. */
  #endsInside(extentId: number, sizeBytes: number): void {
    for (const range of this.tiny)
      if (range.removal === 'asked' && range.extentId === extentId && range.at < sizeBytes)
        if (sizeBytes < range.at + roundUpToPage(range.length)) this.#doubtFrom(extentId, range.at);
  }

  /** Before this node's disk loses its power. */
  losesPower(node: SimNode): void {
    const { folder } = node;
    if (folder === undefined) return;
    for (const [name, file] of folder.entries) {
      const id = Number(name);
      if (!Number.isInteger(id) || file.kind !== 'file') continue;
      const first = file.unsyncedPages().find((page) => !this.#isSafe(node, id, page));
      if (first === undefined) continue;
      this.#doubtFrom(id, first * PAGE_BYTES);
      this.#endsInside(id, first * PAGE_BYTES);
    }
    // A hole may outlive the record of it, and then nobody else is told.
    const deletes = folder.entries.get(FILE.tinyDelete);
    if (deletes?.kind === 'file' && deletes.unsyncedPages().length > 0)
      for (const { extentId, at } of this.#givenUp) this.#doubtFrom(extentId, at);
    if (folder.unsyncedChanges === 0) return;
    for (const extent of this.extents.values()) if (extent.removal !== 'none') this.#mayReturn.add(extent.id);
  }

  /** Whatever is left of this page, what was appended there is in it: it was synced, and random writes alone have changed it since. */
  #isSafe(node: SimNode, extentId: number, page: number): boolean {
    return this.extents.get(extentId)?.cells?.isSafe(page, node.newDiskMs) === true;
  }

  #doubtFrom(extentId: number, at: number): void {
    this.#doubt.set(extentId, Math.min(this.#doubt.get(extentId) ?? Number.POSITIVE_INFINITY, at));
  }

  // What repair says.

  /** A new replica has all that was acknowledged and is whole on the others: it compares itself with the first host, which may have been cut. */
  #isComplete(node: SimNode): void {
    const quiet = this.#world.nowMs - COMPARED_MS;
    const others = this.#master.members.filter((other) => other !== node);
    const extents = [...this.extents.values()].filter(
      ({ removal, sentMs }) => removal === 'none' && sentMs < quiet,
    );
    const ranges = [...extents.flatMap((extent) => extent.ranges), ...this.tiny];
    try {
      for (const range of ranges)
        if (range.removal === 'none' && others.every((other) => reaches(other, range)))
          this.#mustHold(node, range, 'is missing in a replica that has joined:');
    } catch (error) {
      this.#world.broken ??= error as Broken;
    }
  }

  /** What was synced is, but for what clients have appended behind it. */
  #isDurable(node: SimNode, extentId: number): void {
    const extent = this.extents.get(extentId);
    const file = node.file(extentId);
    if (extent === undefined || file === undefined || extent.cells !== null) return;
    if (extent.sentMs > this.#world.nowMs - QUIET_MS) return;
    if (file.unsyncedPages().length > 0)
      throw new Broken(`repair is done with extent ${extentId} on ${node.name}, and it is not durable`);
  }

  // At the end.

  /** Why the replicas are not equal by length yet; null: they are. */
  unequalLengths(): string | null {
    const sizes = this.#master.members.map((node) => sizesOf(node));
    for (const ids of sizes)
      for (const id of ids.keys()) {
        if (this.#mayReturn.has(id)) continue;
        const each = sizes.map((one) => one.get(id) ?? -1);
        if (Math.max(...each) > 0 && each.some((size) => size !== each[0]))
          return `extent ${id} has ${each.join(', ')} bytes`;
      }
    return null;
  }

  /** Normal extents with bytes that are the same on every replica. */
  soundExtents(): number[] {
    const sound = [...this.extents.values()].filter(
      ({ id, ranges, removal }) =>
        removal === 'none' && ranges.length > 0 && !this.#doubt.has(id) && !this.#mayReturn.has(id),
    );
    return sound.map(({ id }) => id);
  }

  /** After the end of all faults and repairs: throws where a promise is broken. */
  checkAll(): void {
    for (const node of this.#master.members) {
      for (const extent of this.extents.values()) {
        if (this.#mayReturn.has(extent.id)) continue;
        if (extent.removal === 'done') this.#mustBeGone(node, extent);
        else if (extent.removal === 'none')
          for (const range of extent.ranges) this.#mustHold(node, range, 'is not any more');
      }
      for (const range of this.tiny) {
        if (range.removal === 'done') this.#mustBeGone(node, range);
        else if (range.removal === 'none') this.#mustHold(node, range, 'is not any more');
      }
    }
    this.#mustBeEqual();
  }

  #mustBeEqual(): void {
    const [first, ...others] = this.#master.members;
    for (const id of sizesOf(first!).keys()) {
      if (this.#mayReturn.has(id)) continue;
      // A first host that was replaced brings an append that was acknowledged to nobody to some replicas, while the new one has given its place to another one (docs/open.md, "first-host-hears-late"). What was
      // acknowledged was looked for above.
      if (this.#master.hasChanged && isTinyExtent(id)) continue;
      const one = contentOf(first!, id);
      const until = Math.min(one.byteLength, this.#doubt.get(id) ?? Number.POSITIVE_INFINITY);
      for (const other of others) {
        const two = contentOf(other, id);
        const at = differsAt(one.subarray(0, until), two.subarray(0, until));
        if (at >= 0) throw new Broken(`extent ${id} differs at ${at} on ${first!.name} and ${other.name}`);
      }
    }
  }

  #living(): SimNode[] {
    return this.#master.members.filter(({ life }) => life !== null);
  }

  /** Without those that have got another disk since: a follower may answer, lose what it has done, and start again before the primary answers the client. */
  #livingSince(sentMs: number): SimNode[] {
    return this.#living().filter(({ newDiskMs }) => newDiskMs < sentMs);
  }

  #inDoubt(extentId: number, end: number): boolean {
    return (this.#doubt.get(extentId) ?? Number.POSITIVE_INFINITY) < end;
  }

  #mustHold(node: SimNode, { extentId, at, length, from }: Range, what: string): void {
    if (node !== this.#keeper && this.#inDoubt(extentId, at + length)) return;
    const file = node.file(extentId);
    const found = new Uint8Array(length);
    file?.read(at, found);
    this.extents.get(extentId)?.cells?.cover(at, found);
    const wrong = differsAt(found, bytesOf(from, length));
    if (wrong >= 0)
      throw new Broken(
        `extent ${extentId}, ${length} bytes at ${at}: ${what} on ${node.name} from byte ${wrong} on (${file?.size ?? 'no'} bytes there)`,
      );
  }

  #mustBeGone(node: SimNode, removed: Extent | Range): void {
    if ('ranges' in removed) {
      if (this.#mayReturn.has(removed.id) || node.file(removed.id) === undefined) return;
      throw new Broken(`extent ${removed.id} was deleted, and is on ${node.name}`);
    }
    const { extentId, at, length } = removed;
    if (this.#inDoubt(extentId, at + roundUpToPage(length))) return;
    const found = new Uint8Array(length);
    node.file(extentId)?.read(at, found);
    if (Buffer.compare(found, zeros.subarray(0, length)) !== 0)
      throw new Broken(
        `${length} bytes at ${at} of tiny extent ${extentId} were deleted, and are on ${node.name}`,
      );
  }
}

/** What was acknowledged of it. */
function endOf({ ranges }: Extent): number {
  return Math.max(0, ...ranges.map(({ at, length }) => at + length));
}

/** Whether its extent is as long as the range is far. */
function reaches(node: SimNode, { extentId, at, length }: Range): boolean {
  return (node.file(extentId)?.size ?? 0) >= at + length;
}

function behindKey(node: SimNode, removed: Extent | Range): string {
  return 'ranges' in removed
    ? `${node.name} ${removed.id}`
    : `${node.name} ${removed.extentId} ${removed.at}`;
}
