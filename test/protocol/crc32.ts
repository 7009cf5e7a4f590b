/** CRC-32 IEEE, bit by bit: the dumb twin that everything faster is compared with (`zlib.crc32` is missing in early Node 20). */
export function crc32Slow(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb8_8320 : 0);
  }
  return (crc ^ 0xffff_ffff) >>> 0;
}
