/**
 * A whole disk worker on a real folder, run on the test's own thread: what stands in its rings before it starts is a create, requests, and a stop, so `run`
 * returns when all of it is done. It has two ports: 0 of the network thread, 1 of the node's own work.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { type Limits, UNLIMITED } from '../../src/config/diskLimits.js';
import {
  COMMAND,
  EVENT,
  issuedAt,
  REPLY_F64,
  REPLY_I32,
  REQUEST_F64,
  REQUEST_I32,
  REQUEST_KIND,
  REQUEST_KIND_SHIFT,
  RESULT_ASSIGNED,
  SETTLE_F64,
  SETTLE_I32,
} from '../../src/partition/messages.js';
import { ByteRingConsumer, ByteRingProducer } from '../../src/shm/byteRing.js';
import { createDoorbell, createLoopWord } from '../../src/shm/doorbell.js';
import { DESCRIPTOR_F64, DESCRIPTOR_I32 } from '../../src/shm/layout.js';
import { PoisonTable } from '../../src/shm/poison.js';
import { createRing, RingConsumer, RingProducer } from '../../src/shm/ring.js';
import { DiskTable } from '../../src/shm/tables.js';
import { DiskWorker } from '../../src/workers/diskWorker.js';
import type { WriteMode } from '../../src/workers/ioMode.js';
import type { DiskWorkerData } from '../../src/workers/workerData.js';
import { loneWorkerMemory } from '../support/loneWorker.js';

const REQUESTS_MAX = 64;
const SLOT_BYTES = 8192;
export const EXTENT = 'datapartition_7_1073741824/1025';
export const AGE_MS_MAX = 5_000;
export const HOST = '127.0.0.1:17310';
export const PARTITION = {
  ...{ partitionId: 7, sizeBytes: 2 ** 30, volume: 'demo', createType: 0 as const },
  members: [{ id: 1, addr: HOST }],
};

export interface Request {
  opcode: number;
  connection: number;
  /** Of the node's own work: port 1. */
  internal?: boolean;
  /** It goes to followers too. */
  forwarded?: boolean;
  extentType?: number;
  body?: Uint8Array;
  crc?: number;
  size?: number;
  partitionId?: number;
  extentId?: number;
  extentOffset?: number;
  ageMs?: number;
}

/** Outcome of a forwarded tiny append. */
export interface SettleRequest {
  settle: { extentId: number; loan: number; acknowledged: boolean; partitionId?: number };
}

export interface Reply {
  resultCode: number;
  extentId: number;
  extentOffset: number;
  text: string;
  /** The answer came over the event ring; the slot is as `slot` says. */
  large: boolean;
  slot: string;
}

export interface Assigned {
  extentId: number;
  extentOffset: number;
  loan: number;
  /** Body that followers get. */
  body: string;
}

export interface WorkerRun {
  space: DiskTable;
  /** By place in the list of requests, of both ports. */
  replies: Map<number, Reply>;
  assigned: Map<number, Assigned>;
  events: { kind: number; value: unknown }[];
}

export interface RunOptions {
  root: string;
  writes: WriteMode;
  hosts?: string[];
  limits?: Limits;
  /** Connections that main has given up. */
  poisoned?: number[];
}

/** Runs one worker over `requests`, whose tags are their places in the list; returns their replies and the worker's events. */
export function runWorker(requests: (Request | SettleRequest)[], options: RunOptions): WorkerRun {
  const data = workerData(options);
  const poison = new PoisonTable(data.poison);
  for (const connection of options.poisoned ?? []) poison.poison(connection, 1);
  const ends = data.ports.map((port) => ({
    producer: new RingProducer(port.requests),
    replies: new RingConsumer(port.replies),
    slab: new Uint8Array(port.slab),
  }));
  for (const [tag, request] of requests.entries()) {
    const { producer, slab } = ends['internal' in request && request.internal ? 1 : 0]!;
    if ('settle' in request) putSettle(producer, request);
    else put(producer, slab, tag, request);
  }
  for (const { producer } of ends) producer.publish();
  const commands = new ByteRingProducer(data.commands);
  const partition = { ...PARTITION, hosts: options.hosts ?? [HOST] };
  commands.tryWrite(COMMAND.createPartition, 1, 0, Buffer.from(JSON.stringify(partition)));
  commands.tryWrite(COMMAND.stop, 2, 0, new Uint8Array(0));
  new DiskWorker(data).run();
  const run: WorkerRun = {
    ...{ space: new DiskTable(data.disks), replies: new Map(), assigned: new Map(), events: [] },
  };
  const pieces = readEvents(data, run);
  for (const { replies, slab } of ends) readReplies(replies, slab, pieces, run);
  return run;
}

