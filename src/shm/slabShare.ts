/**
 * How one budget (the slots of a size class, or the bytes of a disk's quota) is shared between the kinds of work. Used by `slab.ts` alone.
 *
 * The rule: primary work, leaf work and replies to clients have a reserve of a quarter each, which nobody else can take, but leaf work that of primary work; what is not reserved goes to whoever comes first. Primary work
 * holds half at most, and what other replicas read for their repair a quarter. So leaf work never waits for primary work (no circle of nodes waiting for each other), and no client for replies that a slow client, or a
 * replica under repair, does not fetch.
 */

/** What a slot is for. */
export const SLOT_KIND = {
  /** A request that this node forwards to followers before it answers. */
  primary: 0,
  /** A request with RemainingFollowers 0, or raft. */
  leaf: 1,
  /** Room for a reply body: reads of clients. */
  reply: 2,
  /** The same for repair reads of other replicas. It has no reserve. */
  background: 3,
} as const;
export type SlotKind = (typeof SLOT_KIND)[keyof typeof SLOT_KIND];

/** One budget. Amounts are slots or bytes, as its owner likes. */
export class SlabShare {
  /** The whole budget. May be lowered below what is in use: then nothing fits until enough came back. */
  limit: number;
  /** Most that was ever in use at one time. */
  highWater = 0;
  private readonly used = new Float64Array(4);

  constructor(limit: number) {
    this.limit = limit;
  }

  /** In use now, all kinds. */
  inUse(): number {
    return this.used[0]! + this.used[1]! + this.used[2]! + this.used[3]!;
  }

  /** In use now by `kind`. */
  inUseBy(kind: SlotKind): number {
    return this.used[kind]!;
  }

  /** How much more the rule leaves for `kind`; below zero when its limit was lowered. */
  room(kind: SlotKind): number {
    const { limit, used } = this;
    const { primary, leaf, reply } = SLOT_KIND;
    let room = limit - this.inUse();
    if (kind !== leaf) room -= this.unmet(leaf);
    if (kind !== reply) room -= this.unmet(reply);
    if (kind === primary) return Math.min(room, limit / 2 - used[kind]!);
    if (kind === leaf) return room;
    const open = room - this.unmet(primary);
    // Leaf work may have taken what is primary's: a reply has its own reserve all the same.
    if (kind === reply) return Math.max(open, Math.min(room, this.unmet(reply)));
    return Math.min(open, Math.floor(limit / 4) - used[kind]!);
  }

  /** True when `amount` more for `kind` keeps the rule. */
  fits(amount: number, kind: SlotKind): boolean {
    return amount <= this.room(kind);
  }

  /** Books `amount` (below zero: gives back) for `kind`. */
  add(amount: number, kind: SlotKind): void {
    this.used[kind]! += amount;
    const inUse = this.inUse();
    if (inUse > this.highWater) this.highWater = inUse;
  }

  /** What a kind has not taken of its reserve. */
  private unmet(kind: SlotKind): number {
    return Math.max(0, Math.floor(this.limit / 4) - this.used[kind]!);
  }
}
