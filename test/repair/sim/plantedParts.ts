/** What a bug that is planted in replication or repair says of itself; `plantedRepairBugs.ts` runs them. */
import type { Patches } from '../../raft/sim/patches.js';

export interface PlantedRepairBug {
  readonly name: string;
  /** What goes wrong, and how that was brought about; for the page. */
  readonly breaks: string;
  readonly planted: string;
  /** With which words a run ends that shows it. */
  readonly finding: RegExp;
  /** The first seed that shows it, counted from 1. */
  readonly seed: number;
  patch(patches: Patches): void;
}

/** Contents are not what they were acknowledged as, or differ. */
export const LOST = /is acknowledged, and not|: is not any more|differs at \d+ on|is missing in a replica/;
