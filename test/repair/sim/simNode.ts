/**
 * One node of a simulated run: a disk that outlives its processes, and the process that runs now, with the production's stores and the production's repair thread on simulated parts.
 */
import { crc32 } from 'node:zlib';
import { INTERNAL_OP } from '../../../src/partition/internalOps.js';
import type { Operation } from '../../../src/partition/operation.js';
import {
  type PartitionRepairView,
  REPAIR_COUNTER,
  type RepairView,
  repairCounterNames,
} from '../../../src/repair/messages.js';
import { PEER_LIMITS, type PeerConnection, type PeerLimits } from '../../../src/repair/peerConnection.js';
import { RepairNode } from '../../../src/repair/repairNode.js';
import type { WorkerAnswer, WorkerPorts, WorkerQuestion } from '../../../src/repair/workerPorts.js';
import { Counters, createCounters } from '../../../src/shm/counters.js';
import { BATCH_CAPACITY, rigRegions, type Sent, StoreRig } from '../../partition/storeRig.js';
import { SimDisk } from '../../sim/simDisk.js';
import type { SimFile } from '../../sim/simFile.js';
import type { SimFolder } from '../../sim/simFolder.js';
import { SimPeerConnection } from './peerWire.js';
import { PrimarySide } from './primarySide.js';
import { Broken, type World } from './world.js';

export const ROOT = '/d';
export const PARTITION = 7;
export const FOLDER = `${ROOT}/datapartition_7_1073741824`;
const TICK_MS = 5_000;
const REPAIR_SETTINGS = { enabled: true, roundsPerDisk: 2, rounds: 4, fetchesPerRound: 3, bytesPerSecond: 0 };

/** The memory of each node by its number: a run gets that of the run before. */
const memory: Uint8Array[][] = [];

/** A worker whose operations tell their end. */
class SimWorker extends StoreRig {
  readonly ends = new Map<Operation, { sent: Sent; ended(sent: Sent): void; assigned(sent: Sent): void }>();

  override finish(op: Operation): void {
    super.finish(op);
    this.#tell(op);
  }

  override fail(op: Operation, action: string, message: string): void {
    super.fail(op, action, message);
    this.#tell(op);
  }

  override assigned(op: Operation, loan: number): void {
    super.assigned(op, loan);
    const end = this.ends.get(op)!;
    end.assigned(end.sent);
  }

  #tell(op: Operation): void {
    const end = this.ends.get(op);
    this.ends.delete(op);
    end?.ended(end.sent);
  }
}

/** A process of a node. */
export class Life {
  readonly node: SimNode;
  readonly worker: SimWorker;
  readonly connections = new Set<SimPeerConnection>();
  readonly primary: PrimarySide;
  readonly repair: RepairNode;
  readonly counters: Counters;
  alive = true;
  readonly #world: World;
  readonly #tasks = new Map<number, (failure: string | null) => void>();
  #lastTask = 0;
  #pumping = false;
  #lastView: RepairView | null = null;
  readonly #limits: PeerLimits = { ...PEER_LIMITS };
  readonly #timers: NodeJS.Timeout[] = [];

