/**
 * The packets of one link to a follower, in the order in which it gets and answers them: how far they have left, and until when the oldest must be answered. Pure; times come from outside.
 *
 * A packet *waits* until it is handed to the socket, *leaves* with the write that it is a part of, and is taken out when its reply has come. The deadline runs from when the packet became the oldest, or
 * was handed over where that was later; while the link is being dialled there is none but that of the dial.
 */
import assert from 'node:assert';

const CAPACITY_MIN = 64;

export class FollowerQueue {
  /** Tags: a ring, indexed by counts that are never reset. */
  #tags = new Int32Array(CAPACITY_MIN);
  #first = 0;
  #end = 0;
  /** Count of the first packet that was not handed to the socket, and of the first that has not left. */
  #handed = 0;
  #left = 0;
  /** Since when the oldest packet is awaited, ms; infinity: none is, or it was not handed over. */
  #sinceMs = Number.POSITIVE_INFINITY;

  /** Packets that were not answered. */
  get length(): number {
    return this.#end - this.#first;
  }

  /** Some packet was not handed to the socket. */
  get waits(): boolean {
    return this.#handed < this.#end;
  }

  /** Packets handed over since the link was made: what `left` is told when the write that ends with the last of them is done. */
  get handed(): number {
    return this.#handed;
  }

  push(tag: number): void {
    if (this.length === this.#tags.length) this.#grow();
    this.#tags[this.#end++ & (this.#tags.length - 1)] = tag;
  }

  /** The first packet that waits. */
  get waiting(): number {
    assert(this.waits, 'a packet waits');
    return this.#tags[this.#handed & (this.#tags.length - 1)]!;
  }

  /** That packet is handed to the socket. */
  handOver(nowMs: number): void {
    if (this.#handed === this.#first) this.#sinceMs = nowMs;
    this.#handed++;
  }

  /** The first packet that waits is taken out: it is not to be sent any more. Those behind it move up, which costs a step for each; only after failures. */
  passOver(): number {
    const tag = this.waiting;
    const mask = this.#tags.length - 1;
    this.#end--;
    for (let at = this.#handed; at < this.#end; at++) this.#tags[at & mask] = this.#tags[(at + 1) & mask]!;
    return tag;
  }

  /** The first `count` packets have left this process. */
  left(count: number): void {
    this.#left = count;
  }

  /** The oldest packet, -1: none. */
  get oldest(): number {
    return this.length === 0 ? -1 : this.#tags[this.#first & (this.#tags.length - 1)]!;
  }

  /** The oldest packet has left as a whole: it may be answered. */
  get oldestHasLeft(): boolean {
    return this.#first < this.#left;
  }

  /** Takes the oldest packet out, because it was answered, or the link is lost. */
  shift(nowMs: number): number {
    const tag = this.oldest;
    assert(tag >= 0, 'an empty queue has no oldest packet');
    this.#first++;
    if (this.#handed < this.#first) this.#handed = this.#first;
    this.#sinceMs = this.#handed > this.#first ? nowMs : Number.POSITIVE_INFINITY;
    return tag;
  }

  /** The oldest packet was awaited for `replyMs` and longer. */
  isOverdue(nowMs: number, replyMs: number): boolean {
    return nowMs - this.#sinceMs >= replyMs;
  }

  #grow(): void {
    const old = this.#tags;
    const tags = new Int32Array(old.length * 2);
    for (let count = this.#first; count < this.#end; count++) {
      tags[count & (tags.length - 1)] = old[count & (old.length - 1)]!;
    }
    this.#tags = tags;
  }
}
