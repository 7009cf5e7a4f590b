/**
 * What an acknowledgement means: group commit of sync writes, ids that are safe from reuse, files that are closed only when synced.
 */
import t from 'tap';
import { RESERVED_IDS } from '../../src/storage/extentMeta.js';
import { ROOT, run, SimRig } from './simRig.js';
import { pattern, type Sent } from './storeRig.js';

const FOLDER = `${ROOT}/datapartition_7_1073741824`;

/** A rig with `extents` extents, and an empty trace. */
function withExtents(extents: number, settings = {}): SimRig {
  const rig = SimRig.start(settings);
  rig.create(ROOT);
  for (let i = 0; i < extents; i += 1) {
    rig.sendCreate();
    rig.run();
  }
  rig.sim.trace.length = 0;
  return rig;
}

function countOf(rig: SimRig, line: string): number {
  return rig.sim.trace.filter((entry) => entry === line).length;
}

function storedBase(rig: SimRig): number {
  return Number(Buffer.from(rig.sim.content(`${FOLDER}/EXTENT_META`)).readBigUInt64BE(0));
}

t.test(
  'sync writes of one batch share one fdatasync, and the folder is fsynced for a new extent',
  async (t) => {
    const rig = withExtents(1);
    const body = pattern(4096, 1);
    const sent = Array.from({ length: 10 }, (_, i) => rig.sendSyncWrite(1025, i * 4096, body));
    rig.run();
    t.ok(sent.every(({ ok }) => ok));
    t.equal(countOf(rig, `fdatasync ${FOLDER}/1025`), 1);
    t.equal(countOf(rig, `fsyncFolder ${FOLDER}`), 1);
    rig.sendSyncWrite(1025, 0, body);
    rig.run();
    t.equal(countOf(rig, `fsyncFolder ${FOLDER}`), 1, 'once is enough');
  },
);

t.test('a write that came after the start of an fdatasync waits for the next one', async (t) => {
  const rig = withExtents(1);
  const body = pattern(4096, 2);
  rig.sendSyncWrite(1025, 0, body);
  rig.run();
  rig.sim.trace.length = 0;
  const first = rig.sendSyncWrite(1025, 4096, body);
  rig.turn();
  const late = [2, 3, 4].map((i) => rig.sendSyncWrite(1025, i * 4096, body));
  rig.turn();
  t.equal(rig.stores.parkedOperations, 4);
  rig.sim.step();
  rig.turn();
  t.ok(first.ended);
  t.notOk(late.some(({ ended }) => ended));
  rig.run();
  t.ok(late.every(({ ok }) => ok));
  t.equal(countOf(rig, `fdatasync ${FOLDER}/1025`), 2);
});

t.test('a plain write is acknowledged without a sync, unless every write is to be synced', async (t) => {
  const rig = withExtents(1);
  const body = pattern(100, 3);
  t.ok(run(rig, rig.sendWrite(1025, 0, body)).ok);
  t.equal(countOf(rig, `fdatasync ${FOLDER}/1025`), 0);
  rig.settings.syncEverything = true;
  t.ok(run(rig, rig.sendWrite(1025, 100, body)).ok);
  t.equal(countOf(rig, `fdatasync ${FOLDER}/1025`), 1);
});

t.test('with everything synced creates of one turn share an fsync of their folder', async (t) => {
  const rig = withExtents(0, { syncEverything: true });
  const sent = Array.from({ length: 20 }, () => rig.sendCreate());
  const acknowledged = (): Sent[] => sent.filter(({ ended }) => ended);
  while (acknowledged().length < sent.length) {
    rig.turn();
    rig.sim.step();
    const synced = rig.sim.trace.lastIndexOf(`fsyncFolder ${FOLDER}`);
    for (const { ok, extentId } of acknowledged()) {
      if (!ok || rig.sim.trace.indexOf(`create ${FOLDER}/${extentId}`) > synced) t.fail(`extent ${extentId}`);
    }
  }
  const syncs = countOf(rig, `fsyncFolder ${FOLDER}`);
  t.ok(syncs >= 1 && syncs <= 10, `${syncs} fsyncs for 20 creates`);
  const next = rig.sim.powerLoss(3);
  t.ok(sent.every(({ extentId }) => next.node(`${FOLDER}/${extentId}`)?.kind === 'file'));
});

t.test('with everything synced a failed fsync of the folder is told to the creates', async (t) => {
  const rig = withExtents(1, { syncEverything: true });
  rig.sim.addFault({ call: 'fsyncFolder', path: /datapartition/, errno: 5, count: 1 });
  t.equal(run(rig, rig.sendCreate()).error, `ActionCreateExtent:_sync ${FOLDER}: input/output error`);
  t.same(rig.diskErrors, [5]);
  t.ok(run(rig, rig.sendCreate()).ok, 'the next one tries again');
});

