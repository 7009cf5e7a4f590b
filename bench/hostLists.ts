/**
 * Which partitions there are and on which nodes: made from the flags, or from what a master answers to `GET /client/partitions?name=VOLUME`, as a client asks it. Pure;
 * `masterQuery.ts` asks.
 */
import { parseAddress } from './address.js';

/** Partitions with the same replicas in the same order: one connection can serve them all. */
export interface HostList {
  /** `host:port`; the first is the primary, the rest its followers. */
  readonly hosts: readonly string[];
  readonly partitions: readonly number[];
  /** Of each of the partitions the number of the host that leads its raft group, as far as the master knows; else 0. */
  readonly leaders: readonly number[];
}

/** A partition as a master tells of it. */
export interface PartitionView {
  readonly partitionId: number;
  readonly status: number;
  readonly hosts: readonly string[];
  /** `host:port` of the raft leader; empty: the master knows none. */
  readonly leader: string;
}

export type Outcome<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly message: string };

/** Status of a partition that takes writes (`admin.md` 14.2). */
const READ_WRITE = 2;
const SUCCESS = 0;
/** RemainingFollowers is a byte. */
const HOSTS_MAX = 256;
const TEXT_MAX = 200;

function failed(message: string): { ok: false; message: string } {
  return { ok: false, message };
}

/** Reads a master's answer: the envelope, and in it the partitions, in any order. */
export function parsePartitionView(text: string): Outcome<PartitionView[]> {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    return failed(`its answer is no JSON: ${JSON.stringify(text.slice(0, TEXT_MAX))}`);
  }
  const { code, msg, data } = fieldsOf(answer);
  if (code !== SUCCESS) return failed(`it refuses: code ${String(code)}, ${String(msg).slice(0, TEXT_MAX)}`);
  const list = fieldsOf(data)['DataPartitions'];
  if (!Array.isArray(list)) return failed('its answer holds no DataPartitions');
  const partitions: PartitionView[] = [];
  for (const one of list) {
    const { PartitionID: partitionId, Status: status, Hosts: hosts, LeaderAddr: leader = '' } = fieldsOf(one);
    const good =
      typeof partitionId === 'number' &&
      Number.isSafeInteger(partitionId) &&
      partitionId > 0 &&
      typeof status === 'number' &&
      typeof leader === 'string' &&
      Array.isArray(hosts) &&
      hosts.length > 0 &&
      hosts.length <= HOSTS_MAX &&
      hosts.every((host) => typeof host === 'string' && parseAddress(host) !== null);
    if (!good) return failed(`it tells of a partition ${JSON.stringify(one).slice(0, TEXT_MAX)}`);
    partitions.push({ partitionId, status, hosts: hosts as string[], leader });
  }
  return { ok: true, value: partitions };
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

/**
 * The host lists of `wanted` partitions; of none: of all that are read-write. Lists of different primaries take turns, so that as many connections as there are
 * nodes make all of them primaries.
 */
export function hostListsOf(views: readonly PartitionView[], wanted: readonly number[]): Outcome<HostList[]> {
  const known = new Map(views.map((view) => [view.partitionId, view]));
  const missing = wanted.filter((id) => !known.has(id));
  if (missing.length > 0) return failed(`there is no partition ${missing[0]} in the volume`);
  const chosen =
    wanted.length > 0
      ? wanted.map((id) => known.get(id)!)
      : views.filter(({ status }) => status === READ_WRITE);
  if (chosen.length === 0) return failed(`none of ${views.length} partitions is read-write`);
  const byHosts = new Map<string, { hosts: readonly string[]; partitions: number[]; leaders: number[] }>();
  for (const { partitionId, hosts, leader } of chosen.toSorted((a, b) => a.partitionId - b.partitionId)) {
    const key = hosts.join('/');
    const list = byHosts.get(key) ?? { hosts, partitions: [], leaders: [] };
    byHosts.set(key, list);
    list.partitions.push(partitionId);
    list.leaders.push(Math.max(0, hosts.indexOf(leader)));
  }
  return { ok: true, value: inTurns([...byHosts.values()]) };
}

function inTurns(lists: readonly HostList[]): HostList[] {
  const byPrimary = new Map<string, HostList[]>();
  for (const list of lists) {
    const primary = list.hosts[0]!;
    byPrimary.set(primary, [...(byPrimary.get(primary) ?? []), list]);
  }
  const queues = [...byPrimary.values()];
  const rounds = Math.max(...queues.map((queue) => queue.length));
  return Array.from({ length: rounds }, (_, round) => queues.flatMap((queue) => queue[round] ?? [])).flat();
}

/** Every host once, in the order in which the lists name them. */
export function hostsOf(lists: readonly HostList[]): string[] {
  return [...new Set(lists.flatMap(({ hosts }) => hosts))];
}

/**
 * Where a client goes with new extents when something of list `index` has failed: the next list with another primary; the next one where all have the
 * same; the same where there is one.
 */
export function nextList(lists: readonly HostList[], index: number): number {
  const primary = lists[index]!.hosts[0];
  for (let step = 1; step < lists.length; step++) {
    const next = (index + step) % lists.length;
    if (lists[next]!.hosts[0] !== primary) return next;
  }
  return (index + 1) % lists.length;
}
