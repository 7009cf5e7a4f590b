/**
 * Brings this node's replica of one partition what it is missing of committed random writes, and what a comparison after a snapshot has listed (docs/raft.md "What is missing"): lists what is missing, asks replicas that have applied
 * as much, and writes where they differ from what is here. What is written is decided by the worker again: a random write that was carried out here meanwhile owns its range.
 *
 * What is equal is not written; it is made durable, and then taken off the list. One piece after the other, so that the limits of the disks and the pace of the node say how fast.
 */
import type { MissingPart } from '../partition/internalRecords.js';
import { MissingRanges } from '../partition/missingRanges.js';
import { isTinyExtent, PAGE_BYTES, roundUpToPage } from '../storage/layout.js';
import { type Content, runsOf } from './differences.js';
import { type FetchOutcome, FetchPlan, type FetchSource, type FetchTask } from './missingPlan.js';

/** Bytes of one write: with what stands before them they fit a slot. */
export const FILL_BYTES_MAX = 64 * 1024;

/** This node's replica. All may reject with a line that says why. */
export interface MissingReplica {
  /** A page of what is missing, behind the first `passOver` extents; `next`: how many to pass over for the next one, -1 at the end. */
  missing(passOver: number): Promise<{ parts: MissingPart[]; next: number }>;
  /** -1: there is none. */
  extentSize(extentId: number): Promise<number>;
  content(extentId: number, from: number, to: number): Promise<Content>;
  /** Resolves with how many of these bytes were still missing, and are written. */
  fillMissing(extentId: number, from: number, bytes: Uint8Array, appliedIndex: number): Promise<number>;
  /** What is here is what a replica had that had applied so much, durably. */
  notMissing(extentId: number, from: number, to: number, appliedIndex: number): Promise<void>;
  forgetMissing(extentId: number, from: number): Promise<void>;
  sync(extentId: number): Promise<void>;
}

/** Another replica's bytes: up to `to`, or less, but one at least. `unknown`: it has no such extent; `beyond`: that ends before. */
export type PeerContent = Content | 'unknown' | 'beyond';

export interface MissingPassParts {
  readonly replica: MissingReplica;
  /** All other hosts, with what they had applied when they were asked; -1: not known. */
  readonly sources: readonly FetchSource[];
  readContent(address: string, extentId: number, from: number, to: number): Promise<PeerContent>;
  /** Resolves when so many bytes may be fetched. */
  pace(bytes: number): Promise<void>;
  /** True: the rest is left to another time. */
  isStopping(): boolean;
}

export interface MissingReport {
  comparedBytes: number;
  writtenBytes: number;
  /** How many extents the next pass is to pass over, since this one has come to its bound behind them; -1: it has come to the end. */
  next: number;
  /** The first thing that went wrong; empty: nothing did. */
  failure: string;
}

/** One pass from behind the first `passOver` extents of the list, of `piecesMax` pieces at most. Rejects when this node's replica cannot be asked. */
export async function fetchMissing(
  parts: MissingPassParts,
  passOver: number,
  piecesMax: number,
): Promise<MissingReport> {
  const report = { comparedBytes: 0, writtenBytes: 0, next: passOver, failure: '' };
  let piecesLeft = piecesMax;
  for (;;) {
    const page = await parts.replica.missing(report.next);
    for (const [extentId, listed] of byExtent(page.parts)) {
      if (parts.isStopping() || piecesLeft <= 0) return report;
      const extent = new ExtentPass(parts, report, extentId, listed);
      piecesLeft -= await extent.run(piecesLeft);
      // Those that are done stand in the list no more.
      if (!extent.isDone) report.next += 1;
    }
    if (page.next < 0) return { ...report, next: -1 };
  }
}

function byExtent(parts: readonly MissingPart[]): Map<number, MissingPart[]> {
  const extents = new Map<number, MissingPart[]>();
  for (const part of parts) extents.set(part.extentId, [...(extents.get(part.extentId) ?? []), part]);
  return extents;
}

