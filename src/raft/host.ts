/**
 * The raft groups of one worker: one journal for all of them, one heartbeat a node, one budget of memory.
 *
 * The worker's loop calls `receive`, `propose` and `tick` as things come, and `turn` once at the end of a turn: all groups that moved give their outputs to one
 * frame of the journal. What the journal completes comes back through `disk.drainCompletions`. Nothing here blocks but the folder's writes into the page cache.
 * A group that cannot go on ends alone; a journal that has failed ends all groups of the disk.
 */
import { RAFT_MESSAGE, type RaftMessage } from '../protocol/raftMessage.js';
import { ENTRY_TYPE } from '../protocol/raftStructs.js';
import type { Disk } from '../storage/io.js';
import { RaftCore } from './core.js';
import { leaseElection } from './election.js';
import { createGroupFolder, openGroupFolder, storeHardState } from './folderOpen.js';
import type { BufferPlace } from './frameBuffer.js';
import { startState } from './groupStart.js';
import { heartbeatRequests, hostedGroups, onHeartbeat } from './heartbeats.js';
import { type GroupStart, HOST_LIMITS, type HostLimits, type HostOptions } from './hostOptions.js';
import type { Journal } from './journal.js';
import { RaftLog } from './log.js';
import { type GroupHost, RaftGroup } from './raftGroup.js';
import type { ReaderDone } from './readers.js';
import { entryRecordBytes } from './records.js';
import type { RaftStatus } from './status.js';
import type { SnapshotVerdict } from './types.js';
import type { ProposalDone } from './waiters.js';

/** Proposals beyond the bounds; the text that makes a client try again (`raft.md` 5.2). */
export const TRY_AGAIN = 'try again';
/** Folders that are made durable at once: enough to keep a disk's queue filled, few enough to leave room for the journal. */
const CHECKPOINTS_AT_A_TIME = 16;
/** What leaves the memory first: of each group the last entries stay, which followers that are a little behind will ask for. Last what is not applied yet. */
const EVICTIONS = [
  { keep: 64, unapplied: false },
  { keep: 0, unapplied: false },
  { keep: 0, unapplied: true },
] as const;
const TOO_LONG = 'parameter mismatch error: the command is longer than the journal takes';
const NOT_EXISTS = 'raft not exists.';
const ALREADY_EXISTS = 'raft already exists.';

export class RaftHost implements GroupHost {
  readonly disk: Disk;
  readonly journal: Journal;
  readonly scratch: BufferPlace;
  readonly limits: HostLimits;
  /** Bytes of entries that cannot leave the memory. */
  pinnedBytes = 0;
  private readonly options: HostOptions;
  private readonly groups = new Map<number, RaftGroup>();
  private awake: RaftGroup[] = [];
  /** Groups with outputs that wait for the journal. */
  private readonly waiting = new Set<RaftGroup>();
  /** Groups that may not vote, or not campaign, to be looked at until they have caught up. */
  private readonly behind = new Set<RaftGroup>();
  /** Groups whose folders are being made durable. */
  private readonly busy = new Set<RaftGroup>();
  private serving: boolean;
  private stopping: 'no' | 'draining' | 'settling' = 'no';

  constructor(options: HostOptions) {
    this.options = options;
    this.disk = options.disk;
    this.journal = options.journal;
    this.serving = options.serving ?? true;
    this.scratch = options.scratch;
    this.limits = { ...HOST_LIMITS, ...options.limits };
    this.journal.onDurable = (frame) => this.durable(frame);
    this.journal.onFailed = (errno) => this.journalFailed(errno);
  }

  /** Groups that run or have failed. */
  get groupIds(): number[] {
    return [...this.groups.keys()];
  }

  /** Some group has something to do in the next `turn`. */
  get isAwake(): boolean {
    return this.awake.length > 0;
  }

