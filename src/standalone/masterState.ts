/**
 * What the embedded master remembers: nodes, the volume, its partitions. Pure changes on a plain value, and its file `<data>/master/state.json`.
 *
 * Only `master.ts` holds a state. The file is replaced as a whole and synced before the master acts on a change, so that a restart finds
 * everything it told its node.
 */
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Peer } from '../protocol/adminBodies.js';

export interface MasterNode {
  id: number;
  /** `ip:port` of its data port. */
  addr: string;
}

export interface MasterPartition {
  id: number;
  sizeBytes: number;
  /** The replicas, `ip:port`; the first is the primary. */
  hosts: string[];
  /** The same nodes, by id. */
  peers: Peer[];
  /** For each host, the disk on which it says it created its replica; empty: not created yet. */
  diskPaths: string[];
  /** Hosts that were added since, and have not created their replica yet: it is to join. Absent: none. */
  joining?: string[];
  /** Hosts whose replica was removed: those that still report it are asked to delete it. Absent: none. */
  removed?: string[];
}

export interface MasterState {
  version: 2;
  volume: string;
  /** Nodes that the data folder was made for; 0: not said yet. */
  nodeCount: number;
  nextNodeId: number;
  nodes: MasterNode[];
  partitions: MasterPartition[];
}

/** The state of a master that has seen nothing yet, for one volume. */
export function newState(volume: string): MasterState {
  return { version: 2, volume, nodeCount: 0, nextNodeId: 1, nodes: [], partitions: [] };
}

/**
 * Adds a node, or finds it again. A node is known by its IP (nodes of one cluster never share one): on another port it has moved, and everything that
 * names it follows.
 */
export function registerNode(state: MasterState, addr: string): MasterNode {
  const known = state.nodes.find((node) => ipOf(node.addr) === ipOf(addr));
  if (known === undefined) {
    const node = { id: state.nextNodeId++, addr };
    state.nodes.push(node);
    return node;
  }
  if (known.addr !== addr) moveNode(state, known, addr);
  return known;
}

function moveNode(state: MasterState, node: MasterNode, addr: string): void {
  for (const partition of state.partitions) {
    partition.hosts = partition.hosts.map((host) => (host === node.addr ? addr : host));
    for (const peer of partition.peers) if (peer.id === node.id) peer.addr = addr;
    for (const list of [partition.joining, partition.removed]) {
      const at = list?.indexOf(node.addr) ?? -1;
      if (at >= 0) list![at] = addr;
    }
  }
  node.addr = addr;
}

/** A partition has so many replicas, or as many as there are nodes. */
const REPLICAS_MAX = 3;

/**
 * Adds partitions on `nodes` until ids 1..count exist, with three replicas or one on each node. The hosts rotate: partition 1 has the first node as its
 * primary, 2 the second, so that every node is one. Existing partitions stay as they are.
 */
export function growPartitions(
  state: MasterState,
  count: number,
  sizeBytes: number,
  nodes: readonly MasterNode[],
): void {
  const existing = new Set(state.partitions.map((partition) => partition.id));
  const replicas = Math.min(REPLICAS_MAX, nodes.length);
  for (let id = 1; id <= count; id++) {
    if (existing.has(id)) continue;
    const chosen = Array.from({ length: replicas }, (_, turn) => nodes[(id - 1 + turn) % nodes.length]!);
    state.partitions.push({
      id,
      sizeBytes,
      hosts: chosen.map(({ addr }) => addr),
      peers: chosen.map((node) => ({ id: node.id, addr: node.addr })),
      diskPaths: chosen.map(() => ''),
    });
  }
  state.partitions.sort((a, b) => a.id - b.id);
}

/** Ids that the node must have: those it said it created. */
export function createdOn(state: MasterState, addr: string): number[] {
  return state.partitions
    .filter(({ hosts, diskPaths }) => (diskPaths[hosts.indexOf(addr)] ?? '') !== '')
    .map((partition) => partition.id);
}

/** Partitions whose replica the node still has to create. */
export function pendingOn(state: MasterState, addr: string): MasterPartition[] {
  return state.partitions.filter(({ hosts, diskPaths }) => diskPaths[hosts.indexOf(addr)] === '');
}

/**
 * Of the partitions that a node reports: those whose replica was removed from it. Not every one that is missing in its list, as with the real master: the file of an embedded one may be lost while the data is
 * not, and its next lists are made anew.
 */
export function surplusOn(state: MasterState, addr: string, reported: readonly number[]): MasterPartition[] {
  const ids = new Set(reported);
  return state.partitions.filter(({ id, removed }) => ids.has(id) && removed?.includes(addr));
}

