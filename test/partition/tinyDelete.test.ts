/**
 * Deletes inside tiny extents: which ranges, where the record goes, what is punched, and in which order.
 */
import t from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeClientMarkDelete, encodeMarkDelete } from '../../src/protocol/tinyDelete.js';
import { recordedStreams } from '../protocol/vectors.js';
import { ROOT, run, SimRig } from './simRig.js';
import { pattern, type Sent } from './storeRig.js';

const FOLDER = `${ROOT}/datapartition_7_1073741824`;
const LIST = `${FOLDER}/TINYEXTENT_DELETE`;
const FIRST_RECORD = '000000000000000100000000000000000000000000001388';

/** A rig whose tiny extents 1 and 2 have `count` files of 5000 bytes each. */
function withFiles(count: number, hosts = ['a:1']): SimRig {
  const rig = SimRig.start();
  rig.create(ROOT, { hosts });
  const { tiny } = rig.partitions.get(7)!.store;
  for (let i = 0; i < count; i += 1) {
    for (const id of [1, 2]) {
      const fields = hosts.length === 1 ? {} : { extentId: id, extentOffset: i * 8192 };
      if (hosts.length === 1) for (let other = 3; other <= 64; other += 1) tiny.move(other, 0);
      run(rig, rig.sendTinyWrite(pattern(5000, i), fields));
    }
  }
  rig.sim.trace.length = 0;
  return rig;
}

/** As a meta node sends it. */
function sendDelete(rig: SimRig, extentId: number, extentOffset: number, size: number): Sent {
  const key = { fileOffset: 0, partitionId: 7, extentId: 99, extentOffset, size, crc: 0 };
  const body = encodeClientMarkDelete(key);
  return rig.send({ opcode: OP.markDelete, extentType: 0, extentId }, body);
}

/** As a primary forwards it. */
function dictated(rig: SimRig, extentId: number, extentOffset: number, size: number, at: number): Sent {
  const key = { fileOffset: 0, partitionId: 7, extentId, extentOffset, size, crc: 0 };
  const body = encodeMarkDelete({ ...key, tinyDeleteFileOffset: at });
  return run(rig, rig.send({ opcode: OP.markDelete, extentType: 0, extentId }, body));
}

function listed(rig: SimRig): string {
  return Buffer.from(rig.sim.content(LIST)).toString('hex');
}

function position(rig: SimRig): number {
  return rig.partitions.get(7)!.store.tinyDeleteOffset;
}

t.test('the first record goes to 24, before the punch, with the size that was asked for', async (t) => {
  const rig = withFiles(2);
  const sent = run(rig, sendDelete(rig, 1, 0, 5000));
  t.same([sent.ok, sent.extentId, sent.body.length], [true, 1, 0]);
  t.equal(listed(rig), '0'.repeat(48) + FIRST_RECORD, 'the example of the storage chapter');
  t.equal(position(rig), 24);
  t.same(rig.sim.trace, [`pwrite ${LIST} 24 24`, `punch ${FOLDER}/1 0 8192`]);
  t.same(run(rig, rig.sendRead(1, 0, 5000)).body, new Uint8Array(5000));
  t.same(run(rig, rig.sendRead(1, 8192, 5000)).body, pattern(5000, 1), 'its neighbour stays');
  t.equal(rig.partitions.get(7)!.usedBytes, 3 * 8192);
});

t.test('after a restart the position is the file’s length, and a slot stays empty', async (t) => {
  const rig = withFiles(2);
  run(rig, sendDelete(rig, 1, 0, 5000));
  const next = rig.next(rig.sim.processEnd(1));
  t.equal(position(next), 48);
  t.ok(run(next, sendDelete(next, 1, 8192, 5000)).ok);
  const second = '000000000000000100000000000020000000000000001388';
  t.equal(listed(next), '0'.repeat(48) + FIRST_RECORD + '0'.repeat(48) + second);
  t.equal(position(next), 72);
});

t.test('a file of odd length is continued at whole records', async (t) => {
  const rig = withFiles(1);
  const fd = rig.sim.open(LIST, 2, 0);
  rig.sim.write(fd, new Uint8Array(30), 0);
  const next = rig.next(rig.sim.processEnd(1));
  t.equal(position(next), 48);
  t.equal(next.sim.content(LIST).length, 30, 'a start changes nothing');
  run(next, sendDelete(next, 1, 0, 5000));
  t.equal(listed(next), '0'.repeat(144) + FIRST_RECORD);
});

