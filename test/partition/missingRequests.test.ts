/** What is missing of a replica, as the repair thread asks for it and as everybody else meets it. */
import t from 'tap';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import {
  FILL_HEADER_BYTES,
  MISSING_PART_BYTES,
  type MissingPart,
  readMissingParts,
  writeFillHeader,
} from '../../src/partition/internalRecords.js';
import { RANGES_PER_EXTENT_MAX } from '../../src/partition/missingRanges.js';
import { OP } from '../../src/protocol/opcodes.js';
import { ApplyRig } from './applyRig.js';
import { ask, HOSTS, send } from './internalRig.js';
import { run } from './simRig.js';
import { pattern, type Sent } from './storeRig.js';

const KiB = 1024;
const MEMBERS = HOSTS.map((addr, at) => ({ id: at + 1, addr }));
const REFUSED = /content is missing on this replica/;

/** One of three replicas, with extents of these sizes. */
function member(sizes: readonly number[]): ApplyRig {
  const rig = ApplyRig.start(sizes);
  if (rig.partition.setMembers(MEMBERS, HOSTS) !== 0) throw new Error('META was not written');
  return rig;
}

/** Writes an extent cannot take: `[from, from + 10)` is missing. */
function miss(rig: ApplyRig, extentId: number, from: number): number {
  const index = rig.write({ extentId, at: from, body: pattern(10, from) });
  rig.run();
  return index;
}

function page(rig: ApplyRig, from: number, room: number): Sent {
  const sent = send(rig.rig, INTERNAL_OP.listMissing, { extentOffset: from });
  sent.op.bufferBytes = room;
  return run(rig.rig, sent);
}

function list(rig: ApplyRig, room = 131_072): MissingPart[] {
  const parts: MissingPart[] = [];
  for (let from = 0; from >= 0; ) {
    const sent = page(rig, from, room);
    if (!sent.ok) throw new Error(sent.error);
    parts.push(...readMissingParts(Buffer.from(sent.body)));
    from = sent.extentOffset;
  }
  return parts;
}

function copyOf(bytes: Uint8Array, appliedIndex: number, about = bytes.length): Uint8Array {
  const body = new Uint8Array(FILL_HEADER_BYTES + bytes.length);
  writeFillHeader(new DataView(body.buffer), 0, { appliedIndex, bytes: about });
  body.set(bytes, FILL_HEADER_BYTES);
  return body;
}

function fill(rig: ApplyRig, extentId: number, from: number, bytes: Uint8Array, appliedIndex: number): Sent {
  return ask(rig.rig, INTERNAL_OP.fillMissing, { extentId, extentOffset: from }, copyOf(bytes, appliedIndex));
}

function read(rig: ApplyRig, opcode: number, extentId: number, extentOffset: number, size: number): Sent {
  const sent = rig.rig.send({ opcode, extentId, extentOffset, size });
  rig.run();
  return sent;
}

/** Makes an extent longer, as repair does. */
function grow(rig: ApplyRig, extentId: number, bytes: number): void {
  rig.rig.sendSyncWrite(extentId, rig.content(extentId).length, new Uint8Array(bytes));
  rig.run();
}

t.test('what is missing is listed in pages, each extent in one of them, and no deleted one', async (t) => {
  const rig = member([1, 1, 1, 1].map(() => 8 * KiB));
  for (const extentId of [1025, 1026, 1027, 1028]) for (const from of [9000, 9100]) miss(rig, extentId, from);
  const room = RANGES_PER_EXTENT_MAX * MISSING_PART_BYTES;
  const parts = list(rig, room);
  t.same(
    parts.map(({ extentId, from, to }) => [extentId, from, to]),
    [1025, 1026, 1027, 1028].flatMap((id) => [
      [id, 9000, 9010],
      [id, 9100, 9110],
    ]),
  );
  t.equal(page(rig, 0, room).extentOffset, 1);
  t.match(page(rig, 0, room - 1).error, /parameter mismatch/);
  t.equal(ask(rig.rig, INTERNAL_OP.raftState).op.extentId, 0, 'no group runs here');
  rig.rig.send({ opcode: OP.markDelete, extentId: 1026 });
  rig.run();
  t.same([...new Set(list(rig).map(({ extentId }) => extentId))], [1025, 1027, 1028]);
  t.ok(ask(rig.rig, INTERNAL_OP.forgetMissing, { extentId: 1027, extentOffset: 9105 }).ok);
  t.same(
    list(rig)
      .filter(({ extentId }) => extentId === 1027)
      .map(({ to }) => to),
    [9010, 9105],
  );
  t.ok(ask(rig.rig, INTERNAL_OP.forgetMissing, { extentId: 1027, extentOffset: 0 }).ok);
  t.same([...new Set(list(rig).map(({ extentId }) => extentId))], [1025, 1028]);
});

