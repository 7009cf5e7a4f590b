/**
 * Bits that turn on disks of a simulated run, when everything else has come to rest: of one replica of a block, so that the others heal it, or of two in different places, so that nobody can say what is right.
 *
 * What has to follow: a block whose extent was clean is healed; another one too, or there is an alarm that names it, and nothing is written; and never is a block changed that nobody has damaged. A bit that nobody heals is
 * turned back at the end, so that the ledger's checks hold the rest.
 */
import { OP } from '../../../src/protocol/opcodes.js';
import { LIST_FRESH_MS } from '../../../src/repair/hostList.js';
import { EXTENT_FLAG, NONE } from '../../../src/storage/extentTable.js';
import { BLOCK_BYTES } from '../../../src/storage/layout.js';
import type { Ledger } from './ledger.js';
import type { Master } from './master.js';
import type { SimNode } from './simNode.js';
import { Broken, type World } from './world.js';

/** By then every extent was left alone for long enough to be clean. */
const QUIET_MS = 640_000;
/** And the list of a node that is no host any more, and was told nothing since, is too old (`hostList.ts`). */
const LIST_TOO_OLD_MS = LIST_FRESH_MS + 180_000;
/** Lists of replicas are compared once an hour, or ten seconds after a start. */
const FOUND_MS_MAX = 2 * 3_600_000;
const LOOK_MS = 15_000;
const FLIPS_MAX = 5;
const NO_BYTES = new Uint8Array(0);

interface Flip {
  readonly node: SimNode;
  readonly extentId: number;
  readonly block: number;
  readonly offset: number;
  readonly bit: number;
  /** What the block held before. */
  readonly good: Uint8Array;
  /** Its own checksum speaks against it for sure, and the others have a majority. */
  readonly mustHeal: boolean;
}

export class Bits {
  readonly #world: World;
  readonly #master: Master;
  readonly #ledger: Ledger;
  readonly #flips: Flip[] = [];
  #kills = 2;

  constructor(world: World, master: Master, ledger: Ledger) {
    this.#world = world;
    this.#master = master;
    this.#ledger = ledger;
  }

  /** Turns bits, waits for what must follow, and leaves every block as it was. */
  async run(): Promise<void> {
    const world = this.#world;
    const { random } = world;
    const quietMs = world.traits.changingHosts ? Math.max(QUIET_MS, LIST_TOO_OLD_MS) : QUIET_MS;
    if (random.chance(0.7)) await world.runUntil(world.nowMs + quietMs);
    for (let i = world.between(2, FLIPS_MAX); i > 0; i -= 1) this.#turn();
    const until = world.nowMs + FOUND_MS_MAX;
    await world.runUntil(world.nowMs + LOOK_MS);
    for (;;) {
      const open = this.#flips.find((flip) => !this.#isSettled(flip));
      if (open === undefined) break;
      if (world.nowMs >= until)
        throw new Broken(
          `nobody has healed block ${open.block} of extent ${open.extentId} on ${open.node.name}, and nobody is told`,
        );
      this.#lookForDamage();
      await world.runUntil(world.nowMs + LOOK_MS);
    }
    for (const flip of this.#flips) this.#judge(flip);
    this.#checkAlarms();
  }

  #turn(): void {
    const { random } = this.#world;
    const extents = this.#ledger.soundExtents();
    const extentId = extents[random.below(extents.length)];
    if (extentId === undefined) return;
    const holders = this.#master.members;
    const node = holders[random.below(holders.length)]!;
    const sizeBytes = node.file(extentId)?.size ?? 0;
    if (sizeBytes === 0) return;
    const block = random.below(Math.ceil(sizeBytes / BLOCK_BYTES));
    if (this.#flips.some((flip) => flip.extentId === extentId && flip.block === block)) return;
    const undecided = holders.length === 3 && random.chance(0.3);
    const victims = undecided ? holders.slice(0, 2) : [node];
    for (const victim of victims) this.#turnOn(victim, extentId, block, undecided);
    if (undecided) this.#world.hits.undecided += 1;
  }

  #turnOn(node: SimNode, extentId: number, block: number, undecided: boolean): void {
    const world = this.#world;
    const { random, hits } = world;
    const good = blockOf(node, extentId, block);
    const { life } = node;
    const isClean = life !== null && hasFlag(life, extentId, EXTENT_FLAG.clean);
    if (life !== null && random.chance(0.3)) node.killed(life, 'before a bit turns');
    if (node.life === null) hits.flippedWhileDown += 1;
    // Two replicas with one content would be a majority.
    const at = undecided ? node.number % good.byteLength : random.below(good.byteLength);
    const offset = block * BLOCK_BYTES + at;
    const bit = random.below(8);
    node.file(extentId)!.turnBit(offset, bit);
    hits.flippedBits += 1;
    const mustHeal = isClean && !undecided;
    this.#flips.push({ node, extentId, block, offset, bit, good, mustHeal });
    world.note(`bit ${bit} at ${offset} of extent ${extentId} turns on ${node.name}`);
  }