t.test('what is already a hole, unknown or past the end is success without a record', async (t) => {
  const rig = withFiles(2);
  t.ok(run(rig, sendDelete(rig, 1, 0, 5000)).ok);
  rig.sim.trace.length = 0;
  t.ok(run(rig, sendDelete(rig, 1, 0, 5000)).ok, 'again');
  t.ok(run(rig, sendDelete(rig, 1, 8192, 8193)).ok, 'past the watermark');
  t.ok(run(rig, sendDelete(rig, 3, 0, 0)).ok, 'nothing of an empty extent');
  t.ok(run(rig, sendDelete(rig, 1, 1, 99_999)).ok, 'the end is looked at before the alignment');
  t.ok(run(rig, sendDelete(rig, 1, 8192, 0)).ok, 'a range without bytes');
  t.same(rig.sim.trace, []);
  t.equal(position(rig), 24 * 6, 'each has used up its place');
  t.ok(run(rig, sendDelete(rig, 1, 8192, 8192)).ok);
  t.equal(rig.sim.content(LIST).length, 24 * 8);
});

t.test('a range with holes and data is recorded and punched', async (t) => {
  const rig = withFiles(3);
  t.ok(run(rig, sendDelete(rig, 1, 0, 8192)).ok);
  t.ok(run(rig, sendDelete(rig, 1, 0, 16384)).ok);
  t.same(run(rig, rig.sendRead(1, 8192, 5000)).body, new Uint8Array(5000));
  t.equal(rig.sim.content(LIST).length, 72);
});

t.test('what is refused', async (t) => {
  const rig = withFiles(1);
  const mismatch = 'ActionMarkDelete:_parameter mismatch error';
  t.equal(run(rig, sendDelete(rig, 1, 100, 10)).error, mismatch, 'an offset within a page');
  run(rig, rig.sendCreate());
  t.equal(run(rig, sendDelete(rig, 1025, 0, 10)).error, mismatch, 'a normal extent under the tiny type');
  const bad = rig.send({ opcode: OP.markDelete, extentType: 0, extentId: 1 }, Buffer.from('no'));
  t.match(run(rig, bad).error, /^ActionPreparePkt_addExtentInfo failed /);
  rig.partitions.get(7)!.hosts = ['a:1', 'b:1'];
  const follower = rig.send({ opcode: OP.markDelete, extentType: 0, extentId: 1 }, Buffer.from('no'));
  t.match(run(rig, follower).error, /^ActionMarkDelete:_/);
  const before = Buffer.from('{"ExtentOffset":0,"Size":10,"TinyDeleteFileOffset":-24}');
  const early = rig.send({ opcode: OP.markDelete, extentType: 0, extentId: 1 }, before);
  t.equal(run(rig, early).error, mismatch, 'a place before the file');
});

t.test('a follower writes the record where it is told', async (t) => {
  const rig = withFiles(3, ['a:1', 'b:1']);
  t.ok(dictated(rig, 1, 8192, 5000, 72).ok);
  t.equal(position(rig), 72);
  t.ok(dictated(rig, 1, 0, 5000, 24).ok, 'late');
  t.equal(position(rig), 72, 'the highest');
  t.ok(dictated(rig, 1, 0, 5000, 960).ok);
  t.equal(position(rig), 72, 'nothing was recorded there');
  t.equal(listed(rig).slice(48, 96), FIRST_RECORD);
});

t.test('a failure at any step is told, and the next delete succeeds', async (t) => {
  const steps = [
    { call: 'seek' as const, path: /\/1$/, text: `seek ${FOLDER}/1: ` },
    { call: 'pwrite' as const, path: /TINYEXTENT_DELETE/, text: `write ${LIST}: ` },
    { call: 'fallocate' as const, path: /\/1$/, text: `fallocate ${FOLDER}/1: ` },
  ];
  for (const { call, path, text } of steps) {
    const rig = withFiles(1);
    rig.sim.addFault({ call, path, errno: 5, count: 1 });
    t.equal(run(rig, sendDelete(rig, 1, 0, 5000)).error, `ActionMarkDelete:_${text}input/output error`);
    t.same(rig.diskErrors, [5]);
    t.equal(rig.stores.parkedOperations, 0);
    t.ok(run(rig, sendDelete(rig, 1, 0, 5000)).ok);
    t.same(run(rig, rig.sendRead(1, 0, 5000)).body, new Uint8Array(5000));
  }
});

