/**
 * The background work on checksums of one worker (`docs/checksums.md`): which extent is next, and how fast. `extentCheck.ts` does the looking.
 *
 * First what somebody waits for (extents that broke, extents in which a read found a difference), then extents that have become quiet, then the scrub. One
 * extent at a time; each of the two kinds of work has a byte rate, and what exceeds it waits.
 */

import { canHaveEntry } from '../storage/cleanFile.js';
import { EXTENT_FLAG, NONE } from '../storage/extentTable.js';
import { CHECKSUM_QUIET_SECONDS, isTinyExtent } from '../storage/layout.js';
import { ChecksumFindings } from './checksumFindings.js';
import type { DirectReads } from './directReads.js';
import { type CheckKind, type CheckOutcome, ExtentCheck } from './extentCheck.js';
import type { ExtentStore } from './extentStore.js';
import { ExtentWalk, type WalkPlace } from './extentWalk.js';
import type { ChecksumPaces, ChecksumReport } from './messages.js';
import type { OpenExtents } from './openExtents.js';
import { freshScrub, ScrubFile, type ScrubState } from './scrubState.js';
import { type StoreHost, scratchCheck } from './storeHost.js';
import { TokenBucket } from './tokenBucket.js';

/** Records looked at in one turn for one that is due: less than a millisecond. */
const ROWS_PER_LOOK = 20_000;
/** The least that a rate lets through at once: a few blocks. */
const BURST_BYTES_MIN = 512 * 1024;
/** The place of a running scrub is saved this often. */
const SAVE_MS = 30_000;
const NS_PER_MS = 1e6;
const FINDINGS_TOLD = 1000;

export class ChecksumJob {
  readonly findings: ChecksumFindings;
  readonly check: ExtentCheck;
  private readonly host: StoreHost;
  /** Served stores, ascending by partition id. */
  private readonly stores: ExtentStore[] = [];
  private readonly computeWalk = new ExtentWalk();
  private readonly scrubWalk = new ExtentWalk();
  private readonly computePace: TokenBucket;
  private readonly scrubPace: TokenBucket;
  private scrub: ScrubState;
  private scrubFile: ScrubFile | null = null;
  private saving = false;
  private nextSaveMs = 0;
  /** What the check under way is for. */
  private task: 'urgent' | 'compute' | 'scrub' = 'compute';
  private stopping = false;
  /** Something may be due: set by the clock, unset when nothing is. */
  private due = false;
  private computedExtents = 0;
  private computedBlocks = 0;
  private recomputedBlocks = 0;
  private readonly normal = (store: ExtentStore, row: number): boolean => this.isNormal(store, row);
  private readonly wantsChecksum = (store: ExtentStore, row: number): boolean => this.isDue(store, row);

  constructor(
    host: StoreHost,
    files: OpenExtents,
    direct: DirectReads,
    ownFdReleased: (store: ExtentStore) => void,
  ) {
    this.host = host;
    this.findings = new ChecksumFindings(host);
    this.check = new ExtentCheck(
      host,
      files,
      this.findings,
      direct,
      { take: (bytes) => this.takeRead(bytes), ended: () => host.limits.endBackground('read') },
      (outcome) => this.checked(outcome),
      ownFdReleased,
    );
    const { checksumBytesPerSecond, scrubBytesPerSecond } = host.settings;
    this.computePace = new TokenBucket(checksumBytesPerSecond, burstOf(checksumBytesPerSecond));
    this.scrubPace = new TokenBucket(scrubBytesPerSecond, burstOf(scrubBytesPerSecond));
    this.scrub = freshScrub(host.clock.nowMs());
  }

  /** The place of the scrub is kept at the disk's root from now on; what is found there counts. `member`: number of the worker among those of the disk. */
  open(root: string, member: number): void {
    this.scrubFile = new ScrubFile(this.host.disk, root, member);
    this.scrub = this.scrubFile.read() ?? this.scrub;
    this.scrubWalk.moveTo(this.scrub);
  }

  /** A store is served. */
  attach(store: ExtentStore): void {
    const at = this.stores.findIndex(({ partitionId }) => partitionId > store.partitionId);
    this.stores.splice(at < 0 ? this.stores.length : at, 0, store);
    const { table } = store;
    for (let row = 0; row < table.rowCount; row += 1) {
      if (table.has(row, EXTENT_FLAG.damaged)) this.findings.known(store, table.ids[row]!);
    }
    // Whether they are is not known yet: soon.
    for (const extentId of store.unhealed.keys()) {
      this.findings.known(store, extentId);
      this.findings.lookCloser(store, extentId);
    }
  }

  /** A store is served no more. */
  detach(store: ExtentStore): void {
    const at = this.stores.indexOf(store);
    if (at >= 0) this.stores.splice(at, 1);
    if (this.check.store === store) this.check.giveUp();
    this.findings.forgetStore(store);
  }

  /** About once a second: what has become due is looked for. */
  tick(): void {
    this.due = true;
  }

