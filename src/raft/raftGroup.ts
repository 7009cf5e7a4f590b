/**
 * One group as its host runs it: outputs of the core on their way to the disk, entries on their way to the state machine, proposals that wait.
 *
 * Order is everything here. Outputs leave in the order in which the core gave them, each when the journal holds it durably; only then does the folder get it,
 * does the core count it, and do the messages leave that promise it. Whatever goes wrong for good ends this group and nothing else.
 */
import assert from 'node:assert';
import type { RaftMessage } from '../protocol/raftMessage.js';
import type { RaftEntry, SnapshotMeta } from '../protocol/raftStructs.js';
import type { RaftCore } from './core.js';
import { type Filed, Filing, type FilingHost } from './filing.js';
import type { GroupFolder } from './groupFolder.js';
import type { HostLimits } from './hostOptions.js';
import { Readers } from './readers.js';
import type { ApplyOutcome, CoreOutput, SnapshotVerdict, StateMachine } from './types.js';
import { Waiters } from './waiters.js';

/** What a group needs from its host. */
export interface GroupHost extends FilingHost {
  readonly limits: HostLimits;
  /** Hands a message to the transport, which may drop it. */
  send(message: RaftMessage): void;
  /** What the sender of a snapshot header is to be told on its connection. */
  snapshotVerdict(verdict: SnapshotVerdict): void;
  /** The group has something to do in the next turn. */
  wake(group: RaftGroup): void;
  /** The group has outputs that wait for the journal: `durable` is to be called. */
  waits(group: RaftGroup): void;
  /** The group has ended for the reason told. */
  failed(group: RaftGroup, reason: string): void;
  /** Who leads has changed, as far as it is known here; 0: nobody. */
  leaderChanged(group: RaftGroup, leader: number): void;
  /** A snapshot could not be taken for the reason told. */
  refused(group: RaftGroup, reason: string): void;
  /** Entries were added to (or, below zero, removed from) what is pinned in memory. */
  pin(bytes: number): void;
}

/** On its way to the journal. */
interface Pending extends Filed {
  /** Number of the frame that holds the last of it. */
  frame: number;
  sinceTick: number;
}

export class RaftGroup {
  readonly id: number;
  readonly core: RaftCore;
  readonly waiters: Waiters;
  readonly readers = new Readers();
  /** Why it ended; null while it runs. */
  failure: string | null = null;
  /** In the host's list of groups to look at. */
  awake = false;
  private readonly host: GroupHost;
  private readonly filing: Filing;
  private readonly machine: StateMachine;
  /** Waiting for the journal, oldest first. */
  private readonly pending: Pending[] = [];
  /** What the folder held at the start is durable: before, nothing is promised that builds on it. */
  private begun = false;
  private applyingBytes = 0;
  /** Index of the last entry that the state machine was given. */
  private applyingTo = 0;
  private fetching = false;
  private ticks = 0;
  private leaderTold = 0;
  private termTold = 0;

  constructor(host: GroupHost, core: RaftCore, folder: GroupFolder, machine: StateMachine) {
    this.id = core.group;
    this.host = host;
    this.core = core;
    this.machine = machine;
    this.waiters = new Waiters((bytes) => host.pin(bytes));
    const filed = ({ output }: Filed): void => {
      if (output !== null) host.pin(-bytesOf(output.entries));
    };
    this.filing = new Filing(this.id, host, folder, filed, (reason) => this.fail(reason));
    this.filing.begin(() => {
      this.begun = true;
      this.durable(host.journal.durableFrame);
    });
  }

  /** Nothing is on its way to the disk, and nothing with the state machine. */
  get isQuiet(): boolean {
    return this.pending.length === 0 && this.filing.isDone && this.applyingBytes === 0;
  }

  /** The folder is being made durable. */
  get isBusy(): boolean {
    return this.filing.isBusy;
  }

  /** Its disk has taken too long for a write: a leader should not keep its followers from electing another. */
  get isStalled(): boolean {
    const [oldest] = this.pending;
    return oldest !== undefined && this.ticks - oldest.sinceTick > this.host.limits.stalledTicks;
  }

  /** Too much waits for a disk that takes nothing: no more is taken in, as nothing could be promised. */
  get isClogged(): boolean {
    return this.pending.length >= this.host.limits.cloggedOutputs && this.isStalled;
  }

  /** One tick of 300 ms. */
  tick(): void {
    this.ticks += 1;
    this.filing.retry();
    if (this.failure !== null) return;
    // A leader loses its lead by its ticks; nobody else has to do anything before the disk goes on.
    const lacksRoom = this.machine.lacksRoom || this.host.journal.lacksRoom;
    if (this.core.isLeader || !this.isClogged) this.run(() => this.core.tick(lacksRoom));
    this.tellLeader();
    // Whoever waits may have to be told that this node leads no more.
    const waits = this.waiters.count + this.readers.count > 0 || this.core.wantsLog !== null;
    if (waits || this.core.hasOutput) this.host.wake(this);
  }

