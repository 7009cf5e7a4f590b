/**
 * How raft's unsigned 64-bit fields become values and back: one layout, read either way. The node uses safe integers and refuses what is larger by the name of
 * its field; a form with `bigint` takes the whole range, as the recorded vectors need it.
 *
 * A value passes as two 32-bit words, so that no layout and no varint computes beyond 2^53.
 */
import assert from 'node:assert';
import type { Decoded } from './jsonText.js';

export type Uint64 = number | bigint;

export interface Uint64Form<U extends Uint64> {
  /** Null when the form cannot hold it. */
  fromWords(high: number, low: number): U | null;
  /** Upper word, unsigned. */
  highOf(value: U): number;
  /** Lower word, unsigned. */
  lowOf(value: U): number;
}

const TWO_32 = 0x1_0000_0000;
/** Upper words from here on make a number larger than 2^53 - 1. */
const HIGH_UNSAFE = 0x20_0000;

/** The node's form. Its values must be safe integers and not negative. */
export const SAFE_INTEGERS: Uint64Form<number> = {
  fromWords: (high, low) => (high < HIGH_UNSAFE ? high * TWO_32 + low : null),
  highOf(value) {
    assert(Number.isSafeInteger(value) && value >= 0, 'a 64-bit field must be a safe integer');
    return Math.floor(value / TWO_32);
  },
  lowOf: (value) => value >>> 0,
};

/** Writes a value as 8 bytes, big endian. */
export function writeUint64(view: DataView, offset: number, value: Uint64, form: Uint64Form<Uint64>): void {
  view.setUint32(offset, form.highOf(value));
  view.setUint32(offset + 4, form.lowOf(value));
}

/** Reads the fields of one structure and keeps the first complaint. */
export class Uint64Reader<U extends Uint64> {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly form: Uint64Form<U>;
  /** What could not be taken, null while all is well. */
  fault: string | null = null;
  readonly #zero: U;

  constructor(bytes: Uint8Array, form: Uint64Form<U>) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.form = form;
    const zero = form.fromWords(0, 0);
    assert(zero !== null, 'every form holds 0');
    this.#zero = zero;
  }

  /** The number at `offset`, which must lie inside; 0 with a complaint when the form cannot hold it. */
  uint64(offset: number, name: string): U {
    const value = this.form.fromWords(this.view.getUint32(offset), this.view.getUint32(offset + 4));
    if (value !== null) return value;
    this.fault ??= `${name} is larger than 2^53 - 1`;
    return this.#zero;
  }

  /** A reader of a part of the bytes. */
  part(from: number, to: number): Uint64Reader<U> {
    return new Uint64Reader(this.bytes.subarray(from, to), this.form);
  }

  /** `value` made of the fields that were read, or the complaint. */
  made<T>(value: T): Decoded<T> {
    return this.fault === null ? { ok: true, value } : { ok: false, message: this.fault };
  }
}
