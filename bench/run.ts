/**
 * One run against one node, seen from the main thread: starts the worker threads, takes them through the phases, samples their counters, and
 * puts the result together. `load.ts` and `compare.ts` call it.
 */
import { Worker } from 'node:worker_threads';
import { formatAddress } from './address.js';
import { FailureLog } from './failures.js';
import { type LoadOptions, onlyCreates, type Target } from './flags.js';
import { type HostList, hostsOf } from './hostLists.js';
import { askHostLists } from './masterQuery.js';
import { type ProcessUsage, readUsage } from './processUsage.js';
import { firstFreeIds } from './query.js';
import { makeResult, type ReplicaResult, type RunResult, type ServerUsage } from './result.js';
import { Sampler } from './sampler.js';
import { STATS_BYTES, Stats } from './stats.js';
import { divide, threadCount } from './topology.js';
import type {
  ConnectionPlan,
  FromWorker,
  Phase,
  RunSettings,
  ToWorker,
  WorkerSpec,
} from './workerMessages.js';

/** What a run tells while it goes on. */
export interface RunObserver {
  /** A phase begins: `prepare` fills what will be read. */
  phase(phase: Phase | 'warmup'): void;
  /** Every quarter of a second or so during `prepare`, `run` and `verify`. */
  progress(view: RunProgress): void;
}

export interface RunProgress {
  /** 0..1 of the measured run; null where nobody knows. */
  readonly share: number | null;
  /** Rates of the last interval. */
  readonly opsPerSecond: number;
  readonly bytesPerSecond: number;
  readonly errors: number;
}

type PhaseDone = Extract<FromWorker, { type: 'phaseDone' }>;

/** One run. `start` once; `stop` ends it early, with a result. */
export class LoadRun {
  readonly #options: LoadOptions;
  readonly #target: Target;
  readonly #observer: RunObserver;
  /** Known once the master was asked, where one is. */
  #lists: readonly HostList[] = [];
  #parts: readonly ConnectionPlan[][] = [];
  readonly #stats: readonly Stats[];
  readonly #buffers: readonly SharedArrayBuffer[];
  readonly #sampler: Sampler;
  #workers: Worker[] = [];
  #stopped = false;

  constructor(options: LoadOptions, target: Target, observer: RunObserver) {
    this.#options = options;
    this.#target = target;
    this.#observer = observer;
    this.#buffers = Array.from({ length: threadCount(options) }, () => new SharedArrayBuffer(STATS_BYTES));
    this.#stats = this.#buffers.map((buffer) => new Stats(buffer));
    this.#sampler = new Sampler(this.#stats, options.count === null ? options.seconds : null);
  }

  /** Ends the measured run now. */
  stop(): void {
    this.#stopped = true;
    for (const worker of this.#workers) worker.postMessage({ stop: true } satisfies ToWorker);
  }

  /** Runs to the end. Operating errors (node away, refusals) are in the result; a broken worker throws. */
  async start(): Promise<RunResult> {
    const log = new FailureLog();
    let settings: RunSettings;
    try {
      this.#lists = await this.#hostLists();
      this.#parts = divide(this.#options, this.#lists);
      settings = await this.#makeSettings();
    } catch (error) {
      log.failed('connect', (error as Error).message, 1);
      return this.#result({ log, done: [], server: null, generatorCpuSeconds: 0, verified: false });
    }
    try {
      this.#workers = this.#parts.map((connections, index) =>
        this.#startWorker(settings, connections, index),
      );
      return await this.#phases(log);
    } finally {
      await Promise.all(this.#workers.map((worker) => worker.terminate()));
      this.#workers = [];
    }
  }

  async #phases(log: FailureLog): Promise<RunResult> {
    const nothing = { server: null, generatorCpuSeconds: 0, verified: false };
    for (const phase of ['connect', 'prepare'] as const) {
      const done = await this.#phase(phase);
      if (done.some((part) => part.failures.length > 0)) {
        collect(log, done);
        return this.#result({ log, done: [], ...nothing });
      }
    }
    const { done, server, generatorCpuSeconds } = await this.#measure();
    const last = this.#options.verify && !onlyCreates(this.#options.mix) ? await this.#phase('verify') : null;
    collect(log, last ?? done);
    return this.#result({ log, done, server, generatorCpuSeconds, verified: last !== null }, last ?? []);
  }

