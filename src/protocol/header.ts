/**
 * The packet header: decode, encode, and in-place patches for replies (`wire.md` 2).
 *
 * Everyone who touches packet bytes uses this file: the server's framing, workers that fill in replies, peers and the packet generator.
 * Nothing here allocates. 64-bit fields are read as pairs of 32-bit words, because BigInt accessors cost 15-45 times more; fields that
 * nobody computes with (ReqID, KernelOffset) stay pairs and are echoed whole.
 *
 * A later protocol version has longer headers, told by flag bits of byte 1. `HeaderCodec` is the seam for it: callers ask the codec for the
 * header's length and never write 57 themselves.
 */
import assert from 'node:assert';

/** Bytes of a v1.4.0 header. */
export const HEADER_BYTES = 57;
/** First byte of each packet, both directions. */
export const MAGIC = 0xff;

/** ExtentType of a tiny extent's packet; also of queries and master ops. */
export const EXTENT_TYPE_TINY = 0;
/** ExtentType of a normal extent's packet. */
export const EXTENT_TYPE_NORMAL = 1;

/** Offsets of the fields inside the header (`wire.md` 2). */
export const HEADER_OFFSET = {
  magic: 0,
  extentType: 1,
  opcode: 2,
  resultCode: 3,
  remainingFollowers: 4,
  crc: 5,
  size: 9,
  argBytes: 13,
  partitionId: 17,
  extentId: 25,
  extentOffset: 33,
  reqId: 41,
  kernelOffset: 49,
} as const;

const RESULT_OK = 0xf0;
const TWO_32 = 0x1_0000_0000;
/** High words from here on make an unsigned 64-bit value larger than 2^53 - 1. */
const HIGH_UNSAFE = 0x20_0000;

/**
 * A decoded header; one object is reused for many packets.
 *
 * `exact` is false when partitionId, extentId or extentOffset does not fit a safe integer: the field then holds a rounded number and the
 * packet must be treated as naming something unknown. It can still be echoed, from its raw bytes.
 */
export class PacketHeader {
  magic = MAGIC;
  extentType = 0;
  opcode = 0;
  resultCode = 0;
  remainingFollowers = 0;
  /** CRC-32 IEEE, unsigned. */
  crc = 0;
  /** Bytes of body, or bytes wanted by a read request. */
  size = 0;
  /** Bytes of Arg. */
  argBytes = 0;
  partitionId = 0;
  extentId = 0;
  /** Signed on the wire. */
  extentOffset = 0;
  reqIdHigh = 0;
  reqIdLow = 0;
  kernelOffsetHigh = 0;
  kernelOffsetLow = 0;
  exact = true;
}

/** The seam for later header versions. */
export interface HeaderCodec {
  /** Bytes of the shortest header: with fewer there is nothing to ask. */
  readonly bytesMin: number;
  /** Bytes of the header that starts at `offset`; 0: it is not complete in the `available` bytes yet. */
  headerBytes(view: DataView, offset: number, available: number): number;
  /** Fills `into` from a complete header. `badMagic` leaves `into` as it was. */
  decode(view: DataView, offset: number, into: PacketHeader): 'ok' | 'badMagic';
  /** Writes a complete header. Asserts that ids and offset are safe integers. */
  encode(view: DataView, offset: number, header: PacketHeader): void;
}

/** The 57-byte header of v1.4.0. */
export const headerV1: HeaderCodec = {
  bytesMin: HEADER_BYTES,
  headerBytes(_view, _offset, available) {
    return available >= HEADER_BYTES ? HEADER_BYTES : 0;
  },
  decode(view, offset, into) {
    if (view.getUint8(offset) !== MAGIC) return 'badMagic';
    into.magic = MAGIC;
    into.extentType = view.getUint8(offset + 1);
    into.opcode = view.getUint8(offset + 2);
    into.resultCode = view.getUint8(offset + 3);
    into.remainingFollowers = view.getUint8(offset + 4);
    into.crc = view.getUint32(offset + 5);
    into.size = view.getUint32(offset + 9);
    into.argBytes = view.getUint32(offset + 13);
    const partitionHigh = view.getUint32(offset + 17);
    into.partitionId = partitionHigh * TWO_32 + view.getUint32(offset + 21);
    const extentHigh = view.getUint32(offset + 25);
    into.extentId = extentHigh * TWO_32 + view.getUint32(offset + 29);
    const extentOffset = view.getInt32(offset + 33) * TWO_32 + view.getUint32(offset + 37);
    into.extentOffset = extentOffset;
    into.reqIdHigh = view.getUint32(offset + 41);
    into.reqIdLow = view.getUint32(offset + 45);
    into.kernelOffsetHigh = view.getUint32(offset + 49);
    into.kernelOffsetLow = view.getUint32(offset + 53);
    into.exact =
      partitionHigh < HIGH_UNSAFE &&
      extentHigh < HIGH_UNSAFE &&
      extentOffset <= Number.MAX_SAFE_INTEGER &&
      extentOffset >= Number.MIN_SAFE_INTEGER;
    return 'ok';
  },
  encode(view, offset, header) {
    view.setUint8(offset, MAGIC);
    view.setUint8(offset + 1, header.extentType);
    view.setUint8(offset + 2, header.opcode);
    view.setUint8(offset + 3, header.resultCode);
    view.setUint8(offset + 4, header.remainingFollowers);
    view.setUint32(offset + 5, header.crc);
    view.setUint32(offset + 9, header.size);
    view.setUint32(offset + 13, header.argBytes);
    writeInt64(view, offset + 17, header.partitionId);
    writeInt64(view, offset + 25, header.extentId);
    writeInt64(view, offset + 33, header.extentOffset);
    view.setUint32(offset + 41, header.reqIdHigh);
    view.setUint32(offset + 45, header.reqIdLow);
    view.setUint32(offset + 49, header.kernelOffsetHigh);
    view.setUint32(offset + 53, header.kernelOffsetLow);
  },
};

