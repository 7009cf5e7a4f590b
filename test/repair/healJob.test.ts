/** Which partitions and extents are healed, when they are looked at again, and what is told; with other replicas over real sockets and a replica of this node in memory. */
import { crc32 } from 'node:zlib';
import t, { type Test } from 'tap';
import { JUDGED } from '../../src/partition/waitingBlocks.js';
import type { ExtentInfo } from '../../src/protocol/extentInfo.js';
import { encodeExtentList } from '../../src/protocol/extentInfo.js';
import { OP } from '../../src/protocol/opcodes.js';
import { ASKED_MAX } from '../../src/repair/askedBlocks.js';
import {
  COMPARE_MS,
  FINDINGS_MS,
  type HealedPartition,
  HealJob,
  RETRY_MS,
} from '../../src/repair/healJob.js';
import { REPAIR_COUNTER } from '../../src/repair/messages.js';
import { PEER_LIMITS } from '../../src/repair/peerConnection.js';
import { PeerReplicas } from '../../src/repair/peerReplica.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { FakePeer } from '../support/fakePeer.js';
import { pattern } from '../support/requests.js';
import { until } from '../support/until.js';

const OWN = '10.9.9.9:17310';
const NONE = new Uint8Array(0);

interface Rig {
  job: HealJob;
  peers: FakePeer[];
  partition: { -readonly [K in keyof HealedPartition]: HealedPartition[K] } & {
    hostList: { hosts: string[] };
  };
  extents: Map<number, Buffer>;
  /** Blocks that are listed as damaged, by extent, and stored checksums. */
  findings: Map<number, number[]>;
  looks: string[];
  /** What workers were told of blocks that reads wait for: extent, block, JUDGED. */
  judged: string[];
  alarms: string[];
  counts: number[];
  now: { ms: number; enabled: boolean };
  /** Everything that is due has been done. */
  pass(): Promise<void>;
}

async function start(t: Test): Promise<Rig> {
  const stop = new AbortController();
  const peers = [await FakePeer.start(t), await FakePeer.start(t)];
  const asking = new PeerReplicas(stop.signal, { ...PEER_LIMITS, packetMs: 5_000 });
  const extents = new Map<number, Buffer>();
  const findings = new Map<number, number[]>();
  const looks: string[] = [];
  const judged: string[] = [];
  const alarms: string[] = [];
  const counts: number[] = [];
  const now = { ms: 1, enabled: true };
  let lists = 0;
  const blockOf = (id: number, block: number): Buffer =>
    extents.get(id)!.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
  const own: HealedPartition['own'] = {
    findings: async () => {
      lists += 1;
      return [...findings].map(([extentId, blocks]) => ({ extentId, kind: 'damaged', blocks }));
    },
    extentSize: async (id) => extents.get(id)?.length ?? -1,
    extents: async () => [...extents].map(([id, bytes]) => record(id, bytes)),
    readBlock: async (id, block) => {
      looks.push(`${id}/${block}`);
      const body = blockOf(id, block);
      // Listed ones are surely damaged.
      const stored = findings.has(id) ? 1 : crc32(body);
      return { body: Uint8Array.from(body), crc: crc32(body), stored, storedIsSure: true };
    },
    healBlock: async (id, block, body) => {
      blockOf(id, block).set(body);
      findings.delete(id);
    },
    appliedId: async () => null,
    blockJudged: async (id, block, verdict) => {
      judged.push(`${id}/${block} ${verdict}`);
    },
  };
  const partition = { id: 7, disk: 0, gone: false, role: 'member' as const, own };
  const served = Object.assign(partition, {
    hostList: { hosts: [...peers.map(({ address }) => address), OWN] },
  });
  for (const peer of peers)
    peer.answer = ({ opcode }) => {
      if (opcode === OP.getAppliedId) return [{ header: { resultCode: 0xf3 }, arg: NONE, body: NONE }];
      if (opcode !== OP.getAllWatermarks) return undefined;
      const list = [...peer.extents].map(([id, bytes]) => record(id, bytes));
      return [{ header: {}, arg: NONE, body: encodeExtentList(list) }];
    };
  const job = new HealJob({
    ...{ ownAddress: OWN, peers: asking, disks: 1, log: () => {} },
    partitions: () => [served],
    isEnabled: () => now.enabled,
    crc32: (data) => crc32(data),
    nowMs: () => now.ms,
    count: (counter, by) => {
      counts[counter] = (counts[counter] ?? 0) + by;
    },
    alarm: (text) => alarms.push(text),
  });
  t.teardown(() => {
    job.stop();
    stop.abort();
  });
  const pass = async (): Promise<void> => {
    const before = lists;
    job.look();
    if (lists === before) return;
    await until('the pass has ended', () => !job.isRunning);
  };
  return { job, peers, partition: served, extents, findings, looks, judged, alarms, counts, now, pass };
}

