/** A real node whose disk has changed bytes while it was stopped, among fake ones that have the right ones: what a client meets, what becomes of the blocks, and what an operator sees. */
import { closeSync, openSync, readFileSync, statSync, utimesSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import type { RepairView } from '../../src/repair/messages.js';
import { freePorts } from '../../src/standalone/standaloneConfig.js';
import { type ClusterNode, debugData, logOf, startClusterNode } from '../support/clusterNode.js';
import { FakeCluster } from '../support/fakeMaster/cluster.js';
import { FakePeer } from '../support/fakePeer.js';
import { PacketClient, type Reply } from '../support/packetClient.js';
import { create } from '../support/repairRig.js';
import { pattern, write } from '../support/requests.js';
import { until, untilAnswer } from '../support/until.js';

const BLOCK = 128 * 1024;
const GiB = 1024 ** 3;
const PARTITION = 77;

function flip(path: string, at: number): void {
  const { atimeMs, mtimeMs } = statSync(path);
  const byte = readFileSync(path)[at]!;
  const fd = openSync(path, 'r+');
  writeSync(fd, Uint8Array.of(byte ^ 1), 0, 1, at);
  closeSync(fd);
  // A disk that goes wrong changes no times.
  utimesSync(path, atimeMs / 1000, mtimeMs / 1000);
}

async function readBlock({ port, ip }: ClusterNode, extentId: number, block: number): Promise<Reply> {
  const client = new PacketClient(port, ip);
  const reply = await client.ask({
    ...{ opcode: OP.streamFollowerRead, extentType: 1, partitionId: PARTITION, extentId },
    ...{ extentOffset: block * BLOCK, size: BLOCK, body: new Uint8Array(0) },
  });
  await client.end();
  return reply;
}

interface Scene {
  cluster: FakeCluster;
  /** A node that has ended, with the partition's folder on its disk. */
  first: ClusterNode;
  folder: string;
  peers: FakePeer[];
}

/** A partition whose extents 1025 and 1026, of three blocks, are on this node and on two others; this one has been stopped. */
async function stoppedNode(t: Test): Promise<Scene> {
  const cluster = await FakeCluster.start(t);
  const first = await startClusterNode(t, { masters: cluster.addrs });
  await first.process.whenReady();
  const peers = await Promise.all(['127.0.0.2', '127.0.0.3'].map((host) => FakePeer.start(t, host)));
  const hosts = [peers[0]!.address, peers[1]!.address, first.address];
  const client = new PacketClient(first.port, first.ip);
  const must = async (ask: Parameters<PacketClient['ask']>[0]): Promise<void> => {
    const reply = await client.ask(ask);
    if (reply.resultCode !== RESULT.ok) throw new Error(reply.body.toString());
  };
  await must(create(PARTITION, hosts));
  for (const extentId of [1025, 1026]) {
    const content = pattern(extentId, 0, 3 * BLOCK);
    const body = new Uint8Array(8);
    await must({ opcode: OP.createExtent, extentType: 1, partitionId: PARTITION, extentId, body });
    for (let at = 0; at < content.length; at += BLOCK)
      await must(write(PARTITION, extentId, at, content.subarray(at, at + BLOCK)));
    for (const peer of peers) peer.extents.set(extentId, Buffer.from(content));
  }
  await client.end();
  await first.process.terminate();
  cluster.state.volumes.set('repaired', { isDeleted: false });
  cluster.state.partitions.set(PARTITION, {
    ...{ id: PARTITION, volume: 'repaired', sizeBytes: GiB, hosts },
    peers: hosts.map((addr, i) => ({ id: i + 1, addr })),
    replicas: new Map(hosts.map((addr) => [addr, first.disks[0]!])),
    loads: new Map(),
  });
  return { cluster, first, peers, folder: join(first.disks[0]!, `datapartition_${PARTITION}_${GiB}`) };
}

/** The node runs again, and its repair knows who has the partition. */
async function startAgain({ cluster, first }: Scene, t: Test, config = {}): Promise<ClusterNode> {
  const node = await startClusterNode(t, { masters: cluster.addrs, again: first, config });
  await node.process.whenReady();
  await untilAnswer('the master has told the hosts', async () => {
    const { partitions } = (await debugData(node, '/repair')) as RepairView;
    return partitions[0]?.role === 'member' ? true : null;
  });
  return node;
}

/** The other replicas take questions for blocks, and do not answer them. */
function silence({ peers }: Scene): void {
  for (const peer of peers)
    peer.answer = ({ opcode }) => (opcode === OP.extentRepairRead ? (async function* () {})() : undefined);
}

function othersAreAsked({ peers }: Scene): Promise<void> {
  return until('others are asked for the block', () =>
    peers.some(({ asked }) => asked.some(({ opcode }) => opcode === OP.extentRepairRead)),
  );
}

function waited(metrics: string, outcome: string): number {
  const pattern = `^extentd_disk_reads_waited_for_heal_total\\{.*outcome="${outcome}"\\} (\\d+)$`;
  return Number(new RegExp(pattern, 'm').exec(metrics)![1]);
}

t.test(
  'pains 11: damaged blocks are healed by the other replicas; where they disagree too, there is an alarm',
  async (t) => {
    const scene = await stoppedNode(t);
    const { folder, peers } = scene;
    flip(join(folder, '1025'), BLOCK + 77);
    flip(join(folder, '1026'), 5);
    peers[1]!.extents.get(1026)!.fill(0, 0, 100);
    const [exporter] = await freePorts('127.0.0.1', 1);
    const node = await startAgain(scene, t, { exporterPort: exporter });
    // The very first read waits for the heal: no error, and no second try.
    const healed = await readBlock(node, 1025, 1);
    t.equal(healed.resultCode, RESULT.ok, healed.body.subarray(0, 200).toString());
    t.ok(Buffer.from(healed.body).equals(pattern(1025, 0, 3 * BLOCK).subarray(BLOCK, 2 * BLOCK)));
    t.ok(readFileSync(join(folder, '1025')).equals(pattern(1025, 0, 3 * BLOCK)), 'the whole extent');
    t.match((await readBlock(node, 1026, 0)).body.toString(), /is damaged: its checksum does not fit/);
    await until(
      'the alarm is there',
      () => /block 0 of extent 1026 differs between replicas, and nothing was written/.test(logOf(node)),
      30_000,
    );
    await until('the heal is in the log', () =>
      /a block was replaced by what most replicas have/.test(logOf(node)),
    );
    t.match((await readBlock(node, 1026, 0)).body.toString(), /is damaged/, 'still not served');
    const metrics = await untilAnswer('the reads that have waited are counted', async () => {
      const page = await (await fetch(`http://127.0.0.1:${exporter}/metrics`)).text();
      return waited(page, 'healed') + waited(page, 'failed') >= 2 ? page : null;
    });
    t.same([waited(metrics, 'healed'), waited(metrics, 'failed')], [1, 1], 'the last read did not wait');
    t.match(metrics, /extentd_repair_healed_total\{[^}]*what="block"[^}]*\} 1\n/);
    t.match(metrics, /extentd_repair_failures_total\{[^}]*what="verdict"[^}]*\} 1\n/);
    await node.process.terminate();
  },
);

