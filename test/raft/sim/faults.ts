/**
 * What befalls a cluster: one function a class of fault, each told of what it hit. A storm draws them from the seed until it is stopped; then all that lasts ends.
 *
 * A function returns false when it found nothing to hit. Faults that last are ended by events, so they overlap as they come. Whatever is damaged for good is damaged on
 * one node at a time, and only where the production can know of it: raft promises nothing beyond that.
 */
import type { Random } from '../../sim/random.js';
import type { SimCall, SimFault } from '../../sim/simFiles.js';
import type { Cluster } from './cluster.js';
import type { ClusterNode, Crash } from './clusterNode.js';
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

const EIO = 5;
const LINK_SHARE_MAX = 0.2;

export class Storm {
  readonly counts = Object.fromEntries(FAULT_NAMES.map((name) => [name, 0])) as FaultCounts;
  readonly cluster: Cluster;
  readonly random: Random;
  private readonly plan: StormPlan;
  private readonly drawn: FaultName[];
  private readonly diskFaults: { name: FaultName; fault: SimFault }[] = [];
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

  private strike(name: FaultName): void {
    const hit = STRIKES[name](this);
    if (!hit) return;
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

  crash(how: Crash): boolean {
    const node = this.upNode();
    node?.crash(how);
    return node !== undefined;
  }

  cut(from: number, to: number): void {
    const { network } = this.cluster;
    network.cut(from, to);
    this.afterwards(1000, 15_000, () => network.heal(from, to));
  }

  /** All links for a while. Its hits are counted message by message. */
  links(faults: Partial<LinkFaults>): false {
    const { network } = this.cluster;
    network.faults = { ...network.faults, ...faults };
    this.afterwards(2000, 15_000, () => {
      network.faults = CALM;
    });
    return false;
  }

  /** One call fails. Counted when it does. */
  diskError(name: keyof typeof COUNTED_BY_DISK): false {
    const node = this.draw(this.nodes.filter(({ serves }) => serves));
    if (node === undefined) return false;
    const call: SimCall = this.random.chance(0.5) ? 'pwrite' : 'fdatasync';
    const fault: SimFault = { call, path: COUNTED_BY_DISK[name], errno: EIO, count: 1 };
    node.excuse = name;
    node.sim.disk.addFault(fault);
    this.diskFaults.push({ name, fault });
    return false;
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

  /** A fault that has not struck by now will not. */
  private settle(fault: SimFault): void {
    if (fault.count > 0) fault.count = -1;
  }

  /** Turns a bit on a node that is killed for it. What a power loss leaves of a folder can only be told with the journal: both at once may cost the replica. */
  damage(turn: (node: ClusterNode) => Damage | null): boolean {
    const { cluster } = this;
    const node = this.draw(this.nodes.filter((each) => cluster.members.has(each.id)));
    if (node === undefined || !othersAreWhole(cluster, node)) return false;
    if (node.phase === 'down') return false;
    node.crash('kill');
    const done = turn(node);
    if (done === null) return false;
    cluster.note(node, done.what);
    if (done.loses) {
      cluster.invariants.forgive(node.id);
      node.damaged = true;
    }
    return true;
  }
}

/** True when something was hit that is counted here. */
const STRIKES: Readonly<Record<FaultName, (storm: Storm) => boolean>> = {
  kill: (storm) => storm.crash('kill'),
  powerLoss: (storm) => storm.crash('power loss'),
  blackout(storm) {
    for (const node of storm.nodes) node.crash('power loss');
    return true;
  },
  cleanStop(storm) {
    const node = storm.upNode();
    node?.stop();
    return node !== undefined;
  },
  crashAtStart(storm) {
    const node = storm.upNode();
    if (node === undefined) return false;
    node.cutNextStart = true;
    node.crash(storm.between(0, 1) === 0 ? 'kill' : 'power loss');
    return false;
  },
  oneWayCut(storm) {
    const [from, to] = [storm.draw(storm.nodes), storm.draw(storm.nodes)];
    if (from === undefined || to === undefined || from === to) return false;
    storm.cut(from.id, to.id);
    return true;
  },
  isolation(storm) {
    const alone = storm.draw(storm.nodes);
    if (alone === undefined) return false;
    for (const other of storm.nodes) {
      if (other === alone) continue;
      storm.cut(alone.id, other.id);
      storm.cut(other.id, alone.id);
    }
    return true;
  },
  delaySpike(storm) {
    const slow = storm.draw(storm.nodes);
    if (slow === undefined) return false;
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
    return true;
  },
  loss: (storm) => storm.links({ lossShare: storm.between(1, 100) * 0.01 * LINK_SHARE_MAX }),
  duplication: (storm) =>
    storm.links({ duplicateShare: LINK_SHARE_MAX, straggleMs: storm.between(10, 2000) }),
  reordering: (storm) => storm.links({ straggleShare: LINK_SHARE_MAX, straggleMs: storm.between(10, 2000) }),
  clockSkew(storm) {
    const node = storm.draw(storm.nodes);
    if (node === undefined) return false;
    node.rate = storm.between(50, 200) / 100;
    node.clock.setRate(node.rate);
    return true;
  },
  wallClockJump(storm) {
    const node = storm.upNode();
    node?.clock.jump(storm.between(-3_600_000, 3_600_000));
    return node !== undefined;
  },
  pause(storm) {
    const node = storm.upNode();
    node?.clock.pause(storm.between(200, 6000));
    return node !== undefined;
  },
  hungDisk(storm) {
    const node = storm.upNode();
    if (node === undefined) return false;
    node.hungUntilMs = storm.cluster.nowMs + storm.between(500, 8000);
    return true;
  },
  fullDisk(storm) {
    const node = storm.draw(storm.nodes.filter(({ serves }) => serves));
    if (node === undefined) return false;
    const { disk } = node.sim;
    disk.freeBytes = storm.between(0, 2000);
    storm.afterwards(2000, 10_000, () => {
      disk.freeBytes = Number.POSITIVE_INFINITY;
    });
    return true;
  },
  journalError: (storm) => storm.diskError('journalError'),
  logError: (storm) => storm.diskError('logError'),
  extentError: (storm) => storm.diskError('extentError'),
  applyError: (storm) => storm.diskError('applyError'),
  forcedElection(storm) {
    const node = storm.draw(storm.nodes.filter((each) => each.serves && !each.isLeader));
    node?.act(({ host }) => host.campaign(GROUP));
    return node !== undefined;
  },
  /** Another one is elected, and the leader does not hear of it from there: it goes on to believe that it leads, and has its heartbeats answered. */
  coup(storm) {
    const { leader } = storm.cluster;
    const next = storm.draw(storm.nodes.filter((each) => each.serves && each !== leader));
    if (leader === undefined || next === undefined) return false;
    storm.cut(next.id, leader.id);
    next.act(({ host }) => host.campaign(GROUP));
    return true;
  },
  logCut(storm) {
    const { leader, nowMs } = storm.cluster;
    const away = storm.draw(storm.nodes.filter((each) => each !== leader));
    if (leader === undefined || away === undefined) return false;
    away.crash('kill');
    away.idleUntilMs = nowMs + storm.between(5000, 15_000);
    storm.afterwards(4000, 12_000, () => {
      if (!othersAreWhole(storm.cluster, away)) return;
      const others = storm.cluster.memberNodes.filter((node) => node !== away);
      const index = Math.min(...others.map(({ sim }) => sim.apply.durableApplied));
      for (const node of others) node.act(({ host }) => host.compact(GROUP, index));
    });
    return true;
  },
  snapshotFailure(storm) {
    const { streams } = storm.cluster;
    streams.failShare = 0.7;
    storm.afterwards(5000, 20_000, () => {
      streams.failShare = 0;
    });
    return false;
  },
  journalDamage: (storm) => storm.damage(({ sim }) => damageJournal(sim.disk, storm.random)),
  logDamage: (storm) => storm.damage(({ sim }) => damageLogTail(sim.disk, storm.random)),
};
