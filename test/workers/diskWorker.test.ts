/**
 * A whole disk worker on a real folder, run on the test's own thread: what stands in its rings before it starts is a create, requests, and a stop, so `run`
 * returns when all of it is done.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import t from 'tap';
import { UNLIMITED } from '../../src/config/diskLimits.js';
import {
  COMMAND,
  EVENT,
  issuedAt,
  REPLY_F64,
  REPLY_I32,
  REQUEST_F64,
  REQUEST_I32,
  RESULT_SKIPPED,
} from '../../src/partition/messages.js';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { ByteRingConsumer, ByteRingProducer, createByteRing } from '../../src/shm/byteRing.js';
import { createDiskWork } from '../../src/shm/diskWork.js';
import { createDoorbell } from '../../src/shm/doorbell.js';
import { DESCRIPTOR_F64, DESCRIPTOR_I32 } from '../../src/shm/layout.js';
import { createLimitTable } from '../../src/shm/limitTable.js';
import { createPoisonTable, PoisonTable } from '../../src/shm/poison.js';
import { createRing, RingConsumer, RingProducer } from '../../src/shm/ring.js';
import { createDiskTable, createPartitionTable, DiskTable } from '../../src/shm/tables.js';
import { DiskWorker } from '../../src/workers/diskWorker.js';
import type { WriteMode } from '../../src/workers/ioMode.js';
import type { DiskWorkerData } from '../../src/workers/workerData.js';

const RING_SLOTS = 64;
const SLOT_BYTES = 8192;
const EXTENT = 'datapartition_7_1073741824/1025';
const AGE_MS_MAX = 5_000;
const PARTITION = {
  partitionId: 7,
  sizeBytes: 2 ** 30,
  volume: 'demo',
  members: [{ id: 1, addr: '127.0.0.1:17310' }],
  hosts: ['127.0.0.1:17310'],
  createType: 0 as const,
};

interface Request {
  opcode: number;
  connection: number;
  body?: Uint8Array;
  crc?: number;
  size?: number;
  partitionId?: number;
  extentId?: number;
  extentOffset?: number;
  ageMs?: number;
}

interface Reply {
  resultCode: number;
  extentId: number;
  text: string;
}

/** Runs one worker over `requests`, tag by tag; returns their replies and the worker's events. */
function runWorker(requests: Request[], options: { root: string; writes: WriteMode; poisoned?: number[] }) {
  const data = workerData(options.root, options.writes);
  const poison = new PoisonTable(data.poison);
  for (const connection of options.poisoned ?? []) poison.poison(connection, 1);
  const [port] = data.ports;
  const slab = new Uint8Array(port!.slab);
  const producer = new RingProducer(port!.requests);
  for (const [tag, request] of requests.entries()) put(producer, slab, tag, request);
  producer.publish();
  const commands = new ByteRingProducer(data.commands);
  commands.tryWrite(COMMAND.createPartition, 1, 0, Buffer.from(JSON.stringify(PARTITION)));
  commands.tryWrite(COMMAND.stop, 2, 0, new Uint8Array(0));
  new DiskWorker(data).run();
  const space = new DiskTable(data.disks);
  return { space, replies: repliesOf(new RingConsumer(port!.replies), slab), events: eventsOf(data) };
}

function workerData(root: string, writes: WriteMode): DiskWorkerData {
  const port = {
    requests: createRing(RING_SLOTS),
    replies: createRing(RING_SLOTS),
    slab: new SharedArrayBuffer(RING_SLOTS * SLOT_BYTES),
    doorbell: createDoorbell(),
    loopId: -1,
  };
  return {
    ...{ index: 0, disk: 0, member: 0, members: 1, root, ports: [port], doorbell: createDoorbell() },
    lone: new Int32Array(new SharedArrayBuffer(4)),
    commands: createByteRing(65_536),
    events: createByteRing(65_536),
    partitions: createPartitionTable(16),
    disks: createDiskTable(1),
    workers: createDiskTable(1),
    limits: createLimitTable(1),
    work: createDiskWork(),
    poison: createPoisonTable(16),
    settings: {
      ...{ ringSlots: RING_SLOTS, ioThreads: 2, openExtentsMax: 16, strictAppend: true, spinUs: 0, cores: 1 },
      ...{ durability: 'asked' as const, directReadBytes: 0 },
      writes,
      probeIntervalMs: 120_000,
      ...{ checksumBytesPerSecond: 0, scrubBytesPerSecond: 0, scrubIntervalMs: 0 },
      requestAgeMsMax: AGE_MS_MAX,
      repairReadAgeMsMax: 60_000,
      limits: UNLIMITED,
    },
  };
}

