/**
 * A copy of a folder in which holes stay holes and times stay times.
 */
import {
  closeSync,
  ftruncateSync,
  futimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Disk } from '../../src/storage/io.js';

/** Copies files and folders below `from` to the new folder `to`; `disk` finds the holes. */
export function sparseCopy(disk: Disk, from: string, to: string): void {
  mkdirSync(to);
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) sparseCopy(disk, source, target);
    else copyFile(disk, source, target);
  }
}

function copyFile(disk: Disk, source: string, target: string): void {
  const { size, atimeMs, mtimeMs } = statSync(source);
  const [input, output] = [openSync(source, 'r'), openSync(target, 'wx')];
  ftruncateSync(output, size);
  for (let at = disk.seekData(input, 0); at >= 0 && at < size; at = disk.seekData(input, at)) {
    const end = Math.min(size, disk.seekHole(input, at));
    const bytes = Buffer.alloc(end - at);
    readSync(input, bytes, 0, bytes.length, at);
    writeSync(output, bytes, 0, bytes.length, at);
    at = end;
  }
  futimesSync(output, atimeMs / 1000, mtimeMs / 1000);
  closeSync(input);
  closeSync(output);
}
