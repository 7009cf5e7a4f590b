/**
 * Limits per disk on a real node (`pains.md` 7, 22): kept, changed while it runs, and never taken for a hung disk. What has passed is counted at the client and compared
 * with what may have passed by then: a slow machine passes less, which no test takes amiss.
 */
import t from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { type RunningNode, startStandalone } from '../support/nodeProcess.js';
import { PacketClient } from '../support/packetClient.js';
import { create, pattern, read, write } from '../support/requests.js';
import { until, untilAnswer } from '../support/until.js';

const KiB = 1024;
const BLOCK = 128 * KiB;

interface Lane {
  waiting: number;
  running: number;
  passedOps: number;
  passedBytes: number;
}
interface DiskView {
  path: string;
  limits: { clients: Record<string, number>; background: Record<string, number> };
  waiting: number;
  clients: { read: Lane; write: Lane };
  background: { read: Lane; write: Lane };
}

async function limitsOf(node: RunningNode): Promise<DiskView[]> {
  const response = await fetch(`${node.httpUrl}/limits`);
  return ((await response.json()) as { data: { disks: DiskView[] } }).data.disks;
}

async function set(node: RunningNode, query: string): Promise<{ status: number; msg: string }> {
  const response = await fetch(`${node.httpUrl}/limits/set?${query}`, { method: 'POST' });
  return { status: response.status, msg: ((await response.json()) as { msg: string }).msg };
}

async function newExtent(client: PacketClient, partitionId = 1): Promise<number> {
  const reply = await client.ask(create(partitionId));
  if (reply.resultCode !== RESULT.ok) throw new Error(reply.body.toString());
  return reply.extentId;
}

/** Pipelines `count` appends of 4 KiB. Their replies come into `client.replies`. */
function sendWrites(client: PacketClient, extentId: number, count: number): void {
  for (let i = 0; i < count; i++) {
    const at = i * 4096;
    client.askAll(write(1, extentId, at, pattern(extentId, at, 4096)), 1).catch(() => {});
  }
}

async function extentBytes(node: RunningNode, extentId: number): Promise<number> {
  const response = await fetch(`${node.httpUrl}/extent?partitionID=1&extentID=${extentId}`);
  return ((await response.json()) as { data: { size: number } }).data.size;
}

async function isResponsive(node: RunningNode): Promise<boolean> {
  const response = await fetch(`${node.httpUrl}/disks`);
  return ((await response.json()) as { data: { disks: { responsive: boolean }[] } }).data.disks[0]!
    .responsive;
}

t.test('a limit of operations is kept, and all of them are served', async (t) => {
  const rate = 50;
  const node = await startStandalone(t, { settings: [`limits.clients.writeOpsPerSecond=${rate}`] });
  const client = new PacketClient(node.port);
  const extentId = await newExtent(client);
  const count = 60;
  const fromMs = performance.now();
  let served = 0;
  let bound = true;
  client.socket.on('data', () => {
    served = client.replies.length - 1;
    // A burst of a tenth of a second, and the one that overdraws.
    if (served > (rate * (performance.now() - fromMs)) / 1000 + rate / 10 + 1) bound = false;
  });
  sendWrites(client, extentId, count);
  await until('all writes', () => served === count);
  t.ok(bound, 'at no time more than the rate allows');
  t.ok(client.replies.every(({ resultCode }) => resultCode === RESULT.ok));
  const back = await client.ask(read(1, extentId, 0, BLOCK));
  t.ok(back.body.equals(pattern(extentId, 0, BLOCK)), 'in order');
  const [disk] = await limitsOf(node);
  t.match(disk, { waiting: 0, clients: { write: { waiting: 0, running: 0, passedOps: count + 1 } } });
  t.equal(disk!.clients.write.passedBytes, count * 4096);
  await client.end();
});

