/**
 * Records of the raft log: the recorded checksums, what is written is read, and nothing else is.
 */
import fc from 'fast-check';
import t from 'tap';
import { OffsetTable } from '../../src/raft/offsetTable.js';
import { RecordReader } from '../../src/raft/recordReader.js';
import { EntryRecords, RecordPieces } from '../../src/raft/recordSource.js';
import {
  decodeEntryRecord,
  encodeEntryRecord,
  encodeSeal,
  entryRecordBytes,
  maskedCrc,
  writeEntryRecord,
} from '../../src/raft/records.js';
import { TermRuns } from '../../src/raft/termRuns.js';
import { crc32c } from '../../src/storage/crc32c.js';
import { entry, newDisk, plain, putFile } from './folderRig.js';

t.test('masked checksums are the recorded ones', async (t) => {
  t.equal(maskedCrc(crc32c(Buffer.from('123456789'))), 0xc78ab0e5);
  t.equal(maskedCrc(crc32c(new Uint8Array(0))), 0xa282ead8);
  t.equal(
    Buffer.from(encodeEntryRecord(entry(1, 1))).toString('hex'),
    '01000000000000001100000000000000000100000000000000018fc8a449',
  );
});

const anyEntry = fc.record({
  type: fc.constantFrom(0, 1),
  term: fc.nat(),
  index: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  data: fc.uint8Array({ maxLength: 200 }),
});

t.test('an entry is read as it was written, at any offset', async (t) => {
  fc.assert(
    fc.property(anyEntry, fc.nat(50), (written, offset) => {
      const bytes = new Uint8Array(offset + entryRecordBytes(written.data.byteLength) + 5);
      const end = writeEntryRecord(written, bytes, offset);
      const read = decodeEntryRecord(bytes, offset, end);
      return typeof read !== 'string' && JSON.stringify(plain(read)) === JSON.stringify(plain(written));
    }),
  );
  t.throws(() => writeEntryRecord(entry(1, 1, '0102'), new Uint8Array(31), 0), /reaches past its buffer/);
});

t.test('a record with any byte changed, and any other range, is refused', async (t) => {
  fc.assert(
    fc.property(anyEntry, fc.nat(), fc.integer({ min: 1, max: 255 }), (written, where, mask) => {
      const bytes = encodeEntryRecord(written);
      bytes[where % bytes.byteLength]! ^= mask;
      return typeof decodeEntryRecord(bytes, 0, bytes.byteLength) === 'string';
    }),
  );
  const bytes = encodeEntryRecord(entry(3, 2, '0102'));
  for (let end = 0; end < bytes.byteLength; end += 1) t.type(decodeEntryRecord(bytes, 0, end), 'string');
  t.equal(decodeEntryRecord(bytes, 0, bytes.byteLength + 1), 'too short for an entry');
  t.equal(
    decodeEntryRecord(
      encodeSeal(1, new Uint32Array(4), 9, () => 1),
      0,
      97,
    ),
    'a record of type 2',
  );
});

t.test('records larger and smaller than the window of a reader are told whole from torn', async (t) => {
  const disk = newDisk();
  const sizes = [0, 131_072 - 30, 131_072, 400_000, 5];
  const records = sizes.map((size, at) =>
    Buffer.from(encodeEntryRecord(entry(at + 1, 1, Buffer.alloc(size, at)))),
  );
  const all = Buffer.concat(records);
  const reader = new RecordReader(disk);
  const findings = (bytes: Buffer): string[] => {
    putFile(disk, '/file', bytes);
    const fd = disk.open('/file', 0, 0);
    reader.use(fd, bytes.byteLength);
    const found: string[] = [];
    for (let at = 0; at < bytes.byteLength; at = reader.endOf(at)) {
      found.push(reader.read(at));
      if (found.at(-1) !== 'whole') break;
    }
    disk.close(fd);
    return found;
  };
  t.strictSame(findings(all), ['whole', 'whole', 'whole', 'whole', 'whole']);
  t.strictSame(findings(all.subarray(0, -1)), ['whole', 'whole', 'whole', 'whole', 'cutOff']);
  const flipped = Buffer.from(all);
  flipped[600_000]! ^= 1;
  t.strictSame(findings(flipped), ['whole', 'whole', 'whole', 'wrongChecksum']);
  disk.addFault({ call: 'pread', path: /file/, errno: 5, count: 1 });
  t.strictSame(findings(all), ['unreadable']);
  t.equal(reader.errno, -5);
});

