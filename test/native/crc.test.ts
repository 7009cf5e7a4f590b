/** The addon's checksums against zlib's, a bitwise twin, and known values. */
import { createRequire } from 'node:module';
import fc from 'fast-check';
import t from 'tap';
import { native } from '../../src/native/addon.js';

// zlib.crc32 came with Node 20.15 and is not in the types of 20.0.
const zlib = createRequire(import.meta.url)('node:zlib') as {
  crc32(data: Uint8Array, seed?: number): number;
};

/** CRC-32C a bit at a time. */
function slowCrc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

const digits = new TextEncoder().encode('123456789');

t.test('known values', async (t) => {
  t.equal(native.crc32(digits, 0), 0xcbf43926);
  t.equal(native.crc32c(digits, 0), 0xe3069283);
  t.equal(native.crc32(new Uint8Array(0), 0), 0);
  t.equal(native.crc32c(new Uint8Array(0), 0), 0);
  t.match(native.crcImplementation(), /^\S+$/);
});

const shared = new Uint8Array(new SharedArrayBuffer(300_000));
for (let index = 0; index < shared.length; index++) shared[index] = (index * 131 + (index >> 7)) & 0xff;
const range = fc.record({
  offset: fc.nat(1000),
  length: fc.oneof(fc.nat(300), fc.nat(20_000), fc.nat(290_000)),
});

t.test('CRC-32 equals zlib for random lengths and alignments of shared memory', async () => {
  fc.assert(
    fc.property(range, ({ offset, length }) => {
      const view = shared.subarray(offset, offset + length);
      return native.crc32(view, 0) === zlib.crc32(view);
    }),
    { numRuns: 500 },
  );
});

t.test('CRC-32C equals the bitwise one', async () => {
  fc.assert(
    fc.property(fc.nat(100), fc.nat(3000), (offset, length) => {
      const view = shared.subarray(offset, offset + length);
      return native.crc32c(view, 0) === slowCrc32c(view);
    }),
    { numRuns: 200 },
  );
});

t.test('a checksum continued from a seed equals that of the whole', async () => {
  fc.assert(
    fc.property(fc.nat(5000), fc.nat(5000), (split, more) => {
      const whole = shared.subarray(3, 3 + split + more);
      const [head, tail] = [whole.subarray(0, split), whole.subarray(split)];
      return (
        native.crc32(tail, native.crc32(head, 0)) === native.crc32(whole, 0) &&
        native.crc32c(tail, native.crc32c(head, 0)) === native.crc32c(whole, 0)
      );
    }),
  );
});

t.test('many ranges in one call', async (t) => {
  const pairs = [0, 9, 17, 4096, 131_072, 131_072, 300_000, 0];
  const out = new Uint32Array(4);
  native.crc32Many(shared, Float64Array.from(pairs), out, 4);
  const expected = [0, 2, 4, 6].map((at) =>
    zlib.crc32(shared.subarray(pairs[at]!, pairs[at]! + pairs[at + 1]!)),
  );
  t.same([...out], expected);
});

t.test('a range outside the region, or more than was given, throws', async (t) => {
  const out = new Uint32Array(1);
  const many = (pair: number[], count: number) => () =>
    native.crc32Many(shared, Float64Array.from(pair), out, count);
  t.throws(many([299_999, 2], 1), TypeError);
  t.throws(many([-1, 2], 1), TypeError);
  t.throws(many([0.5, 2], 1), TypeError);
  t.throws(many([Number.NaN, 2], 1), TypeError);
  t.throws(many([0, Number.MAX_SAFE_INTEGER], 1), TypeError);
  t.throws(many([0, 1], 2), TypeError);
});
