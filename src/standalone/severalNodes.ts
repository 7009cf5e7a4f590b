/**
 * Standalone mode with several nodes: the embedded master here, each node in a process of its own, so that one can be killed and brought back while the
 * others serve, and CPU and memory of each can be told apart. Called by the entry point and by tests.
 *
 * A node that ends is not started again: that is what people do to see what the others make of it. It is said, with the command that brings it back.
 */
import type { Logger } from 'pino';
import type { StandaloneFlags } from '../config/standaloneFlags.js';
import { ChildNode } from './childNode.js';
import type { EmbeddedMaster } from './master.js';
import {
  configPath,
  dataAddress,
  makeFolders,
  requireSpace,
  SERVING_IDLE_MS,
  type StatFolder,
  startMaster,
  withPorts,
  writeConfig,
} from './preparation.js';
import { flagsOfNodes } from './standaloneConfig.js';

/** From the signal to a node until it is killed: what a node's own deadline leaves, with time to spare for ours. */
const STOP_PATIENCE_MS = 7_000;

export interface SeveralNodesOptions {
  readonly flags: StandaloneFlags;
  /** The program's entry point, for the nodes' processes. */
  readonly program: string;
  readonly log: Logger;
  /** Shows a line to people, whatever the level of the log. */
  readonly say: (line: string) => void;
  /** Aborted: the start is given up; what was begun is stopped. */
  readonly signal?: AbortSignal;
  /** statfs(2) of a folder; tests put other disks in its place. */
  readonly statFolder?: StatFolder;
}

/** Standalone nodes that serve. */
export interface SeveralNodes {
  /** What the ready line names: of each kind the addresses of all nodes in order, separated by commas. */
  readonly addresses: Readonly<Record<string, string>>;
  /** Stops the nodes, then their master. May be called twice. */
  stop(): Promise<void>;
}

/** Starts master and nodes and waits until every partition exists on all its hosts. Rejects with one clear line when that cannot be. */
export async function startSeveralNodes(options: SeveralNodesOptions): Promise<SeveralNodes> {
  const { log } = options;
  const flags = await withPorts(options.flags);
  const nodes = flagsOfNodes(flags);
  const master = await startMaster(flags, nodes, log);
  const children: ChildNode[] = [];
  const givenUp = new AbortController();
  let stopping: Promise<void> | null = null;
  const stop = (): Promise<void> => {
    givenUp.abort();
    stopping ??= (async () => {
      await Promise.all(children.map((child) => child.stop(STOP_PATIENCE_MS)));
      await master.stop();
    })();
    return stopping;
  };
  // What waits for a node is woken by its end.
  const onAbort = (): void => void stop();
  options.signal?.addEventListener('abort', onAbort);
  if (options.signal?.aborted === true) onAbort();
  try {
    await prepare(nodes, master, flags.partitionCount, options.statFolder);
    if (givenUp.signal.aborted) throw new Error('aborted');
    for (const [index, node] of nodes.entries()) children.push(startChild(options, node, `node${index + 1}`));
    const serving = serve(children, master, givenUp.signal);
    const missing = await Promise.race([serving, ...children.map(endedEarly)]);
    if (missing !== null) throw new Error(missing);
  } catch (error) {
    await stop();
    throw error;
  } finally {
    options.signal?.removeEventListener('abort', onAbort);
  }
  for (const [index, child] of children.entries()) {
    void child.ended.then((how) => {
      if (stopping === null) log.warn(endedText(options.program, child, nodes[index]!, how));
    });
  }
  return { addresses: addressesOf(flags, nodes, children, master), stop };
}

/** Folders, room and config files of all nodes, before any is started. */
async function prepare(
  nodes: readonly StandaloneFlags[],
  master: EmbeddedMaster,
  partitionCount: number,
  statFolder?: StatFolder,
): Promise<void> {
  for (const node of nodes) {
    await makeFolders(node);
    if (master.createdCount < partitionCount) await requireSpace(node, statFolder);
    await writeConfig(node, master.address);
  }
}

function startChild({ program, say }: SeveralNodesOptions, node: StandaloneFlags, name: string): ChildNode {
  return new ChildNode({
    name,
    program,
    configPath: configPath(node),
    line: (line) => say(`${name} | ${line}`),
  });
}

/** Waits for all; resolves with null, or with why it makes no sense to wait longer. */
async function serve(
  children: readonly ChildNode[],
  master: EmbeddedMaster,
  signal: AbortSignal,
): Promise<string | null> {
  for (const { name, started } of children) {
    const failure = await started;
    if (failure !== null) return `${name}: ${failure}`;
  }
  return master.waitServing(SERVING_IDLE_MS, signal);
}

/** A node that ends before all serve, with its own reason where it has told one. */
async function endedEarly({ name, started, ended }: ChildNode): Promise<string> {
  const how = await ended;
  return `${name}: ${(await started) ?? `the process ended ${how}`}`;
}

function endedText(program: string, child: ChildNode, node: StandaloneFlags, how: string): string {
  const command = `${process.execPath} ${program} -c ${configPath(node)} -f`;
  return `${child.name} (${dataAddress(node)}) has ended ${how}; this brings it back: ${command}`;
}

function addressesOf(
  flags: StandaloneFlags,
  nodes: readonly StandaloneFlags[],
  children: readonly ChildNode[],
  master: EmbeddedMaster,
): Record<string, string> {
  const all = (port: number): string => nodes.map(({ address }) => `${address}:${port}`).join(',');
  return {
    nodes: String(nodes.length),
    data: all(flags.port),
    http: all(flags.httpPort),
    raftHeartbeat: all(flags.raftHeartbeatPort),
    raftReplica: all(flags.raftReplicaPort),
    master: master.address,
    console: nodes.map(({ address }) => `http://${address}:${flags.httpPort}/`).join(','),
    volume: flags.volume,
    partitions: `1..${master.createdCount}`,
    replicas: String(master.state.partitions[0]?.hosts.length ?? 0),
    folder: flags.dataFolder,
    pids: children.map(({ pid }) => pid).join(','),
  };
}