function put(ring: RingProducer, slab: Uint8Array, tag: number, request: Request): void {
  const at = ring.reserve(true);
  const body = request.body ?? new Uint8Array(0);
  slab.set(body, tag * SLOT_BYTES);
  const i32 = at * DESCRIPTOR_I32;
  const f64 = at * DESCRIPTOR_F64;
  ring.i32[i32 + REQUEST_I32.tag] = tag;
  ring.i32[i32 + REQUEST_I32.kind] = request.opcode | (1 << 8);
  ring.i32[i32 + REQUEST_I32.crc] = request.crc ?? crc32(body);
  ring.i32[i32 + REQUEST_I32.size] = request.size ?? body.length;
  ring.i32[i32 + REQUEST_I32.bufferBytes] = SLOT_BYTES;
  ring.i32[i32 + REQUEST_I32.connection] = request.connection;
  ring.i32[i32 + REQUEST_I32.generation] = 1;
  ring.i32[i32 + REQUEST_I32.issuedAtMs] = issuedAt(Date.now() - (request.ageMs ?? 0));
  ring.f64[f64 + REQUEST_F64.bufferOffset] = tag * SLOT_BYTES;
  ring.f64[f64 + REQUEST_F64.partitionId] = request.partitionId ?? PARTITION.partitionId;
  ring.f64[f64 + REQUEST_F64.extentId] = request.extentId ?? 0;
  ring.f64[f64 + REQUEST_F64.extentOffset] = request.extentOffset ?? 0;
}

function repliesOf(ring: RingConsumer, slab: Uint8Array): Map<number, Reply> {
  const replies = new Map<number, Reply>();
  for (let at = ring.next(); at >= 0; at = ring.next()) {
    const tag = ring.i32[at * DESCRIPTOR_I32 + REPLY_I32.tag]!;
    const from = tag * SLOT_BYTES;
    const bytes = ring.i32[at * DESCRIPTOR_I32 + REPLY_I32.bodyBytes]!;
    if (replies.has(tag)) throw new Error(`two replies to request ${tag}`);
    replies.set(tag, {
      resultCode: ring.i32[at * DESCRIPTOR_I32 + REPLY_I32.resultCode]!,
      extentId: ring.f64[at * DESCRIPTOR_F64 + REPLY_F64.extentId]!,
      text: Buffer.from(slab.slice(from, from + bytes)).toString('latin1'),
    });
  }
  return replies;
}

function eventsOf(data: DiskWorkerData): { kind: number; value: unknown }[] {
  const events: { kind: number; value: unknown }[] = [];
  new ByteRingConsumer(data.events).read((kind, _a, _b, payload) => {
    events.push({ kind, value: JSON.parse(Buffer.from(payload.slice()).toString()) });
  });
  return events;
}

function newRoot(test: { teardown(handler: () => void): void }): string {
  const root = mkdtempSync(join(tmpdir(), 'extentd-worker-'));
  test.teardown(() => rmSync(root, { recursive: true, force: true }));
  return root;
}

const body = Buffer.alloc(3000, 'abcdefg');
const create: Request = { opcode: OP.createExtent, connection: 0 };
const write = (connection: number, extentOffset = 0): Request => {
  return { opcode: OP.write, connection, extentId: 1025, extentOffset, body };
};

/** A folder with a partition and its extent 1025, left by a worker before. */
function rootWithExtent(test: { teardown(handler: () => void): void }): string {
  const root = newRoot(test);
  runWorker([create], { root, writes: 'always' });
  return root;
}

