/** The process of a simulated node that runs now: the production's stores and the production's repair thread on simulated parts, and how its connections begin. */
import { crc32 } from 'node:zlib';
import { INTERNAL_OP } from '../../../src/partition/internalOps.js';
import type { Operation } from '../../../src/partition/operation.js';
import type { Partition } from '../../../src/partition/partition.js';
import { OP } from '../../../src/protocol/opcodes.js';
import { LIST_FRESH_MS } from '../../../src/repair/hostList.js';
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
import { isTinyExtent } from '../../../src/storage/layout.js';
import type { Sent } from '../../partition/storeRig.js';
import type { SimDisk } from '../../sim/simDisk.js';
import { SimPeerConnection } from './peerWire.js';
import { FOLDER, PARTITION, ROOT } from './place.js';
import { PrimarySide } from './primarySide.js';
import type { SimNode } from './simNode.js';
import { SimRaft } from './simRaft.js';
import { SimWorker } from './simWorker.js';
import { Broken, type World } from './world.js';

const TICK_MS = 5_000;
/** That a list has grown old shows at the next look. */
const LATE_MS_MAX = 20_000;
const REPAIR_SETTINGS = { enabled: true, roundsPerDisk: 2, rounds: 4, fetchesPerRound: 3, bytesPerSecond: 0 };

/** Asked when something is about to be fetched. */
const FETCHES: ReadonlySet<number> = new Set([INTERNAL_OP.listMissing, INTERNAL_OP.createExtent]);

/** A process of a node. */
export class Life {
  readonly node: SimNode;
  readonly worker: SimWorker;
  readonly raft: SimRaft;
  readonly partition: Partition;
  readonly connections = new Set<SimPeerConnection>();
  readonly primary: PrimarySide;
  readonly repair: RepairNode;
  readonly counters: Counters;
  alive = true;
  readonly #world: World;
  readonly #tasks = new Map<number, (failure: string | null) => void>();
  #lastTask = 0;
  #pumping = false;
  #storesDue = false;
  #lastView: RepairView | null = null;
  readonly #limits: PeerLimits = { ...PEER_LIMITS };
  readonly #timers: NodeJS.Timeout[] = [];
  /** Normal extents that repair has written to since the last look. */
  readonly #brought = new Set<number>();
  #toldMs = Number.POSITIVE_INFINITY;