t.test('nobody gets bytes that are missing, and everybody gets the others', async (t) => {
  const rig = member([8 * KiB, 8 * KiB]);
  const index = miss(rig, 1025, 9000);
  grow(rig, 1025, 8 * KiB);
  for (const opcode of [OP.streamFollowerRead, OP.extentRepairRead]) {
    t.match(read(rig, opcode, 1025, 9009, 100).error, REFUSED);
    t.match(read(rig, opcode, 1025, 8192, 809).error, REFUSED);
    t.ok(read(rig, opcode, 1025, 9010, 100).ok);
    t.ok(read(rig, opcode, 1025, 8192, 808).ok);
    t.ok(read(rig, opcode, 1026, 0, 4096).ok);
  }
  t.ok(ask(rig.rig, INTERNAL_OP.readBlock, { extentId: 1025, size: 131_072 }).ok, 'repair compares it');
  const body = pattern(10, 77);
  t.equal(fill(rig, 1025, 9000, body, index - 1).extentOffset, 0, 'too old');
  t.match(read(rig, OP.streamFollowerRead, 1025, 9000, 10).error, REFUSED);
  t.equal(fill(rig, 1025, 9000, body, index).extentOffset, 10);
  const sent = read(rig, OP.streamFollowerRead, 1025, 9000, 10);
  t.ok(sent.ok && Buffer.compare(sent.body, body) === 0, 'what was fetched is read');
});

t.test(
  'while a comparison is wanted nothing is read, then what was not compared; a lone replica reads all',
  async (t) => {
    const rig = member([8 * KiB, 8 * KiB]);
    rig.apply.restore({ index: 50, term: 1, peers: [] }, () => undefined);
    rig.run();
    t.match(read(rig, OP.streamFollowerRead, 1025, 0, 10).error, REFUSED);
    t.ok(ask(rig.rig, INTERNAL_OP.compareAll).ok);
    t.same(
      list(rig),
      [1025, 1026].map((extentId) => ({ extentId, from: 0, to: 8 * KiB, index: 50 })),
    );
    const marked = ask(
      rig.rig,
      INTERNAL_OP.fillMissing,
      { extentId: 1025, extentOffset: 0 },
      copyOf(new Uint8Array(0), 50, 4096),
    );
    t.equal(marked.extentOffset, 0, 'nothing is written of what is equal');
    t.ok(read(rig, OP.streamFollowerRead, 1025, 0, 4096).ok);
    t.match(read(rig, OP.streamFollowerRead, 1025, 0, 4097).error, REFUSED);
    t.match(read(rig, OP.streamFollowerRead, 1026, 0, 10).error, REFUSED);
    // It goes on where it was, and does not begin anew.
    rig.pass(11);
    const next = rig.next(rig.rig.sim.powerLoss(1));
    t.same([next.apply.missing.compareFrom, list(next).map(({ from }) => from)], [0, [4096, 0]]);
    t.equal(next.partition.setMembers(MEMBERS.slice(1, 2), HOSTS.slice(1, 2)), 0);
    t.ok(read(next, OP.streamFollowerRead, 1026, 0, 10).ok, 'nobody else has it');
  },
);

t.test('a comparison is as of the newest entry that was handed over, applied or not', async (t) => {
  const rig = member([8 * KiB]);
  rig.apply.restore({ index: 50, term: 1, peers: [] }, () => undefined);
  rig.run();
  const index = rig.write({ extentId: 1025, at: 100, body: pattern(10, 1) });
  rig.apply.compareAll();
  t.equal(rig.apply.appliedIndex, 50);
  rig.run();
  t.same(
    list(rig).map((part) => part.index),
    [index, index],
    'it was carried out after that, and is newer',
  );
  t.equal(rig.apply.missing.lacks(1025, 100, 110), false);
});

