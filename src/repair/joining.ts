/**
 * A replica that was created to replace another one (create type 1, `repair.md` 10): when it has all that it lacked. Asks; fetches nothing: what is missing comes by the rounds of the first host, as in the reference.
 *
 * Complete is, of the extents up to the first host's largest id at the start: each is as long here, listed there or not, unless it was deleted here for good (R13); the sum of their sizes here is not less than there (the reference's
 * whole test), or what the sum there has more are extents that were deleted there; and the deletes inside tiny extents that the first host has announced in this life were all carried out here (R14). Then META says so, and what starts
 * raft (docs/repair.md) may.
 */
import { LIST } from '../partition/internalOps.js';
import { TINY_EXTENT_FIRST, TINY_EXTENT_LAST } from '../storage/layout.js';
import type { LocalReplica } from './localReplica.js';
import type { PeerReplicas } from './peerReplica.js';
import { findUnlisted } from './unlisted.js';

/** Pause between two looks, ms; and after one that has found lists differing, which are large. */
export const JOIN_PAUSE_MS = 5_000;
export const JOIN_LISTS_PAUSE_MS = 20_000;
/** Lists are compared this often, ms, while the sums do not agree: rounds bring what is missing once in two minutes. */
export const JOIN_UNEQUAL_MS = 60_000;

const TINY_IDS = Array.from({ length: TINY_EXTENT_LAST }, (_, i) => TINY_EXTENT_FIRST + i);

export interface JoiningParts {
  readonly partitionId: number;
  readonly replica: LocalReplica;
  readonly peers: Pick<PeerReplicas, 'list' | 'sizeUpTo' | 'maxIdAndSize' | 'hasExtent'>;
  nowMs(): number;
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
  /** The sum here at the last look, and when lists may be compared although it is too small. */
  #lastHere = -1;
  #listsDueMs = 0;

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
    const isLess = here < this.#sizeBytes;
    if (isLess && !this.#comparesAllTheSame(here))
      return { missing: `${here} of ${this.#sizeBytes} bytes are here`, pauseMs: JOIN_PAUSE_MS };
    const missing = await this.#compare(firstHost, isLess);
    if (missing !== '') return { missing, pauseMs: isLess ? JOIN_PAUSE_MS : JOIN_LISTS_PAUSE_MS };
    if (replica.deletes.upToDateWith !== firstHost)
      return { missing: 'the first host has not told its tiny deletes', pauseMs: JOIN_PAUSE_MS };
    return { missing: '', pauseMs: 0 };
  }

  /** Whether lists are to be compared while the sum here is too small: nothing has come since the last look, so perhaps nothing is missing but what was deleted there. */
  #comparesAllTheSame(here: number): boolean {
    const stands = here === this.#lastHere;
    this.#lastHere = here;
    const nowMs = this.#parts.nowMs();
    if (!stands || nowMs < this.#listsDueMs) return false;
    this.#listsDueMs = nowMs + JOIN_UNEQUAL_MS;
    return true;
  }

  /** Compares each extent with the first host's. `isLess`: the sum here is too small. Empty: nothing is missing. */
  async #compare(firstHost: string, isLess: boolean): Promise<string> {
    const { partitionId, peers, replica } = this.#parts;
    const [normal, tiny] = [
      await peers.list(firstHost, partitionId, null),
      await peers.list(firstHost, partitionId, TINY_IDS),
    ];
    await replica.learnDeleted();
    const sizes = new Map((await replica.own.extents(LIST.all)).map(({ fileId, size }) => [fileId, size]));
    const there = [...normal, ...tiny].filter(
      ({ deleted, fileId }) => !deleted && fileId <= this.#extentIdMax,
    );
    const shorter = there.filter(
      ({ fileId, size }) => !replica.isDeleted(fileId) && (sizes.get(fileId) ?? 0) < size,
    ).length;
    if (shorter > 0) return `${shorter} extents are shorter here`;
    const listed = new Map(there.map(({ fileId, size }) => [fileId, size]));
    return this.#unlisted(firstHost, listed, isLess);
  }

  /** The same of those extents that the first host has and does not list. Where they cannot be told, sums that agree are enough, as in the reference. */
  async #unlisted(firstHost: string, listed: ReadonlyMap<number, number>, isLess: boolean): Promise<string> {
    const { partitionId, peers, replica } = this.#parts;
    const sumUpTo = (id: number): Promise<number> => peers.sizeUpTo(firstHost, partitionId, id);
    const unlisted = await findUnlisted(TINY_EXTENT_LAST, this.#extentIdMax, listed, sumUpTo);
    if (unlisted === 'changing') return isLess ? 'the first host forgets deleted extents just now' : '';
    if (unlisted === 'too many')
      return isLess ? 'the first host has too many extents that it does not list' : '';
    for (const [id, bytes] of unlisted) {
      // One that is listed has grown since: it was as long here.
      if (listed.has(id) || replica.isDeleted(id)) continue;
      const isShort = async (): Promise<boolean> => (await replica.own.extentSize(id)) < bytes;
      if (!(await isShort()) || !(await peers.hasExtent(firstHost, partitionId, id))) continue;
      // Again: an append reaches the first host before it does this one.
      if (await isShort()) return `extent ${id}, which is being written to, is shorter here`;
    }
    return '';
  }
}
