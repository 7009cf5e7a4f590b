/**
 * Frames and records of the journal: both ways, and a reader that takes any bytes without harm.
 */
import fc from 'fast-check';
import t from 'tap';
import { native } from '../../src/native/addon.js';
import {
  type FoundRecord,
  frameBytes,
  isWholeFrame,
  type JournalRecord,
  putRecord,
  readFrameHeader,
  readRecords,
  recordBytes,
  sealFrame,
} from '../../src/raft/journalFrame.js';
import { logRecord } from './journalRig.js';

const index = fc.integer({ min: 1, max: 2 ** 40 });
const number = fc.maxSafeNat();
const hardState = fc.record({ term: number, vote: number, commit: number });
const entries = fc
  .record({
    group: number,
    firstIndex: index,
    term: number,
    sizes: fc.array(fc.nat(300), { minLength: 1, maxLength: 8 }),
  })
  .map(({ group, firstIndex, term, sizes }): JournalRecord => {
    const entries = sizes.map((size, at) => {
      return { type: 0, term, index: firstIndex + at, data: new Uint8Array(size).fill(size) };
    });
    return { kind: 'entries', group, entries };
  });
const record: fc.Arbitrary<JournalRecord> = fc.oneof(
  entries,
  fc.record({ kind: fc.constant('hardState'), group: number, hardState }),
  fc.record({ kind: fc.constantFrom('cut', 'reset'), group: number, index: number, term: number }),
  fc.record({
    kind: fc.constant('checkpoint'),
    group: number,
    frame: number,
    hardState,
    index: number,
    term: number,
  }),
  fc.record({ kind: fc.constant('state'), group: number, hardState, index: number, term: number }),
  fc.record({ kind: fc.constant('end'), group: number }),
) as fc.Arbitrary<JournalRecord>;

/** A sealed frame of records. */
function frameOf(records: readonly JournalRecord[], numbers = { number: 7, life: 2, tail: 5 }): Uint8Array {
  const payloadBytes = records.reduce((sum, each) => sum + recordBytes(each), 0);
  const frame = new Uint8Array(frameBytes(payloadBytes)).fill(0xee);
  let at = 40;
  for (const each of records) at = putRecord(frame, at, each);
  sealFrame(frame, { ...numbers, payloadBytes, records: records.length }, native.crc32c);
  return frame;
}

/** A record as its reader gives it, from what was written. */
function asFound(written: JournalRecord, frame: Uint8Array, found: FoundRecord): unknown {
  if (written.kind !== 'entries' || found.kind !== 'entries') return written;
  const { group, entries } = written;
  const bytes = Buffer.concat(entries.map(({ index, term, data }) => logRecord(index, term, data)));
  const there = frame.subarray(40 + found.at, 40 + found.at + found.byteLength);
  const [first, last] = [entries[0]!, entries.at(-1)!];
  const told = { group, firstIndex: first.index, lastIndex: last.index, lastTerm: last.term };
  return bytes.equals(there) ? { ...found, ...told } : 'other bytes';
}

t.test('what is written is read again: every kind of record, any number of them', async (t) => {
  fc.assert(
    fc.property(fc.array(record, { maxLength: 12 }), (records) => {
      const frame = frameOf(records);
      const header = readFrameHeader(frame, 0)!;
      t.match(header, { number: 7, life: 2, tail: 5, records: records.length });
      t.ok(isWholeFrame(frame, 0, header, native.crc32c));
      const found = readRecords(frame.subarray(40, 40 + header.payloadBytes), header.records);
      if (typeof found === 'string') return void t.fail(found);
      const expected = records.map((each, at) => asFound(each, frame, found[at]!));
      t.same(found, expected);
    }),
    { numRuns: 150 },
  );
});

t.test('the bytes of a frame are the ones that are written down', async (t) => {
  const frame = frameOf([{ kind: 'cut', group: 0x1122, index: 3, term: 4 }]);
  t.equal(frame.byteLength, 4096);
  const hex = Buffer.from(frame.subarray(0, 88)).toString('hex');
  const [magic, crc, rest] = [hex.slice(0, 8), hex.slice(8, 16), hex.slice(16)];
  t.equal(magic, '45584a46');
  t.equal(crc, native.crc32c(frame.subarray(8, 72), 0).toString(16).padStart(8, '0'));
  t.equal(
    rest,
    '0000000000000007' +
      '0000000000000002' +
      '0000000000000005' +
      '0000002000000001' +
      '0300000000000010' +
      '0000000000001122' +
      '0000000000000003' +
      '0000000000000004' +
      '00'.repeat(16),
  );
});

t.test('any changed byte of a frame is found', async (t) => {
  const records = [
    { kind: 'cut', group: 1, index: 3, term: 4 },
    { kind: 'end', group: 9 },
  ] as const;
  const frame = frameOf(records);
  const end = 40 + readFrameHeader(frame, 0)!.payloadBytes;
  for (let at = 0; at < end; at += 1) {
    const damaged = frame.slice();
    damaged[at]! ^= 0x10;
    const header = readFrameHeader(damaged, 0);
    t.notOk(header !== null && isWholeFrame(damaged, 0, header, native.crc32c), `byte ${at}`);
  }
  t.equal(readFrameHeader(frame.subarray(0, 39), 0), null);
  t.notOk(isWholeFrame(frame.subarray(0, end - 1), 0, readFrameHeader(frame, 0)!, native.crc32c));
});

t.test('a header that claims too much is none', async (t) => {
  const frame = frameOf([]);
  new DataView(frame.buffer).setUint32(32, 0xffffffff);
  t.equal(readFrameHeader(frame, 0), null);
  new DataView(frame.buffer).setUint32(32, 0);
  new DataView(frame.buffer).setUint32(8, 0xffffffff);
  t.equal(readFrameHeader(frame, 0), null, 'a number that is no safe integer');
});

t.test('the reader of records takes any bytes: a list that lies inside them, or a message', async (t) => {
  const whole = fc.array(record, { minLength: 1, maxLength: 6 }).map((records) => {
    const frame = frameOf(records);
    return frame.slice(40, 40 + readFrameHeader(frame, 0)!.payloadBytes);
  });
  const changed = fc.tuple(whole, fc.nat(), fc.nat(255)).map(([bytes, at, value]) => {
    bytes[at % bytes.byteLength] = value;
    return bytes;
  });
  let [lists, messages] = [0, 0];
  fc.assert(
    fc.property(fc.oneof(changed, fc.uint8Array({ maxLength: 400 })), fc.nat(8), (bytes, count) => {
      const found = readRecords(bytes, count);
      if (typeof found === 'string') messages += 1;
      else lists += 1;
      if (typeof found === 'string') return found.length > 0;
      return found.every(
        (each) =>
          each.kind !== 'entries' ||
          (each.at + each.byteLength <= bytes.byteLength && each.lastIndex >= each.firstIndex),
      );
    }),
    { numRuns: 2000 },
  );
  t.ok(lists > 0 && messages > 0, `${lists} lists, ${messages} messages`);
  t.equal(readRecords(new Uint8Array(0), 1), '0 records instead of 1');
});
