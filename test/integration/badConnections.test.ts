/**
 * Connections in great number and of every bad kind against one node: thousands idle, a thousand that send one byte, some that stop in the middle of a body, some that
 * never read. Meanwhile and afterwards others are served, memory stays within its budget, and the log stays short.
 *
 * The deadlines of a stuck connection (20 s for a packet, 30 s for replies) run while the rest of the test does its work.
 */
import net, { type Socket } from 'node:net';
import t from 'tap';
import { CONNECTION_LIMITS } from '../../src/config/limits.js';
import { native } from '../../src/native/addon.js';
import { encodeRequest } from '../../src/protocol/packet.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { startStandalone } from '../support/nodeProcess.js';
import { PacketClient } from '../support/packetClient.js';
import { procUsage } from '../support/procUsage.js';
import { create, pattern, read, write } from '../support/requests.js';
import { until } from '../support/until.js';

const IDLE = 5_000;
const ONE_BYTE = 1_000;
const MiB = 1024 * 1024;
/**
 * What 6,000 connections may cost beyond the quiet node: 16 KiB a connection for sockets and their state, 64 MiB for replies that wait, and as much again for a heap
 * that has not been collected.
 */
const MEMORY_BUDGET_BYTES = 2 * ((IDLE + ONE_BYTE) * 16 * 1024 + 64 * MiB);
/** One length out of such bytes, believed, would be 1.2 GB; 500 sockets and a heap that was not collected are much less. */
const SCANNERS_MEMORY_BYTES = 256 * MiB;
const LOG_LINES_A_SECOND_MAX = 22;

/** Both ends of every connection take a file: this process holds the clients' ends. */
const files = native.raiseFileLimit(64_000);
const idleCount = Math.min(IDLE, files - ONE_BYTE - 500);
if (idleCount < IDLE) t.comment(`the system allows ${files} open files: only ${idleCount} idle connections`);

const node = await startStandalone(t, { disks: 2, partitions: 2 });
const startedMs = performance.now();
const quiet = procUsage(node.process.pid);
const sockets: Socket[] = [];
t.teardown(() => {
  for (const socket of sockets) socket.destroy();
});

/** A connection that only the test's own code reads from, or nobody; `onClose` when the node has ended it. */
function connect(onClose: () => void, reads: boolean): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port: node.port, host: '127.0.0.1' });
    sockets.push(socket);
    if (reads) socket.resume();
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      socket.on('error', () => {});
      resolve(socket);
    });
    socket.once('close', onClose);
  });
}

/** `count` connections, a hundred at a time, as the backlog of a listener is finite. */
async function connectMany(count: number, onClose: () => void): Promise<Socket[]> {
  const made: Socket[] = [];
  while (made.length < count) {
    const step = Math.min(100, count - made.length);
    made.push(...(await Promise.all(Array.from({ length: step }, () => connect(onClose, true)))));
  }
  return made;
}

/** Creates an extent, appends and reads back, on a connection of its own; throws unless all is as it should be. */
async function serves(partitionId: number): Promise<void> {
  const client = new PacketClient(node.port);
  const { extentId, resultCode } = await client.ask(create(partitionId));
  if (resultCode !== RESULT.ok) throw new Error('create');
  const content = pattern(extentId, 0, 128 * 1024);
  for (let at = 0; at < content.length; at += 32 * 1024) {
    const part = content.subarray(at, at + 32 * 1024);
    const reply = await client.ask(write(partitionId, extentId, at, part, at === 0));
    if (reply.resultCode !== RESULT.ok) throw new Error(`write: ${reply.body}`);
  }
  const back = await client.ask(read(partitionId, extentId, 0, content.length));
  if (!back.body.equals(content)) throw new Error('content');
  await client.end();
}

/** Announces a write of `size` bytes and sends half of it. */
async function halfBody(size: number, onClose: () => void): Promise<Socket> {
  const bytes = encodeRequest({ ...write(1, 1025, 0, new Uint8Array(size)), reqId: 2 });
  const socket = await connect(onClose, true);
  socket.write(bytes.subarray(0, 57 + Math.floor(size / 2)));
  return socket;
}

// Connections that will be stuck until the node's deadlines end them.

const stuckFromMs = performance.now();
let halfBodiesClosed = 0;
let silentReadersClosed = 0;
const halfBodies: Socket[] = [];
for (const size of [4096, 32_768, 131_072, MiB]) {
  for (let count = 0; count < 4; count++) halfBodies.push(await halfBody(size, () => halfBodiesClosed++));
}
const source = new PacketClient(node.port);
const large = (await source.ask(create(1))).extentId;
for (let at = 0; at < 8; at++) {
  await source.ask(write(1, large, at * MiB, pattern(large, at * MiB, MiB)));
}
await source.end();
/** Asks for 400 MiB of replies and reads nothing. */
async function silentReader(onClose: () => void): Promise<Socket> {
  const socket = await connect(onClose, false);
  const ask = encodeRequest({ ...read(1, large, 0, 8 * MiB), reqId: 2 });
  for (let at = 0; at < 50; at++) socket.write(ask);
  return socket;
}
// One of them, with all that may wait for it, leaves shared memory of its disk for others.
const silentReaders = [await silentReader(() => silentReadersClosed++)];

t.test('pains 27: others are served beside half bodies and peers that do not read', async (t) => {
  for (let round = 0; round < 10; round++) await serves((round % 2) + 1);
  t.equal(halfBodiesClosed + silentReadersClosed, 0, 'their deadlines have not passed');
});

