/**
 * One round of repair of one partition by its first host (`repair.md` 6): lists of all replicas, a plan, notifications, own fetches, and what becomes of the tiny extents that were taken for it.
 *
 * Tiny extents that are alike are given back as soon as the lists say so: nothing is done to them, and they need not wait for what is done to others. Those that were made equal are looked at once more at
 * the end, so that they do not wait for the next round either.
 *
 * Decides and waits; whatever touches a socket or a worker is behind `RoundReplica` and `RoundPeers`. A member that fails is left out of this round and named in its report, and nothing that a member
 * does or leaves undone can keep a tiny extent from being given back.
 */
import type { ExtentInfo } from '../protocol/extentInfo.js';
import type { RepairTask } from '../protocol/repairTask.js';
import { eachBounded } from './bounded.js';
import { type MemberTask, type Plan, planRound } from './plan.js';

/** What a replica tells of itself for a round. */
export interface ReplicaList {
  readonly extents: readonly ExtentInfo[];
  /** End of its tiny delete file, as it is announced to members. */
  readonly tinyDeleteBytes: number;
}

/** This node's replica. Everything may reject with an `Error` whose message says why. */
export interface RoundReplica {
  /** Of a normal round: extents that were left alone for a minute. Of a tiny one: exactly `tinyIds`. */
  list(tinyIds: readonly number[] | null): Promise<ReplicaList>;
  isDeleted(id: number): boolean;
  create(id: number): Promise<void>;
  /** Makes an extent as long as `entry.size` with what `entry.source` has, durably; one that is as long already is done. */
  fetch(entry: ExtentInfo): Promise<void>;
  /** Tiny extents that were taken for the round go back: writable, or to be looked at again. One that has gone back already stays what it is. */
  giveBack(good: readonly number[], bad: readonly number[]): Promise<void>;
}

/** The other replicas. */
export interface RoundPeers {
  /** Their list, as `RoundReplica.list`. */
  list(address: string, tinyIds: readonly number[] | null): Promise<readonly ExtentInfo[]>;
  /** Hands over a task; resolves when the member has carried it out. */
  notify(address: string, task: RepairTask): Promise<void>;
}

export interface RoundInput {
  readonly partitionId: number;
  /** All hosts in their order, this node first. A copy of its own: a list that changes meanwhile counts for the next round. */
  readonly hosts: readonly string[];
  /** The tiny extents that were taken for this round; null: a round of normal extents. */
  readonly tinyIds: readonly number[] | null;
  readonly fetchesMax: number;
}

export interface RoundReport {
  /** Hosts that did not take part, and tasks and fetches that failed, each with its reason; bounded. */
  readonly absent: readonly { address: string; reason: string }[];
  readonly failedTasks: readonly { address: string; reason: string }[];
  readonly failedFetches: readonly { extentId: number; reason: string }[];
  readonly failedFetchCount: number;
  /** Entries of the tasks of all members, those of this node among them, and entries left to the next round. */
  readonly entries: number;
  readonly leftOut: number;
  /** Records that made no sense, of all members. */
  readonly nonsense: number;
  /** Tiny extents that are writable now, and that are not. */
  readonly good: number;
  readonly bad: number;
}

/** Failures named in a report; the others are counted. */
const NAMED_FAILURES_MAX = 16;

/** Runs a round to its end. Rejects only when this node's own list cannot be had; the tiny extents are given back then too. */
export async function runRound(
  input: RoundInput,
  replica: RoundReplica,
  peers: RoundPeers,
): Promise<RoundReport> {
  const taken = new Set(input.tinyIds);
  const giveBack = async (good: readonly number[]): Promise<void> => {
    if (good.length === 0) return;
    await replica.giveBack(good, []);
    for (const id of good) taken.delete(id);
  };
  try {
    const round = await collect(input, replica, peers);
    await giveBack(round.plan.good);
    const report = await carryOut(input, round, replica, peers);
    if (!isWorthAnotherLook(report)) return report;
    const look = await collect({ ...input, tinyIds: [...taken] }, replica, peers);
    await giveBack(look.plan.good);
    return { ...report, good: report.good + look.plan.good.length, bad: look.plan.bad.length };
  } finally {
    if (taken.size > 0) await replica.giveBack([], [...taken]);
  }
}

