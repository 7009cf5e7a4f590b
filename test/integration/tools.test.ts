/**
 * The tools of the compiled program on folders that a real node wrote: stopped cleanly, and killed under load.
 */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import t from 'tap';
import { SLOT_BYTES, slotOffset } from '../../src/storage/crcFile.js';
import { BLOCK_BYTES, BLOCKS_PER_EXTENT, EXTENT_BYTES_MAX } from '../../src/storage/layout.js';
import type { PartitionReport } from '../../src/tools/partitionReport.js';
import { packageRoot } from '../packageRoot.js';
import { Random } from '../sim/random.js';
import { treeState } from '../support/folderState.js';
import {
  mainPath,
  type RunningNode,
  startProcess,
  startStandalone,
  type Teardown,
  testFolder,
} from '../support/nodeProcess.js';
import { PacketClient } from '../support/packetClient.js';
import { create, pattern, write } from '../support/requests.js';
import { StoreLoad } from '../support/storeLoad.js';
import { until } from '../support/until.js';

/** Runs the program to its end. */
function extentd(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [mainPath, ...args], { encoding: 'utf8', timeout: 60_000 });
}

/** Runs a tool on a tree that must stay as it is. */
function unchanged(t: { strictSame(a: unknown, b: unknown, name: string): unknown }, root: string) {
  return (...args: string[]): ReturnType<typeof extentd> => {
    const before = treeState(root);
    const result = extentd(...args);
    t.strictSame(treeState(root), before, `${args.join(' ')} changed nothing`);
    return result;
  };
}

/** A config file for the disk at `root`, in `folder`. */
function configFile(folder: string, root: string): string {
  const path = join(folder, 'check.json');
  const config = {
    ...{ role: 'datanode', port: '17310', masterAddr: ['127.0.0.1:1'], disks: [`${root}:0`] },
    ...{ raftDir: join(folder, 'raft'), raftHeartbeat: '17330', raftReplica: '17340' },
    logDir: join(folder, 'logs'),
  };
  writeFileSync(path, JSON.stringify(config));
  return path;
}

/** A node whose partition 1 has an extent of two whole blocks and a part of a third. */
async function nodeWithExtent(t: Teardown): Promise<{ node: RunningNode; extentId: number; bytes: number }> {
  const node = await startStandalone(t, { partitions: 2 });
  const client = new PacketClient(node.port);
  const extentId = (await client.ask(create(1))).extentId;
  let end = 0;
  for (const bytes of [BLOCK_BYTES, BLOCK_BYTES, 5000]) {
    await client.ask(write(1, extentId, end, pattern(extentId, end, bytes)));
    end += bytes;
  }
  client.socket.destroy();
  return { node, extentId, bytes: end };
}

t.test('inspect, verify and check on a stopped node’s folders', async (t) => {
  const { node, extentId, bytes } = await nodeWithExtent(t);
  const root = join(node.folder, 'disk1');
  const file = configFile(node.folder, root);
  const beside = extentd('check', '-c', file);
  t.match(beside, { status: 1, stderr: '', stdout: /NOT SERVED: disk .* is in use by another process/ });
  t.equal((await node.process.terminate()).code, 0);
  const run = unchanged(t, root);
  const { status, stdout, stderr } = run('inspect', root, '--json');
  t.strictSame([status, stderr], [0, '']);
  const report = JSON.parse(stdout) as { partitions: PartitionReport[]; others: string[] };
  t.strictSame(report.others, [], 'nothing of ours is strange');
  t.strictSame(report.partitions.map(({ meta }) => meta?.partitionId).sort(), [1, 2]);
  const one = report.partitions.find(({ meta }) => meta?.partitionId === 1);
  t.match(one, { problems: [], extentMeta: { base: extentId } });
  t.match(one?.extentClean, { state: 'valid', ownFrom: 1, clean: 1, damaged: 0, broken: 0 });
  t.match(
    one?.extents.find(({ id }) => id === extentId),
    { sizeBytes: bytes, slots: { blocks: 3, known: 2, beyondEnd: 0, state: 'clean' } },
  );
  const folder = readdirSync(root).find((name) => name.startsWith('datapartition_1_'))!;
  const text = run('inspect', join(root, folder));
  t.match(text, { status: 0, stdout: /partition 1 of volume demo/ });
  const checked = run('check', '-c', file, '--json');
  t.equal(checked.status, 0);
  const { disks } = JSON.parse(checked.stdout) as { disks: { partitions: { verdict: string }[] }[] };
  t.strictSame(
    disks[0]?.partitions.map(({ verdict }) => verdict),
    ['loaded', 'loaded'],
  );
  t.notOk(existsSync(join(node.folder, 'logs')), 'the log folder is not made');
  const sound = run('verify', root, '--json');
  t.equal(sound.status, 0);
  t.match(JSON.parse(sound.stdout), { damage: [], totals: { blocks: 2, unknownBlocks: 1 }, complete: true });
  const fd = openSync(join(root, folder, String(extentId)), 'r+');
  writeSync(fd, Buffer.from('damage'), 0, 6, BLOCK_BYTES + 500);
  closeSync(fd);
  const damaged = run('verify', root);
  t.match(damaged, { status: 1, stderr: '', stdout: /^DAMAGED partition 1, extent \d+, block 1: / });
});

