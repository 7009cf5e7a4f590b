/**
 * EXTENT_CLEAN (`docs/checksums.md`): its bytes, and what of it counts.
 */
import fc from 'fast-check';
import t from 'tap';
import {
  beginCleanFile,
  CLEAN_ENTRY_BYTES,
  CLEAN_HEADER_BYTES,
  CLEAN_ID_MAX,
  CLEAN_KIND,
  type CleanEntry,
  canHaveEntry,
  cleanOffset,
  decodeCleanEntry,
  decodeCleanHeader,
  encodeCleanEntry,
  encodeCleanHeader,
  HEALING_BLOCKS_MAX,
  healingBlocks,
  healingMark,
  nextStamp,
  openCleanFile,
  readCleanEntries,
  severalMark,
} from '../../src/storage/cleanFile.js';
import { SimRig } from '../partition/simRig.js';

const STAMP = 1_764_000_000_123;

function entryBytes(entry: CleanEntry, extentId: number, stamp = STAMP): Uint8Array {
  const bytes = new Uint8Array(CLEAN_ENTRY_BYTES);
  encodeCleanEntry(bytes, 0, stamp, extentId, entry);
  return bytes;
}

const anyEntry = fc.record({
  kind: fc.constantFrom(...Object.values(CLEAN_KIND)),
  sizeBytes: fc.integer({ min: 0, max: 2 ** 28 - 1 }),
  mtimeMs: fc.integer({ min: 0, max: 2 ** 45 }),
});
const anyId = fc.integer({ min: 65, max: CLEAN_ID_MAX });

t.test('a header and an entry as bytes', async (t) => {
  const header = encodeCleanHeader({ stamp: STAMP, ownFrom: 1025 });
  t.equal(header.byteLength, CLEAN_HEADER_BYTES);
  t.equal(Buffer.from(header.subarray(0, 12)).toString('latin1'), 'EXTENTDC\0\0\0\x01');
  t.equal(Buffer.from(header.subarray(16)).toString('hex'), 'e87d019ab697e87b0000000000000401');
  t.same(decodeCleanHeader(header), { stamp: STAMP, ownFrom: 1025 });
  const entry = { kind: CLEAN_KIND.damaged, sizeBytes: 0x1234567, mtimeMs: 0x19ab6cc407b };
  const bytes = entryBytes(entry, 1030);
  t.equal(Buffer.from(bytes.subarray(4)).toString('hex'), '212345670000019ab6cc407b');
  t.same(decodeCleanEntry(bytes, 0, STAMP, 1030), entry);
  t.equal(cleanOffset(1030), 64 + 1030 * 16);
});

t.test('every entry comes back, and only for its extent, its stamp and unchanged', async (t) => {
  fc.assert(
    fc.property(
      ...[anyEntry, anyId, fc.integer({ min: 0, max: CLEAN_ENTRY_BYTES * 8 - 1 })],
      (entry, id, bit) => {
        const bytes = entryBytes(entry, id);
        t.same(decodeCleanEntry(bytes, 0, STAMP, id), entry);
        t.equal(decodeCleanEntry(bytes, 0, STAMP + 1, id), null);
        t.equal(decodeCleanEntry(bytes, 0, STAMP, id + 1), null);
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        t.equal(decodeCleanEntry(bytes, 0, STAMP, id), null);
      },
    ),
    { numRuns: 300 },
  );
  t.equal(decodeCleanEntry(new Uint8Array(16), 0, STAMP, 1025), null, 'zeros say nothing');
});

t.test('a header that is torn, changed, short or of another version says nothing', async (t) => {
  const header = encodeCleanHeader({ stamp: STAMP, ownFrom: 2 ** 40 });
  t.same(decodeCleanHeader(header), { stamp: STAMP, ownFrom: 2 ** 40 });
  for (let bit = 0; bit < CLEAN_HEADER_BYTES * 8; bit += 1) {
    const changed = header.slice();
    changed[bit >> 3]! ^= 1 << (bit & 7);
    t.equal(decodeCleanHeader(changed), null, `bit ${bit}`);
  }
  for (const length of [0, 8, 31]) t.equal(decodeCleanHeader(header.subarray(0, length)), null);
});

