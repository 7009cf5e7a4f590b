/**
 * What befalls a cluster: one function a class of fault, each told of what it hit. A storm draws them from the seed until it is stopped; then all that lasts ends.
 *
 * A function says 'missed' when it found nothing to hit, or when what it hits is counted elsewhere, and 'later' when it wants to be asked again soon. Faults that last are ended by events, so they overlap as they come. Whatever is damaged for good is damaged on
 * one node at a time, and only where the production can know of it: raft promises nothing beyond that.
 */
import type { Random } from '../../sim/random.js';
import type { SimDisk } from '../../sim/simDisk.js';
import type { SimCall, SimFault } from '../../sim/simFiles.js';
import type { Cluster } from './cluster.js';
import type { ClusterNode } from './clusterNode.js';
import { type Damage, damageJournal, damageLogTail } from './damage.js';
import { CALM, type LinkFaults } from './network.js';
import { othersAreWhole } from './repair.js';
import { GROUP } from './simNode.js';

/** All classes. Those of messages are counted message by message, those of disks when a call has failed. */
export const FAULT_NAMES = [
  ...['kill', 'powerLoss', 'blackout', 'cleanStop', 'crashAtStart'],
  ...['oneWayCut', 'isolation', 'delaySpike', 'loss', 'duplication', 'reordering'],
  ...['clockSkew', 'wallClockJump', 'pause', 'hungDisk', 'fullDisk'],
  ...['journalError', 'logError', 'extentError', 'applyError'],
  ...['forcedElection', 'coup', 'logCut', 'snapshotFailure', 'journalDamage', 'logDamage'],
] as const;
export type FaultName = (typeof FAULT_NAMES)[number];
export type FaultCounts = Record<FaultName, number>;

/** How often faults come, and how much of each class there is among them. */
export interface StormPlan {
  /** Between two faults, on average; 0: none come. */
  everyMs: number;
  weights: Partial<Record<FaultName, number>>;
}

/** Classes whose hits are counted elsewhere, when they happen. */
const COUNTED_BY_DISK = {
  journalError: /\/segment\.\d+$/,
  logError: /\/wal_\d+\/(META|.*\.log)$/,
  extentError: /\/10\d\d$/,
  applyError: /\/(\.apply|\.raft_missing|RAFT_MISSING)$/i,
} as const satisfies Partial<Record<FaultName, RegExp>>;

type Strike = 'hit' | 'missed' | 'later';

const EIO = 5;
const ENOSPC = 28;
const ASKED_AGAIN_MS = 500;
const ASKED_TIMES_MAX = 30;
const LINK_SHARE_MAX = 0.2;
/** So long a node is kept away at most. */
const AWAY_MS = 20_000;

export class Storm {
  readonly counts = Object.fromEntries(FAULT_NAMES.map((name) => [name, 0])) as FaultCounts;
  readonly cluster: Cluster;
  readonly random: Random;
  private readonly plan: StormPlan;
  private readonly drawn: FaultName[];
  private readonly diskFaults: { name: FaultName; fault: SimFault }[] = [];
  private readonly lasting: SimFault[] = [];
  private stopped = false;

  constructor(cluster: Cluster, plan: StormPlan) {
    this.cluster = cluster;
    this.random = cluster.random;
    this.plan = plan;
    this.drawn = FAULT_NAMES.flatMap((name) => new Array<FaultName>(plan.weights[name] ?? 0).fill(name));
    this.later();
  }

  /** Ends everything that lasts, and lets nothing new come. */
  stop(): void {
    const { network, nodes, streams, nowMs } = this.cluster;
    this.stopped = true;
    network.healAll();
    network.faults = CALM;
    streams.failShare = 0;
    for (const { fault } of this.diskFaults) this.settle(fault);
    for (const fault of this.lasting) fault.count = 0;
    for (const node of nodes.values()) {
      node.rate = 1;
      node.clock.setRate(1);
      node.hungUntilMs = nowMs;
      node.sim.disk.freeBytes = Number.POSITIVE_INFINITY;
      node.cutNextStart = false;
    }
  }

  private later(): void {
    if (this.plan.everyMs === 0 || this.drawn.length === 0) return;
    this.cluster.events.after(1 + this.random.below(2 * this.plan.everyMs), () => {
      if (this.stopped) return;
      const name = this.drawn[this.random.below(this.drawn.length)]!;
      this.strike(name);
      this.later();
    });
  }

  private strike(name: FaultName, asked = 1): void {
    const outcome = STRIKES[name](this);
    if (outcome === 'hit') this.count(name);
    if (outcome !== 'later' || asked >= ASKED_TIMES_MAX) return;
    this.afterwards(ASKED_AGAIN_MS, ASKED_AGAIN_MS, () => this.strike(name, asked + 1));
  }

  count(name: FaultName): void {
    this.cluster.note(null, `fault: ${name}`);
    this.counts[name] += 1;
  }

  // What the strikes are made of.

