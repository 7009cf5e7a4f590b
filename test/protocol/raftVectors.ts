/** Reads the recorded bytes of raft under `test/vectors/raft`, and the form of u64 that takes their whole range. */
import { readFileSync } from 'node:fs';
import type { Uint64Form } from '../../src/protocol/uint64Form.js';

/** 64-bit numbers are decimal strings. */
export interface PeerFields {
  type: number;
  priority: number;
  id: string;
}

export interface EntryFields {
  type: number;
  term: string;
  index: string;
  dataHex: string;
}

export interface MessageFields {
  type: number;
  forceVote: boolean;
  reject: boolean;
  rejectIndex: string;
  id: string;
  from: string;
  to: string;
  term: string;
  logTerm: string;
  index: string;
  commit: string;
  entries?: EntryFields[];
  contextHex?: string;
  snapshotMeta?: { index: string; term: string; peers: PeerFields[] };
}

export interface RaftVector<Fields> {
  name: string;
  description: string;
  hex: string;
  fields: Fields;
}

export function raftVectors<Fields>(
  file: 'messages' | 'structs' | 'snapshot_stream' | 'data_node',
): RaftVector<Fields>[] {
  const url = new URL(`../../../test/vectors/raft/${file}.json`, import.meta.url);
  return JSON.parse(readFileSync(url, 'utf8')) as RaftVector<Fields>[];
}

/** Any 64-bit number. */
export const BIGINTS: Uint64Form<bigint> = {
  fromWords: (high, low) => (BigInt(high) << 32n) | BigInt(low),
  highOf: (value) => Number(value >> 32n),
  lowOf: (value) => Number(value & 0xffff_ffffn),
};

/** Whether the node itself takes such a number. */
export function isSafe(decimal: string): boolean {
  return BigInt(decimal) < 2n ** 53n;
}
