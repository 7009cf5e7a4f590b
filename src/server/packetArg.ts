/**
 * The Arg of a connection's packets: received across any split of bytes, and read as a list of followers (`wire.md` 3.3). Lists repeat from packet to packet, and an equal one behind the last costs no copy.
 */
import { FollowerLists } from './packetFacts.js';

const EMPTY = new Uint8Array(0);

export class PacketArg {
  /** Of the packet that is received, as far as it has come. Not changed any more when it is complete. */
  bytes: Uint8Array = EMPTY;
  readonly lists = new FollowerLists();
  #bytesMax = 0;
  #fill = 0;
  /** The last one that was not empty. */
  #last: Uint8Array = EMPTY;

  /** A packet has an Arg of `argBytes`. */
  begin(argBytes: number): void {
    this.#bytesMax = argBytes;
    this.#fill = 0;
    this.bytes = EMPTY;
    this.lists.take(EMPTY);
  }

  get isComplete(): boolean {
    return this.#fill === this.#bytesMax;
  }

  /** Takes what is there of it in `bytes[at, to)`; returns how much. */
  take(bytes: Uint8Array, at: number, to: number): number {
    const count = Math.min(this.#bytesMax - this.#fill, to - at);
    if (count === 0) return 0;
    if (count === this.#last.length && count === this.#bytesMax && isAt(bytes, at, this.#last)) {
      this.bytes = this.#last;
    } else {
      if (this.#fill === 0) this.bytes = Buffer.alloc(this.#bytesMax);
      this.bytes.set(bytes.subarray(at, at + count), this.#fill);
    }
    this.#fill += count;
    if (this.isComplete) {
      this.#last = this.bytes;
      this.lists.take(this.bytes);
    }
    return count;
  }
}

function isAt(bytes: Uint8Array, at: number, expected: Uint8Array): boolean {
  for (let i = 0; i < expected.length; i++) if (bytes[at + i] !== expected[i]) return false;
  return true;
}
