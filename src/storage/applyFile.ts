/**
 * APPLY: the last applied raft index as decimal text (`storage.md` 3.3).
 */
import { join } from 'node:path';
import type { Disk } from './io.js';
import { FILE } from './layout.js';
import { readWholeFile, replaceFile } from './wholeFile.js';

const APPLY_BYTES_MAX = 4096;
/** As the reference makes the file. */
export const APPLY_MODE = 0o755;
const ENOENT = 2;

/** The applied index and, when it was assumed, why. A missing file is 0 and no error. */
export interface AppliedIndex {
  index: number;
  problem: string | null;
}

/** Reads APPLY of the partition folder as `scanf("%d")` would; what cannot be read counts as 0 with the problem told. */
export function readApply(disk: Disk, folder: string): AppliedIndex {
  const path = join(folder, FILE.apply);
  const bytes = readWholeFile(disk, path, APPLY_BYTES_MAX);
  if (bytes === -ENOENT) return { index: 0, problem: null };
  if (typeof bytes === 'number') return { index: 0, problem: `read ${path}: ${disk.errnoText(bytes)}` };
  return decodeApply(bytes);
}

/** Leading blanks are skipped, digits read, the rest ignored. */
export function decodeApply(bytes: Uint8Array): AppliedIndex {
  if (bytes.byteLength === 0) return { index: 0, problem: '[loadApplyIndex]: ApplyIndex is empty' };
  const digits = /^\s*\+?(\d+)/.exec(Buffer.from(bytes).toString('latin1'));
  const index = Number(digits?.[1] ?? Number.NaN);
  if (!Number.isSafeInteger(index)) return { index: 0, problem: 'ApplyIndex is no number' };
  return { index, problem: null };
}

/** Saves APPLY: temporary file, fdatasync, rename, folder fsync. 0 or a negated errno. The caller has synced what the index covers (W4). */
export function writeApply(disk: Disk, folder: string, index: number): number {
  return replaceFile(disk, join(folder, FILE.apply), Buffer.from(String(index)), APPLY_MODE);
}