  get nodes(): ClusterNode[] {
    return [...this.cluster.nodes.values()];
  }

  draw<T>(from: readonly T[]): T | undefined {
    return from[this.random.below(from.length)];
  }

  upNode(): ClusterNode | undefined {
    return this.draw(this.nodes.filter(({ phase }) => phase === 'up'));
  }

  between(lowMs: number, highMs: number): number {
    return lowMs + this.random.below(highMs - lowMs + 1);
  }

  /** Does it later, unless the storm has been stopped, which ends everything itself. */
  afterwards(lowMs: number, highMs: number, then: () => void): void {
    this.cluster.events.after(this.between(lowMs, highMs), () => {
      if (!this.stopped) then();
    });
  }

  /** Does it to a node that is up. */
  upon(strike: (node: ClusterNode) => void): Strike {
    const node = this.upNode();
    if (node === undefined) return 'missed';
    strike(node);
    return 'hit';
  }

  cut(from: number, to: number): void {
    const { network } = this.cluster;
    network.cut(from, to);
    this.afterwards(1000, 15_000, () => network.heal(from, to));
  }

  /** All links for a while. Its hits are counted message by message. */
  links(faults: Partial<LinkFaults>): Strike {
    const { network } = this.cluster;
    network.faults = { ...network.faults, ...faults };
    this.afterwards(2000, 15_000, () => {
      network.faults = CALM;
    });
    return 'missed';
  }

  /** One call fails. Counted when it does. */
  diskError(name: keyof typeof COUNTED_BY_DISK): Strike {
    const node = this.draw(this.nodes.filter(({ serves }) => serves));
    if (node === undefined) return 'missed';
    const call: SimCall = this.random.chance(0.5) ? 'pwrite' : 'fdatasync';
    const fault: SimFault = { call, path: COUNTED_BY_DISK[name], errno: EIO, count: 1 };
    node.excuse = name;
    node.sim.disk.addFault(fault);
    this.diskFaults.push({ name, fault });
    return 'missed';
  }

  /** Counts of what is not counted by strikes. */
  total(): FaultCounts {
    const { network, counts } = this.cluster;
    const total = { ...this.counts };
    total.loss += network.counts.lost;
    total.duplication += network.counts.duplicated;
    total.reordering += network.counts.straggled;
    total.snapshotFailure += counts.streamsFailed;
    total.crashAtStart += counts.cutStarts;
    for (const { name, fault } of this.diskFaults) if (fault.count === 0) total[name] += 1;
    return total;
  }

  /** Strikes its number of times, or until the storm ends. */
  lastingFault(disk: SimDisk, fault: SimFault): void {
    disk.addFault(fault);
    this.lasting.push(fault);
  }

  /** A fault that has not struck by now will not. */
  private settle(fault: SimFault): void {
    if (fault.count > 0) fault.count = -1;
  }

  /** A member whose loss the others can make good. */
  spare(): ClusterNode | undefined {
    const { members } = this.cluster;
    const node = this.draw(this.nodes.filter(({ id, phase }) => phase === 'up' && members.has(id)));
    return node !== undefined && othersAreWhole(this.cluster, node) ? node : undefined;
  }

  /** Turns a bit on a node that is killed for it. What a power loss leaves of a folder can only be told with the journal: both at once may cost the replica. */
  damage(turn: (node: ClusterNode) => Damage | null): Strike {
    const node = this.spare();
    if (node === undefined) return 'later';
    node.crash('kill');
    const done = turn(node);
    if (done === null) return 'missed';
    this.cluster.note(node, done.what);
    if (done.loses) {
      this.cluster.invariants.forgive(node.id);
      node.damaged = true;
    }
    return 'hit';
  }

  /** Keeps a node away until the log of all others is cut behind its end, which is tried some times. */
  cutLogs(): Strike {
    const away = this.spare();
    if (away === undefined) return 'later';
    const { lastIndex } = away.sim.group!.core.log;
    away.crash('kill');
    away.idleUntilMs = this.cluster.nowMs + AWAY_MS;
    const cut = (): void => {
      if (away.phase !== 'down' || !this.nodes.includes(away)) return;
      if (this.cutBehind(away, lastIndex)) {
        away.idleUntilMs = this.cluster.nowMs;
        this.count('logCut');
      } else {
        this.afterwards(ASKED_AGAIN_MS, ASKED_AGAIN_MS, cut);
      }
    };
    cut();
    return 'missed';
  }

  /** As much is cut as all others have durably applied. */
  private cutBehind(away: ClusterNode, lastIndex: number): boolean {
    if (!othersAreWhole(this.cluster, away)) return false;
    const others = this.cluster.memberNodes.filter((node) => node !== away);
    const index = Math.min(...others.map(({ sim }) => sim.apply.durableApplied));
    for (const node of others) node.act(({ host }) => host.compact(GROUP, index));
    return others.every(({ sim }) => sim.group!.core.log.cutIndex > lastIndex);
  }
}