  /** Opens a group's folder, or makes it, and starts it as a follower. A text says why it is out of service. */
  start({ group, path, peers, machine, lost, added = false }: GroupStart): string | null {
    if (this.groups.has(group)) return ALREADY_EXISTS;
    const { disk, folder: folderOptions } = this.options;
    const exists = typeof disk.scan(path) !== 'number';
    const opened = exists
      ? openGroupFolder(disk, path, folderOptions)
      : createGroupFolder(disk, path, folderOptions);
    if (!opened.ok) return opened.reason;
    const { folder, state } = opened;
    const { cutIndex, cutTerm, lastIndex, runs } = state;
    const applied = machine.durableApplied;
    const start = startState({
      ...{ nodeId: this.options.nodeId, stored: state.stored, hardState: state.hardState },
      ...{ cutIndex, lastIndex, applied, lost },
    });
    for (const note of [...state.notes, ...start.notes]) this.options.log('warn', note, { group });
    const log = new RaftLog({ cutIndex, cutTerm, lastIndex, runs });
    const hardState = { term: start.term, vote: start.vote, commit: start.commit };
    const errno = storeHardState(folder, state.stored, hardState);
    if (errno < 0) return `write of the log folder: ${disk.errnoText(errno)}`;
    const core = new RaftCore({
      ...{ nodeId: this.options.nodeId, group, peers, log, election: leaseElection },
      ...{ hardState, applied: start.applied, random: this.options.random },
      ...{ mayVote: start.mayVote, mayCampaign: !added, serving: this.serving },
    });
    machine.resumeAt(start.applied);
    this.journal.join(group, hardState, cutIndex, cutTerm);
    const running = new RaftGroup(this, core, folder, machine);
    this.groups.set(group, running);
    if (!start.mayVote || added) this.behind.add(running);
    this.wake(running);
    return null;
  }

  /** The group leaves this node and its folder goes. 0 or a negated errno. */
  remove(group: number): number {
    const running = this.groups.get(group);
    if (running === undefined) return 0;
    this.groups.delete(group);
    this.behind.delete(running);
    return running.remove();
  }

  /** A message from the network. Those for groups that are not here are dropped. A text says that its sender is not to be listened to any longer. */
  receive(message: RaftMessage): string | null {
    const { type } = message;
    if (type === RAFT_MESSAGE.heartbeatRequest) return this.heartbeatRequest(message);
    if (type === RAFT_MESSAGE.heartbeatResponse) return this.heartbeatResponse(message);
    const group = this.groups.get(message.group);
    if (group === undefined || group.failure !== null || group.isClogged) {
      if (type === RAFT_MESSAGE.snapshot) this.options.snapshotVerdict({ header: message, accepted: false });
      return null;
    }
    if (type === RAFT_MESSAGE.snapshot && !group.keepMembers(message)) {
      this.options.snapshotVerdict({ header: message, accepted: false });
      return null;
    }
    if (message.entries.some(({ data }) => !this.fits(data)))
      return 'an entry is longer than the journal takes';
    // The leader sends them again; nothing was promised.
    if (type === RAFT_MESSAGE.appendRequest && message.entries.length > 0 && !this.takesEntries())
      return null;
    group.step(() => group.core.step(message));
    return null;
  }

  /** Proposes a command; `done` is called once, when it was applied here or when that is not known to happen any more. */
  propose(group: number, data: Uint8Array, done: ProposalDone, type: number = ENTRY_TYPE.normal): void {
    const running = this.groups.get(group);
    if (running === undefined) return done(NOT_EXISTS);
    if (running.failure !== null) return done(running.failure);
    if (!this.fits(data)) return done(TOO_LONG);
    const { waiters } = running;
    if (waiters.queuedCount >= this.limits.proposalsMax || !this.takesEntries()) return done(TRY_AGAIN);
    waiters.add({ type, data, done });
    this.wake(running);
  }

