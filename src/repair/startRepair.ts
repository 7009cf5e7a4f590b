/**
 * Main's side of the repair thread: starts it, hands over what comes in for it, gives back its answers, stops it. Used by the node's start.
 *
 * A thread that dies takes repair with it and nothing else: data is served on, notifications are answered with an error, and an alarm is raised. It is not started again, because its rings and
 * slots may still be in the hands of workers; a restart of the node brings repair back.
 */
import { Worker } from 'node:worker_threads';
import type { BlockPlace } from '../partition/messages.js';
import type {
  RepairCommand,
  RepairEvent,
  RepairPartition,
  RepairSettings,
  RepairThreadData,
  RepairView,
} from './messages.js';

/** How long the thread may take to let go of the workers. */
const STOP_MS = 3_000;
/** How long a view may take: the thread's turns are short. */
const VIEW_MS = 5_000;

export interface RepairOptions extends RepairThreadData {
  /** A line of the thread's. Lines of one key are to be bounded together. */
  log(
    level: 'debug' | 'info' | 'warn',
    key: string,
    message: string,
    fields: Readonly<Record<string, string | number>>,
  ): void;
  /** The thread has died, or tells something for an operator. */
  alarm(text: string): void;
  /** The module that runs as the thread; default: the real one. */
  entry?: URL;
}

/** The running thread. */
export class RepairThread {
  readonly #options: RepairOptions;
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #tasks = new Map<number, (failure: string | null) => void>();
  readonly #views = new Map<number, (view: RepairView | string) => void>();
  #lastNumber = 0;
  /** Why it takes nothing any more; empty: it does. */
  #refusal = '';
  #stopped: () => void = () => {};
  #stopping: Promise<void> | null = null;

  constructor(options: RepairOptions) {
    const { memory, counters, diskPaths, address, settings } = options;
    this.#options = options;
    this.#showHealing(settings.enabled);
    const data: RepairThreadData = { memory, counters, diskPaths, address, settings };
    this.#worker = new Worker(options.entry ?? new URL('./thread.js', import.meta.url), {
      workerData: data,
      name: 'repair',
    });
    this.#worker.on('message', (event: RepairEvent) => this.#take(event));
    this.#worker.on('error', (error) =>
      this.#died(error instanceof Error ? (error.stack ?? error.message) : String(error)),
    );
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', (code) => {
        this.#died(`thread ended with code ${code}`);
        resolve();
      });
    });
  }

  /** A partition is in service. */
  attached(partition: RepairPartition): void {
    this.#post({ type: 'attached', partition });
  }

  detached(id: number): void {
    this.#post({ type: 'detached', id });
  }

  /** The master has told the hosts of a partition. */
  hosts(id: number, hosts: readonly string[]): void {
    this.#post({ type: 'hosts', id, hosts });
  }

  /** Reads wait for a block to be healed. */
  damaged(place: BlockPlace): void {
    this.#post({ type: 'damaged', place });
  }

  workerGone(index: number, reason: string): void {
    this.#post({ type: 'workerGone', index, reason });
  }

  change(settings: RepairSettings): void {
    if (this.#refusal === '') this.#showHealing(settings.enabled);
    this.#post({ type: 'settings', settings });
  }

  /** Hands over the body of a notification, which is the thread's from now on. Resolves with null when its work is done, with the message of an error otherwise; always. */
  task(id: number, body: Uint8Array): Promise<string | null> {
    if (this.#refusal !== '') return Promise.resolve(this.#refusal);
    const number = ++this.#lastNumber;
    return new Promise((resolve) => {
      this.#tasks.set(number, resolve);
      const whole = body.byteOffset === 0 && body.byteLength === body.buffer.byteLength;
      const own = whole ? body : body.slice();
      this.#worker.postMessage({ type: 'task', number, id, body: own }, [own.buffer as ArrayBuffer]);
    });
  }

  /** What `/repair` shows, of one partition or of all; a text: why there is nothing. */
  view(id: number | null): Promise<RepairView | string> {
    if (this.#refusal !== '') return Promise.resolve(this.#refusal);
    const number = ++this.#lastNumber;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#views.get(number)?.('the repair thread does not answer'), VIEW_MS);
      this.#views.set(number, (view) => {
        clearTimeout(timer);
        this.#views.delete(number);
        resolve(view);
      });
      this.#post({ type: 'view', number, id });
    });
  }

  /** Answers every notification, and ends the thread. Nothing is asked of workers afterwards. May be called twice. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    if (this.#refusal !== '') return this.#exited;
    const stopped = new Promise<void>((resolve) => {
      this.#stopped = resolve;
    });
    this.#post({ type: 'stop' });
    this.#refuseAll('the node is stopping');
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), STOP_MS);
    });
    const outcome = await Promise.race([stopped.then(() => this.#exited), this.#exited, late]);
    clearTimeout(timer);
    if (outcome !== 'late') return;
    this.#options.log('warn', 'stop', 'the repair thread does not end', {});
    await this.#worker.terminate();
  }

  #take(event: RepairEvent): void {
    switch (event.type) {
      case 'answer': {
        const resolve = this.#tasks.get(event.number);
        this.#tasks.delete(event.number);
        return resolve?.(event.failure);
      }
      case 'log':
        return this.#options.log(event.level, event.key, event.message, event.fields);
      case 'view':
        return this.#views.get(event.number)?.(event.view);
      case 'alarm':
        return this.#options.alarm(event.text);
      case 'stopped':
        return this.#stopped();
    }
  }

  #died(reason: string): void {
    if (this.#refusal !== '') return;
    this.#refuseAll('repair is not served: its thread has ended');
    this.#options.alarm(`the repair thread died, replicas are not repaired until a restart: ${reason}`);
  }

  #refuseAll(refusal: string): void {
    this.#refusal = refusal;
    this.#showHealing(false);
    for (const resolve of this.#tasks.values()) resolve(refusal);
    this.#tasks.clear();
    for (const resolve of [...this.#views.values()]) resolve(refusal);
  }

  /** Tells the workers whether reads may wait for heals. */
  #showHealing(heals: boolean): void {
    Atomics.store(this.#options.memory.healing, 0, heals ? 1 : 0);
  }

  #post(command: RepairCommand): void {
    if (this.#refusal === '') this.#worker.postMessage(command);
  }
}