/** The node has created its replica. */
export function replicaCreated(partition: MasterPartition, addr: string, diskPath: string): void {
  const index = partition.hosts.indexOf(addr);
  if (index < 0) return;
  partition.diskPaths[index] = diskPath;
  forget(partition, 'joining', addr);
}

/** The group of the partition has one more member, the last of the hosts; its replica is still to be created. */
export function addHost(partition: MasterPartition, peer: Peer): void {
  partition.hosts.push(peer.addr);
  partition.peers.push({ ...peer });
  partition.diskPaths.push('');
  partition.joining = [...(partition.joining ?? []), peer.addr];
  forget(partition, 'removed', peer.addr);
}

/** The group of the partition has one member less. */
export function removeHost(partition: MasterPartition, addr: string): void {
  const index = partition.hosts.indexOf(addr);
  if (index < 0) return;
  partition.hosts.splice(index, 1);
  partition.diskPaths.splice(index, 1);
  partition.peers = partition.peers.filter((peer) => peer.addr !== addr);
  forget(partition, 'joining', addr);
  partition.removed = [...(partition.removed ?? []), addr];
}

function forget(partition: MasterPartition, list: 'joining' | 'removed', addr: string): void {
  const left = (partition[list] ?? []).filter((host) => host !== addr);
  if (left.length > 0) partition[list] = left;
  else delete partition[list];
}

/** Whether every replica exists. */
export function isComplete(partition: MasterPartition): boolean {
  return partition.diskPaths.every((path) => path !== '');
}

/**
 * Why a state does not fit the nodes that there will be; null when it does. Its partitions have their hosts until somebody moves them: with more nodes some would have none, with
 * fewer some would lack hosts.
 */
export function misfit(state: MasterState, addrs: readonly string[]): string | null {
  const { nodeCount } = state;
  const begun = state.partitions.some(({ diskPaths }) => diskPaths.some((path) => path !== ''));
  if (nodeCount === 0 || !begun) return null;
  if (nodeCount !== addrs.length) {
    return `is of a cluster of ${nodeCount === 1 ? 'one node' : `${nodeCount} nodes`}: start it with --nodes ${nodeCount}`;
  }
  const known = state.nodes.map(({ addr }) => ipOf(addr));
  const strange = addrs.find((addr) => !known.includes(ipOf(addr)));
  return strange === undefined
    ? null
    : `is of nodes at ${known.join(', ')}, not at ${ipOf(strange)}: start it with --address ${known[0]}`;
}

function ipOf(addr: string): string {
  return addr.slice(0, addr.lastIndexOf(':'));
}

const FILE_NAME = 'state.json';

/** Reads the state of `folder`; null when there is none yet. Throws an Error with a clear text when it cannot be used. */
export async function loadState(folder: string): Promise<MasterState | null> {
  const path = join(folder, FILE_NAME);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  let file: Partial<StateFile> | null;
  try {
    file = JSON.parse(text) as Partial<StateFile> | null;
  } catch (error) {
    throw new Error(`the embedded master cannot read ${path}: ${(error as Error).message}`);
  }
  const complete =
    (file?.version === 1 || file?.version === 2) &&
    typeof file.volume === 'string' &&
    Number.isSafeInteger(file.nextNodeId) &&
    Array.isArray(file.nodes) &&
    Array.isArray(file.partitions);
  if (!complete) throw new Error(`the embedded master does not understand ${path}`);
  return currentState(file as StateFile);
}

/** Version 1 knew one replica a partition, on one disk. */
type StateFile = Omit<MasterState, 'version' | 'nodeCount' | 'partitions'> & {
  version: 1 | 2;
  nodeCount?: number;
  partitions: (Omit<MasterPartition, 'diskPaths'> & { diskPaths?: string[]; diskPath?: string })[];
};

function currentState(file: StateFile): MasterState {
  const partitions = file.partitions.map(({ diskPath = '', diskPaths = [diskPath], ...rest }) => ({
    ...rest,
    diskPaths,
  }));
  const { nodeCount = Math.min(1, file.nodes.length) } = file;
  return { ...file, version: 2, nodeCount, partitions };
}

/** Replaces the state of `folder`: durable when the promise resolves. One save at a time. */
export async function saveState(folder: string, state: MasterState): Promise<void> {
  const path = join(folder, FILE_NAME);
  const temporary = `${path}.tmp`;
  await mkdir(folder, { recursive: true });
  const file = await open(temporary, 'w', 0o644);
  try {
    await file.writeFile(`${JSON.stringify(state, null, 1)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  const folderHandle = await open(folder, 'r');
  try {
    await folderHandle.sync();
  } finally {
    await folderHandle.close();
  }
}