for (const writes of ['always', 'never'] as const) {
  t.test(`a worker loads, creates, serves, syncs and ends (inline writes: ${writes})`, async (t) => {
    const root = newRoot(t);
    const sync: Request = { ...write(0, 3000), opcode: OP.syncWrite };
    const read: Request = { opcode: OP.streamRead, connection: 2, extentId: 1025, size: 6000 };
    const first = runWorker([create], { root, writes });
    t.match(first.replies.get(0), { resultCode: RESULT.ok, extentId: 1025 });
    t.same(
      first.events.map(({ kind }) => kind),
      [EVENT.loaded, EVENT.attached, EVENT.answer, EVENT.stopped],
    );
    t.same(first.events.at(-1)?.value, { clean: true });
    const { space } = first;
    t.ok(space.totalBytes(0) >= space.availableBytes(0) && Number.isFinite(space.availableBytes(0)));
    t.equal(space.usedBytes(0), space.totalBytes(0) - space.availableBytes(0));
    const second = runWorker([write(0), sync, create], { root, writes });
    t.same(
      [0, 1, 2].map((tag) => second.replies.get(tag)?.resultCode),
      [RESULT.ok, RESULT.ok, RESULT.ok],
    );
    t.equal(second.replies.get(2)?.extentId, 1026);
    t.same(readFileSync(join(root, EXTENT)), Buffer.concat([body, body]));
    const third = runWorker([read], { root, writes });
    t.equal(third.replies.get(0)?.text, Buffer.concat([body, body]).toString());
  });
}

t.test('a request that waited too long is refused, and what stands behind it skipped', async (t) => {
  const late = { ...write(1), ageMs: AGE_MS_MAX + 1_000 };
  const root = rootWithExtent(t);
  const { replies } = runWorker([late, write(1), write(2)], { root, writes: 'always' });
  t.match(replies.get(0), {
    resultCode: RESULT.intraGroupNetErr,
    text: 'ActionWrite:_request waited too long for its disk',
  });
  t.equal(replies.get(1)?.resultCode, RESULT_SKIPPED);
  t.equal(replies.get(2)?.resultCode, RESULT.ok, 'another connection');
});

t.test('a request of a connection that main has given up is skipped and changes nothing', async (t) => {
  const root = rootWithExtent(t);
  const requests = [write(3), { ...create, connection: 3 }];
  const { replies } = runWorker(requests, { root, writes: 'always', poisoned: [3] });
  t.equal(replies.get(0)?.resultCode, RESULT_SKIPPED);
  t.equal(replies.get(1)?.resultCode, RESULT_SKIPPED);
  t.equal(readFileSync(join(root, EXTENT)).length, 0);
  t.equal(runWorker([create], { root, writes: 'always' }).replies.get(0)?.extentId, 1026);
});

t.test('each wrong request is told to its own connection, and others are served', async (t) => {
  const requests: Request[] = [
    { ...write(1), crc: 1 },
    { ...write(2), partitionId: 8 },
    { opcode: OP.randomWrite, connection: 4, extentId: 1025, body },
    write(5),
  ];
  const { replies } = runWorker(requests, { root: rootWithExtent(t), writes: 'always' });
  t.equal(replies.get(0)?.text, 'ActionPreparePkt_packet Crc is incorrect');
  t.match(replies.get(1), { resultCode: RESULT.tryOtherAddr, text: /data partition not exists/ });
  t.equal(replies.get(2)?.text, 'unknown opcode_unknown opcode15');
  t.equal(replies.get(3)?.resultCode, RESULT.ok);
});

t.test('a disk that is not there is a failure of its worker, which still ends when told', async (t) => {
  const root = join(newRoot(t), 'nowhere');
  const { events, space } = runWorker([], { root, writes: 'always' });
  t.equal(space.availableBytes(0), 0, 'a disk without numbers has no space');
  t.match(events[0], { kind: EVENT.failed, value: { reason: /no such file or directory/ } });
  t.equal(events.at(-1)?.kind, EVENT.stopped);
});
