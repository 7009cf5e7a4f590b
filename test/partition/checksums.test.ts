/**
 * Checksums in the background (`docs/checksums.md`): computed, compared, trusted over restarts, and void when a Go node had the folder.
 */
import { crc32 } from 'node:zlib';
import t from 'tap';
import type { StoreSettings } from '../../src/partition/storeHost.js';
import { EXTENT_FLAG } from '../../src/storage/extentTable.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { ROOT, run, SimRig } from './simRig.js';
import { pattern } from './storeRig.js';
import { slotsOf, wrongTrustedSlots } from './trustedSlots.js';

const FOLDER = `${ROOT}/datapartition_7_1073741824`;
const QUIET_MS = 601_000;

function rigWith(
  settings: Partial<StoreSettings> = {},
  makeDisk?: Parameters<typeof SimRig.start>[2],
): SimRig {
  const rig = SimRig.start(settings, 1, makeDisk);
  rig.create(ROOT);
  return rig;
}

/** An extent of so many bytes, the content of `pattern(bytes, seed)`. */
function extentOf(rig: SimRig, bytes: number, seed = 1): number {
  const { extentId } = run(rig, rig.sendCreate());
  for (let at = 0; at < bytes; at += BLOCK_BYTES) {
    const body = pattern(bytes, seed).subarray(at, Math.min(at + BLOCK_BYTES, bytes));
    t.ok(run(rig, rig.sendWrite(extentId, at, body)).ok);
  }
  return extentId;
}

/** Time passes, and everything that is due is done. */
function rest(rig: SimRig, ms = QUIET_MS): void {
  rig.simClock.advance(ms);
  for (let turn = 0; turn < 4; turn += 1) {
    rig.stores.tick();
    rig.run();
  }
}

function flags(rig: SimRig, id: number): { trusted: boolean; clean: boolean; damaged: boolean } {
  const { table } = rig.partitions.get(7)!.store;
  const row = table.find(id);
  return {
    trusted: table.has(row, EXTENT_FLAG.trusted),
    clean: table.has(row, EXTENT_FLAG.clean),
    damaged: table.has(row, EXTENT_FLAG.damaged),
  };
}

function crcOf(rig: SimRig, id: number): number {
  const { table } = rig.partitions.get(7)!.store;
  return table.crcs[table.find(id)]!;
}

/** The extent CRC of `storage.md` 6.4. */
function extentCrc(bytes: Uint8Array): number {
  const words = Buffer.alloc(Math.ceil(bytes.length / BLOCK_BYTES) * 4);
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
    words.writeUInt32BE(crc32(bytes.subarray(at, at + BLOCK_BYTES)), (at / BLOCK_BYTES) * 4);
  }
  return crc32(words);
}

/** Changes one byte of a file behind the node's back. */
function flip(rig: SimRig, path: string, at: number): void {
  const fd = rig.sim.open(path, 2, 0);
  const byte = new Uint8Array(1);
  rig.sim.read(fd, byte, at);
  byte[0]! ^= 1;
  rig.sim.write(fd, byte, at);
  rig.sim.close(fd);
}

/** As the kernel does by itself, some time. */
function sync(rig: SimRig, path: string): void {
  const fd = rig.sim.open(path, 2, 0);
  rig.sim.fdatasync(fd);
  rig.sim.close(fd);
}

/** What a Go node does to a folder that it opens. */
function openedByGo(rig: SimRig): void {
  const fd = rig.sim.open(`${FOLDER}/EXTENT_META`, 2, 0);
  rig.sim.write(fd, new Uint8Array(8), 8);
  rig.sim.close(fd);
}

function restart(rig: SimRig): SimRig {
  t.same(rig.stop(), []);
  return rig.next(rig.sim.processEnd(1));
}

t.test(
  'a quiet extent gets its missing slots, its CRC, and becomes clean; before that it has none',
  async (t) => {
    const rig = rigWith();
    const body = pattern(2 * BLOCK_BYTES + 5000, 1);
    const id = extentOf(rig, body.length);
    rest(rig, 599_000);
    t.equal(crcOf(rig, id), 0, 'written to less than ten minutes ago');
    t.same(flags(rig, id), { trusted: true, clean: false, damaged: false });
    rest(rig, 2000);
    t.equal(crcOf(rig, id), extentCrc(body));
    const slots = slotsOf(rig, rig.partitions.get(7)!.store, id);
    t.equal(slots.getUint32(8), crc32(body.subarray(2 * BLOCK_BYTES)), 'the slot of the part of a block');
    t.same(flags(rig, id), { trusted: true, clean: true, damaged: false });
    t.ok(run(rig, rig.sendWrite(id, body.length, pattern(10, 3))).ok);
    t.equal(crcOf(rig, id), 0, 'any write takes the CRC away');
  },
);

