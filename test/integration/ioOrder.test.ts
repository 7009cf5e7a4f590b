/**
 * Durability by the order of system calls, as the addon records them: before an OpSyncWrite is acknowledged its file's fdatasync has returned, for a new extent also
 * its folder's fsync, and before an extent is created the id base on disk covers its id. With `durability: "always"` the same holds for every write, and a
 * create waits for the fsync of its folder. Real partitions on a real disk, without the network.
 *
 * The record is in the order of return, so it cannot show that an fdatasync also *began* after the write; the tests of group commit on the simulated disk do.
 */
import t, { type Test } from 'tap';
import { native } from '../../src/native/addon.js';
import type { Operation } from '../../src/partition/operation.js';
import { OP } from '../../src/protocol/opcodes.js';
import { decodeBase } from '../../src/storage/extentMeta.js';
import { NativeRig, temporaryFolder } from '../partition/nativeRig.js';
import { pattern, type Sent } from '../partition/storeRig.js';
import { judgeIoOrder } from '../support/ioOrder.js';

const EXTENTS = 150;

/** A rig that marks every acknowledgement, and every id base that is about to be written, in the addon's record. */
function recordingRig(t: Test, threaded: boolean, always: boolean): NativeRig {
  const root = temporaryFolder();
  const rig = NativeRig.start(root);
  rig.settings.syncEverything = always;
  t.teardown(() => rig.removeRoot());
  rig.threaded = threaded;
  const finish = rig.finish.bind(rig);
  rig.finish = (op: Operation): void => {
    if (op.opcode === OP.createExtent) native.recordMark(`ack create ${op.extentId}`);
    if (op.opcode === OP.syncWrite || (always && op.opcode === OP.write))
      native.recordMark(`ack sync ${op.extentId} ${op.extentOffset} ${op.size}`);
    finish(op);
  };
  const { batch } = rig.disk;
  const pwrite = batch.pwrite.bind(batch);
  batch.pwrite = (fd, fileOffset, region, bufferOffset, length, linked): number => {
    const isMeta = [...rig.partitions.values()].some(({ store }) => store.metaFd === fd);
    const bytes = rig.regions[region]!;
    if (isMeta) native.recordMark(`base ${decodeBase(bytes.slice(bufferOffset, bufferOffset + length))}`);
    return pwrite(fd, fileOffset, region, bufferOffset, length, linked);
  };
  return rig;
}

/** Creates extents and syncs writes to them, one at a time and many at once, with plain appends in between; the record of it. */
function drive(rig: NativeRig): string[] {
  native.takeIoRecord();
  native.recordIo(true);
  rig.create(rig.root);
  const sent: Sent[] = [];
  for (let count = 0; count < EXTENTS; count++) {
    const created = rig.sendCreate();
    sent.push(created);
    if (count % 5 !== 0) continue;
    rig.run();
    const id = created.extentId;
    for (let at = 0; at < 4; at++) {
      const body = pattern(3000 + at, count);
      sent.push(at === 1 ? rig.sendWrite(id, at * 3000, body) : rig.sendSyncWrite(id, at * 3000, body));
      if (count % 2 === 0) rig.run();
    }
    // A turn without a wait: the next create comes while syncs are under way.
    rig.turn();
  }
  rig.run();
  const failed = sent.find(({ ok }) => !ok);
  native.recordIo(false);
  if (failed !== undefined) throw new Error(failed.error);
  return native.takeIoRecord();
}

for (const threaded of [false, true]) {
  t.test(
    `with everything synced no write and no create is acknowledged before it is on disk (batches ${threaded ? 'on an I/O thread' : 'inline'})`,
    async (t) => {
      const rig = recordingRig(t, threaded, true);
      const record = drive(rig);
      t.strictSame(rig.stop(), []);
      const verdict = judgeIoOrder(record, true);
      t.strictSame(verdict.violations, []);
      t.equal(verdict.createAcks, EXTENTS);
      t.equal(verdict.syncAcks, (EXTENTS / 5) * 4);
      const folders = record.filter(
        (line) => line.startsWith('fsyncFolder') && line.includes('datapartition'),
      );
      t.ok(folders.length < EXTENTS, `${folders.length} fsyncs of the folder for ${EXTENTS} creates`);
      const noFolder = record.filter((line) => !folders.includes(line));
      t.match(
        judgeIoOrder(noFolder, true).violations.join('\n'),
        /create of \d+ acknowledged before its folder/,
      );
    },
  );

  t.test(
    `acknowledgements come after what they promise (batches ${threaded ? 'on an I/O thread' : 'inline'})`,
    async (t) => {
      const rig = recordingRig(t, threaded, false);
      const record = drive(rig);
      t.strictSame(rig.stop(), []);
      const verdict = judgeIoOrder(record);
      t.strictSame(verdict.violations, []);
      t.equal(verdict.createAcks, EXTENTS);
      t.equal(verdict.syncAcks, (EXTENTS / 5) * 3);

      await t.test('the check fails when a sync is missing or late', async (t) => {
        const paths = new Map<string, string>();
        const without = (drop: (code: string, path: string) => boolean): string[] =>
          record.filter((line) => {
            const [code = '', fd = '', , , result = '', ...rest] = line.split(' ');
            if (code === 'open') paths.set(result, rest.join(' '));
            return !drop(code, code === 'fsyncFolder' ? rest.join(' ') : (paths.get(fd) ?? ''));
          });
        const violations = (doctored: string[]): string => judgeIoOrder(doctored).violations.join('\n');
        const noData = without((code, path) => code === 'fdatasync' && /\/\d+$/.test(path));
        t.match(
          violations(noData),
          /sync write of extent \d+ at \d+ acknowledged with bytes from \d+ not durable/,
        );
        const noFolder = without((code, path) => code === 'fsyncFolder' && path.includes('datapartition'));
        t.match(violations(noFolder), /acknowledged before its folder was fsynced/);
        const noBase = without((code, path) => code === 'fdatasync' && path.endsWith('EXTENT_META'));
        t.match(violations(noBase), /create of \d+ acknowledged with a durable base of 0/);
        const late = [...record];
        const ack = late.findLastIndex((line) => line.includes('ack sync'));
        const sync = late.findLastIndex((line, index) => index < ack && line.startsWith('fdatasync'));
        const [moved] = late.splice(ack, 1);
        late.splice(sync, 0, moved!);
        t.not(violations(late), '', 'an acknowledgement before the last fdatasync');
      });
    },
  );
}
