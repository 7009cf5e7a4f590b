/**
 * How a run is divided: which connections there are, of which class, over which partitions, on which worker thread. Pure.
 */
import { availableParallelism } from 'node:os';
import type { HostList } from './hostLists.js';
import { asksLeader, KINDS, type KindClass } from './kinds.js';
import type { ConnectionPlan } from './workerMessages.js';

export interface TopologySettings {
  readonly conns: number;
  /** Extents per connection. */
  readonly extents: number;
  readonly mix: readonly (readonly [kind: number, share: number])[];
  /** Operations per second in all, or null for a closed loop. */
  readonly rate: number | null;
  readonly threads: number;
  /** Of a cluster; null: of a node that is named. */
  readonly volume: string | null;
}

/** Share of each class in a mix, in its own scale. */
export function classShares(mix: TopologySettings['mix']): Record<KindClass, number> {
  const shares = { append: 0, read: 0 };
  for (const [kind, share] of mix) shares[KINDS[kind]!.class] += share;
  return shares;
}

/** How many of `conns` connections serve each class: by share, at least one where the class has any. */
export function classConnections(mix: TopologySettings['mix'], conns: number): Record<KindClass, number> {
  const shares = classShares(mix);
  if (shares.read === 0) return { append: conns, read: 0 };
  if (shares.append === 0) return { append: 0, read: conns };
  const wanted = Math.round((conns * shares.read) / (shares.read + shares.append));
  const read = Math.min(Math.max(wanted, 1), conns - 1);
  return { append: conns - read, read };
}

/** Worker threads where the user did not say: half the cores, because the node may be on this machine, and no more than four. */
export function defaultThreads(conns: number, cores = availableParallelism()): number {
  return Math.max(1, Math.min(conns, Math.floor(cores / 2), 4));
}

/** Worker threads of a run. Every thread gets connections of every class in use; there may be fewer threads than asked for. */
export function threadCount({ mix, conns, threads }: TopologySettings): number {
  const counts = classConnections(mix, conns);
  return Math.min(
    threads,
    counts.append || Number.POSITIVE_INFINITY,
    counts.read || Number.POSITIVE_INFINITY,
  );
}

/** Whether the connections of a class go to raft leaders: then each works on one partition, and talks to its leader. */
export function goesToLeader(mix: TopologySettings['mix'], kindClass: KindClass): boolean {
  return mix.some(([kind]) => asksLeader(kind) && KINDS[kind]!.class === kindClass);
}

/** The partitions on which connection `index` works when it takes list number `list`: so many lanes, and other ones than the connections before it; `alone`: all lanes on one partition. */
export function lanesOf(
  lists: readonly HostList[],
  list: number,
  index: number,
  extents: number,
  alone = false,
): readonly number[] {
  const { partitions } = lists[list]!;
  const turn = Math.floor(index / lists.length);
  const partitionOf = (lane: number): number => (alone ? turn : turn * extents + lane) % partitions.length;
  return Array.from({ length: extents }, (_, lane) => partitions[partitionOf(lane)]!);
}

/** The connections of each worker thread. The host lists take turns within each class. */
export function divide(settings: TopologySettings, lists: readonly HostList[]): ConnectionPlan[][] {
  const { conns, extents, mix, rate } = settings;
  const counts = classConnections(mix, conns);
  const shares = classShares(mix);
  const threads = threadCount(settings);
  const workers: ConnectionPlan[][] = Array.from({ length: threads }, () => []);
  const total = shares.append + shares.read;
  for (let index = 0; index < conns; index++) {
    const kindClass: KindClass = index < counts.append ? 'append' : 'read';
    const inClass = kindClass === 'append' ? index : index - counts.append;
    const list = inClass % lists.length;
    const alone = settings.volume !== null && goesToLeader(mix, kindClass);
    workers[inClass % threads]!.push({
      index,
      class: kindClass,
      list,
      replica: Math.floor(inClass / lists.length) % lists[list]!.hosts.length,
      lanePartitions: lanesOf(lists, list, index, extents, alone),
      ratePerSecond: rate === null ? null : (rate * shares[kindClass]) / total / counts[kindClass],
    });
  }
  return workers;
}
