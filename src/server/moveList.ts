/**
 * Copies between a buffer and the slab, collected so that many are made in one native call: V8 copies into shared memory byte by byte unless both sides happen to
 * be aligned alike, which packets never are.
 */

/** Moves one list can hold: more than the packets in a scratch buffer or the replies in a staging buffer. */
const MOVES_MAX = 8192;

export class MoveList {
  /** (offset in the source, offset in the target, bytes), `count` times. */
  readonly triples = new Float64Array(3 * MOVES_MAX);
  count = 0;

  get full(): boolean {
    return this.count === MOVES_MAX;
  }

  add(from: number, to: number, bytes: number): void {
    const at = this.count * 3;
    this.triples[at] = from;
    this.triples[at + 1] = to;
    this.triples[at + 2] = bytes;
    this.count++;
  }
}
