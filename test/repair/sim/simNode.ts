/**
 * One node of a simulated run: a disk that outlives its processes, and the process that runs now (`life.ts`).
 */

import type { Peer } from '../../../src/protocol/adminBodies.js';
import { BATCH_CAPACITY } from '../../partition/storeRig.js';
import { nodeRegions } from '../../raft/sim/simNode.js';
import { SimDisk } from '../../sim/simDisk.js';
import type { SimFile } from '../../sim/simFile.js';
import type { SimFolder } from '../../sim/simFolder.js';
import { DiskFaults } from './diskFaults.js';
import { Life } from './life.js';
import type { Master } from './master.js';
import { FOLDER, ROOT } from './place.js';
import type { World } from './world.js';

/** The memory of each node by its number: a run gets that of the run before. */
const memory: Uint8Array[][] = [];

export class SimNode {
  readonly name: string;
  readonly address: string;
  readonly number: number;
  /** Its id in the raft group; another one with each empty disk. */
  nodeId: number;
  /** The group does not know its new disk yet. */
  #isMoving = false;
  /** As the master has told it last. */
  hosts: readonly string[] = [];
  master: Master | null = null;
  readonly #world: World;
  disk: SimDisk;
  life: Life | null = null;
  /** Its disk was empty: it is created with create type 1. */
  joins = false;
  pausedUntilMs = 0;
  /** Its place is given to another one. */
  isLeaving = false;
  /** Not the keeper of the run, whose replica is never lost. */
  mayLeave = false;
  readonly diskFaults: DiskFaults;
  /** What an operator was told. */
  readonly alarms: string[] = [];
  /** When it has lost its power, and got another disk, last. */
  lostPowerMs = -1;
  newDiskMs = -1;
  #folder: SimFolder | undefined;
  #folderOf: SimDisk | null = null;

  constructor(world: World, number: number) {
    this.#world = world;
    this.number = number;
    this.nodeId = world.newNodeId();
    this.name = `n${number}`;
    this.address = `10.0.0.${number + 1}:17310`;
    this.diskFaults = new DiskFaults(world, this);
    memory[number] ??= nodeRegions();
    this.disk = this.#emptyDisk();
  }

  /** May lose all it has: neither the keeper nor the first host, which nobody could bring what it lacks. */
  get mayLoseAll(): boolean {
    return this.mayLeave && !this.isLeaving && this.master !== null && this.master.first !== this;
  }

  /** May become the first host: it has all that it ever had. */
  get mayLead(): boolean {
    return !this.joins && !this.isLeaving && !this.diskFaults.isFailing;
  }

  askMaster(): void {
    this.master?.tell(this);
  }

  /** It is to be a host from now on, with an empty disk. */
  joinsNow(): void {
    this.joins = true;
    this.newDiskMs = this.#world.nowMs;
    this.start();
  }

  /** It is gone for good. */
  leaves(): void {
    this.#gone();
    this.master = null;
  }

  start(): void {
    this.#world.note(`${this.name} starts`);
    this.life = new Life(this, this.#world, this.disk, memory[this.number]!);
    this.askMaster();
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
    this.#gone(world.traits.silence);
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
    const gone = this.peer;
    this.nodeId = world.newNodeId();
    this.#isMoving = true;
    this.master!.moves.replace(gone, this.peer, () => {
      this.#isMoving = false;
      this.comeBack();
    });
  }

  /** As a member of the group. */
  get peer(): Peer {
    return { id: this.nodeId, addr: this.address };
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
      if (this.life === null && this.master !== null && !this.#isMoving) this.start();
    });
  }

  #gone(silently = false): void {
    if (this.life === null) return;
    const { hits } = this.#world;
    if (this.life.raft.isLeader) hits.leadersKilled += 1;
    if (this.life.raft.isBehindItsLog) hits.killsBeforeApply += 1;
    this.life.end(silently);
    this.life = null;
    this.#world.raft.ended(this.nodeId);
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
