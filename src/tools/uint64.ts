/**
 * 64-bit numbers of the disk as the tools show them: a number where that is exact, else its decimal digits. Damaged files hold any value.
 */

export type Uint64 = number | string;

/** A value ready for JSON and for people. */
export function shown(value: bigint): Uint64 {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value.toString();
}

/** The big-endian number at `offset`, ready to be shown. */
export function shownUint64(view: DataView, offset: number): Uint64 {
  return shown(view.getBigUint64(offset));
}

/** A view of the same bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
