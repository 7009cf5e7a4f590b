/**
 * What happened in a run: a hash of all of it, by which two runs are told apart, and the last of it in words, for whoever has to find out why a run has failed.
 *
 * The hash covers messages that arrived, entries that were handed to state machines, and what clients were told. Nothing here changes what happens.
 */
import { RAFT_MESSAGE, type RaftMessage } from '../../../src/protocol/raftMessage.js';
import type { RaftEntry } from '../../../src/protocol/raftStructs.js';
import { digestOf } from './ledger.js';

/** Lines that are kept for a failure. */
const KEPT_LINES = 400;

interface Line {
  nowMs: number;
  node: number;
  what: string;
  subject: RaftMessage | RaftEntry | null;
}

/** Moments and nodes of a run, in order. */
export class Trace {
  readonly #print: ((line: string) => void) | null;
  readonly #kept: Line[] = [];
  #next = 0;
  #low = 0x811c_9dc5;
  #high = 0x0123_4567;

  /** @param print gets each line as it comes. */
  constructor(print: ((line: string) => void) | null = null) {
    this.#print = print;
  }

  /** Of everything so far, 16 hexadecimal digits. */
  get hash(): string {
    return [this.#high, this.#low].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('');
  }

  /** A message has arrived. */
  arrived(nowMs: number, message: RaftMessage): void {
    const { type, from, to, term, index, logTerm, commit, reject, entries } = message;
    this.#mix(nowMs);
    this.#mix((type << 16) ^ (from << 8) ^ to);
    this.#mix(term);
    this.#mix(index);
    this.#mix((logTerm << 1) ^ (reject ? 1 : 0));
    this.#mix(commit);
    this.#mix(entries.length);
    this.note(nowMs, to, 'gets', message);
  }

  /** An entry went to a node's state machine. */
  applies(nowMs: number, node: number, entry: RaftEntry): void {
    this.#mix(node);
    this.#mix(entry.index);
    this.#mix(digestOf(entry));
    this.note(nowMs, node, 'applies', entry);
  }

  /** A client was told something: `value` is 0 for an answer without one. */
  answered(nowMs: number, operation: number, value: number): void {
    this.#mix(nowMs);
    this.#mix(operation);
    this.#mix(value);
  }

  /** Something that the hash does not cover; node 0: no node's. */
  note(nowMs: number, node: number, what: string, subject: RaftMessage | RaftEntry | null = null): void {
    // Lines are used again: there is one for each message of a run.
    this.#kept[this.#next] ??= { nowMs: 0, node: 0, what: '', subject: null };
    const line = this.#kept[this.#next]!;
    line.nowMs = nowMs;
    line.node = node;
    line.what = what;
    line.subject = subject;
    if (this.#print !== null) this.#print(told(line));
    this.#next = (this.#next + 1) % KEPT_LINES;
  }

  /** The last lines, oldest first. */
  lines(): string[] {
    return [...this.#kept.slice(this.#next), ...this.#kept.slice(0, this.#next)].map(told);
  }

  #mix(value: number): void {
    this.#low = Math.imul(this.#low ^ value, 0x0100_0193);
    this.#high = Math.imul((this.#high ^ (this.#low >>> 13)) + value, 0x85eb_ca6b);
  }
}

function told({ nowMs, node, what, subject }: Line): string {
  const at = `${(nowMs / 1000).toFixed(3).padStart(9)} ${node === 0 ? '-' : node} ${what}`;
  if (subject === null) return at;
  return `${at} ${'from' in subject ? toldMessage(subject) : `entry ${toldEntry(subject)}`}`;
}

const NAMES = new Map<number, string>(Object.entries(RAFT_MESSAGE).map(([name, type]) => [type, name]));

function toldMessage(message: RaftMessage): string {
  const { type, from, term, index, logTerm, commit, entries, snapshot } = message;
  const range = entries.length === 0 ? '' : ` + ${toldEntry(entries[0]!)} to ${toldEntry(entries.at(-1)!)}`;
  const reject = message.reject ? ` reject (last ${message.rejectIndex})` : '';
  const forced = message.forceVote ? ' forced' : '';
  const meta = snapshot === null ? '' : ` of ${snapshot.index}.${snapshot.term}`;
  return `${NAMES.get(type)} from ${from} term ${term} at ${index}.${logTerm} commit ${commit}${range}${reject}${forced}${meta}`;
}

/** Index and term. */
function toldEntry({ index, term, type }: RaftEntry): string {
  return `${index}.${term}${type === 0 ? '' : ' (members)'}`;
}