  constructor(node: SimNode, world: World, disk: SimDisk, regions: Uint8Array[]) {
    this.node = node;
    this.#world = world;
    this.worker = new SimWorker(disk, world.clock, regions);
    if (disk.node(FOLDER) === undefined)
      this.worker.create(ROOT, { hosts: [...node.hosts], createType: node.joins ? 1 : 0 });
    else this.worker.load(ROOT);
    this.counters = new Counters(createCounters(repairCounterNames(1)));
    this.primary = new PrimarySide(world, this);
    lives.set(this.#limits, this);
    this.repair = new RepairNode({
      ports: this.#ports(),
      ...{ counters: this.counters, diskPaths: [ROOT], address: node.address, settings: REPAIR_SETTINGS },
      ...{ peerLimits: this.#limits, crc32: (data) => crc32(data), nowMs: () => world.nowMs },
      wallMs: () => world.clock.nowMs(),
      post: (event) => {
        if (event.type === 'answer') this.#answered(event.number, event.failure);
        else if (event.type === 'view') this.#lastView = event.view;
        else if (event.type === 'log' && event.level !== 'debug')
          world.note(`${node.name} ${event.message} ${JSON.stringify(event.fields)}`);
      },
    });
    const { hosts } = node;
    const { createType } = this.worker.partitions.get(PARTITION)!;
    this.repair.take({
      type: 'attached',
      partition: { id: PARTITION, worker: 0, disk: 0, hosts, createType },
    });
    this.repair.take({ type: 'hosts', id: PARTITION, hosts });
    this.#timers.push(
      setInterval(() => this.repair.take({ type: 'hosts', id: PARTITION, hosts }), 300_000),
      setInterval(() => this.#tick(), TICK_MS),
    );
    this.pump();
  }

  get partition(): NonNullable<ReturnType<SimWorker['partitions']['get']>> {
    return this.worker.partitions.get(PARTITION)!;
  }

  /** The repair thread's round that runs. */
  get inRound(): boolean {
    return this.#view()?.running != null;
  }

  /** Why it is not complete as a new replica; empty: it is. */
  get joining(): string {
    return this.partition.createType === 1 ? (this.#view()?.joining ?? '') || 'no reason' : '';
  }

  counter(name: keyof typeof REPAIR_COUNTER): number {
    return this.counters.value(REPAIR_COUNTER[name]);
  }

  /** Sends an operation; `ended` is called when it is done, unless this process has ended before. */
  send(
    fields: Partial<Operation>,
    body: Uint8Array,
    ended: (sent: Sent) => void,
    assigned: (sent: Sent) => void = () => {},
  ): void {
    if (!this.alive) return;
    const sent = this.worker.send(fields, body);
    this.worker.ends.set(sent.op, { sent, ended, assigned });
    this.pump();
  }

  /** A notification has come. */
  task(body: Uint8Array, answered: (failure: string | null) => void): void {
    this.#lastTask += 1;
    this.#tasks.set(this.#lastTask, answered);
    this.#world.touched = true;
    this.repair.take({ type: 'task', number: this.#lastTask, id: PARTITION, body });
  }

  end(): void {
    this.alive = false;
    const { hits } = this.#world;
    hits.rounds += this.counter('normalRounds') + this.counter('tinyRounds');
    hits.tasks += this.counter('tasks');
    hits.fetchedExtents += this.counter('extents');
    for (const timer of this.#timers) clearInterval(timer);
    for (const connection of [...this.connections]) connection.lose();
    this.primary.end();
  }

  /** Lets the worker go on, a little at a time, as long as it has work. */
  pump(): void {
    if (this.#pumping || !this.alive) return;
    this.#pumping = true;
    const waitMs = Math.max(1, this.node.pausedUntilMs - this.#world.nowMs);
    this.#world.after(waitMs, () => {
      this.#pumping = false;
      if (!this.alive) return;
      if (this.node.pausedUntilMs > this.#world.nowMs) return this.pump();
      const { worker } = this;
      let active = worker.turn();
      const steps = this.#world.between(4, 24);
      for (let i = 0; i < steps && this.node.disk.step(); i += 1)
        if (i % 4 === 3) active = worker.turn() || active;
      if (active || worker.hasArrivals || worker.disk.pending() > 0) this.pump();
    });
  }

  #tick(): void {
    if (!this.alive) return;
    this.partition.tick(this.#world.clock.nowMs());
    this.worker.stores.tick();
    this.pump();
  }

  #answered(number: number, failure: string | null): void {
    this.#tasks.get(number)?.(failure);
    this.#tasks.delete(number);
  }

  #view(): PartitionRepairView | undefined {
    this.repair.take({ type: 'view', number: 1, id: PARTITION });
    return this.#lastView?.partitions[0];
  }

  /** In place of the rings. */
  #ports(): WorkerPorts {
    const ask = (_worker: number, question: WorkerQuestion): Promise<WorkerAnswer> =>
      new Promise((resolve, reject) => {
        const { opcode, partitionId, extentId, extentOffset, extentType = 1, size, crc, body } = question;
        const bytes = body ?? new Uint8Array(0);
        if (opcode === INTERNAL_OP.missedDelete) this.#world.hits.missedDeletes += 1;
        if (opcode === INTERNAL_OP.listDeleted) this.#world.roundBegins();
        if (opcode === INTERNAL_OP.endJoining) this.#world.hits.joined += 1;
        const fields: Partial<Operation> = {
          ...{ opcode, partitionId, extentType, internal: true },
          ...{ extentId: extentId ?? 0, extentOffset: extentOffset ?? 0, size: size ?? bytes.byteLength },
          ...(crc === undefined ? {} : { crc }),
        };
        this.send(fields, bytes, (sent) => {
          this.#world.touched = true;
          if (!sent.ok) return reject(new Error(sent.error));
          const { crc: answerCrc, op, body: answer } = sent;
          resolve({
            ...{ crc: answerCrc, extentId: sent.extentId, extentOffset: sent.extentOffset },
            ...{ remainingBytes: op.remainingBytes, holeBytes: op.holeBytes, body: answer },
          });
        });
      });
    return { ask, open: 0, close: () => {}, gone: () => {} } as unknown as WorkerPorts;
  }
}

/** Which process asks, by the limits that it dials with. */
const lives = new WeakMap<PeerLimits, Life>();

export class SimNode {
  readonly name: string;
  readonly address: string;
  readonly number: number;
  readonly hosts: readonly string[];
  readonly #world: World;
  disk: SimDisk;
  life: Life | null = null;
  /** Its disk was empty: it is created with create type 1. */
  joins = false;
  pausedUntilMs = 0;
  /** When it has lost its power, and got another disk, last. */
  lostPowerMs = -1;
  newDiskMs = -1;
  #folder: SimFolder | undefined;
  #folderOf: SimDisk | null = null;

  constructor(world: World, number: number, hosts: readonly string[]) {
    this.#world = world;
    this.number = number;
    this.name = `n${number}`;
    this.hosts = hosts;
    this.address = hosts[number]!;
    memory[number] ??= rigRegions();
    this.disk = this.#emptyDisk();
  }

  start(): void {
    this.#world.note(`${this.name} starts`);
    this.life = new Life(this, this.#world, this.disk, memory[this.number]!);
  }

  /** Ends this process, if it is still the one. */
  killed(life: Life, why: string): void {
    if (this.life !== life) return;
    const world = this.#world;
    world.note(`${this.name} is killed ${why}`);
    world.hits.kills += 1;
    if (why === 'while it repairs') world.hits.killsInRounds += 1;
    this.#gone();
    this.disk = this.disk.processEnd(world.random.below(2 ** 31));
    this.disk.tracing = false;
    this.comeBack();
  }

  powerLost(): void {
    const world = this.#world;
    this.lostPowerMs = world.nowMs;
    world.note(`${this.name} loses its power`);
    world.hits.powerLosses += 1;
    this.#gone();
    this.disk = this.disk.powerLoss(world.random.below(2 ** 31));
    this.disk.tracing = false;
    this.comeBack();
  }

  /** Another disk, an empty one. */
  newDisk(): void {
    const world = this.#world;
    this.newDiskMs = world.nowMs;
    world.note(`${this.name} gets an empty disk`);
    world.hits.newDisks += 1;
    this.#gone();
    this.joins = true;
    this.disk = this.#emptyDisk();
    this.comeBack();
  }

  /** What was written last, of the file of an extent; undefined: there is none. */
  file(extentId: number): SimFile | undefined {
    const file = this.folder?.entries.get(String(extentId));
    return file?.kind === 'file' ? file : undefined;
  }

  /** The partition's folder on its disk; undefined: there is none. */
  get folder(): SimFolder | undefined {
    if (this.#folderOf !== this.disk) {
      const node = this.disk.node(FOLDER);
      this.#folder = node?.kind === 'folder' ? node : undefined;
      this.#folderOf = this.#folder === undefined ? null : this.disk;
    }
    return this.#folder;
  }

  comeBack(ms = this.#world.between(100, 12_000)): void {
    this.#world.after(this.#world.stormy ? ms : 100, () => {
      if (this.life === null) this.start();
    });
  }

  #gone(): void {
    this.life?.end();
    this.life = null;
  }

  #emptyDisk(): SimDisk {
    const world = this.#world;
    const disk = new SimDisk({
      regions: memory[this.number]!,
      seed: world.random.below(2 ** 31),
      ...{ batchCapacity: BATCH_CAPACITY, nowMs: () => world.clock.nowMs() },
    });
    disk.tracing = false;
    disk.mkdir(ROOT, 0o755);
    disk.fsyncFolder('/');
    return disk;
  }
}

/** In place of `PeerConnection.dial`, for the nodes of a run. */
export function dialIn(
  world: World,
  nodes: () => readonly SimNode[],
): (address: string, signal: AbortSignal, limits?: PeerLimits) => Promise<PeerConnection> {
  return (address, _signal, limits = PEER_LIMITS) =>
    new Promise((resolve, reject) => {
      const asker = lives.get(limits);
      if (asker === undefined) throw new Broken('somebody dials who is no node of the run');
      world.after(world.delayMs(), () => {
        world.touched = true;
        const target = nodes().find((node) => node.address === address)?.life ?? null;
        if (target === null) return reject(new Error(`dial ${address}: connection refused`));
        if (!asker.alive) return;
        const connection = new SimPeerConnection(world, asker, target, address);
        resolve(connection as unknown as PeerConnection);
      });
    });
}
