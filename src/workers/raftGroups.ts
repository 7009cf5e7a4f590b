/**
 * The groups of one worker's partitions: they begin with their partitions and end before them (docs/raftNode.md). A group that cannot begin, or has failed, is out of service with its reason;
 * its partition is served. Owned by `RaftWorker`.
 */
import { EVENT } from '../partition/messages.js';
import type { Operation } from '../partition/operation.js';
import type { Partition } from '../partition/partition.js';
import { RaftApply } from '../partition/raftApply.js';
import type { GroupBeginner } from '../partition/raftGate.js';
import type { StoreGroup } from '../partition/storeGroup.js';
import { ERROR_TEXT } from '../protocol/errors.js';
import type { RaftHost } from '../raft/host.js';
import { returnVote, takeVote } from '../raft/noVote.js';
import type { EventQueue } from './eventQueue.js';
import { MemberChanges } from './memberChanges.js';
import { type GroupListener, RAFT_TICK_MS, WorkerGroup } from './raftGroup.js';
import { raftStatusBody } from './raftStatusBody.js';

/** Reason in the mark of a replica that was added: it has lost nothing, so it votes, and does not campaign before it has caught up (docs/raftNode.md). */
const ADDED = 'added to its group, not caught up since';

/** What the groups of a worker are begun with; all of it there when the disk was recovered. */
export interface GroupSurroundings {
  readonly host: RaftHost;
  readonly nodeId: number;
  readonly root: string;
  /** Marks of groups without a vote, and their reasons. */
  readonly marks: Map<number, string>;
  /** Tells main where a member is. */
  tellAddress(nodeId: number, host: string): void;
}

interface Ending {
  /** Frame of the journal that has the group's end. */
  readonly frame: number;
  readonly done: () => void;
}

export class RaftGroups implements GroupListener, GroupBeginner {
  /** Reads that may be executed, in order; the worker takes them between two batches. */
  confirmedReads: Operation[] = [];
  /** Groups that have removed this replica; the worker takes the partitions away. */
  removed: number[] = [];
  serving = false;
  /** Proposals and reads under way; and those of them that wait for other nodes and not for this disk. */
  waiting = 0;
  waitingForOthers = 0;
  /** Times that a group has got a leader. */
  leadersSeen = 0;
  /** What the shared table says of a partition's group is no longer so. */
  flagsChanged: (id: number) => void = () => undefined;
  /** Changes of members that main asks for. */
  readonly members = new MemberChanges((id) => this.groups.get(id));
  private readonly stores: StoreGroup;
  private readonly events: EventQueue;
  private readonly partitionOf: (id: number) => Partition | undefined;
  private readonly watched = new Set<WorkerGroup>();
  private readonly groups = new Map<number, WorkerGroup>();
  /** Groups that have caught up, and may not have applied all of it durably. */
  private readonly joining = new Set<number>();
  /** Why groups are out of service. */
  private readonly reasons = new Map<number, string>();
  private endings: Ending[] = [];
  private around: GroupSurroundings | string = 'raft has not begun on this disk';

  constructor(stores: StoreGroup, events: EventQueue, partitionOf: (id: number) => Partition | undefined) {
    this.stores = stores;
    this.events = events;
    this.partitionOf = partitionOf;
  }

  /** Groups may begin now; a text says why none can. Once, before any partition is attached. */
  open(around: GroupSurroundings | string): void {
    this.around = around;
  }

  /** Groups that have begun and not ended, failed ones among them. */
  get size(): number {
    return this.groups.size;
  }

  /** Groups that run, by a look at all. */
  get running(): number {
    let count = 0;
    for (const { failure } of this.groups.values()) if (failure === null) count += 1;
    return count;
  }

  all(): Iterable<WorkerGroup> {
    return this.groups.values();
  }

  /** Why a partition's group does not run; null when it does, or is not to. */
  reasonOf(id: number): string | null {
    return this.reasons.get(id) ?? null;
  }

