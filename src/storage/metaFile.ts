/**
 * META: who a partition is (`storage.md` 3.2). Read tolerantly, written byte for byte as the reference's serializer does.
 *
 * Used when a partition is created, loaded, or changes its members; never on a packet's way.
 */
import { join } from 'node:path';
import { ERROR_TEXT } from '../protocol/errors.js';
import { decodeBody, type JsonCodec, list, struct, text, u64 } from '../protocol/jsonCodec.js';
import type { Decoded } from '../protocol/jsonText.js';
import type { Disk } from './io.js';
import { FILE } from './layout.js';
import { readWholeFile, replaceFile } from './wholeFile.js';

export interface MetaPeer {
  id: number;
  addr: string;
}

/** The content of META. */
export interface PartitionMeta {
  volume: string;
  partitionId: number;
  sizeBytes: number;
  /** `YYYY-MM-DD hh:mm:ss`, local time. Kept as read: the reference overwrites it with the present at every save. */
  createTime: string;
  peers: MetaPeer[];
  /** In the order of creation: the first one was the primary then. */
  hosts: string[];
  /** 0 normal, 1 created by a decommission. */
  createType: number;
  /** Last raft index that the log was truncated to. */
  lastTruncateId: number;
}

export type MetaResult = Decoded<PartitionMeta>;

/** 255 hosts and peers of 300 bytes, twice over. */
const META_BYTES_MAX = 256 * 1024;
/** Members of a partition, and characters of a name or an address. */
const MEMBERS_MAX = 256;
const TEXT_MAX = 1024;

const peerCodec = struct<MetaPeer>({ id: ['id', u64], addr: ['addr', text(TEXT_MAX)] });
const metaCodec: JsonCodec<PartitionMeta> = struct<PartitionMeta>({
  volume: ['VolumeID', text(TEXT_MAX)],
  partitionId: ['PartitionID', u64],
  sizeBytes: ['PartitionSize', u64],
  createTime: ['CreateTime', text(TEXT_MAX)],
  peers: ['Peers', list(peerCodec, MEMBERS_MAX)],
  hosts: ['Hosts', list(text(TEXT_MAX), MEMBERS_MAX)],
  createType: ['DataPartitionCreateType', u64],
  lastTruncateId: ['LastTruncateID', u64],
});

/** Reads META of the partition folder; the message says what is wrong with it. */
export function readMeta(disk: Disk, folder: string): MetaResult {
  const path = join(folder, FILE.meta);
  const bytes = readWholeFile(disk, path, META_BYTES_MAX);
  if (typeof bytes === 'number') return { ok: false, message: `open ${path}: ${disk.errnoText(bytes)}` };
  return decodeMeta(bytes);
}

/** Saves META so that a crash leaves the old or the new one (W3). 0 or a negated errno. */
export function writeMeta(disk: Disk, folder: string, meta: PartitionMeta): number {
  return replaceFile(disk, join(folder, FILE.meta), Buffer.from(encodeMeta(meta)));
}

/** The JSON text: compact, fixed order of keys, peers by id. */
export function encodeMeta(meta: PartitionMeta): string {
  return metaCodec.encode({ ...meta, peers: meta.peers.toSorted((a, b) => a.id - b.id) });
}

/**
 * Reads the first JSON object of the bytes: a longer stale temporary file leaves garbage behind it (`storage.md` 18.7). Keys match in any case; unknown
 * keys are ignored. Numbers past 2^53 - 1 are refused rather than rounded.
 */
export function decodeMeta(bytes: Uint8Array): MetaResult {
  const decoded = decodeBody(metaCodec, bytes.subarray(0, firstObjectEnd(bytes)));
  if (!decoded.ok) return decoded;
  const meta = { ...decoded.value, volume: decoded.value.volume.trim() };
  const valid = meta.volume !== '' && meta.partitionId > 0 && meta.sizeBytes > 0;
  return valid ? { ok: true, value: meta } : { ok: false, message: ERROR_TEXT.illegalPartitionMetadata };
}

/** `YYYY-MM-DD hh:mm:ss` in local time. */
export function formatCreateTime(unixMs: number): string {
  const time = new Date(unixMs);
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** Index after the brace that closes the first object; the whole length when it is not closed. */
function firstObjectEnd(bytes: Uint8Array): number {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < bytes.length; i += 1) {
    const byte = bytes[i];
    if (inString) {
      if (byte === 0x5c) i += 1;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) {
      inString = true;
    } else if (byte === 0x7b) {
      depth += 1;
    } else if (byte === 0x7d) {
      depth -= 1;
      if (depth === 0) return i + 1;
    }
  }
  return bytes.length;
}
