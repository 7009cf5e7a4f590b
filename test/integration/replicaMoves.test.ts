/**
 * Four real nodes and a partition on three of them, whose replicas an operator moves under load: one is deleted, one added elsewhere, one decommissioned; by the tasks that a real master sends, to the leader and to others. What was acknowledged is on all members in
 * the end, and nothing is left where a replica was.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { encodeAdminTask, newAdminTask } from '../../src/protocol/adminTask.js';
import type { JsonValue } from '../../src/protocol/jsonText.js';
import { OP } from '../../src/protocol/opcodes.js';
import { FileClient } from '../support/fileClient.js';
import { testFolder } from '../support/nodeProcess.js';
import type { Reply } from '../support/packetClient.js';
import { RandomWrites } from '../support/randomWrites.js';
import { Trio } from '../support/trio.js';
import { untilAnswer } from '../support/until.js';

const PARTITION = 1;
const NODES = 4;
/** The first host counts extents for ten minutes after their deletes. */
const LONG_MS = 660_000;

interface RaftStatus {
  Leader: number;
  State: string;
  Commit: number;
  Applied: number;
}

/** Index of the node that leads; ids of nodes are one higher. */
function leaderOf(trio: Trio): Promise<number> {
  return untilAnswer('a leader', async () => {
    for (const node of trio.nodesOf(PARTITION)) {
      const status = await statusOf(trio, node);
      if (status?.State === 'StateLeader') return node;
    }
    return null;
  });
}

/** Null: the node has no group for it. */
async function statusOf(trio: Trio, node: number): Promise<RaftStatus | null> {
  const status = await trio
    .page<RaftStatus | null>(node, `/raftStatus?raftID=${PARTITION}`)
    .catch(() => null);
  return status?.State === undefined ? null : status;
}

function hasFolder(trio: Trio, node: number): boolean {
  return readdirSync(trio.disk(node)).some((name) => name.startsWith(`datapartition_${PARTITION}_`));
}

function metaOf(trio: Trio, node: number): { Hosts: string[]; DataPartitionCreateType: number } {
  return JSON.parse(readFileSync(join(trio.folder(node, PARTITION), 'META'), 'utf8'));
}

function task(trio: Trio, node: number, opcode: number, request: JsonValue): Promise<Reply> {
  const addr = trio.hosts[node]!;
  const body = encodeAdminTask(newAdminTask(opcode, addr, PARTITION, 0, request));
  const client = trio.client(addr);
  return client.ask({ opcode, partitionId: PARTITION, body }).finally(() => client.end());
}

const peer = (trio: Trio, node: number) => ({ id: node + 1, addr: trio.hosts[node]! });

/** A new replica is repaired, becomes a member and follows. */
async function joins(trio: Trio, node: number): Promise<void> {
  let missing = '';
  trio.passTime(LONG_MS);
  const isComplete = async (): Promise<true | null> => {
    const { role, joining } = await trio.repairOf(node, PARTITION);
    if (role === 'member' || role === 'primary') return true;
    missing = joining;
    trio.passTime();
    await trio.beginRounds(trio.nodesOf(PARTITION)[0]!);
    await new Promise((resolve) => setTimeout(resolve, 500));
    return null;
  };
  await untilAnswer('the new replica is complete', isComplete, 30_000).catch((error: Error) => {
    throw new Error(`${error.message}: ${missing}`);
  });
  await untilAnswer('its group knows a leader', async () => (await statusOf(trio, node))?.Leader || null);
}

async function isLeftBehind(t: Test, trio: Trio, node: number): Promise<void> {
  await untilAnswer('the folder has gone', async () => !hasFolder(trio, node) || null);
  const { partitions } = await trio.page<{ partitions: { id: number }[] }>(node, '/partitions');
  t.same(partitions, [], 'main has forgotten it');
}

/** Null: to be tried again. */
function whenLive(error: Error): null {
  if (/too few of its other nodes are live|No enough data nodes/.test(error.message)) return null;
  throw error;
}

