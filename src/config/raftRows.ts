/**
 * The rows of `raft.*` in the table of settings (`settingRows.ts`).
 */
import type { Setting } from './settingRows.js';

const MiB = 1024 * 1024;

export const RAFT_ROWS: readonly Setting[] = [
  {
    key: 'raft.journalSegmentBytes',
    field: 'raftJournalSegmentBytes',
    kind: 'integer',
    min: 1 * MiB,
    max: 256 * MiB,
    unit: 'bytes',
    effect:
      'Length of the files of the raft journal, one of which each worker writes at its first start and up to four of which it uses. In whole pages of 4096.',
  },
];