function record(id: number, bytes: Uint8Array): ExtentInfo {
  return { fileId: id, size: bytes.length, crc: crc32(bytes), deleted: false, modTime: 0, source: '' };
}

function everywhere({ extents, peers }: Rig, id: number, blocks: number): Buffer {
  const content = pattern(id, 0, blocks * BLOCK_BYTES);
  extents.set(id, Buffer.from(content));
  for (const peer of peers) peer.extents.set(id, Buffer.from(content));
  return content;
}

t.test('findings are healed: the blocks that are named, or all', async (t) => {
  const rig = await start(t);
  const [first, second] = [everywhere(rig, 1025, 3), everywhere(rig, 1026, 2)];
  rig.now.ms = 1;
  await rig.pass();
  t.same(rig.looks, [], 'equal extents are not read');
  rig.extents.get(1025)!.fill(0, BLOCK_BYTES, BLOCK_BYTES + 5);
  rig.extents.get(1026)!.fill(0, 0, 5);
  rig.findings.set(1025, [1]).set(1026, []);
  await rig.pass();
  t.same(rig.looks, [], 'not before it is due');
  rig.now.ms += FINDINGS_MS;
  await rig.pass();
  t.same(rig.looks, ['1025/1', '1026/0', '1026/1']);
  t.ok(rig.extents.get(1025)!.equals(first) && rig.extents.get(1026)!.equals(second));
  t.equal(rig.counts[REPAIR_COUNTER.healedBlocks], 2);
  t.same(rig.alarms, []);
});

t.test('only a partition with other hosts, of which this node is one, by a list that is fresh', async (t) => {
  const rig = await start(t);
  everywhere(rig, 1025, 1);
  rig.findings.set(1025, [0]);
  const { partition, now } = rig;
  const { hosts } = partition.hostList;
  const roles = ['unknown', 'joining', 'alone'] as const;
  for (const role of roles) {
    partition.role = role;
    now.ms += FINDINGS_MS;
    await rig.pass();
  }
  partition.role = 'primary';
  partition.hostList.hosts = hosts.slice(0, 2);
  now.ms += FINDINGS_MS;
  await rig.pass();
  partition.hostList.hosts = hosts;
  now.enabled = false;
  now.ms += FINDINGS_MS;
  await rig.pass();
  t.same(rig.looks, []);
  now.enabled = true;
  await rig.pass();
  t.same(rig.looks, ['1025/0']);
});

t.test(
  'extents whose checksums differ are compared once an hour, and again only when somebody tells another one',
  async (t) => {
    const rig = await start(t);
    everywhere(rig, 1025, 2);
    everywhere(rig, 1026, 2);
    rig.peers[1]!.extents.get(1026)!.fill(3, 0, 5);
    await rig.pass();
    t.same(rig.looks, ['1026/0', '1026/1'], 'this replica is one of the majority');
    rig.now.ms += COMPARE_MS;
    await rig.pass();
    t.equal(rig.looks.length, 2);
    rig.peers[1]!.extents.get(1026)!.fill(4, 0, 5);
    rig.now.ms += COMPARE_MS - 1;
    await rig.pass();
    t.equal(rig.looks.length, 2, 'not within the hour');
    rig.now.ms += FINDINGS_MS;
    await rig.pass();
    t.equal(rig.looks.length, 4);
    t.same(rig.alarms, []);
  },
);