  /** Begins the next check, or lets the one under way go on. No batch may be away. */
  advance(hasRoom: () => boolean): void {
    if (this.check.active) this.check.advance(hasRoom);
    else if (this.due && !this.stopping) this.beginNext();
  }

  /** Ms until `advance` can do something that waits for the pace; Infinity when nothing does. */
  wakeInMs(): number {
    if (!this.check.waitsForPace) return Number.POSITIVE_INFINITY;
    const nowMs = this.monotonicMs();
    const ms = Math.max(this.pace().waitMs(nowMs), this.host.limits.waitMs('read', nowMs));
    // Otherwise it waits for the end of other work, which is a turn of its own.
    return ms > 0 ? ms : Number.POSITIVE_INFINITY;
  }

  /** Nothing new begins; true when nothing is under way. */
  stop(): boolean {
    this.stopping = true;
    this.check.giveUp();
    return !this.check.active && !this.saving;
  }

  /** At a stop, with nothing under way: the place of the scrub is kept. */
  close(): void {
    this.scrubFile?.close(this.scrubState());
    this.scrubFile = null;
  }

  /** Other paces from now on. What is under way when a pace becomes 0 goes on at the one it had, to the end of its extent. */
  setPaces(paces: ChecksumPaces): void {
    Object.assign(this.host.settings, paces);
    const nowMs = this.monotonicMs();
    for (const [bucket, rate] of [
      [this.computePace, paces.checksumBytesPerSecond],
      [this.scrubPace, paces.scrubBytesPerSecond],
    ] as const) {
      if (rate > 0) bucket.setRate(rate, burstOf(rate), nowMs);
    }
    this.due = true;
  }

  /** Whether a scrub ever does anything. */
  get scrubs(): boolean {
    return this.host.settings.scrubBytesPerSecond > 0;
  }

  /** A pass begins now, from the first extent, whatever the schedule says. */
  startScrub(): void {
    this.scrub = { ...freshScrub(this.host.clock.nowMs()), endedMs: this.scrub.endedMs, running: true };
    this.scrubWalk.moveTo(this.scrub);
    this.due = true;
    this.nextSaveMs = 0;
    this.host.log('info', 'scrub begins');
  }

  report(): ChecksumReport {
    const { checksumBytesPerSecond, scrubBytesPerSecond, scrubIntervalMs } = this.host.settings;
    const findings = this.findings.list();
    const extents = { normal: 0, trusted: 0, clean: 0 };
    let totalBytes = 0;
    for (const store of this.stores) {
      for (let row = 0; row < store.table.rowCount; row += 1) {
        if (!this.isNormal(store, row)) continue;
        totalBytes += store.table.sizes[row]!;
        extents.normal += 1;
        if (store.table.has(row, EXTENT_FLAG.trusted)) extents.trusted += 1;
        if (store.table.has(row, EXTENT_FLAG.clean)) extents.clean += 1;
      }
    }
    return {
      computing: {
        bytesPerSecond: checksumBytesPerSecond,
        extents: this.computedExtents,
        blocks: this.computedBlocks,
        recomputedBlocks: this.recomputedBlocks,
      },
      scrub: {
        ...this.scrubState(),
        bytesPerSecond: scrubBytesPerSecond,
        intervalMs: scrubIntervalMs,
        totalBytes,
        nextMs: scrubIntervalMs === 0 ? 0 : this.scrub.startedMs + scrubIntervalMs,
      },
      extents,
      damagedBlocks: this.findings.damagedBlocks,
      suspectBlocks: this.findings.suspectBlocks,
      findings: findings.slice(0, FINDINGS_TOLD),
      findingsLeftOut: Math.max(0, findings.length - FINDINGS_TOLD),
    };
  }

  private beginNext(): void {
    this.due = false;
    if (this.host.health.status === -1) return;
    if (this.beginUrgent() || this.beginCompute() || this.beginScrub()) return;
    this.save();
  }

  private beginUrgent(): boolean {
    for (const [list, kind] of [
      [this.findings.broken, 'broken'],
      [this.findings.urgent, 'compare'],
    ] as const) {
      for (let each = list.shift(); each !== undefined; each = list.shift()) {
        const { store, extentId } = each;
        const row = store.closed ? NONE : store.table.find(extentId);
        if (row === NONE || store.table.has(row, EXTENT_FLAG.deleted)) continue;
        this.begin('urgent', store, row, kind);
        return true;
      }
    }
    return false;
  }

  private beginCompute(): boolean {
    if (this.host.settings.checksumBytesPerSecond === 0) return false;
    const walk = this.computeWalk;
    const found = walk.next(this.stores, this.wantsChecksum, ROWS_PER_LOOK);
    if (found === 'ended') walk.moveTo({ partitionId: 0, extentId: 0 });
    if (found !== 'found') return false;
    this.begin('compute', walk.store!, walk.row, 'compute');
    return true;
  }

