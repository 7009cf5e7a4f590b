/** Config files, disks and log folders of nodes that tests start as processes, and a master for them. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { EmbeddedMaster } from '../../src/standalone/master.js';
import { type Teardown, testFolder } from './nodeProcess.js';

/** Ports of a node, as in its config file. */
export interface NodePorts {
  port: string;
  prof: string;
  raftHeartbeat: string;
  raftReplica: string;
}

/** Four port numbers for `NodePorts`. */
export function nodePorts(numbers: readonly number[]): NodePorts {
  const [port, prof, raftHeartbeat, raftReplica] = numbers.map(String) as [string, string, string, string];
  return { port, prof, raftHeartbeat, raftReplica };
}

/** A node's own folder with everything in it. */
export interface NodeFiles {
  folder: string;
  /** The config file. */
  path: string;
  disk: string;
  config: Record<string, unknown>;
  /** What a log file of `<logDir>/dataNode` holds now. */
  log(name: string): string;
}

/** Makes a node's folder: one disk, a log folder and the config file, with `changes` to it. */
export function nodeFiles(
  t: Teardown,
  masterAddr: string,
  ports: NodePorts,
  changes: Record<string, unknown> = {},
): NodeFiles {
  const folder = testFolder(t);
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  const config = {
    ...{ role: 'datanode', masterAddr: [masterAddr], disks: [`${disk}:0`], logLevel: 'info' },
    ...{ raftDir: join(folder, 'raft'), logDir: join(folder, 'log') },
    ...ports,
    ...changes,
  };
  const path = join(folder, 'datanode.json');
  writeFileSync(path, JSON.stringify(config));
  const logFolder = join(folder, 'log', 'dataNode');
  return { folder, path, disk, config, log: (name) => readFileSync(join(logFolder, name), 'utf8') };
}

/** A master without partitions, on 127.0.0.1. */
export async function startMaster(t: Teardown): Promise<EmbeddedMaster> {
  const master = await EmbeddedMaster.start({
    ...{ address: '127.0.0.1', port: 0, folder: join(testFolder(t), 'master') },
    ...{ volume: 'demo', partitionCount: 0, heartbeatIntervalMs: 200 },
    log: { info() {}, warn() {}, error() {} },
  });
  t.teardown(() => master.stop());
  return master;
}

/** False, or why tests of IPv6 are skipped here. */
export function noIPv6(): false | string {
  const addresses = Object.values(networkInterfaces()).flat();
  return addresses.some((one) => one?.address === '::1')
    ? false
    : 'this machine has no IPv6 loopback address';
}