t.test('no verdict: one alarm, and another look after an hour; no answer: after a minute', async (t) => {
  const rig = await start(t);
  everywhere(rig, 1025, 1);
  rig.findings.set(1025, [0]);
  rig.extents.get(1025)!.fill(0, 0, 9);
  rig.peers[1]!.extents.get(1025)!.fill(3, 0, 9);
  await rig.pass();
  t.match(rig.alarms, [
    /^partition 7: block 0 of extent 1025 differs between replicas, and nothing was written: no content/,
  ]);
  t.equal(rig.counts[REPAIR_COUNTER.undecidedBlocks], 1);
  rig.now.ms += RETRY_MS.noVerdict - 1;
  await rig.pass();
  t.equal(rig.looks.length, 1);
  rig.now.ms += FINDINGS_MS;
  await rig.pass();
  t.equal(rig.looks.length, 2);
  t.equal(rig.alarms.length, 1, 'told once');
  // A second read fails: the block is not healed now.
  rig.now.ms += RETRY_MS.noVerdict;
  everywhere(rig, 1025, 1);
  rig.extents.get(1025)!.fill(0, 0, 9);
  const peer = rig.peers[1]!;
  const { answer } = peer;
  let reads = 0;
  peer.answer = (asked, socket, ordinary) => {
    if (asked.opcode !== OP.extentRepairRead || ++reads < 2) return answer(asked, socket, ordinary);
    return [{ header: { resultCode: 0xf3 }, arg: NONE, body: Buffer.from('ActionRead_EOF') }];
  };
  await rig.pass();
  t.equal(rig.looks.length, 3);
  rig.now.ms += RETRY_MS.later - 1;
  await rig.pass();
  t.equal(rig.looks.length, 3);
  peer.answer = answer;
  rig.now.ms += FINDINGS_MS;
  await rig.pass();
  t.equal(rig.looks.length, 4);
  t.equal(rig.counts[REPAIR_COUNTER.healedBlocks], 1);
});

t.test('a stop ends questions that are under way', async (t) => {
  const rig = await start(t);
  everywhere(rig, 1025, 4);
  rig.findings.set(1025, []);
  rig.peers[0]!.answer = async function* () {};
  rig.job.look();
  await until('a peer is asked', () => rig.peers[0]!.asked.length > 0);
  rig.job.stop();
  rig.peers[0]!.stop();
  await until('the pass has ended', () => !rig.job.isRunning);
  t.ok(rig.looks.length <= 1);
  rig.now.ms += FINDINGS_MS;
  rig.job.look();
  t.notOk(rig.job.isRunning);
  t.same(rig.alarms, []);
});

/** Nothing that was asked for is under way. */
async function quiet({ job }: Rig): Promise<void> {
  await until('the looks have ended', () => !job.isRunning);
}

t.test('pains 11: a block that reads wait for is healed at once, and its worker told', async (t) => {
  const rig = await start(t);
  const content = everywhere(rig, 1025, 3);
  everywhere(rig, 1026, 1);
  await rig.pass();
  rig.extents.get(1025)!.fill(0, BLOCK_BYTES, BLOCK_BYTES + 5);
  rig.findings.set(1025, [1]);
  rig.job.ask(rig.partition, 1025, 1);
  rig.job.ask(rig.partition, 1025, 1);
  await quiet(rig);
  t.same(rig.looks, ['1025/1'], 'once');
  t.ok(rig.extents.get(1025)!.equals(content));
  t.same(rig.judged, [`1025/1 ${JUDGED.sound}`]);
  t.equal(rig.counts[REPAIR_COUNTER.healedBlocks], 1);
  rig.job.ask(rig.partition, 1026, 0);
  await quiet(rig);
  t.equal(rig.judged[1], `1026/0 ${JUDGED.sound}`, 'nothing was wrong with it');
});

t.test('asked for: no verdict and no answer are told, and do not change when the pass looks', async (t) => {
  const rig = await start(t);
  everywhere(rig, 1025, 2);
  rig.findings.set(1025, [0]);
  rig.extents.get(1025)!.fill(0, 0, 9);
  rig.peers[1]!.extents.get(1025)!.fill(3, 0, 9);
  rig.job.ask(rig.partition, 1025, 0);
  await quiet(rig);
  t.same(rig.judged, [`1025/0 ${JUDGED.undecided}`]);
  t.equal(rig.alarms.length, 1);
  await rig.pass();
  t.same(rig.looks, ['1025/0', '1025/0'], 'the pass looks all the same');
  t.equal(rig.alarms.length, 1, 'told once');
  rig.job.ask(rig.partition, 1025, 0);
  await quiet(rig);
  t.equal(rig.looks.length, 3, 'also within the hour of the pass');
  rig.now.ms += FINDINGS_MS;
  await rig.pass();
  t.equal(rig.looks.length, 3, 'which stays');
  const peer = rig.peers[1]!;
  const { answer } = peer;
  let reads = 0;
  everywhere(rig, 1025, 2);
  rig.extents.get(1025)!.fill(0, 0, 9);
  peer.answer = (asked, socket, ordinary) => {
    if (asked.opcode !== OP.extentRepairRead || ++reads < 2) return answer(asked, socket, ordinary);
    return [{ header: { resultCode: 0xf3 }, arg: NONE, body: Buffer.from('ActionRead_EOF') }];
  };
  rig.job.ask(rig.partition, 1025, 0);
  await quiet(rig);
  t.equal(reads, 2, 'the second holder has failed');
  t.equal(rig.judged.at(-1), `1025/0 ${JUDGED.undecided}`);
  for (const peer of rig.peers)
    peer.answer = () => [{ header: { resultCode: 0xf3 }, arg: NONE, body: Buffer.from('ActionRead_EOF') }];
  rig.job.ask(rig.partition, 1025, 1);
  await quiet(rig);
  t.equal(rig.judged.at(-1), `1025/1 ${JUDGED.undecided}`);
});