  /** Body of `/raftStatus`; null where no group runs. */
  status(id: number): object | null {
    const { around } = this;
    const running = typeof around === 'string' ? undefined : around.host.group(id);
    if (running === undefined) return null;
    const queues = { pending: running.waiters.queuedCount, stopped: running.failure !== null };
    return raftStatusBody(running.core.status(), queues, RAFT_TICK_MS, Date.now());
  }

  /** A partition is served from now on. Its group begins unless it has to join first. */
  begin(partition: Partition): void {
    partition.beginner = this;
    if (partition.createType !== 0) return;
    const reason = this.tryToBegin(partition);
    if (reason !== null) this.outOfService(partition.id, reason);
  }

  markAdded(partitionId: number): number {
    if (typeof this.around === 'string') return 0;
    const { marks, root } = this.around;
    const result = takeVote(this.stores.host.disk, root, { group: partitionId, reason: ADDED });
    if (result >= 0) marks.set(partitionId, ADDED);
    return result;
  }

  joined(partitionId: number): void {
    const partition = this.partitionOf(partitionId);
    if (partition !== undefined && partition.raft === null) this.begin(partition);
  }

  /** The group leaves this node; `done` is called, between two batches, when that is durable. What waits ends now. */
  end(id: number, done: () => void): void {
    const group = this.groups.get(id);
    if (group === undefined || typeof this.around === 'string') {
      this.reasons.delete(id);
      return done();
    }
    const { host, marks, root } = this.around;
    group.end(ERROR_TEXT.partitionNotExists);
    this.joining.delete(id);
    const removed = host.remove(id);
    const { disk } = this.stores.host;
    if (removed < 0)
      this.stores.host.log('error', `remove the raft log: ${disk.errnoText(removed)}`, { partition: id });
    this.groups.delete(id);
    this.reasons.set(id, 'the partition is being deleted');
    group.fail(ERROR_TEXT.raftNotExists);
    if (marks.delete(id)) returnVote(disk, root, id, () => undefined);
    // The last record that was given to the journal is the group's end.
    this.endings.push({ frame: host.journal.nextFrame, done });
  }

  /** Between two batches: goes on with deletions whose groups have ended durably. A journal that has failed will never say so. */
  settleEndings(): number {
    if (this.endings.length === 0 || typeof this.around === 'string') return 0;
    const { journal } = this.around.host;
    const settled = this.endings.filter(({ frame }) => journal.failed !== 0 || frame <= journal.durableFrame);
    if (settled.length === 0) return 0;
    this.endings = this.endings.filter((ending) => !settled.includes(ending));
    for (const { done } of settled) done();
    return settled.length;
  }

  get hasEndings(): boolean {
    return this.endings.length > 0;
  }

  /** The partition is gone: nothing of its group is told any more. */
  forget(id: number): void {
    this.reasons.delete(id);
  }

  /** The node serves clients: groups may campaign, and those of lone replicas do. */
  serve(): void {
    this.serving = true;
    if (typeof this.around !== 'string') this.around.host.serve();
    for (const group of this.groups.values()) this.watched.add(group);
  }

  /** Once a turn in which something moved. */
  turn(): void {
    for (const group of this.watched) if (group.turn()) this.watched.delete(group);
  }

  /** 300 ms have passed. One META is written at most. */
  tick(): void {
    this.endHistories();
    const { nowMs } = this;
    for (const [id, group] of this.groups) {
      if (!group.truncate(nowMs)) continue;
      // Behind all others: with very many groups those of a minute ago are due again before the last ones had their turn.
      this.groups.delete(id);
      this.groups.set(id, group);
      return;
    }
  }

  private endHistories(): void {
    for (const id of this.joining) {
      if (!this.groups.get(id)!.endHistory()) continue;
      this.joining.delete(id);
      this.dropMark(id);
    }
  }

  /** A connection to a node was made anew. */
  reconnected(nodeId: number): void {
    const { around } = this;
    if (typeof around === 'string') return;
    for (const id of this.groups.keys()) {
      const running = around.host.group(id);
      running?.step(() => running.core.reconnected(nodeId));
    }
  }