t.test(
  'a clean extent is one after any crash; its first write takes that away before it changes a byte',
  async (t) => {
    const rig = rigWith();
    const id = extentOf(rig, BLOCK_BYTES);
    t.ok(
      run(rig, rig.sendSyncWrite(id, BLOCK_BYTES, pattern(10, 1))).ok,
      'so that its entry in the folder is durable',
    );
    rest(rig);
    sync(rig, `${FOLDER}/EXTENT_CLEAN`);
    const lost = rig.next(rig.sim.powerLoss(1));
    t.same(flags(lost, id), { trusted: true, clean: true, damaged: false }, 'after a power loss');
    lost.sim.trace.length = 0;
    t.ok(run(lost, lost.sendWrite(id, 100, pattern(10, 2))).ok);
    const writes = lost.sim.trace.filter((line) =>
      /^(pwrite|fdatasync) .*\/(EXTENT_CLEAN|EXTENT_CRC|1025)/.test(line),
    );
    t.match(writes[0], /^pwrite .*EXTENT_CLEAN/);
    t.match(writes[1], /^fdatasync .*EXTENT_CLEAN/);
    t.match(writes[2], /^pwrite .*EXTENT_CRC/);
    t.match(writes[3], /^pwrite .*1025/);
    t.same(flags(lost, id), { trusted: true, clean: false, damaged: false });
    t.same(flags(lost.next(lost.sim.processEnd(1)), id), { trusted: false, clean: false, damaged: false });
  },
);

t.test('writes that come during that wait for it, in their order, and share it', async (t) => {
  const rig = rigWith();
  const ids = [extentOf(rig, 1000, 1), extentOf(rig, 1000, 2)];
  rest(rig);
  rig.sim.trace.length = 0;
  const sent = [0, 1, 2].flatMap((i) =>
    ids.map((id) => rig.sendWrite(id, 1000 + i * 10, pattern(10, i + 5))),
  );
  rig.run();
  t.ok(sent.every(({ ok }) => ok));
  t.equal(rig.sim.trace.filter((line) => /^fdatasync .*EXTENT_CLEAN/.test(line)).length, 1);
  const bytes = rig.sim.content(`${FOLDER}/${ids[0]}`).subarray(1000);
  t.same(Buffer.from(bytes), Buffer.concat([5, 6, 7].map((seed) => pattern(10, seed))));
});

t.test(
  'a clean extent of which the entry cannot be taken away takes no write, and changes not',
  async (t) => {
    for (const call of ['pwrite', 'fdatasync'] as const) {
      const rig = rigWith();
      const id = extentOf(rig, 1000);
      rest(rig);
      rig.sim.addFault({ call, path: /EXTENT_CLEAN/, errno: 5, count: 1 });
      const refused = run(rig, rig.sendWrite(id, 1000, pattern(10, 1)));
      t.match(refused.error, /ActionWrite:_(write|sync) .*EXTENT_CLEAN: input\/output error/);
      t.same(rig.diskErrors, [5]);
      t.equal(rig.sim.content(`${FOLDER}/${id}`).length, 1000);
      t.ok(run(rig, rig.sendWrite(id, 1000, pattern(10, 1))).ok, 'the next one tries again');
    }
  },
);

t.test(
  'after a clean stop all own extents are clean; a kill leaves those of the last minutes to be compared',
  async (t) => {
    const rig = rigWith();
    const id = extentOf(rig, 3 * BLOCK_BYTES);
    const stopped = restart(rig);
    t.same(flags(stopped, id), { trusted: true, clean: true, damaged: false });
    t.ok(run(stopped, stopped.sendWrite(id, 3 * BLOCK_BYTES, pattern(10, 1))).ok);
    const killed = stopped.next(stopped.sim.processEnd(1));
    t.same(flags(killed, id), { trusted: false, clean: false, damaged: false });
    rest(killed);
    t.same(flags(killed, id), { trusted: true, clean: true, damaged: false });
  },
);

t.test('what a crash left wrong in an own extent is computed again, and told', async (t) => {
  const rig = rigWith();
  const id = extentOf(rig, 2 * BLOCK_BYTES);
  const next = rig.next(rig.sim.processEnd(1));
  flip(next, `${FOLDER}/${id}`, 5);
  rest(next);
  t.same(flags(next, id), { trusted: true, clean: true, damaged: false });
  t.same(wrongTrustedSlots(next), { wrong: [], compared: 2 });
  t.ok(next.complaints.some((line) => line.includes('a crash had left wrong')));
  t.equal(next.stores.checksums.report().computing.recomputedBlocks, 1);
});

