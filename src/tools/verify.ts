/**
 * `extentd verify DIR`: reads every block whose checksum is known and compares. Reads only; memory is one block, one slot table and the names of one folder.
 *
 * A block that differs is read again with its slot, because a node may be writing it: its slot is zeroed before its data changes and written after it, so
 * damage is only what stands still and still differs.
 */
import { constants } from 'node:fs';
import { basename, join } from 'node:path';
import { native } from '../native/addon.js';
import { SLOT_BYTES, SLOT_TABLE_BYTES, slotOffset } from '../storage/crcFile.js';
import type { Disk } from '../storage/io.js';
import {
  BLOCK_BYTES,
  BLOCKS_PER_EXTENT,
  FILE,
  isTinyExtent,
  parseExtentName,
  parsePartitionFolderName,
} from '../storage/layout.js';
import { readMeta } from '../storage/metaFile.js';
import { type ChecksumState, type CleanView, readCleanView } from './cleanReport.js';
import { findTarget } from './folders.js';
import { ReadOnlyDisk } from './readOnlyDisk.js';
import { counted, printable } from './textTable.js';
import { EXIT, type ExitCode, JsonStream, shallEnd, type ToolContext } from './toolContext.js';
import { viewOf } from './uint64.js';

/** One block that is not what its slot says, or a file that cannot be read. */
export interface Damage {
  /** Partition folder, full path. */
  folder: string;
  /** From the folder's name, or META where the name tells none; null when neither does. */
  partition: number | null;
  /** Null: EXTENT_CRC, or the folder itself. */
  extent: number | null;
  block: number | null;
  /** CRC-32 as 8 hex digits; null when it is not about a block's content. */
  stored: string | null;
  computed: string | null;
  /** What the stored checksum is worth; null when it is not about one. */
  checksum: ChecksumState | null;
  /** Why it is damage. */
  what: string;
}

/** What was done so far. */
export interface VerifyTotals {
  partitions: number;
  /** Normal extents looked at. */
  extents: number;
  /** Blocks compared, and their bytes. */
  blocks: number;
  bytes: number;
  /** Blocks with data whose checksum is not known: not compared. */
  unknownBlocks: number;
  damaged: number;
}

const ENOENT = 2;

/** How often a block that differs is read before it counts as damage. */
const READS = 3;

/** The blocks of the folders given to it, one after another. `onDamage` is called as damage is found. */
export class Verifier {
  readonly totals: VerifyTotals = {
    ...{ partitions: 0, extents: 0, blocks: 0, bytes: 0, unknownBlocks: 0, damaged: 0 },
  };
  readonly #disk: Disk;
  readonly #onDamage: (damage: Damage) => void;
  readonly #block = new Uint8Array(BLOCK_BYTES);
  readonly #table = new Uint8Array(SLOT_TABLE_BYTES);
  readonly #slot = new Uint8Array(SLOT_BYTES);
  #folder = '';
  #partition: number | null = null;
  #crcFd = -1;
  #clean: CleanView | null = null;

  constructor(disk: Disk, onDamage: (damage: Damage) => void) {
    this.#disk = disk;
    this.#onDamage = onDamage;
  }

  /** Verifies one partition folder. A generator: it stops after each block, so that the caller can look at the time. Run it to its end, or return it. */
  *folder(path: string): Generator<void, void, void> {
    this.#folder = path;
    this.#partition = partitionIdOf(this.#disk, path);
    const entries = this.#disk.scan(path);
    // What a running node deletes meanwhile is no damage: neither a folder nor an extent.
    if (entries === -ENOENT) return;
    this.totals.partitions += 1;
    if (typeof entries === 'number') return this.#failed(null, 'readdir', entries);
    this.#crcFd = this.#disk.open(join(path, FILE.extentCrc), constants.O_RDONLY, 0);
    if (this.#crcFd < 0) return this.#failed(null, `open ${FILE.extentCrc}:`, this.#crcFd);
    this.#clean = readCleanView(this.#disk, path, entries);
    try {
      const extents = entries
        .map(({ name, kind, sizeBytes }) => ({ id: kind === 'file' ? parseExtentName(name) : -1, sizeBytes }))
        .filter(({ id }) => id >= 0 && !isTinyExtent(id))
        .sort((a, b) => a.id - b.id);
      for (const { id, sizeBytes } of extents) yield* this.#extent(id, sizeBytes);
    } finally {
      this.#disk.close(this.#crcFd);
    }
  }

  *#extent(id: number, sizeBytes: number): Generator<void, void, void> {
    const fd = this.#disk.open(join(this.#folder, String(id)), constants.O_RDONLY, 0);
    if (fd === -ENOENT) return;
    this.totals.extents += 1;
    if (fd < 0) return this.#failed(id, 'open', fd);
    try {
      const got = this.#disk.read(this.#crcFd, this.#table, slotOffset(id, 0));
      if (got < 0) return this.#failed(id, `read ${FILE.extentCrc}:`, got);
      this.#table.fill(0, got);
      const slots = viewOf(this.#table);
      for (let block = 0; block < BLOCKS_PER_EXTENT; block += 1) {
        const stored = slots.getUint32(block * SLOT_BYTES);
        if (stored !== 0) {
          this.#compare(fd, id, block, stored);
          yield;
        } else if (block * BLOCK_BYTES < sizeBytes) {
          this.totals.unknownBlocks += 1;
        }
      }
    } finally {
      this.#disk.close(fd);
    }
  }

  /** One block against its slot. */
  #compare(fd: number, id: number, block: number, slot: number): void {
    let stored = slot;
    let computed = 0;
    let got = 0;
    for (let read = 1; read <= READS; read += 1) {
      got = this.#disk.read(fd, this.#block, block * BLOCK_BYTES);
      if (got < 0) return this.#failed(id, 'read', got, block);
      computed = native.crc32(this.#block.subarray(0, got), 0);
      if (computed === stored) return this.#compared(got);
      const before = stored;
      stored = this.#slotOf(id, block);
      const standsStill = stored === before;
      if (stored === 0 || (read === READS && !standsStill)) {
        // A node is writing here: nothing can be said of this block now.
        this.totals.unknownBlocks += 1;
        return;
      }
    }
    this.#compared(got);
    const what = got === 0 ? 'a checksum where the extent has no data' : 'the content differs';
    this.#damaged(id, block, what, hex(stored), hex(computed));
  }

  #compared(bytes: number): void {
    this.totals.blocks += 1;
    this.totals.bytes += bytes;
  }

