/**
 * What clients were told, and what a disk must hold because of it (`docs/durability.md`).
 */
import type { Sent } from '../partition/storeRig.js';

/** What is lost: nothing that was written (`kill`), or whatever was not synced (`power`). */
export type Crash = 'kill' | 'power';

/** A block that gets another content by a heal (docs/repair.md). */
export interface SentHeal {
  sent: Sent;
  partitionId: number;
  extentId: number;
  /** Offset of the block, its content before, and after. */
  at: number;
  before: Uint8Array;
  after: Uint8Array;
  /** Somebody has written to the block since: any content, but it is readable. */
  writtenOver: boolean;
}

export interface SentWrite {
  sent: Sent;
  at: number;
  body: Uint8Array;
  sync: boolean;
}

/** Bytes [start, end) of an extent and what may stand there, each a piece of a write. */
export interface PromisedRange {
  start: number;
  end: number;
  candidates: Uint8Array[];
}

export class PartitionPromises {
  /** OpCreateDataPartition was acknowledged. */
  created = false;
  deletion: 'none' | 'sent' | 'acknowledged' = 'none';
  readonly creates: Sent[] = [];
  /** By extent id, in the order in which they were sent: executed in this order or not at all. */
  readonly writes = new Map<number, SentWrite[]>();

  /** Ids that clients have got. */
  handedOut(): number[] {
    return this.creates.filter(({ ok }) => ok).map(({ extentId }) => extentId);
  }

  /**
   * What must be readable of an extent after a crash; empty when nothing is promised. A kill keeps what was acknowledged; a power loss what a sync write
   * acknowledged, and what was acknowledged before it. `stopped`: a clean stop came before, which keeps everything.
   */
  ranges(extentId: number, crash: Crash, stopped: boolean): PromisedRange[] {
    const writes = this.writes.get(extentId) ?? [];
    const lastSync = writes.findLastIndex(({ sent, sync }) => sync && sent.ok);
    const all = crash === 'kill' || stopped;
    const promised = writes.map(({ sent }, number) => sent.ok && (all || number <= lastSync));
    const end = writes.reduce(
      (most, { at, body }, i) => (promised[i] ? Math.max(most, at + body.length) : most),
      0,
    );
    const borders = new Set([0, end]);
    for (const { at, body } of writes)
      for (const border of [at, at + body.length]) if (border < end) borders.add(border);
    const sorted = [...borders].sort((a, b) => a - b);
    const ranges: PromisedRange[] = [];
    for (const [number, start] of sorted.slice(0, -1).entries()) {
      const rangeEnd = sorted[number + 1]!;
      const candidates = candidatesOf(writes, promised, start, rangeEnd);
      if (candidates.length > 0) ranges.push({ start, end: rangeEnd, candidates });
    }
    return ranges;
  }
}

/** The last promised write of a range and all that were sent after it; a write whose end is not known may have happened. */
function candidatesOf(writes: SentWrite[], promised: boolean[], start: number, end: number): Uint8Array[] {
  const candidates: Uint8Array[] = [];
  for (let number = writes.length - 1; number >= 0; number -= 1) {
    const { at, body } = writes[number]!;
    if (at > start || at + body.length < end) continue;
    candidates.push(body.subarray(start - at, end - at));
    if (promised[number]) return candidates;
  }
  return [];
}

/** Whether each byte is that of one of the candidates. */
export function holds(bytes: Uint8Array, candidates: readonly Uint8Array[]): boolean {
  if (candidates.some((candidate) => Buffer.compare(candidate, bytes) === 0)) return true;
  if (candidates.length === 1) return false;
  return bytes.every((byte, at) => candidates.some((candidate) => candidate[at] === byte));
}
