/**
 * The flags of `npm start` (`extentd standalone`): parsed, checked and defaulted here, executed by `src/standalone`. Called by the entry point.
 */
import { isIPv4 } from 'node:net';
import { resolve } from 'node:path';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { EXTENTD_DEFAULTS, type ExtentdSettings, type LogLevel } from './config.js';
import { CONFIG_LIMITS } from './limits.js';
import { accepted, describeValue, oneLine, type Parsed, parsePort, refused } from './parsed.js';
import { parseLogLevel } from './schema.js';
import { applySettingTexts } from './settings.js';

/** One machine's node, or nodes, with the embedded master. A port of 0 means any free one. */
export interface StandaloneFlags {
  /** Absolute folder of everything: disks, raft, logs. */
  readonly dataFolder: string;
  /** More than one: each has a folder of its own under `dataFolder`, and an address of its own, counted up from `address`. */
  readonly nodeCount: number;
  /** Disk folders of a node. */
  readonly diskCount: number;
  /** Partitions to create, ids 1..n. */
  readonly partitionCount: number;
  /** The volume they belong to. */
  readonly volume: string;
  /** IPv4 address for every port, of the master and the first node. */
  readonly address: string;
  readonly port: number;
  readonly httpPort: number;
  readonly raftHeartbeatPort: number;
  readonly raftReplicaPort: number;
  readonly masterPort: number;
  readonly logLevel: LogLevel;
  /** Defaults, with `address` for listening and HTTP, and with every `--set` applied. */
  readonly settings: ExtentdSettings;
}

export type StandaloneRequest =
  | { readonly kind: 'run'; readonly flags: StandaloneFlags }
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'error'; readonly message: string };

/** Partitions of one standalone node: each is a folder with 64 tiny extents. */
const PARTITIONS_MAX = 10_000;

/** Nodes on one machine: each is a process with the memory of a whole node. */
const NODES_MAX = 8;

/** Of an address's last part; 255 is a broadcast address in most networks. */
const LAST_PART_MAX = 254;

const OPTIONS = {
  data: { type: 'string' },
  disks: { type: 'string' },
  partitions: { type: 'string' },
  address: { type: 'string' },
  port: { type: 'string' },
  http: { type: 'string' },
  'raft-heartbeat': { type: 'string' },
  'raft-replica': { type: 'string' },
  master: { type: 'string' },
  nodes: { type: 'string' },
  'log-level': { type: 'string' },
  set: { type: 'string', multiple: true },
  help: { type: 'boolean', short: 'h' },
} as const satisfies ParseArgsConfig['options'];

export const STANDALONE_HELP = `Runs one data node, or several, with an embedded master on this machine.

  npm start -- [flags]              (or: extentd standalone [flags])

  --data DIR             folder of the disks, raft and logs      default ./data
  --nodes N              nodes, 1 to 8                           default 1
  --disks N              disk folders of each node               default 2
  --partitions N         partitions of volume demo               default 8
  --address A            IPv4 address for every port             default 127.0.0.1
  --port N               data port                               default 17310
  --http N               debug API and status page               default 17320
  --raft-heartbeat N     raft heartbeat port                     default 17330
  --raft-replica N       raft replica port                       default 17340
  --master N             port of the embedded master             default 17010
  --log-level LEVEL      debug, info, warn or error              default info
  --set extentd.KEY=V    a setting of docs/configuration.md, may be repeated
  --help                 this text

A port of 0 takes any free one; the line "extentd ready" names them all.

With --nodes 3 each node is a process of its own, with a folder DIR/node1, DIR/node2, ... (config file, disks, raft, logs) and an address of its own:
127.0.0.1, 127.0.0.2, 127.0.0.3, all with the same ports. Partitions have three replicas (two of two nodes), whose primaries take turns. A node that ends is
not started again: "extentd -c DIR/node2/datanode.json -f" brings it back. All of them end with this process.
`;

/** Parses the arguments after `standalone`. Pure but for the working directory. */
export function parseStandaloneFlags(args: readonly string[]): StandaloneRequest {
  let values: Values;
  try {
    ({ values } = parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false }));
  } catch (error) {
    return { kind: 'error', message: parseArgsText(error) };
  }
  if (values.help === true) return { kind: 'help', text: STANDALONE_HELP };
  const result = assemble(values);
  return result.ok ? { kind: 'run', flags: result.value } : { kind: 'error', message: result.message };
}

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'];

