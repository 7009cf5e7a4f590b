/**
 * One run of the storage code on a watched disk, which is crashed at every barrier, after every turn, and between any two writes; and what all runs of a hunt share. `scenarios.ts` has what runs do.
 */
import assert from 'node:assert';
import { crc32 } from 'node:zlib';
import { createPartition, deletePartition } from '../../src/partition/diskLoad.js';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import type { StoreSettings } from '../../src/partition/storeHost.js';
import { OP } from '../../src/protocol/opcodes.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { ROOT, SimRig } from '../partition/simRig.js';
import { NEW_PARTITION, pattern, type Sent } from '../partition/storeRig.js';
import { crashImages, imageHash, wholeImage } from '../sim/crashImages.js';
import { Random } from '../sim/random.js';
import type { SimDiskOptions } from '../sim/simDisk.js';
import { ImageCheck } from './imageCheck.js';
import { type Crash, PartitionPromises, type SentHeal } from './promises.js';
import { WatchedDisk } from './watchedDisk.js';

export type MakeDisk = (options: SimDiskOptions) => WatchedDisk;

/** What all runs share: which images were seen, how many are wanted, what was found. */
export class Hunt {
  /** Hashes of the images checked. */
  readonly seen = new Set<string>();
  readonly problems: string[] = [];
  /** Combinations tried at one moment. */
  readonly perMoment: number;
  readonly check = new ImageCheck();
  moments = 0;

  constructor(perMoment: number) {
    this.perMoment = perMoment;
  }
}

export class Run {
  rig: SimRig;
  disk: WatchedDisk;
  readonly random: Random;
  private readonly hunt: Hunt;
  private readonly name: string;
  private readonly partitions = new Map<number, PartitionPromises>();
  private readonly heals: SentHeal[] = [];
  private stopped = false;
  private writesSent = 0;
  private seenBefore = '';
  private readonly checked = new Set<string>();

  constructor(hunt: Hunt, name: string, seed: number, makeDisk: MakeDisk, settings: Partial<StoreSettings>) {
    this.hunt = hunt;
    this.name = `${name}, seed ${seed}`;
    this.random = new Random(seed);
    let made: WatchedDisk | null = null;
    this.rig = SimRig.start(settings, seed, (options) => {
      made = makeDisk(options);
      return made;
    });
    this.disk = made!;
    this.rig.threaded = seed % 2 === 0;
    this.watch();
  }

  /** The process is killed; what it was doing may have happened. The next one loads the disk, and nothing becomes durable by that. */
  killAndStart(): void {
    const { threaded } = this.rig;
    const next = this.disk.processEnd(this.random.below(1 << 30));
    assert(next instanceof WatchedDisk);
    this.disk = next;
    this.rig = this.rig.next(next);
    this.rig.threaded = threaded;
    this.watch();
    this.crash('power');
  }

  createPartition(partitionId: number): void {
    const promises = new PartitionPromises();
    this.partitions.set(partitionId, promises);
    const outcome = createPartition(this.rig.stores, ROOT, {
      ...NEW_PARTITION,
      partitionId,
    });
    if (!outcome.ok) throw new Error(outcome.message);
    this.rig.partitions.set(partitionId, outcome.value);
    promises.created = true;
    this.crash('power');
  }

  deletePartition(partitionId: number): void {
    const promises = this.partitions.get(partitionId)!;
    promises.deletion = 'sent';
    const partition = this.rig.partitions.get(partitionId)!;
    this.rig.partitions.delete(partitionId);
    const outcome = deletePartition(this.rig.stores, partition);
    if (!outcome.ok) throw new Error(outcome.message);
    promises.deletion = 'acknowledged';
    this.crash('power');
  }

  create(partitionId = 7): Sent {
    const sent = this.rig.sendCreate({ partitionId });
    this.partitions.get(partitionId)!.creates.push(sent);
    return sent;
  }

  /** Extents, created one after the other. */
  extents(count: number, partitionId = 7): number[] {
    return Array.from({ length: count }, () => {
      const sent = this.create(partitionId);
      this.go();
      return sent.extentId;
    });
  }

  write(extentId: number, at: number, bytes: number, sync: boolean, partitionId = 7): Sent {
    this.writesSent += 1;
    const body = pattern(bytes, this.writesSent);
    const sent = sync
      ? this.rig.send({ opcode: OP.syncWrite, extentId, extentOffset: at, partitionId }, body)
      : this.rig.sendWrite(extentId, at, body, { partitionId });
    const { writes } = this.partitions.get(partitionId)!;
    writes.set(extentId, [...(writes.get(extentId) ?? []), { sent, at, body, sync }]);
    return sent;
  }