  /** The measured part, with CPU and memory taken around it. */
  async #measure(): Promise<{ done: PhaseDone[]; server: ServerUsage | null; generatorCpuSeconds: number }> {
    const { pids } = this.#target;
    let before: ProcessUsage | null = null;
    let cpuBefore = process.cpuUsage();
    let rssPeakBytes = 0;
    const begun = this.#eachWorker('measuring').then(() => {
      before = readUsage(pids);
      cpuBefore = process.cpuUsage();
      this.#sampler.begin(performance.now());
      this.#observer.phase('run');
    });
    if (this.#options.warmupSeconds > 0) this.#observer.phase('warmup');
    const timer = setInterval(() => {
      if (!this.#sampler.begun) return;
      const view = this.#sampler.sample(performance.now());
      rssPeakBytes = Math.max(rssPeakBytes, readUsage(pids)?.rssBytes ?? 0);
      if (view !== null) this.#observer.progress({ ...view, share: this.#share() });
    }, this.#sampler.intervalMs);
    const done = await this.#phase('run', false);
    clearInterval(timer);
    await begun;
    this.#sampler.sample(performance.now());
    const cpu = process.cpuUsage(cpuBefore);
    const after = readUsage(pids);
    const generatorCpuSeconds = (cpu.user + cpu.system) / 1e6;
    return { done, generatorCpuSeconds, server: serverUsage(before, after, rssPeakBytes) };
  }

  #share(): number {
    const { count, seconds } = this.#options;
    const share = count === null ? this.#sampler.elapsedMs / 1000 / seconds : this.#sampler.ops / count;
    return Math.min(1, share);
  }

  async #phase(phase: Phase, announced = true): Promise<PhaseDone[]> {
    if (announced) this.#observer.phase(phase);
    const ended = this.#eachWorker('phaseDone');
    for (const worker of this.#workers) worker.postMessage({ phase } satisfies ToWorker);
    if (phase === 'run' && this.#stopped) this.stop();
    return ended as Promise<PhaseDone[]>;
  }

  /** Waits until every worker has sent a message of this type. */
  #eachWorker(type: FromWorker['type']): Promise<FromWorker[]> {
    return Promise.all(
      this.#workers.map(
        (worker) =>
          new Promise<FromWorker>((resolve, reject) => {
            const onMessage = (message: FromWorker) => {
              if (message.type !== type) return;
              worker.off('message', onMessage);
              worker.off('error', reject);
              resolve(message);
            };
            worker.on('message', onMessage);
            worker.on('error', reject);
          }),
      ),
    );
  }

  #startWorker(settings: RunSettings, connections: readonly ConnectionPlan[], index: number): Worker {
    const { count, conns } = this.#options;
    // The count is divided by connections, so that no worker's part is more than its connections' parts rounded up.
    const before = this.#parts.slice(0, index).reduce((sum, part) => sum + part.length, 0);
    const upTo = (connectionsSoFar: number) => Math.floor(((count ?? 0) * connectionsSoFar) / conns);
    const share = upTo(before + connections.length) - upTo(before);
    const spec: WorkerSpec = {
      settings,
      connections,
      count: count === null ? Number.POSITIVE_INFINITY : share,
      stats: this.#buffers[index]!,
    };
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: spec });
    worker.setMaxListeners(0);
    return worker;
  }

  async #hostLists(): Promise<readonly HostList[]> {
    const { volume, partitions, followers, timeoutMs } = this.#options;
    const { address } = this.#target;
    if (volume !== null) return askHostLists(address, volume, partitions, timeoutMs);
    return [{ hosts: [formatAddress(address), ...followers], partitions, leaders: partitions.map(() => 0) }];
  }

  async #makeSettings(): Promise<RunSettings> {
    const options = this.#options;
    return {
      lists: this.#lists,
      replicated: options.volume !== null,
      keepGoing: options.keepGoing,
      ids:
        options.ids === 'server'
          ? { by: 'server' }
          : {
              by: 'self',
              first: await firstFreeIds(this.#target.address, options.partitions, options.timeoutMs),
              stride: options.conns,
            },
      sizeBytes: options.sizeBytes,
      depth: options.depth,
      mix: options.mix,
      extentBytes: options.extentBytes,
      fillBytes: Math.min(options.fillBytes, options.extentBytes),
      piecesEach: Math.ceil(options.prepare / options.conns),
      pieceBytes: options.pieceBytes,
      randomReads: options.randomReads,
      seed: options.seed,
      runNumber: Math.floor(Math.random() * 0x1_0000_0000),
      verify: options.verify,
      warmupMs: options.warmupSeconds * 1000,
      runMs: options.count === null ? options.seconds * 1000 : null,
      timeoutMs: options.timeoutMs,
    };
  }

  #result(
    parts: {
      log: FailureLog;
      done: readonly PhaseDone[];
      server: ServerUsage | null;
      generatorCpuSeconds: number;
      verified: boolean;
    },
    verified: readonly PhaseDone[] = [],
  ): RunResult {
    const sumOf = (figure: 'unsent' | 'redirections' | 'redirectedPackets'): number =>
      parts.done.reduce((sum, part) => sum + part[figure], 0);
    return makeResult({
      target: this.#target,
      stats: this.#stats.map((stats, index) => ({ stats, elapsedMs: parts.done[index]?.elapsedMs ?? 0 })),
      timeline: this.#sampler.timeline,
      threads: this.#stats.length,
      unsent: sumOf('unsent'),
      redirections: sumOf('redirections'),
      redirectedPackets: sumOf('redirectedPackets'),
      replicas: this.#replicas(verified, parts.verified),
      ...parts,
    });
  }

  #replicas(verified: readonly PhaseDone[], wasVerified: boolean): ReplicaResult[] {
    return hostsOf(this.#lists).map((address) => {
      const primaries = this.#parts.flat().filter(({ list }) => this.#lists[list]!.hosts[0] === address);
      const found = verified.flatMap((part) => part.verified).filter(({ host }) => host === address);
      const sum = (figure: 'bytes' | 'mismatches'): number =>
        found.reduce((total, one) => total + one[figure], 0);
      return {
        address,
        primaryOf: primaries.length,
        verifiedBytes: wasVerified ? sum('bytes') : null,
        mismatches: sum('mismatches'),
      };
    });
  }
}

function collect(log: FailureLog, done: readonly PhaseDone[]): void {
  for (const part of done) log.merge(part.failures, part.mismatches, part.mismatchTexts);
}

function serverUsage(
  before: ProcessUsage | null,
  after: ProcessUsage | null,
  rssPeakBytes: number,
): ServerUsage | null {
  if (before === null || after === null) return null;
  return {
    cpuSeconds: after.cpuSeconds - before.cpuSeconds,
    rssBeforeBytes: before.rssBytes,
    rssAfterBytes: after.rssBytes,
    rssPeakBytes: Math.max(rssPeakBytes, before.rssBytes, after.rssBytes),
  };
}