t.test('a stamp is never one that the folder has had', async (t) => {
  t.equal(nextStamp(5000.7, 0), 5000);
  t.equal(nextStamp(5000, 5000), 5001);
  t.equal(nextStamp(5000, 9000), 9001);
  t.throws(() => nextStamp(2 ** 48, 0), 'the numbers end in the year 10889');
});

t.test('ids past the table have no entry', async (t) => {
  t.ok(canHaveEntry(CLEAN_ID_MAX));
  t.notOk(canHaveEntry(CLEAN_ID_MAX + 1));
});

t.test('the file: begun, read around the ids that are there, void under another mark', async (t) => {
  const { sim } = SimRig.start();
  const meta = sim.open('/d/EXTENT_META', 0o102, 0o644);
  t.match(openCleanFile(sim, '/d', 0), { fd: -1, header: null, lastStamp: 0 });
  const fd = beginCleanFile(sim, '/d', meta, { stamp: STAMP, ownFrom: 1 });
  t.ok(fd >= 0);
  const clean = { kind: CLEAN_KIND.clean, sizeBytes: 9, mtimeMs: 77 };
  // Entries of one window, on its border, and far behind; one that is of another extent.
  const ids = [65, 4091, 4092, 4093, 1_000_000, CLEAN_ID_MAX];
  for (const id of ids) sim.write(fd, entryBytes(clean, id), cleanOffset(id));
  sim.write(fd, entryBytes(clean, 4), cleanOffset(70));
  const found: number[] = [];
  const asked = Float64Array.from([...ids, 66, 70, CLEAN_ID_MAX + 5]).sort();
  const opened = openCleanFile(sim, '/d', STAMP);
  t.match(opened, { header: { stamp: STAMP, ownFrom: 1 }, lastStamp: STAMP });
  readCleanEntries(sim, opened.fd, STAMP, asked, (id, entry) => {
    t.same(entry, clean);
    found.push(id);
  });
  t.same(found, ids);
  t.match(openCleanFile(sim, '/d', 0), { header: null, lastStamp: STAMP }, 'a Go node has zeroed the mark');
  t.match(openCleanFile(sim, '/d', STAMP + 9), { header: null, lastStamp: STAMP + 9 });
});

t.test('a file that cannot be begun leaves no descriptor open', async (t) => {
  for (const fault of [
    { call: 'open', path: /EXTENT_CLEAN$/ },
    { call: 'pwrite', path: /EXTENT_CLEAN$/ },
    { call: 'fdatasync', path: /EXTENT_CLEAN$/ },
    { call: 'pwrite', path: /EXTENT_META$/ },
    { call: 'fdatasync', path: /EXTENT_META$/ },
  ] as const) {
    const { sim } = SimRig.start();
    const meta = sim.open('/d/EXTENT_META', 0o102, 0o644);
    const before = sim.openFds();
    sim.addFault({ ...fault, errno: 5, count: 1 });
    t.equal(beginCleanFile(sim, '/d', meta, { stamp: STAMP, ownFrom: 1 }), -5, `${fault.call} ${fault.path}`);
    t.equal(sim.openFds(), before);
  }
});

t.test('an entry names one block with its checksum, or up to five', async (t) => {
  const blocksOf = (kind: CleanEntry['kind'], mtimeMs: number): readonly number[] => {
    const bytes = entryBytes({ kind, sizeBytes: 5, mtimeMs }, 1025);
    return healingBlocks(decodeCleanEntry(bytes, 0, STAMP, 1025)!);
  };
  t.same(blocksOf(CLEAN_KIND.healing, healingMark(1023, 0xfffffffe)), [1023]);
  t.throws(() => severalMark([]), /up to five/);
  t.throws(() => severalMark([1, 2, 3, 4, 5, 6]), /up to five/);
  t.throws(() => severalMark([1024]), /at most 1024/);
  const blocks = fc.array(fc.integer({ min: 0, max: 1023 }), { minLength: 1, maxLength: HEALING_BLOCKS_MAX });
  const check = fc.check(
    fc.property(
      blocks,
      (all) => String(blocksOf(CLEAN_KIND.healingSeveral, severalMark(all))) === String(all),
    ),
  );
  t.notOk(check.failed, JSON.stringify(check.counterexample));
  t.equal(
    blocksOf(CLEAN_KIND.healingSeveral, 2 ** 53 - 1).length,
    HEALING_BLOCKS_MAX,
    'whatever stands there',
  );
});
