/**
 * A node of a script: the production core over a disk that is two variables, with a state machine that remembers what it was given. What becomes durable when is
 * the script's decision.
 */

import type { RaftMessage } from '../../src/protocol/raftMessage.js';
import type { HardState, RaftEntry, RaftPeer } from '../../src/protocol/raftStructs.js';
import { CHANGE_TYPE, decodeConfigurationChange, ENTRY_TYPE } from '../../src/protocol/raftStructs.js';
import { RaftCore } from '../../src/raft/core.js';
import { leaseElection } from '../../src/raft/election.js';
import type { CoreLimits } from '../../src/raft/groupState.js';
import { RaftLog, type TermRun } from '../../src/raft/log.js';
import type { CoreOutput } from '../../src/raft/types.js';
import { endText, entryText, outputTexts, roleText } from './scriptText.js';

/** What a script hears of a node. */
export interface NodeEvents {
  say(line: string): void;
  send(message: RaftMessage): void;
}

/** What survives a restart. */
interface StoredState {
  hardState: HardState;
  cutIndex: number;
  cutTerm: number;
  /** Behind the cut. */
  entries: RaftEntry[];
  peers: RaftPeer[];
  applied: number;
}

export const GROUP = 7;
const HAND_OVER_BYTES = 64 * 1024;

export class ScriptNode {
  core: RaftCore;
  /** Every draw of the core gives this, or the highest that it allows. */
  draws = 0;
  /** Outputs wait for `persist`. */
  holds = false;
  /** The state machine takes nothing. */
  pauses = false;
  /** What the core is told at each tick. */
  lacksRoom = false;
  readonly id: number;
  readonly #limits: Partial<CoreLimits>;
  readonly #events: NodeEvents;
  readonly #stored: StoredState;
  readonly #waiting: CoreOutput[] = [];
  #role = '';

