/**
 * Time, chance and the network of one simulated run: everything that happens is an event of one queue, and all chance comes from one seed.
 *
 * The repair thread's code waits with promises and with `setTimeout`. So after each event all promises that it has settled run to their end before the next one, and for the time of a run the global timers are
 * those of the simulation.
 */
import type { Clock } from '../../../src/storage/io.js';
import { EventQueue } from '../../raft/sim/events.js';
import { Random } from '../../sim/random.js';
import type { RaftNetwork } from './raftNetwork.js';
import type { SimNode } from './simNode.js';

/** 2019-11-13 10:20:30 UTC. */
const START_MS = Date.UTC(2019, 10, 13, 10, 20, 30);

/** What is looked at every so often is looked at less often than that: most looks see nothing, and would be most events of a run. */
const LOOK_MS_MIN = 10_000;

/** What a run has hit; the sums over all seeds have floors (`slice.ts`). */
export const HIT_NAMES = [
  'kills',
  'powerLosses',
  'killsInRounds',
  'pauses',
  'newDisks',
  'truncated',
  'tornFetches',
  'lostInFlight',
  'garbage',
  'deletesInRounds',
  'appendsInRounds',
  'rounds',
  'tasks',
  'fetchedExtents',
  'missedDeletes',
  'joined',
  'acknowledged',
  'failed',
  'acknowledgedDeletes',
  'tinyAppends',
  'deletesGivenUp',
  'misplacedPieces',
  'silentPeers',
  'silentLinks',
  'silentDials',
  'nonsenseLists',
  'nonsenseTasks',
  'fullDisks',
  'fullFetches',
  'failedDisks',
  'swappedHosts',
  'replacedHosts',
  'secondFirstHosts',
  'flippedBits',
  'flippedWhileDown',
  'healedBlocks',
  'bitsTold',
  'undecided',
  'randomWrites',
  'randomInDoubt',
  'leaderReads',
  'elections',
  'leadersKilled',
  'raftCuts',
  'snapshots',
  'comparisons',
  'truncations',
  'missingRecorded',
  'missingFilled',
  'memberChanges',
  'removedReplicas',
  'killsBeforeApply',
  'forcedElections',
] as const;
export type HitName = (typeof HIT_NAMES)[number];
export type Hits = Record<HitName, number>;

export function noHits(): Hits {
  return Object.fromEntries(HIT_NAMES.map((name) => [name, 0])) as Hits;
}

/** What may happen in a run beside kills, pauses and torn streams: decided at its start, so that most runs have some of it and few have all. */
export interface Traits {
  readonly losesPower: boolean;
  /** Packets and connections vanish, and nobody is told. */
  readonly silence: boolean;
  /** Lists and notifications come with things in them that make no sense. */
  readonly nonsense: boolean;
  /** Disks have no room while repair writes. */
  readonly fullDisks: boolean;
  /** A disk fails while repair writes, and is replaced by an empty one. */
  readonly failingDisk: boolean;
  /** The master changes the list of hosts. */
  readonly changingHosts: boolean;
  /** Bits turn on disks when everything else has come to rest. */
  readonly bits: boolean;
  /** Raft's messages are late, lost, told twice; links are cut; nodes are told to lead. */
  readonly uneasyRaft: boolean;
  /** Raft's messages travel as bytes. */
  readonly wire: boolean;
}

/** Something that must hold does not. */
export class Broken extends Error {}