t.test('deletes beside appends to the same extents, with few open files', async (t) => {
  const rig = SimRig.start({ openExtentsMax: 2 });
  rig.create(ROOT);
  for (let i = 0; i < 64; i += 1) run(rig, rig.sendTinyWrite(pattern(4096, i)));
  const deletes = Array.from({ length: 64 }, (_, i) => sendDelete(rig, i + 1, 0, 4096));
  const appends = Array.from({ length: 64 }, (_, i) =>
    rig.sendTinyWrite(pattern(4096, i), { opcode: OP.syncWrite }),
  );
  rig.run();
  t.ok([...deletes, ...appends].every(({ ok }) => ok));
  for (const { extentId } of appends) {
    const i = appends.findIndex((sent) => sent.extentId === extentId);
    const whole = Buffer.concat([new Uint8Array(4096), pattern(4096, i)]);
    t.equal(Buffer.compare(rig.sim.content(`${FOLDER}/${extentId}`), whole), 0);
  }
  t.equal(rig.partitions.get(7)!.usedBytes, 64 * 4096);
  t.equal(rig.sim.content(LIST).length, 65 * 24);
});

t.test('a punched range has its record, whenever the process ends', async (t) => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const rig = withFiles(2);
    const sent = [sendDelete(rig, 1, 0, 5000), sendDelete(rig, 2, 8192, 5000)];
    for (let i = 0; i < seed % 12; i += 1) {
      rig.turn();
      rig.sim.step();
    }
    const next = rig.next(rig.sim.processEnd(seed));
    for (const [i, at] of [0, 8192].entries()) {
      const punched = next.sim.content(`${FOLDER}/${i + 1}`)[at + 4999] !== pattern(5000, i)[4999];
      const recorded = next.sim.content(LIST).length >= 48 + i * 24;
      if (punched && !recorded) t.fail(`seed ${seed}: punched without a record`);
      if (sent[i]!.ended && !punched) t.fail(`seed ${seed}: acknowledged and not punched`);
    }
  }
});

t.test('a partition that is taken away ends its deletes', async (t) => {
  for (let turns = 0; turns < 10; turns += 1) {
    const rig = withFiles(4);
    const sent = [0, 1, 2, 3].flatMap((i) => [1, 2].map((id) => sendDelete(rig, id, i * 8192, 5000)));
    for (let i = 0; i < turns; i += 1) {
      rig.turn();
      rig.sim.step();
    }
    rig.stores.retire(rig.partitions.get(7)!.store, 'data partition not exists');
    rig.partitions.delete(7);
    rig.run();
    t.ok(sent.every(({ ended }) => ended));
    t.same([rig.stores.parkedOperations, rig.sim.openFds()], [0, 0]);
  }
});

t.test('recorded deletes of the reference end as there, and leave its records', async (t) => {
  let followers = 0;
  let primaries = 0;
  for (const { packets, bytes } of recordedStreams()) {
    for (const packet of packets) {
      const { dir, op, extentType, result, extent, remainingFollowers, offset, len, argLen } = packet;
      if (dir !== 'c2s' || op !== OP.markDelete || extentType !== 0 || result !== 'init') continue;
      const body = bytes.c2s.slice(offset + 57 + argLen, offset + len);
      const key = JSON.parse(Buffer.from(body).toString()) as Record<string, number>;
      const rig = withFiles(0, remainingFollowers > 0 ? ['a:1'] : ['a:1', 'b:1']);
      const { table } = rig.partitions.get(7)!.store;
      const end = key['ExtentOffset']! + key['Size']!;
      const fd = rig.sim.open(`${FOLDER}/${extent}`, 2, 0);
      rig.sim.write(fd, pattern(end, 1), 0);
      rig.sim.close(fd);
      table.sizes[table.find(extent)] = Math.ceil(end / 4096) * 4096;
      const sent = rig.send({ opcode: op, extentType, extentId: extent, remainingFollowers }, body);
      t.ok(run(rig, sent).ok);
      const at = remainingFollowers > 0 ? 24 : key['TinyDeleteFileOffset']!;
      const record = Buffer.from(rig.sim.content(LIST)).subarray(at);
      t.same(
        [0, 8, 16].map((field) => Number(record.readBigUInt64BE(field))),
        [extent, key['ExtentOffset'], key['Size']],
      );
      if (remainingFollowers > 0) primaries += 1;
      else followers += 1;
    }
  }
  t.ok(followers > 3 && primaries > 1, `${followers} dictated, ${primaries} from meta nodes`);
});