  constructor(
    id: number,
    peers: readonly number[],
    limits: Partial<CoreLimits>,
    events: NodeEvents,
    mayCampaign = true,
  ) {
    this.id = id;
    this.#limits = limits;
    this.#events = events;
    this.#stored = {
      hardState: { term: 0, commit: 0, vote: 0 },
      cutIndex: 0,
      cutTerm: 0,
      entries: [],
      peers: peers.map((nodeId) => ({ type: 0, priority: 0, nodeId })),
      applied: 0,
    };
    this.core = this.#open(true, mayCampaign);
    this.#role = roleText(this.core);
  }

  /** The process dies and comes back with what was durable. */
  restart(mayVote: boolean): void {
    this.#waiting.length = 0;
    this.core = this.#open(mayVote, this.core.mayCampaign);
    this.#role = '';
    this.settle();
  }

  /** Entries behind this index are lost from the disk, as by a torn write; counts at the next restart. */
  loseBehind(index: number): void {
    const { hardState, entries, cutIndex } = this.#stored;
    entries.length = Math.max(0, Math.min(entries.length, index - cutIndex));
    hardState.commit = Math.min(hardState.commit, index);
    this.#stored.applied = Math.min(this.#stored.applied, index);
  }

  tick(): void {
    this.core.tick(this.lacksRoom);
  }

  /** After each thing that was done to the core: takes its output, tells what changed, and lets it become durable if nothing holds. */
  settle(): void {
    for (let rounds = 0; this.core.hasOutput; rounds += 1) {
      if (rounds > 1000) throw new Error('a core that never comes to rest');
      const output = this.core.takeOutput();
      this.#tellRole();
      for (const line of outputTexts(this.id, output)) this.#events.say(line);
      for (const message of output.messages) this.#events.send(message);
      this.#waiting.push(output);
      if (!this.holds) this.persist();
    }
    this.#tellRole();
    this.#apply();
    if (this.core.hasOutput) this.settle();
  }

  /** Everything given out becomes durable, oldest first; what waited for it leaves. */
  persist(count = Number.POSITIVE_INFINITY): void {
    for (let done = 0; done < count && this.#waiting.length > 0; done += 1) {
      const output = this.#waiting.shift()!;
      this.#store(output);
      this.core.persisted(output);
      for (const message of output.messagesAfter) this.#events.send(message);
      for (const { header, accepted } of output.snapshotVerdicts)
        this.#events.say(`${this.id} ${accepted ? 'accepts' : 'refuses'} the snapshot of ${header.from}`);
    }
  }

  /** Drops all entries from memory that may go. */
  evict(): void {
    const { log } = this.core;
    log.evict(Math.min(log.durable, log.applied));
  }

  /** Reads from the disk what the core waits for. */
  load(): void {
    const range = this.core.wantsLog;
    if (range === null) return;
    const { entries, cutIndex } = this.#stored;
    this.core.log.put(entries.slice(range.from - cutIndex - 1, range.to - cutIndex));
    this.core.logLoaded();
    this.settle();
  }

  compact(index: number): string {
    const cut = this.core.compact(index);
    if (cut === null) return 'nothing is cut';
    this.#stored.entries.splice(0, cut.index - this.#stored.cutIndex);
    this.#stored.cutIndex = cut.index;
    this.#stored.cutTerm = cut.term;
    return `cut at ${endText(cut.index, cut.term)}`;
  }

  #open(mayVote: boolean, mayCampaign: boolean): RaftCore {
    const { hardState, cutIndex, cutTerm, entries, peers, applied } = this.#stored;
    const runs: TermRun[] = [];
    for (const { term, index } of entries) if (runs.at(-1)?.term !== term) runs.push({ from: index, term });
    const lastIndex = cutIndex + entries.length;
    return new RaftCore({
      nodeId: this.id,
      group: GROUP,
      peers,
      hardState,
      log: new RaftLog({ cutIndex, cutTerm, lastIndex, runs }),
      applied,
      election: leaseElection,
      random: (below) => Math.min(this.draws, below - 1),
      mayVote,
      mayCampaign,
      limits: this.#limits,
    });
  }

  #store({ reset, entries, hardState }: CoreOutput): void {
    const stored = this.#stored;
    if (reset !== null) {
      stored.cutIndex = reset.index;
      stored.cutTerm = reset.term;
      stored.entries = [];
      stored.peers = [...reset.peers];
      stored.applied = reset.index;
    }
    const first = entries[0];
    if (first !== undefined) {
      stored.entries.length = first.index - stored.cutIndex - 1;
      stored.entries.push(...entries);
    }
    if (hardState !== null) stored.hardState = { ...hardState };
    if (reset !== null) this.core.restored(true);
  }

  #apply(): void {
    while (!this.pauses) {
      let entries = this.core.handOver(HAND_OVER_BYTES);
      if (entries === null) {
        this.load();
        entries = this.core.handOver(HAND_OVER_BYTES);
      }
      if (entries === null || entries.length === 0) return;
      for (const entry of entries) {
        this.#events.say(`${this.id} applies ${entryText(entry)}`);
        this.#applyChange(entry);
      }
      const last = entries.at(-1)!.index;
      this.core.appliedTo(last);
      this.#stored.applied = last;
      this.#tellRole();
    }
  }

  #applyChange(entry: RaftEntry): void {
    if (entry.type !== ENTRY_TYPE.configurationChange) return;
    const change = decodeConfigurationChange(entry.data);
    if (!change.ok) return;
    const { type, peer } = change.value;
    this.#stored.peers = this.#stored.peers.filter(({ nodeId }) => nodeId !== peer.nodeId);
    if (type !== CHANGE_TYPE.remove) this.#stored.peers.push(peer);
  }

  #tellRole(): void {
    const role = roleText(this.core);
    if (role !== this.#role) this.#events.say(`${this.id} is ${role}`);
    this.#role = role;
  }
}
