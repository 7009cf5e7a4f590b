/** A node as an operator of a cluster runs it: `extentd -c FILE -f` against masters that a test has, with disks, ports and folders of its own. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../src/standalone/standaloneConfig.js';
import { type NodeProcess, startProcess, type Teardown, testFolder } from './nodeProcess.js';

export interface ClusterNodeOptions {
  masters: readonly string[];
  /** Default 127.0.0.1. */
  ip?: string;
  disks?: number;
  /** Keys of the config file, `extentd` among them. */
  config?: Record<string, unknown>;
  /** Started again on the disks and ports of this one. */
  again?: ClusterNode;
  /** Node's own flags, and variables beside those of the test. */
  execArgv?: string[];
  env?: Record<string, string>;
}

export interface ClusterNode {
  process: NodeProcess;
  folder: string;
  /** `ip:port` of the data port. */
  address: string;
  ip: string;
  port: number;
  httpUrl: string;
  disks: string[];
  /** The config file, to write another one. */
  configPath: string;
}

/** Writes the config and starts the process; it is ready when `process.whenReady()` resolves. */
export async function startClusterNode(t: Teardown, options: ClusterNodeOptions): Promise<ClusterNode> {
  const { ip = '127.0.0.1', disks = 1, masters, again, execArgv = [], env = {} } = options;
  const folder = again?.folder ?? testFolder(t);
  const configPath = join(folder, 'datanode.json');
  const paths = Array.from({ length: disks }, (_, index) => join(folder, `disk${index}`));
  for (const path of paths) mkdirSync(path, { recursive: true });
  const config = again === undefined ? await freshConfig(folder, ip, paths) : readConfig(again.configPath);
  const whole: Record<string, unknown> = { ...config, masterAddr: masters, ...options.config };
  writeFileSync(configPath, JSON.stringify(whole));
  const process = startProcess(t, { args: ['-c', configPath, '-f'], execArgv, env });
  const port = Number(whole.port);
  return {
    process,
    folder,
    address: `${ip}:${port}`,
    ip,
    port,
    httpUrl: `http://127.0.0.1:${whole.prof}`,
    disks: paths,
    configPath,
  };
}

/** Everything that the node has logged to its files so far. */
export function logOf({ folder }: ClusterNode): string {
  const path = join(folder, 'log', 'dataNode');
  return readdirSync(path)
    .map((name) => readFileSync(join(path, name), 'utf8'))
    .join('');
}

/** The `data` of a page of the debug API. */
export async function debugData(node: ClusterNode, path: string): Promise<unknown> {
  const response = await fetch(`${node.httpUrl}${path}`);
  return ((await response.json()) as { data: unknown }).data;
}

/** Makes disks of a node with `faultInjection` act up. */
export async function setFault(node: ClusterNode, disk: number, kind: 'hang' | 'clear'): Promise<void> {
  const response = await fetch(`${node.httpUrl}/debug/fault?disk=${disk}&kind=${kind}`, { method: 'POST' });
  if (!response.ok) throw new Error(await response.text());
}

function readConfig(path: string): Record<string, unknown> {
  return JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
}

async function freshConfig(folder: string, ip: string, paths: string[]): Promise<Record<string, unknown>> {
  const [port, prof, raftHeartbeat, raftReplica] = await freePorts('127.0.0.1', 4);
  return {
    role: 'datanode',
    localIP: ip,
    port: String(port),
    prof: String(prof),
    raftHeartbeat: String(raftHeartbeat),
    raftReplica: String(raftReplica),
    raftDir: join(folder, 'raft'),
    logDir: join(folder, 'log'),
    logLevel: 'info',
    rack: 'rack-01',
    disks: paths.map((path) => `${path}:0`),
    extentd: { listenAddress: ip, raft: { journalSegmentBytes: 1_048_576 } },
  };
}