t.test('extents found at a start are not trusted to be in a synced folder', async (t) => {
  const rig = withExtents(1);
  const next = rig.next(rig.sim.processEnd(1));
  next.sim.trace.length = 0;
  t.ok(run(next, next.sendSyncWrite(1025, 0, pattern(10, 4))).ok);
  t.equal(countOf(next, `fsyncFolder ${FOLDER}`), 1);
});

t.test('a failed fdatasync is told to its waiters, and the extent takes no more writes', async (t) => {
  const rig = withExtents(2);
  const body = pattern(4096, 5);
  rig.sim.addFault({ call: 'fdatasync', path: /\/1025$/, errno: 5, count: 1 });
  const sent = [0, 1].map((i) => rig.sendSyncWrite(1025, i * 4096, body));
  rig.run();
  for (const { error } of sent) t.equal(error, `ActionWrite:_sync ${FOLDER}/1025: input/output error`);
  t.same(rig.diskErrors, [5]);
  t.equal(run(rig, rig.sendSyncWrite(1025, 0, body)).error, 'ActionWrite:_extent has been broken');
  t.equal(run(rig, rig.sendWrite(1025, 0, body)).error, 'ActionWrite:_extent has been broken');
  t.ok(run(rig, rig.sendRead(1025, 0, 4096)).ok, 'it can be read');
  t.ok(run(rig, rig.sendSyncWrite(1026, 0, body)).ok, 'others go on');
});

t.test('a write that arrived while the fdatasync failed is not acknowledged by the next one', async (t) => {
  const rig = withExtents(1);
  const body = pattern(4096, 6);
  rig.sim.addFault({ call: 'fdatasync', path: /\/1025$/, errno: 5, count: 1 });
  const first = rig.sendSyncWrite(1025, 0, body);
  rig.turn();
  const second = rig.sendSyncWrite(1025, 4096, body);
  rig.turn();
  rig.run();
  t.match(first.error, /input\/output error/);
  t.match(second.error, /input\/output error/);
});

t.test('a failed fsync of the folder fails the waiters, and the next sync tries again', async (t) => {
  const rig = withExtents(1);
  rig.sim.addFault({ call: 'fsyncFolder', path: /datapartition/, errno: 28, count: 1 });
  t.match(run(rig, rig.sendSyncWrite(1025, 0, pattern(10, 7))).error, /sync .*no space left on device/);
  t.ok(run(rig, rig.sendSyncWrite(1025, 10, pattern(10, 8))).ok);
});

t.test('ids are handed out only below a durable base; the next block is reserved ahead', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT);
  rig.sim.trace.length = 0;
  const created = rig.sendCreate();
  rig.run();
  t.equal(created.extentId, 1025);
  t.equal(storedBase(rig), 1024 + 1 + RESERVED_IDS);
  const meta = rig.sim.trace.indexOf(`fdatasync ${FOLDER}/EXTENT_META`);
  t.ok(meta >= 0 && meta < rig.sim.trace.indexOf(`create ${FOLDER}/1025`), 'durable before the file is made');
  rig.sim.addFault({ call: 'fdatasync', path: /EXTENT_META/, hang: true, count: 1 });
  let ended = 0;
  for (let i = 0; i < RESERVED_IDS; i += 1) {
    const sent = rig.sendCreate();
    for (let turns = 0; turns < 20 && !sent.ended; turns += 1) {
      rig.turn();
      rig.sim.step();
    }
    if (sent.ended) ended += 1;
  }
  t.equal(ended, RESERVED_IDS, 'while the next reservation hangs, the block in use lasts');
  const beyond = rig.sendCreate();
  for (let turns = 0; turns < 20; turns += 1) {
    rig.turn();
    rig.sim.step();
  }
  t.notOk(beyond.ended, 'no id past the durable base');
});

t.test(
  'a reservation that fails is told to the creates that wait for it; the next one tries again',
  async (t) => {
    const rig = SimRig.start();
    rig.create(ROOT);
    rig.sim.addFault({ call: 'pwrite', path: /EXTENT_META/, errno: 28, count: 1 });
    const file = `${FOLDER}/EXTENT_META`;
    const text = `addExtentInfo partition 7 alloc NextExtentId error write ${file}: no space left on device`;
    t.equal(run(rig, rig.sendCreate()).error, `ActionPreparePkt_${text}`);
    rig.sim.addFault({ call: 'fdatasync', path: /EXTENT_META/, errno: 5, count: 1 });
    const failed = [rig.sendCreate(), rig.sendCreate()];
    rig.run();
    for (const { error } of failed) t.match(error, /NextExtentId error sync .*input\/output error/);
    t.equal(run(rig, rig.sendCreate()).extentId, 1025);
  },
);