t.test('a source gives its bytes in order, in steps of any size', async (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 70_000 }), { minLength: 1, maxLength: 12 }),
      fc.integer({ min: 1, max: 90_000 }),
      (lengths, step) => {
        const pieces = lengths.map((length, at) => Buffer.alloc(length, at + 1));
        const all = Buffer.concat(pieces);
        const source = new RecordPieces(pieces);
        const given: Buffer[] = [];
        for (let left = all.byteLength; left > 0; left -= given.at(-1)!.byteLength) {
          const next = source.next(Math.min(step, left));
          if (next.byteLength === 0 || next.byteLength > Math.min(step, left)) return false;
          given.push(Buffer.from(next));
        }
        return Buffer.concat(given).equals(all);
      },
    ),
    { numRuns: 50 },
  );
  const source = new RecordPieces([Buffer.alloc(3)]);
  t.equal(source.next(3).byteLength, 3);
  t.throws(() => source.next(1), /as many bytes as their entries tell/);
});

t.test('the records of entries come whole, as one write where they are short', async (t) => {
  const sizes = [0, 40_000, 20_000, 10_000, 70_000, 3, 65_536 - 30, 65_536 - 29, 1];
  const entries = sizes.map((size, at) => entry(at + 1, 2, Buffer.alloc(size, at)));
  const records = entries.map((each) => Buffer.from(encodeEntryRecord(each)));
  const source = new EntryRecords(entries);
  const all = Buffer.concat(records);
  t.equal(source.byteLength, all.byteLength);
  const steps: Buffer[] = [];
  for (let left = all.byteLength; left > 0; left -= steps.at(-1)!.byteLength)
    steps.push(Buffer.from(source.next(left)));
  t.ok(Buffer.concat(steps).equals(all));
  const lengths = records.map(({ byteLength }) => byteLength);
  t.same(
    steps.map(({ byteLength }) => byteLength),
    [lengths[0]! + lengths[1]! + lengths[2]!, ...lengths.slice(3)],
    'as many as there is room for',
  );
  t.throws(() => source.next(1), /as many bytes as their entries tell/);
  const parts = new EntryRecords(entries);
  t.equal(parts.next(lengths[0]! + lengths[1]!).byteLength, lengths[0]! + lengths[1]!, 'where a file ends');
  t.throws(() => new EntryRecords(entries).next(29), /asked for as a whole/);
});

t.test('runs of terms and a list of terms say the same', async (t) => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('add' as const), term: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ kind: fc.constantFrom('dropFrom' as const, 'dropBefore' as const), part: fc.nat(100) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const runs = new TermRuns();
      const offsets = new OffsetTable();
      let first = 1;
      let terms: number[] = [];
      for (const taken of steps) {
        const at = taken.kind === 'add' ? 0 : Math.floor((taken.part * terms.length) / 101);
        if (taken.kind === 'add') {
          runs.add(first + terms.length, taken.term);
          terms.push(taken.term);
          offsets.push(taken.term);
        } else if (taken.kind === 'dropFrom') {
          runs.dropFrom(first + at);
          offsets.truncate(offsets.length - terms.length + at);
          terms = terms.slice(0, at);
        } else {
          runs.dropBefore(first + at);
          terms = terms.slice(at);
          first += at;
        }
        const told = runs.between(first, first + terms.length - 1);
        const spread = terms.map((_, index) => told.findLast(({ from }) => from <= first + index)?.term);
        if (!terms.every((term, index) => runs.at(first + index) === term && spread[index] === term))
          return false;
        if (told.some(({ term }, index) => index > 0 && told[index - 1]!.term === term)) return false;
        const kept = [...offsets.values()].slice(offsets.length - terms.length);
        if (JSON.stringify(kept) !== JSON.stringify(terms)) return false;
      }
      return true;
    }),
  );
  t.throws(() => new TermRuns().at(1), /no term is known/);
  const table = new OffsetTable();
  t.throws(() => table.at(0), /in the file/);
  t.throws(() => table.push(2 ** 32), /below 4 GiB/);
});
