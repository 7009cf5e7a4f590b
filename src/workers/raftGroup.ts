/**
 * One partition's group as its worker runs it: the partition's gate to raft (`partition/raftGate.ts`), who hears of its replica, and what waits until a lone replica leads.
 *
 * What waits ends exactly once: with its answer, or with a text when leadership or the group is lost, the partition goes or the node stops. Owned by `RaftGroups`.
 */
import type { ApplyListener } from '../partition/groupMembers.js';
import type { Operation } from '../partition/operation.js';
import type { Partition } from '../partition/partition.js';
import type { RaftApply } from '../partition/raftApply.js';
import type { RaftGate } from '../partition/raftGate.js';
import { ERROR_TEXT } from '../protocol/errors.js';
import { actionOf } from '../protocol/opcodes.js';
import { ENTRY_TYPE } from '../protocol/raftStructs.js';
import type { RaftCore } from '../raft/core.js';
import type { RaftHost } from '../raft/host.js';

/** Time between two ticks (`raft.md` 1.2). */
export const RAFT_TICK_MS = 300;
/** Reads that may wait for the group at a time; beyond, clients are to try again. */
const READS_MAX = 1024;
/** The log may be cut for the first time so long after the group's begin, and then so often (`raft.md` 5.7). */
const TRUNCATE_FIRST_MS = 600_000;
const TRUNCATE_EVERY_MS = 60_000;

/** What a group tells of itself, and where confirmed reads go. */
export interface GroupListener {
  /** Clients reach this node, so that groups may lead. */
  readonly serving: boolean;
  /** The read may be executed: between two batches. */
  confirmed(op: Operation): void;
  /** Proposals or reads have begun, or below zero ended, that wait for this disk alone, or for other nodes. */
  waits(count: number, forOthers: boolean): void;
  /** `WorkerGroup.turn` is to be called until it says that there is nothing more to look for. */
  watch(group: WorkerGroup): void;
  /** META has other members. */
  membersChanged(group: WorkerGroup): void;
  /** The group has removed this replica. */
  removedHere(group: WorkerGroup): void;
  /** Applying has stopped; `alarm` is for the operator. */
  halted(group: WorkerGroup, alarm: string): void;
}

type Ended = (problem: string | null) => void;

export class WorkerGroup implements RaftGate, ApplyListener {
  readonly partition: Partition;
  failure: string | null = null;
  /** Text that ends what waits, whatever the group says: the partition goes, or the node stops. */
  ending: string | null = null;
  private reads = 0;
  private readonly host: RaftHost;
  private readonly listener: GroupListener;
  private apply: RaftApply | null = null;
  /** Of a lone replica, until it leads. */
  private early: Ended[] = [];
  /** Index up to which the log of an earlier process reaches; -1: what it acknowledged is known to be applied. */
  private startLogEnd = 0;
  private nextTruncateMs: number;
  /**
   * Up to here the log tells what was before this replica: one that was added anew, or has lost its log, is sent its own removal of before too. Infinity until it has caught up; -1: nothing of that is to come.
   */
  private historyTo = -1;
  /** The history has told the removal of this replica, and perhaps its addition behind that. */
  private removedBefore = false;

  constructor(partition: Partition, host: RaftHost, listener: GroupListener, nowMs: number) {
    this.partition = partition;
    this.host = host;
    this.listener = listener;
    this.nextTruncateMs = nowMs + TRUNCATE_FIRST_MS;
  }

  get id(): number {
    return this.partition.id;
  }

  /** The group has begun, with `apply` for its state machine. */
  begun(apply: RaftApply): void {
    this.apply = apply;
    const { mayVote, mayCampaign, log } = this.core!;
    this.startLogEnd = log.lastIndex;
    if (!mayVote || !mayCampaign) this.historyTo = Number.POSITIVE_INFINITY;
    if (!this.turn()) this.listener.watch(this);
  }

  /** The log here has all that was committed before this replica began. */
  caughtUp(): void {
    this.historyTo = this.core!.log.committed;
  }

  /** Ends the history when it is durably applied; true then, and when there was none. What it has left is known: this replica is a member or not. */
  endHistory(): boolean {
    const { core, apply } = this;
    if (this.historyTo < 0) return true;
    if (core === null || apply === null || apply.durableApplied < this.historyTo) return false;
    this.historyTo = -1;
    const isMember = core.members().some(({ nodeId }) => nodeId === core.nodeId);
    if (this.removedBefore && !isMember) this.listener.removedHere(this);
    return true;
  }

  /** Null when the group has left its host. */
  get core(): RaftCore | null {
    return this.host.group(this.id)?.core ?? null;
  }

  get isLeader(): boolean {
    return this.failure === null && (this.core?.isLeader ?? false);
  }

  /** The only member of its group: nobody else need be asked. */
  get isSole(): boolean {
    return this.partition.peers.length === 1;
  }

  get readsAtOnce(): boolean {
    return this.startLogEnd < 0 && this.isSole;
  }

