/**
 * Runs of the storage code on a watched disk: each is crashed at every barrier, after every turn, and between any two writes.
 *
 * What a run writes does not depend on its seed, so that images of two seeds differ only where something else happened.
 */
import type { StoreSettings } from '../../src/partition/storeHost.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { pattern } from '../partition/storeRig.js';
import { Hunt, type MakeDisk, Run } from './crashRun.js';
import type { SentHeal } from './promises.js';
import { WatchedDisk } from './watchedDisk.js';

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

function healOneBlock(run: Run, hasChecksum: boolean): SentHeal {
  run.createPartition(7);
  const [id] = run.extents(1);
  const { before, after } = run.differing(id!, hasChecksum);
  const heal = run.heal(id!, before, after);
  run.go();
  return heal;
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
    name: 'a block is healed, and written to again',
    run: (run) => {
      const heal = healOneBlock(run, true);
      heal.writtenOver = true;
      run.rig.sendWrite(heal.extentId, run.random.below(BLOCK_BYTES - 9000), pattern(700, 5));
      run.go();
      run.rest();
    },
  },
  {
    name: 'a block without a checksum is healed',
    run: (run) => void healOneBlock(run, false),
  },
  {
    name: 'a heal is torn, another block of the extent is healed, and then the first one again',
    run: (run) => {
      run.createPartition(7);
      const [id] = run.extents(1);
      const first = run.differing(id!, false);
      const second = run.differing(id!, true, BLOCK_BYTES);
      run.disk.addFault({ call: 'pwrite', path: new RegExp(`/${id}$`), shortBytes: 700, count: 1 });
      run.heal(id!, first.before, first.after);
      run.go();
      run.heal(id!, second.before, second.after, BLOCK_BYTES);
      run.go();
      const torn = Uint8Array.from([...first.after.subarray(0, 700), ...first.before.subarray(700)]);
      run.heal(id!, torn, first.after);
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
  /** 1 unless given: hunts beside each other see different images. */
  firstSeed?: number;
}

/** Runs scenarios under one seed after the other until `images` distinct images were seen, or something is found. */
export function hunt(
  images: number,
  perMoment: number,
  makeDisk: MakeDisk = (options) => new WatchedDisk(options),
  { onSeed, first, firstSeed = 1 }: HuntOptions = {},
): Hunt {
  const result = new Hunt(perMoment);
  const scenarios = SCENARIOS.toSorted((a, b) => Number(b.name === first) - Number(a.name === first));
  for (let seed = firstSeed; result.seen.size < images && result.problems.length === 0; seed += 1) {
    for (const { name, settings, run } of scenarios) {
      if (result.problems.length === 0) run(new Run(result, name, seed, makeDisk, settings ?? {}));
    }
    onSeed?.(result, seed);
  }
  return result;
}