let idleClosed = 0;
let oneByteClosed = 0;
let idle: Socket[] = [];
t.test(`${idleCount} idle connections and ${ONE_BYTE} that send one byte and wait`, async (t) => {
  idle = await connectMany(idleCount, () => idleClosed++);
  const waiting = await connectMany(ONE_BYTE, () => oneByteClosed++);
  for (const socket of waiting) socket.write(Uint8Array.of(0xff));
  for (let round = 0; round < 10; round++) await serves((round % 2) + 1);
  const usage = procUsage(node.process.pid);
  t.ok(usage.openFiles >= idleCount + ONE_BYTE, 'all of them are open at the node');
  const grown = usage.anonymousBytes - quiet.anonymousBytes;
  t.ok(grown < MEMORY_BUDGET_BYTES, `memory grew by ${Math.round(grown / MiB)} MiB`);
});

t.test('pains 14: port scanners take no memory, and the log tells them at a bounded rate', async (t) => {
  const peakBytes = procUsage(node.process.pid).rssPeakBytes;
  const probes = [
    'GET / HTTP/1.0\r\n\r\n',
    'GIOP\x01\x00',
    '\x16\x03\x01\x02\x00\x01',
    'SSH-2.0-x\r\n',
    '\0\0\0\0',
  ];
  let closed = 0;
  for (let round = 0; round < 10; round++) {
    const made = await connectMany(50, () => closed++);
    for (const [index, socket] of made.entries()) socket.write(probes[index % probes.length]!, 'latin1');
  }
  await until('all scanners are closed', () => closed === 500);
  await until('the rest is counted', () => /suppressed \d+ more messages: closed/.test(node.process.stderr));
  t.match(node.process.stderr, /connection closed .*bad magic/);
  const grown = procUsage(node.process.pid).rssPeakBytes - peakBytes;
  t.ok(
    grown < SCANNERS_MEMORY_BYTES,
    `the most memory that it ever had grew by ${Math.round(grown / MiB)} MiB`,
  );
});

t.test('pains 27: a packet that does not progress ends its connection; idle ones stay', async (t) => {
  const deadlineMs = CONNECTION_LIMITS.requestProgressMs + 5_000 - (performance.now() - stuckFromMs);
  await until('half bodies end', () => halfBodiesClosed === halfBodies.length, Math.max(5_000, deadlineMs));
  t.ok(performance.now() - stuckFromMs > CONNECTION_LIMITS.requestProgressMs, 'not before the deadline');
  await until(
    'single bytes end',
    () => oneByteClosed === ONE_BYTE,
    CONNECTION_LIMITS.requestProgressMs + 5_000,
  );
  t.equal(idleClosed, 0, 'a pooled connection is never closed');
});

t.test('pains 27: a peer that takes no replies is dropped', async (t) => {
  const waitMs = CONNECTION_LIMITS.replyProgressMs + 10_000 - (performance.now() - stuckFromMs);
  // A socket that does not read learns of the close by its writes.
  const closed = (): boolean => {
    for (const socket of silentReaders) if (!socket.destroyed) socket.write(Uint8Array.of(0xff));
    return silentReadersClosed === silentReaders.length;
  };
  await until('silent readers are dropped', closed, Math.max(5_000, waitMs));
  t.ok(performance.now() - stuckFromMs > CONNECTION_LIMITS.replyProgressMs, 'not before the deadline');
});

t.test('peers that hold all shared memory and do nothing lose it to those who want it', async (t) => {
  let closed = 0;
  const hoarders: Promise<Socket>[] = [];
  for (let count = 0; count < 12; count++) hoarders.push(silentReader(() => closed++));
  for (let count = 0; count < 12; count++) hoarders.push(halfBody(MiB, () => closed++));
  const made = await Promise.all(hoarders);
  const client = new PacketClient(node.port);
  await until('their requests are away', () => made.every(({ writableLength }) => writableLength === 0));
  // One on their disk's partition, whose create takes a small slot: it comes behind their requests.
  const { extentId } = await client.ask(create(1));
  const fromMs = performance.now();
  const content = pattern(extentId, 0, MiB);
  const written = client.ask(write(1, extentId, 0, content));
  const back = client.askAll(read(1, extentId, 0, MiB), 8);
  t.equal((await written).resultCode, RESULT.ok);
  t.ok(Buffer.concat((await back).map(({ body }) => body)).equals(content));
  const waitedMs = performance.now() - fromMs;
  t.ok(waitedMs < 15 * CONNECTION_LIMITS.starvingProgressMs, `served after ${Math.round(waitedMs)} ms`);
  t.ok(closed > 0, `${closed} of them were dropped`);
  for (const socket of made) socket.destroy();
  await client.end();
});

t.test('afterwards the node is as before', async (t) => {
  // Every hundredth idle connection is used at last.
  for (let index = 0; index < idle.length; index += 100) {
    const replies = new Promise<number>((resolve) =>
      idle[index]!.once('data', (chunk) => resolve(chunk[3]!)),
    );
    idle[index]!.write(encodeRequest({ ...read(1, large, 0, 100), reqId: 2 }));
    t.equal(await replies, RESULT.ok);
  }
  for (const socket of sockets) socket.destroy();
  await until(
    'the node has closed them',
    () => procUsage(node.process.pid).openFiles < quiet.openFiles + 100,
  );
  for (let round = 0; round < 20; round++) await serves((round % 2) + 1);
  const usage = procUsage(node.process.pid);
  const grown = usage.anonymousBytes - quiet.anonymousBytes;
  t.ok(grown < MEMORY_BUDGET_BYTES, `memory grew by ${Math.round(grown / MiB)} MiB`);
  const seconds = (performance.now() - startedMs) / 1000;
  const { logLines } = node.process;
  t.ok(logLines.length < 100 + seconds * LOG_LINES_A_SECOND_MAX, `${logLines.length} lines in ${seconds} s`);
  t.notMatch(node.process.stderr, /FATAL|ERROR|invariant/, 'nothing broke');
});
