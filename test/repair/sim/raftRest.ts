/** What the raft group of a simulated run has to come to when the faults have stopped, and what no cut of a log may do. */
import { readApply } from '../../../src/storage/applyFile.js';
import type { Ledger } from './ledger.js';
import type { Master } from './master.js';
import { FOLDER } from './place.js';
import type { SimNode } from './simNode.js';
import { Broken, type World } from './world.js';

/** Why the group is not at rest; null: one leads, all members have applied all, nothing is missing, and every META names the members that the master knows. */
export function raftUnrest(master: Master, ledger: Ledger): string | null {
  const { members, moves } = master;
  if (moves.open > 0) return 'the master still moves a replica';
  const leader = members.find(({ life }) => life?.raft.isLeader === true);
  const log = leader?.life?.raft.core?.log;
  if (log === undefined) return 'nobody leads the group';
  const peers = namesOf(master.peers);
  for (const { life, name } of members) {
    if (life === null) return `${name} is down`;
    const { raft, partition } = life;
    if (raft.reason !== null) return `raft does not run on ${name}: ${raft.reason}`;
    const { raftApply } = partition;
    const { core } = raft;
    if (raftApply === null || core === null) return `${name} has no group yet`;
    if (!core.mayVote || !core.mayCampaign) return `${name} has not caught up`;
    if (raftApply.appliedIndex !== log.lastIndex)
      return `${name} has applied ${raftApply.appliedIndex} of ${log.lastIndex}`;
    const { missing } = raftApply;
    // Of an extent whose deletion one replica has lost with its power, nobody brings what is missing (docs/open.md, "missing-of-half-deleted").
    const missed = missing.ranges.extentIds.filter((id) => !ledger.mayBeBack(id));
    if (missed.length > 0 || missing.compareFrom > 0)
      return `${name} misses ${missing.ranges.count} ranges, and compares from ${missing.compareFrom}`;
    // A process that is killed now is not to find anything missing: it would copy what bits have made of it elsewhere.
    if (missing.needsSave || raftApply.durableApplied !== raftApply.appliedIndex)
      return `${name} has not saved what it has applied`;
    const inMeta = namesOf(partition.peers);
    if (inMeta !== peers) return `META of ${name} has the members ${inMeta}, not ${peers}`;
    const inGroup = core.members().map(({ nodeId }) => nodeId);
    if (
      !sameNumbers(
        inGroup,
        master.peers.map(({ id }) => id),
      )
    )
      return `the group of ${name} has the members ${inGroup}`;
  }
  return null;
}

/** Holds cuts of logs to what the members have applied durably: who is behind needs what was cut. */
export function watchCuts(world: World, master: Master): void {
  world.truncated = (cutter, index) => {
    world.note(`${cutter.name} cuts its log up to ${index}`);
    for (const node of master.members) {
      // A new replica takes a snapshot, and compares; one that was removed needs nothing.
      if (node.joins || node.isLeaving) continue;
      const durable = durableIndex(node);
      if (durable < index)
        throw new Broken(
          `${cutter.name} has cut its log up to ${index}, and ${node.name} has applied ${durable} only`,
        );
    }
  };
}

function durableIndex({ life, disk }: SimNode): number {
  if (life !== null) return life.partition.durableAppliedId;
  return readApply(disk, FOLDER).index;
}

function namesOf(peers: readonly { id: number; addr: string }[]): string {
  return peers
    .map(({ id, addr }) => `${id}@${addr}`)
    .sort()
    .join(' ');
}

function sameNumbers(one: readonly number[], two: readonly number[]): boolean {
  return one.length === two.length && one.every((each) => two.includes(each));
}
