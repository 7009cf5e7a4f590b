/**
 * Opens an image of a disk with the production code and holds it to the promises of the moment.
 */
import { crc32 } from 'node:zlib';
import { loadDisk } from '../../src/partition/diskLoad.js';
import { SLOT_TABLE_BYTES } from '../../src/storage/crcFile.js';
import { EXTENT_FLAG } from '../../src/storage/extentTable.js';
import { BLOCK_BYTES, parsePartitionFolderName } from '../../src/storage/layout.js';
import { ROOT, SimRig } from '../partition/simRig.js';
import { checkTrustedSlots } from '../partition/trustedSlots.js';
import type { SimDisk } from '../sim/simDisk.js';
import type { SimFolder } from '../sim/simFolder.js';
import { type Crash, holds, type PartitionPromises, type SentHeal } from './promises.js';

/** The one reason to refuse a partition that a crash in the middle of its creation may leave. */
const NO_META = /^open .*\/META: no such file or directory$/;

export interface CrashPoint {
  partitions: ReadonlyMap<number, PartitionPromises>;
  heals: readonly SentHeal[];
  crash: Crash;
  /** A clean stop came before. */
  stopped: boolean;
}

export class ImageCheck {
  /** Images share its buffers, so that the scenario's own stay as they are. */
  private readonly rig = SimRig.start();

