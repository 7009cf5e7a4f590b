/**
 * What is made before a standalone node starts: ports, folders, the embedded master, the config file; and the check that there is room.
 * Used by `standalone.ts` for one node and by `severalNodes.ts` for each of several.
 */
import { mkdir, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/config.js';
import { parseConfig } from '../config/schema.js';
import type { StandaloneFlags } from '../config/standaloneFlags.js';
import { CREATE_AVAILABLE_BYTES } from '../control/space.js';
import { spaceOf } from '../partition/diskSpace.js';
import { EmbeddedMaster } from './master.js';
import { configText, freePorts, standaloneFolders } from './standaloneConfig.js';

/** One partition, with its 64 tiny extents, takes well under a second; nodes that create none for this long have a reason, which is told. */
export const SERVING_IDLE_MS = 20_000;

/** statfs(2) of a folder. */
export type StatFolder = (path: string) => Promise<{ blocks: number; bavail: number; bsize: number }>;

/** Free on every address of the machine, for several nodes have the same ports. */
const EVERY_ADDRESS = '0.0.0.0';

/** Ports of 0 become free ones: a node is registered under its port before it listens. The master finds its own. */
export async function withPorts(flags: StandaloneFlags): Promise<StandaloneFlags> {
  const address = flags.nodeCount > 1 ? EVERY_ADDRESS : flags.address;
  const [port = 0, httpPort = 0, raftHeartbeatPort = 0, raftReplicaPort = 0] = await freePorts(address, 4);
  return {
    ...flags,
    port: flags.port || port,
    httpPort: flags.httpPort || httpPort,
    raftHeartbeatPort: flags.raftHeartbeatPort || raftHeartbeatPort,
    raftReplicaPort: flags.raftReplicaPort || raftReplicaPort,
  };
}

/** Folders of one node. */
export async function makeFolders(node: StandaloneFlags): Promise<void> {
  const { disks, log, raft } = standaloneFolders(node);
  for (const folder of [...disks, log, raft]) await mkdir(folder, { recursive: true });
}

/** The master of `nodes`, in the folder of `flags`. */
export function startMaster(
  flags: StandaloneFlags,
  nodes: readonly StandaloneFlags[],
  log: Logger,
): Promise<EmbeddedMaster> {
  return EmbeddedMaster.start({
    address: flags.address,
    port: flags.masterPort,
    folder: standaloneFolders(flags).master,
    volume: flags.volume,
    partitionCount: flags.partitionCount,
    nodes: nodes.map(dataAddress),
    log,
  });
}

/** `ip:port` of a node's data port. */
export function dataAddress({ address, port }: StandaloneFlags): string {
  return `${address}:${port}`;
}

/** Path of one node's config file. */
export function configPath(node: StandaloneFlags): string {
  return join(node.dataFolder, 'datanode.json');
}

/** Writes one node's config file; returns what it says. */
export async function writeConfig(node: StandaloneFlags, masterAddress: string): Promise<NodeConfig> {
  const text = configText(node, masterAddress);
  const parsed = parseConfig(text);
  if (!parsed.ok) throw new Error(`standalone flags make no valid configuration: ${parsed.message}`);
  await writeFile(configPath(node), text);
  return parsed.config;
}

/**
 * A node without room answers every creation with `No disk space`; here it is said before anything is started. Nodes on one file system each see all of its
 * space, and each keeps the reserve: what one writes, the others find missing.
 */
export async function requireSpace(node: StandaloneFlags, statFolder: StatFolder = statfs): Promise<void> {
  const { disks } = standaloneFolders(node);
  let best = 0;
  for (const disk of disks) {
    const { blocks, bavail, bsize } = await statFolder(disk);
    best = Math.max(best, spaceOf(blocks, bavail, bsize).available);
  }
  if (best > CREATE_AVAILABLE_BYTES) return;
  const free = (best / 1024 ** 3).toFixed(1);
  throw new Error(
    `no disk folder has room for a partition: ${free} GiB available at ${disks[0]} after the reserve, ` +
      'more than 5 GiB are needed; choose another folder with --data',
  );
}
