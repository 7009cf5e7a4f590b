/** The repair thread brings what is missing: questions to its worker, and to peers that misbehave. */
import { crc32 } from 'node:zlib';
import t, { type Test } from 'tap';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import {
  FILL_HEADER_BYTES,
  MISSING_PART_BYTES,
  type MissingPart,
  readFillHeader,
  writeMissingPart,
} from '../../src/partition/internalRecords.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeUint64Body } from '../../src/protocol/queries.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { AppliedPeers } from '../../src/repair/appliedPeers.js';
import { REPAIR_COUNTER } from '../../src/repair/messages.js';
import { type LackingPartition, MISSING_MS, MissingJob } from '../../src/repair/missingJob.js';
import { OwnReplica } from '../../src/repair/ownReplica.js';
import { PEER_LIMITS } from '../../src/repair/peerConnection.js';
import { PeerReplicas } from '../../src/repair/peerReplica.js';
import { Sources } from '../../src/repair/sources.js';
import { FakePeer, type Piece } from '../support/fakePeer.js';
import { pattern } from '../support/requests.js';
import { until } from '../support/until.js';
import { type Given, portsAndWorkers, repairMemory, type Taken } from './repairWorker.js';

const OWN = '10.0.0.1:17310';
const KiB = 1024;

function errorOf(text: string): Piece[] {
  return [
    { header: { resultCode: RESULT.intraGroupNetErr }, arg: new Uint8Array(0), body: Buffer.from(text) },
  ];
}

/** A replica that lacks `parts` of `contents`, and peers that have applied `ids`. */
async function rig(t: Test, parts: MissingPart[], contents: Map<number, Buffer>, ids: number[]) {
  const { ports, workers } = portsAndWorkers(repairMemory(1, 32, 16));
  const state = {
    parts,
    wantsComparison: false,
    durable: 90,
    applied: 95,
    role: 'member' as LackingPartition['role'],
  };
  const asked: Taken[] = [];
  const answerOf = (taken: Taken): Given => {
    const { opcode, extentId, extentOffset, size, body } = taken;
    switch (opcode) {
      case INTERNAL_OP.raftState:
        return {
          ...{ extentOffset: state.durable, remainingBytes: state.applied, extentId: state.parts.length },
          holeBytes: state.wantsComparison ? 2 : 0,
        };
      case INTERNAL_OP.compareAll:
        state.wantsComparison = false;
        return {};
      case INTERNAL_OP.listMissing: {
        const page = new Uint8Array(state.parts.length * MISSING_PART_BYTES);
        for (const [i, part] of state.parts.entries())
          writeMissingPart(new DataView(page.buffer), i * MISSING_PART_BYTES, part);
        return { body: page, extentOffset: -1 };
      }
      case INTERNAL_OP.extentSize:
        return { extentOffset: contents.get(extentId)?.length ?? -1 };
      case INTERNAL_OP.readBlock:
        return { body: contents.get(extentId)!.subarray(extentOffset, extentOffset + size) };
      case OP.tinyExtentRepairRead: {
        const there = contents.get(extentId)!.subarray(extentOffset, extentOffset + size);
        const isHole = there.subarray(0, 4096).every((byte) => byte === 0);
        const piece = there.subarray(0, 4096);
        return {
          body: isHole ? Buffer.alloc(0) : piece,
          holeBytes: isHole ? 4096 : 0,
          remainingBytes: there.length,
        };
      }
      case INTERNAL_OP.fillMissing: {
        const bytes = body.subarray(FILL_HEADER_BYTES);
        const copy = Buffer.from(contents.get(extentId)!);
        bytes.copy(copy, extentOffset);
        contents.set(extentId, copy);
        return { extentOffset: bytes.length };
      }
      default:
        return {};
    }
  };
  const timer = setInterval(() => {
    for (const taken of [...workers[0]!.take()]) {
      asked.push(taken);
      workers[0]!.answer(taken, answerOf(taken));
    }
  }, 1);
  const peers = await Promise.all(
    ids.map(async (id) => {
      const peer = await FakePeer.start(t);
      peer.answer = ({ opcode, extentId, extentOffset, size }) => {
        if (opcode === OP.getAppliedId)
          return [{ header: {}, arg: new Uint8Array(0), body: encodeUint64Body(id) }];
        if (opcode !== OP.extentRepairRead) return undefined;
        const there = peer.extents.get(extentId);
        if (there === undefined) return errorOf('ActionStreamRead_extent does not exist');
        return extentOffset + size > there.length ? errorOf('ActionStreamRead_EOF') : undefined;
      };
      return peer;
    }),
  );
  const abort = new AbortController();
  const replicas = new PeerReplicas(abort.signal, PEER_LIMITS);
  const sources = new Sources((address) => replicas.dial(address));
  const own = new OwnReplica(ports, 0, 7);
  const served = {
    ...{
      id: 7,
      disk: 0,
      gone: false,
      own,
      hostList: { hosts: [OWN, ...peers.map(({ address }) => address)] },
    },
    get role() {
      return state.role;
    },
  };
  const counts = new Map<number, number>();
  const clock = { ms: 0 };
  const lines: string[] = [];
  const job = new MissingJob({
    ...{ ownAddress: OWN, peers: replicas, disks: 1, crc32: (data) => crc32(data), nowMs: () => clock.ms },
    applied: new AppliedPeers({
      sources,
      nextReqId: () => replicas.nextReqId(),
      nowMs: () => performance.now(),
    }),
    partitions: () => [served],
    isEnabled: () => true,
    pace: async () => undefined,
    count: (counter, by) => counts.set(counter, (counts.get(counter) ?? 0) + by),
    log: (_level, _key, message) => lines.push(message),
  });
  t.teardown(() => {
    job.stop();
    abort.abort();
    sources.close();
    clearInterval(timer);
  });
  const opcodes = (opcode: number): Taken[] => asked.filter((each) => each.opcode === opcode);
  /** A pass from its beginning to its end. */
  const pass = async (): Promise<void> => {
    clock.ms += MISSING_MS + 1;
    job.look();
    await until('the pass has ended', () => !job.isRunning);
  };
  return { job, peers, state, asked, opcodes, pass, counts, served, contents, own, lines };
}