  #slotOf(id: number, block: number): number {
    this.#slot.fill(0);
    const got = this.#disk.read(this.#crcFd, this.#slot, slotOffset(id, block));
    return got === SLOT_BYTES ? viewOf(this.#slot).getUint32(0) : 0;
  }

  #failed(extent: number | null, call: string, errno: number, block: number | null = null): void {
    this.#damaged(extent, block, `${call} ${this.#disk.errnoText(errno)}`, null, null);
  }

  #damaged(
    extent: number | null,
    block: number | null,
    what: string,
    stored: string | null,
    computed: string | null,
  ): void {
    this.totals.damaged += 1;
    const checksum = stored === null ? null : this.#clean!.stateOf(extent!);
    this.#onDamage({
      ...{
        folder: this.#folder,
        partition: this.#partition,
        extent,
        block,
        stored,
        computed,
        checksum,
        what,
      },
    });
  }
}

function partitionIdOf(disk: Disk, path: string): number | null {
  const told = parsePartitionFolderName(basename(path));
  if (told !== null) return told.id;
  const meta = readMeta(disk, path);
  return meta.ok ? meta.value.partitionId : null;
}

function hex(crc: number): string {
  return crc.toString(16).padStart(8, '0');
}

/** How long the work goes on before signals and the progress line get their turn. */
const SLICE_MS = 200;

/** Verifies DIR and prints what is damaged, as it is found, and the sums. 0; 1 for damage; 2 when DIR cannot be listed or a signal came. */
export async function verify(dir: string, json: boolean, context: ToolContext): Promise<ExitCode> {
  const disk = new ReadOnlyDisk();
  const target = findTarget(disk, dir);
  if (typeof target === 'string') {
    context.complain(`${target}\n`);
    return EXIT.failed;
  }
  const { path, kind, partitions } = target;
  const stream = json ? new JsonStream(context, { path, kind }, 'damage') : null;
  const verifier = new Verifier(disk, (damage) => {
    if (stream === null) context.out(damageText(damage));
    else stream.item(damage);
  });
  const complete = await verifyAll(verifier, partitions, context);
  context.progress('');
  if (stream === null) context.out(`${totalsText(verifier.totals)}${complete ? '' : ', not to the end'}\n`);
  else stream.end({ totals: verifier.totals, complete });
  if (!complete) return EXIT.failed;
  return verifier.totals.damaged > 0 ? EXIT.found : EXIT.fine;
}

/** False when a signal ended it. */
async function verifyAll(
  verifier: Verifier,
  partitions: readonly string[],
  context: ToolContext,
): Promise<boolean> {
  let nextMs = performance.now() + SLICE_MS;
  for (const folder of partitions) {
    if (await shallEnd(context)) return false;
    // Leaving the loop early closes the generator's files.
    for (const _ of verifier.folder(folder)) {
      if (performance.now() < nextMs) continue;
      context.progress(
        `${totalsText(verifier.totals)}; in ${printable(basename(folder))}, of ${partitions.length}`,
      );
      if (await shallEnd(context)) return false;
      nextMs = performance.now() + SLICE_MS;
    }
  }
  return true;
}

function damageText({ folder, partition, extent, block, stored, computed, checksum, what }: Damage): string {
  const place = [
    `partition ${partition ?? '?'}`,
    ...(extent === null ? [] : [`extent ${extent}`]),
    ...(block === null ? [] : [`block ${block}`]),
  ].join(', ');
  const crcs = stored === null ? '' : `: stored ${stored} (${checksum}), computed ${computed}`;
  return `DAMAGED ${place}${crcs}: ${printable(what)} (${printable(folder)})\n`;
}

function totalsText(totals: VerifyTotals): string {
  const { partitions, extents, blocks, bytes, unknownBlocks, damaged } = totals;
  const mib = (bytes / (1024 * 1024)).toFixed(1);
  const what = [
    counted(partitions, 'partition'),
    counted(extents, 'normal extent'),
    `${counted(blocks, 'block')} compared (${mib} MiB)`,
    `${unknownBlocks} without a checksum`,
  ];
  return `${what.join(', ')}: ${damaged === 0 ? 'no damage' : `${damaged} DAMAGED`}`;
}
