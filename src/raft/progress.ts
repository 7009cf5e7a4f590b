/**
 * What a leader knows of one member, and how much it may send to it (`raft.md` 4.7). A node that does not lead keeps these as its list of members.
 *
 * Always: match < next.
 */
import assert from 'node:assert';
import type { RaftPeer } from '../protocol/raftStructs.js';

/** How entries go to a member, with the names that a status shows. */
export const REPLICA_STATE_NAMES = {
  /** One append at a time: where its log agrees with ours is not known. */
  probe: 'ReplicaStateProbe',
  /** Appends follow each other without waiting. */
  replicate: 'ReplicaStateReplicate',
  /** It needs entries that are gone: nothing is sent until a snapshot has come through. */
  snapshot: 'ReplicaStateSnapshot',
} as const;

export type ReplicaState = keyof typeof REPLICA_STATE_NAMES;

export class Progress {
  peer: RaftPeer;
  state: ReplicaState = 'probe';
  /** Its log agrees with ours up to here, durably there. */
  match = 0;
  /** The next entry to send. */
  next = 1;
  /** The commit index that it last told. */
  committed = 0;
  /** A probe is under way. */
  paused = false;
  /** Something was sent since its last heartbeat answer but one. */
  pending = false;
  /** It was heard since the last check of the lease. */
  active = false;
  /** Tick at which it was last heard. */
  heardAt = 0;
  /** The last round of a leader's question whether it still leads that this member has answered. */
  confirmedRound = 0;
  /** Index of the snapshot on its way. */
  snapshotIndex = 0;
  /** The entries from `next` on are being read from disk. */
  waitsForLog = false;
  readonly window: InflightWindow;

  constructor(peer: RaftPeer, inflightMax: number) {
    this.peer = peer;
    this.window = new InflightWindow(inflightMax);
  }

  get nodeId(): number {
    return this.peer.nodeId;
  }

  /** Whether nothing may be sent now. */
  get isPaused(): boolean {
    if (this.state === 'probe') return this.paused;
    return this.state === 'snapshot' || this.window.full;
  }

  /** Everything learned is void: a new role of this node, or a new term. */
  reset(next: number, now: number): void {
    this.#enter('probe');
    this.match = 0;
    this.next = next;
    this.committed = 0;
    this.pending = false;
    this.active = false;
    this.heardAt = now;
    this.confirmedRound = 0;
    this.waitsForLog = false;
  }

  /** A message of it has come that shows it alive. */
  heard(now: number): void {
    this.active = true;
    this.heardAt = now;
  }

  becomeProbe(): void {
    this.next = Math.max(this.match, this.snapshotIndex) + 1;
    this.#enter('probe');
  }

  becomeReplicate(): void {
    this.next = this.match + 1;
    this.#enter('replicate');
  }

  becomeSnapshot(index: number): void {
    this.#enter('snapshot');
    this.snapshotIndex = index;
  }

  /** Entries up to `last` were sent. */
  sent(last: number): void {
    if (this.state === 'replicate') {
      this.next = last + 1;
      this.window.add(last);
    } else {
      assert(this.state === 'probe', 'an append to a member that waits for a snapshot');
      this.paused = true;
    }
  }

  /** It acknowledged everything up to `index`, and told its commit. Returns whether its match has risen. */
  acknowledged(index: number, commit: number): boolean {
    // As told: a restart may have set it back, and then it is to be told again.
    this.committed = commit;
    this.next = Math.max(this.next, index + 1);
    if (index <= this.match) return false;
    this.match = index;
    this.paused = false;
    return true;
  }

  /**
   * It refused an append behind `index`; its log ends at `last`. Returns false for an answer to an older append, else `next` is where to try again.
   *
   * A member whose log ends before its match has lost what it acknowledged, as one without fsync does at a loss of power. Its match falls back, so that those
   * entries do not count for a commit that is still to come. The reference would take the answer for an old one, and repeat itself until the leader changes.
   */
  refused(index: number, last: number, commit: number): boolean {
    if (this.state === 'snapshot') return false;
    if (this.state === 'replicate') {
      if (index <= this.match && last >= this.match) return false;
      this.match = Math.min(this.match, last);
      this.becomeProbe();
    } else {
      if (index !== this.next - 1) return false;
      this.next = Math.max(1, Math.min(index, last + 1));
      this.match = Math.min(this.match, this.next - 1);
      this.paused = false;
    }
    this.committed = commit;
    return true;
  }

  #enter(state: ReplicaState): void {
    this.state = state;
    this.paused = false;
    this.snapshotIndex = 0;
    this.window.clear();
  }
}

/** Last indexes of the appends that are under way to a member, oldest first; bounded. */
export class InflightWindow {
  readonly #capacity: number;
  /** Made at the first use: most groups of a node never lead. */
  #last: number[] = [];
  #start = 0;
  #count = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get count(): number {
    return this.#count;
  }

  get full(): boolean {
    return this.#count === this.#capacity;
  }

  add(last: number): void {
    assert(!this.full, 'the window of appends under way is full');
    this.#last[(this.#start + this.#count) % this.#capacity] = last;
    this.#count += 1;
  }

  /** Appends that end at or before `index` have arrived. */
  freeTo(index: number): void {
    while (this.#count > 0 && this.#last[this.#start]! <= index) this.freeFirst();
  }

  freeFirst(): void {
    this.#start = (this.#start + 1) % this.#capacity;
    this.#count -= 1;
  }

  clear(): void {
    this.#start = 0;
    this.#count = 0;
  }
}
