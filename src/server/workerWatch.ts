/**
 * The watch over the workers of a node: which disk answers nothing, hangs, or does not get loaded, and what follows from it. Looked at four times a second by `nodeServer.ts`; what is decided is decided in `diskWatch.ts`.
 */
import type { Logger } from 'pino';
import type { DiskTable } from '../shm/tables.js';
import type { DiskAlarms } from './diskAlarms.js';
import { silentAfterLook, watchLife, watchWorker } from './diskWatch.js';
import type { LimitControl } from './limitControl.js';
import type { NetworkThread } from './networkThread.js';
import type { WatchTimes } from './nodeServer.js';
import type { WorkerHandle } from './workerHandle.js';
import type { WorkerPort } from './workerPort.js';

export const WATCH_MS = 250;
/** While disks are loaded, the log says how far they are this often. */
const LOAD_LOG_MS = 3_000;

export interface WatchParts {
  readonly handles: readonly WorkerHandle[];
  readonly network: NetworkThread;
  readonly limits: LimitControl;
  readonly alarms: DiskAlarms;
  readonly log: Logger;
}

export class WorkerWatch {
  readonly #workerTable: DiskTable;
  readonly #parts: WatchParts;
  #times: WatchTimes = { stallMs: 0, loadTimeoutMs: 0, probeTimeoutMs: 0 };

  constructor(workerTable: DiskTable, parts: WatchParts) {
    this.#workerTable = workerTable;
    this.#parts = parts;
  }

  /** A look at all workers; `WATCH_MS` after the last one. */
  look(times: WatchTimes): void {
    this.#times = times;
    for (const handle of this.#parts.handles) {
      const { port, failure, loaded, stopped, index } = handle;
      this.#parts.alarms.look(port.diskPath, this.#workerTable.status(index), {
        readErrors: this.#workerTable.readErrors(index),
        writeErrors: this.#workerTable.writeErrors(index),
      });
      if (failure !== '') continue;
      if (!loaded) this.#watchLoading(handle);
      else if (!stopped) this.#watchLife(port);
      port.silentMs = silentAfterLook(port, this.#parts.limits.waitingAt(port.index), WATCH_MS);
      const verdict = watchWorker(port, this.#times.stallMs);
      if (verdict === 'recovered') {
        port.refusal = '';
        this.#parts.log.warn({ disk: port.diskPath }, 'disk answers again');
      } else if (verdict === 'stalled') {
        port.refusal = `disk ${port.diskPath} does not answer`;
        const connections = this.#parts.network.failPort(port, port.refusal);
        this.#parts.log.error(
          { disk: port.diskPath, connections, inFlight: port.inFlight },
          'disk does not answer',
        );
        this.#parts.alarms.silent(port.diskPath, port.inFlight);
      }
    }
  }

  /** Tells how far a disk is loaded, and leaves it out when nothing comes up any more. */
  #watchLoading(handle: WorkerHandle): void {
    const { port } = handle;
    const { loadTimeoutMs } = this.#times;
    watchLife(port, this.#workerTable.heartbeatMs(port.index), 0, WATCH_MS, loadTimeoutMs);
    const partitions = this.#workerTable.foldersDone(port.index);
    const of = this.#workerTable.foldersFound(port.index);
    if (port.hung) {
      port.hung = false;
      const reason = `no partition of ${port.diskPath} came up for ${loadTimeoutMs} ms while it was loaded (${partitions} of ${of} were)`;
      handle.giveUp(reason);
    } else if (performance.now() >= port.nextLoadLogMs) {
      port.nextLoadLogMs = performance.now() + LOAD_LOG_MS;
      this.#parts.log.info(
        { disk: port.diskPath, worker: handle.member, partitions, of },
        'disk is being loaded',
      );
    }
  }

  /** Notices a disk that hangs although no client asks for it. */
  #watchLife(port: WorkerPort): void {
    const probeMs = this.#workerTable.probeMs(port.index);
    const heartbeatMs = this.#workerTable.heartbeatMs(port.index);
    if (!watchLife(port, heartbeatMs, probeMs, WATCH_MS, this.#times.probeTimeoutMs)) return;
    const context = { disk: port.diskPath, probeMs: Math.round(probeMs), loopSilentMs: port.loopSilentMs };
    if (port.hung) {
      this.#parts.log.error(context, 'disk hangs: it is reported as unavailable');
      this.#parts.alarms.hangs(port.diskPath, { probeMs: context.probeMs, loopSilentMs: port.loopSilentMs });
    } else this.#parts.log.warn(context, 'disk does not hang any more');
  }
}
