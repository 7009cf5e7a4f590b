/**
 * Extent records as they travel: the bodies of OpGetAllWatermarks and of repair tasks (`wire.md` 9.5), and the `/partition` and `/extent` answers.
 */
import {
  bool,
  decodeBody,
  encodeBody,
  i64,
  type JsonCodec,
  list,
  struct,
  text,
  u32,
  u64,
} from './jsonCodec.js';
import type { Decoded } from './jsonText.js';

/** One extent as a peer sees it. */
export interface ExtentInfo {
  fileId: number;
  /** Bytes; page-aligned for tiny extents, the target size in a repair task. */
  size: number;
  /** CRC over the block CRCs (`admin.md` 5.6); 0 where unknown, and for tiny extents. */
  crc: number;
  deleted: boolean;
  /** Unix seconds; 0 for tiny extents. */
  modTime: number;
  /** Address to copy from, in a repair task. */
  source: string;
}

/** 60,000 is where a partition refuses more extents; the rest is room for peers with other limits. */
export const EXTENT_LIST_MAX = 100_000;
/** Ids of tiny extents are 1..64; a list that names one twice is still harmless. */
export const TINY_ID_LIST_MAX = 1024;
/** `ip:port`, with room for names. */
export const ADDRESS_CHARACTERS_MAX = 260;

/** Mind the capital C of `Crc`. */
export const extentInfo: JsonCodec<ExtentInfo> = struct<ExtentInfo>({
  fileId: ['fileId', u64],
  size: ['size', u64],
  crc: ['Crc', u32],
  deleted: ['deleted', bool],
  modTime: ['modTime', i64],
  source: ['src', text(ADDRESS_CHARACTERS_MAX)],
});

const extentList = list(extentInfo, EXTENT_LIST_MAX);
const tinyIdList = list(u64, TINY_ID_LIST_MAX);

/** Body of a watermark reply; `[]` when there are none. */
export function encodeExtentList(extents: ExtentInfo[]): Uint8Array {
  return encodeBody(extentList, extents);
}

/** Parses the body of a watermark reply. */
export function decodeExtentList(body: Uint8Array): Decoded<ExtentInfo[]> {
  return decodeBody(extentList, body);
}

/** Body of a watermark request for tiny extents: `[1,2,3]`. */
export function encodeTinyIds(ids: number[]): Uint8Array {
  return encodeBody(tinyIdList, ids);
}

/** Parses the body of a watermark request for tiny extents. */
export function decodeTinyIds(body: Uint8Array): Decoded<number[]> {
  return decodeBody(tinyIdList, body);
}
