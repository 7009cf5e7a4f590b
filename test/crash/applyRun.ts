/**
 * Runs of committed random writes on a watched disk, crashed at every barrier, after every turn, and between any two writes: whatever a crash leaves, a replay from the APPLY
 * that is found must give what the leader has, or name what is missing.
 *
 * The leader's content is kept beside it, byte by byte. What a run writes does not depend on its seed.
 */
import { loadDisk } from '../../src/partition/diskLoad.js';
import { ApplyRig, commandOf, type Write } from '../partition/applyRig.js';
import { ROOT, SimRig } from '../partition/simRig.js';
import { pattern } from '../partition/storeRig.js';
import { checkTrustedSlots } from '../partition/trustedSlots.js';
import { crashImages, imageHash, wholeImage } from '../sim/crashImages.js';
import { Random } from '../sim/random.js';
import { SimDisk, type SimDiskOptions } from '../sim/simDisk.js';
import type { SimFolder } from '../sim/simFolder.js';
import { WatchedDisk } from './watchedDisk.js';

/** Combinations tried at one moment. */
const PER_MOMENT = 40;
const SIZES = [9000, 5000, 1500, 1600, 1700];
/** Comes late on this replica, and has been on the leader all the time. */
const LATE = { extentId: 1030, bytes: 6000 };
/** Exists nowhere. */
const UNKNOWN = 1040;

/** Makes the disk of a run over what an earlier life has left. */
export type MakeDiskOver = (options: SimDiskOptions, root: SimFolder) => WatchedDisk;

/** What all runs share. */
export class ApplyHunt {
  readonly seen = new Set<string>();
  readonly problems: string[] = [];
  moments = 0;
  /** Images in which APPLY had moved, and in which something was missing before the replay. */
  withApply = 0;
  withMissing = 0;
  /** Images share its buffers. */
  readonly rig = SimRig.start();
}

class ApplyRun {
  private readonly hunt: ApplyHunt;
  private readonly seed: number;
  private readonly rig: ApplyRig;
  private readonly disk: WatchedDisk;
  private readonly random: Random;
  /** Committed and durable in the log. */
  private readonly log: Uint8Array[] = [];
  /** By extent: what the leader has, after each index. */
  private readonly leader = new Map<number, Uint8Array[]>();
  /** Bytes of each extent whose append was acknowledged here after a sync. */
  private readonly promised = new Map<number, number>();
  private seenBefore = '';

  constructor(hunt: ApplyHunt, seed: number, makeDisk: MakeDiskOver) {
    this.hunt = hunt;
    this.seed = seed;
    this.random = new Random(seed);
    const options: SimDiskOptions[] = [];
    const first = SimRig.start({}, seed, (given) => {
      options.push(given);
      return new SimDisk(given);
    });
    ApplyRig.start(SIZES, {}, first);
    first.stop();
    this.disk = makeDisk(options[0]!, wholeImage(first.sim.rootFolder));
    const rig = first.next(this.disk);
    this.rig = new ApplyRig(rig);
    rig.threaded = seed % 2 === 0;
    for (const [number, bytes] of SIZES.entries()) this.exists(1025 + number, pattern(bytes, 100 + number));
    this.leader.set(LATE.extentId, [pattern(LATE.bytes, 300)]);
    this.disk.onBarrier = () => this.crash('power');
    this.disk.onWrite = () => this.crash('kill');
  }

  run(): void {
    this.writes(8);
    this.beginSave();
    this.writes(6);
    this.lateExtent();
    this.beginSave();
    this.writes(6);
    this.settle();
    // Nothing is missing any more, and the file is replaced: while copies, and entries of what is missing again, are on their way.
    this.rig.apply.missing.ranges.forget(UNKNOWN);
    if (this.seed % 3 === 0) this.settle();
    this.beginSave();
    this.copyMissing();
    if (this.seed % 3 === 1) this.settle();
    this.beginSave();
    this.writes(8);
    this.beginSave();
    this.settle();
  }

  private exists(extentId: number, bytes: Uint8Array): void {
    this.leader.set(extentId, [bytes]);
    this.promised.set(extentId, bytes.length);
  }

  /** What the leader has of an extent when it has applied so much. */
  private leaderAt(extentId: number, index: number): Uint8Array {
    return this.leader.get(extentId)![index]!;
  }

  /** Entries to all extents, some sync. Those to the late one overlap. */
  private writes(count: number): void {
    for (let each = 0; each < count; each += 1) {
      const number = this.log.length;
      const extentId = [1025, 1027, 1026, LATE.extentId, 1028, 1029, 1025, UNKNOWN][number % 8]!;
      const end = this.leader.get(extentId)?.at(0)?.length ?? 5000;
      const body = pattern([1000, 700, 100, 512, 1400][number % 5]!, 500 + number);
      const write: Write = {
        extentId,
        at: extentId === LATE.extentId ? Math.floor(number / 8) * 300 : (number * 1237) % (end - body.length),
        body,
        sync: number % 5 === 4,
      };
      const data = commandOf(write);
      this.log.push(data);
      for (const [id, contents] of this.leader) {
        const content = id === extentId ? contents.at(-1)!.slice() : contents.at(-1)!;
        if (id === extentId) content.set(body, write.at);
        contents.push(content);
      }
      this.rig.entry(data);
      if (this.random.chance(0.6)) this.turn();
    }
  }

  /** The extent arrives as it was created: what raft has written to it since is missing. */
  private lateExtent(): void {
    const { rig } = this.rig;
    this.settle();
    const created = rig.sendCreate();
    this.settle();
    if (created.extentId !== LATE.extentId) throw new Error(`extent ${created.extentId}`);
    rig.sendSyncWrite(LATE.extentId, 0, pattern(LATE.bytes, 300));
    this.settle();
    this.promised.set(LATE.extentId, LATE.bytes);
  }

