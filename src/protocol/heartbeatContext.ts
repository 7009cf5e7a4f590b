/**
 * The list of groups in a heartbeat (`raft.md` 3.5): ids in ascending order, each as the difference from the one before it, as unsigned LEB128. Bytes only.
 */
import type { Decoded } from './jsonText.js';
import { SAFE_INTEGERS, type Uint64, type Uint64Form } from './uint64Form.js';

/** Groups that one heartbeat may name: some thousand partitions a node are usual, and an id takes one byte of a message and eight here. */
export const HEARTBEAT_GROUPS_MAX = 1_000_000;

const VARINT_BYTES_MAX = 10;
/** Where lists are written before their length is known; grows to the longest one. */
let scratch = new Uint8Array(1024);

/** Ids in any order. */
export function encodeHeartbeatContext(
  groups: readonly Uint64[],
  form: Uint64Form<Uint64> = SAFE_INTEGERS,
): Uint8Array {
  // A node lists the same groups, in the same order, at every tick.
  const ascending = isAscending(groups) ? groups : groups.toSorted((a, b) => (a < b ? -1 : Number(a > b)));
  const bytesMax = ascending.length * VARINT_BYTES_MAX;
  if (scratch.byteLength < bytesMax) scratch = new Uint8Array(bytesMax);
  const bytes = scratch;
  let at = 0;
  let lastHigh = 0;
  let lastLow = 0;
  for (const group of ascending) {
    const high = form.highOf(group);
    const low = form.lowOf(group);
    at = writeVarint(bytes, at, high - lastHigh - Number(low < lastLow), (low - lastLow) >>> 0);
    lastHigh = high;
    lastLow = low;
  }
  return bytes.slice(0, at);
}

function isAscending(groups: readonly Uint64[]): boolean {
  for (let i = 1; i < groups.length; i += 1) if (groups[i - 1]! > groups[i]!) return false;
  return true;
}

/** Writes one number; returns the offset behind it. */
function writeVarint(bytes: Uint8Array, offset: number, high: number, low: number): number {
  let at = offset;
  let upper = high;
  let lower = low;
  while (upper > 0 || lower >= 0x80) {
    bytes[at] = (lower & 0x7f) | 0x80;
    at += 1;
    lower = ((lower >>> 7) | (upper << 25)) >>> 0;
    upper >>>= 7;
  }
  bytes[at] = lower;
  return at + 1;
}

/** The ids, ascending. Refuses a number that is cut off, one of more than 64 bits, an id that is no safe integer, and more than `HEARTBEAT_GROUPS_MAX`. */
export function decodeHeartbeatContext(bytes: Uint8Array): Decoded<number[]> {
  return readHeartbeatContext(bytes, SAFE_INTEGERS);
}

/** The same, ids in any form. */
export function readHeartbeatContext<U extends Uint64>(bytes: Uint8Array, form: Uint64Form<U>): Decoded<U[]> {
  const groups: U[] = [];
  const varint = new Varint();
  let high = 0;
  let low = 0;
  for (let at = 0; at < bytes.byteLength; at += varint.byteCount) {
    const fault = varint.read(bytes, at);
    if (fault !== null) return { ok: false, message: `group ${groups.length} of the heartbeat: ${fault}` };
    const sum = low + varint.low;
    low = sum >>> 0;
    high += varint.high + Number(sum > 0xffff_ffff);
    const group = high > 0xffff_ffff ? null : form.fromWords(high, low);
    if (group === null)
      return { ok: false, message: `group ${groups.length} of the heartbeat: its id is too large` };
    if (groups.length === HEARTBEAT_GROUPS_MAX)
      return { ok: false, message: `heartbeat of more than ${HEARTBEAT_GROUPS_MAX} groups` };
    groups.push(group);
  }
  return { ok: true, value: groups };
}

/** One number of up to 64 bits while it is read. */
class Varint {
  high = 0;
  low = 0;
  /** Bytes that the last one took. */
  byteCount = 0;

  /** Reads the number at `offset`; null, or what is wrong with it. */
  read(bytes: Uint8Array, offset: number): string | null {
    this.high = 0;
    this.low = 0;
    for (let count = 0; count < VARINT_BYTES_MAX; count += 1) {
      const byte = bytes[offset + count];
      if (byte === undefined) return 'its number is cut off';
      if (count === VARINT_BYTES_MAX - 1 && byte > 1) break;
      this.#add(byte & 0x7f, 7 * count);
      this.byteCount = count + 1;
      if (byte < 0x80) return null;
    }
    return 'its number has more than 64 bits';
  }

  /** Puts seven bits in place. */
  #add(bits: number, shift: number): void {
    if (shift < 32) {
      this.low = (this.low | (bits << shift)) >>> 0;
      if (shift > 25) this.high = bits >>> (32 - shift);
    } else {
      this.high = (this.high | (bits << (shift - 32))) >>> 0;
    }
  }
}
