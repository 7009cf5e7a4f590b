/**
 * Standalone mode: one data node with an embedded master on one machine, all under one data folder. Called by the entry point and by tests.
 *
 * The node is started from the config file that is written here, exactly as `extentd -c` would, and talks to its master over sockets only.
 */
import type { Logger } from 'pino';
import type { StandaloneFlags } from '../config/standaloneFlags.js';
import { type DataNode, type DataNodeOptions, startDataNode } from '../dataNode.js';
import type { Alarms } from '../telemetry/alarms.js';
import {
  makeFolders,
  requireSpace,
  SERVING_IDLE_MS,
  type StatFolder,
  startMaster,
  withPorts,
  writeConfig,
} from './preparation.js';

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
  const master = await startMaster(flags, [flags], log);
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
    await makeFolders(flags);
    if (master.createdCount < flags.partitionCount) await requireSpace(flags, options.statFolder);
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