/** Writes a safe integer as 8 bytes big endian, two's complement. */
export function writeInt64(view: DataView, offset: number, value: number): void {
  assert(Number.isSafeInteger(value), 'a 64-bit field must be a safe integer');
  view.setUint32(offset, Math.floor(value / TWO_32));
  view.setUint32(offset + 4, value);
}

/** Reads an unsigned 64-bit big-endian number; -1 when it is larger than 2^53 - 1. */
export function readUint64(view: DataView, offset: number): number {
  const high = view.getUint32(offset);
  return high < HIGH_UNSAFE ? high * TWO_32 + view.getUint32(offset + 4) : -1;
}

/** Reads a signed 64-bit big-endian number; NaN when it is not a safe integer. */
export function readInt64(view: DataView, offset: number): number {
  const value = view.getInt32(offset) * TWO_32 + view.getUint32(offset + 4);
  return Number.isSafeInteger(value) ? value : Number.NaN;
}

/** Turns the encoded header at `offset` into a reply's: the fields a reply changes, everything else stays as requested (`wire.md` 3.4). */
export function writeReplyFields(
  view: DataView,
  offset: number,
  resultCode: number,
  crc: number,
  sizeBytes: number,
  argBytes: number,
): void {
  view.setUint8(offset + 3, resultCode);
  view.setUint32(offset + 5, crc);
  view.setUint32(offset + 9, sizeBytes);
  view.setUint32(offset + 13, argBytes);
}

/** Puts an assigned extent id and offset into the encoded header at `offset`. */
export function writeExtent(view: DataView, offset: number, extentId: number, extentOffset: number): void {
  writeInt64(view, offset + 25, extentId);
  writeInt64(view, offset + 33, extentOffset);
}

/** Overwrites the partition id: create and membership replies carry the one of their JSON body (`wire.md` 3.4, exceptions). */
export function writePartitionId(view: DataView, offset: number, partitionId: number): void {
  writeInt64(view, offset + 17, partitionId);
}

/** Overwrites RemainingFollowers: 0 in everything a primary forwards (`wire.md` 7.2). */
export function writeRemainingFollowers(view: DataView, offset: number, count: number): void {
  view.setUint8(offset + 4, count);
}

/**
 * Writes the header of one stream-read data packet (`wire.md` 8.1) at `offset`: opcode, partition, extent and ReqID are copied from the raw
 * request header at `requestOffset` of `request`, so that ids of any size come back whole. The chunk's offset, CRC and bytes are given.
 */
export function writeStreamReadHeader(
  view: DataView,
  offset: number,
  request: DataView,
  requestOffset: number,
  extentOffset: number,
  crc: number,
  sizeBytes: number,
): void {
  view.setUint8(offset, MAGIC);
  view.setUint8(offset + 1, EXTENT_TYPE_NORMAL);
  view.setUint8(offset + 2, request.getUint8(requestOffset + 2));
  view.setUint8(offset + 3, RESULT_OK);
  view.setUint8(offset + 4, 0);
  view.setUint32(offset + 5, crc);
  view.setUint32(offset + 9, sizeBytes);
  view.setUint32(offset + 13, 0);
  for (let at = 17; at < 33; at += 4) view.setUint32(offset + at, request.getUint32(requestOffset + at));
  writeInt64(view, offset + 33, extentOffset);
  view.setUint32(offset + 41, request.getUint32(requestOffset + 41));
  view.setUint32(offset + 45, request.getUint32(requestOffset + 45));
  view.setUint32(offset + 49, 0);
  view.setUint32(offset + 53, 0);
}

/** The same as `writeStreamReadHeader`, from a decoded request, which must be `exact`. */
export function writeStreamReadHeaderOf(
  view: DataView,
  offset: number,
  request: PacketHeader,
  extentOffset: number,
  crc: number,
  sizeBytes: number,
): void {
  view.setUint8(offset, MAGIC);
  view.setUint8(offset + 1, EXTENT_TYPE_NORMAL);
  view.setUint8(offset + 2, request.opcode);
  view.setUint8(offset + 3, RESULT_OK);
  view.setUint8(offset + 4, 0);
  view.setUint32(offset + 5, crc);
  view.setUint32(offset + 9, sizeBytes);
  view.setUint32(offset + 13, 0);
  writeInt64(view, offset + 17, request.partitionId);
  writeInt64(view, offset + 25, request.extentId);
  writeInt64(view, offset + 33, extentOffset);
  view.setUint32(offset + 41, request.reqIdHigh);
  view.setUint32(offset + 45, request.reqIdLow);
  view.setUint32(offset + 49, 0);
  view.setUint32(offset + 53, 0);
}
