/**
 * The random-write command: what raft carries for OpRandomWrite and OpSyncRandomWrite (`storage.md` 16, `raft.md` 5.1).
 *
 * Written by the partition that proposes, read by every replica that applies. Old commands in JSON are understood, never written.
 */
import { ERROR_TEXT } from './errors.js';
import { readInt64, readUint64, writeInt64 } from './header.js';
import { decodeBody, struct, text, u32 } from './jsonCodec.js';
import type { Decoded } from './jsonText.js';

/** First word of a command in the current format. */
export const BINARY_MARSHAL_MAGIC_VERSION = 0xff;
/** Bytes before the data: version 4, opcode 1, extent id 8, offset 8, size 8, CRC 4. */
export const RAND_WRITE_HEADER_BYTES = 33;
/** Bytes before the data in an old command: the same from the extent id on. */
const OLD_HEADER_BYTES = 28;

export interface RandWriteCommand {
  /** 0x0F, or 0x12: durable before it counts as applied. */
  opcode: number;
  extentId: number;
  extentOffset: number;
  sizeBytes: number;
  /** CRC-32 of the data, as the client sent it. */
  crc: number;
  /** View of the raw command, `sizeBytes` long. */
  data: Uint8Array;
  /** False when id or offset does not fit a safe integer; no such extent can exist here. */
  exact: boolean;
}

/** Writes the 33 bytes before the data. */
export function writeRandWriteHeader(
  view: DataView,
  offset: number,
  opcode: number,
  extentId: number,
  extentOffset: number,
  sizeBytes: number,
  crc: number,
): void {
  view.setUint32(offset, BINARY_MARSHAL_MAGIC_VERSION);
  view.setUint8(offset + 4, opcode);
  writeInt64(view, offset + 5, extentId);
  writeInt64(view, offset + 13, extentOffset);
  writeInt64(view, offset + 21, sizeBytes);
  view.setUint32(offset + 29, crc);
}

/** A complete command. */
export function marshalRandWriteRaftLog(
  opcode: number,
  extentId: number,
  extentOffset: number,
  data: Uint8Array,
  crc: number,
): Uint8Array {
  const raw = new Uint8Array(RAND_WRITE_HEADER_BYTES + data.byteLength);
  writeRandWriteHeader(new DataView(raw.buffer), 0, opcode, extentId, extentOffset, data.byteLength, crc);
  raw.set(data, RAND_WRITE_HEADER_BYTES);
  return raw;
}

/**
 * Reads a command in either format. Fewer data bytes than its size are refused, where the reference fills up with zeros; surplus bytes are ignored.
 * Messages are the reference's: `EOF` where a field is missing, `unexpected EOF` where it is cut.
 */
export function unmarshalRandWriteRaftLog(raw: Uint8Array): Decoded<RandWriteCommand> {
  if (raw.byteLength < 4) return endOfInput(raw.byteLength, 0);
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  if (view.getUint32(0) !== BINARY_MARSHAL_MAGIC_VERSION) return unmarshalOldVersionRaftLog(raw);
  if (raw.byteLength < 5) return endOfInput(raw.byteLength, 4);
  return readFields(raw, 5, view.getUint8(4));
}

interface RaftCommandItem {
  op: number;
  key: string;
  value: string;
}

/** Base64 of a command of 128 KiB is 175,000 characters; the cap is far above and far below what could hurt. */
const BASE64_CHARACTERS_MAX = 16 * 1024 * 1024;

const raftCommandItem = struct<RaftCommandItem>({
  op: ['op', u32],
  key: ['k', text(BASE64_CHARACTERS_MAX)],
  value: ['v', text(BASE64_CHARACTERS_MAX)],
});

/** Reads an old command: `{"op":15,"k":..,"v":"<base64>"}`; the opcode is the low byte of `op`. */
export function unmarshalOldVersionRaftLog(raw: Uint8Array): Decoded<RandWriteCommand> {
  const item = decodeBody(raftCommandItem, raw);
  if (!item.ok) return item;
  const { op, value } = item.value;
  if (value.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(value)) {
    return { ok: false, message: 'v: illegal base64 data' };
  }
  return unmarshalOldVersionRandWriteOpItem(Buffer.from(value, 'base64'), op & 0xff);
}

/** Reads the value of an old command: the fields from the extent id on. The opcode stands outside of it. */
export function unmarshalOldVersionRandWriteOpItem(
  raw: Uint8Array,
  opcode: number,
): Decoded<RandWriteCommand> {
  return readFields(raw, 0, opcode);
}

/** Ends of the fields that follow the opcode, relative to the extent id. */
const FIELD_ENDS = [8, 16, 24, OLD_HEADER_BYTES];

function readFields(raw: Uint8Array, at: number, opcode: number): Decoded<RandWriteCommand> {
  const available = raw.byteLength - at;
  if (available < OLD_HEADER_BYTES) {
    const fieldStart = FIELD_ENDS.findLast((end) => end <= available) ?? 0;
    return endOfInput(available, fieldStart);
  }
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const extentId = readUint64(view, at);
  const extentOffset = readInt64(view, at + 8);
  const sizeBytes = readInt64(view, at + 16);
  if (sizeBytes < 0) return { ok: false, message: `negative size ${sizeBytes}` };
  const dataAt = at + OLD_HEADER_BYTES;
  const dataBytes = raw.byteLength - dataAt;
  // NaN, a size beyond 2^53, is not `<=` either.
  if (!(sizeBytes <= dataBytes)) return endOfInput(dataBytes, 0);
  return {
    ok: true,
    value: {
      opcode,
      extentId,
      extentOffset,
      sizeBytes,
      crc: view.getUint32(at + 24),
      data: raw.subarray(dataAt, dataAt + sizeBytes),
      exact: extentId >= 0 && !Number.isNaN(extentOffset),
    },
  };
}

/** What Go's readers say when input ends at `available` while reading a field that begins at `fieldStart`. */
function endOfInput(available: number, fieldStart: number): { ok: false; message: string } {
  return { ok: false, message: available === fieldStart ? ERROR_TEXT.eof : ERROR_TEXT.unexpectedEof };
}
