/**
 * The images that a power loss may leave of a simulated disk at one moment, told apart and enumerated.
 *
 * A moment has *units*, each of which comes out in one of several ways whatever the others do: an unsynced change of a folder is there or not; an
 * unsynced page has its durable content, one that it had in between, its last one, or a mix of durable and last by sectors of 512 bytes; an unsynced length is
 * the old, the new or one in between. Nothing ties two units together, so writes of different files and ranges come out in any order. What was synced
 * is in no unit. Outcome 0 of a unit is "lost", its last one is "kept".
 *
 * Where the product of all outcomes is small, all images are made; else the ends (all lost, all kept, one unit different from all others) and a seeded
 * sample. Images are told apart by a hash of names, lengths and contents, across all moments that share a `seen` set.
 */
import { createHash } from 'node:crypto';
import type { Random } from './random.js';
import { SECTOR_BYTES, SIM_PAGE_BYTES, SimFile } from './simFile.js';
import type { SimFolder, SimNode } from './simFolder.js';

const SECTORS = SIM_PAGE_BYTES / SECTOR_BYTES;
/** Lengths tried between the old and the new one. */
const LENGTHS_BETWEEN_MAX = 6;

/** The outcomes of one page. */
interface PageUnit {
  index: number;
  unit: number;
  versions: (Uint8Array | undefined)[];
  /** Sectors in which the durable and the last content differ. */
  differing: number[];
}

interface FileUnits {
  pages: PageUnit[];
  lengths: number[];
  lengthUnit: number;
}

/** One disk at one moment. It must be used before the disk changes again. */
export class CrashMoment {
  /** For each unit, how many outcomes it has. */
  readonly outcomes: number[] = [];
  private readonly root: SimFolder;
  private readonly files = new Map<SimFile, FileUnits>();
  /** Number of the first change of a folder among the units. */
  private readonly folders = new Map<SimFolder, number>();

  private readonly whole: boolean;

  /** @param whole nothing is lost, times neither. */
  constructor(root: SimFolder, whole = false) {
    this.root = root;
    this.whole = whole;
    this.collect(root);
  }

  /** How many combinations there are; equal images among them are counted as often as they occur. */
  get combinations(): number {
    return this.outcomes.reduce((product, count) => product * count, 1);
  }

  /** The image with one outcome for each unit; everything in it is durable. */
  image(choices: readonly number[]): SimFolder {
    return this.imageOf(this.root, choices) as SimFolder;
  }

  private collect(node: SimNode): void {
    if (node.kind === 'file') {
      if (!this.files.has(node)) this.files.set(node, this.unitsOf(node));
    } else if (!this.folders.has(node)) {
      this.folders.set(node, this.outcomes.length);
      for (let change = 0; change < node.unsyncedChanges; change += 1) this.outcomes.push(2);
      for (const inside of node.possibleNodes()) this.collect(inside);
    }
  }

  private unitsOf(file: SimFile): FileUnits {
    const pages: PageUnit[] = [];
    for (const index of file.unsyncedPages()) {
      const versions = file.pageVersions(index);
      const differing = differingSectors(versions[0], versions.at(-1));
      const count = 2 ** differing.length + versions.length - 2;
      pages.push({ index, unit: this.outcomes.length, versions, differing });
      this.outcomes.push(count);
    }
    const lengths = lengthsBetween(file.durableBytes, file.size);
    this.outcomes.push(lengths.length);
    return { pages, lengths, lengthUnit: this.outcomes.length - 1 };
  }

  private imageOf(node: SimNode, choices: readonly number[]): SimNode {
    if (node.kind === 'folder') {
      const first = this.folders.get(node)!;
      return node.imageWith(
        (change) => choices[first + change] === 1,
        (inside) => this.imageOf(inside, choices),
      );
    }
    const units = this.files.get(node)!;
    const pages = new Map(node.durableContent());
    for (const page of units.pages) {
      const content = pageOutcome(page, choices[page.unit]!);
      if (content === undefined) pages.delete(page.index);
      else pages.set(page.index, content);
    }
    const length = choices[units.lengthUnit]!;
    // Data may be written back before the time of its last change: with the old length, always.
    const mtimeMs = this.whole || length > 0 ? node.mtimeMs : node.durableMtimeMs;
    return SimFile.durableWith(pages, units.lengths[length]!, mtimeMs);
  }
}

/** Images of a moment that are not in `seen`, at most `limit` combinations tried; their hashes go into `seen`. */
export function* crashImages(
  root: SimFolder,
  limit: number,
  random: Random,
  seen: Set<string>,
): Generator<SimFolder> {
  const moment = new CrashMoment(root);
  const all = moment.combinations <= limit;
  for (const choices of all ? everyChoice(moment.outcomes) : someChoices(moment.outcomes, limit, random)) {
    const image = moment.image(choices);
    const hash = imageHash(image);
    if (seen.has(hash)) continue;
    seen.add(hash);
    yield image;
  }
}

