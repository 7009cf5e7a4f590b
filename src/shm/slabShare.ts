/**
 * How one budget (the slots of a size class, or the bytes of a disk's quota) is shared between the three kinds of work. Used by `slab.ts` alone.
 *
 * The rule: primary work holds half at most; leaf work and replies have a reserve of a quarter each, which nobody else can take; what
 * is not reserved goes to whoever comes first. So leaf work never waits for primary work (no circle of nodes waiting for each other) nor for replies
 * that a slow client does not fetch.
 */

/** What a slot is for. */
export const SLOT_KIND = {
  /** A request that this node forwards to followers before it answers. */
  primary: 0,
  /** A request with RemainingFollowers 0, or raft. */
  leaf: 1,
  /** Room for a reply body: reads. */
  reply: 2,
} as const;
export type SlotKind = (typeof SLOT_KIND)[keyof typeof SLOT_KIND];

/** One budget. Amounts are slots or bytes, as its owner likes. */
export class SlabShare {
  /** The whole budget. May be lowered below what is in use: then nothing fits until enough came back. */
  limit: number;
  /** Most that was ever in use at one time. */
  highWater = 0;
  private readonly used = new Float64Array(3);

  constructor(limit: number) {
    this.limit = limit;
  }

  /** In use now, all kinds. */
  inUse(): number {
    return this.used[0]! + this.used[1]! + this.used[2]!;
  }

  /** In use now by `kind`. */
  inUseBy(kind: SlotKind): number {
    return this.used[kind]!;
  }

  /** How much more the rule leaves for `kind`; below zero when its limit was lowered. */
  room(kind: SlotKind): number {
    const used = this.used;
    const reserve = Math.floor(this.limit / 4);
    let room = this.limit - this.inUse();
    if (kind !== SLOT_KIND.leaf) room -= Math.max(0, reserve - used[SLOT_KIND.leaf]!);
    if (kind !== SLOT_KIND.reply) room -= Math.max(0, reserve - used[SLOT_KIND.reply]!);
    return kind === SLOT_KIND.primary ? Math.min(room, this.limit / 2 - used[kind]!) : room;
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
}
