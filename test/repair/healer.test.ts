/**
 * Healing carried out: a real partition on a simulated disk, asked through the repair thread's rings, and other replicas over real sockets. What is written, from whom, and what is told.
 */
import { crc32 } from 'node:zlib';
import t, { type Test } from 'tap';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeUint64Body } from '../../src/protocol/queries.js';
import { Healer, type HealReplica, type HealReport } from '../../src/repair/healer.js';
import { OwnReplica } from '../../src/repair/ownReplica.js';
import { PeerBlocks } from '../../src/repair/peerBlocks.js';
import { PEER_LIMITS } from '../../src/repair/peerConnection.js';
import { PeerReplicas } from '../../src/repair/peerReplica.js';
import { EXTENT_FLAG } from '../../src/storage/extentTable.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { ask, FOLDER, follower, piece, storeOf } from '../partition/internalRig.js';
import type { SimRig } from '../partition/simRig.js';
import { pattern } from '../partition/storeRig.js';
import { FakePeer, type Piece } from '../support/fakePeer.js';
import { portsAndWorkers, repairMemory, type Taken } from './repairWorker.js';

const ID = 1025;
const OWN = '10.9.9.9:17310';
const GOOD = Buffer.concat([pattern(BLOCK_BYTES, 1), pattern(BLOCK_BYTES, 2), pattern(5000, 3)]);

interface Rig {
  rig: SimRig;
  own: OwnReplica;
  peers: FakePeer[];
  heal(
    blocks?: readonly number[],
    replica?: Partial<HealReplica>,
    isStopping?: () => boolean,
  ): Promise<HealReport>;
  content(): Buffer;
  /** Reads each block as a client does; the error texts. */
  readErrors(): string[];
}

/** This node's replica, and so many others that have the good content. */
async function start(t: Test, others: number): Promise<Rig> {
  const rig = follower();
  ask(rig, INTERNAL_OP.createExtent, { extentId: ID });
  for (let at = 0; at < GOOD.length; at += BLOCK_BYTES)
    piece(rig, ID, at, GOOD.subarray(at, at + BLOCK_BYTES), { extentType: 1 });
  rig.run();
  const { ports, workers } = portsAndWorkers(repairMemory(1, 16, 16));
  const timer = setInterval(() => {
    for (const taken of [...workers[0]!.take()]) workers[0]!.answer(taken, answerOf(rig, taken));
  }, 1);
  const stop = new AbortController();
  t.teardown(() => {
    clearInterval(timer);
    stop.abort();
  });
  const peers = await Promise.all(Array.from({ length: others }, () => FakePeer.start(t)));
  for (const peer of peers) {
    peer.extents.set(ID, Buffer.from(GOOD));
    peer.answer = withoutIds;
  }
  const own = new OwnReplica(ports, 0, 7);
  const asking = new PeerReplicas(stop.signal, { ...PEER_LIMITS, packetMs: 5_000 });
  const heal: Rig['heal'] = async (blocks = [0, 1, 2], replica = {}, isStopping = () => false) => {
    const blocksOfPeers = new PeerBlocks(asking, 7, (data) => crc32(data));
    const wrapped: HealReplica = {
      readBlock: (...args) => own.readBlock(...args),
      healBlock: (...args) => own.healBlock(...args),
      appliedId: () => own.appliedId(),
      ...replica,
    };
    const turn = (): Promise<void> => Promise.resolve();
    const healer = new Healer({ ownAddress: OWN, replica: wrapped, peers: blocksOfPeers, turn, isStopping });
    const report = await healer.healExtent(ID, blocks, [OWN, ...peers.map(({ address }) => address)]);
    blocksOfPeers.close();
    return report;
  };
  const readErrors = (): string[] =>
    [0, 1, 2].map((block) => {
      const sent = rig.sendRead(
        ID,
        block * BLOCK_BYTES,
        Math.min(BLOCK_BYTES, GOOD.length - block * BLOCK_BYTES),
      );
      rig.run();
      return sent.error;
    });
  return {
    rig,
    own,
    peers,
    heal,
    readErrors,
    content: () => Buffer.from(rig.sim.content(`${FOLDER}/${ID}`)),
  };
}

