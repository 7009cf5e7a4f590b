/**
 * Deletes of normal extents: what goes in which order, what stays, what a crash leaves, and their pace.
 */
import t from 'tap';
import { DELETES_RUNNING_MAX } from '../../src/partition/deletePath.js';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import { OP } from '../../src/protocol/opcodes.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { ROOT, run, SimRig } from './simRig.js';
import { pattern, type Sent } from './storeRig.js';

const FOLDER = `${ROOT}/datapartition_7_1073741824`;
const LIST = `${FOLDER}/NORMALEXTENT_DELETE`;
const CRC_FILE = `${FOLDER}/EXTENT_CRC`;

/** A rig with extents 1025.. of one block each. */
function withExtents(count: number, settings = {}): SimRig {
  const rig = SimRig.start(settings);
  rig.create(ROOT);
  for (let i = 0; i < count; i += 1) {
    run(rig, rig.sendCreate());
    run(rig, rig.sendWrite(1025 + i, 0, pattern(BLOCK_BYTES, i)));
  }
  rig.sim.trace.length = 0;
  return rig;
}

function sendDelete(rig: SimRig, extentId: number, fields = {}): Sent {
  return rig.send({ opcode: OP.markDelete, extentId, ...fields });
}

function listed(rig: SimRig): string {
  return Buffer.from(rig.sim.content(LIST)).toString('hex');
}

t.test('the id is durable before the file goes, and the slots go last', async (t) => {
  const rig = withExtents(6);
  t.ok(run(rig, sendDelete(rig, 1030)).ok);
  t.equal(listed(rig), '0000000000000406', 'the example of the storage chapter');
  const order = [`pwrite ${LIST} 0 8`, `fdatasync ${LIST}`, `unlink ${FOLDER}/1030`];
  const steps = rig.sim.trace.filter((line) => !line.startsWith('close'));
  t.same(steps, [...order, `punch ${CRC_FILE} ${1030 * 4096} 4096`]);
  t.ok(rig.sim.trace.includes(`close ${FOLDER}/1030`), 'its file is not kept open');
  t.same(rig.sim.content(CRC_FILE).subarray(1030 * 4096), new Uint8Array(4));
  t.equal(rig.sim.node(`${FOLDER}/1030`), undefined);
  t.equal(rig.partitions.get(7)!.usedBytes, 5 * BLOCK_BYTES);
});

t.test('a deleted extent is unknown to all but creates; deleting it again is success', async (t) => {
  const rig = withExtents(1);
  t.ok(run(rig, sendDelete(rig, 1025)).ok);
  t.ok(run(rig, sendDelete(rig, 1025)).ok);
  t.ok(run(rig, sendDelete(rig, 4711)).ok, 'an extent that never was here');
  t.ok(run(rig, sendDelete(rig, 4711)).ok);
  t.ok(run(rig, sendDelete(rig, Number.MAX_SAFE_INTEGER)).ok, 'no extent can have this id');
  t.ok(run(rig, sendDelete(rig, 5)).ok, 'a tiny one under the normal type: nothing happens');
  t.ok(rig.sim.node(`${FOLDER}/5`));
  t.equal(listed(rig), '00000000000004010000000000001267', 'each is listed once');
  t.equal(run(rig, rig.sendRead(1025, 0, 1)).error, 'ActionStreamRead_extent does not exist');
  t.equal(run(rig, rig.sendWrite(1025, 0, pattern(1, 1))).error, 'ActionWrite:_extent does not exist');
  rig.partitions.get(7)!.hosts = ['a:1', 'b:1'];
  t.equal(run(rig, rig.sendCreate({ extentId: 1025 })).error, 'ActionCreateExtent:_extent already exists');
  const list = run(rig, rig.send({ opcode: OP.getAllWatermarks }));
  t.equal(Buffer.from(list.body).toString(), '[]');
});

t.test(
  'an extent that was not here when it was deleted is not brought by repair, and a primary may give its id',
  async (t) => {
    const rig = withExtents(1);
    rig.partitions.get(7)!.hosts = ['a:1', 'b:1'];
    t.ok(run(rig, sendDelete(rig, 4711)).ok);
    const next = rig.next(rig.sim.processEnd(1));
    const repair = { opcode: INTERNAL_OP.createExtent, internal: true, extentId: 4711 };
    t.match(run(next, next.send(repair)).error, /deleted/);
    next.partitions.get(7)!.hosts = ['a:1', 'b:1'];
    t.ok(run(next, next.sendCreate({ extentId: 4711 })).ok);
    t.ok(run(next, next.sendWrite(4711, 0, pattern(10, 1))).ok);
    rig.sim.addFault({ call: 'fdatasync', path: /NORMALEXTENT_DELETE$/, errno: 28, count: 1 });
    t.notOk(run(rig, sendDelete(rig, 4712)).ok, 'a delete that cannot be recorded is none');
  },
);