  /** The node stops: nothing new is taken, and what waits ends as told. */
  stop(): void {
    for (const group of this.groups.values()) group.end(ERROR_TEXT.tryAgain);
  }

  // What the host tells.

  /** 0: there is none any more. */
  leaderChanged(id: number, leader: number): void {
    if (leader !== 0) this.leadersSeen += 1;
    this.flagsChanged(id);
  }

  failed(id: number, reason: string): void {
    this.groups.get(id)?.fail(reason);
    this.outOfService(id, reason);
  }

  /** A mark of an addition stays until what was before it is durably applied here: a restart is not to take its removal of then for one of now. */
  caughtUp(id: number): void {
    if (typeof this.around === 'string') return;
    this.groups.get(id)?.caughtUp();
    this.joining.add(id);
    if (this.around.marks.get(id) !== ADDED) this.dropMark(id);
  }

  private dropMark(id: number): void {
    if (typeof this.around === 'string') return;
    const { root, marks } = this.around;
    if (!marks.delete(id)) return;
    const { host } = this.stores;
    returnVote(host.disk, root, id, (errno) => {
      if (errno < 0)
        host.log('warn', `the mark of a replica without a vote stays: ${host.disk.errnoText(errno)}`, {
          partition: id,
        });
    });
  }

  // GroupListener.

  waits(count: number, forOthers: boolean): void {
    this.waiting += count;
    if (forOthers) this.waitingForOthers += count;
  }

  watch(group: WorkerGroup): void {
    this.watched.add(group);
  }

  confirmed(op: Operation): void {
    this.confirmedReads.push(op);
  }

  membersChanged({ partition }: WorkerGroup): void {
    this.tellMembers(partition);
    const { id, hosts, peers } = partition;
    this.events.json(EVENT.members, 0, { id, hosts, peers });
  }

  removedHere({ id }: WorkerGroup): void {
    this.removed.push(id);
  }

  halted(_group: WorkerGroup, alarm: string): void {
    this.events.json(EVENT.alarm, 0, { kind: 'apply', text: alarm });
  }

  /** Moments of cuts of logs, ms. */
  protected get nowMs(): number {
    return this.stores.host.clock.monotonicNs() / 1e6;
  }

  private tryToBegin(partition: Partition): string | null {
    const { around } = this;
    if (typeof around === 'string') return around;
    const { host, nodeId, marks } = around;
    const { id, peers, path } = partition;
    if (!peers.some((peer) => peer.id === nodeId)) return `node ${nodeId} is no member of its group`;
    const group = new WorkerGroup(partition, host, this, this.nowMs);
    const apply = RaftApply.open(this.stores, partition, nodeId, group);
    if (!apply.ok) return apply.message;
    const mark = marks.get(id);
    const problem = host.start({
      ...{ group: id, path: `${path}/wal_${id}`, machine: apply.value },
      ...{ lost: mark !== undefined && mark !== ADDED, added: mark === ADDED },
      peers: peers.map((peer) => ({ type: 0, priority: 0, nodeId: peer.id })),
    });
    if (problem !== null) {
      apply.value.abandon(problem);
      partition.raftApply = null;
      return problem;
    }
    if (this.reasons.delete(id)) this.events.json(EVENT.raft, 0, { id, reason: '' });
    this.groups.set(id, group);
    partition.raft = group;
    group.begun(apply.value);
    this.tellMembers(partition);
    if (this.serving) this.watched.add(group);
    return null;
  }

  private tellMembers({ peers }: Partition): void {
    if (typeof this.around === 'string') return;
    for (const { id, addr } of peers) {
      const host = addr.slice(0, addr.lastIndexOf(':'));
      if (host !== '') this.around.tellAddress(id, host);
    }
  }

  private outOfService(id: number, reason: string): void {
    this.reasons.set(id, reason);
    this.flagsChanged(id);
    // What keeps all groups of a disk from running was logged once.
    if (typeof this.around !== 'string')
      this.stores.host.log('error', `raft is out of service: ${reason}`, { partition: id });
    this.events.json(EVENT.raft, 0, { id, reason });
  }
}