/** A copy of the disk as it is now, with nothing lost: what the next process finds when this one is killed. */
export function wholeImage(root: SimFolder): SimFolder {
  const moment = new CrashMoment(root, true);
  return moment.image(moment.outcomes.map((count) => count - 1));
}

/** Hash of names, lengths and contents below a folder; a hole and a page of zeros are told apart. */
export function imageHash(root: SimFolder): string {
  return createHash('sha1').update(describe(root)).digest('base64').slice(0, 16);
}

function describe(node: SimNode): string {
  if (node.kind === 'folder') {
    const names = [...node.entries.keys()].sort();
    return `{${names.map((name) => `${name}:${describe(node.entries.get(name)!)}`).join(',')}}`;
  }
  const pages = [...node.durableContent()].sort(([a], [b]) => a - b);
  return `${node.size}${pages.map(([index, page]) => `/${index}=${pageHash(page)}`).join('')}`;
}

/** Pages are never changed in place, so a hash is good for the life of its page. */
const pageHashes = new WeakMap<Uint8Array, string>();

function pageHash(page: Uint8Array): string {
  let hash = pageHashes.get(page);
  if (hash === undefined) {
    hash = createHash('sha1').update(page).digest('base64').slice(0, 16);
    pageHashes.set(page, hash);
  }
  return hash;
}

/** All combinations, counted up like the digits of a number. */
function* everyChoice(outcomes: readonly number[]): Generator<readonly number[]> {
  const choices = outcomes.map(() => 0);
  for (;;) {
    yield choices;
    let at = 0;
    while (at < choices.length && choices[at] === outcomes[at]! - 1) {
      choices[at] = 0;
      at += 1;
    }
    if (at === choices.length) return;
    choices[at] = choices[at]! + 1;
  }
}

/** The ends, then a sample whose share of kept units varies from image to image. */
function* someChoices(
  outcomes: readonly number[],
  limit: number,
  random: Random,
): Generator<readonly number[]> {
  const lost = outcomes.map(() => 0);
  const kept = outcomes.map((count) => count - 1);
  yield lost;
  yield kept;
  const open = outcomes.flatMap((count, unit) => (count > 1 ? [unit] : []));
  let tried = 2;
  for (; tried < limit / 2 && open.length > 0; tried += 2) {
    const [unit] = open.splice(random.below(open.length), 1);
    yield lost.with(unit!, kept[unit!]!);
    yield kept.with(unit!, 0);
  }
  for (; tried < limit; tried += 1) {
    const share = random.next();
    const torn = random.next() / 2;
    yield outcomes.map((count) => {
      if (count > 2 && random.chance(torn)) return random.below(count);
      return random.chance(share) ? count - 1 : 0;
    });
  }
}

function differingSectors(before: Uint8Array | undefined, after: Uint8Array | undefined): number[] {
  const sectors: number[] = [];
  for (let sector = 0; sector < SECTORS; sector += 1) {
    if (Buffer.compare(sectorOf(before, sector), sectorOf(after, sector)) !== 0) sectors.push(sector);
  }
  return sectors;
}

function sectorOf(page: Uint8Array | undefined, sector: number): Uint8Array {
  return page?.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES) ?? ZERO_SECTOR;
}

const ZERO_SECTOR = new Uint8Array(SECTOR_BYTES);

/** Outcomes 0 to 2^d - 2 take the differing sectors that their bits name from the last content; then come those in between; the last is all new. */
function pageOutcome({ versions, differing }: PageUnit, outcome: number): Uint8Array | undefined {
  const masks = 2 ** differing.length;
  if (outcome === masks + versions.length - 3) return versions.at(-1);
  if (outcome >= masks - 1) return versions[outcome - masks + 2];
  if (outcome === 0) return versions[0];
  const torn = versions[0]?.slice() ?? new Uint8Array(SIM_PAGE_BYTES);
  for (const [bit, sector] of differing.entries()) {
    if ((outcome & (1 << bit)) !== 0) torn.set(sectorOf(versions.at(-1), sector), sector * SECTOR_BYTES);
  }
  return torn;
}

/** The old length, some multiples of a sector in between, the new length; one length when they are equal. */
function lengthsBetween(before: number, after: number): number[] {
  if (before === after) return [after];
  const low = Math.min(before, after);
  const high = Math.max(before, after);
  const first = Math.floor(low / SECTOR_BYTES) + 1;
  const count = Math.max(0, Math.ceil(high / SECTOR_BYTES) - first);
  const step = Math.max(1, Math.ceil(count / LENGTHS_BETWEEN_MAX));
  const between: number[] = [];
  for (let border = 0; border < count; border += step) between.push((first + border) * SECTOR_BYTES);
  return [before, ...between, after];
}