/** Whether tiny extents may have become equal in the round: there was something to do for them, everybody is there, and nobody is still at it. */
function isWorthAnotherLook({ bad, entries, absent, failedTasks }: RoundReport): boolean {
  return bad > 0 && entries > 0 && absent.length === 0 && failedTasks.length === 0;
}

interface Collected {
  readonly plan: Plan;
  readonly addresses: readonly string[];
  readonly absent: readonly { address: string; reason: string }[];
  readonly tinyDeleteBytes: number;
}

async function collect(input: RoundInput, replica: RoundReplica, peers: RoundPeers): Promise<Collected> {
  const { hosts, tinyIds } = input;
  const absent: { address: string; reason: string }[] = [];
  const own = await replica.list(tinyIds);
  const others = await Promise.all(
    hosts.slice(1).map(async (address) => {
      try {
        return { address, extents: await peers.list(address, tinyIds) };
      } catch (error) {
        absent.push({ address, reason: (error as Error).message });
        return null;
      }
    }),
  );
  const members = [{ address: hosts[0]!, extents: own.extents }, ...others.filter((one) => one !== null)];
  const plan = planRound({
    kind: tinyIds === null ? 'normal' : { tinyIds },
    members,
    complete: absent.length === 0,
    isDeleted: (id) => replica.isDeleted(id),
  });
  const addresses = members.map(({ address }) => address);
  return { plan, addresses, absent, tinyDeleteBytes: own.tinyDeleteBytes };
}

/** Members and this node work side by side: what each fetches was settled by the plan. */
async function carryOut(
  input: RoundInput,
  { plan, addresses, absent, tinyDeleteBytes }: Collected,
  replica: RoundReplica,
  peers: RoundPeers,
): Promise<RoundReport> {
  const failedTasks: { address: string; reason: string }[] = [];
  const notifications = addresses.slice(1).map(async (address, i) => {
    const { create, repair } = plan.tasks[i + 1]!;
    const task: RepairTask = {
      taskType: 0,
      extentsToBeCreated: create,
      extentsToBeRepaired: repair,
      leaderTinyDeleteRecordFileSize: tinyDeleteBytes,
      leaderAddr: addresses[0]!,
    };
    try {
      // Empty tasks too: they are what brings tiny deletes to the members.
      await peers.notify(address, task);
    } catch (error) {
      failedTasks.push({ address, reason: (error as Error).message });
    }
  });
  const [own] = await Promise.all([repairOwn(input, plan.tasks[0]!, replica), ...notifications]);
  return {
    absent,
    failedTasks,
    failedFetches: own.named,
    failedFetchCount: own.count,
    entries: plan.tasks.reduce((sum, { repair }) => sum + repair.length, 0),
    leftOut: plan.leftOut,
    nonsense: plan.nonsense.reduce((sum, count) => sum + count, 0),
    good: plan.good.length,
    bad: plan.bad.length,
  };
}

async function repairOwn(
  { fetchesMax }: RoundInput,
  task: MemberTask,
  replica: RoundReplica,
): Promise<{ named: { extentId: number; reason: string }[]; count: number }> {
  const named: { extentId: number; reason: string }[] = [];
  let count = 0;
  // One that is there by now is no failure: the fetch finds out.
  await eachBounded(task.create, fetchesMax, ({ fileId }) => replica.create(fileId).catch(() => {}));
  await eachBounded(task.repair, fetchesMax, async (entry) => {
    try {
      await replica.fetch(entry);
    } catch (error) {
      count += 1;
      if (named.length < NAMED_FAILURES_MAX)
        named.push({ extentId: entry.fileId, reason: (error as Error).message });
    }
  });
  return { named, count };
}
