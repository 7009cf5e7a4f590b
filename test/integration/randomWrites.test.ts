/** Random writes of a real node with one replica: through its raft group, read back at once, kept through kill -9, and nothing left over by a clean stop. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { decodeUint64Body, encodeUint64Body } from '../../src/protocol/queries.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { runTool } from '../../src/tools/runTool.js';
import { Random } from '../sim/random.js';
import { type RunningNode, restart, startStandalone } from '../support/nodeProcess.js';
import { PacketClient, type Reply } from '../support/packetClient.js';
import { RandomLoad } from '../support/randomLoad.js';
import {
  create,
  createPartition,
  deletePartition,
  pattern,
  randomWrite,
  read,
  write,
} from '../support/requests.js';
import { textStreams } from '../support/textStreams.js';

const KiB = 1024;
const GiB = 1024 ** 3;
const KILLS = 4;
const LOAD_MS_MAX = 300;

/** Creates an extent with `bytes` of `pattern(1)`; its id. */
async function filled(client: PacketClient, partitionId: number, bytes: number): Promise<number> {
  const { extentId } = await client.ask(create(partitionId));
  const reply = await client.ask(write(partitionId, extentId, 0, pattern(1, 0, bytes)));
  if (reply.resultCode !== RESULT.ok) throw new Error(reply.body.toString());
  return extentId;
}

function clientOf(t: Test, port: number): PacketClient {
  const client = new PacketClient(port);
  t.teardown(() => client.end());
  return client;
}

function said({ resultCode, body }: Reply): string {
  return `${resultCode.toString(16)} ${body}`;
}

/** Folders of disk 0 of a standalone node. */
function diskOf(node: RunningNode): string {
  const disk = readdirSync(node.folder).find((name) => existsSync(join(node.folder, name, '.extentd.raft')));
  if (disk === undefined) throw new Error('no disk with a journal');
  return join(node.folder, disk);
}

t.test('what is written inside an extent is read at once, by 0x05 and 0x06', async (t) => {
  const node = await startStandalone(t);
  const client = clientOf(t, node.port);
  const extentId = await filled(client, 1, 256 * KiB);
  const expected = pattern(1, 0, 256 * KiB);
  for (const [at, bytes, sync] of [
    [0, 4 * KiB, false],
    [5000, 777, true],
    [128 * KiB, 128 * KiB, false],
    [100 * KiB, 60 * KiB, true],
  ] as const) {
    const body = pattern(at + 2, 0, bytes);
    body.copy(expected, at);
    const reply = await client.ask(randomWrite(1, extentId, at, body, sync));
    t.equal(reply.resultCode, RESULT.ok, reply.body.toString());
    t.equal(reply.body.length, 0);
    for (const opcode of [OP.streamRead, OP.streamFollowerRead]) {
      const [there] = await client.askAll(read(1, extentId, at, bytes, opcode), 1);
      t.ok(there!.body.equals(body), `${bytes} bytes at ${at} by ${opcode}`);
    }
  }
  const page = await (await fetch(`${node.httpUrl}/raftStatus?raftID=1`)).json();
  const status = { ID: 1, State: 'StateLeader', Term: 1, Index: 5, Commit: 5, Applied: 5, Stopped: false };
  t.match(page, { code: 200, data: status }, 'the first entry of the lead and four writes');
  t.match(await (await fetch(`${node.httpUrl}/partition?id=1`)).json(), { data: { RaftStatus: status } });
  t.match(await (await fetch(`${node.httpUrl}/raftStatus?raftID=2`)).json(), {
    data: { ID: 2, Stopped: true },
  });
  const replies = await client.askAll(read(1, extentId, 0, 256 * KiB), 2);
  t.ok(Buffer.concat(replies.map(({ body }) => body)).equals(expected), 'and nothing else has changed');
});

t.test('what no replica could carry out is refused, and changes nothing', async (t) => {
  const node = await startStandalone(t);
  const extentId = await filled(clientOf(t, node.port), 1, 8 * KiB);
  const body = pattern(9, 0, 4 * KiB);
  const long = pattern(9, 0, 130 * KiB);
  for (const [ask, expected] of [
    [randomWrite(1, 4711, 0, body), 'f5 ActionWrite:_extent does not exist'],
    [{ ...randomWrite(1, extentId, 0, body), crc: 1 }, 'f3 ActionWrite:_packet Crc is incorrect'],
    [randomWrite(1, extentId, 6 * KiB, body), 'f9 ActionWrite:_try again'],
    [
      randomWrite(1, extentId, 0, long),
      `f4 ActionWrite:_parameter mismatch error: offset=0 size=${long.length}`,
    ],
    [
      randomWrite(1, extentId, 128 * KiB * KiB, body),
      `f4 ActionWrite:_parameter mismatch error: offset=${128 * KiB * KiB} size=4096`,
    ],
    [randomWrite(99, extentId, 0, body), 'fc ActionPreparePkt_data partition not exists'],
  ] as const) {
    // An error is the last reply on its connection.
    const client = clientOf(t, node.port);
    t.equal(said(await client.ask(ask)), expected);
  }
  const [there] = await clientOf(t, node.port).askAll(read(1, extentId, 0, 8 * KiB), 1);
  t.ok(there!.body.equals(pattern(1, 0, 8 * KiB)));
});

