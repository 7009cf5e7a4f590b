/**
 * Readers of one group that want to know whether this node leads, before they read what is applied here. Pure.
 *
 * Readers of one turn share a round. A reader ends once: with null when a majority has said, after it came, that this node leads, and all that was committed then is
 * applied; else with a text, and may ask the leader that there is by then.
 */
import type { ReadRound } from './readRounds.js';
import { NOT_LEADER } from './waiters.js';

/** Called once; null: it may read now, in this very call. */
export type ReaderDone = (error: string | null) => void;

interface Asked extends ReadRound {
  term: number;
  readers: ReaderDone[];
}

/** What is looked at in the core. */
export interface Leadership {
  readonly term: number;
  readonly isLeader: boolean;
  readonly confirmedRound: number;
  readonly log: { readonly applied: number };
  askWhetherLeading(): ReadRound | null;
}

export class Readers {
  private arrived: ReaderDone[] = [];
  /** By round. */
  private asked: Asked[] = [];

  get count(): number {
    return this.asked.reduce((sum, { readers }) => sum + readers.length, this.arrived.length);
  }

  add(done: ReaderDone): void {
    this.arrived.push(done);
  }

  /** Once a turn: asks for those that came, and ends those whose question is answered. */
  turn(core: Leadership): void {
    if (this.arrived.length > 0) this.ask(core);
    if (this.asked.length > 0) this.settle(core);
  }

  failAll(message: string): void {
    const readers = [...this.asked.flatMap((asked) => asked.readers), ...this.arrived];
    this.asked = [];
    this.arrived = [];
    for (const done of readers) done(message);
  }

  private ask(core: Leadership): void {
    const readers = this.arrived;
    this.arrived = [];
    const round = core.askWhetherLeading();
    if (round === null) for (const done of readers) done(NOT_LEADER);
    else this.asked.push({ ...round, term: core.term, readers });
  }

  private settle(core: Leadership): void {
    const { term, isLeader, confirmedRound, log } = core;
    const settled = this.asked.filter(
      (asked) =>
        !isLeader || asked.term !== term || (asked.round <= confirmedRound && asked.index <= log.applied),
    );
    if (settled.length === 0) return;
    this.asked = this.asked.filter((asked) => !settled.includes(asked));
    for (const asked of settled) {
      const error = isLeader && asked.term === term ? null : NOT_LEADER;
      for (const done of asked.readers) done(error);
    }
  }
}
