/**
 * The small files and the bookkeeping of a partition: META, APPLY, EXTENT_META, slot arithmetic, names, the extent table.
 */
import t, { type Test } from 'tap';
import { decodeApply, readApply, writeApply } from '../../src/storage/applyFile.js';
import { blockOf, SlotBits, slotOffset, wholeBlocks } from '../../src/storage/crcFile.js';
import { decodeBase, encodeBase, IdBase, RESERVED_IDS } from '../../src/storage/extentMeta.js';
import { EXTENT_FLAG, ExtentTable, NONE } from '../../src/storage/extentTable.js';
import {
  deletedFolderName,
  isDeletedFolderName,
  parseExtentName,
  parsePartitionFolderName,
  roundUpToPage,
} from '../../src/storage/layout.js';
import { decodeMeta, encodeMeta, formatCreateTime, readMeta, writeMeta } from '../../src/storage/metaFile.js';
import { TINY_STATE, TinyExtents } from '../../src/storage/tinyExtents.js';
import { Random } from '../sim/random.js';
import { SimDisk } from '../sim/simDisk.js';

const META_EXAMPLE =
  '{"VolumeID":"ltptest","PartitionID":7,"PartitionSize":128849018880,"CreateTime":"2019-11-13 10:20:30",' +
  '"Peers":[{"id":2,"addr":"192.168.0.31:17030"},{"id":3,"addr":"192.168.0.32:17030"},{"id":4,"addr":"192.168.0.33:17030"}],' +
  '"Hosts":["192.168.0.31:17030","192.168.0.32:17030","192.168.0.33:17030"],"DataPartitionCreateType":0,"LastTruncateID":0}';

const addresses = ['192.168.0.31:17030', '192.168.0.32:17030', '192.168.0.33:17030'];
const example = {
  volume: 'ltptest',
  partitionId: 7,
  sizeBytes: 128849018880,
  createTime: '2019-11-13 10:20:30',
  peers: addresses.map((addr, i) => ({ id: i + 2, addr })),
  hosts: addresses,
  createType: 0,
  lastTruncateId: 0,
};

t.test('META is written byte for byte, peers in order of id', async (t) => {
  t.equal(META_EXAMPLE.length, 343);
  t.equal(encodeMeta({ ...example, peers: example.peers.toReversed() }), META_EXAMPLE);
  t.match(encodeMeta({ ...example, volume: 'a<b' }), /"VolumeID":"a\\u003cb"/);
});

t.test('META is read tolerantly', async (t) => {
  const decoded = decodeMeta(Buffer.from(META_EXAMPLE));
  t.same(decoded, { ok: true, value: example });
  t.same(decodeMeta(Buffer.from(`${META_EXAMPLE}0},"LastTruncateID":0}`)), decoded, 'garbage behind it');
  const shouted = META_EXAMPLE.replace('VolumeID', 'VOLUMEID').replace(
    '"Hosts"',
    '"extra":{"a":"}"},"hosts"',
  );
  t.same(decodeMeta(Buffer.from(shouted)), decoded, 'other case, unknown keys, braces in strings');
  const nulls = '{"VolumeID":" v ","PartitionID":1,"PartitionSize":2,"Peers":null,"Hosts":null}';
  t.match(decodeMeta(Buffer.from(nulls)), {
    ok: true,
    value: { volume: 'v', peers: [], hosts: [], createType: 0 },
  });
});

t.test('META that is none is refused', async (t) => {
  const illegal = { ok: false, message: 'illegal data partition metadata' };
  t.same(decodeMeta(Buffer.from('{"VolumeID":"  ","PartitionID":1,"PartitionSize":2}')), illegal);
  t.same(decodeMeta(Buffer.from('{"VolumeID":"v","PartitionSize":2}')), illegal);
  t.same(decodeMeta(Buffer.from('{"VolumeID":"v","PartitionID":1}')), illegal);
  for (const text of [
    '',
    '{',
    'x',
    '[]',
    META_EXAMPLE.slice(0, 200),
    '{"VolumeID":"v","PartitionID":9007199254740993}',
  ]) {
    t.equal(decodeMeta(Buffer.from(text)).ok, false, text.slice(0, 40));
  }
});