  /** Runs a step of the core, and wakes the group. A broken invariant in it ends this group. */
  step(step: () => void): void {
    if (this.failure !== null) return;
    this.run(step);
    this.host.wake(this);
  }

  /** What a snapshot header says of members is kept before the log that it replaces is gone. False: it could not be, and the snapshot is not to be taken. */
  keepMembers(header: RaftMessage): boolean {
    if (!this.core.wouldRestore(header)) return true;
    const problem = this.machine.keepMembers(header.snapshot!.peers);
    if (problem !== null) this.host.refused(this, problem);
    return problem === null;
  }

  /** One turn: proposals become entries, outputs go to the journal, committed entries to the state machine. */
  turn(): void {
    if (this.failure !== null) return;
    this.run(() => this.propose());
    // Without room the state machine tells nobody an end for long.
    const { log, isLeader, term } = this.core;
    this.waiters.leadership(isLeader, term, this.machine.lacksRoom ? log.applied : this.applyingTo);
    this.readers.turn(this.core);
    while (this.failure === null && this.core.hasOutput) this.give(this.core.takeOutput());
    this.run(() => this.handOver());
    this.run(() => this.readLog());
    this.tellLeader();
    if (this.failure === null && this.core.hasOutput) this.host.wake(this);
  }

  /** The journal is durable up to `frame`. False when nothing waits for it any more. */
  durable(frame: number): boolean {
    while (
      this.begun &&
      this.failure === null &&
      this.pending.length > 0 &&
      this.pending[0]!.frame <= frame
    ) {
      this.settle(this.pending.shift()!);
    }
    return this.pending.length > 0;
  }

  /** Cuts the log up to `index`, as far as the retained entries allow (`raft.md` 4.12). */
  compact(index: number): void {
    const cut = this.core.compact(index);
    if (cut === null) return;
    this.host.journal.cut(this.id, cut.index, cut.term);
    this.hold({ ...this.journalHardState(), cut });
  }

  /** The folder is to be durable, so that the journal need not keep this group's records: also when the group has failed. */
  checkpoint(): void {
    // Before the group has begun, what is durable in the journal waits here and is not in the folder.
    if (this.begun) this.filing.checkpoint();
  }

  /** Before a stop: the last commit goes to the journal, so that META may have it. */
  journalCommit(): void {
    if (this.failure !== null || this.core.log.committed === this.filing.journaledCommit) return;
    this.hold(this.journalHardState());
  }

  /** Closes the folder; it is as durable as its last checkpoint. */
  close(): void {
    this.end('raft is already shutdown.');
    this.filing.close();
  }

  /** The group leaves this node with its folder; 0 or a negated errno. */
  remove(): number {
    this.end('raft is already shutdown.');
    this.host.journal.end(this.id);
    return this.filing.remove();
  }

  /** Ends the group for good, in this process. Its partition may still be read. */
  fail(reason: string): void {
    if (this.failure !== null) return;
    this.end(reason);
    this.host.failed(this, reason);
  }

  /**
   * Drops entries from memory that are durable and filed, but for the last `keep`; `unapplied`: also those that the state machine has still to apply, which will be read
   * again. Returns the bytes freed.
   */
  evict(keep: number, unapplied: boolean): number {
    const { log } = this.core;
    const before = log.cachedBytes;
    const inFolder = Math.min(this.filing.lastIndex, log.durable, log.lastIndex - keep);
    const upTo = unapplied ? inFolder : Math.min(inFolder, log.applied);
    if (upTo > log.cutIndex) log.evict(upTo);
    return before - log.cachedBytes;
  }

  private tellLeader(): void {
    const { leader: known, term } = this.core;
    const leader = this.failure === null ? known : 0;
    if (leader === this.leaderTold && (leader === 0 || term === this.termTold)) return;
    this.leaderTold = leader;
    this.termTold = term;
    this.host.leaderChanged(this, leader);
  }

  private run(step: () => void): void {
    if (this.failure !== null) return;
    try {
      step();
    } catch (error) {
      if (!(error instanceof assert.AssertionError)) throw error;
      this.fail(error.message);
    }
  }

  /** What was not durable was promised to nobody; what was is still carried into the folder. */
  private end(reason: string): void {
    this.failure ??= reason;
    this.waiters.failAll(reason);
    this.readers.failAll(reason);
    for (const { output } of this.pending) if (output !== null) this.host.pin(-bytesOf(output.entries));
    this.pending.length = 0;
  }

  private propose(): void {
    const batch = this.waiters.take(this.host.limits.proposalBatch);
    if (batch.length === 0) return;
    const data = batch.map((proposal) => proposal.data);
    const result = this.core.propose(batch[0]!.type, data);
    if (result.ok) this.waiters.wait(batch, result.firstIndex, result.term);
    else this.waiters.refuse(batch, result.message);
    if (this.waiters.queuedCount > 0) this.host.wake(this);
  }