t.test('replicas are deleted, added and decommissioned under load', async (t) => {
  const trio = await Trio.start(t, testFolder(t), 1, NODES);
  const [a, b, c, d] = trio.hosts as [string, string, string, string];
  t.same(await trio.learnHosts(PARTITION), [a, b, c]);
  const writes = new RandomWrites(trio, PARTITION);
  await leaderOf(trio);
  await writes.fill();
  const files = new FileClient(trio, [PARTITION], 3);
  const loads = [writes, files];
  t.teardown(() => Promise.all(loads.map((load) => load.stop())).then(() => {}));
  for (const load of loads) load.start();
  const goesOn = async (what: string): Promise<void> => {
    const before = [writes.acknowledged, files.keys.length] as const;
    const more = () => writes.acknowledged > before[0] + 20 && files.keys.length > before[1] + 5;
    await untilAnswer(`load goes on ${what}`, async () => more() || null, 20_000);
  };
  await goesOn('at first');

  const deleted = await trio.askMaster(`/dataReplica/delete?id=${PARTITION}&addr=${c}`);
  t.equal(deleted, `data partitionID :1  delete replica [${c}] successfully`);
  t.same(await trio.learnHosts(PARTITION), [a, b]);
  await isLeftBehind(t, trio, 2);
  await goesOn('with two');

  t.equal(
    await trio.askMaster(`/dataReplica/add?id=${PARTITION}&addr=${d}`),
    `data partitionID :1  add replica [${d}] successfully`,
  );
  t.same(await trio.learnHosts(PARTITION), [a, b, d]);
  await joins(trio, 3);
  t.match(metaOf(trio, 3), { Hosts: [a, b, d], DataPartitionCreateType: 0 });
  await goesOn('with the new one');

  // The master's clock was put ahead as well: all its nodes seem silent to it until their next heartbeats.
  const moved = await untilAnswer(
    'the nodes are live to their master',
    () => trio.askMaster<string>(`/dataPartition/decommission?id=${PARTITION}&addr=${a}`).catch(whenLive),
    20_000,
  );
  t.equal(moved, `/dataPartition/decommission dataPartitionID :1  on node:${a} successfully`);
  t.same(await trio.learnHosts(PARTITION), [b, d, c]);
  await isLeftBehind(t, trio, 0);
  // Files that are being written are fetched again and again.
  await files.stop();
  await joins(trio, 2);
  files.start();
  t.match(metaOf(trio, 2), { Hosts: [b, d, c], DataPartitionCreateType: 0 });
  await goesOn('after the move');

  for (const load of loads) await load.stop();
  await trio.runRoundsUntil('equal', PARTITION, () => {
    trio.passTime();
    return trio.areEqual(PARTITION);
  });
  for (const host of trio.hostsOf(PARTITION)) t.same(await writes.wrongOn(host), []);
  for (const key of files.keys) if (!(await files.reads(key))) t.fail(`lost: ${key.extentId}`);
  t.ok(files.keys.length > 20 && writes.acknowledged > 80, 'and there was something to lose');
});

t.test('a node that does not lead passes tasks on; the lead is moved; refusals of the master', async (t) => {
  const trio = await Trio.start(t, testFolder(t), 1, NODES);
  const [a, , , d] = trio.hosts as [string, string, string, string];
  await trio.learnHosts(PARTITION);
  const leader = await leaderOf(trio);
  const [follower, other] = trio.nodesOf(PARTITION).filter((node) => node !== leader) as [number, number];
  await untilAnswer('the follower knows', async () => (await statusOf(trio, follower))?.Leader || null);

  const add = await task(trio, follower, OP.addDataPartitionRaftMember, {
    PartitionId: PARTITION,
    AddPeer: peer(trio, 3),
  });
  t.match(add, { resultCode: 0xf0, partitionId: PARTITION }, add.body.toString());
  t.ok(metaOf(trio, leader).Hosts.includes(d), 'the leader has done it');
  const strange = await task(trio, follower, OP.removeDataPartitionRaftMember, {
    PartitionId: PARTITION,
    RemovePeer: { ...peer(trio, 3), id: 99 },
  });
  t.equal(strange.resultCode, 0xf3);
  // The lead has just moved: one that has acknowledged nothing of the new leader yet may be named too.
  t.match(
    strange.body.toString(),
    /^ActionRemoveDataPartitionRaftMember_peer\(\{99 .*\}\) not exsit hasDownReplicasExcludePeer\(\[(\{\d \d+\} )*\{4 \d+\}\]\)$/,
    'its refusal comes back as it was, and it knows who is not there',
  );
  const swap = await task(trio, follower, OP.decommissionDataPartition, {
    PartitionId: PARTITION,
    AddPeer: { id: 0, addr: '' },
    RemovePeer: peer(trio, 3),
  });
  t.equal(swap.resultCode, 0xf0, swap.body.toString());
  t.notOk(metaOf(trio, leader).Hosts.includes(d));

  await untilAnswer('the lead has moved', async () => {
    const lead = await task(trio, other, OP.dataPartitionTryToLeader, null);
    t.equal(lead.resultCode, 0xf0, lead.body.toString());
    return (await statusOf(trio, other))?.State === 'StateLeader' || null;
  });

  for (const [path, expected] of [
    [`/dataReplica/add?id=9&addr=${d}`, '9 data partition not exists'],
    ['/dataReplica/add?id=1', '2 parameter addr not found'],
    [`/dataReplica/delete?addr=${d}`, '2 parameter id not found'],
    ['/dataReplica/add?id=1&addr=10.0.0.9:1', '10 data node not exists'],
    [`/dataReplica/add?id=1&addr=${a}`, `1 vol[demo],data partition[1] has contains host[${a}]`],
  ] as const)
    await t.rejects(trio.askMaster(path), { message: expected }, path);
  t.match(
    await trio.askMaster(`/dataPartition/decommission?id=1&addr=${d}`),
    /successfully$/,
    'nothing to do',
  );
  t.same(await trio.learnHosts(PARTITION), trio.hosts.slice(0, 3));
});
