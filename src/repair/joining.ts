/**
 * A replica that was created to replace another one (create type 1, `repair.md` 10): when it has all that it lacked. Asks; fetches nothing: what is missing comes by the rounds of the first host, as in the reference.
 *
 * Complete is, of the extents up to the first host's largest id at the start: the sum of their sizes here is not less than there (the reference's whole test), each that is listed there is as long here, unless it was deleted
 * here for good (R13), and the deletes inside tiny extents that the first host has announced in this life were all carried out here (R14). Then META says so, and what starts raft (docs/repair.md) may.
 */
import { LIST } from '../partition/internalOps.js';
import { TINY_EXTENT_FIRST, TINY_EXTENT_LAST } from '../storage/layout.js';
import type { LocalReplica } from './localReplica.js';
import type { PeerReplicas } from './peerReplica.js';

/** Pause between two looks, ms; and after one that has found lists differing, which are large. */
export const JOIN_PAUSE_MS = 5_000;
export const JOIN_LISTS_PAUSE_MS = 20_000;

const TINY_IDS = Array.from({ length: TINY_EXTENT_LAST }, (_, i) => TINY_EXTENT_FIRST + i);

export interface JoiningParts {
  readonly partitionId: number;
  readonly replica: LocalReplica;
  readonly peers: Pick<PeerReplicas, 'list' | 'sizeUpTo' | 'maxIdAndSize'>;
}

/** What a look has found: `missing` is empty when the replica is complete. */
export interface JoinLook {
  readonly missing: string;
  readonly pauseMs: number;
}

export class Joining {
  readonly #parts: JoiningParts;
  /** The first host's largest id and sum of sizes at the start; the sum becomes smaller when extents are deleted there. */
  #extentIdMax = 0;
  #sizeBytes = 0;
  /** The sum here at the look before. */
  #bytesHere = -1;

  constructor(parts: JoiningParts) {
    this.#parts = parts;
  }

  /** Compares with the first host. Rejects when it or the worker cannot be asked. */
  async look(firstHost: string): Promise<JoinLook> {
    const { partitionId, peers, replica } = this.#parts;
    if (this.#extentIdMax === 0 || this.#sizeBytes === 0) {
      const { extentIdMax, sizeBytes } = await peers.maxIdAndSize(firstHost, partitionId);
      this.#extentIdMax = extentIdMax;
      this.#sizeBytes = sizeBytes;
    }
    const there = await peers.sizeUpTo(firstHost, partitionId, this.#extentIdMax);
    this.#sizeBytes = Math.min(this.#sizeBytes, there);
    const here = await replica.own.sizeUpTo(this.#extentIdMax);
    const stands = here === this.#bytesHere;
    this.#bytesHere = here;
    // Lists are large: they are asked for when no more comes.
    if (here < this.#sizeBytes && !(stands && here + (await this.#gone(firstHost)) >= this.#sizeBytes)) {
      const pauseMs = stands ? JOIN_LISTS_PAUSE_MS : JOIN_PAUSE_MS;
      return { missing: `${here} of ${this.#sizeBytes} bytes are here`, pauseMs };
    }
    const shorter = await this.#shorter(firstHost);
    if (shorter > 0) return { missing: `${shorter} extents are shorter here`, pauseMs: JOIN_LISTS_PAUSE_MS };
    if (replica.deletes.upToDateWith !== firstHost)
      return { missing: 'the first host has not told its tiny deletes', pauseMs: JOIN_PAUSE_MS };
    return { missing: '', pauseMs: 0 };
  }

  /** Bytes of the first host's normal extents that were deleted here for good: a loss of power may have brought their files back there. They never come here. */
  async #gone(firstHost: string): Promise<number> {
    const { partitionId, peers, replica } = this.#parts;
    const listed = await peers.list(firstHost, partitionId, null);
    await replica.learnDeleted();
    const gone = listed.filter(
      ({ fileId, deleted }) => !deleted && fileId <= this.#extentIdMax && replica.isDeleted(fileId),
    );
    return gone.reduce((sum, { size }) => sum + size, 0);
  }

  /** How many of the first host's extents are shorter here. */
  async #shorter(firstHost: string): Promise<number> {
    const { partitionId, peers, replica } = this.#parts;
    const [normal, tiny] = [
      await peers.list(firstHost, partitionId, null),
      await peers.list(firstHost, partitionId, TINY_IDS),
    ];
    await replica.learnDeleted();
    const sizes = new Map((await replica.own.extents(LIST.all)).map(({ fileId, size }) => [fileId, size]));
    let shorter = 0;
    for (const { fileId, size, deleted } of [...normal, ...tiny]) {
      if (deleted || fileId > this.#extentIdMax || replica.isDeleted(fileId)) continue;
      if ((sizes.get(fileId) ?? 0) < size) shorter += 1;
    }
    return shorter;
  }
}