/** The partition's answer to a question of the ring. */
function answerOf(
  rig: SimRig,
  { opcode, extentType, extentId, extentOffset, size, crc, expectedCrc, body }: Taken,
) {
  const fields = { extentType, extentId, extentOffset, size, crc, expectedCrc };
  const sent = ask(rig, opcode, fields, Uint8Array.from(body));
  if (!sent.ok) return { text: sent.error };
  const { remainingBytes, holeBytes } = sent.op;
  return { body: sent.body, crc: sent.crc, extentOffset: sent.extentOffset, remainingBytes, holeBytes };
}

const unknown: Piece = {
  header: { resultCode: 0xf3 },
  arg: new Uint8Array(0),
  body: Buffer.from('unknown opcode_unknown opcode16'),
};
/** As a node that serves no group of raft. */
const withoutIds: FakePeer['answer'] = ({ opcode }) => (opcode === OP.getAppliedId ? [unknown] : undefined);
const withId =
  (id: () => number): FakePeer['answer'] =>
  ({ opcode }) =>
    opcode === OP.getAppliedId
      ? [{ header: {}, arg: new Uint8Array(0), body: encodeUint64Body(id()) }]
      : undefined;

function flip(rig: SimRig, at: number): void {
  const fd = rig.sim.open(`${FOLDER}/${ID}`, 2, 0);
  rig.sim.write(fd, Uint8Array.of(GOOD[at]! ^ 8), at);
  rig.sim.close(fd);
}

t.test('pains 11: a flipped bit is healed by the others; a scrub finds nothing any more', async (t) => {
  const { rig, own, peers, heal, readErrors, content } = await start(t, 2);
  flip(rig, BLOCK_BYTES + 9);
  t.match(readErrors(), ['', /is damaged/, '']);
  t.same(await own.findings(), [{ extentId: ID, kind: 'damaged', blocks: [1] }]);
  t.match(await heal([1]), { looked: 1, healed: [1], slotsCorrected: [], noVerdict: [], later: [] });
  t.ok(content().equals(GOOD), 'the bytes of the others');
  t.same(await own.findings(), []);
  t.same(readErrors(), ['', '', '']);
  const reads = peers.map(({ asked }) => asked.filter(({ opcode }) => opcode === OP.extentRepairRead));
  t.same(
    reads.map((each) => each.length),
    [1, 2],
    'the good content is read again from a second holder',
  );
  t.match(reads[0]![0], { extentId: ID, extentOffset: BLOCK_BYTES, size: BLOCK_BYTES });
  rig.stores.checksums.startScrub();
  for (let tick = 0; tick < 5; tick += 1) {
    rig.stores.tick();
    rig.run();
  }
  t.match(rig.stores.checksums.report(), { findings: [], scrub: { running: false, extents: 1 } });
});

t.test('all blocks of an extent; equal ones stay as they are', async (t) => {
  const { rig, heal, content } = await start(t, 2);
  flip(rig, 5);
  flip(rig, 2 * BLOCK_BYTES + 4999);
  // The last block has no stored checksum: nothing here speaks against its bytes.
  const report = await heal();
  t.match(report, { looked: 3, healed: [0], later: [] });
  t.match(report.noVerdict, [{ block: 2, reason: /what raft has applied is not known of all/ }]);
  t.ok(
    content()
      .subarray(0, 2 * BLOCK_BYTES)
      .equals(GOOD.subarray(0, 2 * BLOCK_BYTES)),
  );
  t.notOk(content().equals(GOOD));
});

t.test('with applied ids bytes win, whatever checksums say', async (t) => {
  const { rig, peers, heal, content } = await start(t, 2);
  for (const peer of peers) {
    // They have what this node has not, whose checksum fits.
    peer.extents.set(ID, Buffer.from(GOOD).fill(7, 100, 200));
    peer.answer = withId(() => 55);
  }
  t.match((await heal([0], { appliedId: async () => 56 })).later, [{ reason: /not at the same applied id/ }]);
  t.ok(content().equals(GOOD), 'two that lag behind do not win');
  let next = 55;
  peers[1]!.answer = withId(() => next++);
  t.match((await heal([0], { appliedId: async () => 55 })).later, [{ reason: /moving/ }]);
  t.ok(content().equals(GOOD));
  peers[1]!.answer = withId(() => 55);
  t.match(await heal([0], { appliedId: async () => 55 }), { healed: [0] });
  t.ok(content().equals(peers[0]!.extents.get(ID)!));
  t.ok(rig.stores.checksums.report().findings.length === 0);
});