t.test('asked for where nothing may be healed: told at once, and nothing is read', async (t) => {
  const rig = await start(t);
  everywhere(rig, 1025, 1);
  const { partition, now } = rig;
  const { hosts } = partition.hostList;
  const asks: (() => void)[] = [
    () => Object.assign(partition, { role: 'unknown' }),
    () => Object.assign(partition, { role: 'joining' }),
    () => Object.assign(partition.hostList, { hosts: hosts.slice(1) }),
    () => Object.assign(partition.hostList, { hosts: hosts.slice(0, 2) }),
    () => Object.assign(now, { enabled: false }),
    () => Object.assign(partition, { gone: true }),
  ];
  for (const change of asks) {
    Object.assign(partition, { role: 'member', gone: false });
    partition.hostList.hosts = hosts;
    now.enabled = true;
    change();
    rig.job.ask(partition, 1025, 0);
    t.notOk(rig.job.isRunning);
    t.equal(rig.judged.pop(), `1025/0 ${JUDGED.notLooked}`);
  }
  t.same(rig.looks, []);
});

t.test('more than a disk’s looks have room for are told at once', async (t) => {
  const rig = await start(t);
  everywhere(rig, 1025, 1);
  for (let block = 0; block <= ASKED_MAX + 1; block += 1) rig.job.ask(rig.partition, 1025, block);
  // The first one is being looked at, and a token is gone for each.
  t.same(
    rig.judged,
    [ASKED_MAX, ASKED_MAX + 1].map((block) => `1025/${block} ${JUDGED.notLooked}`),
  );
  rig.job.stop();
  for (const peer of rig.peers) peer.stop();
  await quiet(rig);
});

t.test('a pass stands between two blocks while one is looked at that reads wait for', async (t) => {
  const rig = await start(t);
  everywhere(rig, 1025, 4);
  everywhere(rig, 1026, 1);
  rig.findings.set(1025, []);
  const peer = rig.peers[0]!;
  const held: (() => void)[] = [];
  peer.answer = ((before) => (asked, socket, ordinary) => {
    if (asked.opcode !== OP.extentRepairRead) return before(asked, socket, ordinary);
    return (async function* () {
      await new Promise<void>((resolve) => held.push(resolve));
      yield* ordinary();
    })();
  })(peer.answer);
  let votes = 0;
  Object.assign(rig.partition.own, {
    appliedId: async () => {
      votes += 1;
      return null;
    },
  });
  rig.job.look();
  await until('the pass reads its first block', () => held.length === 1);
  rig.job.ask(rig.partition, 1026, 0);
  await until('the other block is read beside it', () => held.length === 2);
  held[0]!();
  // Before and after the first block, and before the other one.
  await until('the first block is judged', () => votes === 3);
  for (let turns = 0; turns < 3; turns += 1) await new Promise((resolve) => setImmediate(resolve));
  t.equal(votes, 3, 'the next one is not begun');
  t.same(rig.looks, ['1025/0', '1026/0']);
  held[1]!();
  await until('the pass goes on', () => held.length === 3);
  t.same(rig.judged, [`1026/0 ${JUDGED.sound}`]);
  t.equal(rig.looks[2], '1025/1');
  for (let next = 2; rig.job.isRunning; next += 1) {
    await until('a read or the end', () => held.length > next || !rig.job.isRunning);
    held[next]?.();
  }
});