t.test('META after a power loss at any moment of a save is the old or the new one', async (t) => {
  const texts = new Set<string>();
  for (let seed = 0; seed < 200; seed += 1) {
    const disk = new SimDisk({ regions: [], seed });
    disk.mkdir('/p', 0o755);
    disk.fsyncFolder('/');
    t.equal(writeMeta(disk, '/p', example), 0);
    const calls = ['open', 'pwrite', 'fdatasync', 'rename', 'fsyncFolder', 'truncate'] as const;
    disk.addFault({ call: calls[seed % calls.length]!, path: /./, errno: 5, count: 1 });
    const result = writeMeta(disk, '/p', { ...example, volume: 'changed' });
    const next = disk.powerLoss(seed);
    const meta = readMeta(next, '/p');
    if (!meta.ok) t.fail(`seed ${seed}: ${meta.message}`);
    else texts.add(meta.value.volume);
    if (result === 0) t.equal(meta.ok && meta.value.volume, 'changed');
  }
  t.same([...texts].sort(), ['changed', 'ltptest']);
});

t.test('a failed save of META leaves no temporary file', async (t) => {
  const disk = new SimDisk({ regions: [] });
  disk.mkdir('/p', 0o755);
  disk.addFault({ call: 'fdatasync', path: /meta/, errno: 28, count: 1 });
  t.equal(writeMeta(disk, '/p', example), -28);
  t.same(disk.scan('/p'), []);
});

t.test('the time of creation is told in local time', async (t) => {
  t.equal(formatCreateTime(new Date(2019, 10, 13, 10, 2, 3).getTime()), '2019-11-13 10:02:03');
});

t.test('APPLY', async (t) => {
  const disk = new SimDisk({ regions: [] });
  disk.mkdir('/p', 0o755);
  t.same(readApply(disk, '/p'), { index: 0, problem: null }, 'missing');
  t.equal(writeApply(disk, '/p', 12345), 0);
  t.equal(Buffer.from(disk.content('/p/APPLY')).toString('hex'), '3132333435');
  t.same(readApply(disk.powerLoss(3), '/p'), { index: 0, problem: null }, '/p itself was never synced');
  t.same(readApply(disk, '/p'), { index: 12345, problem: null });
  t.equal(decodeApply(Buffer.from('  77 and more')).index, 77);
  t.equal(decodeApply(new Uint8Array(0)).problem, '[loadApplyIndex]: ApplyIndex is empty');
  t.match(decodeApply(Buffer.from('x')), { index: 0, problem: /no number/ });
});

t.test('EXTENT_META: the base in bytes', async (t) => {
  const bytes = new Uint8Array(16);
  encodeBase(bytes, 0, 1030);
  bytes[14] = 7;
  bytes[15] = 0xd0;
  t.equal(Buffer.from(bytes).toString('hex'), '000000000000040600000000000007d0');
  t.equal(decodeBase(bytes), 1030);
  t.equal(decodeBase(bytes.subarray(0, 7)), 0, 'short');
  t.equal(decodeBase(new Uint8Array(8).fill(255)), 0, 'no id');
  encodeBase(bytes, 0, 2 ** 40 + 5);
  t.equal(decodeBase(bytes), 2 ** 40 + 5);
});

t.test('the id base: stored, highest found, 1024; reserved ahead', async (t) => {
  t.equal(new IdBase(0, 0).next, 1025);
  t.equal(new IdBase(1030, 2000).next, 2001);
  t.equal(new IdBase(3000, 2000).next, 3001);
  const ids = new IdBase(0, 0);
  t.notOk(ids.isSafe(1025));
  t.throws(() => ids.take(1025));
  t.equal(ids.beginReservation(1025), 1025 + RESERVED_IDS);
  t.equal(ids.beginReservation(1026), 0, 'one at a time');
  ids.endReservation(false);
  t.notOk(ids.isSafe(1025), 'failed');
  t.equal(ids.beginReservation(1025), 1025 + RESERVED_IDS);
  ids.endReservation(true);
  ids.take(1025);
  t.equal(ids.beginReservation(1026), 0, 'enough left');
  ids.take(1025 + RESERVED_IDS / 2 + 1);
  t.ok(ids.beginReservation(ids.next) > ids.durable, 'half is gone');
});

t.test('slots: offsets, and the blocks that a write makes whole', async (t) => {
  t.equal(slotOffset(1025, 0), 0x401000);
  t.equal(slotOffset(1025, 1), 0x401004);
  t.equal(slotOffset(1025, 1023), 0x401ffc);
  t.equal(slotOffset(1030, 0), 0x406000);
  t.equal(slotOffset(2000, 7), 0x7d001c);
  t.equal(blockOf(131071), 0);
  t.equal(blockOf(131072), 1);
  t.equal(wholeBlocks(131072, 131072), 1);
  t.equal(wholeBlocks(131073, 131072), 0);
  t.equal(wholeBlocks(0, 131071), 0);
  t.equal(wholeBlocks(131072, 3 * 131072 + 1), 3);
});