t.test('tiny extents: what is missing is not given to other replicas', async (t) => {
  const rig = member([]);
  const appended = rig.rig.send(
    { opcode: OP.write, extentType: 0, extentId: 5, extentOffset: 0 },
    pattern(8 * KiB, 1),
  );
  rig.run();
  t.ok(appended.ok, appended.error);
  const stream = (from: number, size: number, internal = false): Sent => {
    const sent = rig.rig.send({
      opcode: OP.tinyExtentRepairRead,
      ...{ extentType: 0, extentId: 5, extentOffset: from, size, internal },
    });
    rig.run();
    return sent;
  };
  t.ok(stream(0, 8 * KiB).ok);
  rig.apply.restore({ index: 50, term: 1, peers: [] }, () => undefined);
  rig.run();
  t.ok(ask(rig.rig, INTERNAL_OP.compareAll).ok);
  t.match(stream(0, 4096).error, REFUSED);
  t.ok(stream(0, 4096, true).ok, 'repair compares it');
  ask(rig.rig, INTERNAL_OP.fillMissing, { extentId: 5 }, copyOf(new Uint8Array(0), 50, 4096));
  t.ok(stream(0, 4096).ok);
  t.match(stream(4096, 4096).error, REFUSED);
});

t.test('what makes no sense is refused, and written by nobody', async (t) => {
  const rig = member([8 * KiB]);
  const index = miss(rig, 1025, 9000);
  grow(rig, 1025, 8 * KiB);
  const bytes = pattern(10, 3);
  for (const [fields, body] of [
    [{ extentOffset: -1 }, copyOf(bytes, index)],
    [{ extentOffset: 9000 }, copyOf(bytes, index).subarray(0, FILL_HEADER_BYTES - 1)],
    [{ extentOffset: 9000 }, copyOf(bytes, index, 9)],
    [{ extentOffset: 9000 }, copyOf(bytes, Number.NaN)],
    [{ extentOffset: 9000 }, copyOf(new Uint8Array(0), index, 0)],
  ] as const)
    t.match(
      ask(rig.rig, INTERNAL_OP.fillMissing, { extentId: 1025, ...fields }, body).error,
      /parameter mismatch/,
    );
  t.match(
    ask(rig.rig, INTERNAL_OP.forgetMissing, { extentId: 1025, extentOffset: -1 }).error,
    /parameter mismatch/,
  );
  t.match(ask(rig.rig, INTERNAL_OP.listMissing, { extentOffset: -1 }).error, /parameter mismatch/);
  t.equal(list(rig).length, 1);
  rig.rig.health.status = -1;
  t.match(fill(rig, 1025, 9000, bytes, index).error, /disk has broken/);
});

t.test('a copy that waits ends when its partition goes, and when the worker comes to rest', async (t) => {
  for (const end of ['abandon', 'rest'] as const) {
    const rig = member([8 * KiB]);
    const index = miss(rig, 1025, 9000);
    grow(rig, 1025, 8 * KiB);
    // It waits for a lane.
    const lanes = [];
    for (
      let lane = rig.rig.stores.applies.takeLane();
      lane !== null;
      lane = rig.rig.stores.applies.takeLane()
    )
      lanes.push(lane);
    const sent = send(
      rig.rig,
      INTERNAL_OP.fillMissing,
      { extentId: 1025, extentOffset: 9000 },
      copyOf(pattern(10, 5), index),
    );
    rig.rig.turn();
    t.equal(sent.ended, false);
    if (end === 'abandon') rig.apply.abandon('gone');
    else rig.rig.stores.stop();
    rig.rig.turn();
    t.equal(sent.ended, true, end);
    t.equal(sent.extentOffset, 0, 'nothing was written');
    t.equal(rig.apply.missing.count, 1);
    if (end === 'rest') {
      const late = send(rig.rig, INTERNAL_OP.fillMissing, { extentId: 1025 }, copyOf(pattern(10, 5), index));
      rig.rig.turn();
      rig.rig.turn();
      t.equal(late.ended, true, 'one that comes later ends too');
    }
    for (const lane of lanes) rig.rig.stores.applies.giveLane(lane);
    rig.run();
  }
  const rig = member([8 * KiB]);
  rig.partition.raftApply = null;
  t.match(ask(rig.rig, INTERNAL_OP.listMissing).error, /raft not exists/);
});