export class World {
  readonly events = new EventQueue();
  readonly random: Random;
  readonly hits = noHits();
  /** The last things that happened, for whoever has to find out why. */
  readonly trace: string[] = [];
  readonly clock: Clock = {
    nowMs: () => START_MS + this.events.nowMs,
    monotonicNs: () => this.events.nowMs * 1e6,
  };
  readonly traits: Traits;
  /** When the faults have stopped. */
  calmFromMs = Number.POSITIVE_INFINITY;
  /** Replicas that were lost with all they had: one a run, or nobody could tell what has to be there. */
  replicasLost = 0;
  #lastNodeId = 0;
  /** A round or a task may begin: clients have something to do just then. */
  roundBegins: () => void = () => {};
  /** A node is about to fetch something: extents, or what it misses of them. */
  fetches: () => void = () => {};
  /** A new replica calls itself complete; repair has brought an extent to a node, and is done with it. */
  joined: (node: SimNode) => void = () => {};
  brought: (node: SimNode, extentId: number) => void = () => {};
  /** What carries raft's messages. */
  raft!: RaftNetwork;
  /** A node has cut its log up to this index. */
  truncated: (node: SimNode, index: number) => void = () => {};
  /** The event that happens has settled a promise. */
  touched = false;
  /** What was found to be broken by who has no event to throw it out of. */
  broken: Broken | null = null;
  /** A checksum over the moments of all events and everything that was noted, in order. */
  digest = 0;

  constructor(seed: number) {
    this.random = new Random(seed);
    const { random } = this;
    this.traits = {
      losesPower: random.chance(0.5),
      silence: random.chance(0.3),
      nonsense: random.chance(0.3),
      fullDisks: random.chance(0.3),
      failingDisk: random.chance(0.3),
      changingHosts: random.chance(0.3),
      bits: random.chance(0.12),
      uneasyRaft: random.chance(0.5),
      wire: random.chance(0.1),
    };
  }

  get nowMs(): number {
    return this.events.nowMs;
  }

  /** Faults may happen. */
  get stormy(): boolean {
    return this.nowMs < this.calmFromMs;
  }

  /** An id that no node has had: a replica that has forgotten its votes does not come back under its old one. */
  newNodeId(): number {
    this.#lastNodeId += 1;
    return this.#lastNodeId;
  }

  note(text: string): void {
    for (let i = 0; i < text.length; i += 1) this.#digestOf(text.charCodeAt(i));
    this.trace.push(`${(this.nowMs / 1000).toFixed(3)} ${text}`);
    if (this.trace.length > 2000) this.trace.splice(0, 1000);
  }

  #digestOf(number: number): void {
    this.digest = (Math.imul(this.digest, 31) + number) | 0;
  }

  after(ms: number, action: () => void): void {
    this.events.after(Math.max(0, Math.ceil(ms)), action);
  }

  between(low: number, high: number): number {
    return low + this.random.below(high - low + 1);
  }

  /** How long a message is on its way. */
  delayMs(): number {
    return this.random.chance(0.02) ? this.between(20, 400) : this.between(1, 3);
  }

  /** Lets everything happen up to a moment. */
  async runUntil(timeMs: number): Promise<void> {
    while (this.events.nextMs <= timeMs) {
      this.touched = false;
      this.events.step();
      this.#digestOf(this.nowMs);
      if (this.touched) await settled();
      if (this.broken !== null) throw this.broken;
    }
    this.events.runUntil(timeMs);
  }
}

/** Resolves when no promise can go on any more. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

interface SimTimer {
  off: boolean;
}

/** Runs `work` with timers of the world's time instead of the machine's. One run at a time. */
export async function withTimersOf<T>(world: World, work: () => Promise<T>): Promise<T> {
  const { setTimeout, clearTimeout, setInterval, clearInterval } = globalThis;
  const once = (action: () => void, ms = 0): SimTimer => {
    const timer = { off: false };
    world.after(ms, () => {
      if (timer.off) return;
      world.touched = true;
      action();
    });
    return timer;
  };
  const often = (action: () => void, ms: number): SimTimer => {
    const timer = { off: false };
    const everyMs = Math.max(ms, LOOK_MS_MIN);
    const again = (): void => {
      if (timer.off) return;
      world.touched = true;
      action();
      world.after(everyMs, again);
    };
    world.after(everyMs, again);
    return timer;
  };
  const clear = (timer: SimTimer | undefined): void => {
    if (timer != null) timer.off = true;
  };
  Object.assign(globalThis, {
    ...{ setTimeout: once, clearTimeout: clear, setInterval: often, clearInterval: clear },
  });
  try {
    return await work();
  } finally {
    Object.assign(globalThis, { setTimeout, clearTimeout, setInterval, clearInterval });
  }
}
