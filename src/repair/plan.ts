/**
 * What a round of repair is to do, from the extent lists of the replicas (`repair.md` 6): who lacks what, whom to fetch it from, which tiny extents agree. Pure.
 *
 * The largest copy of an extent is the one that the others are brought up to: lengths only grow, so it holds what every shorter one holds, and perhaps the end of a write that was
 * never acknowledged. Contents are not looked at here.
 *
 * Lists come from peers, so nothing in them is believed beyond what an extent can be: a record that makes no sense is passed over, and counted.
 */
import type { ExtentInfo } from '../protocol/extentInfo.js';
import {
  EXTENT_BYTES_MAX,
  EXTENT_ID_MAX,
  isTinyExtent,
  PAGE_BYTES,
  TINY_EXTENT_LAST,
  TINY_WATERMARK_MAX,
} from '../storage/layout.js';

/** Entries of one member's task. A notification of so many stays well below what peers take; the next round goes on with the rest. */
export const TASK_ENTRIES_MAX = 20_000;

/** One replica that has answered. */
export interface PlanMember {
  /** `ip:port`, under which the others reach it. */
  readonly address: string;
  readonly extents: readonly ExtentInfo[];
}

export interface PlanInput {
  /** `normal`: extents above 64. Else the tiny extents that were taken for the round. */
  readonly kind: 'normal' | { readonly tinyIds: readonly number[] };
  /** The present replicas in the order of the host list; the first is this node. */
  readonly members: readonly PlanMember[];
  /** Whether every host of the partition is among them. */
  readonly complete: boolean;
  /** Ids that were deleted here and are never to come back from a replica that has missed it. */
  readonly isDeleted: (id: number) => boolean;
  readonly entriesMax?: number;
}

/** What one member is to do. Entries are records of the wire: `size` is the target, `source` the holder. */
export interface MemberTask {
  readonly create: ExtentInfo[];
  /** Those to be created too: a Go member looks for them in either list. */
  readonly repair: ExtentInfo[];
}

export interface Plan {
  /** By index of the member. */
  readonly tasks: readonly MemberTask[];
  /** Tiny extents that are the same everywhere, and all others that were taken for the round. */
  readonly good: readonly number[];
  readonly bad: readonly number[];
  /** Records that make no sense, by index of the member. */
  readonly nonsense: readonly number[];
  /** Entries that the bound has left to the next round. */
  readonly leftOut: number;
}

/** Copies of one extent: by member the size, -1 where it was not reported, -2 where it is reported as deleted. */
interface Copies {
  readonly sizes: number[];
  readonly crcs: number[];
}

const ABSENT = -1;
const DELETED = -2;

/** Plans a round. */
export function planRound(input: PlanInput): Plan {
  const { members, kind, isDeleted, entriesMax = TASK_ENTRIES_MAX } = input;
  const nonsense = members.map(() => 0);
  const extents = collect(input, nonsense);
  const tasks = members.map((): MemberTask => ({ create: [], repair: [] }));
  const sources = new SourceChoice(members.length);
  const unequal = new Set<number>();
  let leftOut = 0;
  for (const id of [...extents.keys()].sort((a, b) => a - b)) {
    const copies = extents.get(id)!;
    const size = Math.max(...copies.sizes);
    const behind = membersBehind(copies, size);
    if (behind.length === 0) continue;
    unequal.add(id);
    // Nobody has it but as deleted, or it is gone here for good.
    if (size < 0 || isDeleted(id)) continue;
    for (const member of behind) {
      const missing = copies.sizes[member] === ABSENT;
      // Every replica has all tiny extents; one that does not is broken in another way.
      if (missing && isTinyExtent(id)) continue;
      const task = tasks[member]!;
      if (task.repair.length >= entriesMax) {
        leftOut += 1;
        continue;
      }
      const source = members[sources.choose(copies, size)]!.address;
      const entry: ExtentInfo = { fileId: id, size, crc: 0, deleted: false, modTime: 0, source };
      if (missing) task.create.push(entry);
      task.repair.push(entry);
    }
  }
  const taken = kind === 'normal' ? [] : [...new Set(kind.tinyIds)];
  const isGood = (id: number): boolean => input.complete && extents.has(id) && !unequal.has(id);
  return {
    tasks,
    good: taken.filter(isGood),
    bad: taken.filter((id) => !isGood(id)),
    nonsense,
    leftOut,
  };
}

/** The copies of each extent that the round is about. Of a record that comes twice in one list the larger counts. */
function collect({ members, kind }: PlanInput, nonsense: number[]): Map<number, Copies> {
  const wanted = kind === 'normal' ? null : new Set(kind.tinyIds);
  const extents = new Map<number, Copies>();
  for (const [member, { extents: records }] of members.entries()) {
    for (const record of records) {
      if (!makesSense(record, wanted)) {
        nonsense[member]! += 1;
        continue;
      }
      let copies = extents.get(record.fileId);
      if (copies === undefined) {
        copies = { sizes: members.map(() => ABSENT), crcs: members.map(() => 0) };
        extents.set(record.fileId, copies);
      }
      const size = record.deleted ? DELETED : record.size;
      const before = copies.sizes[member]!;
      if (before !== ABSENT && size <= before) continue;
      copies.sizes[member] = size;
      copies.crcs[member] = record.crc;
    }
  }
  return extents;
}

/** Whether an extent can be so, and belongs into a list of this kind. */
function makesSense({ fileId, size }: ExtentInfo, tinyIds: ReadonlySet<number> | null): boolean {
  if (tinyIds !== null) {
    return (
      tinyIds.has(fileId) && isTinyExtent(fileId) && size <= TINY_WATERMARK_MAX && size % PAGE_BYTES === 0
    );
  }
  return fileId > TINY_EXTENT_LAST && fileId <= EXTENT_ID_MAX && size > 0 && size <= EXTENT_BYTES_MAX;
}

/** Members that do not have `size` bytes: shorter, or without the extent. One that has deleted it is left alone. */
function membersBehind({ sizes }: Copies, size: number): number[] {
  const behind: number[] = [];
  for (const [member, own] of sizes.entries()) {
    if (own !== DELETED && own < size) behind.push(member);
  }
  return behind;
}

/**
 * Chooses among the replicas that have an extent whole: those whose checksum most of them share go first, because one of another content is damaged; then who has been named least
 * in this round, so that all of them serve; then the order of hosts.
 */
class SourceChoice {
  readonly #named: number[];

  constructor(members: number) {
    this.#named = new Array<number>(members).fill(0);
  }

  choose({ sizes, crcs }: Copies, size: number): number {
    const holders = [...sizes.keys()].filter((member) => sizes[member] === size);
    const agreement = (member: number): number =>
      crcs[member] === 0 ? 0 : holders.filter((other) => crcs[other] === crcs[member]).length;
    let best = holders[0]!;
    for (const member of holders.slice(1)) {
      const order =
        agreement(member) - agreement(best) || this.#named[best]! - this.#named[member]! || best - member;
      if (order > 0) best = member;
    }
    this.#named[best]! += 1;
    return best;
  }
}