  /** A block with another content than the other replicas have, which is written in halves; `hasChecksum`: and comes to rest. Returns it, and what it is to be. */
  differing(extentId: number, hasChecksum: boolean, at = 0): { before: Uint8Array; after: Uint8Array } {
    const after = pattern(BLOCK_BYTES, 77 + at);
    const before = after.slice();
    // Sectors of two pages, so that there are halves of both.
    for (const byte of [5, 600, 4096 * 3]) before[byte]! ^= 1;
    const half = BLOCK_BYTES / 2;
    for (const part of [0, half]) {
      const body = before.subarray(part, part + half);
      this.rig.send({ opcode: OP.syncWrite, extentId, extentOffset: at + part }, body);
    }
    if (hasChecksum) this.rest();
    else this.go();
    return { before, after };
  }

  /** The block at `at` of an extent gets the content of the other replicas. */
  heal(extentId: number, before: Uint8Array, after: Uint8Array, at = 0): SentHeal {
    const fields = { extentId, extentOffset: at, crc: crc32(after), expectedCrc: crc32(before) };
    const sent = this.rig.send({ opcode: INTERNAL_OP.healBlock, internal: true, ...fields }, after);
    const heal = { sent, partitionId: 7, extentId, at, before, after, writtenOver: false };
    this.heals.push(heal);
    return heal;
  }

  /** Everything to its end, with a crash after each turn and each piece of submitted work. */
  go(): void {
    this.rig.settle(() => {
      this.crash('power');
      const stepped = this.disk.step();
      this.crash('power');
      return stepped;
    });
    this.crash('power');
  }

  /** One turn and perhaps one piece of submitted work. */
  turn(): void {
    this.rig.turn();
    this.crash('power');
    if (this.random.chance(0.5)) this.disk.step();
    this.crash('power');
  }

  /** Everything to its end; ten minutes pass, and the checksum job does what is due. */
  rest(): void {
    this.go();
    this.rig.simClock.advance(601_000);
    for (let tick = 0; tick < 3; tick += 1) {
      this.rig.stores.tick();
      this.go();
    }
  }

  stop(): void {
    this.go();
    const problems = this.rig.stop();
    if (problems.length > 0) throw new Error(problems.join('; '));
    this.stopped = true;
    this.crash('power');
  }

  private watch(): void {
    this.disk.onBarrier = () => this.crash('power');
    this.disk.onWrite = () => this.crash('kill');
  }

  /** The disk's images at this moment are checked, those with everything kept too. */
  private crash(crash: Crash): void {
    const { hunt } = this;
    // A planted bug needs to be found once.
    if (hunt.problems.length > 0) return;
    const root = this.disk.rootFolder;
    const promises = this.promisesNow();
    this.check('kill', promises, wholeImage(root));
    const state = `${this.disk.trace.length} ${promises}`;
    if (crash === 'kill' || state === this.seenBefore) return;
    this.seenBefore = state;
    hunt.moments += 1;
    for (const image of crashImages(root, hunt.perMoment, this.random, new Set())) {
      this.check('power', promises, image);
    }
  }

  /** An image that an earlier moment had is checked again where other things are promised now. */
  private check(crash: Crash, promises: string, image: ReturnType<typeof wholeImage>): void {
    const { hunt, partitions, stopped } = this;
    const hash = imageHash(image);
    hunt.seen.add(hash);
    const key = `${crash} ${hash} ${promises}`;
    if (this.checked.has(key)) return;
    this.checked.add(key);
    const problem = hunt.check.problem(
      image,
      { partitions, heals: this.heals, crash, stopped },
      this.random.below(1 << 30),
    );
    if (problem !== null) hunt.problems.push(`${this.name}, ${crash}: ${problem}`);
  }

  private promisesNow(): string {
    const parts = [...this.partitions.values()].map(({ created, deletion, creates, writes }) => {
      const acknowledged = [...writes.values()].flat().filter(({ sent }) => sent.ok).length;
      return `${created} ${deletion} ${creates.filter(({ ok }) => ok).length} ${acknowledged}`;
    });
    const heals = this.heals.map(({ sent, writtenOver }) => `${sent.ok} ${writtenOver}`);
    return `${parts.join(';')} ${heals} ${this.stopped}`;
  }
}
