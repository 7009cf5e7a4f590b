/**
 * Bits of durable data turned over while a node is down. Only where the production can know that something is gone: a loss that looks like a write that never came to
 * its end is beyond what any log can tell.
 */
import { constants } from 'node:fs';
import { native } from '../../../src/native/addon.js';
import { listSegments, readEmptyMark } from '../../../src/raft/journalFiles.js';
import {
  FRAME_ALIGN_BYTES,
  FRAME_HEADER_BYTES,
  isWholeFrame,
  readFrameHeader,
} from '../../../src/raft/journalFrame.js';
import { type FoundJournal, readJournals } from '../../../src/raft/journalReader.js';
import { GroupPlan } from '../../../src/raft/journalReplay.js';
import { parseLogFileName } from '../../../src/raft/logFile.js';
import { RECORD_OVERHEAD_BYTES } from '../../../src/raft/records.js';
import { walkRecords } from '../../../src/raft/recovery.js';
import { readApply } from '../../../src/storage/applyFile.js';
import type { Random } from '../../sim/random.js';
import type { SimDisk } from '../../sim/simDisk.js';
import { DISK_ROOT, GROUP, JOURNAL_FOLDER } from './simNode.js';
import { partitionPath } from './template.js';

/** What was done; `loses`: more than the journal can bring back. */
export interface Damage {
  what: string;
  loses: boolean;
}

interface Place {
  path: string;
  offset: number;
  byteLength: number;
}

/** Turns a bit of a needed frame that has a whole one behind it. Null when there is none. */
export function damageJournal(disk: SimDisk, random: Random): Damage | null {
  const frames = neededFrames(disk);
  if (frames.length < 2) return null;
  const frame = frames[random.below(frames.length - 1)]!;
  return { what: `damages frame ${frame.number}: ${turnBit(disk, frame, random)}`, loses: true };
}

/** Turns a bit of the last record in the folder of the log. Null when nobody could notice that it is gone. */
export function damageLogTail(disk: SimDisk, random: Random): Damage | null {
  const partition = partitionPath(disk);
  const record = lastRecord(disk, `${partition}/wal_${GROUP}`);
  const journals = readJournals(disk, `${DISK_ROOT}/.extentd.raft`, native.crc32c);
  if (record === null || typeof journals === 'string') return null;
  const [journal] = journals;
  const keepBelow = journal === undefined ? null : keepBelowOf(journal);
  const comesBack = keepBelow !== null && record.index >= keepBelow;
  if (!comesBack && record.index > readApply(disk, partition).index) return null;
  return {
    what: `damages log record ${record.index}: ${turnBit(disk, record, random)}`,
    loses: !comesBack,
  };
}

/** The index from which on the journal replaces what the folder has; null when it has no entries. */
function keepBelowOf(journal: FoundJournal): number | null {
  const summary = journal.groups.get(GROUP);
  if (summary === undefined) return null;
  const plan = new GroupPlan(summary, journal.gaps);
  walkRecords(journal, (group, record, place) => {
    if (group === GROUP) plan.take(record, place);
  });
  return plan.keepBelow;
}

/** Frames behind the mark, from the tail of the last one on, in order. */
function neededFrames(disk: SimDisk): (Place & { number: number })[] {
  const mark = readEmptyMark(disk, JOURNAL_FOLDER, native.crc32c);
  const segments = listSegments(disk, JOURNAL_FOLDER);
  if ('reason' in mark || typeof segments === 'number') return [];
  const found: (Place & { number: number; tail: number })[] = [];
  for (const { path } of segments) {
    const bytes = disk.content(path);
    for (let offset = 0; offset < bytes.byteLength; offset += FRAME_ALIGN_BYTES) {
      const header = readFrameHeader(bytes, offset);
      if (header === null || header.number <= mark.frame) continue;
      if (!isWholeFrame(bytes, offset, header, native.crc32c)) continue;
      const { number, tail, payloadBytes } = header;
      found.push({ path, offset, byteLength: FRAME_HEADER_BYTES + payloadBytes, number, tail });
    }
  }
  found.sort((a, b) => a.number - b.number);
  const tail = found.at(-1)?.tail ?? 0;
  return found.filter(({ number }) => number >= tail);
}

/** The last record that is whole as far as lengths go, in the last file of the folder. */
function lastRecord(disk: SimDisk, folder: string): (Place & { index: number }) | null {
  const entries = disk.scan(folder);
  if (typeof entries === 'number') return null;
  const named = entries.flatMap(({ name }) => {
    const told = parseLogFileName(name);
    return told === null ? [] : [{ path: `${folder}/${name}`, seq: told.seq }];
  });
  const last = named.sort((a, b) => a.seq - b.seq).at(-1);
  if (last === undefined) return null;
  const bytes = disk.content(last.path);
  const view = new DataView(bytes.buffer);
  let found: (Place & { index: number }) | null = null;
  for (let offset = 0; offset + RECORD_OVERHEAD_BYTES < bytes.byteLength; ) {
    const byteLength = view.getUint32(offset + 5) + RECORD_OVERHEAD_BYTES;
    if (bytes[offset] !== 1 || offset + byteLength > bytes.byteLength) break;
    // Behind type and length of the record, and type and term of the entry.
    found = { path: last.path, offset, byteLength, index: Number(view.getBigUint64(offset + 18)) };
    offset += byteLength;
  }
  return found;
}

function turnBit(disk: SimDisk, { path, offset, byteLength }: Place, random: Random): string {
  const fd = disk.open(path, constants.O_RDWR, 0);
  const at = offset + random.below(byteLength);
  const byte = new Uint8Array(1);
  disk.read(fd, byte, at);
  byte[0] = byte[0]! ^ (1 << random.below(8));
  disk.write(fd, byte, at);
  disk.fdatasync(fd);
  disk.close(fd);
  return `${path} byte ${at}`;
}
