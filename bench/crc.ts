/**
 * CRC-32 (IEEE, zlib's) for the generator, two ways.
 *
 * `bodyCrc` checksums received bytes: with the addon where it is built, else with node's zlib, else with the tables below.
 * `crcOfWord` and `ZeroRun` work on the raw register, so that the checksum of a payload whose bytes are known except for a few stamps costs
 * some table look-ups instead of a pass over the payload: appending a constant tail of n bytes maps register r to `zeros_n(r) ^ tail`, where
 * `zeros_n` (appending n zero bytes) is linear.
 */
import * as zlib from 'node:zlib';

const POLYNOMIAL = 0xedb88320;

/** T[k * 256 + b]: byte b, followed by k zero bytes, from register 0. */
const tables = makeTables();

function makeTables(): Int32Array {
  const made = new Int32Array(4 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let register = byte;
    for (let bit = 0; bit < 8; bit++) register = (register >>> 1) ^ (register & 1 ? POLYNOMIAL : 0);
    made[byte] = register;
  }
  for (let index = 256; index < made.length; index++) {
    const before = made[index - 256]!;
    made[index] = (before >>> 8) ^ made[before & 255]!;
  }
  return made;
}

/** The register before the first byte, and what the last register is XORed with. */
export const CRC_START = -1;

/** Register after 4 more bytes, given as a little-endian word. */
export function crcOfWord(register: number, word: number): number {
  const mixed = register ^ word;
  return (
    tables[768 + (mixed & 255)]! ^
    tables[512 + ((mixed >>> 8) & 255)]! ^
    tables[256 + ((mixed >>> 16) & 255)]! ^
    tables[mixed >>> 24]!
  );
}

/** Register after the bytes `[start, end)` of `data`. */
export function crcOfBytes(register: number, data: Uint8Array, start: number, end: number): number {
  let now = register;
  for (let at = start; at < end; at++) now = (now >>> 8) ^ tables[(now ^ data[at]!) & 255]!;
  return now;
}

/** The checksum that belongs to a register: unsigned. */
export function crcOfRegister(register: number): number {
  return (register ^ CRC_START) >>> 0;
}

/** The linear map "append `byteCount` zero bytes" on the register. */
export class ZeroRun {
  readonly #map = new Int32Array(4 * 256);

  constructor(byteCount: number) {
    const images = Array.from({ length: 32 }, (_, bit) => {
      let register = 1 << bit;
      for (let done = 0; done < byteCount; done++) register = (register >>> 8) ^ tables[register & 255]!;
      return register;
    });
    for (let lane = 0; lane < 4; lane++) {
      for (let byte = 0; byte < 256; byte++) {
        let sum = 0;
        for (let bit = 0; bit < 8; bit++) if (byte & (1 << bit)) sum ^= images[lane * 8 + bit]!;
        this.#map[lane * 256 + byte] = sum;
      }
    }
  }

  apply(register: number): number {
    const map = this.#map;
    return (
      map[register & 255]! ^
      map[256 + ((register >>> 8) & 255)]! ^
      map[512 + ((register >>> 16) & 255)]! ^
      map[768 + (register >>> 24)]!
    );
  }
}

/** CRC-32 of `data`, continued from the checksum `seed` (0 to start). */
export type CrcFunction = (data: Uint8Array, seed: number) => number;

/** Which implementation `bodyCrc` is, and the function. */
export interface BodyCrc {
  readonly name: 'addon' | 'zlib' | 'tables';
  readonly crc32: CrcFunction;
}

/** The table-driven one, slow, always there. */
export function tableCrc(data: Uint8Array, seed: number): number {
  return crcOfRegister(crcOfBytes(seed ^ CRC_START, data, 0, data.length));
}

/** Loads the fastest implementation this machine has. */
export async function loadBodyCrc(): Promise<BodyCrc> {
  try {
    const { native } = await import('../src/native/addon.js');
    return { name: 'addon', crc32: native.crc32 };
  } catch {
    // The addon is not built: the generator must run all the same, against a remote node for example.
  }
  const fromZlib = (zlib as { crc32?: CrcFunction }).crc32;
  return fromZlib ? { name: 'zlib', crc32: fromZlib } : { name: 'tables', crc32: tableCrc };
}
