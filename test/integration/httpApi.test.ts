/** The debug API of a real node (`admin.md` 10): bodies, keys, errors, against what the data port was told. */
import zlib from 'node:zlib';
import t from 'tap';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { startStandalone } from '../support/nodeProcess.js';
import { PacketClient } from '../support/packetClient.js';
import { create, createPartition, deletePartition, pattern, write } from '../support/requests.js';
import { untilAnswer } from '../support/until.js';

const BLOCK = 128 * 1024;
const PARTITION_BYTES = 128_849_018_880;

type Json = Record<string, unknown>;
interface Answer {
  status: number;
  type: string | null;
  text: string;
}

const node = await startStandalone(t, { disks: 2, partitions: 3 });

async function get(path: string, base = node.httpUrl): Promise<Answer> {
  const response = await fetch(new URL(path, base));
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
}

async function data(path: string): Promise<Json> {
  const { text } = await get(path);
  return (JSON.parse(text) as { data: Json }).data;
}

const client = new PacketClient(node.port);
t.teardown(() => client.end());
/** An extent of partition 1 with one whole block and a half. */
const extent = (await client.ask(create(1))).extentId;
const block = pattern(extent, 0, BLOCK);
for (const [offset, body] of [
  [0, block],
  [BLOCK, block.subarray(0, 1000)],
] as const) {
  const reply = await client.ask(write(1, extent, offset, body));
  if (reply.resultCode !== RESULT.ok) throw new Error(reply.body.toString());
}

t.test('the envelope has code, data and msg, in this order, as text', async (t) => {
  const answer = await get('/partitions');
  t.equal(answer.status, 200);
  t.equal(answer.type, 'text/plain; charset=utf-8');
  t.match(answer.text, /^\{"code":200,"data":\{.*\},"msg":""\}$/s);
});

t.test('/partitions and /disks tell what there is', async (t) => {
  const { partitions, partitionCount } = (await data('/partitions')) as {
    partitions: Json[];
    partitionCount: number;
  };
  t.equal(partitionCount, 3);
  const first = partitions.find(({ id }) => id === 1)!;
  t.strictSame(Object.keys(first), ['id', 'size', 'used', 'status', 'path', 'replicas']);
  t.equal(first['size'], PARTITION_BYTES);
  t.equal(first['status'], 2);
  t.strictSame(first['replicas'], [node.address]);
  t.match(first['path'], /datapartition_1_128849018880$/);
  const { disks, rack } = (await data('/disks')) as { disks: Json[]; rack: string };
  t.equal(disks.length, 2);
  t.type(rack, 'string');
  const names = ['path', 'total', 'used', 'available', 'unallocated', 'allocated', 'status', 'restSize'];
  for (const disk of disks) {
    for (const name of names) t.ok(name in disk, name);
    t.equal(disk['status'], 2);
    t.ok((disk['available'] as number) > 0);
  }
  t.equal(
    disks.reduce((sum, disk) => sum + (disk['partitions'] as number), 0),
    3,
  );
});

t.test('/partition, /extent and /block tell of one', async (t) => {
  const partition = await data('/partition?id=1');
  t.strictSame(Object.keys(partition), [
    'VolName',
    'id',
    'size',
    'used',
    'status',
    'path',
    'extents',
    'fileCount',
    'replicas',
    'tinyDeleteRecordSize',
    'RaftStatus',
  ]);
  t.equal(partition['VolName'], 'demo');
  const extents = partition['extents'] as Json[];
  t.equal(extents.length, 65, '64 tiny extents and ours');
  const info = extents.find(({ fileId }) => fileId === extent)!;
  t.equal(info['size'], BLOCK + 1000);
  const one = await data(`/extent?partitionID=1&extentID=${extent}`);
  t.strictSame(one, info);
  t.strictSame(Object.keys(one), ['fileId', 'size', 'Crc', 'deleted', 'modTime', 'src']);
  const blocks = (await data(`/block?partitionID=1&extentID=${extent}`)) as unknown as Json[];
  t.strictSame(
    blocks.slice(0, 2),
    [
      { BlockNo: 0, Crc: zlib.crc32(block) },
      { BlockNo: 1, Crc: 0 },
    ],
    'the checksum of a whole block is kept, a part has none',
  );
});

