/** The test hooks: faults and the record of operations. */
import { readFileSync, rmSync } from 'node:fs';
import t from 'tap';
import { IO, IO_FLAG, native } from '../../src/native/addon.js';
import { DiskRig } from './diskRig.js';

const ENOSPC = -28;
const EIO = -5;
const ECANCELED = -125;

t.test('an errno fault fails the codes it names, so many times', async (t) => {
  const rig = new DiskRig();
  const fd = rig.open('file');
  native.setFault(rig.device, [IO.pwrite], 'errno', 28, 2);
  const write = { code: IO.pwrite, fd, length: 10, flags: IO_FLAG.linked };
  t.same(rig.run({ code: IO.fsync, fd }, write, { ...write, offset: 10 }), [0, ENOSPC, ECANCELED]);
  t.same(rig.run(write, { ...write, offset: 10 }), [ENOSPC, ECANCELED]);
  t.same(rig.run(write, { ...write, offset: 10 }), [10, 10]);
  native.setFault(rig.device, [], 'errno', 5, 0);
  t.equal(rig.onPath(IO.open, rig.path('never'), '', 0o102, 0o644).result, EIO);
  t.equal(native.openSync(rig.path('never'), 0, 0), -2, 'the disk was not touched');
  t.equal(rig.onFd(IO.fsync, fd).result, EIO);
  native.clearFaults(rig.device);
  t.equal(rig.onFd(IO.fsync, fd).result, 0);
  native.closeSync(fd);
  t.equal(rig.end(), true);
});

t.test('a short fault moves a part and cancels what is linked', async (t) => {
  const rig = new DiskRig();
  const fd = rig.open('file');
  native.setFault(rig.device, [IO.pwrite], 'short', 4, 1);
  const write = { code: IO.pwrite, fd, length: 10, flags: IO_FLAG.linked };
  t.same(rig.run(write, { ...write, offset: 10 }), [4, ECANCELED]);
  t.equal(readFileSync(rig.path('file')).length, 4);
  native.closeSync(fd);
  t.equal(rig.end(), true);
});

t.test('a delay fault takes its time, on its own device only', async (t) => {
  const [slow, quick] = [new DiskRig(), new DiskRig()];
  const fd = slow.open('file');
  native.setFault(slow.device, [IO.fsync], 'delay', 30, 0);
  t.ok(slow.onFd(IO.fsync, fd).values[3] >= 30e6);
  slow.entry(0, { code: IO.fsync, fd });
  t.ok(slow.io.runBatch(0, 1) >= 30e6);
  // Not a matter of speed: a fault of the other device would be counted down.
  native.clearFaults(slow.device);
  native.setFault(slow.device, [IO.fstat], 'errno', 5, 1);
  t.equal(quick.onFd(IO.fstat, fd).result, 0);
  t.equal(slow.onFd(IO.fstat, fd).result, EIO);
  native.closeSync(fd);
  t.equal(slow.end() && quick.end(), true);
});

t.test('a hanging disk holds its own work until cleared; close answers false meanwhile', async (t) => {
  const [hung, other] = [new DiskRig(2), new DiskRig(2)];
  native.setFault(hung.device, [IO.statfs], 'hang', 0, 0);
  hung.io.submitPath(IO.statfs, hung.folder, '', 0, 0, 1);
  hung.io.submitPath(IO.statfs, hung.folder, '', 0, 0, 2);
  hung.io.submitPath(IO.mkdir, hung.path('later'), '', 0, 0o755, 3);
  t.equal(other.onPath(IO.statfs, other.folder).result, 0);
  t.equal(native.waitDoorbell(hung.doorbell, 0, 0, 50), 0, 'nothing completes');
  t.equal(hung.io.pending(), 3);
  t.equal(hung.io.close(20), false);
  native.clearFaults(hung.device);
  t.same(
    hung
      .take(3)
      .map(({ token }) => token)
      .sort(),
    [1, 2, 3],
  );
  t.equal(hung.end() && other.end(), true);
});

t.test('a queue of 4096 is full', async (t) => {
  const rig = new DiskRig(1);
  native.setFault(rig.device, [], 'hang', 0, 0);
  let accepted = 0;
  while (rig.io.submitFd(IO.fstat, 1, 0, 0, accepted) === 0) accepted++;
  t.ok(accepted === 4096 || accepted === 4097, `${accepted}, one of them perhaps begun`);
  native.clearFaults(rig.device);
  t.equal(rig.take(accepted).length, accepted);
  t.equal(rig.end(), true);
});

t.test('wrong arguments throw', async (t) => {
  t.throws(() => native.setFault(256, [], 'hang', 0, 0), TypeError);
  t.throws(() => native.setFault(0, [], 'explode' as 'hang', 0, 0), TypeError);
  t.throws(() => native.clearFaults(256), TypeError);
});

t.test('the record holds operations in the order in which they returned', async (t) => {
  const rig = new DiskRig();
  native.recordIo(true);
  const fd = rig.open('file');
  rig.run(
    { code: IO.pwrite, fd, length: 10 },
    { code: IO.pwrite, fd, length: 10, offset: 10 },
    { code: IO.pread, fd, length: 50, offset: 5 },
  );
  rig.onFd(IO.fdatasync, fd);
  native.recordMark('acknowledged 1');
  rig.onPath(IO.rename, rig.path('file'), rig.path('other'));
  rig.onPath(IO.fsyncFolder, rig.folder);
  native.unlinkSync(rig.path('missing'));
  native.closeSync(fd);
  native.recordIo(false);
  native.recordMark('not recorded');
  t.same(native.takeIoRecord(), [
    `open -1 0 0 ${fd} ${rig.path('file')}`,
    `pwrite ${fd} 0 10 10 -`,
    `pwrite ${fd} 10 10 10 -`,
    `pread ${fd} 5 50 15 -`,
    `fdatasync ${fd} 0 0 0 -`,
    'mark -1 0 0 0 acknowledged 1',
    `rename -1 0 0 0 ${rig.path('file')} -> ${rig.path('other')}`,
    `fsyncFolder -1 0 0 0 ${rig.folder}`,
    `unlink -1 0 0 -2 ${rig.path('missing')}`,
    `close ${fd} 0 0 0 -`,
  ]);
  t.same(native.takeIoRecord(), []);
  rmSync(rig.path('other'));
  t.equal(rig.end(), true);
});
