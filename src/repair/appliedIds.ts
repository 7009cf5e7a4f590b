/**
 * The exchange of durable applied indexes (`raft.md` 5.7, docs/raftNode.md "Truncation"): when which partition has its next one, and one exchange. Time comes in with each call, monotonic ms; questions are the caller's.
 *
 * Who leads a group asks all hosts of its list what they have applied, and tells the least to all: each may cut its log there. Nothing is told unless all have answered. Thousands of partitions have their turns one after another,
 * a few at a time; one that waits for a silent host gives its place to the next (`EXCHANGE_PLACE_MS`).
 */
import assert from 'node:assert';

/** After its beginning here a partition has its first exchange, and then one each so often, ms. */
export const EXCHANGE_FIRST_MS = 1_000;
export const EXCHANGE_INTERVAL_MS = 60_000;
/** Exchanges at a time, and how long one counts among them. */
const EXCHANGES_MAX = 8;
export const EXCHANGE_PLACE_MS = 3_000;

interface Entry {
  dueMs: number;
  startedMs: number;
  running: boolean;
}

/** Whose exchange is next. */
export class ExchangeSchedule {
  /** In the order in which they are due, nearly: one that took long is behind those that are due with it. */
  readonly #entries = new Map<number, Entry>();
  #places = EXCHANGES_MAX;

  add(partitionId: number, nowMs: number): void {
    this.#entries.set(partitionId, { dueMs: nowMs + EXCHANGE_FIRST_MS, startedMs: 0, running: false });
  }

  remove(partitionId: number): void {
    this.#entries.delete(partitionId);
  }

  /** The next partition, whose exchange runs until `ended`, and holds a place until `left`; null: none is due, or all places are taken. */
  next(nowMs: number): number | null {
    if (this.#places === 0) return null;
    for (const [partitionId, entry] of this.#entries) {
      if (entry.running) continue;
      if (entry.dueMs > nowMs) return null;
      entry.running = true;
      entry.startedMs = nowMs;
      this.#places -= 1;
      return partitionId;
    }
    return null;
  }

  /** A place is free again. Once for each `next`. */
  left(): void {
    this.#places += 1;
    assert(this.#places <= EXCHANGES_MAX, 'a place was given back twice');
  }

  /** An exchange has ended; of a partition that is gone, or was attached anew, nothing follows. */
  ended(partitionId: number, nowMs: number): void {
    const entry = this.#entries.get(partitionId);
    if (entry?.running !== true) return;
    // To the end of the order.
    this.#entries.delete(partitionId);
    const dueMs = Math.max(nowMs, entry.startedMs + EXCHANGE_INTERVAL_MS);
    this.#entries.set(partitionId, { ...entry, dueMs, running: false });
  }
}

/** What an exchange uses of this node and of the others. All but `own` may reject with a line that says why. */
export interface AppliedReplicas {
  /** How the group stands here: its durable applied index, null where none runs. */
  own(): Promise<{ durable: number | null; isLeader: boolean }>;
  tellOwn(leastId: number): Promise<void>;
  /** 0x10. */
  ask(address: string): Promise<number>;
  /** 0x0A. */
  tell(address: string, leastId: number): Promise<void>;
}

export type Exchange =
  /** Another node leads, or no group runs here. */
  | { readonly kind: 'notLeading' }
  /** Nothing is to be told: this replica has nothing durable yet, or another one has not. */
  | { readonly kind: 'nothing' }
  /** All hosts have been told `leastId`. `mostId`: what the replica that is farthest has. */
  | { readonly kind: 'told'; readonly leastId: number; readonly mostId: number }
  /** Not all hosts have answered, so that nothing was told; or somebody could not be told, and those behind it were not. */
  | { readonly kind: 'failed'; readonly reason: string };

/** One exchange. `hosts`: all of the partition, this node among them. Never rejects. */
export async function exchangeAppliedIds(
  hosts: readonly string[],
  ownAddress: string,
  replicas: AppliedReplicas,
): Promise<Exchange> {
  try {
    const { durable, isLeader } = await replicas.own();
    if (durable === null || !isLeader) return { kind: 'notLeading' };
    if (durable === 0) return { kind: 'nothing' };
    if (!hosts.includes(ownAddress)) throw new Error('this node is not among the hosts');
    const others = hosts.filter((host) => host !== ownAddress);
    const answers = await Promise.allSettled(others.map((host) => replicas.ask(host)));
    const silent = answers.find((answer) => answer.status === 'rejected');
    if (silent !== undefined) throw silent.reason;
    const ids = answers.map((answer) => (answer as PromiseFulfilledResult<number>).value);
    const leastId = Math.min(durable, ...ids);
    // Receivers pass a 0 over.
    if (leastId === 0) return { kind: 'nothing' };
    for (const host of hosts)
      await (host === ownAddress ? replicas.tellOwn(leastId) : replicas.tell(host, leastId));
    return { kind: 'told', leastId, mostId: Math.max(durable, ...ids) };
  } catch (error) {
    return { kind: 'failed', reason: (error as Error).message };
  }
}
