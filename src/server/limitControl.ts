/**
 * The limits of the node's disks as main keeps them: what holds for which disk, how it is changed while the node runs, and what the workers show of it.
 *
 * The workers keep the limits (`src/partition/diskLimits.ts`); a change goes to them as a command. Reading never waits for a disk.
 */
import type { Logger } from 'pino';
import { type Limits, UNLIMITED, withChangedLimits } from '../config/diskLimits.js';
import type { Outcome } from '../control/nodeView.js';
import type { DiskLimitsView, LaneView } from '../http/messages.js';
import { COMMAND } from '../partition/messages.js';
import { LimitTable, type LimitTableMemory } from '../shm/limitTable.js';
import { chooseDisks, noSuchDisk } from './diskChoice.js';
import type { DiskState } from './nodeState.js';

export class LimitControl {
  readonly #disks: readonly DiskState[];
  readonly #table: LimitTable;
  readonly #log: Logger;
  /** What holds, or will as soon as the workers read their commands, a disk. */
  readonly #limits: Limits[];

  constructor(limits: Limits, disks: readonly DiskState[], table: LimitTableMemory, log: Logger) {
    this.#disks = disks;
    this.#table = new LimitTable(table);
    this.#log = log;
    this.#limits = disks.map(() => limits);
  }

  /** Requests of the network thread at a worker that wait for its limits, or for something else than its disk. */
  waitingAt(worker: number): number {
    return this.#table.waitingFromNetwork(worker);
  }

  /** Each disk's limits, what waits for them and what has passed. */
  view(): DiskLimitsView[] {
    return this.#disks.map(({ path }, disk) => ({
      path,
      limits: this.#limits[disk]!,
      waiting: this.#sum(disk, (worker) => this.#table.waiting(worker)),
      clients: { read: this.#lane(disk, 0), write: this.#lane(disk, 1) },
      background: { read: this.#lane(disk, 2), write: this.#lane(disk, 3) },
    }));
  }

  /**
   * Changes some limits of one disk, named by its path or its index in the configuration, or of all (the empty text). Nothing is changed unless every value is
   * good. Ends when the workers have taken them over: with a disk that hangs not before it goes on.
   */
  async change(
    diskText: string,
    changes: readonly (readonly [name: string, text: string])[],
  ): Promise<Outcome<DiskLimitsView[]>> {
    const chosen = chooseDisks(this.#disks, diskText);
    if (chosen.length === 0) return refusal(noSuchDisk(diskText));
    if (changes.length === 0) return refusal('no limit is named, as in clients.readOpsPerSecond=100');
    const changed: Limits[] = [];
    for (const disk of chosen) {
      const limits = withChangedLimits(this.#limits[disk]!, changes);
      if (!limits.ok) return refusal(limits.message);
      changed.push(limits.value);
    }
    const failure = await this.#set(chosen, changed);
    if (failure !== null) return { ok: false, message: failure, httpStatus: 500 };
    return { ok: true, value: this.view() };
  }

  /** The same limits for all disks, as in the configuration. */
  setAll(limits: Limits): void {
    const all = chooseDisks(this.#disks, '');
    void this.#set(
      all,
      all.map(() => limits),
    );
  }

  /** No limits any more: the node stops, and what was taken on is to be finished. */
  lift(): void {
    for (const { handles } of this.#disks) {
      for (const handle of handles) void handle.ask(COMMAND.setLimits, UNLIMITED);
    }
  }

  /** Resolves with null, or with why no worker took them. */
  async #set(disks: readonly number[], limits: readonly Limits[]): Promise<string | null> {
    const asked = disks.flatMap((disk, i) => {
      this.#limits[disk] = limits[i]!;
      this.#log.info({ disk: this.#disks[disk]!.path, limits: limits[i] }, 'limits of a disk were changed');
      return this.#disks[disk]!.handles.map((handle) => handle.ask(COMMAND.setLimits, limits[i]!));
    });
    const answers = await Promise.all(asked);
    // A disk that is out of service until a restart does not matter beside those that serve.
    if (answers.some(({ ok }) => ok)) return null;
    for (const answer of answers) if (!answer.ok) return answer.message;
    return null;
  }

  #lane(disk: number, lane: number): LaneView {
    return {
      waiting: this.#sum(disk, (worker) => this.#table.lane(worker, lane).waiting),
      running: this.#sum(disk, (worker) => this.#table.lane(worker, lane).running),
      passedOps: this.#sum(disk, (worker) => this.#table.lane(worker, lane).passedOps),
      passedBytes: this.#sum(disk, (worker) => this.#table.lane(worker, lane).passedBytes),
    };
  }

  #sum(disk: number, value: (worker: number) => number): number {
    return this.#disks[disk]!.handles.reduce((sum, { index }) => sum + value(index), 0);
  }
}

function refusal(message: string): Outcome<never> {
  return { ok: false, message, httpStatus: 400 };
}