  constructor(node: SimNode, world: World, disk: SimDisk, regions: Uint8Array[]) {
    this.node = node;
    this.#world = world;
    this.worker = new SimWorker(disk, world.clock, regions);
    this.worker.failed = () => node.diskFaults.outOfService();
    this.raft = new SimRaft(world, this, disk, regions);
    this.worker.raft = this.raft;
    this.partition = this.#partitionOf(disk);
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
        else if (event.type === 'alarm') {
          node.alarms.push(event.text);
          world.note(`${node.name} raises an alarm: ${event.text}`);
        } else if (event.type === 'log' && event.level !== 'debug') {
          const text = `${event.message} ${JSON.stringify(event.fields)}`;
          if (text.includes('no space left on')) world.hits.fullFetches += 1;
          world.note(`${node.name} ${text}`);
        }
      },
    });
    const { createType, hosts } = this.partition;
    this.repair.take({
      type: 'attached',
      partition: { id: PARTITION, worker: 0, disk: 0, hosts, createType },
    });
    this.#timers.push(
      setInterval(() => node.askMaster(), 300_000),
      setInterval(() => this.#tick(), TICK_MS),
    );
    this.raft.begin(this.partition);
    this.pump();
  }

  /** The master has told its list. */
  learnHosts(): void {
    this.#toldMs = this.#world.nowMs;
    this.repair.take({ type: 'hosts', id: PARTITION, hosts: this.node.hosts });
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

  /** Somebody has all its extents compared with their checksums. */
  scrub(): void {
    this.worker.stores.checksums.startScrub();
    this.pump();
  }

  /** `silently`: the machine is gone, and who was connected to it is not told. */
  end(silently: boolean): void {
    this.alive = false;
    const { hits } = this.#world;
    hits.rounds += this.counter('normalRounds') + this.counter('tinyRounds');
    hits.tasks += this.counter('tasks');
    hits.fetchedExtents += this.counter('extents');
    for (const timer of this.#timers) clearInterval(timer);
    for (const connection of [...this.connections]) {
      if (silently) connection.fallSilent();
      else connection.lose();
    }
    this.primary.end();
  }

  /** Lets the worker go on, a little at a time, as long as it has work. */
  pump(): void {
    this.#storesDue = true;
    this.wake();
  }

  /** The same for raft alone. */
  wake(): void {
    if (this.#pumping || !this.alive) return;
    this.#pumping = true;
    const waitMs = Math.max(1, this.node.pausedUntilMs - this.#world.nowMs);
    this.#world.after(waitMs, () => {
      this.#pumping = false;
      if (!this.alive) return;
      if (this.node.pausedUntilMs > this.#world.nowMs) return this.wake();
      const { worker } = this;
      let active = this.#turn();
      const steps = this.#world.between(4, 24);
      for (let i = 0; i < steps && this.node.disk.step(); i += 1)
        if (i % 4 === 3) active = this.#turn() || active;
      if (active || worker.hasArrivals || worker.disk.pending() > 0) this.wake();
    });
  }

  /** A turn of the worker's loop; what nobody has anything to do for is left out of it. */
  #turn(): boolean {
    const { worker, raft } = this;
    const { applies } = worker.stores;
    const isDue = this.#storesDue || worker.hasArrivals || applies.woken || raft.hasConfirmed;
    const moved = (isDue || worker.disk.pending() > 0) && worker.turn();
    this.#storesDue = moved;
    return raft.turn() || moved;
  }

  /** What the disk holds, or a new one. */
  #partitionOf(disk: SimDisk): Partition {
    const { node, worker } = this;
    if (disk.node(FOLDER) !== undefined) return worker.load(ROOT)[0]!;
    const members = node.master!.peers;
    return worker.create(ROOT, { members, hosts: [...node.hosts], createType: node.joins ? 1 : 0 });
  }

  #tick(): void {
    if (!this.alive) return;
    this.worker.lookAtSpace(this.node.disk.freeBytes);
    this.#checkRepair();
    this.partition.tick(this.#world.clock.nowMs());
    this.worker.stores.tick();
    this.pump();
  }

  #answered(number: number, failure: string | null): void {
    this.#tasks.get(number)?.(failure);
    this.#tasks.delete(number);
    const view = this.#view();
    const idle = this.#tasks.size === 0 && view?.running === null;
    if (idle && view.fetches.length > 0)
      this.#world.broken ??= new Broken(
        `${this.node.name} has answered a notification before its work was done`,
      );
  }

  /** A round or a task begins. Nobody runs rounds by a list that is too old. */
  #begins(): void {
    this.#world.roundBegins();
    if (this.inRound) this.#world.raft.roundBegins(this.node);
    const ageMs = this.#world.nowMs - this.#toldMs;
    if (ageMs > LIST_FRESH_MS + LATE_MS_MAX && this.inRound)
      this.#world.broken ??= new Broken(`${this.node.name} runs rounds by a list of ${ageMs} ms`);
  }

  /** What repair has brought is durable when its fetch has ended. */
  #checkRepair(): void {
    const { node } = this;
    if (this.#brought.size === 0 || this.worker.health.status === -1) return;
    const fetching = new Set(this.#view()?.fetches.map(({ extentId }) => extentId));
    for (const extentId of this.#brought) {
      if (fetching.has(extentId)) continue;
      this.#brought.delete(extentId);
      this.#world.brought(node, extentId);
    }
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
        const { expectedCrc = 0 } = question;
        const bytes = body ?? new Uint8Array(0);
        this.node.diskFaults.asks(opcode);
        if (opcode === INTERNAL_OP.missedDelete) this.#world.hits.missedDeletes += 1;
        if (opcode === INTERNAL_OP.compareAll) this.#world.hits.comparisons += 1;
        if (opcode === INTERNAL_OP.listDeleted) this.#begins();
        if (FETCHES.has(opcode)) this.#world.fetches();
        if (opcode === INTERNAL_OP.endJoining) {
          this.#world.hits.joined += 1;
          this.#world.joined(this.node);
        }
        const fields: Partial<Operation> = {
          ...{ opcode, partitionId, extentType, expectedCrc, internal: true },
          ...{ extentId: extentId ?? 0, extentOffset: extentOffset ?? 0, size: size ?? bytes.byteLength },
          ...(crc === undefined ? {} : { crc }),
        };
        this.send(fields, bytes, (sent) => {
          this.#world.touched = true;
          if (!sent.ok) return reject(new Error(sent.error));
          if (opcode === OP.write && !isTinyExtent(sent.extentId)) this.#brought.add(sent.extentId);
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
        if (world.stormy && world.traits.silence && world.random.chance(0.02)) {
          world.hits.silentDials += 1;
          const text = `dial ${address}: no answer within ${limits.dialMs} ms`;
          return world.after(limits.dialMs, () => {
            world.touched = true;
            reject(new Error(text));
          });
        }
        if (target === null) return reject(new Error(`dial ${address}: connection refused`));
        if (!asker.alive) return;
        const connection = new SimPeerConnection(world, asker, target, address);
        resolve(connection as unknown as PeerConnection);
      });
    });
}