t.test('limits are changed by HTTP while requests wait for them', async (t) => {
  const node = await startStandalone(t, { disks: 2, partitions: 2 });
  const client = new PacketClient(node.port);
  const extentId = await newExtent(client);
  t.same(await set(node, 'disk=0&clients.writeOpsPerSecond=1'), { status: 200, msg: '' });
  const [first, second] = await limitsOf(node);
  t.match(first, { limits: { clients: { writeOpsPerSecond: 1, readOpsPerSecond: 0 } } });
  t.match(second, { limits: { clients: { writeOpsPerSecond: 0 } } }, 'the other disk');
  sendWrites(client, extentId, 40);
  await untilAnswer('they wait', async () => {
    const [disk] = await limitsOf(node);
    return disk!.waiting >= 30 && disk!.clients.write.waiting === disk!.waiting ? true : null;
  });
  const other = new PacketClient(node.port);
  t.ok((await newExtent(other, 2)) > 0, 'the other disk serves');
  for (const [query, problem] of [
    [
      'clients.writeOpsPerSecond=-1',
      /^clients\.writeOpsPerSecond: must be a whole number from 0 to 100000000/,
    ],
    ['clients.writeOpsPerSecond=many', /not the string "many"/],
    ['clients.readBytesPerSecond=1099511627777', /from 0 to 1099511627776/],
    ['background.readsAtOnce=1e3', /must be a whole number/],
    ['clients.writesPerSecond=1', /^clients\.writesPerSecond: there is no such limit; there are clients\./],
    ['disk=2&clients.writeOpsPerSecond=0', /^disk: there is no disk "2"/],
    ['disk=0', /^no limit is named/],
    ['disk=0&clients.writeOpsPerSecond=0&clients.readOpsPerSecond=x', /^clients\.readOpsPerSecond/],
  ] as const) {
    t.match(await set(node, query), { status: 400, msg: problem }, query);
  }
  t.ok((await limitsOf(node))[0]!.waiting > 0, 'a refused change changes nothing');
  t.same(await set(node, `disk=${encodeURIComponent(first!.path)}&clients.writeOpsPerSecond=0`), {
    status: 200,
    msg: '',
  });
  await until('all writes', () => client.replies.length === 41);
  t.ok(client.replies.every(({ resultCode }) => resultCode === RESULT.ok));
  t.equal(await extentBytes(node, extentId), 40 * 4096);
  t.same(await set(node, 'clients.readsAtOnce=2&background.writeOpsPerSecond=7'), { status: 200, msg: '' });
  for (const disk of await limitsOf(node)) {
    t.match(disk.limits, { clients: { readsAtOnce: 2 }, background: { writeOpsPerSecond: 7 } }, disk.path);
  }
  t.equal((await node.process.terminate()).code, 0);
});

t.test('a node that stops finishes what waits for a limit', async (t) => {
  const node = await startStandalone(t, { settings: ['limits.clients.writeBytesPerSecond=1000'] });
  const client = new PacketClient(node.port);
  const extentId = await newExtent(client);
  sendWrites(client, extentId, 30);
  await untilAnswer('they wait', async () => ((await limitsOf(node))[0]!.waiting >= 25 ? true : null));
  const ended = await node.process.terminate();
  t.equal(ended.code, 0);
  t.equal(client.replies.length, 31);
  t.ok(client.replies.every(({ resultCode }) => resultCode === RESULT.ok));
});

t.test('a disk that is only limited is not taken for a hung one, and a hung one is', async (t) => {
  const settings = ['stallMs=300', 'faultInjection=true', 'limits.clients.writeBytesPerSecond=2500'];
  const node = await startStandalone(t, { settings });
  const client = new PacketClient(node.port);
  const extentId = await newExtent(client);
  const fromMs = performance.now();
  sendWrites(client, extentId, 4);
  // One each 1.6 s, five times what a stall is. The fourth may come too late to be served.
  await until('three writes', () => client.replies.length === 4);
  t.ok(performance.now() - fromMs > 3 * 300, 'it took longer than a stall');
  t.ok(client.replies.every(({ resultCode }) => resultCode === RESULT.ok));
  t.notMatch(node.process.stderr, /does not answer/);
  t.ok(await isResponsive(node));
  const waiter = new PacketClient(node.port);
  sendWrites(waiter, extentId, 10);
  await untilAnswer('they wait', async () => ((await limitsOf(node))[0]!.waiting >= 9 ? true : null));
  const hung = await fetch(`${node.httpUrl}/debug/fault?disk=0&kind=hang`, { method: 'POST' });
  t.equal(hung.status, 200);
  const reader = new PacketClient(node.port);
  reader.askAll(read(1, extentId, 0, 4096), 1).catch(() => {});
  await until('the stall', () => /disk does not answer/.test(node.process.stderr), 20_000);
  await until('its alarm', () =>
    /disk path \S+ error on 127\.0\.0\.1: does not answer .*alarm=true/.test(node.process.stderr),
  );
  await until('an error', () => reader.replies.length === 1);
  t.match(reader.replies[0]!.body.toString(), /does not answer/);
  await fetch(`${node.httpUrl}/debug/fault?disk=0&kind=clear`, { method: 'POST' });
  await untilAnswer('it serves again', async () => ((await isResponsive(node)) ? true : null), 20_000);
  for (const one of [client, waiter, reader]) await one.end();
});