t.test('kill -9 under random writes: nothing acknowledged is lost', async (t) => {
  const random = new Random(7);
  const options = { disks: 2, partitions: 4 };
  let node = await startStandalone(t, options);
  const load = new RandomLoad(random);
  await load.fill(node.port, [1, 2, 3, 4]);
  for (let round = 0; round < KILLS; round++) {
    let armed = false;
    const { child } = node.process;
    await load.run(node.port, () => {
      if (!armed) setTimeout(() => child.kill('SIGKILL'), random.below(LOAD_MS_MAX));
      armed = true;
    });
    await node.process.ended();
    node = await restart(t, node, options);
    t.same(await load.verify(node.port), [], `after kill ${round + 1}`);
    t.same(load.errors, []);
  }
  t.ok(load.acknowledged > KILLS, `${load.acknowledged} were acknowledged`);
});

t.test('a clean stop leaves complete log folders and nothing in the journal', async (t) => {
  let node = await startStandalone(t);
  const client = new PacketClient(node.port);
  const extentId = await filled(client, 1, 64 * KiB);
  const body = pattern(5, 0, 4 * KiB);
  for (let at = 0; at < 16; at++) await client.ask(randomWrite(1, extentId, at * 4 * KiB, body));
  await client.end();
  t.equal((await node.process.terminate()).code, 0);
  const disk = diskOf(node);
  const folder = readdirSync(disk).find((name) => name.startsWith('datapartition_1_'))!;
  t.same(readdirSync(join(disk, folder, 'wal_1')).sort(), ['0000000000000001-0000000000000001.log', 'META']);
  const streams = textStreams();
  t.equal(await runTool({ tool: 'recover', target: disk, json: false }, streams), 0);
  t.match(streams.out, /no journal has anything to recover/);
  node = await restart(t, node, {});
  const [there] = await clientOf(t, node.port).askAll(read(1, extentId, 0, 4 * KiB), 1);
  t.ok(there!.body.equals(body));
});

t.test('applied ids: what is told is durable, and what all have is taken', async (t) => {
  let node = await startStandalone(t);
  const client = new PacketClient(node.port);
  const applied = async (on: PacketClient): Promise<number> => {
    const { body } = await on.ask({ opcode: OP.getAppliedId, partitionId: 1 });
    return decodeUint64Body(body)!;
  };
  t.equal(await applied(client), 0, 'nothing of a new group is saved');
  const extentId = await filled(client, 1, 8 * KiB);
  for (let i = 0; i < 5; i++) await client.ask(randomWrite(1, extentId, 0, pattern(i, 0, 4 * KiB)));
  const told = await client.ask({
    opcode: OP.broadcastMinAppliedId,
    partitionId: 1,
    body: encodeUint64Body(3),
  });
  t.equal(said(told), 'f0 ');
  await client.end();
  await node.process.terminate();
  node = await restart(t, node, {});
  const again = clientOf(t, node.port);
  t.ok((await applied(again)) >= 6, 'a stop has saved the first entry of the lead and five writes');
  const short = { opcode: OP.broadcastMinAppliedId, partitionId: 1, body: new Uint8Array(3) };
  t.match(said(await clientOf(t, node.port).ask(short)), /ArgLenMismatchErr/);
});

t.test('a partition that is created at runtime takes random writes, and ends under them', async (t) => {
  const node = await startStandalone(t);
  const admin = clientOf(t, node.port);
  t.equal((await admin.ask(createPartition(node.address, 1, 77, GiB))).resultCode, RESULT.ok);
  const client = clientOf(t, node.port);
  const extentId = await filled(client, 77, 8 * KiB);
  const body = pattern(3, 0, 4 * KiB);
  t.equal(said(await client.ask(randomWrite(77, extentId, 0, body))), 'f0 ');
  const many = Array.from({ length: 64 }, () => client.ask(randomWrite(77, extentId, 4 * KiB, body)));
  const deleted = admin.ask(deletePartition(node.address, 77));
  const codes = (await Promise.allSettled(many)).map((one) =>
    one.status === 'fulfilled' ? one.value.resultCode : RESULT.tryOtherAddr,
  );
  t.ok(
    codes.every((code) => code === RESULT.ok || code === RESULT.tryOtherAddr),
    'each was carried out, or sent elsewhere',
  );
  t.equal((await deleted).resultCode, RESULT.ok);
  t.notOk(readdirSync(diskOf(node)).some((name) => name.startsWith('datapartition_77_')));
  t.equal((await admin.ask(createPartition(node.address, 1, 77, GiB))).resultCode, RESULT.ok);
  const fresh = clientOf(t, node.port);
  const extent = await filled(fresh, 77, 8 * KiB);
  t.equal(said(await fresh.ask(randomWrite(77, extent, 0, body))), 'f0 ', 'the id is used again');
});
