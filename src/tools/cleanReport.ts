/**
 * What EXTENT_CLEAN of a partition's folder says of its extents, for the tools: which checksums are certain (`docs/checksums.md`).
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { CLEAN_KIND, decodeStamp, isHealing, openCleanFile, readCleanEntries } from '../storage/cleanFile.js';
import { BASE_BYTES, EXTENT_META_BYTES } from '../storage/extentMeta.js';
import type { Disk, FolderEntry } from '../storage/io.js';
import { FILE, isTinyExtent, parseExtentName } from '../storage/layout.js';

/**
 * What the checksums of an extent are worth. `clean`: right after any crash; `damaged`: so are they, and a block was found that differs; `broken`: an fdatasync of the
 * extent has failed; `own`: extentd wrote them, and a loss of power may have left a wrong one; `foreign`: a Go node wrote them, which leaves a wrong one now and then.
 */
export type ChecksumState = 'clean' | 'damaged' | 'broken' | 'own' | 'foreign';

export interface CleanReport {
  /** `void`: it is of before a Go node opened the folder, torn, or of another version; nothing in it counts. */
  state: 'none' | 'void' | 'valid';
  /** Extents from this id on were created by extentd; null unless valid. */
  ownFrom: number | null;
  clean: number;
  damaged: number;
  broken: number;
}

export interface CleanView {
  report: CleanReport;
  /** Of a normal extent of the folder. */
  stateOf(extentId: number): ChecksumState;
}

/** Reads EXTENT_CLEAN of the folder at `path`, whose entries are `entries`. */
export function readCleanView(disk: Disk, path: string, entries: readonly FolderEntry[]): CleanView {
  const { fd, header } = openCleanFile(disk, path, markOf(disk, path), constants.O_RDONLY);
  const report: CleanReport = {
    ...{ state: 'none', ownFrom: null, clean: 0, damaged: 0, broken: 0 },
  };
  const states = new Map<number, ChecksumState>();
  if (header !== null) {
    const files = new Map<number, FolderEntry>();
    for (const entry of entries) {
      const id = entry.kind === 'file' ? parseExtentName(entry.name) : -1;
      if (id >= 0 && !isTinyExtent(id)) files.set(id, entry);
    }
    const ids = Float64Array.from(files.keys()).sort();
    readCleanEntries(disk, fd, header.stamp, ids, (id, { kind, sizeBytes, mtimeMs }) => {
      const file = files.get(id)!;
      const same = file.sizeBytes === sizeBytes && Math.floor(file.mtimeMs) === mtimeMs;
      const lasting = kind === CLEAN_KIND.broken || isHealing(kind);
      if (!same && !lasting) return;
      const state = kind === CLEAN_KIND.broken ? 'broken' : kind === CLEAN_KIND.clean ? 'clean' : 'damaged';
      states.set(id, state);
      report[state] += 1;
    });
    report.ownFrom = header.ownFrom;
  }
  if (fd >= 0) {
    report.state = header === null ? 'void' : 'valid';
    disk.close(fd);
  }
  const ownFrom = header?.ownFrom ?? Number.POSITIVE_INFINITY;
  return { report, stateOf: (id) => states.get(id) ?? (id >= ownFrom ? 'own' : 'foreign') };
}

/** The stamp in EXTENT_META, 0 when there is none. */
function markOf(disk: Disk, path: string): number {
  const fd = disk.open(join(path, FILE.extentMeta), constants.O_RDONLY, 0);
  if (fd < 0) return 0;
  const bytes = new Uint8Array(EXTENT_META_BYTES);
  const got = disk.read(fd, bytes, 0);
  disk.close(fd);
  return got === EXTENT_META_BYTES ? decodeStamp(bytes, BASE_BYTES) : 0;
}
