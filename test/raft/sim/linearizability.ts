/**
 * Whether what clients saw of registers can be explained by one order in which each operation took effect at some moment between its call and its answer
 * (Herlihy and Wing). A write without an answer may have taken effect at any later moment, or never.
 *
 * Registers are independent of each other, so each is searched alone: depth first through the orders that respect time, as Wing and Gong do, never twice from
 * the same set of done operations with the same value. Four observations keep the search small, and none of them changes the verdict:
 * - A read of the present value that may come next may come at once: it changes nothing.
 * - When no read may come next, a write must; then the present value is gone, and readers that still wait for it need another write of it.
 * - A write with which all readers that wait for its value may follow may come next at once, with them: whatever comes later is not touched. So where each value
 *   is written once, as our clients do, nothing has to be tried twice.
 * - An unanswered write that nobody has seen is left out. One whose value comes from nowhere else, and which was seen, happened before the first reader had its answer.
 *
 * Nothing here knows raft, networks or time: moments are numbers that only grow.
 */
import assert from 'node:assert';

/** What one client asked of one register, and what it was told. */
export interface Operation {
  register: number;
  kind: 'read' | 'write';
  /** Written, or read. */
  value: number;
  /** Moments of call and answer; a write that was never answered ends at `Infinity`. All moments of a history differ. */
  called: number;
  answered: number;
}

/** States that one register's search may visit: far above what histories of some hundred operations by some clients need, far below what hangs. */
export const SEARCH_STATES_MAX = 1_000_000;

/** Collects the operations of a run as they happen. Moments are counted here, so all of them differ. */
export class History {
  readonly #operations: (Operation & { known: boolean })[] = [];
  #moment = 0;

  /** A client calls; returns the number of the operation. */
  call(register: number, kind: 'read' | 'write', value = 0): number {
    const called = this.#tick();
    this.#operations.push({ register, kind, value, called, answered: Infinity, known: kind === 'write' });
    return this.#operations.length - 1;
  }

  /** It was carried out; `value` is what a read returned. */
  answer(operation: number, value?: number): void {
    const entry = this.#open(operation);
    entry.answered = this.#tick();
    entry.known = true;
    assert((entry.kind === 'read') === (value !== undefined), 'reads return a value, writes do not');
    if (value !== undefined) entry.value = value;
  }

  /** It was certainly not carried out, and never will be. Without this or an answer the outcome of a write is unknown. */
  refuse(operation: number): void {
    const entry = this.#open(operation);
    entry.answered = this.#tick();
    entry.known = false;
  }

  /** What has to be explained: reads with an answer, and writes that may have happened. */
  operations(): Operation[] {
    return this.#operations.filter(({ known }) => known);
  }

  #open(operation: number): Operation & { known: boolean } {
    const entry = this.#operations[operation];
    assert(entry !== undefined && entry.answered === Infinity, 'an operation ends once');
    return entry;
  }

  #tick(): number {
    this.#moment += 1;
    return this.#moment;
  }
}

/** Null when all registers of the history are linearizable, each beginning with `initial`; else what cannot be explained. */
export function checkHistory(operations: readonly Operation[], initial: number): string | null {
  const byRegister = new Map<number, Operation[]>();
  for (const operation of operations) {
    const list = byRegister.get(operation.register);
    if (list === undefined) byRegister.set(operation.register, [operation]);
    else list.push(operation);
  }
  for (const [register, list] of byRegister) {
    const complaint = checkRegister(list, initial);
    if (complaint !== null) return `register ${register}: ${complaint}`;
  }
  return null;
}

/** The same for operations of one register. Throws when the search grows beyond `SEARCH_STATES_MAX`. */
export function checkRegister(operations: readonly Operation[], initial: number): string | null {
  const stray = strayRead(operations, initial);
  if (stray !== undefined) return `${told(stray)}, which nobody had written`;
  const bounded = boundUnanswered(operations, initial);
  bounded.sort((a, b) => a.called - b.called);
  return new Search(bounded, initial).run();
}

/** A read of a value that no write had been called with before the read's answer. */
function strayRead(operations: readonly Operation[], initial: number): Operation | undefined {
  const firstCall = new Map<number, number>([[initial, -Infinity]]);
  for (const { kind, value, called } of operations)
    if (kind === 'write') firstCall.set(value, Math.min(firstCall.get(value) ?? Infinity, called));
  return operations.find(
    ({ kind, value, answered }) => kind === 'read' && (firstCall.get(value) ?? Infinity) > answered,
  );
}

/** Leaves out unanswered writes that nobody has seen, and gives those that were seen their latest moment where that is known. */
function boundUnanswered(operations: readonly Operation[], initial: number): Operation[] {
  const seenBy = new Map<number, number>();
  const writers = new Map<number, number>([[initial, 1]]);
  for (const { kind, value, answered } of operations) {
    if (kind === 'read') seenBy.set(value, Math.min(seenBy.get(value) ?? Infinity, answered));
    else writers.set(value, (writers.get(value) ?? 0) + 1);
  }
  return operations.flatMap((operation) => {
    const { kind, value, answered } = operation;
    if (kind === 'read' || answered !== Infinity) return [operation];
    const seen = seenBy.get(value);
    if (seen === undefined) return [];
    return [writers.get(value) === 1 ? { ...operation, answered: seen } : operation];
  });
}

function told({ kind, value, called, answered }: Operation): string {
  const end = answered === Infinity ? 'unanswered' : `answered at ${answered}`;
  return `a ${kind} of ${value}, called at ${called}, ${end}`;
}

/** A place where the search can turn: what was done, the value then, and the writes that have not been tried. */
interface Turn {
  /** Length of the order so far. */
  length: number;
  value: number;
  untried: number[];
}

