/**
 * One node of a cluster through all its lives: its process is started with recovery, gets ticks from its own clock and completions from its disk, and ends in one of
 * the ways in which processes end.
 *
 * Everything that its process does goes through `act`, which holds it back during a pause and tells the cluster to look at the node afterwards. Who decides when what
 * happens to a node is elsewhere (`faults.ts`, `operator.ts`).
 */
import assert from 'node:assert';
import type { RaftMessage } from '../../../src/protocol/raftMessage.js';
import type { Random } from '../../sim/random.js';
import { PowerCut } from '../../sim/simFiles.js';
import type { SimFolder } from '../../sim/simFolder.js';
import { type EventQueue, NodeClock } from './events.js';
import { type MakeDisk, type NodeEvents, SimNode } from './simNode.js';

const TICK_MS = 300;
/** A stop that takes longer is ended the hard way, as an init system does. */
const STOP_MS_MAX = 10_000;
/** Of most work of a disk, of a share of it, ms. */
const WORK_MS = 4;
const SLOW_WORK_MS = 200;
const SLOW_WORK_SHARE = 0.01;

/** Who is told what happens on a node, with the node. */
export interface NodeWatcher {
  /** The process has done something: it is to be looked at before anybody else does anything. */
  moved(node: ClusterNode): void;
  /** A process of this node has ended, or none could be started. */
  ended(node: ClusterNode): void;
  note(node: ClusterNode, what: string): void;
}

/** What a node is made of. */
export interface NodeMaking {
  id: number;
  root: SimFolder;
  regions: Uint8Array[];
  events: EventQueue;
  random: Random;
  watcher: NodeWatcher;
  /** For the process. */
  hears: (node: ClusterNode) => NodeEvents;
  makeDisk: MakeDisk | undefined;
}

/** How a process ends at once. */
export type Crash = 'kill' | 'power loss';

export class ClusterNode {
  readonly id: number;
  readonly sim: SimNode;
  readonly regions: Uint8Array[];
  /** Of the process that runs, or that ran last. */
  clock: NodeClock;
  /** Counts processes. */
  life = 0;
  phase: 'down' | 'up' | 'stopping' = 'down';
  /** Why its group is out of service in this life; null while it serves. */
  failure: string | null = null;
  /** A fault of the disk that may put the group out of service in this life. */
  excuse: string | null = null;
  /** What was durable on its disk was damaged, and it has not caught up since. */
  damaged = false;
  /** Its next start is cut off somewhere. */
  cutNextStart = false;
  /** Its operator starts it again, or ends what does not serve, from this moment on. */
  idleUntilMs = 0;
  /** No submitted work of its disk ends before this moment. */
  hungUntilMs = 0;
  /** Its clock runs so fast, from its next start on as well. */
  rate = 1;
  /** It was removed from the group, or is: it ends when its present turn has. */
  isRemoved = false;
  private readonly events: EventQueue;
  private readonly random: Random;
  private readonly watcher: NodeWatcher;
  private working = false;

  constructor({ id, root, regions, events, random, watcher, hears, makeDisk }: NodeMaking) {
    this.id = id;
    this.regions = regions;
    this.events = events;
    this.random = random;
    this.watcher = watcher;
    this.clock = new NodeClock(events);
    const clock = {
      nowMs: () => this.clock.nowMs(),
      monotonicNs: () => this.clock.monotonicNs(),
    };
    this.sim = new SimNode(id, root, regions, clock, random, hears(this), makeDisk);
  }

  /** A process runs here that serves its group. */
  get serves(): boolean {
    return this.phase === 'up' && this.failure === null;
  }

  get isLeader(): boolean {
    return this.serves && this.sim.group?.core.isLeader === true;
  }