t.test(
  'the other replicas do not answer: the read is answered in time, nothing else waits, and the disk is not called silent',
  async (t) => {
    const scene = await stoppedNode(t);
    flip(join(scene.folder, '1025'), BLOCK + 77);
    silence(scene);
    const config = JSON.parse(readFileSync(scene.first.configPath, 'utf8'));
    const node = await startAgain(scene, t, { extentd: { ...config.extentd, stallMs: 1_000 } });
    const waits = readBlock(node, 1025, 1);
    await othersAreAsked(scene);
    const [exact, other] = [await readBlock(node, 1025, 0), await readBlock(node, 1026, 1)];
    t.same([exact.resultCode, other.resultCode], [RESULT.ok, RESULT.ok]);
    t.match((await waits).body.toString(), /is damaged: its checksum does not fit/);
    t.equal((await readBlock(node, 1026, 2)).resultCode, RESULT.ok);
    await node.process.terminate();
    t.notMatch(logOf(node), /disk does not answer/);
  },
);

t.test('a stop while a read waits: it is answered, and the node ends cleanly', async (t) => {
  const scene = await stoppedNode(t);
  flip(join(scene.folder, '1025'), BLOCK + 77);
  silence(scene);
  const node = await startAgain(scene, t);
  const waits = readBlock(node, 1025, 1);
  await othersAreAsked(scene);
  t.equal((await node.process.terminate()).code, 0);
  t.match((await waits).body.toString(), /is damaged: its checksum does not fit/);
  t.match(logOf(node), /"clean":true/);
});
