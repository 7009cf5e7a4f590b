/**
 * Healing decided (docs/repair.md "Healing"): whether a block of this node's replica is to be replaced, by what, and which blocks are looked at. Pure; reading and writing are the caller's (`healer.ts`).
 *
 * Bytes win, not checksums: a replica that lags behind has old data whose checksum holds. So nothing is replaced but by what a strict majority of all hosts holds at the applied id of this replica. Agreement needs no ids: who holds what
 * most hosts hold is sound.
 */
import type { ExtentInfo } from '../protocol/extentInfo.js';
import { BLOCK_BYTES, isTinyExtent } from '../storage/layout.js';

/** What a host has of a block. */
export interface Copy {
  readonly host: string;
  /** Checksum and length of its bytes; null: it gave none. */
  readonly content: { readonly crc: number; readonly bytes: number } | null;
  /** Why it gave none: no such extent, a shorter one, an error; empty otherwise. */
  readonly why: string;
  /** What raft had applied there before and after the block was read; null: not known. */
  readonly appliedBefore: number | null;
  readonly appliedAfter: number | null;
}

export interface Ballot {
  /** All hosts of the partition, those that did not answer included. */
  readonly hosts: number;
  readonly own: Copy;
  /** Checksum in EXTENT_CRC, 0: not known; and whether it is surely right. */
  readonly stored: number;
  readonly storedIsSure: boolean;
  readonly peers: readonly Copy[];
}

export type Verdict =
  /** Most hosts hold what is here. `slotIsWrong`: the stored checksum says something else. */
  | { readonly kind: 'sound'; readonly slotIsWrong: boolean }
  /** Most hosts hold this content, and this node another one. */
  | {
      readonly kind: 'heal';
      readonly crc: number;
      readonly bytes: number;
      readonly holders: readonly string[];
    }
  /** Replicas are not at the same applied id: to be asked again. */
  | { readonly kind: 'later'; readonly reason: string }
  /** Nobody can say what is right. `reason` is for an operator. */
  | { readonly kind: 'noVerdict'; readonly reason: string };

type Content = NonNullable<Copy['content']>;

/** Counts the votes about one block. */
export function voteOnBlock(ballot: Ballot): Verdict {
  const { own, hosts, stored, storedIsSure, peers } = ballot;
  if (own.content === null) return { kind: 'noVerdict', reason: `this replica cannot be read: ${own.why}` };
  const isMajority = (count: number): boolean => count * 2 > hosts;
  const copies = [own, ...peers];
  const { crc } = own.content;
  if (isMajority(holdersOf(copies, own.content).length))
    return { kind: 'sound', slotIsWrong: stored !== 0 && stored !== crc };
  const other = peers
    .map(({ content }) => content)
    .find((content) => content !== null && isMajority(holdersOf(peers, content).length));
  if (other === undefined || other === null) return noMajority(ballot);
  // The own checksum speaks against the own content: it is damaged, whatever was applied.
  const provenDamage = stored !== 0 && stored !== crc && (storedIsSure || stored === other.crc);
  const entitled = peers.filter((peer) => mayVote(peer, own, provenDamage));
  const holders = holdersOf(entitled, other).map(({ host }) => host);
  if (hasMoved(own) || (!isMajority(holders.length) && peers.some((peer) => isElsewhere(peer, own))))
    return { kind: 'later', reason: `replicas are not at the same applied id: ${idsOf(copies)}` };
  if (isMajority(holders.length)) return { kind: 'heal', ...other, holders };
  const reason = `most replicas have another content, and what raft has applied is not known of all: ${idsOf(copies)}`;
  return { kind: 'noVerdict', reason };
}

function noMajority({ own, hosts, peers }: Ballot): Verdict {
  const told = [own, ...peers].map(({ host, content, why }) =>
    content === null ? `${host}: ${why}` : `${host}: ${hex(content.crc)}`,
  );
  return { kind: 'noVerdict', reason: `no content has a majority of ${hosts} hosts: ${told.join('; ')}` };
}

function holdersOf(copies: readonly Copy[], { crc, bytes }: Content): Copy[] {
  return copies.filter(({ content }) => content !== null && content.crc === crc && content.bytes === bytes);
}

function hasMoved({ appliedBefore, appliedAfter }: Copy): boolean {
  return appliedBefore !== null && appliedAfter !== null && appliedBefore !== appliedAfter;
}

/** Whether this peer is known to have applied something else than this node. */
function isElsewhere(peer: Copy, own: Copy): boolean {
  if (hasMoved(peer)) return true;
  const [theirs, ours] = [idOf(peer), idOf(own)];
  return theirs !== null && ours !== null && theirs !== ours;
}

function mayVote(peer: Copy, own: Copy, provenDamage: boolean): boolean {
  if (isElsewhere(peer, own)) return false;
  return (idOf(peer) !== null && idOf(own) !== null) || provenDamage;
}

/** Applied before and after; null unless both are known. */
function idOf({ appliedBefore, appliedAfter }: Copy): number | null {
  return appliedBefore === null ? null : appliedAfter;
}

function idsOf(copies: readonly Copy[]): string {
  return copies
    .map((copy) => `${copy.host} ${copy.appliedBefore ?? 'unknown'}${hasMoved(copy) ? ' moving' : ''}`)
    .join(', ');
}

function hex(crc: number): string {
  return crc.toString(16).padStart(8, '0');
}

/** Blocks of an extent to look at: those that are named, or all when none are, each once, in order. */
export function blocksToLookAt(sizeBytes: number, named: readonly number[]): number[] {
  const count = Math.ceil(sizeBytes / BLOCK_BYTES);
  if (named.length === 0) return Array.from({ length: count }, (_, block) => block);
  return [...new Set(named)].filter((block) => block >= 0 && block < count).sort((a, b) => a - b);
}

/** Extents of which replicas of one length have told different checksums. Ids ascend; `key` is the same as long as nobody tells another checksum. */
export function differingExtents(
  own: readonly ExtentInfo[],
  peers: readonly (readonly ExtentInfo[])[],
): { extentId: number; sizeBytes: number; key: string }[] {
  const lists = peers.map((list) => new Map(list.map((record) => [record.fileId, record])));
  const found: { extentId: number; sizeBytes: number; key: string }[] = [];
  for (const { fileId, size, crc, deleted } of own) {
    if (crc === 0 || deleted || isTinyExtent(fileId)) continue;
    const equal = lists
      .map((list) => list.get(fileId))
      .filter(
        (record) => record !== undefined && !record.deleted && record.size === size && record.crc !== 0,
      );
    if (!equal.some((record) => record!.crc !== crc)) continue;
    const key = [size, crc, ...equal.map((record) => record!.crc)].join(' ');
    found.push({ extentId: fileId, sizeBytes: size, key });
  }
  return found.sort((a, b) => a.extentId - b.extentId);
}