  /**
   * Makes sure that this node leads the group, by asking a majority: `done(null)` is called when it did after this call, with everything applied here that was committed
   * by then. What is read within `done` is what the group holds. Any other text: it does not lead, or that cannot be known.
   */
  confirmRead(group: number, done: ReaderDone): void {
    const running = this.groups.get(group);
    if (running === undefined) return done(NOT_EXISTS);
    if (running.failure !== null) return done(running.failure);
    running.readers.add(done);
    this.wake(running);
  }

  /** Asks for the leadership (`raft.md` 4.5). */
  campaign(group: number): void {
    const running = this.groups.get(group);
    running?.step(() => running.core.campaign(true));
  }

  /** The node serves clients from now on: its groups, and those that start later, may campaign. Until then they follow, vote and answer. */
  serve(): void {
    this.serving = true;
    for (const group of this.groups.values()) group.step(() => group.core.serve());
  }

  /** Cuts the group's log up to an index that all replicas have durably applied. */
  compact(group: number, index: number): void {
    const running = this.groups.get(group);
    running?.step(() => running.compact(index));
  }

  /** Outcome of the stream of a snapshot message. */
  snapshotSent(group: number, to: number, ok: boolean): void {
    const running = this.groups.get(group);
    running?.step(() => running.core.snapshotSent(to, ok));
  }

  /** One tick of 300 ms for all groups, and the heartbeats of those that are led here. */
  tick(): void {
    this.journal.tick();
    const led: RaftCore[] = [];
    for (const group of this.groups.values()) {
      group.tick();
      if (group.failure === null && group.core.isLeader && !group.isStalled) led.push(group.core);
    }
    for (const message of heartbeatRequests(this.options.nodeId, led)) this.options.send(message);
    this.evict();
  }

  /** The end of a turn: see above. */
  turn(): void {
    while (this.awake.length > 0) {
      const groups = this.awake;
      this.awake = [];
      for (const group of groups) {
        group.awake = false;
        group.turn();
      }
    }
    this.lookWhoCaughtUp();
    for (const group of this.busy) if (!group.isBusy) this.busy.delete(group);
    this.checkpoint();
    this.journal.flush();
  }

  /** Fields of `/raftStatus` (`raft.md` 5.11); null for an unknown group. */
  status(group: number): RaftStatus | null {
    return this.groups.get(group)?.core.status() ?? null;
  }

  /** The group, for whoever looks into it. */
  group(group: number): RaftGroup | undefined {
    return this.groups.get(group);
  }

  /** Nothing is under way: all that was given to the journal is durable, filed and applied. */
  get isQuiet(): boolean {
    for (const group of this.groups.values()) {
      if (group.isBusy || (group.failure === null && !group.isQuiet)) return false;
    }
    return this.journal.queuedBytes === 0;
  }

  /**
   * A clean stop, a step at a time: the loop calls this each turn, and lets completions come, until it gives the list of problems. Afterwards the folders are complete
   * and durable and the journal is empty; with a problem the journal keeps what the folders may lack, and the next start recovers. Nothing may be proposed or received
   * any more.
   */
  stopStep(): string[] | null {
    if (this.stopping === 'no') {
      for (const group of this.groups.values()) group.journalCommit();
      this.stopping = 'draining';
    }
    this.turn();
    if (!this.isQuiet) return null;
    if (this.stopping === 'draining') {
      for (const id of this.journal.unsettledGroups()) this.groups.get(id)?.checkpoint();
      this.stopping = 'settling';
      this.journal.flush();
      if (!this.isQuiet) return null;
    }
    return this.close();
  }

  // For the groups.

  send(message: RaftMessage): void {
    this.options.send(message);
  }

  wake(group: RaftGroup): void {
    if (group.awake) return;
    group.awake = true;
    this.awake.push(group);
  }

  waits(group: RaftGroup): void {
    this.waiting.add(group);
  }

  failed(group: RaftGroup, reason: string): void {
    this.waiting.delete(group);
    this.behind.delete(group);
    this.options.log('error', `raft stops for this partition: ${reason}`, { group: group.id });
    this.options.groupFailed(group.id, reason);
  }

