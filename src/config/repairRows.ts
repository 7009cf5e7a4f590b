/** The settings below `extentd.repair`, rows of the table in `settingRows.ts`. */
import type { Setting } from './settingRows.js';

const MiB = 1024 * 1024;

export const REPAIR_ROWS: readonly Setting[] = [
  {
    key: 'repair.enabled',
    field: 'repairEnabled',
    kind: 'boolean',
    unit: '-',
    effect:
      'Run rounds of repair for the partitions of which this node is the first host, and heal damaged blocks of its replicas; tasks of other nodes are carried out in any case.',
  },
  {
    key: 'repair.roundsPerDisk',
    field: 'repairRoundsPerDisk',
    kind: 'integer',
    min: 1,
    max: 64,
    unit: 'rounds',
    effect: 'Rounds of repair that run on one disk at one time; as many tasks of other nodes beside them.',
  },
  {
    key: 'repair.rounds',
    field: 'repairRounds',
    kind: 'integer',
    min: 1,
    max: 1_024,
    unit: 'rounds',
    effect: 'Rounds of repair that run on the whole node at one time.',
  },
  {
    key: 'repair.fetchesPerRound',
    field: 'repairFetchesPerRound',
    kind: 'integer',
    min: 1,
    max: 64,
    unit: 'extents',
    effect: 'Extents that one round or task fetches at one time.',
  },
  {
    key: 'repair.bytesPerSecond',
    field: 'repairBytesPerSecond',
    kind: 'integer',
    min: 0,
    max: 1_024 * 1_024 * MiB,
    unit: 'bytes/s',
    effect:
      'Bytes that the whole node fetches from other replicas, at most; 0 is no limit beside those of its disks.',
  },
];
