/**
 * Bugs planted in raft, one at a time, for the time of one run: a disk that does not do what it was asked, or a method of the production that does something else. The production
 * has no switch for them. `docs/plantedBugs.md` lists them with what must find them.
 */
import type { PlantedDisk } from '../../crash/plantedBugs.js';
import type { PlantedParts } from './cluster.js';
import { Patches } from './patches.js';
import { APPLY_BUGS } from './plantedApplying.js';
import { DISK_BUGS } from './plantedDisks.js';
import { ELECTION_BUGS } from './plantedElections.js';
import { READ_BUGS } from './plantedReads.js';
import { REPLICATION_BUGS } from './plantedReplication.js';
import { RunFailed, runSeed, type Setting } from './run.js';
import { STORMY } from './settings.js';
import { newRoot } from './template.js';

export interface PlantedRaftBug {
  name: string;
  /** What goes wrong, and how that was brought about; for the page. */
  breaks: string;
  planted: string;
  /** What must name it, and with which words a run ends that shows it. */
  invariant: string;
  finding: RegExp;
  /** The first seed of its setting that shows it, counted from 1. */
  seed: number;
  /** Where the setting of CI has too little of something. */
  setting?: Setting;
  disk?: PlantedDisk;
  patch?: (patches: Patches) => void;
}

export const PLANTED_RAFT_BUGS: readonly PlantedRaftBug[] = [
  ...DISK_BUGS,
  ...ELECTION_BUGS,
  ...REPLICATION_BUGS,
  ...APPLY_BUGS,
  ...READ_BUGS,
];

/** How a run is made wrong; not at all without disk and patch. */
export type Planting = Pick<PlantedRaftBug, 'setting' | 'disk' | 'patch'>;

/** Runs one seed with a bug in it. What the run ended with; null when it came to its end. */
export function runPlanted({ setting = STORMY, disk: Disk, patch }: Planting, seed: number): Error | null {
  // Made once and kept: never by wrong code.
  for (const share of ['whole', 'part', 'none'] as const) newRoot(share, [1]);
  const planted: PlantedParts =
    Disk === undefined ? {} : { makeDisk: (options, root) => new Disk(options, root) };
  const patches = new Patches();
  try {
    patch?.(patches);
    runSeed(seed, { setting, planted });
    return null;
  } catch (error) {
    if (!(error instanceof RunFailed)) throw error;
    return error.cause as Error;
  } finally {
    patches.restore();
  }
}
