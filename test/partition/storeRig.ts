/**
 * A worker for tests: runs partitions on any `Disk` by the rules of `StoreGroup`, and keeps each operation's reply.
 */
import assert from 'node:assert';
import { crc32 } from 'node:zlib';
import { UNLIMITED } from '../../src/config/diskLimits.js';
import { DiskLimits } from '../../src/partition/diskLimits.js';
import { createPartition, loadDisk, type NewPartition } from '../../src/partition/diskLoad.js';
import { FreeSpace } from '../../src/partition/diskSpace.js';
import type { BlockPlace } from '../../src/partition/messages.js';
import { endsInside, Operation } from '../../src/partition/operation.js';
import type { Partition } from '../../src/partition/partition.js';
import { StoreGroup } from '../../src/partition/storeGroup.js';
import {
  type DiskHealth,
  type StoreHost,
  type StoreSettings,
  scratchBytes,
} from '../../src/partition/storeHost.js';
import { isWriteOp, OP } from '../../src/protocol/opcodes.js';
import type { Clock, Disk } from '../../src/storage/io.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';

export const BATCH_CAPACITY = 64;
const SLOT_CLASSES: [bytes: number, count: number][] = [
  [4096, 256],
  [131072, 72],
  [512 * 1024, 16],
];
/** Their Size is no length of one packet. */
const STREAM_OPS: number[] = [OP.readTinyDeleteRecord, OP.tinyExtentRepairRead];

/** An operation sent, and what came of it. */
export interface Sent {
  op: Operation;
  ended: boolean;
  ok: boolean;
  /** `<action>_<message>` of a failure. */
  error: string;
  extentId: number;
  extentOffset: number;
  crc: number;
  body: Uint8Array;
  /** What a forwarded operation has got, null before. */
  assigned: { extentId: number; extentOffset: number; loan: number; body: Uint8Array } | null;
}

/** Regions for a `StoreRig`: the slab and the scratch. */
export function rigRegions(): Uint8Array[] {
  const slab = SLOT_CLASSES.reduce((sum, [bytes, count]) => sum + bytes * count, 0);
  return [
    new Uint8Array(new SharedArrayBuffer(slab)),
    new Uint8Array(new SharedArrayBuffer(scratchBytes(BATCH_CAPACITY))),
  ];
}

/** A partition with one host. */
export const NEW_PARTITION: NewPartition = {
  ...{ partitionId: 7, sizeBytes: 1 << 30, volume: 'vol', createType: 0 },
  ...{ members: [{ id: 2, addr: '10.0.0.1:17310' }], hosts: ['10.0.0.1:17310'] },
};

export class StoreRig implements StoreHost {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly settings: StoreSettings = {
    ...{ strictAppend: true, syncEverything: false, directReadBytes: 0, openExtentsMax: 100 },
    ...{ checksumBytesPerSecond: 1e12, scrubBytesPerSecond: 1e12, scrubIntervalMs: 0 },
  };
  readonly health: DiskHealth = { status: 2, space: new FreeSpace() };
  readonly limits: DiskLimits;
  /** Nobody heals unless a test says so. */
  readonly healer = {
    isThere: false,
    asked: [] as BlockPlace[],
    ask(place: BlockPlace): boolean {
      this.asked.push(place);
      return this.isThere;
    },
  };
  readonly regions: readonly Uint8Array[];
  readonly scratchRegion = 1;
  readonly entryOperations: (Operation | null)[] = new Array(BATCH_CAPACITY).fill(null);
  readonly stores: StoreGroup;
  readonly partitions = new Map<number, Partition>();
  /** Log lines from `warn` on, and disk errors told. */
  readonly complaints: string[] = [];
  readonly diskErrors: number[] = [];
  readonly diskErrorsWriting: boolean[] = [];
  /** Run batches through `submitBatch`. */
  threaded = false;
  private batchAway = false;
  private readonly arrivals: Operation[] = [];
  private readonly sent = new Map<Operation, Sent>();
  /** Class of each operation's slot: a test may have told it a smaller one. */
  private readonly slotClasses = new Map<Operation, number>();
  private readonly freeSlots = new Map<number, number[]>();

