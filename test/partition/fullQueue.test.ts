/**
 * An I/O queue that is full answers -EAGAIN to what was submitted (`nativeDisk.ts`). That says nothing of a file, so the work is tried again and nobody is told.
 */
import t from 'tap';
import { deletePartition } from '../../src/partition/diskLoad.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeClientMarkDelete } from '../../src/protocol/tinyDelete.js';
import { ROOT, SimRig } from './simRig.js';
import { pattern, type Sent } from './storeRig.js';

const EAGAIN = 11;

function withExtent(settings = {}): SimRig {
  const rig = SimRig.start(settings);
  rig.create(ROOT);
  ended(rig, rig.sendCreate());
  return rig;
}

function ended(rig: SimRig, sent: Sent): Sent {
  rig.run();
  return sent;
}

t.test('a sync that finds the I/O queue full is started again', async (t) => {
  const rig = withExtent();
  rig.sim.addFault({ call: 'fdatasync', path: /\/1025$/, errno: EAGAIN, count: 3 });
  rig.sim.addFault({ call: 'fsyncFolder', path: /datapartition/, errno: EAGAIN, count: 3 });
  t.equal(ended(rig, rig.sendSyncWrite(1025, 0, pattern(4096, 1))).error, '');
  t.ok(ended(rig, rig.sendSyncWrite(1025, 4096, pattern(4096, 2))).ok, 'the extent is not broken');
  t.same(rig.diskErrors, []);
});

t.test('an open, a close and a cold read that find the I/O queue full are tried again', async (t) => {
  const rig = withExtent({ openExtentsMax: 1 });
  ended(rig, rig.sendCreate());
  const body = pattern(4096, 3);
  t.ok(ended(rig, rig.sendWrite(1025, 0, body)).ok);
  t.ok(ended(rig, rig.sendWrite(1026, 0, body)).ok);
  rig.sim.coldReads = 1;
  for (const call of ['open', 'close', 'pread'] as const) {
    rig.sim.addFault({ call, path: /\/1025$/, errno: EAGAIN, count: 3 });
  }
  const read = ended(rig, rig.sendRead(1025, 0, 4096));
  t.equal(read.error, '');
  t.same(Buffer.from(read.body), Buffer.from(body));
  t.ok(ended(rig, rig.sendRead(1026, 0, 4096)).ok, 'which closes the other');
  t.same(rig.diskErrors, []);
});

t.test('a reservation of ids that finds the I/O queue full is tried again', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT);
  rig.sim.addFault({ call: 'fdatasync', path: /EXTENT_META$/, errno: EAGAIN, count: 3 });
  t.ok(ended(rig, rig.sendCreate()).ok);
});

t.test('the end of a deleted partition that finds the I/O queue full is tried again', async (t) => {
  const rig = withExtent();
  rig.sim.addFault({ call: 'close', path: /datapartition/, errno: EAGAIN, count: 8 });
  rig.sim.addFault({ call: 'removeTree', path: /deleted/, errno: EAGAIN, count: 3 });
  t.ok(deletePartition(rig.stores, rig.partitions.get(7)!).ok);
  rig.run();
  t.equal(rig.sim.openFds(), 0);
  t.same(rig.sim.scan(ROOT), []);
});

t.test('the file of a create that failed is removed although the I/O queue is full', async (t) => {
  const rig = withExtent();
  const slots = rig.sim.open(`${ROOT}/datapartition_7_1073741824/EXTENT_CRC`, 2, 0);
  rig.sim.truncate(slots, 1100 * 4096);
  rig.sim.close(slots);
  t.same(rig.stop(), []);
  const next = rig.next(rig.sim.processEnd(1));
  next.sim.addFault({ call: 'pread', path: /EXTENT_CRC$/, errno: 5, count: 1 });
  next.sim.addFault({ call: 'unlink', path: /\/\d+$/, errno: EAGAIN, count: 3 });
  const failed = ended(next, next.sendCreate());
  t.match(failed.error, /input\/output error/);
  t.equal(next.sim.node(`${ROOT}/datapartition_7_1073741824/${failed.extentId}`), undefined);
});

t.test('deletes and streams that find the I/O queue full at every step are tried again', async (t) => {
  const rig = withExtent();
  const again = (call: 'fdatasync' | 'unlink' | 'fallocate' | 'seek' | 'pread', path: RegExp): void => {
    rig.sim.addFault({ call, path, errno: EAGAIN, count: 3 });
  };
  t.ok(ended(rig, rig.sendWrite(1025, 0, pattern(131_072, 1))).ok);
  again('fdatasync', /NORMALEXTENT_DELETE$/);
  again('unlink', /\/1025$/);
  again('fallocate', /EXTENT_CRC$/);
  t.equal(ended(rig, rig.send({ opcode: OP.markDelete, extentId: 1025 })).error, '');
  const tiny = ended(rig, rig.sendTinyWrite(pattern(9000, 2)));
  const { extentId } = tiny;
  for (const call of ['seek', 'fallocate', 'pread'] as const) again(call, new RegExp(`/${extentId}$`));
  const key = { fileOffset: 0, partitionId: 7, extentId, extentOffset: 4096, size: 4096, crc: 0 };
  const body = encodeClientMarkDelete(key);
  t.equal(ended(rig, rig.send({ opcode: OP.markDelete, extentType: 0, extentId }, body)).error, '');
  again('seek', new RegExp(`/${extentId}$`));
  const read = rig.send({ opcode: OP.tinyExtentRepairRead, extentType: 0, extentId, size: 9000 });
  t.same(Buffer.from(ended(rig, read).body), Buffer.from(pattern(9000, 2).subarray(0, 4096)));
  again('pread', /TINYEXTENT_DELETE$/);
  t.equal(ended(rig, rig.send({ opcode: OP.readTinyDeleteRecord, extentType: 0 })).body.length, 48);
  t.same(rig.diskErrors, []);
});