t.test('used space follows the writes', async (t) => {
  const used = await untilAnswer('used bytes', async () => {
    const value = (await data('/partition?id=1'))['used'];
    return value === BLOCK + 1000 ? value : null;
  });
  t.equal(used, BLOCK + 1000);
});

t.test('errors have their status and words', async (t) => {
  for (const [path, status, message] of [
    ['/partition?id=99', 404, /^partition not exist$/],
    ['/partition?id=x', 400, /^parse param id fail: /],
    ['/partition', 400, /^parse param id fail: /],
    ['/extent?partitionID=1&extentID=999', 500, /^e extent 1_999 not exist$/],
    ['/extent?partitionID=99&extentID=1', 404, /^partition not exist$/],
    ['/block?partitionID=1&extentID=x', 400, /./],
  ] as const) {
    const answer = await get(path);
    t.equal(answer.status, status, path);
    const { code, data, msg } = JSON.parse(answer.text) as { code: number; data: null; msg: string };
    t.equal(code, status);
    t.equal(data, null);
    t.match(msg, message);
  }
  t.equal((await get('/nothing')).status, 404);
  t.equal((await get('/debug/fault?disk=0&kind=hang')).status, 404, 'faults are off unless configured');
});

t.test('/stats is the heartbeat response', async (t) => {
  const stats = await data('/stats');
  t.equal(stats['CreatedPartitionCnt'], 3);
  t.ok((stats['Total'] as number) > 0);
  t.equal((stats['PartitionReports'] as unknown[]).length, 3);
  t.equal(stats['Status'], 1);
});

t.test('GET / is a page for people', async (t) => {
  const answer = await get('/');
  t.equal(answer.status, 200);
  t.match(answer.type, /text\/html/);
  t.match(answer.text, node.address);
});

t.test('the master sees heartbeats and reports of the node', async (t) => {
  const [reported] = await untilAnswer('a heartbeat after the writes', async () => {
    const { text } = await get('/status', node.masterUrl);
    const { nodes } = JSON.parse(text) as { nodes: { heartbeat: { PartitionReports: Json[] } | null }[] };
    const reports = nodes[0]?.heartbeat?.PartitionReports ?? [];
    const first = reports.filter((one) => one['PartitionID'] === 1 && one['Used'] === BLOCK + 1000);
    return first.length === 1 ? first : null;
  });
  t.equal(reported!['PartitionStatus'], 2);
});

t.test('the master creates and deletes partitions through the data port', async (t) => {
  const made = await client.ask(createPartition(node.address, 1, 77, PARTITION_BYTES));
  t.equal(made.resultCode, RESULT.ok, made.body.toString());
  t.match(made.body.toString(), /disk[12]$/, 'the body is the path of the disk');
  t.equal(made.partitionId, 77, 'the id is the one of the task');
  const again = await client.ask(createPartition(node.address, 1, 77, PARTITION_BYTES));
  t.equal(again.body.toString(), made.body.toString(), 'a second time it is there already');
  t.equal((await client.ask(create(77))).extentId, 1025, 'it serves');
  t.equal(((await data('/partition?id=77'))['extents'] as unknown[]).length, 65);
  const gone = await client.ask(deletePartition(node.address, 77));
  t.equal(gone.resultCode, RESULT.ok, gone.body.toString());
  t.equal((await client.ask(deletePartition(node.address, 77))).resultCode, RESULT.ok, 'unknown is deleted');
  t.equal((await get('/partition?id=77')).status, 404);
  const refused = new PacketClient(node.port);
  t.equal((await refused.ask(create(77))).body.toString(), 'ActionPreparePkt_data partition not exists');
  await refused.end();
});
