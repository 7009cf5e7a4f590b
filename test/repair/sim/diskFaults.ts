/** Disks that have no room, or fail, while repair writes to them. A disk that has failed is out of service; the operator puts an empty one in its place. */
import { INTERNAL_OP } from '../../../src/partition/internalOps.js';
import { OP } from '../../../src/protocol/opcodes.js';
import { ERRNO, type SimFault } from '../../sim/simFiles.js';
import type { SimNode } from './simNode.js';
import type { World } from './world.js';

/** What the repair thread asks of a worker that writes. */
const WRITES: ReadonlySet<number> = new Set([
  ...[OP.write, INTERNAL_OP.syncExtent, INTERNAL_OP.createExtent, INTERNAL_OP.tinyHole],
  INTERNAL_OP.missedDelete,
]);
/** What is left of a disk that is about to be full, at most, bytes. */
const LEFT_BYTES_MAX = 60_000;
const FULL_MS_MAX = 25_000;
/** How long a disk has to show its fault. */
const FAULT_MS = 3_000;
const REPLACED_MS_MAX = 8_000;

export class DiskFaults {
  readonly #world: World;
  readonly #node: SimNode;
  #armed = false;
  #failed = false;

  constructor(world: World, node: SimNode) {
    this.#world = world;
    this.#node = node;
  }

  /** The disk is about to fail, or has. */
  get isFailing(): boolean {
    return this.#armed || this.#failed;
  }

  /** Repair asks for an operation on this node. */
  asks(opcode: number): void {
    const { stormy, traits, random } = this.#world;
    if (!stormy || !WRITES.has(opcode)) return;
    if (traits.fullDisks && this.#node.disk.freeBytes > LEFT_BYTES_MAX && random.chance(0.2)) this.#fills();
    if (traits.failingDisk && random.chance(0.4)) this.#fails();
  }

  /** The worker has taken the disk out of service. */
  outOfService(): void {
    const world = this.#world;
    const node = this.#node;
    this.#failed = true;
    world.hits.failedDisks += 1;
    world.note(`${node.name}: its disk has failed`);
    world.after(world.between(500, REPLACED_MS_MAX), () => node.newDisk());
  }

  #fills(): void {
    const world = this.#world;
    const { disk, name } = this.#node;
    world.hits.fullDisks += 1;
    disk.freeBytes = world.random.chance(0.6) ? 0 : world.random.below(LEFT_BYTES_MAX);
    world.note(`${name} has room for ${disk.freeBytes} bytes`);
    world.after(world.between(1_000, FULL_MS_MAX), () => {
      disk.freeBytes = Number.POSITIVE_INFINITY;
      world.note(`${name} has room again`);
    });
  }

  #fails(): void {
    const world = this.#world;
    const { disk, mayLoseAll } = this.#node;
    if (this.#armed || !mayLoseAll || world.replicasLost > 0) return;
    this.#armed = true;
    world.replicasLost += 1;
    const call = world.random.chance(0.6) ? 'pwrite' : 'fdatasync';
    const fault: SimFault = { call, path: /\/\d+$/, errno: ERRNO.EIO, count: 1 };
    disk.addFault(fault);
    world.after(FAULT_MS, () => {
      // Nobody has written, or the process has ended before.
      if (fault.count === 1) world.replicasLost -= 1;
      fault.count = 0;
      this.#armed = false;
    });
  }
}