t.test('EXTENT_META: no base when fresh, ahead while running, exact after a clean close', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT);
  const base = (): string => Buffer.from(rig.sim.content(`${FOLDER}/EXTENT_META`)).toString('hex', 0, 8);
  t.equal(base(), '0000000000000000');
  for (let i = 0; i < 6; i += 1) rig.sendCreate();
  rig.run();
  t.same(rig.stop(), []);
  t.equal(base(), '0000000000000406', 'base 1030');
  const next = rig.next(rig.sim.processEnd(1));
  t.equal(run(next, next.sendCreate()).extentId, 1031);
});

t.test('after the end of the process no id comes twice', async (t) => {
  const rig = withExtents(3);
  const next = rig.next(rig.sim.processEnd(2));
  const created = run(next, next.sendCreate());
  t.equal(created.extentId, 1024 + 1 + RESERVED_IDS + 1);
});

t.test('the budget of open files: least recently used first, synced before it is closed', async (t) => {
  const rig = withExtents(4, { openExtentsMax: 2 });
  const body = pattern(100, 9);
  for (const id of [1025, 1026, 1027, 1028, 1025]) {
    t.ok(run(rig, rig.sendWrite(id, id === 1025 && rig.partitions.get(7)!.usedBytes > 0 ? 50 : 0, body)).ok);
    t.ok(rig.stores.files.openCount <= 2);
  }
  const closing = rig.sim.trace.indexOf(`close ${FOLDER}/1026`);
  t.ok(closing > 0);
  t.equal(rig.sim.trace[closing - 1], `fdatasync ${FOLDER}/1026`);
  rig.sim.trace.length = 0;
  const many = [1025, 1026, 1027, 1028].flatMap((id) => [0, 10, 20].map((at) => rig.sendRead(id, at, 10)));
  rig.run();
  t.ok(
    many.every(({ ok }) => ok),
    'more extents at once than files may be open: they take turns',
  );
  t.ok(rig.sim.openFds() <= 7, 'two extents and the five files of the store');
});

t.test('an operation keeps its extent open although it was about to be closed', async (t) => {
  const rig = withExtents(2, { openExtentsMax: 1 });
  run(rig, rig.sendWrite(1025, 0, pattern(100, 10)));
  const other = rig.sendRead(1026, 0, 1);
  rig.turn();
  const again = rig.sendWrite(1025, 100, pattern(100, 11));
  rig.run();
  t.ok(again.ok);
  t.equal(other.error, 'ActionStreamRead_EOF');
});

t.test('an fdatasync that fails before a file is closed breaks the extent', async (t) => {
  const rig = withExtents(2, { openExtentsMax: 1 });
  run(rig, rig.sendWrite(1025, 0, pattern(100, 12)));
  rig.sim.addFault({ call: 'fdatasync', path: /\/1025$/, errno: 5, count: 1 });
  run(rig, rig.sendRead(1026, 0, 1));
  t.equal(run(rig, rig.sendWrite(1025, 100, pattern(1, 13))).error, 'ActionWrite:_extent has been broken');
});

t.test('a clean stop leaves everything durable', async (t) => {
  const rig = withExtents(2);
  const body = pattern(70_000, 14);
  run(rig, rig.sendWrite(1025, 0, body));
  run(rig, rig.sendWrite(1026, 0, body));
  t.same(rig.stop(), []);
  t.equal(rig.sim.openFds(), 0);
  const next = rig.next(rig.sim.powerLoss(5));
  for (const id of [1025, 1026]) {
    t.same(Buffer.from(run(next, next.sendRead(id, 0, 70_000)).body), Buffer.from(body));
  }
});

t.test('a clean stop tells what it could not sync', async (t) => {
  const rig = withExtents(1);
  run(rig, rig.sendWrite(1025, 0, pattern(10, 15)));
  rig.sim.addFault({ call: 'fdatasync', path: /\/1025$/, errno: 5, count: 1 });
  t.match(rig.stop(), [/input\/output error/]);
});

t.test(
  'a stop after an fdatasync that failed is not clean: what was acknowledged may be missing',
  async (t) => {
    const rig = withExtents(1);
    run(rig, rig.sendWrite(1025, 0, pattern(10, 15)));
    rig.sim.addFault({ call: 'fdatasync', path: /\/1025$/, errno: 28, count: 1 });
    t.notOk(run(rig, rig.sendSyncWrite(1025, 10, pattern(10, 16))).ok);
    t.match(rig.stop(), [/^unsynced data of .*\/1025 was lost$/]);
  },
);
