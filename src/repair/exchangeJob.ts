/** Carries out the exchanges of applied indexes of all partitions whose groups are led here (`appliedIds.ts`), and keeps what they have found. Owned by the repair thread, which calls `look`. */
import { EXCHANGE_PLACE_MS, type Exchange, ExchangeSchedule, exchangeAppliedIds } from './appliedIds.js';
import type { AppliedPeers } from './appliedPeers.js';
import type { ExchangeView } from './messages.js';
import type { Log, ServedPartition } from './servedPartition.js';

/** What is used of a partition. */
export type ExchangingPartition = Pick<ServedPartition, 'id' | 'gone'> & {
  readonly hostList: Pick<ServedPartition['hostList'], 'hosts'>;
  readonly own: Pick<ServedPartition['own'], 'raftState' | 'tellLeast'>;
};

export interface ExchangeJobParts {
  readonly ownAddress: string;
  readonly peers: Pick<AppliedPeers, 'appliedId' | 'tellLeast'>;
  nowMs(): number;
  wallMs(): number;
  log: Log;
}

/** What is kept of a partition. */
interface Memory {
  readonly served: ExchangingPartition;
  /** Since when this node leads the group and not all hosts have answered, monotonic ms; 0: it does not lead. */
  waitingSinceMs: number;
  view: ExchangeView | null;
}

export class ExchangeJob {
  readonly #parts: ExchangeJobParts;
  readonly #schedule = new ExchangeSchedule();
  readonly #memories = new Map<number, Memory>();
  #stopping = false;

  constructor(parts: ExchangeJobParts) {
    this.#parts = parts;
  }

  attached(served: ExchangingPartition): void {
    this.#memories.set(served.id, { served, waitingSinceMs: 0, view: null });
    this.#schedule.add(served.id, this.#parts.nowMs());
  }

  detached(id: number): void {
    this.#memories.delete(id);
    this.#schedule.remove(id);
  }

  /** Begins what is due. */
  look(): void {
    if (this.#stopping) return;
    for (;;) {
      const id = this.#schedule.next(this.#parts.nowMs());
      if (id === null) return;
      void this.#run(this.#memories.get(id)!);
    }
  }

  /** Nothing is begun any more. */
  stop(): void {
    this.#stopping = true;
  }

  /** The last exchange of a partition that is led here; null: there was none. */
  viewOf(id: number): ExchangeView | null {
    return this.#memories.get(id)?.view ?? null;
  }

  /** Seconds since all hosts have answered, of the partition led here that has waited longest; 0 when none is led here. */
  oldestSeconds(): number {
    const nowMs = this.#parts.nowMs();
    let oldest = 0;
    for (const { waitingSinceMs } of this.#memories.values())
      if (waitingSinceMs > 0) oldest = Math.max(oldest, nowMs - waitingSinceMs);
    return oldest / 1000;
  }

  /** Never rejects. */
  async #run(memory: Memory): Promise<void> {
    const { served } = memory;
    let holdsPlace = true;
    const leave = (): void => {
      if (!holdsPlace) return;
      holdsPlace = false;
      this.#schedule.left();
      this.look();
    };
    const timer = setTimeout(leave, EXCHANGE_PLACE_MS);
    const exchange = await this.#exchange(served);
    clearTimeout(timer);
    if (!served.gone) {
      this.#note(memory, exchange);
      this.#schedule.ended(served.id, this.#parts.nowMs());
    }
    leave();
  }

  #exchange({ id, own, hostList }: ExchangingPartition): Promise<Exchange> {
    const { ownAddress, peers } = this.#parts;
    return exchangeAppliedIds(hostList.hosts, ownAddress, {
      own: () => own.raftState(),
      tellOwn: (leastId) => own.tellLeast(leastId),
      ask: (address) => peers.appliedId(address, id),
      tell: (address, leastId) => peers.tellLeast(address, id, leastId),
    });
  }

  #note(memory: Memory, exchange: Exchange): void {
    const { nowMs, wallMs, log } = this.#parts;
    if (exchange.kind === 'notLeading') {
      memory.waitingSinceMs = 0;
      memory.view = null;
      return;
    }
    const failure = exchange.kind === 'failed' ? exchange.reason : '';
    if (failure === '' || memory.waitingSinceMs === 0) memory.waitingSinceMs = nowMs();
    const { leastId, mostId } = exchange.kind === 'told' ? exchange : { leastId: 0, mostId: 0 };
    memory.view = { endedMs: wallMs(), leastId, mostId, failure };
    if (failure === '') return;
    const fields = { partition: memory.served.id, reason: failure };
    log('debug', 'applied', 'not all replicas have told what they have applied', fields);
  }
}