  propose(command: Uint8Array, done: Ended): void {
    const ended = this.begin(done);
    if (this.isSole && !this.isLeader)
      this.whenLeading(ended, () => this.host.propose(this.id, command, ended));
    else this.host.propose(this.id, command, ended);
  }

  confirmRead(op: Operation): void {
    const { host } = this.partition;
    if (this.reads >= READS_MAX) return host.fail(op, actionOf(op.opcode), ERROR_TEXT.tryAgain);
    this.reads += 1;
    this.confirmLead((problem) => {
      this.reads -= 1;
      if (problem === null) this.listener.confirmed(op);
      else host.fail(op, actionOf(op.opcode), problem);
    });
  }

  /** Makes sure that this replica leads, with everything applied here that was committed before: null then. */
  confirmLead(done: Ended): void {
    const ended = this.begin(done);
    const ask = (): void => this.host.confirmRead(this.id, ended);
    if (this.isSole && !this.isLeader) this.whenLeading(ended, ask);
    else ask();
  }

  /** Proposes a change of members, as the data of its entry. One at a time, `done` as that of `propose`. */
  proposeChange(data: Uint8Array, done: Ended): void {
    this.host.propose(this.id, data, this.begin(done), ENTRY_TYPE.configurationChange);
  }

  campaign(): void {
    this.host.campaign(this.id);
  }

  /** Address of the leader, as far as it is known here and is another node; empty: it is not. */
  get otherLeader(): string {
    const { core } = this;
    if (core === null || this.failure !== null || core.leader === core.nodeId) return '';
    return this.partition.peers.find(({ id }) => id === core.leader)?.addr ?? '';
  }

  /** Looks whether the start is over, and what waits for the lead of a lone replica. True when there is nothing more to look for. */
  turn(): boolean {
    const { core } = this;
    if (core === null || this.failure !== null) return true;
    if (this.startLogEnd >= 0 && core.log.applied >= this.startLogEnd) this.startLogEnd = -1;
    if (this.early.length > 0 && (core.isLeader || !this.isSole)) {
      const early = this.early;
      this.early = [];
      for (const go of early) go(null);
    }
    const leads = core.isLeader || !this.isSole || !this.listener.serving;
    if (!leads) this.campaignAlone(core);
    return leads && this.startLogEnd < 0 && this.early.length === 0;
  }

  /** The group runs no more; the host has ended what it knew of. */
  fail(reason: string): void {
    this.failure = reason;
    this.failEarly(reason);
  }

  /** All that waits ends with `text` from now on, and what has not reached the host ends now. */
  end(text: string): void {
    this.ending = text;
    this.failEarly(text);
  }

  /** Cuts the log when it is time and there is something to cut. True when META was written. */
  truncate(nowMs: number): boolean {
    if (nowMs < this.nextTruncateMs || this.failure !== null || this.apply === null) return false;
    this.nextTruncateMs = nowMs + TRUNCATE_EVERY_MS;
    const { partition } = this;
    // Never behind what a restart here still needs, whatever was told.
    const index = Math.min(partition.minAppliedId, this.apply.durableApplied);
    if (index <= partition.lastTruncateId) return false;
    this.host.compact(this.id, index);
    const result = partition.setTruncated(index);
    if (result >= 0) return true;
    const text = `write ${partition.path}/META: ${partition.host.disk.errnoText(result)}`;
    partition.host.log('error', text, { partition: partition.id });
    partition.host.diskError(result, true);
    return true;
  }

  changed(): void {
    // Whoever has just become the only member may lack what others have acknowledged.
    if (this.startLogEnd < 0 && !this.isLeader) {
      this.startLogEnd = this.core?.log.lastIndex ?? -1;
      this.listener.watch(this);
    }
    this.listener.membersChanged(this);
  }

  removedHere(): void {
    if (this.historyTo < 0) this.listener.removedHere(this);
    else this.removedBefore = true;
  }

  halted(alarm: string): void {
    this.listener.halted(this, alarm);
  }

  /** Nobody stands while entries that are committed may be changes of members; the only member need not wait for a silence after that. */
  private campaignAlone({ state, mayVote, mayCampaign, log }: RaftCore): void {
    const mayStand = mayVote && mayCampaign && log.handedOver >= log.committed;
    if (state === 'follower' && mayStand) this.host.campaign(this.id);
  }

  /** `done`, with what a deletion or a stop makes of its text. */
  private begin(done: Ended): Ended {
    const forOthers = !this.isSole;
    this.listener.waits(1, forOthers);
    return (problem) => {
      this.listener.waits(-1, forOthers);
      done(problem === null ? null : (this.ending ?? problem));
    };
  }

  private whenLeading(ended: Ended, go: () => void): void {
    if (this.ending !== null) return ended(this.ending);
    if (this.early.length === 0) this.listener.watch(this);
    this.early.push((problem) => (problem === null ? go() : ended(problem)));
  }

  private failEarly(reason: string): void {
    const early = this.early;
    this.early = [];
    for (const ended of early) ended(reason);
  }
}