  /** Sends what may leave, and gives the rest to the journal. */
  private give(output: CoreOutput): void {
    for (const message of output.messages) this.host.send(message);
    const { reset, entries, mustSync } = output;
    if (reset === null && entries.length === 0 && !mustSync) {
      const frame = this.pending.at(-1)?.frame ?? this.host.journal.durableFrame;
      if (this.pending.length === 0 && this.begun) this.release(output);
      else this.hold({ ...this.nothingAt(frame), output });
      return;
    }
    const { journal } = this.host;
    if (reset !== null) journal.reset(this.id, reset.index, reset.term);
    if (entries.length > 0) {
      journal.entries(this.id, entries);
      this.host.pin(bytesOf(entries));
    }
    this.hold({ ...this.journalHardState(), output });
  }

  /** What promises something of this disk may leave. */
  private release({ messagesAfter, snapshotVerdicts }: CoreOutput): void {
    for (const message of messagesAfter) this.host.send(message);
    for (const verdict of snapshotVerdicts) this.host.snapshotVerdict(verdict);
  }

  /**
   * The present hard state goes to the journal, behind everything else of an output. With every output, not only when it changed: a folder whose META is newer
   * than the last one here was written by another node.
   */
  private journalHardState(): Pending {
    const hardState = { term: this.core.term, vote: this.core.vote, commit: this.core.log.committed };
    return { ...this.nothingAt(this.host.journal.hardState(this.id, hardState)), hardState };
  }

  private nothingAt(frame: number): Pending {
    return { frame, sinceTick: this.ticks, output: null, cut: null, hardState: null };
  }

  private hold(pending: Pending): void {
    this.pending.push(pending);
    this.host.waits(this);
  }

  /** An output, or a cut, is durable in the journal. */
  private settle(pending: Pending): void {
    const { output } = pending;
    this.filing.add(pending);
    if (output === null || this.failure !== null) return;
    this.step(() => this.core.persisted(output));
    if (output.reset !== null) this.restore(output.reset);
    this.release(output);
  }

  private restore(meta: SnapshotMeta): void {
    this.machine.restore(meta, (outcome) => {
      if (outcome.kind === 'stopped') return this.fail(outcome.reason);
      this.step(() => this.core.restored(true));
    });
  }

  /** Gives committed entries to the state machine, as many as its window takes. */
  private handOver(): void {
    const { applyWindowBytes } = this.host.limits;
    while (this.failure === null && this.applyingBytes < applyWindowBytes) {
      const entries = this.core.handOver(applyWindowBytes - this.applyingBytes);
      if (entries === null || entries.length === 0) return;
      for (const entry of entries) this.apply(entry);
    }
  }

  private apply(entry: RaftEntry): void {
    const bytes = entryBytes(entry);
    this.applyingBytes += bytes;
    this.applyingTo = entry.index;
    this.machine.apply(entry, (outcome) => {
      this.applyingBytes -= bytes;
      this.applied(entry, outcome);
    });
  }

  private applied(entry: RaftEntry, outcome: ApplyOutcome): void {
    if (this.failure !== null) return;
    if (outcome.kind === 'stopped') return this.fail(outcome.reason);
    // A snapshot may have come meanwhile: the core is ahead then.
    this.step(() => {
      if (entry.index > this.core.log.applied) this.core.appliedTo(entry.index);
    });
    this.waiters.applied(entry.index, entry.term, outcome.error);
  }

  /** Brings into memory what a follower, or the state machine, waits for. */
  private readLog(): void {
    const wanted = this.core.wantsLog;
    if (wanted === null || this.fetching) return;
    this.fetching = true;
    this.filing.fetch(wanted.from, wanted.to, this.host.limits.readBytes, () => {
      this.fetching = false;
      this.run(() => this.load());
    });
  }

  /** What is wanted by now, whatever was fetched: mostly the same. */
  private load(): void {
    const wanted = this.core.wantsLog;
    if (wanted === null) return;
    const entries = this.filing.read(wanted.from, wanted.to, this.host.limits.readBytes);
    // Not in the folder yet: asked for again when something has moved, or at the next tick.
    if (entries === null) return;
    this.core.log.put(entries);
    this.core.logLoaded();
    this.host.wake(this);
  }
}

/** What an entry costs in memory beside its data, roughly. */
const ENTRY_OVERHEAD_BYTES = 64;

function entryBytes(entry: RaftEntry): number {
  return entry.data.byteLength + ENTRY_OVERHEAD_BYTES;
}

function bytesOf(entries: readonly RaftEntry[]): number {
  return entries.reduce((sum, entry) => sum + entryBytes(entry), 0);
}
