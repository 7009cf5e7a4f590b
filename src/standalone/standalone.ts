/**
 * Standalone mode: one data node with an embedded master on one machine, all under one data folder. Called by the entry point and by tests.
 *
 * The node is started from the config file that is written here, exactly as `extentd -c` would, and talks to its master over sockets only.
 */
import { mkdir, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/config.js';
import { parseConfig } from '../config/schema.js';
import type { StandaloneFlags } from '../config/standaloneFlags.js';
import { CREATE_AVAILABLE_BYTES } from '../control/space.js';
import { type DataNode, type DataNodeOptions, startDataNode } from '../dataNode.js';
import { spaceOf } from '../partition/diskSpace.js';
import type { Alarms } from '../telemetry/alarms.js';
import { EmbeddedMaster } from './master.js';
import { configText, freePorts, standaloneFolders } from './standaloneConfig.js';

/** One partition, with its 64 tiny extents, takes well under a second; a node that creates none for this long has a reason, which is told. */
const SERVING_IDLE_MS = 20_000;

export interface StandaloneOptions {
  flags: StandaloneFlags;
  log: Logger;
  /** Handed on to the node. */
  alarms?: Alarms;
  setLogLevel?: (level: string) => boolean;
  /** Aborted: the start is given up; what was begun is stopped. */
  signal?: AbortSignal;
  /** The data node; tests put another one in its place. */
  startNode?: (options: DataNodeOptions) => Promise<Pick<DataNode, 'addresses' | 'stop'>>;
  /** statfs(2) of a folder; tests put other disks in its place. */
  statFolder?: StatFolder;
}

type StatFolder = (path: string) => Promise<{ blocks: number; bavail: number; bsize: number }>;

/** A standalone node that serves. */
export interface Standalone {
  /** What the ready line names: addresses as `host:port`, the console's URL, volume, partition ids and folder. */
  readonly addresses: {
    readonly console: string | null;
    readonly volume: string;
    readonly partitions: string;
    readonly folder: string;
    readonly data: string;
    readonly http: string | null;
    readonly raftHeartbeat: string;
    readonly raftReplica: string;
    readonly master: string;
  };
  /** Stops the node, then its master. May be called twice. */
  stop(): Promise<void>;
}

/** Starts master and node and waits until every partition exists. Rejects with one clear line when that cannot be. */
export async function startStandalone(options: StandaloneOptions): Promise<Standalone> {
  const { log } = options;
  const signal = options.signal ?? new AbortController().signal;
  const flags = await withPorts(options.flags);
  const folders = standaloneFolders(flags);
  for (const folder of [...folders.disks, folders.log, folders.raft])
    await mkdir(folder, { recursive: true });

  const master = await EmbeddedMaster.start({
    address: flags.address,
    port: flags.masterPort,
    folder: folders.master,
    volume: flags.volume,
    partitionCount: flags.partitionCount,
    log,
  });
  let node: Pick<DataNode, 'addresses' | 'stop'> | null = null;
  let stopping: Promise<void> | null = null;
  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      await node?.stop();
      await master.stop();
    })();
    return stopping;
  };
  try {
    if (master.createdCount < flags.partitionCount)
      await requireSpace(folders.disks, options.statFolder ?? statfs);
    const config = await writeConfig(flags, master.address);
    const { alarms, setLogLevel } = options;
    const handedOn = { ...(alarms && { alarms }), ...(setLogLevel && { setLogLevel }) };
    node = await (options.startNode ?? startDataNode)({ config, log, signal, ...handedOn });
    const missing = await master.waitServing(SERVING_IDLE_MS, signal);
    if (missing !== null) throw new Error(missing);
    const { http } = node.addresses;
    const addresses = {
      ...node.addresses,
      master: master.address,
      console: http === null ? null : `http://${http}/`,
      volume: flags.volume,
      partitions: `1..${master.createdCount}`,
      folder: flags.dataFolder,
    };
    return { addresses, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Ports of 0 become free ones: the node is registered under its port before it listens. The master finds its own. */
async function withPorts(flags: StandaloneFlags): Promise<StandaloneFlags> {
  const [port = 0, httpPort = 0, raftHeartbeatPort = 0, raftReplicaPort = 0] = await freePorts(
    flags.address,
    4,
  );
  return {
    ...flags,
    port: flags.port || port,
    httpPort: flags.httpPort || httpPort,
    raftHeartbeatPort: flags.raftHeartbeatPort || raftHeartbeatPort,
    raftReplicaPort: flags.raftReplicaPort || raftReplicaPort,
  };
}

async function writeConfig(flags: StandaloneFlags, masterAddress: string): Promise<NodeConfig> {
  const text = configText(flags, masterAddress);
  const parsed = parseConfig(text);
  if (!parsed.ok) throw new Error(`standalone flags make no valid configuration: ${parsed.message}`);
  await writeFile(join(flags.dataFolder, 'datanode.json'), text);
  return parsed.config;
}

/** A node without room answers every creation with `No disk space`; here it is said before anything is started. */
async function requireSpace(disks: readonly string[], statFolder: StatFolder): Promise<void> {
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