  /** Copies from the leader, in two pieces. */
  private copyMissing(): void {
    const { extentId, bytes } = LATE;
    for (const from of [0, bytes / 2]) {
      const copy = this.leaderAt(extentId, this.log.length).slice(from, from + bytes / 2);
      this.rig.apply.fill({ extentId, from, bytes: copy, appliedIndex: this.log.length }, () => undefined);
      if (this.random.chance(0.5)) this.turn();
    }
  }

  private turn(): void {
    this.rig.rig.turn();
    this.crash('power');
    if (this.random.chance(0.5)) this.disk.step();
    this.crash('power');
  }

  private settle(): void {
    this.rig.rig.settle(() => {
      this.crash('power');
      const stepped = this.disk.step();
      this.crash('power');
      return stepped;
    });
    this.crash('power');
  }

  /** A save of APPLY becomes due, and begins. */
  private beginSave(): void {
    this.rig.rig.simClock.advance(11_000);
    this.rig.rig.stores.tick();
    for (let turns = this.random.below(12); turns > 0; turns -= 1) this.turn();
  }

  private crash(crash: 'kill' | 'power'): void {
    const { hunt, disk } = this;
    if (hunt.problems.length > 0) return;
    this.check(crash, wholeImage(disk.rootFolder));
    const state = `${disk.trace.length} ${this.log.length} ${this.rig.ends.length}`;
    if (crash === 'kill' || state === this.seenBefore) return;
    this.seenBefore = state;
    hunt.moments += 1;
    for (const image of crashImages(disk.rootFolder, PER_MOMENT, this.random, new Set()))
      this.check(crash, image);
  }

  private check(crash: string, image: SimFolder): void {
    const { hunt } = this;
    const key = `${this.log.length} ${this.promised.size} ${imageHash(image)}`;
    if (hunt.seen.has(key) || hunt.problems.length > 0) return;
    hunt.seen.add(key);
    try {
      this.checkImage(hunt.rig.sim.withRoot(image, this.seed));
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      hunt.problems.push(`seed ${this.seed}, entry ${this.log.length}, ${crash}: ${problem}`);
    }
  }

  private checkImage(disk: SimDisk): void {
    const sim = this.hunt.rig.bare(disk);
    const loaded = loadDisk(sim.stores, ROOT, () => true, true);
    if (!loaded.ok || loaded.value.refused.length > 0) throw new Error(JSON.stringify(loaded));
    for (const partition of loaded.value.partitions) sim.partitions.set(partition.id, partition);
    const rig = new ApplyRig(sim);
    const { apply } = rig;
    if (apply.appliedIndex > 0) this.hunt.withApply += 1;
    if (apply.missing.ranges.count > 0) this.hunt.withMissing += 1;
    if (apply.appliedIndex > this.rig.apply.appliedIndex)
      throw new Error(`APPLY is ${apply.appliedIndex}, ahead of all`);
    if (apply.missing.compareFrom > 0) throw new Error('a comparison is asked for');
    for (const data of this.log.slice(apply.appliedIndex)) rig.entry(data);
    rig.run();
    if (apply.appliedIndex !== this.log.length) throw new Error(`the replay ends at ${apply.appliedIndex}`);
    for (const extentId of this.promised.keys()) this.checkExtent(rig, extentId);
    this.fetchAll(rig);
    for (const extentId of this.promised.keys()) this.checkContent(rig, extentId);
    checkTrustedSlots(sim);
  }

  /** Each byte is the leader's, or named as missing. */
  private checkExtent(rig: ApplyRig, extentId: number): void {
    const expected = this.leaderAt(extentId, this.log.length);
    const here = rig.content(extentId);
    const promised = this.promised.get(extentId)!;
    if (here.length < promised) throw new Error(`extent ${extentId} has ${here.length} of ${promised} bytes`);
    const ranges = rig.apply.missing.ranges.of(extentId);
    for (let at = 0; at < promised; at += 1) {
      if (here[at] === expected[at]) continue;
      if (ranges.some(({ from, to }) => from <= at && at < to)) continue;
      throw new Error(`byte ${at} of extent ${extentId} is lost and not missing`);
    }
  }

  /** Every missing range is copied from a replica that is just as old as it may be. */
  private fetchAll(rig: ApplyRig): void {
    for (const extentId of this.promised.keys()) {
      for (const { from, to, index } of rig.apply.missing.ranges.of(extentId)) {
        const bytes = this.leaderAt(extentId, index).slice(from, to);
        rig.apply.fill({ extentId, from, bytes, appliedIndex: index }, () => undefined);
      }
    }
    rig.run();
  }

  private checkContent(rig: ApplyRig, extentId: number): void {
    const expected = this.leaderAt(extentId, this.log.length);
    const here = rig.content(extentId);
    const differs = expected.findIndex((byte, at) => here[at] !== byte);
    if (differs >= 0)
      throw new Error(`byte ${differs} of extent ${extentId} is not the leader's after a copy`);
    const missing = rig.apply.missing.ranges.of(extentId).length;
    if (missing > 0) throw new Error(`${missing} ranges of extent ${extentId} are still missing`);
  }
}

/** Runs under one seed after the other until so many distinct images were seen, or something is found. */
export function applyHunt(
  images: number,
  makeDisk: MakeDiskOver = (options, root) => new WatchedDisk(options, root),
): ApplyHunt {
  const hunt = new ApplyHunt();
  for (let seed = 1; hunt.seen.size < images && hunt.problems.length === 0; seed += 1) {
    new ApplyRun(hunt, seed, makeDisk).run();
  }
  return hunt;
}