  constructor(
    disk: Disk,
    clock: Clock,
    regions: readonly Uint8Array[],
    settings: Partial<StoreSettings> = {},
  ) {
    this.disk = disk;
    this.clock = clock;
    this.limits = new DiskLimits(UNLIMITED, 1, clock.monotonicNs() / 1e6);
    this.regions = regions;
    Object.assign(this.settings, settings);
    let offset = 0;
    for (const [bytes, count] of SLOT_CLASSES) {
      this.freeSlots.set(
        bytes,
        Array.from({ length: count }, (_, i) => offset + i * bytes),
      );
      offset += bytes * count;
    }
    this.stores = new StoreGroup(this);
  }

  /** Loads a disk's root; nothing may be refused unless `refusedMax` says so. */
  load(root: string, refusedMax = 0): Partition[] {
    const loaded = loadDisk(this.stores, root, () => true, true);
    assert(loaded.ok, loaded.ok ? '' : loaded.message);
    assert(loaded.value.refused.length <= refusedMax, JSON.stringify(loaded.value.refused));
    for (const partition of loaded.value.partitions) this.partitions.set(partition.id, partition);
    return loaded.value.partitions;
  }

  /** Creates a partition with one host unless told otherwise. */
  create(root: string, request: Partial<NewPartition> = {}): Partition {
    const outcome = createPartition(this.stores, root, {
      ...NEW_PARTITION,
      ...request,
    });
    assert(outcome.ok, outcome.ok ? '' : outcome.message);
    this.partitions.set(outcome.value.id, outcome.value);
    return outcome.value;
  }

  /** Queues an operation for the next turn. */
  send(fields: Partial<Operation>, body: Uint8Array = new Uint8Array(0)): Sent {
    const op = new Operation();
    Object.assign(op, { partitionId: 7, extentType: 1, size: body.byteLength, ...fields });
    const slotBytes =
      op.internal || STREAM_OPS.includes(op.opcode) ? BLOCK_BYTES : Math.max(op.size, body.byteLength);
    const slotClass = SLOT_CLASSES.find(([bytes]) => bytes >= slotBytes);
    assert(slotClass !== undefined, 'no slot is large enough');
    const slot = this.freeSlots.get(slotClass[0])!.pop();
    assert(slot !== undefined, 'the rig has no free slot');
    op.bufferOffset = slot;
    op.bufferBytes = slotClass[0];
    this.slotClasses.set(op, slotClass[0]);
    this.regions[0]!.set(body, slot);
    if (isWriteOp(op.opcode)) {
      op.bodyCrc = crc32(body);
      if (fields.crc === undefined) op.crc = op.bodyCrc;
    }
    const sent: Sent = {
      op,
      ended: false,
      ok: false,
      error: '',
      extentId: 0,
      extentOffset: 0,
      crc: 0,
      body: new Uint8Array(0),
      assigned: null,
    };
    this.sent.set(op, sent);
    this.arrivals.push(op);
    return sent;
  }

  sendCreate(fields: Partial<Operation> = {}): Sent {
    return this.send({ opcode: OP.createExtent, ...fields }, new Uint8Array(8));
  }

  sendWrite(extentId: number, extentOffset: number, body: Uint8Array, fields: Partial<Operation> = {}): Sent {
    return this.send({ opcode: OP.write, extentId, extentOffset, ...fields }, body);
  }

  sendSyncWrite(extentId: number, extentOffset: number, body: Uint8Array): Sent {
    return this.send({ opcode: OP.syncWrite, extentId, extentOffset }, body);
  }

  sendTinyWrite(body: Uint8Array, fields: Partial<Operation> = {}): Sent {
    return this.send({ opcode: OP.write, extentType: 0, ...fields }, body);
  }

