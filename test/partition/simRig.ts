/**
 * A `StoreRig` on a simulated disk with an empty root `/d`, and its next lives after a crash.
 */
import { closePartition } from '../../src/partition/diskLoad.js';
import type { StoreSettings } from '../../src/partition/storeHost.js';
import { SimClock } from '../sim/simClock.js';
import { SimDisk, type SimDiskOptions } from '../sim/simDisk.js';
import { BATCH_CAPACITY, rigRegions, type Sent, StoreRig } from './storeRig.js';

export const ROOT = '/d';

/** Runs everything to its end; gives back what was sent, with its answer. */
export function run(rig: SimRig, sent: Sent): Sent {
  rig.run();
  return sent;
}

export class SimRig extends StoreRig {
  readonly sim: SimDisk;
  readonly simClock: SimClock;

  private constructor(
    sim: SimDisk,
    clock: SimClock,
    regions: Uint8Array[],
    settings: Partial<StoreSettings>,
  ) {
    super(sim, clock, regions, settings);
    this.sim = sim;
    this.simClock = clock;
  }

  /** The first process on an empty disk, which `makeDisk` makes. */
  static start(
    settings: Partial<StoreSettings> = {},
    seed = 1,
    makeDisk: (options: SimDiskOptions) => SimDisk = (options) => new SimDisk(options),
  ): SimRig {
    const regions = rigRegions();
    const clock = new SimClock();
    const sim = makeDisk({ regions, seed, batchCapacity: BATCH_CAPACITY, nowMs: () => clock.nowMs() });
    sim.mkdir(ROOT, 0o755);
    sim.fsyncFolder('/');
    return new SimRig(sim, clock, regions, settings);
  }

  /** Runs everything to its end. */
  run(): void {
    this.settle(() => this.sim.step());
  }

  /** Syncs and closes all partitions; returns the problems. */
  stop(): string[] {
    this.run();
    const problems: string[] = [];
    for (const partition of this.partitions.values()) {
      const outcome = closePartition(this.stores, partition);
      if (!outcome.ok) problems.push(outcome.message);
    }
    this.partitions.clear();
    return problems;
  }

  /** The next process on a disk, with nothing loaded. */
  bare(disk: SimDisk): SimRig {
    return new SimRig(disk, this.simClock, [...this.regions], this.settings);
  }

  /** The next process on a disk, with its partitions loaded. */
  next(disk: SimDisk): SimRig {
    const rig = this.bare(disk);
    rig.load(ROOT);
    return rig;
  }
}