t.test('inspect, verify and check on a killed node’s folders', async (t) => {
  const node = await startStandalone(t, { partitions: 2 });
  const load = new StoreLoad(new Random(7));
  const running = load.run(node.port, { partitions: [1, 2], syncShare: 0.1, connections: 4 }, () => {
    if (load.appends >= 400) node.process.child.kill('SIGKILL');
  });
  await running;
  await node.process.ended();
  const root = join(node.folder, 'disk1');
  const run = unchanged(t, root);
  const { status, stdout } = run('inspect', root, '--json');
  t.equal(status, 0);
  const { partitions } = JSON.parse(stdout) as { partitions: PartitionReport[] };
  for (const { extentClean, extents } of partitions) {
    t.match(extentClean, { state: 'valid', clean: 0 });
    t.ok(extents.every(({ slots }) => slots === undefined || slots.state === 'own'));
  }
  const sizes = new Map(
    partitions.flatMap(({ meta, extents }) =>
      extents.map(({ id, sizeBytes }): [string, number] => [`${meta?.partitionId}/${id}`, sizeBytes]),
    ),
  );
  const short = load.extents.filter(({ partitionId, extentId, ackedBytes }) => {
    return (sizes.get(`${partitionId}/${extentId}`) ?? -1) < ackedBytes;
  });
  t.strictSame(short, [], 'every acknowledged byte is inside a file');
  const verified = run('verify', root, '--json');
  t.match(JSON.parse(verified.stdout), { damage: [], complete: true }, 'no checksum is wrong after a kill');
  t.equal(verified.status, 0);
  t.match(run('check', '-c', configFile(node.folder, root)), {
    status: 0,
    stdout: /fine: a start would serve/,
  });
});

t.test('verify and inspect beside a node under load: no damage is made up', async (t) => {
  const node = await startStandalone(t, { partitions: 2 });
  const load = new StoreLoad(new Random(11));
  const running = load.run(node.port, { partitions: [1, 2], syncShare: 0.1, connections: 4 });
  await until('there is something to verify', () => load.appends > 200);
  const root = join(node.folder, 'disk1');
  for (let round = 0; round < 3; round += 1) {
    const verify = startProcess(t, { args: ['verify', root, '--json'] });
    const inspect = startProcess(t, { args: ['inspect', root, '--json'] });
    const codes = [await verify.ended(), await inspect.ended()].map(({ code }) => code);
    t.strictSame(codes, [0, 0], verify.stdout.slice(0, 500) + inspect.stderr);
    t.match(JSON.parse(verify.stdout), { damage: [], complete: true });
    t.match(JSON.parse(inspect.stdout), { complete: true });
  }
  load.stop();
  await running;
  t.strictSame(load.errors, []);
});

t.test('SIGTERM ends a tool with 2 and whole JSON', async (t) => {
  const folder = join(testFolder(t), 'datapartition_3_1');
  mkdirSync(folder);
  // Holes read as zeros, and are read in full: enough work to be interrupted in the middle of it.
  const slots = Buffer.alloc(BLOCKS_PER_EXTENT * SLOT_BYTES);
  for (let block = 0; block < BLOCKS_PER_EXTENT; block += 1)
    slots.writeUInt32BE(crc32(Buffer.alloc(BLOCK_BYTES)), block * SLOT_BYTES);
  const fd = openSync(join(folder, 'EXTENT_CRC'), 'w');
  for (let id = 1025; id < 1425; id += 1) {
    writeFileSync(join(folder, String(id)), '');
    truncateSync(join(folder, String(id)), EXTENT_BYTES_MAX);
    writeSync(fd, slots, 0, slots.byteLength, slotOffset(id, 0));
  }
  closeSync(fd);
  const verify = startProcess(t, { args: ['verify', folder, '--json'] });
  await until('it has begun', () => verify.stdout !== '' || verify.hasEnded);
  const { code } = await verify.terminate();
  t.equal(code, 2, verify.stderr);
  t.match(verify.stderr, /^interrupted\n$/);
  t.match(JSON.parse(verify.stdout), { damage: [], complete: false });
});

t.test('flags that cannot be meant: one line, and 2', async (t) => {
  t.match(extentd('inspect'), {
    status: 2,
    stdout: '',
    stderr: /^Fatal: inspect: one folder is expected.*\n$/,
  });
  t.match(extentd('verify', 'a', '--fast'), { status: 2, stderr: /^Fatal: verify: / });
  t.match(extentd('verify', join(packageRoot, 'nowhere')), { status: 2, stdout: '', stderr: /^readdir / });
  t.match(extentd('check', 'x.json'), { status: 2, stderr: /^Fatal: check: -c FILE is expected/ });
  t.match(extentd('inspect', '--help'), { status: 0, stdout: /^extentd inspect DIR/ });
});