/** What each class does. */
const STRIKES: Readonly<Record<FaultName, (storm: Storm) => Strike>> = {
  kill: (storm) => storm.upon((node) => node.crash('kill')),
  powerLoss: (storm) => storm.upon((node) => node.crash('power loss')),
  blackout(storm) {
    for (const node of storm.nodes) node.crash('power loss');
    return 'hit';
  },
  cleanStop: (storm) => storm.upon((node) => node.stop()),
  crashAtStart(storm) {
    storm.upon((node) => {
      node.cutNextStart = true;
      node.crash(storm.between(0, 1) === 0 ? 'kill' : 'power loss');
    });
    return 'missed';
  },
  oneWayCut(storm) {
    const [from, to] = [storm.draw(storm.nodes), storm.draw(storm.nodes)];
    if (from === undefined || to === undefined || from === to) return 'missed';
    storm.cut(from.id, to.id);
    return 'hit';
  },
  isolation(storm) {
    const alone = storm.draw(storm.nodes);
    if (alone === undefined) return 'missed';
    for (const other of storm.nodes) {
      if (other === alone) continue;
      storm.cut(alone.id, other.id);
      storm.cut(other.id, alone.id);
    }
    return 'hit';
  },
  delaySpike(storm) {
    const slow = storm.draw(storm.nodes);
    if (slow === undefined) return 'missed';
    const { network } = storm.cluster;
    const delayMinMs = storm.between(50, 800);
    const faults = { ...CALM, delayMinMs, delayMaxMs: delayMinMs + storm.between(0, 400) };
    const others = storm.nodes.filter((other) => other !== slow);
    const set = (value: LinkFaults | null): void => {
      for (const other of others) {
        network.setLink(slow.id, other.id, value);
        network.setLink(other.id, slow.id, value);
      }
    };
    set(faults);
    storm.afterwards(1000, 8000, () => set(null));
    return 'hit';
  },
  loss: (storm) => storm.links({ lossShare: storm.between(1, 100) * 0.01 * LINK_SHARE_MAX }),
  duplication: (storm) =>
    storm.links({ duplicateShare: LINK_SHARE_MAX, straggleMs: storm.between(10, 2000) }),
  reordering: (storm) => storm.links({ straggleShare: LINK_SHARE_MAX, straggleMs: storm.between(10, 2000) }),
  clockSkew(storm) {
    const node = storm.draw(storm.nodes);
    if (node === undefined) return 'missed';
    node.rate = storm.between(50, 200) / 100;
    node.clock.setRate(node.rate);
    return 'hit';
  },
  wallClockJump: (storm) => storm.upon(({ clock }) => clock.jump(storm.between(-3_600_000, 3_600_000))),
  pause: (storm) => storm.upon(({ clock }) => clock.pause(storm.between(200, 6000))),
  hungDisk: (storm) =>
    storm.upon((node) => {
      node.hungUntilMs = storm.cluster.nowMs + storm.between(500, 8000);
    }),
  fullDisk(storm) {
    const node = storm.draw(storm.nodes.filter(({ serves }) => serves));
    if (node === undefined) return 'missed';
    const { disk } = node.sim;
    disk.freeBytes = storm.between(0, 2000);
    // Some file systems need room for what is there too.
    if (disk.freeBytes % 2 === 1)
      storm.lastingFault(disk, {
        call: 'pwrite',
        path: /segment/,
        errno: ENOSPC,
        count: 1 + (disk.freeBytes % 20),
      });
    storm.afterwards(2000, 10_000, () => {
      disk.freeBytes = Number.POSITIVE_INFINITY;
    });
    return 'hit';
  },
  journalError: (storm) => storm.diskError('journalError'),
  logError: (storm) => storm.diskError('logError'),
  extentError: (storm) => storm.diskError('extentError'),
  applyError: (storm) => storm.diskError('applyError'),
  forcedElection(storm) {
    const node = storm.draw(storm.nodes.filter((each) => each.serves && !each.isLeader));
    node?.act(({ host }) => host.campaign(GROUP));
    return node === undefined ? 'missed' : 'hit';
  },
  /** Another one is elected, and the leader does not hear of it from there: it goes on to believe that it leads, and has its heartbeats answered. */
  coup(storm) {
    const { leader } = storm.cluster;
    const next = storm.draw(storm.nodes.filter((each) => each.serves && each !== leader));
    if (leader === undefined || next === undefined) return 'missed';
    storm.cut(next.id, leader.id);
    next.act(({ host }) => host.campaign(GROUP));
    return 'hit';
  },
  logCut: (storm) => storm.cutLogs(),
  /** From now on many streams of snapshots break. */
  snapshotFailure(storm) {
    storm.cluster.streams.failShare = 0.5;
    return 'missed';
  },
  journalDamage: (storm) => storm.damage(({ sim }) => damageJournal(sim.disk, storm.random)),
  logDamage: (storm) => storm.damage(({ sim }) => damageLogTail(sim.disk, storm.random)),
};
