/**
 * Heals this node's replicas, on each disk one block at a time (docs/repair.md "Healing"): blocks that are not what their checksums say, as the workers list them, and extents of which replicas of one length tell different checksums. Owned by the
 * repair thread, which calls `look`; what is decided about a block is in `heal.ts`, how it is carried out in `healer.ts`.
 *
 * A block that reads wait for (`ask`) comes first: it is looked at at once, and the pass of its disk stands between two blocks meanwhile.
 */
import { LIST } from '../partition/internalOps.js';
import { JUDGED, type Judged } from '../partition/waitingBlocks.js';
import { AskedBlocks } from './askedBlocks.js';
import { blocksToLookAt, differingExtents } from './heal.js';
import { Healer, type HealReplica, type HealReport } from './healer.js';
import { REPAIR_COUNTER } from './messages.js';
import { PeerBlocks } from './peerBlocks.js';
import type { PeerReplicas } from './peerReplica.js';
import type { Log, ServedPartition } from './servedPartition.js';

/** The findings of a disk are asked for this often (a v1.4.0 client asks a node that has answered an error again for 20 s), and the lists of a partition's replicas compared this often, ms. */
export const FINDINGS_MS = 10_000;
export const COMPARE_MS = 3_600_000;
/** An extent with blocks that could not be healed is looked at again after so long: where somebody writes, or nobody answers; where there is no verdict. */
export const RETRY_MS = { later: 10_000, noVerdict: 3_600_000 };
/** With fewer hosts there is no majority against one of them, and no read waits. */
const HOSTS_TO_ASK_MIN = 3;
/** Extents remembered of one partition. */
const REMEMBERED_MAX = 10_000;

/** What is used of a partition. */
export type HealedPartition = Pick<ServedPartition, 'id' | 'disk' | 'gone' | 'role'> & {
  readonly hostList: Pick<ServedPartition['hostList'], 'hosts'>;
  readonly own: HealReplica &
    Pick<ServedPartition['own'], 'findings' | 'extentSize' | 'extents' | 'blockJudged'>;
};

export interface HealJobParts {
  readonly ownAddress: string;
  readonly peers: PeerReplicas;
  readonly disks: number;
  partitions(): Iterable<HealedPartition>;
  isEnabled(): boolean;
  crc32(data: Uint8Array): number;
  nowMs(): number;
  count(counter: number, by: number): void;
  log: Log;
  /** Somebody has to decide: replicas differ, and none of them has a majority. */
  alarm(text: string): void;
}

/** A block that reads wait for. */
interface Asked {
  readonly served: HealedPartition;
  readonly extentId: number;
  readonly block: number;
}

/** What is kept of a partition over the time. */
interface Memory {
  nextCompareMs: number;
  /** By extent: when it is looked at again, and the checksums with which it was looked at (`differingExtents`). */
  readonly retryMs: Map<number, number>;
  readonly compared: Map<number, string>;
  /** Blocks that an alarm was raised for. */
  readonly alarmed: Set<string>;
}

export class HealJob {
  readonly #parts: HealJobParts;
  readonly #memories = new WeakMap<HealedPartition, Memory>();
  readonly #nextPassMs: number[];
  readonly #running: boolean[];
  /** By disk: blocks that reads wait for, and the end of the looks at them that are under way, if any are. */
  readonly #asked: AskedBlocks<Asked>[];
  readonly #askedRuns: (Promise<void> | null)[];
  readonly #open = new Set<PeerBlocks>();
  #stopping = false;

  constructor(parts: HealJobParts) {
    this.#parts = parts;
    this.#nextPassMs = Array.from({ length: parts.disks }, () => 0);
    this.#running = Array.from({ length: parts.disks }, () => false);
    this.#asked = Array.from({ length: parts.disks }, () => new AskedBlocks());
    this.#askedRuns = Array.from({ length: parts.disks }, () => null);
  }

  /** A pass, or a look that was asked for, is under way on some disk. */
  get isRunning(): boolean {
    return this.#running.includes(true) || this.#askedRuns.some((run) => run !== null);
  }