t.test('an unknown extent that is created while its delete waits is left to the next one', async (t) => {
  const rig = withExtents(1);
  rig.partitions.get(7)!.hosts = ['a:1', 'b:1'];
  const removed = sendDelete(rig, 4711);
  rig.turn();
  const created = rig.sendCreate({ extentId: 4711 });
  rig.run();
  t.ok(created.ok);
  t.equal(removed.error, 'ActionMarkDelete:_try again');
  for (let i = 0; i < 4; i += 1) t.ok(run(rig, sendDelete(rig, 4711 + i)).ok, 'no place of a delete is lost');
  t.equal(rig.sim.node(`${FOLDER}/4711`), undefined);
});

t.test('the record of a deleted extent is forgotten after ten minutes, its id is not', async (t) => {
  const rig = withExtents(1);
  const partition = rig.partitions.get(7)!;
  run(rig, sendDelete(rig, 1025));
  const deletedMs = rig.clock.nowMs();
  partition.tick(deletedMs + 599_000);
  t.equal(partition.extentCount, 65);
  partition.tick(deletedMs + 600_000);
  t.equal(partition.extentCount, 64);
  t.ok(partition.store.deletedIds.has(1025));
  t.ok(run(rig, sendDelete(rig, 1025)).ok, 'for ever');
  t.equal(run(rig, rig.sendCreate()).extentId, 1026);
  partition.hosts = ['a:1', 'b:1'];
  t.ok(run(rig, rig.sendCreate({ extentId: 1025 })).ok, 'a primary may give it again');
  t.notOk(partition.store.deletedIds.has(1025));
  t.ok(run(rig, sendDelete(rig, 1025)).ok);
  t.equal(listed(rig), '00000000000004010000000000000401');
});

t.test('a file that cannot be removed leaves the extent as it was', async (t) => {
  const rig = withExtents(1);
  rig.sim.addFault({ call: 'unlink', path: /1025$/, errno: 30, count: 1 });
  const sent = run(rig, sendDelete(rig, 1025));
  t.equal(sent.error, `ActionMarkDelete:_remove ${FOLDER}/1025: read-only file system`);
  t.same(rig.diskErrors, [30]);
  t.ok(run(rig, rig.sendRead(1025, 0, 10)).ok);
  t.ok(run(rig, sendDelete(rig, 1025)).ok, 'the next delete succeeds');
  t.equal(listed(rig), '0000000000000401', 'and lists the id no second time');
});

t.test('an id that cannot be recorded keeps its file; the next group is written in its place', async (t) => {
  for (const call of ['pwrite', 'fdatasync'] as const) {
    const rig = withExtents(2);
    rig.sim.addFault({ call, path: /NORMALEXTENT_DELETE/, errno: 28, count: 1 });
    t.match(run(rig, sendDelete(rig, 1025)).error, /^ActionMarkDelete:_(write|sync) .*NORMALEXTENT_DELETE/);
    t.ok(run(rig, rig.sendRead(1025, 0, 10)).ok);
    t.ok(run(rig, sendDelete(rig, 1026)).ok);
    t.equal(listed(rig), '0000000000000402');
  }
});

t.test('a failed punch of the slots is no failure of the delete', async (t) => {
  const rig = withExtents(1);
  rig.sim.addFault({ call: 'fallocate', path: /EXTENT_CRC/, errno: 95, count: 1 });
  t.ok(run(rig, sendDelete(rig, 1025)).ok);
});

t.test('a delete beside writes, reads and deletes of the same extent', async (t) => {
  const rig = withExtents(1);
  const ops = [rig.sendSyncWrite(1025, BLOCK_BYTES, pattern(5000, 7)), rig.sendRead(1025, 0, 100)];
  const deletes = [sendDelete(rig, 1025), sendDelete(rig, 1025)];
  rig.run();
  t.ok([...ops, ...deletes].every(({ ok }) => ok));
  t.equal(rig.partitions.get(7)!.usedBytes, 0);
  rig.partitions.get(7)!.tick(rig.clock.nowMs());
  rig.run();
  t.notOk(rig.stores.files.handles.some((handle) => handle.isOpen && handle.extentId === 1025));
  t.equal(rig.stores.parkedOperations, 0);
});

