/**
 * How a worker has damaged blocks healed that reads wait for: a frame of the event ring, which main hands to the repair thread; what becomes of it comes back through that thread's own port (`INTERNAL_OP`). Used by the
 * worker's stores.
 *
 * Nothing is asked for, and so nothing waits, where no heal can come: while no repair thread heals, as one shared word says; where fewer than three hosts can vote; while main does not take what this worker tells it.
 */
import { type BlockPlace, EVENT } from '../partition/messages.js';
import type { Partition } from '../partition/partition.js';
import type { BlockHealer } from '../partition/storeHost.js';
import type { EventQueue } from './eventQueue.js';

/** With fewer there is no majority against one of them. */
const HOSTS_MIN = 3;

export class HealRequests implements BlockHealer {
  readonly #healing: Int32Array;
  readonly #events: EventQueue;
  readonly #partitionOf: (id: number) => Pick<Partition, 'replicas'> | undefined;

  /** @param healing the shared word: 1 while the repair thread heals. */
  constructor(
    healing: Int32Array,
    events: EventQueue,
    partitionOf: (id: number) => Pick<Partition, 'replicas'> | undefined,
  ) {
    this.#healing = healing;
    this.#events = events;
    this.#partitionOf = partitionOf;
  }

  get isThere(): boolean {
    return Atomics.load(this.#healing, 0) === 1;
  }

  ask(place: BlockPlace): boolean {
    const hosts = this.#partitionOf(place.partitionId)?.replicas.length ?? 0;
    if (!this.isThere || hosts < HOSTS_MIN || this.#events.waiting > 0) return false;
    this.#events.json(EVENT.damaged, 0, place);
    return true;
  }
}