/** What the worker is given: two ports, and everything else as small as it may be. */
export function workerData({ root, writes, limits }: RunOptions): DiskWorkerData {
  const ports = [false, true].map((internal) => ({
    requests: createRing(REQUESTS_MAX * 2),
    replies: createRing(REQUESTS_MAX * 2),
    requestsMax: REQUESTS_MAX,
    slab: new SharedArrayBuffer(REQUESTS_MAX * SLOT_BYTES),
    doorbell: createDoorbell(),
    loop: createLoopWord(-1),
    internal,
  }));
  return {
    ...loneWorkerMemory(),
    ...{ root, ports },
    settings: {
      ...{ ioThreads: 2, openExtentsMax: 16, strictAppend: true, spinUs: 0, cores: 1 },
      ...{ durability: 'asked' as const, directReadBytes: 0 },
      writes,
      probeIntervalMs: 120_000,
      ...{ checksumBytesPerSecond: 0, scrubBytesPerSecond: 0, scrubIntervalMs: 0 },
      requestAgeMsMax: AGE_MS_MAX,
      repairReadAgeMsMax: 60_000,
      limits: limits ?? UNLIMITED,
    },
  };
}

/** Writes a request; its slot is that of its tag. */
export function put(ring: RingProducer, slab: Uint8Array, tag: number, request: Request): void {
  const at = ring.reserve(true);
  const body = request.body ?? new Uint8Array(0);
  slab.set(body, tag * SLOT_BYTES);
  const i32 = at * DESCRIPTOR_I32;
  const f64 = at * DESCRIPTOR_F64;
  const kind = request.forwarded ? REQUEST_KIND.forwarded : REQUEST_KIND.packet;
  const followers = request.forwarded ? 2 : 0;
  ring.i32[i32 + REQUEST_I32.tag] = tag;
  ring.i32[i32 + REQUEST_I32.kind] =
    request.opcode | ((request.extentType ?? 1) << 8) | (followers << 16) | (kind << REQUEST_KIND_SHIFT);
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

/** Writes the outcome of a forwarded tiny append. */
export function putSettle(ring: RingProducer, { settle }: SettleRequest): void {
  const at = ring.reserve(true);
  const i32 = at * DESCRIPTOR_I32;
  const f64 = at * DESCRIPTOR_F64;
  ring.i32[i32 + SETTLE_I32.kind] = REQUEST_KIND.settle << REQUEST_KIND_SHIFT;
  ring.i32[i32 + SETTLE_I32.acknowledged] = settle.acknowledged ? 1 : 0;
  ring.f64[f64 + SETTLE_F64.partitionId] = settle.partitionId ?? PARTITION.partitionId;
  ring.f64[f64 + SETTLE_F64.extentId] = settle.extentId;
  ring.f64[f64 + SETTLE_F64.loan] = settle.loan;
}

/** Reads the replies that are there; those of bodies over the event ring have their text from `pieces`. */
export function readReplies(
  ring: RingConsumer,
  slab: Uint8Array,
  pieces: ReadonlyMap<number, string>,
  { replies, assigned }: WorkerRun,
): void {
  for (let at = ring.next(); at >= 0; at = ring.next()) {
    const i32 = (field: keyof typeof REPLY_I32): number => ring.i32[at * DESCRIPTOR_I32 + REPLY_I32[field]]!;
    const f64 = (field: keyof typeof REPLY_F64): number => ring.f64[at * DESCRIPTOR_F64 + REPLY_F64[field]]!;
    const tag = i32('tag');
    const from = tag * SLOT_BYTES;
    const body = Buffer.from(slab.slice(from, from + i32('bodyBytes'))).toString('latin1');
    const extentId = f64('extentId');
    const extentOffset = f64('extentOffset');
    if (replies.has(tag)) throw new Error(`something follows the reply to request ${tag}`);
    if (i32('resultCode') === RESULT_ASSIGNED) {
      if (assigned.has(tag)) throw new Error(`request ${tag} is assigned twice`);
      assigned.set(tag, { extentId, extentOffset, loan: f64('loan'), body });
      continue;
    }
    const large = i32('largeBody') === 1;
    replies.set(tag, {
      ...{ resultCode: i32('resultCode'), extentId, extentOffset, large, slot: body },
      text: large ? pieces.get(tag)! : body,
    });
  }
}

/** Events, and what came of bodies over their ring, by tag. */
function readEvents(data: DiskWorkerData, { events }: WorkerRun): Map<number, string> {
  const pieces = new Map<number, string>();
  new ByteRingConsumer(data.events).read((kind, a, _b, payload) => {
    const text = Buffer.from(payload.slice()).toString();
    if (kind === EVENT.bodyPiece) pieces.set(a, (pieces.get(a) ?? '') + text);
    else events.push({ kind, value: JSON.parse(text) });
  });
  return pieces;
}

export function newRoot(test: { teardown(handler: () => void): void }): string {
  const root = mkdtempSync(join(tmpdir(), 'extentd-worker-'));
  test.teardown(() => rmSync(root, { recursive: true, force: true }));
  return root;
}
