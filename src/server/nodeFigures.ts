/**
 * Main's own figures for the metrics page, put into shared memory four times a second by the watch of `nodeServer.ts`: what is in plain memory here and
 * nowhere else (connections, slab, verdicts on disks); and how late this thread's event loop is. Nobody asks main for them.
 */
import { FIGURE, figureIndexes, figureNames } from '../http/metricsSource.js';
import { Counters, type CountersMemory, createCounters } from '../shm/counters.js';
import { createHistogram, type HistogramMemory, SharedHistogram } from '../shm/histogram.js';
import type { Slab, SlabClass } from '../shm/slab.js';
import { LOSS } from './followerLink.js';
import type { WorkerPort } from './workerPort.js';

/** The event loop is looked at this often. (Node's own monitor misses a pause that begins right after it was reset, and cannot be read without.) */
const LOOK_MS = 20;

/** What is told of packets that go to followers (`forwarding.ts`). */
export interface ForwardingFigures {
  readonly open: number;
  readonly links: { readonly open: number; readonly losses: readonly number[]; readonly refusals: number };
}

/** What is published at one time. */
export interface NodeFigureValues {
  connections: number;
  inFlight: number;
  abandoned: number;
  alarms: number;
  forwarding: ForwardingFigures;
  slab: Slab;
  ports: readonly WorkerPort[];
  diskStatus(disk: number): number;
}

export class NodeFigures {
  readonly memory: CountersMemory;
  readonly loopLag: HistogramMemory = createHistogram();
  readonly #classes: number;
  readonly #disks: number;
  readonly #figures: Counters;
  readonly #lag = new SharedHistogram(this.loopLag);
  readonly #looks: NodeJS.Timeout;
  #lookedMs = performance.now();

  constructor(classes: readonly SlabClass[], disks: number, workers: number) {
    this.#classes = classes.length;
    this.#disks = disks;
    this.memory = createCounters(figureNames(classes.length, disks, workers));
    this.#figures = new Counters(this.memory);
    this.#looks = setInterval(() => this.#look(), LOOK_MS);
    this.#looks.unref();
  }

  /** Writes all figures. */
  publish(values: NodeFigureValues): void {
    const figures = this.#figures;
    const at = figureIndexes(this.#classes, this.#disks);
    figures.set(FIGURE.connections, values.connections);
    figures.set(FIGURE.inFlight, values.inFlight);
    figures.set(FIGURE.abandoned, values.abandoned);
    figures.set(FIGURE.alarms, values.alarms);
    const { open, links } = values.forwarding;
    figures.set(FIGURE.replicating, open);
    figures.set(FIGURE.followerLinks, links.open);
    figures.set(FIGURE.followerDial, links.losses[LOSS.dial]!);
    figures.set(FIGURE.followerClosed, links.losses[LOSS.closed]!);
    figures.set(FIGURE.followerTimeout, links.losses[LOSS.timeout]!);
    figures.set(FIGURE.followerMismatch, links.losses[LOSS.mismatch]!);
    figures.set(FIGURE.followerError, links.refusals);
    for (let index = 0; index < this.#classes; index++) {
      figures.set(at.slabUsed(index), values.slab.classUsedSlots(index));
    }
    for (let disk = 0; disk < this.#disks; disk++) figures.set(at.diskStatus(disk), values.diskStatus(disk));
    for (const { index, hung, refusal } of values.ports) {
      figures.set(at.hung(index), hung ? 1 : 0);
      figures.set(at.refusing(index), refusal === '' ? 0 : 1);
    }
  }

  #look(): void {
    const nowMs = performance.now();
    this.#lag.record((nowMs - this.#lookedMs - LOOK_MS) * 1000);
    this.#lookedMs = nowMs;
  }

  close(): void {
    clearInterval(this.#looks);
  }
}