t.test('no majority: nothing is written, and it is told', async (t) => {
  const { rig, peers, heal, content } = await start(t, 2);
  flip(rig, 9);
  peers[1]!.extents.set(ID, Buffer.from(GOOD).fill(1, 0, 50));
  const before = content();
  const report = await heal([0]);
  t.match(report, { looked: 1, healed: [], later: [] });
  t.match(report.noVerdict, [{ block: 0, reason: /no content has a majority of 3 hosts/ }]);
  peers[1]!.stop();
  t.match((await heal([0])).noVerdict, [{ reason: /ECONNREFUSED/ }]);
  t.ok(content().equals(before));
});

t.test('one of four others that answers garbage, and one that is shorter, have no vote', async (t) => {
  const { rig, peers, heal, content } = await start(t, 4);
  flip(rig, 9);
  peers[0]!.answer = ({ opcode }, _socket, ordinary) =>
    opcode === OP.extentRepairRead
      ? ordinary().map((each) => ({ ...each, header: { ...each.header, crc: 5 } }))
      : [unknown];
  t.match(await heal([0]), { healed: [0] }, 'three of five');
  t.ok(content().equals(GOOD));
  flip(rig, 9);
  peers[1]!.answer = ({ opcode }) =>
    opcode === OP.extentRepairRead ? [{ ...unknown, body: Buffer.from('ActionRead_EOF') }] : [unknown];
  t.match((await heal([0])).noVerdict, [{ reason: /a piece whose checksum is wrong.*ActionRead_EOF/ }]);
});

t.test('a stored checksum that is the wrong part is corrected', async (t) => {
  const { rig, own, heal, readErrors, content } = await start(t, 2);
  const fd = rig.sim.open(`${FOLDER}/EXTENT_CRC`, 2, 0);
  rig.sim.write(fd, Uint8Array.of(1, 2, 3, 4), ID * 4096 + 4);
  rig.sim.close(fd);
  t.match(readErrors()[1], /is damaged/);
  t.match(await heal([1]), { healed: [], slotsCorrected: [1] });
  t.ok(content().equals(GOOD));
  t.same(readErrors(), ['', '', '']);
  t.same(await own.findings(), []);
});

t.test(
  'a second holder that has changed its mind, and a block that changes here meanwhile: another time',
  async (t) => {
    const { rig, peers, heal, own, content } = await start(t, 2);
    flip(rig, 9);
    let reads = 0;
    peers[1]!.answer = ({ opcode }) => {
      if (opcode !== OP.extentRepairRead) return [unknown];
      reads += 1;
      if (reads === 2) peers[1]!.extents.set(ID, Buffer.from(GOOD).fill(0, 0, 10));
      return undefined;
    };
    t.match((await heal([0])).later, [{ block: 0, reason: /is not that of .* any more/ }]);
    peers[1]!.extents.set(ID, Buffer.from(GOOD));
    peers[1]!.answer = withoutIds;
    const newer = pattern(3000, 8);
    const meanwhile: Partial<HealReplica> = {
      healBlock: (...args) => {
        rig.sendWrite(ID, 500, newer);
        rig.run();
        return own.healBlock(...args);
      },
    };
    t.match((await heal([0], meanwhile)).later, [{ reason: /the block has changed since it was voted on/ }]);
    t.ok(content().subarray(500, 3500).equals(newer), 'what a client has written stays');
    t.notOk(storeOf(rig).table.has(storeOf(rig).table.find(ID), EXTENT_FLAG.syncFailed));
  },
);

t.test('a stop leaves the rest to another time', async (t) => {
  const { heal } = await start(t, 2);
  let blocks = 0;
  t.match(await heal([0, 1, 2], {}, () => ++blocks > 2), { looked: 2 });
});