t.test(
  'a comparison begins; what differs is written, what is equal is durable and then off the list',
  async (t) => {
    const content = pattern(1025, 0, 200 * KiB);
    const damaged = Buffer.from(content);
    damaged.fill(1, 20 * KiB, 21 * KiB);
    damaged.fill(1, 130 * KiB, 200 * KiB);
    const part = { extentId: 1025, from: 0, to: 200 * KiB, index: 50 };
    const { peers, state, opcodes, pass, counts, contents, job, served, asked } = await rig(
      t,
      [part],
      new Map([[1025, damaged]]),
      [49, 60],
    );
    for (const peer of peers) peer.extents.set(1025, content);
    state.wantsComparison = true;
    await pass();
    t.equal(opcodes(INTERNAL_OP.compareAll).length, 1);
    t.ok(contents.get(1025)!.equals(content));
    t.equal(
      peers[0]!.asked.filter(({ opcode }) => opcode === OP.extentRepairRead).length,
      0,
      'it has applied less',
    );
    const fills = opcodes(INTERNAL_OP.fillMissing).map(({ body, extentOffset }) => ({
      ...{ from: extentOffset, given: body.length - FILL_HEADER_BYTES },
      ...readFillHeader(new DataView(body.buffer, body.byteOffset), 0),
    }));
    t.ok(fills.every(({ appliedIndex }) => appliedIndex === 60));
    t.same(
      fills.map(({ from, given, bytes }) => [from, given, bytes]),
      [
        [20 * KiB, 4 * KiB, 4 * KiB],
        [128 * KiB, 64 * KiB, 64 * KiB],
        [192 * KiB, 8 * KiB, 8 * KiB],
        [0, 0, 20 * KiB],
        [24 * KiB, 0, 104 * KiB],
      ],
    );
    const order = asked.map(({ opcode }) => opcode);
    const firstMark = asked.findIndex(
      ({ opcode, body }) => opcode === INTERNAL_OP.fillMissing && body.length === FILL_HEADER_BYTES,
    );
    t.equal(opcodes(INTERNAL_OP.syncExtent).length, 1);
    t.ok(order.indexOf(INTERNAL_OP.syncExtent) < firstMark, 'what is equal is durable first');
    t.equal(counts.get(REPAIR_COUNTER.missingComparedBytes), 200 * KiB);
    t.equal(counts.get(REPAIR_COUNTER.missingWrittenBytes), 76 * KiB);
    t.same(job.viewOf(served), { ranges: 1, comparedBytes: 200 * KiB, writtenBytes: 76 * KiB, failure: '' });
    state.parts = [];
    await pass();
    t.equal(job.viewOf(served), null);
    t.equal(job.missingRanges, 0);
  },
);

t.test(
  'an extent that ends earlier on all others: what they have is fetched, the rest is forgotten',
  async (t) => {
    const content = pattern(1025, 0, 100 * KiB);
    const own = Buffer.concat([Buffer.alloc(100 * KiB), pattern(9, 0, 28 * KiB)]);
    const parts = [
      { extentId: 1025, from: 0, to: 128 * KiB, index: 50 },
      { extentId: 1026, from: 10, to: 20, index: 50 },
    ];
    const { peers, opcodes, pass, contents } = await rig(t, parts, new Map([[1025, own]]), [60, 60]);
    for (const peer of peers) peer.extents.set(1025, content);
    await pass();
    t.ok(
      contents
        .get(1025)!
        .subarray(0, 100 * KiB)
        .equals(content),
    );
    t.ok(
      contents
        .get(1025)!
        .subarray(100 * KiB)
        .equals(pattern(9, 0, 28 * KiB)),
    );
    t.same(
      opcodes(INTERNAL_OP.forgetMissing).map(({ extentId, extentOffset }) => [extentId, extentOffset]),
      [
        [1025, 100 * KiB],
        [1026, 0],
      ],
    );
  },
);