t.test('a delete waits for a create of the same extent', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT, { hosts: ['a:1', 'b:1'] });
  run(rig, rig.sendCreate({ extentId: 1030 }));
  const sent = [rig.sendCreate({ extentId: 1031 }), sendDelete(rig, 1031), sendDelete(rig, 1031)];
  rig.run();
  t.ok(sent.every(({ ok }) => ok));
  t.equal(rig.sim.node(`${FOLDER}/1031`), undefined);
});

t.test('a storm of deletes has few at a time at the I/O threads, and shares fdatasyncs', async (t) => {
  const rig = withExtents(40);
  const sent = Array.from({ length: 40 }, (_, i) => sendDelete(rig, 1025 + i));
  let most = 0;
  let behind = 0;
  rig.settle(() => {
    most = Math.max(most, rig.sim.waitingFor('unlink') + rig.sim.waitingFor('fallocate'));
    const write = behind < 10 ? rig.sendWrite(1026 + 38, BLOCK_BYTES + behind * 10, pattern(10, 1)) : null;
    if (write !== null) behind += 1;
    return rig.sim.step();
  });
  t.ok(sent.every(({ ok }) => ok));
  t.ok(most <= DELETES_RUNNING_MAX, `${most} at a time`);
  t.equal(rig.sim.trace.filter((line) => line === `fdatasync ${LIST}`).length, 5, '8 ids each');
  t.equal(listed(rig).length, 40 * 16);
});

t.test('what a crash leaves: a missing file is always listed', async (t) => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const rig = withExtents(4);
    const sent = [1025, 1026, 1027].map((id) => sendDelete(rig, id));
    for (let i = 0; i < seed % 15; i += 1) {
      rig.turn();
      rig.sim.step();
    }
    const next = rig.next(seed % 2 === 0 ? rig.sim.powerLoss(seed) : rig.sim.processEnd(seed));
    const { store } = next.partitions.get(7)!;
    for (const [i, { ended }] of sent.entries()) {
      const gone = next.sim.node(`${FOLDER}/${1025 + i}`) === undefined;
      // After a power loss also what was created and never synced may be gone.
      if (gone && seed % 2 === 1 && !store.deletedIds.has(1025 + i)) t.fail(`seed ${seed}: not listed`);
      if (ended && !store.deletedIds.has(1025 + i)) t.fail(`seed ${seed}: acknowledged and not listed`);
      if (ended && seed % 2 === 1 && !gone) t.fail(`seed ${seed}: acknowledged and still there`);
    }
    t.ok(run(next, sendDelete(next, 1025)).ok);
    t.ok(run(next, next.sendCreate()).extentId > 1028);
  }
});

t.test('a listed extent that is found at a start is live', async (t) => {
  const rig = withExtents(1);
  const fd = rig.sim.open(LIST, 2, 0);
  rig.sim.write(fd, Uint8Array.of(0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0), 0);
  const next = rig.next(rig.sim.processEnd(1));
  t.ok(run(next, next.sendRead(1025, 0, 10)).ok);
  t.ok(run(next, sendDelete(next, 1025)).ok);
  t.equal(next.sim.node(`${FOLDER}/1025`), undefined);
  const { extentId } = run(next, next.sendCreate());
  t.ok(run(next, sendDelete(next, extentId)).ok);
  t.equal(
    listed(next),
    `0000000000000401${extentId.toString(16).padStart(16, '0')}`,
    'a torn record at the end is written over',
  );
});

t.test('a full disk takes deletes, a broken one does not', async (t) => {
  const rig = withExtents(2);
  rig.health.space.exhaust();
  rig.health.status = 1;
  t.ok(run(rig, sendDelete(rig, 1025)).ok);
  rig.health.status = -1;
  t.equal(run(rig, sendDelete(rig, 1026)).error, 'ActionMarkDelete:_disk has broken');
});

t.test('a partition that is taken away ends its deletes', async (t) => {
  for (let turns = 0; turns < 8; turns += 1) {
    const rig = withExtents(20);
    const sent = Array.from({ length: 20 }, (_, i) => sendDelete(rig, 1025 + i));
    for (let i = 0; i < turns; i += 1) {
      rig.turn();
      rig.sim.step();
    }
    const partition = rig.partitions.get(7)!;
    rig.stores.retire(partition.store, 'data partition not exists');
    rig.partitions.delete(7);
    rig.run();
    t.ok(sent.every(({ ended }) => ended));
    t.same([rig.stores.parkedOperations, rig.sim.openFds()], [0, 0]);
  }
});