class ExtentPass {
  readonly #parts: MissingPassParts;
  readonly #report: MissingReport;
  readonly #extentId: number;
  readonly #ranges = new MissingRanges();
  readonly #plan: FetchPlan;
  readonly #equal: { from: number; to: number; appliedIndex: number }[] = [];

  constructor(
    parts: MissingPassParts,
    report: MissingReport,
    extentId: number,
    listed: readonly MissingPart[],
  ) {
    this.#parts = parts;
    this.#report = report;
    this.#extentId = extentId;
    for (const { from, to, index } of listed) this.#ranges.add(extentId, { from, to, index });
    this.#plan = new FetchPlan(this.#ranges);
  }

  /** Nothing that was listed is missing any more. */
  get isDone(): boolean {
    return this.#ranges.count === 0;
  }

  /** Resolves with how many pieces were asked for. */
  async run(piecesMax: number): Promise<number> {
    const { replica, sources, isStopping } = this.#parts;
    const extentId = this.#extentId;
    const size = Math.max(0, await replica.extentSize(extentId));
    let pieces = 0;
    while (pieces < piecesMax && !isStopping()) {
      const task = this.#plan.next(sources, () => size);
      for (const { from } of this.#plan.forgotten.splice(0)) await replica.forgetMissing(extentId, from);
      if (task === null) break;
      pieces += 1;
      this.#plan.ended(task, await this.#piece(task, size));
    }
    await this.#tellEqual();
    return pieces;
  }

  async #piece(task: FetchTask, size: number): Promise<FetchOutcome> {
    const { replica, sources, readContent, pace } = this.#parts;
    const { extentId, source } = task;
    const { appliedIndex } = sources.find(({ address }) => address === source)!;
    const isTiny = isTinyExtent(extentId);
    const from = isTiny ? task.from - (task.from % PAGE_BYTES) : task.from;
    const to = isTiny ? roundUpToPage(task.to) : task.to;
    try {
      await pace(to - from);
      const theirs = await readContent(source, extentId, from, to);
      if (theirs === 'unknown' || theirs === 'beyond') return theirs;
      // It is somewhere: repair makes the extent here as long.
      if (task.from >= size) return 'failed';
      const own = await replica.content(extentId, from, from + theirs.bytes.byteLength);
      for (const run of runsOf(from, own, theirs, FILL_BYTES_MAX)) {
        if (run.isEqual) {
          this.#equal.push({ from: run.from, to: run.to, appliedIndex });
          continue;
        }
        const bytes = theirs.bytes.subarray(run.from - from, run.to - from);
        this.#report.writtenBytes += await replica.fillMissing(extentId, run.from, bytes, appliedIndex);
      }
      this.#report.comparedBytes += theirs.bytes.byteLength;
      this.#ranges.copied(extentId, from, from + theirs.bytes.byteLength, appliedIndex);
      return 'copied';
    } catch (error) {
      this.#failed(`extent ${extentId} from ${source}: ${(error as Error).message}`);
      return 'failed';
    }
  }

  /** What is equal may be in the page cache alone. */
  async #tellEqual(): Promise<void> {
    if (this.#equal.length === 0) return;
    const { replica } = this.#parts;
    try {
      await replica.sync(this.#extentId);
      for (const { from, to, appliedIndex } of joined(this.#equal))
        await replica.notMissing(this.#extentId, from, to, appliedIndex);
    } catch (error) {
      this.#failed(`extent ${this.#extentId}: ${(error as Error).message}`);
    }
  }

  #failed(reason: string): void {
    if (this.#report.failure === '') this.#report.failure = reason;
  }
}

/** Neighbours of one age are one. */
function joined(equal: readonly { from: number; to: number; appliedIndex: number }[]): typeof equal {
  const runs: { from: number; to: number; appliedIndex: number }[] = [];
  for (const each of equal) {
    const last = runs.at(-1);
    if (last?.to === each.from && last.appliedIndex === each.appliedIndex) last.to = each.to;
    else runs.push({ ...each });
  }
  return runs;
}
