/**
 * The committed entries of one partition that have not ended: they end in index order, whatever the order in which they were carried out, and the applied index moves
 * with them. Pure.
 */
import assert from 'node:assert';
import type { RandWriteCommand } from '../protocol/randWrite.js';
import type { ApplyOutcome } from '../raft/types.js';
import type { ApplyLane } from './applyTurns.js';

export type ApplyDone = (outcome: ApplyOutcome) => void;

/** What is to be carried out: a command, or (`act`) something that waits for all before it and keeps all behind it waiting. */
export interface Applying {
  readonly index: number;
  readonly command: RandWriteCommand | null;
  readonly act: ((item: Applying) => void) | null;
  readonly done: ApplyDone;
  phase: 'waiting' | 'running' | 'ended';
  /** Bytes of the command that were written, and the lane of those that are in the store's hands. */
  written: number;
  lane: ApplyLane | null;
  error: string | null;
}

export class ApplyQueue {
  /** Index of the last entry that has ended. */
  appliedIndex: number;
  /** Nothing is applied any more. */
  haltReason: string | null = null;
  /** The oldest first. */
  private readonly items: Applying[] = [];
  private settling = false;

  constructor(appliedIndex: number) {
    this.appliedIndex = appliedIndex;
  }

  get length(): number {
    return this.items.length;
  }

  /** Index of the newest entry that has come. */
  get lastIndex(): number {
    return this.items.at(-1)?.index ?? this.appliedIndex;
  }

  /** The oldest for 0. */
  at(place: number): Applying | undefined {
    return this.items[place];
  }

  push(item: Pick<Applying, 'index' | 'done'> & Partial<Applying>): void {
    assert(item.index > this.lastIndex, 'entries come in index order');
    this.items.push({
      index: item.index,
      command: item.command ?? null,
      act: item.act ?? null,
      done: item.done,
      phase: item.phase ?? 'waiting',
      written: 0,
      lane: null,
      error: item.error ?? null,
    });
    this.settle();
  }

  end(item: Applying, error: string | null): void {
    item.phase = 'ended';
    item.error = error;
    this.settle();
  }

  halt(reason: string): void {
    this.haltReason ??= reason;
    this.settle();
  }

  /** Tells of the ends that can be told. After a halt only what is in the store's hands is waited for. */
  settle(): void {
    // Who is told may bring the next entry.
    if (this.settling) return;
    this.settling = true;
    for (let item = this.items[0]; item !== undefined; item = this.items[0]) {
      const halted = this.haltReason !== null;
      if (halted ? item.lane !== null : item.phase !== 'ended') break;
      this.items.shift();
      if (!halted) this.appliedIndex = item.index;
      const { error, done } = item;
      done(halted ? { kind: 'stopped', reason: this.haltReason! } : { kind: 'applied', error });
    }
    this.settling = false;
  }
}
