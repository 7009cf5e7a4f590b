/**
 * Nodes with raft hosts on simulated disks, and a network that delivers when the test says so. The state machine is a list that forgets everything when its process
 * ends, so a restart applies the log anew.
 */
import assert from 'node:assert';
import { native } from '../../src/native/addon.js';
import { RAFT_MESSAGE, type RaftMessage } from '../../src/protocol/raftMessage.js';
import {
  ENTRY_TYPE,
  type RaftEntry,
  type RaftPeer,
  type SnapshotMeta,
} from '../../src/protocol/raftStructs.js';
import { RaftHost } from '../../src/raft/host.js';
import type { HostOptions } from '../../src/raft/hostOptions.js';
import { Journal } from '../../src/raft/journal.js';
import type { ApplyOutcome, StateMachine } from '../../src/raft/types.js';
import { Random } from '../sim/random.js';
import { SimDisk } from '../sim/simDisk.js';

export const GROUP = 7;
const REGION_BYTES = 256 * 1024;
const SCRATCH_BYTES = 64 * 1024;
const SEGMENT_BYTES = 256 * 1024;

/** Applies by remembering. */
export class ListMachine implements StateMachine {
  readonly durableApplied = 0;
  lacksRoom = false;
  readonly commands: string[] = [];
  restoredTo = 0;
  /** Members that snapshots have told, and why they cannot be kept. */
  readonly members: number[][] = [];
  keepsNobody: string | null = null;
  /** Applies nothing while it is set, until `resume`. */
  paused = false;
  private held: (() => void)[] = [];
  /** Next outcomes, oldest first; then everything succeeds. */
  readonly outcomes: ApplyOutcome[] = [];

  resumeAt(): void {}

  resume(): void {
    for (const act of this.held.splice(0)) act();
  }

  apply(entry: RaftEntry, done: (outcome: ApplyOutcome) => void): void {
    if (this.paused) this.held.push(() => this.applyNow(entry, done));
    else this.applyNow(entry, done);
  }

  private applyNow(entry: RaftEntry, done: (outcome: ApplyOutcome) => void): void {
    const outcome = this.outcomes.shift() ?? { kind: 'applied', error: null };
    if (entry.type === ENTRY_TYPE.normal && entry.data.byteLength > 0 && outcome.kind === 'applied')
      this.commands.push(Buffer.from(entry.data).toString());
    done(outcome);
  }

  keepMembers(peers: readonly RaftPeer[]): string | null {
    if (this.keepsNobody !== null) return this.keepsNobody;
    this.members.push(peers.map(({ nodeId }) => nodeId));
    return null;
  }

  restore(meta: SnapshotMeta, done: (outcome: ApplyOutcome) => void): void {
    this.restoredTo = meta.index;
    done({ kind: 'applied', error: null });
  }
}

/** One life of one node. */
export class RigNode {
  readonly id: number;
  readonly disk: SimDisk;
  readonly journal: Journal;
  readonly host: RaftHost;
  readonly machine = new ListMachine();
  readonly outbox: RaftMessage[] = [];
  readonly failures: string[] = [];
  readonly lines: string[] = [];

  constructor(id: number, peers: readonly number[], disk: SimDisk, options: Partial<HostOptions> = {}) {
    this.id = id;
    this.disk = disk;
    const random = new Random(id);
    const journal = Journal.open({
      ...{ disk, folder: '/d/.extentd.raft/0', regions: disk.regions, region: 0, bufferOffset: 0 },
      ...{ bufferBytes: REGION_BYTES, segmentBytes: SEGMENT_BYTES, segmentsMax: 4, crc32c: native.crc32c },
      log: (_level, message) => void this.lines.push(message),
    });
    assert(typeof journal !== 'string', String(journal));
    this.journal = journal;
    this.host = new RaftHost({
      scratch: { regions: disk.regions, region: 0, bufferOffset: REGION_BYTES, bufferBytes: SCRATCH_BYTES },
      ...{ disk, journal, folder: {}, nodeId: id, random: (below) => random.below(below) },
      send: (message) => void this.outbox.push(message),
      snapshotVerdict: () => undefined,
      groupFailed: (_group, reason) => void this.failures.push(reason),
      caughtUp: () => undefined,
      log: (_level, message) => void this.lines.push(message),
      ...options,
    });
    const problem = this.host.start({
      ...{ group: GROUP, path: `/d/wal_${GROUP}`, machine: this.machine, lost: false },
      peers: peers.map((nodeId) => ({ type: 0, priority: 0, nodeId })),
    });
    assert(problem === null, String(problem));
  }

  /** Turns until nothing moves any more but messages. */
  settle(): void {
    for (let turns = 0; turns < 1000; turns += 1) {
      this.host.turn();
      if (!this.disk.step()) return;
      this.disk.drainCompletions();
    }
    assert.fail('the node does not come to rest');
  }
}

/** A disk with a folder `/d`. */
export function nodeDisk(seed: number): SimDisk {
  const disk = new SimDisk({
    regions: [new Uint8Array(new SharedArrayBuffer(REGION_BYTES + SCRATCH_BYTES))],
    seed,
  });
  disk.mkdir('/d', 0o755);
  disk.fsyncFolder('/');
  return disk;
}

export class HostRig {
  readonly nodes: RigNode[];
  /** Messages are delivered unless this says no. */
  passes: (message: RaftMessage) => boolean = () => true;

  constructor(count: number, options: Partial<HostOptions> = {}) {
    const ids = Array.from({ length: count }, (_, i) => i + 1);
    this.nodes = ids.map((id) => new RigNode(id, ids, nodeDisk(id), options));
  }

  node(id: number): RigNode {
    return this.nodes[id - 1]!;
  }

  get leader(): RigNode | undefined {
    return this.nodes.find(({ host }) => host.group(GROUP)!.core.isLeader);
  }

  /** Everything runs and is delivered until nothing moves. */
  run(): void {
    for (let rounds = 0; rounds < 1000; rounds += 1) {
      for (const node of this.nodes) node.settle();
      const messages = this.nodes.flatMap(({ outbox }) => outbox.splice(0));
      if (messages.length === 0) return;
      for (const message of messages) if (this.passes(message)) this.deliver(message);
    }
    assert.fail('the nodes talk for ever');
  }

  /** One tick of each node, and what comes of it. */
  tick(): void {
    for (const { host } of this.nodes) host.tick();
    this.run();
  }

  /** Ticks until there is a leader that has committed. */
  elect(): RigNode {
    for (let ticks = 0; ticks < 100; ticks += 1) {
      this.tick();
      const { leader } = this;
      if (leader !== undefined && leader.host.group(GROUP)!.core.log.applied > 0) return leader;
    }
    assert.fail('no leader after 100 ticks');
  }

  private deliver(message: RaftMessage): void {
    const { host } = this.node(message.to);
    assert.equal(host.receive(message), null);
    if (message.type === RAFT_MESSAGE.snapshot)
      this.node(message.from).host.snapshotSent(GROUP, message.to, true);
  }
}
