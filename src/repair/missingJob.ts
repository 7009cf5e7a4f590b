/**
 * Looks after what raft has committed and is missing here, partition by partition, one of a disk at a time: begins comparisons that snapshots have asked for, and has what is missing fetched (`missingPass.ts`). Owned by the repair
 * thread, which calls `look`.
 */
import type { AppliedPeers } from './appliedPeers.js';
import { type MissingView, REPAIR_COUNTER } from './messages.js';
import { fetchMissing, type MissingReplica } from './missingPass.js';
import type { FetchSource } from './missingPlan.js';
import { PeerContents } from './peerContents.js';
import type { PeerReplicas } from './peerReplica.js';
import type { Log, ServedPartition } from './servedPartition.js';

/** The partitions of a disk are looked at this often, ms. Replicas tell what they have saved, which is up to ten seconds behind. */
export const MISSING_MS = 10_000;
/** Pieces of one partition before the next one has its turn. */
const PIECES_PER_TURN = 256;

/** What is used of a partition. */
export type LackingPartition = Pick<ServedPartition, 'id' | 'disk' | 'gone' | 'role'> & {
  readonly hostList: Pick<ServedPartition['hostList'], 'hosts'>;
  readonly own: MissingReplica & Pick<ServedPartition['own'], 'raftState' | 'compareAll'>;
};

export interface MissingJobParts {
  readonly ownAddress: string;
  readonly peers: PeerReplicas;
  readonly applied: Pick<AppliedPeers, 'appliedId'>;
  readonly disks: number;
  partitions(): Iterable<LackingPartition>;
  isEnabled(): boolean;
  pace(bytes: number): Promise<void>;
  crc32(data: Uint8Array): number;
  nowMs(): number;
  count(counter: number, by: number): void;
  log: Log;
}

export class MissingJob {
  readonly #parts: MissingJobParts;
  readonly #nextPassMs: number[];
  readonly #running: boolean[];
  /** Of partitions that lack something. */
  readonly #views = new Map<LackingPartition, MissingView>();
  /** Extents of their lists that the next pass passes over. */
  readonly #passOver = new WeakMap<LackingPartition, number>();
  readonly #open = new Set<PeerContents>();
  #stopping = false;

  constructor(parts: MissingJobParts) {
    this.#parts = parts;
    this.#nextPassMs = Array.from({ length: parts.disks }, () => 0);
    this.#running = Array.from({ length: parts.disks }, () => false);
  }

  /** A pass is under way on some disk. */
  get isRunning(): boolean {
    return this.#running.includes(true);
  }

  /** Begins a pass over the partitions of each disk on which one is due. */
  look(): void {
    const nowMs = this.#parts.nowMs();
    for (const served of this.#views.keys()) if (served.gone) this.#views.delete(served);
    if (this.#stopping || !this.#parts.isEnabled()) return;
    for (const [disk, dueMs] of this.#nextPassMs.entries()) {
      if (!this.#running[disk] && nowMs >= dueMs) void this.#pass(disk);
    }
  }

  /** Nothing is begun any more; what is on its way to a worker ends by itself. */
  stop(): void {
    this.#stopping = true;
    for (const contents of this.#open) contents.close();
  }

  /** What a partition lacks; null: nothing. */
  viewOf(served: LackingPartition): MissingView | null {
    return this.#views.get(served) ?? null;
  }

  /** Ranges that are missing on this node, as of the last looks. */
  get missingRanges(): number {
    return [...this.#views.values()].reduce((sum, { ranges }) => sum + ranges, 0);
  }

  /** Never rejects. */
  async #pass(disk: number): Promise<void> {
    const { partitions, nowMs, log } = this.#parts;
    this.#running[disk] = true;
    let isUnfinished = false;
    for (const served of [...partitions()].filter((each) => each.disk === disk)) {
      if (!this.#mayFetch(served)) continue;
      try {
        if (await this.#partition(served)) isUnfinished = true;
      } catch (error) {
        const fields = { partition: served.id, reason: (error as Error).message };
        log('debug', 'missing', 'what is missing was not fetched', fields);
      }
    }
    this.#running[disk] = false;
    this.#nextPassMs[disk] = isUnfinished ? nowMs() : nowMs() + MISSING_MS;
  }

  /** Only among hosts that the master has told lately: one that is not among them may be the one that has it. */
  #mayFetch(served: LackingPartition): boolean {
    if (this.#stopping || served.gone || !this.#parts.isEnabled()) return false;
    const { role, hostList } = served;
    const isHost = hostList.hosts.includes(this.#parts.ownAddress);
    return isHost && hostList.hosts.length > 1 && (role === 'primary' || role === 'member');
  }

  /** True when the rest is to be gone on with at once. */
  async #partition(served: LackingPartition): Promise<boolean> {
    const { log, count } = this.#parts;
    const about = { partition: served.id };
    const { durable, missing, wantsComparison } = await served.own.raftState();
    const known = this.#views.get(served);
    if (durable === null || (missing === 0 && !wantsComparison)) {
      if (known !== undefined) log('info', 'missing', 'nothing is missing of what raft has committed', about);
      this.#views.delete(served);
      return false;
    }
    if (wantsComparison) {
      log('info', 'missing', 'all contents are compared with the other replicas', about);
      await served.own.compareAll();
    }
    const sources = await this.#sources(served);
    const contents = new PeerContents(this.#parts.peers, served.id, this.#parts.crc32);
    this.#open.add(contents);
    const parts = {
      ...{ replica: served.own, sources, pace: this.#parts.pace },
      readContent: contents.read.bind(contents),
      isStopping: () => !this.#mayFetch(served),
    };
    const passOver = this.#passOver.get(served) ?? 0;
    const report = await fetchMissing(parts, passOver, PIECES_PER_TURN).finally(() => {
      contents.close();
      this.#open.delete(contents);
    });
    const { comparedBytes, writtenBytes, next, failure } = report;
    this.#passOver.set(served, Math.max(0, next));
    count(REPAIR_COUNTER.missingComparedBytes, comparedBytes);
    count(REPAIR_COUNTER.missingWrittenBytes, writtenBytes);
    const { missing: ranges } = await served.own.raftState();
    this.#views.set(served, {
      ...{ ranges, failure },
      comparedBytes: (known?.comparedBytes ?? 0) + comparedBytes,
      writtenBytes: (known?.writtenBytes ?? 0) + writtenBytes,
    });
    if (failure !== '')
      log('debug', 'missing', 'what is missing was not fetched', { ...about, reason: failure });
    // Where nothing came at all the others are to be left alone for a while.
    return next >= 0 && comparedBytes > 0;
  }

  #sources(served: LackingPartition): Promise<FetchSource[]> {
    const { ownAddress, applied } = this.#parts;
    const others = served.hostList.hosts.filter((host) => host !== ownAddress);
    const ask = async (address: string): Promise<FetchSource> => ({
      address,
      appliedIndex: await applied.appliedId(address, served.id).catch(() => -1),
    });
    return Promise.all(others.map(ask));
  }
}