function assemble(values: Values): Parsed<StandaloneFlags> {
  const nodeCount = parseCount('--nodes', values.nodes ?? '1', NODES_MAX);
  if (!nodeCount.ok) return nodeCount;
  const diskCount = parseCount('--disks', values.disks ?? '2', CONFIG_LIMITS.disksMax);
  if (!diskCount.ok) return diskCount;
  const partitionCount = parseCount('--partitions', values.partitions ?? '8', PARTITIONS_MAX);
  if (!partitionCount.ok) return partitionCount;
  const dataFolder = parseFolder(values.data ?? './data');
  if (!dataFolder.ok) return dataFolder;
  const address = parseAddress(values.address ?? '127.0.0.1');
  if (!address.ok) return address;
  const last = addressOfNode(address.value, nodeCount.value - 1);
  if (last === null)
    return refused(
      '--address',
      `leaves no room for the addresses of ${nodeCount.value} nodes: ${address.value}`,
    );
  const logLevel = parseLevel(values['log-level'] ?? 'info');
  if (!logLevel.ok) return logLevel;
  const ports = parsePorts(values);
  if (!ports.ok) return ports;
  const base = { ...EXTENTD_DEFAULTS, listenAddress: address.value, httpAddress: address.value };
  const settings = applySettingTexts(base, values.set ?? []);
  if (!settings.ok) return settings;
  const shared = nodeCount.value > 1 ? sharedAddress(settings.value, address.value) : null;
  if (shared !== null) return refused(`--set extentd.${shared}`, 'each node has its own, with --nodes');
  return accepted({
    ...ports.value,
    dataFolder: dataFolder.value,
    nodeCount: nodeCount.value,
    diskCount: diskCount.value,
    partitionCount: partitionCount.value,
    volume: 'demo',
    address: address.value,
    logLevel: logLevel.value,
    settings: settings.value,
  });
}

type Ports = Pick<
  StandaloneFlags,
  'port' | 'httpPort' | 'raftHeartbeatPort' | 'raftReplicaPort' | 'masterPort'
>;

function parsePorts(values: Values): Parsed<Ports> {
  const texts: readonly [flag: string, text: string][] = [
    ['--port', values.port ?? '17310'],
    ['--http', values.http ?? '17320'],
    ['--raft-heartbeat', values['raft-heartbeat'] ?? '17330'],
    ['--raft-replica', values['raft-replica'] ?? '17340'],
    ['--master', values.master ?? '17010'],
  ];
  const ports: number[] = [];
  for (const [flag, text] of texts) {
    const port = parsePort(flag, text, 0);
    if (!port.ok) return port;
    const earlier = port.value === 0 ? -1 : ports.indexOf(port.value);
    if (earlier >= 0) return refused(flag, `port ${port.value} is the port of ${texts[earlier]?.[0]} too`);
    ports.push(port.value);
  }
  const [port = 0, httpPort = 0, raftHeartbeatPort = 0, raftReplicaPort = 0, masterPort = 0] = ports;
  return accepted({ port, httpPort, raftHeartbeatPort, raftReplicaPort, masterPort });
}

function parseCount(flag: string, text: string, most: number): Parsed<number> {
  const count = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= most) return accepted(count);
  return refused(flag, `must be a whole number from 1 to ${most}, not ${describeValue(text)}`);
}

/** A colon would end the path in the node's `disks` entries (`PATH:RESERVE`). */
function parseFolder(text: string): Parsed<string> {
  if (text === '' || text.includes('\0')) return refused('--data', 'must name a folder');
  const folder = resolve(text);
  return folder.includes(':')
    ? refused('--data', `the path must not hold a colon: ${folder}`)
    : accepted(folder);
}

function parseAddress(text: string): Parsed<string> {
  if (isIPv4(text) && text !== '0.0.0.0') return accepted(text);
  return refused('--address', `must be the IPv4 address of one interface, not ${describeValue(text)}`);
}

/** The address of node `index` (0: the first), where the first has `first`: counted up in the last part. Null: past its end. */
export function addressOfNode(first: string, index: number): string | null {
  const dot = first.lastIndexOf('.');
  const last = Number(first.slice(dot + 1)) + index;
  return index > 0 && last > LAST_PART_MAX ? null : `${first.slice(0, dot + 1)}${last}`;
}

/** Name of a setting that would give all nodes the same address to listen on; null: there is none. */
function sharedAddress(settings: ExtentdSettings, address: string): string | null {
  const { listenAddress, httpAddress, exporterAddress } = settings;
  if (listenAddress !== address) return 'listenAddress';
  if (httpAddress !== address) return 'httpAddress';
  return exporterAddress === '' ? null : 'exporterAddress';
}

function parseLevel(text: string): Parsed<LogLevel> {
  const level = parseLogLevel(text);
  if (level === text.toLowerCase()) return accepted(level);
  return refused('--log-level', `must be debug, info, warn or error, not ${describeValue(text)}`);
}

/** Node's own text up to its first sentence, which names the flag. */
function parseArgsText(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const end = text.search(/\. |\n/);
  return `${oneLine(end < 0 ? text : text.slice(0, end)).replace(/\.$/, '')} (--help lists the flags)`;
}
