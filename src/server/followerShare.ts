/**
 * What one follower address may hold of the budgets of primary work, over the links of all client connections. Pure books; used by `followerLinks.ts` and `forwarding.ts`.
 *
 * A packet counts for each follower that has not answered it yet, from when its slot is taken until the link to that follower lets go of it: so it counts for those that hold it up, and for nobody else. The
 * budgets are those of `slab.ts` and `workerPort.ts`: slots of a size class, bytes of a disk's quota, requests at a worker.
 *
 * The rule is that of a switch's shared buffer: in each budget an address may hold at most FREE_TIMES what stays free of it for primary work (a single packet always). A follower that stands still so comes to two
 * thirds, and each further one to two thirds of the rest: with one a third stays free for all others, with two a ninth. It needs no clock and no memory of who was late: it holds before anybody can know that.
 * A cluster of three nodes, whose every packet goes to the same two followers, has two thirds of primary work's part in flight instead of all.
 */
import assert from 'node:assert';
import type { Slab } from '../shm/slab.js';
import { WORK, type WorkerPort } from './workerPort.js';

const FREE_TIMES = 2;

export class FollowerShare {
  /** Links to the address. */
  links = 0;
  /** Packets that count and that no link has got: their bodies are being received, or their workers have not assigned them. */
  unsent = 0;
  /** A packet was refused since something was given back. */
  refused = false;
  /** By index of the size class, the disk and the worker; undefined: nothing was ever held. */
  readonly #slots: number[] = [];
  readonly #diskBytes: number[] = [];
  readonly #requests: number[] = [];

  /** Whether a packet that has got `slot`, and is to be a request at `port`, may be held up by this follower too. */
  admits(slab: Slab, slot: number, port: WorkerPort): boolean {
    const admits =
      fits(this.#slots[slab.classOf(slot)], 1, slab.classRoom(slot)) &&
      fits(this.#diskBytes[port.disk], slab.capacity(slot), slab.diskRoom(slot)) &&
      fits(this.#requests[port.index], 1, port.room(WORK.primary) - 1);
    if (!admits) this.refused = true;
    return admits;
  }

  /** The follower has to answer the packet in `slot`. */
  hold(slab: Slab, slot: number, port: WorkerPort): void {
    add(this.#slots, slab.classOf(slot), 1);
    add(this.#diskBytes, port.disk, slab.capacity(slot));
    add(this.#requests, port.index, 1);
  }

  /** It has answered it, or never will. Returns whether somebody was refused meanwhile and is to try again. */
  giveBack(slab: Slab, slot: number, port: WorkerPort): boolean {
    assert(this.#requests[port.index]! > 0, 'only what is held is given back');
    add(this.#slots, slab.classOf(slot), -1);
    add(this.#diskBytes, port.disk, -slab.capacity(slot));
    add(this.#requests, port.index, -1);
    const { refused } = this;
    this.refused = false;
    return refused;
  }
}

/** `room`: what stays free beside the `amount`. */
function fits(held: number | undefined, amount: number, room: number): boolean {
  return !held || held + amount <= FREE_TIMES * room;
}

function add(held: number[], index: number, amount: number): void {
  held[index] = (held[index] ?? 0) + amount;
}