  /** Reads, scrubs, and kills in the middle of what they have begun. */
  #lookForDamage(): void {
    const { random } = this.#world;
    for (const { node, extentId, block, good, mustHeal } of this.#flips) {
      const { life } = node;
      if (life === null) continue;
      life.send(
        {
          ...{ opcode: OP.streamFollowerRead, extentId, extentType: 1, size: good.byteLength },
          extentOffset: block * BLOCK_BYTES,
        },
        NO_BYTES,
        ({ ok, body }) => {
          const whole = good.byteLength === BLOCK_BYTES && mustHeal;
          if (ok && whole && Buffer.compare(body, good) !== 0)
            throw new Broken(`${node.name} serves block ${block} of extent ${extentId}, which is damaged`);
        },
      );
    }
    for (const { life } of this.#master.members) life?.scrub();
    const { node } = this.#flips[random.below(this.#flips.length)]!;
    const { life } = node;
    if (life === null || this.#kills === 0 || !random.chance(0.2)) return;
    this.#kills -= 1;
    this.#world.after(this.#world.between(1, 12_000), () => node.killed(life, 'while it heals'));
  }

  #isSettled(flip: Flip): boolean {
    if (flip.node.life === null) return false;
    return isWhole(flip) || (!flip.mustHeal && this.#isTold(flip));
  }

  #isTold({ node, extentId, block }: Flip): boolean {
    return node.alarms.some((text) => text.includes(`block ${block} of extent ${extentId} `));
  }

  #judge(flip: Flip): void {
    const { hits } = this.#world;
    const { node, extentId, block, offset, bit, good } = flip;
    if (isWhole(flip)) {
      hits.healedBlocks += 1;
      return;
    }
    hits.bitsTold += 1;
    node.file(extentId)!.turnBit(offset, bit);
    if (Buffer.compare(blockOf(node, extentId, block), good) !== 0)
      throw new Broken(
        `block ${block} of extent ${extentId} was changed on ${node.name}, and nobody knew how`,
      );
  }

  /** Nobody is told of a block that is sound on all replicas. */
  #checkAlarms(): void {
    const damaged = this.#flips.map(({ block, extentId }) => `block ${block} of extent ${extentId} `);
    const sound = this.#ledger.soundExtents().map((extentId) => `of extent ${extentId} `);
    for (const { alarms, name } of this.#master.members)
      for (const text of alarms)
        if (sound.some((one) => text.includes(one)) && !damaged.some((one) => text.includes(one)))
          throw new Broken(`${name} tells of a block that nobody has damaged: ${text}`);
  }
}

function isWhole({ node, extentId, block, good }: Flip): boolean {
  return Buffer.compare(blockOf(node, extentId, block), good) === 0;
}

function blockOf(node: SimNode, extentId: number, block: number): Uint8Array {
  const file = node.file(extentId)!;
  const at = block * BLOCK_BYTES;
  const bytes = new Uint8Array(Math.min(BLOCK_BYTES, file.size - at));
  file.read(at, bytes);
  return bytes;
}

function hasFlag(life: NonNullable<SimNode['life']>, extentId: number, flag: number): boolean {
  const { table } = life.partition.store;
  const row = table.find(extentId);
  return row !== NONE && table.has(row, flag);
}