  leaderChanged({ id }: RaftGroup, leader: number): void {
    this.options.leaderChanged?.(id, leader);
  }

  refused(group: RaftGroup, reason: string): void {
    this.options.log('warn', `a snapshot is not taken: ${reason}`, { group: group.id });
  }

  pin(bytes: number): void {
    this.pinnedBytes += bytes;
  }

  snapshotVerdict(verdict: SnapshotVerdict): void {
    this.options.snapshotVerdict(verdict);
  }

  // Inside.

  /** Whether an entry with this data has a place in a frame of the journal. */
  private fits(data: Uint8Array): boolean {
    return entryRecordBytes(data.byteLength) <= this.journal.logRecordBytesMax;
  }

  private takesEntries(): boolean {
    return this.pinnedBytes < this.limits.pinnedBytesMax && this.journal.hasRoom;
  }

  private heartbeatRequest(message: RaftMessage): string | null {
    const heard = onHeartbeat(this.options.nodeId, message, (id) => this.runs(id));
    if (!heard.ok) return heard.message;
    for (const id of heard.value.groups) {
      const group = this.groups.get(id)!;
      group.step(() => group.core.heartbeatRequest(message.from));
    }
    this.options.send(heard.value.answer);
    return null;
  }

  private heartbeatResponse(message: RaftMessage): string | null {
    const hosted = hostedGroups(message, (id) => this.runs(id));
    if (!hosted.ok) return hosted.message;
    for (const id of hosted.value) {
      const group = this.groups.get(id)!;
      group.step(() => group.core.heartbeatResponse(message.from));
    }
    return null;
  }

  private runs(group: number): boolean {
    const running = this.groups.get(group);
    return running !== undefined && running.failure === null;
  }

  private durable(frame: number): void {
    for (const group of this.waiting) if (!group.durable(frame)) this.waiting.delete(group);
  }

  private journalFailed(errno: number): void {
    for (const group of this.groups.values()) group.fail(`write of the raft journal: errno ${-errno}`);
  }

  private close(): string[] {
    for (const group of this.groups.values()) group.close();
    if (this.journal.failed !== 0) return [`raft journal: errno ${-this.journal.failed}`];
    const unsettled = [...this.journal.unsettledGroups()];
    if (unsettled.length > 0) {
      this.journal.close();
      return unsettled.map((id) => `raft log of partition ${id} is not complete in its folder`);
    }
    const errno = this.journal.stop();
    return errno < 0 ? [`raft journal: errno ${-errno}`] : [];
  }

  /** Has the folders made durable that keep the journal's oldest segments, a bounded number at a time. */
  private checkpoint(): void {
    // A folder that is not ready for it, or never will be, keeps no other from its turn.
    const passedOver = new Set<number>();
    const isBusy = (id: number): boolean => passedOver.has(id) || (this.groups.get(id)?.isBusy ?? true);
    while (this.busy.size < CHECKPOINTS_AT_A_TIME) {
      const due = this.journal.dueForCheckpoint(isBusy);
      if (due === null) return;
      const group = this.groups.get(due)!;
      group.checkpoint();
      if (group.isBusy) this.busy.add(group);
      else passedOver.add(due);
    }
  }

  private lookWhoCaughtUp(): void {
    for (const group of this.behind) {
      if (!group.core.mayVote || !group.core.mayCampaign) continue;
      this.behind.delete(group);
      this.options.log('info', 'caught up: this replica takes part in elections', { group: group.id });
      this.options.caughtUp(group.id);
    }
  }

  private evict(): void {
    let cached = 0;
    for (const { core } of this.groups.values()) cached += core.log.cachedBytes;
    let excess = cached - this.pinnedBytes - this.limits.cacheBytes;
    for (const { keep, unapplied } of EVICTIONS) {
      for (const group of this.groups.values()) {
        if (excess <= 0) return;
        excess -= group.evict(keep, unapplied);
      }
    }
  }
}
