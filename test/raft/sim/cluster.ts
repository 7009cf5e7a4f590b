/**
 * A cluster of simulated nodes that share one raft group: what they say to each other, what they apply, who belongs to them. Every safety property is looked at all
 * along; whatever breaks one throws at the moment when it does.
 *
 * The cluster does nothing by itself but carry messages. Who harms it, who looks after it and who uses it stand in `faults.ts`, `operator.ts` and `clients.ts`.
 */
import assert from 'node:assert';
import { RAFT_MESSAGE, type RaftMessage } from '../../../src/protocol/raftMessage.js';
import {
  CHANGE_TYPE,
  decodeConfigurationChange,
  ENTRY_TYPE,
  type RaftEntry,
} from '../../../src/protocol/raftStructs.js';
import type { SnapshotVerdict } from '../../../src/raft/types.js';
import { FILE } from '../../../src/storage/layout.js';
import type { Random } from '../../sim/random.js';
import type { SimDisk } from '../../sim/simDisk.js';
import { ClusterNode } from './clusterNode.js';
import { EventQueue } from './events.js';
import { Invariants } from './invariants.js';
import { LeaderRules } from './leaderRules.js';
import { RaftWire, SimNetwork } from './network.js';
import { type MakeDisk, type NodeEvents, nodeRegions, type SimNode } from './simNode.js';
import { SnapshotStreams } from './streams.js';
import { newRoot, partitionPath, type Share } from './template.js';
import type { Trace } from './trace.js';

/** What can be put in place of the production parts, so that bugs can be planted. */
export interface PlantedParts {
  makeDisk?: MakeDisk;
  /** A process was started and has not had its first turn: its core, host and journal may be patched. */
  started?: (node: SimNode) => void;
}

export interface ClusterOptions {
  random: Random;
  trace: Trace;
  /** Of the group, at first. */
  members: number;
  /** Messages travel as bytes. */
  wire: boolean;
  planted?: PlantedParts;
}

/** What was counted on the way. */
export interface ClusterCounts {
  /** Starts of processes after the first. */
  restarts: number;
  /** Starts that were cut off. */
  cutStarts: number;
  /** Of members, committed. */
  changes: number;
  /** Taken over by a follower, in place of what it had. */
  snapshots: number;
  /** Streams of snapshots that did not come to their end. */
  streamsFailed: number;
}

export class ClusterBroken extends Error {}

/** Reasons that a failing disk has. */
const DISK_REASONS = /errno 5\b|input\/output error/i;
/** Calls of a start to its disk, at most, before the power goes. */
const CUT_CALLS_MAX = 150;
const SHARES: readonly Share[] = ['whole', 'whole', 'whole', 'whole', 'part', 'none'];

export class Cluster {
  readonly events = new EventQueue();
  readonly invariants = new Invariants();
  readonly leaderRules = new LeaderRules();
  readonly random: Random;
  readonly trace: Trace;
  readonly network: SimNetwork<RaftMessage>;
  readonly streams: SnapshotStreams;
  readonly counts: ClusterCounts = { restarts: 0, cutStarts: 0, changes: 0, snapshots: 0, streamsFailed: 0 };
  /** Nodes that have a disk, by id. */
  readonly nodes = new Map<number, ClusterNode>();
  /** Up to so long a node stays down, or out of service, before its operator cares. */
  patienceMs = 5000;
  /** As the last committed change of members has left them. */
  readonly members = new Set<number>();
  private readonly planted: PlantedParts;
  private lastChange = 0;
  private lastId = 0;

  constructor({ random, trace, members, wire, planted = {} }: ClusterOptions) {
    this.random = random;
    this.trace = trace;
    this.planted = planted;
    const codec = wire ? new RaftWire() : null;
    const deliver = (_from: number, to: number, message: RaftMessage): void => this.deliver(to, message);
    this.network = new SimNetwork(this.events, random, deliver, codec);
    this.streams = new SnapshotStreams(this, codec);
    for (let id = 1; id <= members; id += 1) this.members.add(id);
    this.lastId = members;
    // Somebody has it all.
    for (const id of this.members) this.makeNode(id, id === 1 ? 'whole' : this.anyShare());
    for (const node of this.nodes.values()) node.start();
  }

  get nowMs(): number {
    return this.events.nowMs;
  }

  /** Nodes that are members, as far as is committed. */
  get memberNodes(): ClusterNode[] {
    return [...this.nodes.values()].filter(({ id }) => this.members.has(id));
  }

  /** The leader of the highest term, undefined when there is none. Another one may believe that it leads. */
  get leader(): ClusterNode | undefined {
    let leader: ClusterNode | undefined;
    for (const node of this.nodes.values())
      if (node.isLeader && (leader === undefined || termOf(node) > termOf(leader))) leader = node;
    return leader;
  }

  /** An id that no node has had. A replica that has forgotten its votes must not come back under its old one. */
  newId(): number {
    this.lastId += 1;
    return this.lastId;
  }

  /** A node with an empty log, down, that knows the members as committed. */
  makeNode(id: number, share: Share): ClusterNode {
    const { events, random } = this;
    const node = new ClusterNode({
      ...{ id, events, random, root: newRoot(share, [...this.members]), regions: takeRegions() },
      ...{ watcher: this, hears: (heard: ClusterNode) => this.hears(heard), makeDisk: this.planted.makeDisk },
    });
    this.nodes.set(id, node);
    return node;
  }