t.test(
  'a Go node that had the folder voids everything; right extents are trusted again, wrong ones stay suspect',
  async (t) => {
    const rig = rigWith();
    const [right, wrong] = [extentOf(rig, 2 * BLOCK_BYTES, 1), extentOf(rig, 2 * BLOCK_BYTES, 2)];
    t.same(rig.stop(), []);
    openedByGo(rig);
    flip(rig, `${FOLDER}/${wrong}`, BLOCK_BYTES + 7);
    const next = rig.next(rig.sim.processEnd(1));
    for (const id of [right, wrong])
      t.same(flags(next, id), { trusted: false, clean: false, damaged: false });
    rest(next);
    t.same(flags(next, right), { trusted: true, clean: true, damaged: false });
    t.same(flags(next, wrong), { trusted: false, clean: false, damaged: false });
    const { findings } = next.stores.checksums.report();
    t.match(findings, [{ partitionId: 7, extentId: wrong, kind: 'suspect', blocks: [1] }]);
    const read = run(next, next.sendRead(wrong, BLOCK_BYTES, BLOCK_BYTES));
    t.ok(read.ok, 'the block is served: its slot may be the wrong part');
    t.equal(read.crc, crc32(read.body));
    t.not(crcOf(next, wrong), 0, 'its CRC is told as the reference tells it');
    const again = restart(next);
    t.same(flags(again, right), { trusted: true, clean: true, damaged: false }, 'under a new stamp');
  },
);

t.test('the stamp of a folder is never an old one, whatever the clock says', async (t) => {
  const rig = rigWith();
  t.same(rig.stop(), []);
  openedByGo(rig);
  const next = rig.next(rig.sim.processEnd(1));
  const { store } = next.partitions.get(7)!;
  const before = store.lastStamp;
  next.simClock.jumpTo(next.simClock.nowMs() - 1_000_000);
  const id = extentOf(next, BLOCK_BYTES);
  const again = restart(next);
  t.equal(again.partitions.get(7)!.store.cleanStamp, before + 1);
  t.same(flags(again, id), { trusted: true, clean: true, damaged: false });
});

t.test('opening and closing a folder that a Go node had changes nothing in it', async (t) => {
  const rig = rigWith();
  const id = extentOf(rig, BLOCK_BYTES);
  t.same(rig.stop(), []);
  openedByGo(rig);
  const names = ['EXTENT_META', 'EXTENT_CRC', 'EXTENT_CLEAN', String(id)];
  const contents = (disk: SimRig): string[] =>
    names.map((name) => Buffer.from(disk.sim.content(`${FOLDER}/${name}`)).toString('base64'));
  const before = contents(rig);
  const next = rig.next(rig.sim.processEnd(1));
  t.same(next.stop(), []);
  t.same(contents(next), before);
});

t.test('an entry of a file with another size or time says nothing', async (t) => {
  const rig = rigWith();
  const id = extentOf(rig, BLOCK_BYTES);
  t.same(rig.stop(), []);
  rig.simClock.advance(5000);
  flip(rig, `${FOLDER}/${id}`, 3);
  t.same(flags(rig.next(rig.sim.processEnd(1)), id), { trusted: false, clean: false, damaged: false });
});

t.test(
  'a damaged block of a trusted extent is not served whole, is listed, and survives a restart as a finding',
  async (t) => {
    const rig = rigWith();
    const id = extentOf(rig, 3 * BLOCK_BYTES);
    rest(rig);
    // Rot: the bytes change and the file's times do not.
    const now = rig.simClock.nowMs();
    rig.simClock.jumpTo(now - QUIET_MS);
    flip(rig, `${FOLDER}/${id}`, BLOCK_BYTES + 1);
    rig.simClock.jumpTo(now);
    t.ok(run(rig, rig.sendRead(id, 0, BLOCK_BYTES)).ok, 'the others are served');
    t.ok(run(rig, rig.sendRead(id, BLOCK_BYTES, 4096)).ok, 'a smaller read is not made larger');
    const refused = run(rig, rig.sendRead(id, BLOCK_BYTES, BLOCK_BYTES));
    t.equal(refused.error, `ActionStreamRead_extent 7_${id} block 1 is damaged: its checksum does not fit`);
    t.ok(rig.complaints.some((line) => line.includes('not what its checksum says')));
    rest(rig, 1000);
    t.match(rig.stores.checksums.report().findings, [{ extentId: id, kind: 'damaged', blocks: [1] }]);
    t.same(flags(rig, id), { trusted: true, clean: true, damaged: true });
    const next = restart(rig);
    t.same(flags(next, id), { trusted: true, clean: true, damaged: true });
    t.match(next.stores.checksums.report().findings, [{ extentId: id, kind: 'damaged', blocks: [] }]);
    t.notOk(run(next, next.sendRead(id, BLOCK_BYTES, BLOCK_BYTES)).ok);
    t.ok(run(next, next.sendWrite(id, BLOCK_BYTES, pattern(BLOCK_BYTES, 9))).ok, 'written over as a whole');
    next.stores.checksums.startScrub();
    rest(next);
    rest(next, 1000);
    t.same(next.stores.checksums.report().findings, []);
    t.ok(run(next, next.sendRead(id, BLOCK_BYTES, BLOCK_BYTES)).ok);
  },
);