  /** Begins a pass over the partitions of each disk on which one is due. */
  look(): void {
    const nowMs = this.#parts.nowMs();
    if (this.#stopping || !this.#parts.isEnabled()) return;
    for (const [disk, dueMs] of this.#nextPassMs.entries()) {
      if (!this.#running[disk] && nowMs >= dueMs) void this.#pass(disk);
    }
  }

  /** Looks at a block that reads wait for, as soon as those are done that came before, and tells its worker what has become of it. */
  ask(served: HealedPartition, extentId: number, block: number): void {
    const { disk, id, hostList } = served;
    const asked = this.#asked[disk]!;
    const mayAsk = this.#mayHeal(served) && hostList.hosts.length >= HOSTS_TO_ASK_MIN;
    const key = `${id} ${extentId} ${block}`;
    if (!mayAsk || !asked.add(key, { served, extentId, block }, this.#parts.nowMs())) {
      return this.#judged({ served, extentId, block }, JUDGED.notLooked);
    }
    this.#askedRuns[disk] ??= this.#runAsked(disk);
  }

  /** Nothing is begun any more; what is on its way to a worker ends by itself. */
  stop(): void {
    this.#stopping = true;
    for (const blocks of this.#open) blocks.close();
  }

  async #pass(disk: number): Promise<void> {
    const { partitions, nowMs } = this.#parts;
    this.#running[disk] = true;
    for (const served of [...partitions()].filter((each) => each.disk === disk)) {
      if (this.#mayHeal(served)) await this.#heal(served);
    }
    this.#running[disk] = false;
    this.#nextPassMs[disk] = nowMs() + FINDINGS_MS;
  }

  async #runAsked(disk: number): Promise<void> {
    const blocks = this.#asked[disk]!;
    for (let asked = blocks.next(); asked !== null; asked = blocks.next()) {
      const { served, extentId, block } = asked;
      const report = await this.#healed(served, extentId, [block], () => Promise.resolve());
      if (!this.#stopping) this.#tell(served, this.#memoryOf(served), extentId, report);
      this.#judged(asked, judgedBy(report));
    }
    this.#askedRuns[disk] = null;
  }

  /** A worker that is gone has no reads. */
  #judged({ served, extentId, block }: Asked, judged: Judged): void {
    served.own.blockJudged(extentId, block, judged).catch(() => {});
  }

  /** Only among hosts that the master has told lately; one that joins is not complete. */
  #mayHeal(served: HealedPartition): boolean {
    if (this.#stopping || served.gone || !this.#parts.isEnabled()) return false;
    const { role, hostList } = served;
    const isHost = hostList.hosts.includes(this.#parts.ownAddress);
    return isHost && hostList.hosts.length > 1 && (role === 'primary' || role === 'member');
  }

  /** Never rejects. */
  async #heal(served: HealedPartition): Promise<void> {
    const memory = this.#memoryOf(served);
    try {
      for (const { extentId, blocks } of await served.own.findings()) {
        const sizeBytes = await served.own.extentSize(extentId);
        await this.#extent(served, memory, extentId, blocksToLookAt(sizeBytes, blocks));
      }
      if (this.#parts.nowMs() < memory.nextCompareMs) return;
      memory.nextCompareMs = this.#parts.nowMs() + COMPARE_MS;
      await this.#compare(served, memory);
    } catch (error) {
      const fields = { partition: served.id, reason: (error as Error).message };
      this.#parts.log('debug', 'heal', 'replicas were not compared', fields);
    }
  }

  /** Looks at extents of which another replica of the same length tells another checksum. What was looked at is not again until somebody tells another one. */
  async #compare(served: HealedPartition, memory: Memory): Promise<void> {
    const { ownAddress, peers } = this.#parts;
    const others = served.hostList.hosts.filter((host) => host !== ownAddress);
    const own = await served.own.extents(LIST.quiet);
    const lists = await Promise.all(others.map((host) => peers.list(host, served.id, null).catch(() => [])));
    for (const { extentId, sizeBytes, key } of differingExtents(own, lists)) {
      if (memory.compared.get(extentId) === key) continue;
      if (memory.compared.size >= REMEMBERED_MAX) memory.compared.clear();
      const done = await this.#extent(served, memory, extentId, blocksToLookAt(sizeBytes, []));
      if (done) memory.compared.set(extentId, key);
    }
  }

  /** One extent; whether every block of it was judged. */
  async #extent(
    served: HealedPartition,
    memory: Memory,
    extentId: number,
    blocks: readonly number[],
  ): Promise<boolean> {
    const { nowMs } = this.#parts;
    if (!this.#mayHeal(served) || nowMs() < (memory.retryMs.get(extentId) ?? 0)) return false;
    const asked = (): Promise<void> => this.#askedRuns[served.disk] ?? Promise.resolve();
    const report = await this.#healed(served, extentId, blocks, asked);
    if (!this.#stopping) {
      this.#tell(served, memory, extentId, report);
      this.#retry(memory, extentId, report);
    }
    return report.looked === blocks.length && report.later.length === 0;
  }

  /** Looks at blocks of an extent, and heals what can be. `turn` resolves when the next of them may be looked at. */
  async #healed(
    served: HealedPartition,
    extentId: number,
    blocks: readonly number[],
    turn: () => Promise<void>,
  ): Promise<HealReport> {
    const { ownAddress, peers, crc32 } = this.#parts;
    const blocksOfPeers = new PeerBlocks(peers, served.id, crc32);
    this.#open.add(blocksOfPeers);
    const healer = new Healer({
      ...{ ownAddress, peers: blocksOfPeers, replica: served.own, turn },
      isStopping: () => !this.#mayHeal(served),
    });
    const report = await healer.healExtent(extentId, blocks, served.hostList.hosts);
    blocksOfPeers.close();
    this.#open.delete(blocksOfPeers);
    return report;
  }

  #tell(served: HealedPartition, memory: Memory, extentId: number, report: HealReport): void {
    const { count, log, alarm } = this.#parts;
    const { healed, slotsCorrected, noVerdict, later } = report;
    const about = { partition: served.id, extent: extentId };
    count(REPAIR_COUNTER.healedBlocks, healed.length);
    count(REPAIR_COUNTER.correctedChecksums, slotsCorrected.length);
    for (const block of healed)
      log('warn', 'healed', 'a block was replaced by what most replicas have', { ...about, block });
    for (const block of slotsCorrected)
      log('info', 'checksum', 'a stored checksum was wrong, the block is that of most replicas', {
        ...about,
        block,
      });
    for (const { block, reason } of later)
      log('debug', 'later', 'a block was not healed', { ...about, block, reason });
    for (const { block, reason } of noVerdict) {
      const key = `${extentId} ${block}`;
      log('warn', 'verdict', 'replicas differ and none is known to be right', { ...about, block, reason });
      if (memory.alarmed.has(key) || memory.alarmed.size >= REMEMBERED_MAX) continue;
      memory.alarmed.add(key);
      count(REPAIR_COUNTER.undecidedBlocks, 1);
      alarm(
        `partition ${served.id}: block ${block} of extent ${extentId} differs between replicas, and nothing was written: ${reason}`,
      );
    }
  }

  #retry(memory: Memory, extentId: number, { noVerdict, later }: HealReport): void {
    const pauseMs = noVerdict.length > 0 ? RETRY_MS.noVerdict : later.length > 0 ? RETRY_MS.later : 0;
    if (memory.retryMs.size >= REMEMBERED_MAX) memory.retryMs.clear();
    if (pauseMs > 0) memory.retryMs.set(extentId, this.#parts.nowMs() + pauseMs);
    else memory.retryMs.delete(extentId);
  }

  #memoryOf(served: HealedPartition): Memory {
    const known = this.#memories.get(served);
    if (known !== undefined) return known;
    const memory: Memory = { nextCompareMs: 0, retryMs: new Map(), compared: new Map(), alarmed: new Set() };
    this.#memories.set(served, memory);
    return memory;
  }
}

/** What became of the one block that a report is about. */
function judgedBy({ looked, noVerdict, later }: HealReport): Judged {
  if (looked === 0) return JUDGED.notLooked;
  return noVerdict.length + later.length > 0 ? JUDGED.undecided : JUDGED.sound;
}
