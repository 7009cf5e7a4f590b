/**
 * One worker as a network thread sees it: its pair of rings, its doorbell, and how it is doing.
 */
import { native } from '../native/addon.js';
import { Doorbell } from '../shm/doorbell.js';
import type { RingMemory } from '../shm/ring.js';
import { RingConsumer, RingProducer } from '../shm/ring.js';
import { SLOT_KIND, type SlotKind } from '../shm/slabShare.js';
import type { DiskWorkerData } from '../workers/workerData.js';

/** Which share of a worker's ring a request counts in. */
export const WORK = {
  leaf: 0,
  /** Forwarded to followers before it is answered. */
  primary: 1,
  /** Repair reads of other replicas: they may wait long for a limit, and must not take the slots that clients' reads need meanwhile. */
  background: 2,
} as const;
/** Most background requests at a worker: 2 MiB on their way keep any disk busy. */
const BACKGROUND_MAX = 16;
/** Instead of a tag: background work, or what waits for one follower, has used up its own share. */
export const OWN_SHARE_USED = -2;

/** What the slot of a request of this WORK is for: its body, when it is a whole `packet`, or room for its answer. */
export function slotKindFor(work: number, packet: boolean): SlotKind {
  if (work === WORK.primary) return SLOT_KIND.primary;
  if (work === WORK.background) return SLOT_KIND.background;
  return packet ? SLOT_KIND.leaf : SLOT_KIND.reply;
}

/** Background requests that each of `workers` may have, so that all of them together take a quarter of `slots`, the slots of their size, at most. */
export function backgroundShare(slots: number, workers: number): number {
  return Math.max(1, Math.min(BACKGROUND_MAX, Math.floor(slots / 4 / workers)));
}

/** Shared memory between one thread that sends requests and one worker. */
export interface PortMemory {
  requests: RingMemory;
  replies: RingMemory;
  /** Most requests that may be at the worker at a time; the rings have room for more (`RequestPort`). */
  requestsMax: number;
}

export class WorkerPort {
  /** Index of the worker in the node, and of its disk. */
  readonly index: number;
  readonly disk: number;
  readonly diskPath: string;
  readonly requests: RingProducer;
  readonly replies: RingConsumer;
  readonly doorbell: Doorbell;
  /** Requests published and not yet answered. */
  inFlight = 0;
  /** Tags taken for this worker and not yet answered: all, and by WORK. */
  #admitted = 0;
  readonly #admittedOf = new Int32Array(3);
  /** Most requests of all kinds, and of each kind of WORK. */
  readonly #requestsMax: number;
  readonly #most: readonly number[];
  /** Descriptors written since the last publish. */
  dirty = false;
  /** How long it has answered nothing although work waited, ms; kept by the watch (`diskWatch.ts`), set to 0 by each answer. */
  silentMs = 0;
  /** When the log is to say again how far its disk is loaded, monotonic ms. */
  nextLoadLogMs = performance.now() + 1_000;
  /** How long the worker has not gone round its loop, ms, and its last sign of life; kept by the watch. */
  loopSilentMs = 0;
  heartbeatMs = 0;
  /** Its disk hangs: neither the worker nor the disk's probe comes to an end. Requests are not refused for it, as they stall by themselves. */
  hung = false;
  /** Why its disk takes no work at the moment; empty: it does. */
  refusal = '';

  constructor(
    index: number,
    disk: number,
    diskPath: string,
    memory: PortMemory,
    doorbell: Int32Array,
    wake: (words: Int32Array) => void,
    backgroundMax = BACKGROUND_MAX,
  ) {
    this.index = index;
    this.disk = disk;
    this.diskPath = diskPath;
    this.requests = new RingProducer(memory.requests);
    this.replies = new RingConsumer(memory.replies);
    this.doorbell = new Doorbell(doorbell, wake);
    this.#requestsMax = memory.requestsMax;
    this.#most = [memory.requestsMax, memory.requestsMax / 2, backgroundMax];
  }

  /** Requests that may be taken on: the rings always have room for what was. Primary work gets half at most, background work a few. */
  room(work: number): number {
    return Math.min(this.#requestsMax - this.#admitted, this.#most[work]! - this.#admittedOf[work]!);
  }

  /** Whether another request may be taken on. */
  admits(work: number): boolean {
    return this.room(work) > 0;
  }

  admit(work: number): void {
    this.#admitted++;
    this.#admittedOf[work]!++;
  }

  /** A request was answered by the worker, or will never be dispatched. */
  settle(work: number): void {
    this.#admitted--;
    this.#admittedOf[work]!--;
  }

  /** Shows the worker what was written, with at most one wake-up. */
  publish(): void {
    if (!this.dirty) return;
    this.dirty = false;
    if (this.requests.publish() > 0) this.doorbell.ring();
  }
}

/** Where a partition's packets go. */
export interface Route {
  port: WorkerPort;
  /** The partition has no space left, as its worker has told a moment ago. */
  isFull(): boolean;
}

/** Main's ends of the rings to `workers`; each worker may have `background` requests of repair at a time. */
export function createPorts(workers: readonly DiskWorkerData[], background: number): WorkerPort[] {
  return workers.map(
    ({ index, disk, root, ports: [network], doorbell }) =>
      new WorkerPort(index, disk, root, network!, doorbell, native.ringDoorbell, background),
  );
}
