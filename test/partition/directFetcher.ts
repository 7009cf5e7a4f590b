/**
 * Fetches what is missing of one partition without threads and sockets between: asks the plan of repair, hands its tasks to a transport of the test's, and gives what comes back to `RaftApply`. A stand-in for
 * `src/repair/missingPass.ts` where everything is to happen in one thread and simulated time.
 */
import { viewExtent } from '../../src/partition/applyDecision.js';
import type { RaftApply } from '../../src/partition/raftApply.js';
import { FetchPlan, type FetchSource, type FetchTask } from '../../src/repair/missingPlan.js';

/** Pieces of one partition on their way at a time. */
const TASKS_AT_A_TIME = 4;

export type FetchAnswer =
  /** All bytes of the task; `appliedIndex`: what the source had applied before it read them. */
  | { kind: 'bytes'; bytes: Uint8Array; appliedIndex: number }
  /** The source has no such extent. */
  | { kind: 'unknown' }
  | { kind: 'failed' };

/** Asks other replicas. */
export interface FetchTransport {
  /** Calls `done` once, later. */
  fetch(task: FetchTask, done: (answer: FetchAnswer) => void): void;
}

export class DirectFetcher {
  private readonly apply: RaftApply;
  private readonly transport: FetchTransport;
  private readonly plan: FetchPlan;
  private readonly sources: () => readonly FetchSource[];
  private running = 0;

  /** @param sources all other members with what they had applied when they were asked last. */
  constructor(apply: RaftApply, transport: FetchTransport, sources: () => readonly FetchSource[]) {
    this.apply = apply;
    this.transport = transport;
    this.sources = sources;
    this.plan = new FetchPlan(apply.missing.ranges);
  }

  /** Now and then: begins again with whoever has failed. */
  tick(): void {
    this.plan.tick();
    this.begin();
  }

  private begin(): void {
    const endOf = (extentId: number): number => {
      const { state, sizeBytes } = viewExtent(this.apply.store, extentId);
      return state === 'deleted' ? -1 : sizeBytes;
    };
    while (this.running < TASKS_AT_A_TIME && !this.apply.isHalted) {
      const task = this.plan.next(this.sources(), endOf);
      if (task === null) return;
      this.running += 1;
      this.transport.fetch(task, (answer) => this.answered(task, answer));
    }
  }

  private answered(task: FetchTask, answer: FetchAnswer): void {
    if (answer.kind !== 'bytes') return this.ended(task, answer.kind);
    const { extentId, from } = task;
    const { bytes, appliedIndex } = answer;
    this.apply.fill({ extentId, from, bytes, appliedIndex }, (writtenBytes) => {
      this.ended(task, writtenBytes > 0 ? 'copied' : 'failed');
    });
  }

  private ended(task: FetchTask, outcome: 'copied' | 'unknown' | 'failed'): void {
    this.running -= 1;
    this.plan.ended(task, outcome);
    this.begin();
  }
}
