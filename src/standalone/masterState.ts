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
  hosts: string[];
  peers: Peer[];
  /** Disk on which the node says it created it; empty: not created yet. */
  diskPath: string;
}

export interface MasterState {
  version: 1;
  volume: string;
  nextNodeId: number;
  nodes: MasterNode[];
  partitions: MasterPartition[];
}

/** The state of a master that has seen nothing yet, for one volume. */
export function newState(volume: string): MasterState {
  return { version: 1, volume, nextNodeId: 1, nodes: [], partitions: [] };
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
  }
  node.addr = addr;
}

/** Adds one-replica partitions on `node` until ids 1..count exist. Existing ones stay as they are. */
export function growPartitions(
  state: MasterState,
  count: number,
  sizeBytes: number,
  { id: nodeId, addr }: MasterNode,
): void {
  const existing = new Set(state.partitions.map((partition) => partition.id));
  for (let id = 1; id <= count; id++) {
    if (existing.has(id)) continue;
    state.partitions.push({ id, sizeBytes, hosts: [addr], peers: [{ id: nodeId, addr }], diskPath: '' });
  }
  state.partitions.sort((a, b) => a.id - b.id);
}

/** Ids that the node must have: those it said it created. */
export function createdOn(state: MasterState, addr: string): number[] {
  return state.partitions
    .filter((partition) => partition.diskPath !== '' && partition.hosts.includes(addr))
    .map((partition) => partition.id);
}

/** Partitions that the node still has to create. */
export function pendingOn(state: MasterState, addr: string): MasterPartition[] {
  return state.partitions.filter((partition) => partition.diskPath === '' && partition.hosts.includes(addr));
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
  let state: Partial<MasterState> | null;
  try {
    state = JSON.parse(text) as Partial<MasterState> | null;
  } catch (error) {
    throw new Error(`the embedded master cannot read ${path}: ${(error as Error).message}`);
  }
  const complete =
    state?.version === 1 &&
    typeof state.volume === 'string' &&
    Number.isSafeInteger(state.nextNodeId) &&
    Array.isArray(state.nodes) &&
    Array.isArray(state.partitions);
  if (!complete) throw new Error(`the embedded master does not understand ${path}`);
  return state as MasterState;
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