t.test('slot bits', async (t) => {
  const bits = new SlotBits();
  bits.reset(500);
  bits.reset(501);
  bits.set(500, 1023);
  bits.set(500, 0);
  t.ok(bits.any(500, 0, 5));
  t.notOk(bits.any(500, 1, 1022));
  t.notOk(bits.any(501, 0, 1023));
  bits.clear(500, 1000, 1023);
  t.notOk(bits.any(500, 1, 1023));
  const table = new Uint8Array(32);
  table[10 + 4 * 2 + 3] = 1;
  bits.load(501, table, 10, 16);
  t.ok(bits.any(501, 2, 2));
  t.notOk(bits.any(501, 0, 1));
  bits.reset(501);
  t.notOk(bits.any(501, 0, 1023));
});

t.test('names', async (t) => {
  t.same(parsePartitionFolderName('datapartition_7_128849018880'), { id: 7, sizeBytes: 128849018880 });
  for (const name of [
    'datapartition_7',
    'datapartition_7_8_9',
    'xdatapartition_7_8',
    'datapartition_a_8',
    'expired_datapartition_7_8',
  ]) {
    t.equal(parsePartitionFolderName(name), null, name);
  }
  t.equal(parseExtentName('1025'), 1025);
  t.equal(parseExtentName('0'), 0);
  for (const name of ['0099', 'META', '12a', '-1', '99999999999999999999', ''])
    t.equal(parseExtentName(name), -1, name);
  const deleted = deletedFolderName('datapartition_7_8', 1573640430000);
  t.ok(isDeletedFolderName(deleted));
  t.equal(parsePartitionFolderName(deleted), null);
  t.notOk(isDeletedFolderName('deleted_by_me'));
});

t.test('tiny watermarks', async (t) => {
  const pairs = [
    [0, 0],
    [1, 4096],
    [4096, 4096],
    [4097, 8192],
    [5000, 8192],
    [13192, 16384],
    [4294967294, 4294967296],
  ];
  for (const [end, watermark] of pairs) t.equal(roundUpToPage(end!), watermark);
});

t.test('tiny extents: all suspect at first, one state an id', async (t) => {
  const tiny = new TinyExtents();
  const any = (): boolean => true;
  t.equal(tiny.count(TINY_STATE.broken), 64);
  t.equal(tiny.take(any), 0);
  tiny.move(3, TINY_STATE.available);
  tiny.move(3, TINY_STATE.available);
  t.same([tiny.count(TINY_STATE.available), tiny.count(TINY_STATE.broken)], [1, 63]);
  t.equal(tiny.take(any), 3);
  t.same([tiny.state(3), tiny.take(any)], [TINY_STATE.writing, 0], 'once');
  t.throws(() => tiny.move(3, TINY_STATE.broken), /is being written/);
  tiny.giveBack(3, false);
  t.throws(() => tiny.giveBack(3, true), /given back twice/);
  tiny.repairAll((id) => id > 60 || id === 3);
  t.same([tiny.take((id) => id !== 3), tiny.take(any), tiny.take(any)], [61, 3, 62]);
  tiny.giveBack(3, true);
  tiny.move(63, TINY_STATE.broken);
  t.same([tiny.take(any), tiny.take(any), tiny.take(any)], [64, 3, 0], 'who was given back waits longest');
});

t.test('the extent table agrees with a plain map', async (t) => {
  for (const expected of [0, 700]) compareWithMap(t, new ExtentTable(expected));
});

function compareWithMap(t: Test, table: ExtentTable): void {
  const random = new Random(11);
  const twin = new Map<number, { size: number; row: number }>();
  for (let i = 0; i < 30_000; i += 1) {
    const id = random.chance(0.1) ? 1 + random.below(64) : 1025 + random.below(4000);
    const known = twin.get(id);
    if (known === undefined) {
      if (table.find(id) !== NONE) t.fail(`extent ${id} is found although it was never added`);
      const row = table.insert(id);
      table.sizes[row] = i;
      twin.set(id, { size: i, row });
    } else if (random.chance(0.6)) {
      table.remove(known.row);
      twin.delete(id);
    }
    if (i % 3000 === 0) {
      for (const [key, { size, row }] of twin) {
        if (table.find(key) !== row || table.sizes[row] !== size) t.fail(`extent ${key}`);
      }
    }
  }
  t.equal(table.count, twin.size);
  t.throws(() => table.insert([...twin.keys()][0]!));
  const row = [...twin.values()][0]!.row;
  table.set(row, EXTENT_FLAG.deleted);
  t.ok(table.has(row, EXTENT_FLAG.deleted));
  table.unset(row, EXTENT_FLAG.deleted);
  t.notOk(table.has(row, EXTENT_FLAG.deleted));
}
