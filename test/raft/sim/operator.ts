/**
 * Who looks after a cluster, as master and operators do: processes that ended are started again, members are added and removed, the log is cut as far as all replicas have
 * durably applied it, repair is made to work.
 */

import { encodeMemberChange } from '../../../src/protocol/memberChange.js';
import { CHANGE_TYPE, ENTRY_TYPE, encodeConfigurationChange } from '../../../src/protocol/raftStructs.js';
import type { Cluster } from './cluster.js';
import type { ClusterNode } from './clusterNode.js';
import { othersAreWhole, Repair } from './repair.js';
import { GROUP } from './simNode.js';
import { addressOf } from './template.js';

const ROUND_MS = 1000;
const MEMBERS_MIN = 3;
const MEMBERS_MAX = 5;
const NOBODY = { id: 0, addr: '' };

/** How often, on average, something is done; 0: never. */
export interface OperatorPlan {
  changeEveryMs: number;
  compactEveryMs: number;
}

export class Operator {
  readonly repair: Repair;
  plan: OperatorPlan;
  private readonly cluster: Cluster;
  /** When a node that is not there yet, or not to be there any more, is dealt with. */
  private readonly dueMs = new Map<number, number>();

  constructor(cluster: Cluster, plan: OperatorPlan) {
    this.cluster = cluster;
    this.plan = plan;
    this.repair = new Repair(cluster);
    this.later();
  }

  /** Starts what is down and has waited long enough, and ends what does not serve any more. */
  restartDue(): void {
    const { cluster } = this;
    for (const node of [...cluster.nodes.values()]) {
      if (cluster.nowMs < node.idleUntilMs) continue;
      if (node.phase === 'up' && isPastServing(node)) node.crash('kill');
      else if (node.phase === 'down') cluster.restart(node);
    }
  }

  private later(): void {
    this.cluster.events.after(ROUND_MS, () => {
      this.round();
      this.later();
    });
  }

  private round(): void {
    const { changeEveryMs, compactEveryMs } = this.plan;
    this.restartDue();
    this.settleMembers();
    for (const node of this.cluster.nodes.values()) this.repair.round(node);
    if (this.isTime(compactEveryMs)) this.compact();
    if (this.isTime(changeEveryMs)) this.changeMembers();
  }

  private isTime(everyMs: number): boolean {
    return everyMs > 0 && this.cluster.random.chance(ROUND_MS / everyMs);
  }

  /** A member that was added gets a node; a node that was removed, and may not have heard of it, goes. */
  private settleMembers(): void {
    const { cluster } = this;
    for (const id of cluster.members)
      if (!cluster.nodes.has(id) && this.isDue(id)) cluster.makeNode(id, cluster.anyShare()).start();
    for (const node of [...cluster.nodes.values()])
      if (!cluster.members.has(node.id) && this.isDue(node.id)) cluster.removeNode(node);
  }

  private isDue(id: number): boolean {
    const { nowMs, random, patienceMs } = this.cluster;
    const dueMs = this.dueMs.get(id);
    if (dueMs === undefined) this.dueMs.set(id, nowMs + random.below(patienceMs));
    if (dueMs === undefined || nowMs < dueMs) return false;
    this.dueMs.delete(id);
    return true;
  }

  /** What all replicas have durably applied is needed by none of them (`raft.md` 5.7). */
  private compact(): void {
    const { memberNodes, members } = this.cluster;
    const all = memberNodes.filter(({ serves }) => serves);
    if (all.length < members.size) return;
    const index = Math.min(...all.map(({ sim }) => sim.apply.durableApplied));
    for (const node of all) node.act(({ host }) => host.compact(GROUP, index));
  }

  /** One change, proposed where the group is led; the leader refuses it while another may be pending. */
  private changeMembers(): void {
    const { cluster } = this;
    const { leader, members, random } = cluster;
    // Who has no vote must not be the one that decides whether there is a majority.
    if (leader === undefined || [...cluster.nodes.values()].some(({ damaged }) => damaged)) return;
    const isShrinking = members.size > MEMBERS_MIN && (members.size >= MEMBERS_MAX || random.chance(0.5));
    const ids = [...members];
    const id = isShrinking ? ids[random.below(ids.length)]! : cluster.newId();
    if (isShrinking && !mayRemove(leader, id)) return;
    const leaving = cluster.nodes.get(id);
    if (isShrinking && (leaving === undefined || !othersAreWhole(cluster, leaving))) return;
    const peer = { id, addr: addressOf(id) };
    const context = encodeMemberChange({
      partitionId: GROUP,
      addPeer: isShrinking ? NOBODY : peer,
      removePeer: isShrinking ? peer : NOBODY,
    });
    const type = isShrinking ? CHANGE_TYPE.remove : CHANGE_TYPE.add;
    const data = encodeConfigurationChange({ type, peer: { type: 0, priority: 0, nodeId: id }, context });
    const done = (error: string | null): void =>
      cluster.note(leader, `${isShrinking ? 'removes' : 'adds'} ${id}: ${error ?? 'done'}`);
    leader.act(({ host }) => host.propose(GROUP, data, done, ENTRY_TYPE.configurationChange));
  }
}

/** Its group has failed, or an extent of it takes no writes any more. */
function isPastServing(node: ClusterNode): boolean {
  return node.failure !== null || (node.excuse !== null && Repair.isBroken(node));
}

/** The rule of `raft.md` 5.9: enough replicas are heard without this one. */
function mayRemove(leader: ClusterNode, id: number): boolean {
  const { core } = leader.sim.group!;
  const n = core.members().length;
  const down = core.downReplicas().filter(({ nodeId }) => nodeId !== id).length;
  return n % 2 === 1 ? n - down > Math.floor(n / 2) + 1 : n - down >= n / 2 + 1;
}
