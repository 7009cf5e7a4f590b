/**
 * Missing ranges against a model that keeps an index for every byte, and their records.
 */
import { crc32 as crc } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import {
  decodeMissingFile,
  encodeMissingRecord,
  MISSING_KIND,
  MISSING_RECORD_BYTES,
  MissingRanges,
  type MissingRecord,
  RANGES_PER_EXTENT_MAX,
} from '../../src/partition/missingRanges.js';

const BYTES = 500;

type Step =
  | { kind: 'missing' | 'written'; from: number; bytes: number }
  | { kind: 'copied'; from: number; bytes: number; age: number };

/** Mostly short, so that there are more ranges than are kept. */
const range = {
  from: fc.nat(BYTES - 1),
  bytes: fc.oneof(
    { weight: 30, arbitrary: fc.integer({ min: 1, max: 3 }) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 200 }) },
  ),
};
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('missing' as const), ...range }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('written' as const), ...range }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('copied' as const), ...range, age: fc.nat(20) }) },
);

t.test('as a model that keeps for each byte what its copy must have', async (t) => {
  let most = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 200, size: 'max' }), (steps) => {
      const ranges = new MissingRanges();
      /** By byte: index of the last write that is missing, and of the last one that was carried out. */
      const missing = new Array<number>(BYTES).fill(0);
      const written = new Array<number>(BYTES).fill(0);
      /** By byte: whether a file of everything that has grown names it. */
      const inFile = new Array<boolean>(BYTES).fill(false);
      for (const [number, each] of steps.entries()) {
        const index = number + 1;
        const to = Math.min(BYTES, each.from + each.bytes);
        if (each.kind === 'missing') {
          ranges.add(1025, { from: each.from, to, index });
          missing.fill(index, each.from, to);
        } else {
          const copied = each.kind === 'copied';
          const age = copied ? Math.max(0, index - each.age) : index;
          if (copied) ranges.copied(1025, each.from, to, age);
          else ranges.cut(1025, each.from, to, age);
          if (!copied) written.fill(index, each.from, to);
          for (let byte = each.from; byte < to; byte += 1) if (missing[byte]! <= age) missing[byte] = 0;
        }
        for (const { from, to } of ranges.takeGrown()) inFile.fill(true, from, to);
        check(ranges, missing, written, inFile);
        most = Math.max(most, ranges.count);
      }
    }),
    // A failure is shown as it was found: to make it smaller would take minutes.
    { numRuns: 200, endOnFailure: true },
  );
  t.equal(most, RANGES_PER_EXTENT_MAX, 'the bound was reached, and never passed');
});

function check(ranges: MissingRanges, missing: number[], written: number[], inFile: boolean[]): void {
  const of = ranges.of(1025);
  if (of.length !== ranges.count || of.length > RANGES_PER_EXTENT_MAX) throw new Error(`${of.length} ranges`);
  for (const [at, { from, to }] of of.entries()) {
    if (from >= to || (at > 0 && from <= of[at - 1]!.to - 1)) throw new Error('out of order');
  }
  for (let byte = 0; byte < BYTES; byte += 1) {
    const found = of.find(({ from, to }) => from <= byte && byte < to);
    if (missing[byte]! > 0 && found === undefined) throw new Error(`byte ${byte} is forgotten`);
    if (found === undefined) continue;
    if (!inFile[byte]) throw new Error(`byte ${byte} is in no record`);
    // A copy of that age has what is missing, and what was carried out here in between.
    const needed = Math.max(missing[byte]!, written[byte]!);
    if (found.index < needed)
      throw new Error(`byte ${byte} needs a copy of ${needed}, asks for ${found.index}`);
  }
}

t.test('an older write does not take away what a newer one is missing', async (t) => {
  const ranges = new MissingRanges();
  ranges.add(1025, { from: 0, to: 100, index: 9 });
  t.notOk(ranges.cut(1025, 10, 20, 8));
  t.same(ranges.of(1025), [{ from: 0, to: 100, index: 9 }]);
  t.ok(ranges.cut(1025, 10, 20, 9));
  t.same(ranges.of(1025), [
    { from: 0, to: 10, index: 9 },
    { from: 20, to: 100, index: 9 },
  ]);
  ranges.raiseTo(12);
  t.same(
    [...ranges.records()].map(({ index }) => index),
    [12, 12],
  );
  t.ok(ranges.forget(1025));
  t.same([ranges.count, ranges.extentIds], [0, []]);
});

function encoded(records: readonly MissingRecord[]): Uint8Array {
  const bytes = new Uint8Array(records.length * MISSING_RECORD_BYTES);
  for (const [at, record] of records.entries()) encodeMissingRecord(bytes, at * MISSING_RECORD_BYTES, record);
  return bytes;
}

const RECORDS: MissingRecord[] = [
  { kind: MISSING_KIND.range, extentId: 1025, from: 0, to: 4096, index: 17 },
  { kind: MISSING_KIND.compare, extentId: 0, from: 0, to: 0, index: 2 ** 53 - 1 },
  { kind: MISSING_KIND.range, extentId: 2 ** 40, from: 134_217_727, to: 134_217_728, index: 18 },
];

t.test('records come back; a torn end is cut, and damage with whole records behind it is told', async (t) => {
  const bytes = encoded(RECORDS);
  t.equal(
    Buffer.from(bytes.subarray(0, MISSING_RECORD_BYTES)).toString('hex'),
    'f259d64201010000000000000000040100000000000000000000000000001000' + '0000000000000011',
    'the layout is fixed',
  );
  t.same(decodeMissingFile(bytes), { records: RECORDS, bytes: bytes.length, damaged: false });
  for (let length = 0; length < bytes.length; length += 1) {
    const whole = Math.floor(length / MISSING_RECORD_BYTES);
    const found = decodeMissingFile(bytes.subarray(0, length));
    t.same(found, { records: RECORDS.slice(0, whole), bytes: whole * MISSING_RECORD_BYTES, damaged: false });
  }
  for (let at = 0; at < bytes.length; at += 1) {
    const flipped = bytes.slice();
    flipped[at]! ^= 0x10;
    const bad = Math.floor(at / MISSING_RECORD_BYTES);
    t.same(decodeMissingFile(flipped), {
      records: RECORDS.filter((_, number) => number !== bad),
      bytes: bad * MISSING_RECORD_BYTES,
      damaged: bad < 2,
    });
  }
});

t.test('records that no version of this program writes are none', async (t) => {
  const odd = (at: number, value: number): Uint8Array => {
    const bytes = encoded([RECORDS[0]!]);
    bytes[at] = value;
    const view = new DataView(bytes.buffer);
    const sum = Buffer.from(bytes.subarray(4));
    view.setUint32(0, crc(sum));
    return bytes;
  };
  for (const [what, bytes] of [
    ['version 2', odd(4, 2)],
    ['kind 9', odd(5, 9)],
    ['an id beyond 2^53', odd(8, 0xff)],
    ['from behind to', odd(22, 0xff)],
  ] as const) {
    t.same(decodeMissingFile(bytes), { records: [], bytes: 0, damaged: false }, what);
  }
});