/** How many operations that are not done read and write a value. */
interface Waiting {
  reads: number;
  writes: number;
}

/** The search of one register. Operations are numbered by the moment of their call. */
class Search {
  readonly #operations: readonly Operation[];
  readonly #done: Uint8Array;
  /** The order that is being tried. */
  readonly #order: number[] = [];
  readonly #waiting = new Map<number, Waiting>();
  readonly #visited = new Set<string>();
  #value: number;
  /** Operations below are all done. */
  #low = 0;
  #readsWaiting = 0;
  /** The longest order that was found, and what kept it from going on. */
  #longest = -1;
  #stuckAt = '';

  constructor(operations: readonly Operation[], initial: number) {
    this.#operations = operations;
    this.#done = new Uint8Array(operations.length);
    this.#value = initial;
    for (const operation of operations) this.#count(operation, 1);
  }

  /** Null when an order was found; else a complaint. */
  run(): string | null {
    const turns: Turn[] = [];
    for (;;) {
      this.#takeReads();
      // Without a read that waits, the rest can be ordered by the moments of their calls.
      if (this.#readsWaiting === 0) return null;
      const untried = this.#choices();
      if (untried.length === 1) {
        this.#take(untried[0]!);
        continue;
      }
      if (untried.length > 0 && this.#isNew())
        turns.push({ length: this.#order.length, value: this.#value, untried });
      while (turns.length > 0 && turns.at(-1)!.untried.length === 0) turns.pop();
      const turn = turns.at(-1);
      if (turn === undefined) return this.#stuckAt;
      this.#backTo(turn.length, turn.value);
      this.#take(turn.untried.pop()!);
    }
  }

  /** Takes every read of the present value that may come next. */
  #takeReads(): void {
    while (this.#waitingFor(this.#value).reads > 0) {
      const reads = this.#mayComeNext().filter((i) => {
        const { kind, value } = this.#operations[i]!;
        return kind === 'read' && value === this.#value;
      });
      if (reads.length === 0) return;
      for (const i of reads) this.#take(i);
    }
  }

  /** Writes among which to choose the next, when no read may come: none at a dead end, one where there is nothing to choose. */
  #choices(): number[] {
    const next = this.#mayComeNext();
    this.#note(next);
    const present = this.#waitingFor(this.#value);
    if (present.reads > 0 && present.writes === 0) return [];
    const choices: number[] = [];
    for (const i of next) {
      const { kind, value } = this.#operations[i]!;
      if (kind === 'read') continue;
      const { reads, writes } = this.#readsLeftBehind(i);
      if (reads === 0) return [i];
      if (writes > 0) choices.push(i);
      else this.#note(next, `a write of ${value} would leave ${reads} of its readers behind`);
    }
    return choices;
  }

  /** What would still wait for the value of a write when the write came next, with all readers that may follow at once. */
  #readsLeftBehind(write: number): Waiting {
    const length = this.#order.length;
    const value = this.#value;
    this.#take(write);
    this.#takeReads();
    const left = { ...this.#waitingFor(this.#value) };
    this.#backTo(length, value);
    return left;
  }

  /** Operations that no other one had ended before. */
  #mayComeNext(): number[] {
    const next: number[] = [];
    let firstEnd = Infinity;
    for (let i = this.#low; i < this.#operations.length; i += 1) {
      const { called, answered } = this.#operations[i]!;
      if (called > firstEnd) break;
      if (this.#done[i] === 1) continue;
      next.push(i);
      firstEnd = Math.min(firstEnd, answered);
    }
    return next;
  }

  #take(i: number): void {
    const operation = this.#operations[i]!;
    this.#count(operation, -1);
    if (operation.kind === 'write') this.#value = operation.value;
    this.#done[i] = 1;
    this.#order.push(i);
    while (this.#done[this.#low] === 1) this.#low += 1;
  }

  /** Undoes what was taken since the order had this length and the register this value. */
  #backTo(length: number, value: number): void {
    while (this.#order.length > length) {
      const i = this.#order.pop()!;
      this.#done[i] = 0;
      this.#low = Math.min(this.#low, i);
      this.#count(this.#operations[i]!, 1);
    }
    this.#value = value;
  }

  #waitingFor(value: number): Waiting {
    let waiting = this.#waiting.get(value);
    if (waiting === undefined) {
      waiting = { reads: 0, writes: 0 };
      this.#waiting.set(value, waiting);
    }
    return waiting;
  }

  #count({ kind, value }: Operation, by: number): void {
    const waiting = this.#waitingFor(value);
    if (kind === 'write') {
      waiting.writes += by;
    } else {
      waiting.reads += by;
      this.#readsWaiting += by;
    }
  }

  /** Whether this set of done operations was not there before with this value. */
  #isNew(): boolean {
    let state = `${this.#value}:${this.#low}`;
    const ahead = this.#order.length - this.#low;
    for (let i = this.#low, found = 0; found < ahead; i += 1) {
      if (this.#done[i] === 0) continue;
      state += `,${i - this.#low}`;
      found += 1;
    }
    if (this.#visited.has(state)) return false;
    assert(this.#visited.size < SEARCH_STATES_MAX, 'a history too entangled to be searched');
    this.#visited.add(state);
    return true;
  }

  /** Keeps what the longest order ended with. */
  #note(next: readonly number[], reason = ''): void {
    if (this.#order.length < this.#longest || (this.#order.length === this.#longest && reason === '')) return;
    this.#longest = this.#order.length;
    const waiting = next.map((i) => told(this.#operations[i]!)).join('; ');
    this.#stuckAt = `after ${this.#longest} of ${this.#operations.length} operations the value is ${this.#value}, and next may come: ${waiting}${reason === '' ? '' : ` (${reason})`}`;
  }
}