t.test('a write that starts during a check makes it worth nothing', async (t) => {
  const rig = rigWith();
  const id = extentOf(rig, 4 * BLOCK_BYTES + 100);
  for (let steps = 1; steps < 60; steps += 1) {
    rig.simClock.advance(QUIET_MS);
    rig.stores.tick();
    for (let i = 0; i < steps; i += 1) {
      rig.turn();
      rig.sim.step();
    }
    rig.threaded = steps % 2 === 0;
    const sent = rig.sendWrite(id, (steps % 5) * BLOCK_BYTES + 50, pattern(50, steps));
    rig.run();
    t.ok(sent.ok);
    const { wrong } = wrongTrustedSlots(rig);
    if (wrong.length > 0) t.fail(`${wrong.join()} after ${steps} steps`);
    t.equal(crcOf(rig, id), 0, 'and there is no CRC of before the write');
    t.notOk(flags(rig, id).clean);
  }
});

t.test('a read that fails publishes nothing; the disk is told, and the extent is tried again', async (t) => {
  const rig = rigWith();
  const id = extentOf(rig, BLOCK_BYTES + 10);
  rig.sim.addFault({ call: 'pread', path: /\/1025$/, errno: 5, count: 1 });
  rest(rig);
  t.same(rig.diskErrors, [5]);
  rest(rig, 1000);
  rest(rig, 1000);
  t.not(crcOf(rig, id), 0);
});

t.test('the pace holds: nothing is read beyond the rate', async (t) => {
  const rig = rigWith({ checksumBytesPerSecond: BLOCK_BYTES * 10 });
  const ids = [1, 2, 3].map((seed) => extentOf(rig, 10 * BLOCK_BYTES, seed));
  const next = rig.next(rig.sim.processEnd(1));
  next.simClock.advance(QUIET_MS);
  let turns = 0;
  const begun = next.simClock.monotonicNs();
  while (ids.some((id) => crcOf(next, id) === 0)) {
    next.stores.tick();
    next.run();
    const waitMs = next.stores.wakeInMs();
    if (Number.isFinite(waitMs)) next.simClock.advance(Math.max(1, waitMs));
    turns += 1;
    if (turns > 1000) throw new Error('it never ends');
  }
  const seconds = (next.simClock.monotonicNs() - begun) / 1e9;
  t.ok(seconds >= 2.5 && seconds <= 3.1, `30 blocks at 10 a second, a burst of 4: ${seconds} s`);
});

t.test('a rate of 0 turns the work off', async (t) => {
  const rig = rigWith({ checksumBytesPerSecond: 0, scrubBytesPerSecond: 0, scrubIntervalMs: 1000 });
  const id = extentOf(rig, 10);
  rest(rig);
  rest(rig);
  t.equal(crcOf(rig, id), 0);
  t.notOk(rig.stores.checksums.report().scrub.running);
});

t.test('an extent whose fdatasync failed takes no writes after a restart either', async (t) => {
  const rig = rigWith();
  const id = extentOf(rig, 1000);
  rig.sim.addFault({ call: 'fdatasync', path: /\/1025$/, errno: 5, count: 1 });
  t.notOk(run(rig, rig.sendSyncWrite(id, 1000, pattern(10, 1))).ok);
  rest(rig, 1000);
  const next = rig.next(rig.sim.processEnd(1));
  t.match(run(next, next.sendWrite(id, 1010, pattern(10, 1))).error, /extent has been broken/);
  t.ok(run(next, next.sendRead(id, 0, 1000)).ok);
});

t.test('a partition that goes away in the middle of a check leaves no file open', async (t) => {
  for (let steps = 1; steps < 40; steps += 3) {
    const rig = rigWith();
    extentOf(rig, 4 * BLOCK_BYTES + 1);
    rig.simClock.advance(QUIET_MS);
    rig.stores.tick();
    for (let i = 0; i < steps; i += 1) {
      rig.turn();
      rig.sim.step();
    }
    const partition = rig.partitions.get(7)!;
    rig.partitions.delete(7);
    rig.stores.retire(partition.store, 'data partition not exists');
    rig.run();
    t.equal(rig.sim.openFds(), 0, `after ${steps} steps`);
  }
});
