/**
 * The kinds of operation the packet generator sends, as one table. Everything in bench/ indexes statistics and plans by these numbers.
 */
import { OP } from '../src/protocol/opcodes.js';

/** Index of a kind in every table of the generator. */
export const KIND = {
  create: 0,
  write: 1,
  syncwrite: 2,
  read: 3,
  followerread: 4,
  tinywrite: 5,
  delete: 6,
  tinydelete: 7,
  randwrite: 8,
  syncrandwrite: 9,
} as const;

/**
 * Reads and the rest never share a connection: a Go node writes read replies from another goroutine than the others, and a mix of both in
 * flight corrupts its stream (`observed.md` 1, 7).
 */
export type KindClass = 'append' | 'read';

export interface KindRow {
  /** What the user types after `--op`, and the name in reports. */
  readonly name: string;
  readonly opcode: number;
  readonly class: KindClass;
}

/** In order of `KIND`. */
export const KINDS: readonly KindRow[] = [
  { name: 'create', opcode: OP.createExtent, class: 'append' },
  { name: 'write', opcode: OP.write, class: 'append' },
  { name: 'syncwrite', opcode: OP.syncWrite, class: 'append' },
  { name: 'read', opcode: OP.streamRead, class: 'read' },
  { name: 'followerread', opcode: OP.streamFollowerRead, class: 'read' },
  { name: 'tinywrite', opcode: OP.write, class: 'append' },
  { name: 'delete', opcode: OP.markDelete, class: 'append' },
  { name: 'tinydelete', opcode: OP.markDelete, class: 'append' },
  { name: 'randwrite', opcode: OP.randomWrite, class: 'append' },
  { name: 'syncrandwrite', opcode: OP.syncRandomWrite, class: 'append' },
];

/** How many kinds there are. */
export const KIND_COUNT = KINDS.length;

/** Index of the kind called `name`, or -1. Dashes do not matter: `tiny-write` is `tinywrite`. */
export function kindByName(name: string): number {
  const plain = name.replaceAll('-', '');
  return KINDS.findIndex((row) => row.name === plain);
}

/** Kinds that are answered with data. */
export function isRead(kind: number): boolean {
  return KINDS[kind]!.class === 'read';
}

/** Kinds that write again what a preparing phase has filled. */
export function isRandomWrite(kind: number): boolean {
  return kind === KIND.randwrite || kind === KIND.syncrandwrite;
}

/** Kinds that only the raft leader of a partition answers. */
export function asksLeader(kind: number): boolean {
  return kind === KIND.read || isRandomWrite(kind);
}

/** Kinds that take away what a preparing phase made. */
export function isDelete(kind: number): boolean {
  return kind === KIND.delete || kind === KIND.tinydelete;
}

/** Kinds sent under the tiny extent type. */
export function isTiny(kind: number): boolean {
  return kind === KIND.tinywrite || kind === KIND.tinydelete;
}