  anyShare(): Share {
    return SHARES[this.random.below(SHARES.length)]!;
  }

  /** The node leaves with its disk. */
  removeNode(node: ClusterNode): void {
    node.crash('kill');
    this.nodes.delete(node.id);
    freeRegions.push(node.regions);
    this.note(node, 'is gone');
  }

  /** The run is over: the memory of its nodes is for those of the next. */
  close(): void {
    for (const { regions } of this.nodes.values()) freeRegions.push(regions);
    this.nodes.clear();
  }

  /** Starts a process on a node that is down. */
  restart(node: ClusterNode): void {
    this.counts.restarts += 1;
    const cutAfter = node.cutNextStart ? this.random.below(CUT_CALLS_MAX) : undefined;
    node.cutNextStart = false;
    if (node.excuse !== null) forgetBroken(node.sim.disk);
    if (!node.start(cutAfter)) this.counts.cutStarts += 1;
  }

  // For its nodes.

  moved(node: ClusterNode): void {
    const { group } = node.sim;
    // Also the core of a group that has just failed: what it gave to the journal before counts.
    if (group !== undefined) {
      this.invariants.observe(node.id, group.core);
      this.leaderRules.observe(node.id, group.core);
    }
    if (node.damaged && mayVote(node)) node.damaged = false;
    if (node.isRemoved) this.removeNode(node);
  }

  ended(node: ClusterNode): void {
    if (node.failure !== null && node.phase === 'down' && node.excuse === null)
      throw new ClusterBroken(`node ${node.id} cannot start: ${node.failure}`);
    node.idleUntilMs = this.idleUntil();
    for (const other of this.nodes.keys()) {
      if (other === node.id) continue;
      this.network.breakConnection(node.id, other);
      this.network.breakConnection(other, node.id);
    }
    this.streams.ended(node.id);
  }

  note(node: ClusterNode | null, what: string): void {
    this.trace.note(this.nowMs, node?.id ?? 0, what);
  }

  /** A node's process gets a message. */
  deliver(to: number, message: RaftMessage): void {
    const node = this.nodes.get(to);
    if (node?.phase !== 'up') return;
    this.trace.arrived(this.nowMs, message);
    node.receive(message);
  }

  private hears(node: ClusterNode): NodeEvents {
    const { id } = node;
    const { invariants } = this;
    return {
      resumed: (index) => invariants.resumed(id, index),
      handedOver: (entry) => this.handedOver(id, entry),
      restored: (index, term) => {
        this.counts.snapshots += 1;
        invariants.restored(id, index, term);
      },
      started: (sim) => {
        this.note(node, 'starts');
        invariants.started(id, sim.group!.core);
        this.planted.started?.(sim);
      },
      send: (message) => this.send(node, message),
      snapshotVerdict: (verdict: SnapshotVerdict) => this.streams.verdict(verdict),
      groupFailed: (reason) => this.groupFailed(node, reason),
      removed: () => {
        this.note(node, 'was removed');
        node.isRemoved = true;
      },
      log: (message) => this.note(node, message),
    };
  }

  private idleUntil(): number {
    return this.nowMs + this.random.below(this.patienceMs + 1);
  }

  private send(node: ClusterNode, message: RaftMessage): void {
    assert(message.from === node.id, 'a node speaks for itself');
    this.invariants.sent(node.id, message);
    this.leaderRules.sent(node.id, message);
    if (message.type === RAFT_MESSAGE.snapshot) this.streams.begin(node, message);
    else this.network.send(node.id, message.to, message);
  }

  private handedOver(id: number, entry: RaftEntry): void {
    this.trace.applies(this.nowMs, id, entry);
    this.invariants.handedOver(id, entry);
    if (entry.type === ENTRY_TYPE.configurationChange && entry.index > this.lastChange) this.change(entry);
  }

  /** The first node that applies a change of members tells of it. */
  private change(entry: RaftEntry): void {
    const change = decodeConfigurationChange(entry.data);
    assert(change.ok, 'the operator proposes what can be read');
    this.lastChange = entry.index;
    this.counts.changes += 1;
    const { nodeId } = change.value.peer;
    if (change.value.type === CHANGE_TYPE.add) this.members.add(nodeId);
    else this.members.delete(nodeId);
  }

  private groupFailed(node: ClusterNode, reason: string): void {
    this.note(node, `fails: ${reason}`);
    node.failure = reason;
    node.idleUntilMs = this.idleUntil();
    if (node.excuse === null || !DISK_REASONS.test(reason))
      throw new ClusterBroken(`node ${node.id} has left its group: ${reason}`);
  }
}

/**
 * An extent whose fdatasync has failed takes no writes until repair has made it anew, in this life or a later one. Here its mark is taken away: what was lost of
 * committed writes is not covered by APPLY, so the log still has it.
 */
function forgetBroken(disk: SimDisk): void {
  const partition = partitionPath(disk);
  disk.unlink(`${partition}/${FILE.extentClean}`);
  disk.fsyncFolder(partition);
}

/** Nodes of runs that are over have left theirs. */
const freeRegions: Uint8Array[][] = [];

function takeRegions(): Uint8Array[] {
  return freeRegions.pop() ?? nodeRegions();
}

function termOf(node: ClusterNode): number {
  return node.sim.group?.core.term ?? 0;
}

function mayVote(node: ClusterNode): boolean {
  return node.serves && node.sim.group?.core.mayVote === true;
}
