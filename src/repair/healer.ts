/**
 * Healing carried out, one block at a time: reads a block here and on every other host, lets `heal.ts` judge, reads the good content again from a second holder, and hands it to the worker, which writes it only if the block is still what was
 * voted against. A replica heals itself only: nobody can write into the middle of another's extent.
 */
import { BLOCK_BYTES } from '../storage/layout.js';
import { type Copy, type Verdict, voteOnBlock } from './heal.js';

/** A block of this node's replica. `stored`: its checksum in EXTENT_CRC, 0: not known; `storedIsSure`: that is surely right. */
export interface OwnBlock {
  readonly crc: number;
  readonly body: Uint8Array;
  readonly stored: number;
  readonly storedIsSure: boolean;
}

/** This node's replica of the partition. All may reject with a line that says why. */
export interface HealReplica {
  readBlock(extentId: number, block: number): Promise<OwnBlock>;
  /** Durable when it resolves; rejects when the block is not that with `expectedCrc` any more. */
  healBlock(
    extentId: number,
    block: number,
    body: Uint8Array,
    crc: number,
    expectedCrc: number,
  ): Promise<void>;
  /** What raft has applied; null: not known. */
  appliedId(): Promise<number | null>;
}

/** The other replicas. */
export interface HealPeers {
  /** `bytes` of an extent from `offset`, with the checksum that came with them, which was compared. Rejects with a line that says why there are none. */
  readBlock(
    address: string,
    extentId: number,
    offset: number,
    bytes: number,
  ): Promise<{ body: Uint8Array; crc: number }>;
  /** Never rejects: null, not known. */
  appliedId(address: string): Promise<number | null>;
}

export interface HealReport {
  readonly looked: number;
  readonly healed: readonly number[];
  /** Blocks that are right under a stored checksum that was wrong. */
  readonly slotsCorrected: readonly number[];
  /** Blocks of which nobody can say what is right, and why. */
  readonly noVerdict: readonly { readonly block: number; readonly reason: string }[];
  /** Blocks to be looked at again: somebody writes, or a peer or the disk has failed. */
  readonly later: readonly { readonly block: number; readonly reason: string }[];
}

export interface HealerParts {
  readonly ownAddress: string;
  readonly replica: HealReplica;
  readonly peers: HealPeers;
  /** Resolves when the next block may be looked at. */
  turn(): Promise<void>;
  /** True: the rest is left to another time. */
  isStopping(): boolean;
}

interface Votes {
  readonly own: OwnBlock;
  readonly bodies: ReadonlyMap<string, Uint8Array>;
  readonly verdict: Verdict;
}

export class Healer {
  readonly #parts: HealerParts;

  constructor(parts: HealerParts) {
    this.#parts = parts;
  }

  /** Looks at `blocks` of an extent, in their order. `hosts`: all of the partition, this node among them. Never rejects. */
  async healExtent(
    extentId: number,
    blocks: readonly number[],
    hosts: readonly string[],
  ): Promise<HealReport> {
    const report = {
      looked: 0,
      healed: [] as number[],
      slotsCorrected: [] as number[],
      noVerdict: [] as { block: number; reason: string }[],
      later: [] as { block: number; reason: string }[],
    };
    for (const block of blocks) {
      await this.#parts.turn();
      if (this.#parts.isStopping()) break;
      report.looked += 1;
      try {
        const votes = await this.#votes(extentId, block, hosts);
        const { verdict } = votes;
        if (verdict.kind === 'noVerdict') report.noVerdict.push({ block, reason: verdict.reason });
        else if (verdict.kind === 'later') report.later.push({ block, reason: verdict.reason });
        else if (verdict.kind === 'heal') {
          await this.#heal(extentId, block, votes, verdict);
          report.healed.push(block);
        } else if (verdict.slotIsWrong) {
          const { body, crc } = votes.own;
          await this.#parts.replica.healBlock(extentId, block, body, crc, crc);
          report.slotsCorrected.push(block);
        }
      } catch (error) {
        report.later.push({ block, reason: (error as Error).message });
      }
    }
    return report;
  }

  async #votes(extentId: number, block: number, hosts: readonly string[]): Promise<Votes> {
    const { ownAddress, replica, peers } = this.#parts;
    const others = [...new Set(hosts)].filter((host) => host !== ownAddress);
    const ids = (): Promise<(number | null)[]> =>
      Promise.all([replica.appliedId(), ...others.map((host) => peers.appliedId(host))]);
    const before = await ids();
    const own = await replica.readBlock(extentId, block);
    const bodies = new Map<string, Uint8Array>();
    const copies = await Promise.all(
      others.map(async (host): Promise<Pick<Copy, 'host' | 'content' | 'why'>> => {
        try {
          const { body, crc } = await peers.readBlock(
            host,
            extentId,
            block * BLOCK_BYTES,
            own.body.byteLength,
          );
          bodies.set(host, body);
          return { host, content: { crc, bytes: body.byteLength }, why: '' };
        } catch (error) {
          return { host, content: null, why: (error as Error).message };
        }
      }),
    );
    const after = await ids();
    const ownCopy = { host: ownAddress, content: { crc: own.crc, bytes: own.body.byteLength }, why: '' };
    const withIds = [ownCopy, ...copies].map((copy, i) => ({
      ...copy,
      appliedBefore: before[i] ?? null,
      appliedAfter: after[i] ?? null,
    }));
    const [ownVote, ...peerVotes] = withIds;
    const { stored, storedIsSure } = own;
    const verdict = voteOnBlock({
      ...{ hosts: others.length + 1, own: ownVote!, stored, storedIsSure },
      peers: peerVotes,
    });
    return { own, bodies, verdict };
  }

  /** A majority without this node has two holders at least. */
  async #heal(
    extentId: number,
    block: number,
    { own, bodies }: Votes,
    { crc, bytes, holders }: Verdict & { kind: 'heal' },
  ): Promise<void> {
    const { replica, peers } = this.#parts;
    const [first, second] = holders;
    const body = bodies.get(first!)!;
    const again = await peers.readBlock(second!, extentId, block * BLOCK_BYTES, bytes);
    if (Buffer.compare(again.body, body) !== 0)
      throw new Error(`the content of ${second} is not that of ${first} any more`);
    await replica.healBlock(extentId, block, body, crc, own.crc);
  }
}