  /** What is wrong with the image, null when nothing is. The image is used up. */
  problem(image: SimFolder, point: CrashPoint, seed: number): string | null {
    try {
      this.check(this.rig.sim.withRoot(image, seed), point, seed);
      return null;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  private check(disk: SimDisk, point: CrashPoint, seed: number): void {
    const rig = this.load(disk, point);
    checkTrustedSlots(rig);
    for (const [id, promises] of point.partitions) {
      if (!rig.partitions.has(id)) continue;
      if (point.crash === 'kill' || point.stopped) this.checkCreated(rig, id, promises);
      for (const extentId of promises.writes.keys()) this.checkExtent(rig, id, extentId, promises, point);
    }
    this.checkHeals(rig, point.heals);
    const used = new Map([...point.partitions].map(([id, promises]) => [id, new Set(promises.handedOut())]));
    this.createIn(rig, used);
    // Every other image crashes a second time, with the create acknowledged.
    const again = seed % 2 === 0;
    const before = again ? '' : this.stopped(rig);
    const second = this.rig.bare(again ? rig.sim.powerLoss(seed) : rig.sim.processEnd(seed));
    this.loadAll(second);
    if (!again && summary(second) !== before)
      throw new Error(`a stop and a start find ${summary(second)}, not ${before}`);
    this.createIn(second, used);
    const steady = this.stopped(second);
    const third = this.rig.bare(second.sim.processEnd(seed));
    this.loadAll(third);
    if (summary(third) !== steady) throw new Error(`no steady state: ${summary(third)}, not ${steady}`);
  }

  /** Loads the image; each partition is there, or may be missing. */
  private load(disk: SimDisk, { partitions }: CrashPoint): SimRig {
    const rig = this.rig.bare(disk);
    const refused = this.loadAll(rig);
    for (const { id, reason } of refused) {
      const promises = partitions.get(id);
      if (promises?.created === true && promises.deletion !== 'acknowledged') {
        throw new Error(`partition ${id} is refused: ${reason}`);
      }
      if (!NO_META.test(reason))
        throw new Error(`partition ${id} is refused for a reason of its own: ${reason}`);
      // The master sends its creation again: what the crash left must not be in the way.
      rig.create(ROOT, { partitionId: id });
    }
    for (const [id, { created, deletion }] of partitions) {
      const there = rig.partitions.has(id);
      if (created && deletion === 'none' && !there) throw new Error(`partition ${id} is gone`);
      if (deletion === 'acknowledged' && there) throw new Error(`deleted partition ${id} is back`);
    }
    return rig;
  }

  private loadAll(rig: SimRig): { id: number; reason: string }[] {
    const loaded = loadDisk(rig.stores, ROOT, () => true, true);
    if (!loaded.ok) throw new Error(`the disk is refused: ${loaded.message}`);
    for (const partition of loaded.value.partitions) rig.partitions.set(partition.id, partition);
    rig.run();
    return loaded.value.refused.map(({ name, reason }) => ({
      id: parsePartitionFolderName(name)!.id,
      reason,
    }));
  }

  /** Extents that clients know outlive the process, empty ones too. */
  private checkCreated(rig: SimRig, partitionId: number, promises: PartitionPromises): void {
    const { table } = rig.partitions.get(partitionId)!.store;
    for (const extentId of promises.handedOut()) {
      if (table.find(extentId) < 0) throw new Error(`extent ${extentId} of partition ${partitionId} is gone`);
    }
  }

  private checkExtent(
    rig: SimRig,
    partitionId: number,
    extentId: number,
    promises: PartitionPromises,
    { crash, stopped }: CrashPoint,
  ): void {
    const ranges = promises.ranges(extentId, crash, stopped);
    for (const { start, end, candidates } of ranges) {
      for (let at = start; at < end; ) {
        const length = Math.min(end - at, BLOCK_BYTES - (at % BLOCK_BYTES));
        const sent = rig.sendRead(extentId, at, length, { partitionId });
        rig.run();
        const where = `bytes ${at} to ${at + length} of extent ${extentId} of partition ${partitionId}`;
        if (!sent.ok) throw new Error(`${where} are lost: ${sent.error}`);
        if (sent.crc !== crc32(sent.body)) throw new Error(`${where} are served with a wrong checksum`);
        const pieces = candidates.map((candidate) => candidate.subarray(at - start, at - start + length));
        if (!holds(sent.body, pieces)) throw new Error(`${where} are not those that were acknowledged`);
        at += length;
      }
    }
    if (crash === 'kill') checkSlots(rig, partitionId, extentId);
  }

  /**
   * A block that was being healed is what it was, or what it was to be, or cannot be read; and so it stays when everything has come to rest and was compared. A heal that was acknowledged is there.
   */
  private checkHeals(rig: SimRig, heals: readonly SentHeal[]): void {
    for (const again of [false, true]) {
      for (const heal of heals) checkHeal(rig, heal);
      if (heals.length === 0 || again) continue;
      rig.simClock.advance(601_000);
      for (let tick = 0; tick < 4; tick += 1) {
        rig.stores.tick();
        rig.run();
      }
      checkTrustedSlots(rig);
    }
  }

  /** One create in each partition, whose id nobody has had. */
  private createIn(rig: SimRig, used: Map<number, Set<number>>): void {
    for (const partitionId of rig.partitions.keys()) {
      const sent = rig.sendCreate({ partitionId });
      rig.run();
      if (!sent.ok) throw new Error(`partition ${partitionId} creates no extent: ${sent.error}`);
      const ids = used.get(partitionId);
      if (ids?.has(sent.extentId) === true) throw new Error(`id ${sent.extentId} is handed out twice`);
      ids?.add(sent.extentId);
    }
  }

  /** What was there at the end of a clean stop. */
  private stopped(rig: SimRig): string {
    const found = summary(rig);
    const problems = rig.stop();
    if (problems.length > 0) throw new Error(`an unclean stop: ${problems.join('; ')}`);
    return found;
  }
}

/** Partitions, their id bases, their extents and lengths. */
function summary(rig: SimRig): string {
  const lines: string[] = [];
  for (const [id, { store }] of rig.partitions) {
    const extents: string[] = [];
    const { table } = store;
    for (let row = 0; row < table.rowCount; row += 1) {
      if (table.has(row, EXTENT_FLAG.used) && table.ids[row]! > 64)
        extents.push(`${table.ids[row]}:${table.sizes[row]}`);
    }
    lines.push(`${id} base ${store.ids.base} [${extents.sort().join(' ')}]`);
  }
  return lines.sort().join('; ');
}

/** After a kill a checksum that is stored is that of its block: a slot is zeroed before data changes and written after it. */
function checkSlots(rig: SimRig, partitionId: number, extentId: number): void {
  const { path } = rig.partitions.get(partitionId)!.store;
  if (rig.sim.node(`${path}/${extentId}`) === undefined) return;
  const bytes = rig.sim.content(`${path}/${extentId}`);
  const slots = new Uint8Array(SLOT_TABLE_BYTES);
  const table = rig.sim.node(`${path}/EXTENT_CRC`);
  if (table?.kind === 'file') table.read(extentId * SLOT_TABLE_BYTES, slots);
  const view = new DataView(slots.buffer);
  for (let block = 0; block * BLOCK_BYTES < bytes.length; block += 1) {
    const slot = view.getUint32(block * 4);
    const actual = crc32(bytes.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES));
    if (slot !== 0 && slot !== actual) throw new Error(`slot ${block} of extent ${extentId} is wrong`);
  }
}

function checkHeal(rig: SimRig, heal: SentHeal): void {
  const { partitionId, extentId, at, before, after, writtenOver, sent } = heal;
  const read = rig.sendRead(extentId, at, before.length, { partitionId });
  rig.run();
  const where = `the block at ${at} of extent ${extentId}`;
  if (!read.ok) {
    const refused = /is damaged/.test(read.error) && !sent.ok && !writtenOver;
    if (!refused) throw new Error(`${where} cannot be read: ${read.error}`);
    return;
  }
  const contents = sent.ok ? [after] : [before, after];
  const whole = writtenOver || contents.some((content) => Buffer.compare(content, read.body) === 0);
  if (!whole) throw new Error(`${where} is neither what it was nor what it was healed to`);
}