t.test('one peer that does not answer keeps what nobody else has from being forgotten', async (t) => {
  const parts = [{ extentId: 1026, from: 10, to: 20, index: 50 }];
  const { peers, opcodes, pass, job, served } = await rig(t, parts, new Map(), [60, 60]);
  peers[1]!.stop();
  await pass();
  t.ok(peers[0]!.asked.some(({ opcode }) => opcode === OP.extentRepairRead));
  t.equal(opcodes(INTERNAL_OP.forgetMissing).length, 0);
  t.equal(job.viewOf(served)!.ranges, 1);
});

t.test('tiny extents by whole pages; a hole on either side is no difference', async (t) => {
  const theirs = pattern(5, 0, 24 * KiB);
  theirs.fill(0, 4 * KiB, 8 * KiB);
  const own = Buffer.from(theirs);
  own.fill(7, 4 * KiB, 8 * KiB);
  own.fill(0, 8 * KiB, 12 * KiB);
  own.fill(9, 14 * KiB, 20 * KiB);
  const parts = [{ extentId: 5, from: 100, to: 17 * KiB, index: 50 }];
  const { peers, opcodes, pass } = await rig(t, parts, new Map([[5, own]]), [60]);
  peers[0]!.extents.set(5, theirs);
  await pass();
  t.same(
    opcodes(INTERNAL_OP.fillMissing).map(({ extentOffset, body }) => [
      extentOffset,
      body.length - FILL_HEADER_BYTES,
    ]),
    [
      [12 * KiB, 8 * KiB],
      [0, 0],
    ],
    'the page that differs, and what is equal before it',
  );
});

t.test(
  'nothing is fetched without a fresh list of hosts, without a group, and when nothing is missing',
  async (t) => {
    const parts = [{ extentId: 1025, from: 0, to: 10, index: 50 }];
    const { peers, state, asked, opcodes, pass } = await rig(t, parts, new Map(), [60]);
    state.role = 'unknown';
    await pass();
    t.equal(asked.length, 0);
    state.role = 'primary';
    state.durable = -1;
    await pass();
    state.durable = 90;
    state.parts = [];
    await pass();
    t.equal(opcodes(INTERNAL_OP.listMissing).length, 0);
    t.equal(peers[0]!.asked.length, 0);
  },
);

t.test('for a vote a replica has what it has applied in memory, and none where no group runs', async (t) => {
  const { own, state } = await rig(t, [], new Map(), []);
  t.equal(await own.appliedId(), 95);
  t.match(await own.raftState(), {
    durable: 90,
    applied: 95,
    isLeader: false,
    missing: 0,
    wantsComparison: false,
  });
  state.durable = -1;
  t.equal(await own.appliedId(), null);
});

t.test('what lies behind the end here waits until repair has made the extent longer', async (t) => {
  const parts = [{ extentId: 1025, from: 20, to: 30, index: 50 }];
  const { peers, opcodes, pass } = await rig(t, parts, new Map([[1025, pattern(1025, 0, 10)]]), [60, 60]);
  for (const peer of peers) peer.extents.set(1025, pattern(1025, 0, 100));
  await pass();
  for (const peer of peers) {
    const reads = peer.asked.filter(({ opcode }) => opcode === OP.extentRepairRead);
    t.same(
      reads.map(({ size }) => size),
      [1],
      'whether it is there',
    );
  }
  t.equal(opcodes(INTERNAL_OP.fillMissing).length, 0);
  t.equal(opcodes(INTERNAL_OP.forgetMissing).length, 0);
});

t.test(
  'where nothing comes the others are left alone for a while, and then it goes on behind those that were asked',
  async (t) => {
    const parts = Array.from({ length: 300 }, (_, i) => ({ extentId: 2000 + i, from: 0, to: 10, index: 50 }));
    const contents = new Map(parts.map(({ extentId }) => [extentId, Buffer.alloc(10)]));
    const { peers, opcodes, pass, job } = await rig(t, parts, contents, [60]);
    const [peer] = peers;
    const { answer } = peer!;
    peer!.answer = (asked, ...rest) =>
      asked.opcode === OP.extentRepairRead
        ? errorOf('ActionStreamRead_content is missing')
        : answer(asked, ...rest);
    await pass();
    t.equal(peer!.asked.filter(({ opcode }) => opcode === OP.extentRepairRead).length, 256);
    job.look();
    t.equal(job.isRunning, false);
    await pass();
    t.same(
      opcodes(INTERNAL_OP.listMissing).map(({ extentOffset }) => extentOffset),
      [0, 256],
    );
  },
);
