/**
 * Runs of the storage code on a watched disk: each is crashed at every barrier, after every turn, and between any two writes.
 *
 * What a run writes does not depend on its seed, so that images of two seeds differ only where something else happened.
 */
import assert from 'node:assert';
import { createPartition, deletePartition } from '../../src/partition/diskLoad.js';
import type { StoreSettings } from '../../src/partition/storeHost.js';
import { OP } from '../../src/protocol/opcodes.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { ROOT, SimRig } from '../partition/simRig.js';
import { NEW_PARTITION, pattern, type Sent } from '../partition/storeRig.js';
import { crashImages, imageHash, wholeImage } from '../sim/crashImages.js';
import { Random } from '../sim/random.js';
import type { SimDiskOptions } from '../sim/simDisk.js';
import { ImageCheck } from './imageCheck.js';
import { type Crash, PartitionPromises } from './promises.js';
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
    const problem = hunt.check.problem(image, { partitions, crash, stopped }, this.random.below(1 << 30));
    if (problem !== null) hunt.problems.push(`${this.name}, ${crash}: ${problem}`);
  }

  private promisesNow(): string {
    const parts = [...this.partitions.values()].map(({ created, deletion, creates, writes }) => {
      const acknowledged = [...writes.values()].flat().filter(({ sent }) => sent.ok).length;
      return `${created} ${deletion} ${creates.filter(({ ok }) => ok).length} ${acknowledged}`;
    });
    return `${parts.join(';')} ${this.stopped}`;
  }
}

export interface Scenario {
  name: string;
  settings?: Partial<StoreSettings>;
  run: (run: Run) => void;
}

/** Sizes of small writes: around sectors and pages, and odd ones. */
const SIZES = [1, 511, 512, 700, 3000, 4096, 4097, 5000, 9000];

function size(run: Run): number {
  return SIZES[run.random.below(SIZES.length)]!;
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'a partition is created',
    run: (run) => {
      run.createPartition(7);
      run.create();
      run.create();
      run.go();
    },
  },
  {
    name: 'appends to two extents',
    run: (run) => {
      run.createPartition(7);
      const ends = new Map(run.extents(2).map((id) => [id, 0]));
      for (let i = 0; i < 8; i += 1) {
        for (const [id, end] of ends) {
          const bytes = size(run);
          run.write(id, end, bytes, run.random.chance(0.4));
          ends.set(id, end + bytes);
        }
        if (run.random.chance(0.6)) run.turn();
      }
      run.go();
    },
  },
  {
    name: 'extents are created between sync writes',
    settings: { openExtentsMax: 2 },
    run: (run) => {
      run.createPartition(7);
      for (let i = 0; i < 4; i += 1) {
        const [id] = run.extents(1);
        run.write(id!, 0, size(run), true);
        run.turn();
        run.create();
        run.go();
      }
    },
  },
  {
    name: 'blocks with checksums are written over',
    run: (run) => {
      run.createPartition(7);
      const [id] = run.extents(1);
      run.write(id!, 0, BLOCK_BYTES, true);
      run.go();
      for (let i = 0; i < 3; i += 1) {
        run.write(id!, run.random.below(BLOCK_BYTES - 9000), size(run), run.random.chance(0.5));
        run.turn();
      }
      run.write(id!, 0, BLOCK_BYTES, false);
      run.go();
    },
  },
  {
    name: 'a kill, and a second life',
    run: (run) => {
      run.createPartition(7);
      const [first, second] = run.extents(2);
      run.write(first!, 0, size(run), true);
      run.write(second!, 0, size(run), false);
      run.turn();
      run.create();
      run.turn();
      run.killAndStart();
      run.write(second!, 0, size(run), true);
      run.create();
      run.turn();
      run.write(first!, 0, size(run), true);
      run.go();
    },
  },
  {
    name: 'a partition is deleted',
    run: (run) => {
      run.createPartition(7);
      run.createPartition(8);
      const [kept] = run.extents(1, 8);
      const [gone] = run.extents(1);
      run.write(gone!, 0, size(run), true);
      run.write(kept!, 0, size(run), true, 8);
      run.go();
      run.deletePartition(7);
      run.write(kept!, 0, size(run), false, 8);
      run.go();
    },
  },
  {
    name: 'syncs fail and writes come short',
    run: (run) => {
      run.createPartition(7);
      const [first, second] = run.extents(2);
      run.write(first!, 0, 3000, true);
      run.go();
      run.disk.addFault({ call: 'fdatasync', path: new RegExp(`/${first}$`), errno: 5, count: 1 });
      run.disk.addFault({ call: 'pwrite', path: new RegExp(`/${second}$`), shortBytes: 700, count: 1 });
      run.write(first!, 3000, size(run), true);
      run.write(second!, 0, 3000, true);
      run.go();
      run.write(first!, 3000, size(run), true);
      run.go();
    },
  },
  {
    name: 'a clean stop',
    settings: { openExtentsMax: 2 },
    run: (run) => {
      run.createPartition(7);
      for (const id of run.extents(3)) run.write(id, 0, size(run), false);
      run.stop();
    },
  },
  {
    name: 'an extent comes to rest and is written to again',
    run: (run) => {
      run.createPartition(7);
      const [id] = run.extents(1);
      run.write(id!, 0, 3000, run.random.chance(0.5));
      for (let round = 0; round < 3; round += 1) {
        run.rest();
        run.write(id!, run.random.below(2300), 700, false);
        run.turn();
        run.turn();
      }
      run.go();
      if (run.random.chance(0.5)) run.killAndStart();
      run.write(id!, 3000, size(run), run.random.chance(0.5));
      run.rest();
    },
  },
];

export interface HuntOptions {
  /** Called after all scenarios of a seed. */
  onSeed?: (hunt: Hunt, seed: number) => void;
  /** Name of the scenario to begin with; the others keep their order. */
  first?: string;
}

/** Runs scenarios under one seed after the other until `images` distinct images were seen, or something is found. */
export function hunt(
  images: number,
  perMoment: number,
  makeDisk: MakeDisk = (options) => new WatchedDisk(options),
  { onSeed, first }: HuntOptions = {},
): Hunt {
  const result = new Hunt(perMoment);
  const scenarios = SCENARIOS.toSorted((a, b) => Number(b.name === first) - Number(a.name === first));
  for (let seed = 1; result.seen.size < images && result.problems.length === 0; seed += 1) {
    for (const { name, settings, run } of scenarios) {
      if (result.problems.length === 0) run(new Run(result, name, seed, makeDisk, settings ?? {}));
    }
    onSeed?.(result, seed);
  }
  return result;
}