t.test('what waits too long is refused, what stands behind it is not executed', async (t) => {
  const node = await startStandalone(t, { settings: ['limits.clients.writeOpsPerSecond=1'] });
  const client = new PacketClient(node.port);
  const extentId = await newExtent(client);
  sendWrites(client, extentId, 20);
  await until('the refusal', () => client.ended, 20_000);
  const answers = client.replies.slice(1);
  const last = answers.at(-1)!;
  t.equal(last.body.toString(), 'ActionWrite:_request waited too long for its disk');
  t.ok(answers.slice(0, -1).every(({ resultCode }) => resultCode === RESULT.ok));
  t.ok(answers.length <= 9, `${answers.length} answers in six seconds`);
  await untilAnswer('nothing waits', async () => ((await limitsOf(node))[0]!.waiting === 0 ? true : null));
  t.equal(await extentBytes(node, extentId), (answers.length - 1) * 4096);
  await client.end();
});

t.test('what waits for a client that has gone is not executed', async (t) => {
  const node = await startStandalone(t, { settings: ['limits.clients.writeOpsPerSecond=1'] });
  const client = new PacketClient(node.port);
  const extentId = await newExtent(client);
  sendWrites(client, extentId, 20);
  await untilAnswer('they wait', async () => ((await limitsOf(node))[0]!.waiting >= 15 ? true : null));
  await client.end();
  const [disk] = await untilAnswer('nothing waits', async () => {
    const disks = await limitsOf(node);
    return disks[0]!.waiting === 0 ? disks : null;
  });
  const { passedOps } = disk!.clients.write;
  t.ok(passedOps < 12, `${passedOps} of 21 passed`);
  t.equal(await extentBytes(node, extentId), (passedOps - 1) * 4096, 'the create and as many writes');
});

t.test('limited repair reads wait; clients of the same disk do not', async (t) => {
  const rate = BLOCK;
  const settings = [`limits.background.readBytesPerSecond=${rate}`, 'slab.slots128k=64'];
  const node = await startStandalone(t, { settings });
  const client = new PacketClient(node.port);
  const extentId = await newExtent(client);
  const blocks = 32;
  for (let i = 0; i < blocks; i++) {
    await client.ask(write(1, extentId, i * BLOCK, pattern(extentId, i * BLOCK, BLOCK)));
  }
  const peers = Array.from({ length: 6 }, () => new PacketClient(node.port));
  const fromMs = performance.now();
  for (const peer of peers) {
    peer.askAll(read(1, extentId, 0, blocks * BLOCK, OP.extentRepairRead), blocks).catch(() => {});
  }
  await untilAnswer('repair waits', async () =>
    (await limitsOf(node))[0]!.background.read.waiting > 10 ? true : null,
  );
  const rounds = 100;
  for (let i = 0; i < rounds; i++) {
    const [chunks] = await Promise.all([
      client.askAll(read(1, extentId, 0, 8 * BLOCK), 8),
      client.askAll(
        write(1, extentId, (blocks - 1) * BLOCK, pattern(extentId, (blocks - 1) * BLOCK, BLOCK)),
        1,
      ),
    ]);
    if (!chunks.every(({ resultCode }) => resultCode === RESULT.ok)) throw new Error('a read failed');
  }
  const [disk] = await limitsOf(node);
  const ms = performance.now() - fromMs;
  t.ok(disk!.background.read.waiting > 10, 'repair still waits');
  const { passedBytes } = disk!.background.read;
  t.ok(
    passedBytes <= (rate * ms) / 1000 + rate / 10 + 2 * BLOCK,
    `${passedBytes} bytes of repair in ${ms} ms`,
  );
  t.equal(disk!.clients.read.passedOps, 0, 'clients are not limited');
  t.same(await set(node, 'background.readBytesPerSecond=0'), { status: 200, msg: '' });
  await until('all of repair', () => peers.every(({ replies }) => replies.length === blocks), 20_000);
  const whole = Buffer.concat(peers[0]!.replies.map(({ body }) => body));
  t.ok(whole.equals(pattern(extentId, 0, blocks * BLOCK)));
  for (const one of [client, ...peers]) await one.end();
});