  /**
   * Starts a process. False when none came to run: the group is out of service (`failure`), or (`cutAfter`) the power went after so many calls
   * of the start to its disk.
   */
  start(cutAfter = Number.POSITIVE_INFINITY): boolean {
    assert(this.phase === 'down', 'one process at a time');
    this.life += 1;
    this.failure = null;
    this.excuse = null;
    this.working = false;
    this.clock = new NodeClock(this.events, this.rate);
    const { disk } = this.sim;
    disk.callsToPowerCut = cutAfter;
    try {
      this.failure = this.sim.start();
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
      this.note('ends during its start');
      // What was submitted may still happen.
      disk.callsToPowerCut = Number.POSITIVE_INFINITY;
      if (this.random.chance(0.5)) this.sim.losePower();
      else this.sim.kill();
      this.clock.end();
      this.watcher.ended(this);
      return false;
    } finally {
      disk.callsToPowerCut = Number.POSITIVE_INFINITY;
    }
    if (this.failure !== null) {
      this.note(`cannot start: ${this.failure}`);
      this.sim.kill();
      this.clock.end();
      this.watcher.ended(this);
      return false;
    }
    this.phase = 'up';
    this.clock.every(TICK_MS, () => this.tick());
    this.moved();
    return true;
  }

  /** Does something in the process, and the turn behind it, now or when its pause ends; not at all when it has ended by then, or no longer listens. */
  act(action: (sim: SimNode) => void): void {
    this.clock.run(() => {
      if (this.phase !== 'up') return;
      action(this.sim);
      this.sim.turn();
      this.moved();
    });
  }

  /** The process gets a message. */
  receive(message: RaftMessage): void {
    if (this.clock.paused) return this.act((sim) => sim.receive(message));
    this.sim.receive(message);
    this.moved();
  }

  /** The process ends here and now. */
  crash(how: Crash): void {
    if (this.phase === 'down') return;
    this.note(how);
    this.clock.end();
    this.phase = 'down';
    if (how === 'kill') this.sim.kill();
    else this.sim.losePower();
    this.watcher.ended(this);
  }

  /** Begins a clean stop. */
  stop(): void {
    assert(this.phase === 'up', 'only what runs can be stopped');
    this.note('is stopped');
    const { life } = this;
    this.clock.run(() => {
      this.phase = 'stopping';
      this.stopStep();
    });
    this.events.after(STOP_MS_MAX, () => {
      if (this.life === life) this.crash('kill');
    });
  }

  private tick(): void {
    if (this.phase === 'up') {
      this.sim.tick();
      this.moved();
    } else if (this.phase === 'stopping') {
      this.stopStep();
    }
  }

  private moved(): void {
    this.watcher.moved(this);
    // A turn may have been the last one of a member that was removed.
    if (this.phase !== 'down') this.workLater();
  }

  /** One piece of the disk's work after the other. */
  private workLater(): void {
    if (this.working || this.sim.disk.pending() === 0) return;
    this.working = true;
    const slow = this.random.chance(SLOW_WORK_SHARE);
    const takesMs = this.random.below(slow ? SLOW_WORK_MS : WORK_MS);
    const endMs = Math.max(this.events.nowMs + takesMs, this.hungUntilMs);
    const { life } = this;
    this.events.at(endMs, () => {
      if (this.life === life) this.clock.run(() => this.work());
    });
  }

  private work(): void {
    this.working = false;
    if (this.events.nowMs < this.hungUntilMs) return this.workLater();
    if (this.phase === 'stopping') {
      this.sim.disk.step();
      this.stopStep();
    } else if (this.phase === 'up') {
      this.sim.work();
      this.moved();
    }
  }

  private stopStep(): void {
    const problems = this.sim.stopStep();
    if (problems === null) return this.moved();
    this.note(problems.length === 0 ? 'has stopped' : `has stopped: ${problems.join('; ')}`);
    this.clock.end();
    this.phase = 'down';
    // What the process leaves is taken over by the next one.
    this.sim.kill();
    this.watcher.ended(this);
  }

  private note(what: string): void {
    this.watcher.note(this, what);
  }
}
