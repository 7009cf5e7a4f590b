/**
 * The structures that raft's wire and log share (`raft.md` 3): entry, member, configuration change, snapshot meta, hard state. Bytes only.
 *
 * Node ids, terms, indexes and group ids are safe integers here: what comes from outside and is larger is refused by name.
 */

/** What an entry's data is (`raft.md` 3.1). */
export const ENTRY_TYPE = { normal: 0, configurationChange: 1 } as const;

export interface RaftEntry {
  /** One of `ENTRY_TYPE`. */
  type: number;
  term: number;
  index: number;
  /** Empty for a new leader's first entry. Never changed after the entry was made. */
  data: Uint8Array;
}

/** A member of a group (`raft.md` 3.2). */
export interface RaftPeer {
  /** 0 normal, 1 arbiter. */
  type: number;
  priority: number;
  nodeId: number;
}

export const CHANGE_TYPE = { add: 0, remove: 1, update: 2 } as const;

/** The data of an entry of type 1 (`raft.md` 3.3). */
export interface ConfigurationChange {
  /** One of `CHANGE_TYPE`. */
  type: number;
  peer: RaftPeer;
  context: Uint8Array;
}

/** What a snapshot stands for (`raft.md` 3.4). */
export interface SnapshotMeta {
  index: number;
  term: number;
  peers: readonly RaftPeer[];
}

/** What a member must never forget (`raft.md` 3.6). Vote 0: nobody. */
export interface HardState {
  term: number;
  commit: number;
  vote: number;
}
