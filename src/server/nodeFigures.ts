/**
 * Main's own figures for the metrics page, put into shared memory four times a second by the watch of `nodeServer.ts`: what is in plain memory here and
 * nowhere else (connections, slab, verdicts on disks), and how late this thread's event loop is. Nobody asks main for them.
 */
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { FIGURE, figureIndexes, figureNames } from '../http/metricsSource.js';
import { Counters, type CountersMemory, createCounters } from '../shm/counters.js';
import { createHistogram, type HistogramMemory, SharedHistogram } from '../shm/histogram.js';
import type { Slab, SlabClass } from '../shm/slab.js';
import type { WorkerPort } from './workerPort.js';

/** The loop is looked at this often; the monitor counts this time in. */
const LAG_RESOLUTION_MS = 20;

/** What is published at one time. */
export interface NodeFigureValues {
  connections: number;
  inFlight: number;
  abandoned: number;
  alarms: number;
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
  readonly #monitor: IntervalHistogram = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });

  constructor(classes: readonly SlabClass[], disks: number, workers: number) {
    this.#classes = classes.length;
    this.#disks = disks;
    this.memory = createCounters(figureNames(classes.length, disks, workers));
    this.#figures = new Counters(this.memory);
    this.#monitor.enable();
  }

  /** Writes all figures, and the worst lag since the last call. */
  publish(values: NodeFigureValues): void {
    const figures = this.#figures;
    const at = figureIndexes(this.#classes, this.#disks);
    figures.set(FIGURE.connections, values.connections);
    figures.set(FIGURE.inFlight, values.inFlight);
    figures.set(FIGURE.abandoned, values.abandoned);
    figures.set(FIGURE.alarms, values.alarms);
    for (let index = 0; index < this.#classes; index++) {
      figures.set(at.slabUsed(index), values.slab.classUsedSlots(index));
    }
    for (let disk = 0; disk < this.#disks; disk++) figures.set(at.diskStatus(disk), values.diskStatus(disk));
    for (const { index, hung, refusal } of values.ports) {
      figures.set(at.hung(index), hung ? 1 : 0);
      figures.set(at.refusing(index), refusal === '' ? 0 : 1);
    }
    if (this.#monitor.count > 0) this.#lag.record(this.#monitor.max / 1000 - LAG_RESOLUTION_MS * 1000);
    this.#monitor.reset();
  }

  close(): void {
    this.#monitor.disable();
  }
}