  private beginScrub(): boolean {
    const { scrubIntervalMs } = this.host.settings;
    if (!this.scrubs) return false;
    const nowMs = this.host.clock.nowMs();
    if (!this.scrub.running) {
      if (scrubIntervalMs === 0 || nowMs < this.scrub.startedMs + scrubIntervalMs) return false;
      this.startScrub();
    }
    const found = this.scrubWalk.next(this.stores, this.normal, ROWS_PER_LOOK);
    if (found === 'ended') this.endScrub(nowMs);
    if (found !== 'found') return false;
    this.begin('scrub', this.scrubWalk.store!, this.scrubWalk.row, 'compare');
    return true;
  }

  private endScrub(nowMs: number): void {
    this.scrub = { ...this.scrubState(), running: false, endedMs: nowMs };
    this.scrubWalk.moveTo({ partitionId: 0, extentId: 0 });
    this.nextSaveMs = 0;
    const { extents, bytes, skipped, startedMs } = this.scrub;
    const seconds = Math.round((nowMs - startedMs) / 1000);
    const fields = { extents, bytes, skipped, seconds, damaged: this.findings.list().length };
    this.host.log('info', 'scrub has ended', fields);
  }

  private begin(
    task: 'urgent' | 'compute' | 'scrub',
    store: ExtentStore,
    row: number,
    kind: CheckKind,
  ): void {
    this.task = task;
    this.check.begin(store, row, kind);
  }

  private checked(outcome: CheckOutcome): void {
    const { check } = this;
    if (this.task === 'scrub') {
      // The next process goes on with the extent that a stop has interrupted.
      if (this.stopping && outcome === 'dropped') this.scrubWalk.stepBack();
      else if (outcome !== 'done') this.scrub.skipped += 1;
      else this.scrub.extents += 1;
      this.scrub.bytes += outcome === 'done' ? this.sizeOf(check.store!, check.extentId) : 0;
    } else if (outcome === 'done') {
      this.computedExtents += 1;
    }
    if (outcome !== 'done' && check.kind === 'broken') {
      this.findings.broken.push({ store: check.store!, extentId: check.extentId });
    }
    if (this.task !== 'scrub') this.computedBlocks += check.blocksRead;
    this.recomputedBlocks += check.recomputed;
    // A disk that fails is left alone until the next tick.
    this.due = outcome !== 'failed';
    this.save();
  }

  private sizeOf(store: ExtentStore, extentId: number): number {
    const row = store.table.find(extentId);
    return row === NONE ? 0 : store.table.sizes[row]!;
  }

  private isNormal({ table }: ExtentStore, row: number): boolean {
    const others = EXTENT_FLAG.deleted | EXTENT_FLAG.deleting | EXTENT_FLAG.creating;
    return !isTinyExtent(table.ids[row]!) && !table.has(row, others) && table.sizes[row]! > 0;
  }

  /** Whether an extent is quiet, and something is not known of it. */
  private isDue(store: ExtentStore, row: number): boolean {
    const { table } = store;
    if (!this.isNormal(store, row) || table.has(row, EXTENT_FLAG.syncFailed)) return false;
    const mayBeClean =
      table.has(row, EXTENT_FLAG.trusted) && !store.slotsLost && canHaveEntry(table.ids[row]!);
    const unclean = mayBeClean && !table.has(row, EXTENT_FLAG.clean);
    if (table.crcs[row] !== 0 && !unclean) return false;
    return this.host.clock.nowMs() / 1000 - table.modTimes[row]! > CHECKSUM_QUIET_SECONDS;
  }

  /** Charges a read to the pace of its task and to the disk's limits, when both allow it. */
  private takeRead(bytes: number): boolean {
    const nowMs = this.monotonicMs();
    if (this.pace().waitMs(nowMs) > 0 || !this.host.limits.takeBackground('read', bytes, nowMs)) return false;
    return this.pace().take(bytes, nowMs);
  }

  private pace(): TokenBucket {
    return this.task === 'scrub' ? this.scrubPace : this.computePace;
  }

  private scrubState(): ScrubState {
    const place: WalkPlace = this.scrub.running ? this.scrubWalk.position : { partitionId: 0, extentId: 0 };
    return { ...this.scrub, ...place };
  }

  private save(): void {
    const nowMs = this.monotonicMs();
    if (this.scrubFile === null || this.saving || nowMs < this.nextSaveMs) return;
    this.nextSaveMs = this.scrub.running ? nowMs + SAVE_MS : Number.POSITIVE_INFINITY;
    this.saving = true;
    const { regions, scratchRegion, disk } = this.host;
    const at = scratchCheck(disk.batch.capacity, 'scrubFile');
    this.scrubFile.submit(this.scrubState(), regions, scratchRegion, at, () => {
      this.saving = false;
    });
  }

  private monotonicMs(): number {
    return this.host.clock.monotonicNs() / NS_PER_MS;
  }
}

function burstOf(bytesPerSecond: number): number {
  return Math.max(BURST_BYTES_MIN, bytesPerSecond / 20);
}
