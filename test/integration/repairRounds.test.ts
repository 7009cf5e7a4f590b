/**
 * Three real nodes under one master: replicas that differ are made equal by the rounds that the first host runs when it starts, with everything that can be wrong at once; a replica that was emptied, and one that
 * joins.
 */
import { readdirSync, readFileSync, rmSync, truncateSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import t from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { encodeMarkDelete } from '../../src/protocol/tinyDelete.js';
import type { RepairView } from '../../src/repair/messages.js';
import { type ClusterNode, debugData, startClusterNode } from '../support/clusterNode.js';
import { FakeCluster } from '../support/fakeMaster/cluster.js';
import type { FakePartition } from '../support/fakeMaster/state.js';
import { type Ask, PacketClient } from '../support/packetClient.js';
import { create as createOn, roomOf } from '../support/repairRig.js';
import { pattern, write } from '../support/requests.js';
import { until, untilAnswer } from '../support/until.js';

const KiB = 1024;
const GiB = 1024 ** 3;
/** Extents in watermarks were left alone for a minute. */
const QUIET_SECONDS = 300;

function folderOf(node: ClusterNode, id: number): string {
  return join(node.disks[0]!, `datapartition_${id}_${GiB}`);
}

function contentOf(node: ClusterNode, partition: number, extent: number): Buffer {
  return readFileSync(join(folderOf(node, partition), String(extent)));
}

/** Tiny extent 5: data, a hole, data; its last page is cut. */
function tinyContent(): Buffer {
  const content = pattern(5, 0, 300 * KiB + 50);
  content.fill(0, 64 * KiB, 128 * KiB);
  return content;
}

async function fill(node: ClusterNode, partition: number, ids: readonly number[]): Promise<void> {
  const client = new PacketClient(node.port, node.ip);
  const must = async (ask: Ask): Promise<void> => {
    const reply = await client.ask(ask);
    if (reply.resultCode !== RESULT.ok) throw new Error(reply.body.toString());
  };
  const body = new Uint8Array(8);
  for (const extentId of ids) {
    await must({ opcode: OP.createExtent, extentType: 1, partitionId: partition, extentId, body });
    await must(write(partition, extentId, 0, pattern(extentId, 0, 200 * KiB + extentId)));
  }
  const tiny = tinyContent();
  // As a primary forwards them: with extent and offset.
  for (const [from, to] of [
    [0, 128 * KiB],
    [128 * KiB, tiny.length],
  ] as const) {
    const part = tiny.subarray(from, to);
    await must({ ...write(partition, 5, from, part), extentType: 0, crc: crc32(part) });
  }
  await client.end();
}

/** A range of tiny extent 5 is deleted on one replica only. */
async function deleteTiny(node: ClusterNode, partition: number, at: number): Promise<void> {
  const key = {
    fileOffset: 0,
    partitionId: partition,
    extentId: 5,
    extentOffset: at,
    size: 64 * KiB,
    crc: 0,
  };
  const client = new PacketClient(node.port, node.ip);
  const reply = await client.ask({
    ...{ opcode: OP.markDelete, extentType: 0, partitionId: partition, extentId: 5 },
    body: encodeMarkDelete({ ...key, tinyDeleteFileOffset: 24 }),
  });
  if (reply.resultCode !== RESULT.ok) throw new Error(reply.body.toString());
  await client.end();
}

async function deleteExtent(node: ClusterNode, partition: number, extentId: number): Promise<void> {
  const client = new PacketClient(node.port, node.ip);
  const reply = await client.ask({ opcode: OP.markDelete, extentType: 1, partitionId: partition, extentId });
  if (reply.resultCode !== RESULT.ok) throw new Error(reply.body.toString());
  await client.end();
}

function makeOld(node: ClusterNode, partition: number): void {
  const old = Date.now() / 1000 - QUIET_SECONDS;
  for (const name of readdirSync(folderOf(node, partition)))
    if (/^\d+$/.test(name)) utimesSync(join(folderOf(node, partition), name), old, old);
}

async function viewOf(node: ClusterNode, partition: number): Promise<RepairView['partitions'][number]> {
  return ((await debugData(node, `/repair?id=${partition}`)) as RepairView).partitions[0]!;
}

t.test('what differs on three replicas is the same on all of them after the rounds of a start', async (t) => {
  const cluster = await FakeCluster.start(t);
  const start = (ip: string, again?: ClusterNode): Promise<ClusterNode> =>
    startClusterNode(t, {
      masters: cluster.addrs,
      ip,
      ...(again === undefined ? {} : { again }),
    });
  const ips = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];
  let nodes = await Promise.all(ips.map((ip) => start(ip)));
  await Promise.all(nodes.map(({ process }) => process.whenReady()));
  const addresses = nodes.map(({ address }) => address);
  await until('all have answered', () =>
    addresses.every((address) => (cluster.state.nodes.get(address)?.heartbeats ?? 0) > 0),
  );
  for (const volume of ['vol1', 'repaired']) cluster.state.volumes.set(volume, { isDeleted: false });
  const made = [await cluster.createPartition('vol1', GiB), await cluster.createPartition('vol1', GiB)];
  const joined: FakePartition = {
    ...made[0]!,
    id: cluster.state.newId(),
    hosts: addresses.slice(0, 2),
    loads: new Map(),
  };
  for (const partition of made) partition.hosts.splice(0, 3, ...addresses);
  const [mixed, emptied] = made.map(({ id }) => id) as [number, number];
  const [a, b] = nodes as [ClusterNode, ClusterNode, ClusterNode];
  for (const node of [a, b]) {
    const client = new PacketClient(node.port, node.ip);
    const others = addresses.slice(0, 2).filter((address) => address !== node.address);
    t.equal((await client.ask(createOn(joined.id, [...others, node.address]))).resultCode, RESULT.ok);
    await client.end();
    await fill(node, joined.id, [1025, 1026, 1027]);
  }
  cluster.state.partitions.set(joined.id, joined);
  for (const node of nodes) {
    await fill(node, mixed, [1025, 1026, 1027, 1028]);
    await fill(node, emptied, [1025, 1026]);
  }
  await deleteTiny(a, mixed, 128 * KiB);
  await deleteExtent(a, mixed, 1028);
  await Promise.all(nodes.map(({ process }) => process.terminate()));

  const [folderA, folderB, folderC] = nodes.map((node) => folderOf(node, mixed)) as [string, string, string];
  rmSync(join(folderB, '1025'));
  truncateSync(join(folderC, '1026'), 100 * KiB + 1);
  truncateSync(join(folderA, '1027'), 5);
  truncateSync(join(folderC, '5'), 32 * KiB);
  for (const name of ['1025', '1026']) rmSync(join(folderOf(nodes[2]!, emptied), name));
  truncateSync(join(folderOf(nodes[2]!, emptied), '5'), 0);
  for (const node of nodes) for (const id of [mixed, emptied]) makeOld(node, id);
  for (const node of [a, b]) {
    makeOld(node, joined.id);
    // In nobody's list, so no round brings it to the new replica before it is deleted.
    utimesSync(join(folderOf(node, joined.id), '1027'), Date.now() / 1000, Date.now() / 1000);
  }

  // The first host last, so that nobody is absent when it begins.
  const [restartedB, restartedC] = await Promise.all([start(ips[1]!, nodes[1]), start(ips[2]!, nodes[2])]);
  await Promise.all([restartedB.process.whenReady(), restartedC.process.whenReady()]);
  joined.hosts = [...addresses];
  const client = new PacketClient(restartedC.port, restartedC.ip);
  const asJoining = createOn(joined.id, addresses, 1);
  t.equal((await client.ask(asJoining)).resultCode, RESULT.ok);
  await client.end();
  t.match(await viewOf(restartedC, joined.id), { role: 'joining' });
  const restartedA = await start(ips[0]!, nodes[0]);
  nodes = [restartedA, restartedB, restartedC];
  await restartedA.process.whenReady();
  // In the first host's sums for ten minutes more.
  for (const node of [restartedA, restartedB]) await deleteExtent(node, joined.id, 1027);
  for (const id of [mixed, emptied, joined.id]) {
    const view = await untilAnswer(
      `both rounds of ${id}`,
      async () => {
        const now = await viewOf(restartedA, id);
        return now.lastNormal !== null && now.lastTiny !== null ? now : null;
      },
      30_000,
    );
    t.match(view, {
      role: 'primary',
      lastNormal: { failure: '', report: { absent: [], failedTasks: [], failedFetchCount: 0, leftOut: 0 } },
      lastTiny: { failure: '', report: { absent: [], failedTasks: [], failedFetchCount: 0 } },
    });
  }

  for (const node of nodes) {
    for (const id of [1025, 1026, 1027])
      t.ok(contentOf(node, mixed, id).equals(pattern(id, 0, 200 * KiB + id)), `${node.ip}: extent ${id}`);
    const tiny = tinyContent();
    tiny.fill(0, 128 * KiB, 192 * KiB);
    t.ok(
      contentOf(node, mixed, 5).equals(tiny),
      `${node.ip}: the tiny extent, with its missed delete and hole`,
    );
    t.ok(roomOf(join(folderOf(node, mixed), '5')) < 260 * KiB, `${node.ip}: its hole takes no room`);
    for (const id of [1025, 1026])
      t.ok(
        contentOf(node, emptied, id).equals(pattern(id, 0, 200 * KiB + id)),
        `${node.ip}: ${id} of the emptied one`,
      );
    t.ok(contentOf(node, emptied, 5).equals(tinyContent()));
  }
  t.notOk(readdirSync(folderA).includes('1028'), 'R7: what was deleted at the first host does not come back');
  for (const id of [1025, 1026])
    t.ok(contentOf(restartedC, joined.id, id).equals(pattern(id, 0, 200 * KiB + id)));
  await untilAnswer(
    'the new replica is complete',
    async () => ((await viewOf(restartedC, joined.id)).role === 'member' ? true : null),
    35_000,
  );
  t.notOk(readdirSync(folderOf(restartedC, joined.id)).includes('1027'));
  t.match(readFileSync(join(folderOf(restartedC, joined.id), 'META'), 'utf8'), /"DataPartitionCreateType":0/);
  t.ok(contentOf(restartedC, joined.id, 5).equals(tinyContent()));
  t.match(await debugData(restartedC, '/repair'), { partitionCount: 3, roundsRunning: 0 });
  for (const { process } of nodes) t.equal((await process.terminate()).code, 0);
});