  sendRead(extentId: number, extentOffset: number, size: number, fields: Partial<Operation> = {}): Sent {
    return this.send({ opcode: OP.streamFollowerRead, extentId, extentOffset, size, ...fields });
  }

  /** One turn of the worker's loop; returns whether anything happened. */
  turn(): boolean {
    const completed = this.disk.drainCompletions() > 0;
    if (this.batchAway) return completed;
    this.stores.advance();
    const arrived = this.arrivals.splice(0);
    for (const op of arrived) {
      if (this.disk.batch.capacity - this.disk.batch.length < 8) this.runInline();
      const partition = this.partitions.get(op.partitionId);
      if (partition === undefined) this.fail(op, 'ActionPreparePkt', 'data partition not exists');
      else partition.execute(op);
    }
    const ran = this.disk.batch.length > 0;
    while (this.disk.batch.length > 0 && !this.batchAway) {
      if (this.threaded) this.submit();
      else this.runInline();
    }
    return completed || arrived.length > 0 || ran;
  }

  /** Turns until nothing is parked or under way; `step` lets submitted work go on. */
  settle(step: () => boolean): void {
    for (let turns = 0; turns < 1_000_000; turns += 1) {
      const active = this.turn();
      if (!active && this.disk.pending() === 0 && !this.batchAway) return;
      if (!step() && !active && this.disk.pending() === 0) return;
    }
    throw new Error('the store never settles');
  }

  /** Operations wait for the next turn. */
  get hasArrivals(): boolean {
    return this.arrivals.length > 0;
  }

  get unanswered(): number {
    return this.sent.size;
  }

  finish(op: Operation): void {
    this.end(op, null, '');
  }

  fail(op: Operation, action: string, message: string): void {
    this.end(op, message, `${action}_${message}`);
  }

  assigned(op: Operation, loan: number): void {
    const sent = this.sent.get(op);
    assert(sent !== undefined && sent.assigned === null, 'an operation is assigned once, before it ends');
    const body = this.regions[0]!.slice(op.bufferOffset, op.bufferOffset + op.size);
    sent.assigned = { extentId: op.extentId, extentOffset: op.extentOffset, loan, body };
  }

  diskError(errno: number, writing: boolean): void {
    this.diskErrors.push(errno);
    this.diskErrorsWriting.push(writing);
  }

  log(level: string, message: string): void {
    if (level === 'warn' || level === 'error') this.complaints.push(message);
  }

  crc32(region: number, offset: number, length: number): number {
    return crc32(this.regions[region]!.subarray(offset, offset + length));
  }

  private end(op: Operation, problem: string | null, error: string): void {
    if (endsInside(op, problem)) return;
    const sent = this.sent.get(op);
    assert(sent !== undefined, 'an operation ended twice');
    this.sent.delete(op);
    const inSlot = this.regions[0]!.slice(op.bufferOffset, op.bufferOffset + op.replyBytes);
    Object.assign(sent, {
      ...{
        ended: true,
        ok: problem === null,
        error,
        extentId: op.extentId,
        extentOffset: op.extentOffset,
        crc: op.replyCrc,
      },
      body: op.replyBody ?? inSlot,
    });
    this.freeSlots.get(this.slotClasses.get(op)!)!.push(op.bufferOffset);
    this.slotClasses.delete(op);
  }

  private submit(): void {
    this.batchAway = true;
    this.disk.submitBatch(() => {
      this.batchAway = false;
      this.settleBatch();
    });
  }

  private runInline(): void {
    this.disk.runBatch();
    this.settleBatch();
  }

  private settleBatch(): void {
    const { batch } = this.disk;
    for (let index = 0; index < batch.length; index += 1) {
      const op = this.entryOperations[index]!;
      this.entryOperations[index] = null;
      if (op !== null) op.handler!.ioDone(op, index);
    }
    batch.clear();
    this.stores.advance();
  }
}

/** Bytes that tell their place: no two pages of a file look alike. */
export function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let x = (seed * 2654435761 + 1) >>> 0;
  for (let i = 0; i < length; i += 1) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
}
