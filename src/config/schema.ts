/**
 * Reads the Go node's own JSON config file (`admin.md` 2) into a `NodeConfig`.
 *
 * Called by the entry point only. The reference reads a key of a wrong JSON type as empty and goes on or crashes later; here every wrong type is
 * one clear line with the key's path, carrying the reference's own error text where it has one. Unknown top-level keys are ignored, as there.
 */
import { readFileSync, statSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { type DiskConfig, type LogLevel, type NodeConfig, REFERENCE_DEFAULTS } from './config.js';
import { consulRegisterUrl } from './consulAddr.js';
import { CONFIG_LIMITS } from './limits.js';
import { accepted, describeValue, oneLine, type Parsed, parsePort, refused } from './parsed.js';
import { parseSettings } from './settings.js';

/** The whole configuration, or one line that says what is wrong. */
export type ConfigResult =
  | { readonly ok: true; readonly config: NodeConfig }
  | { readonly ok: false; readonly message: string };

/** The top-level keys that are read; each has its row in `docs/configuration.md`. */
export const FILE_KEYS = [
  'role',
  'port',
  'localIP',
  'masterAddr',
  'rack',
  'cell',
  'zoneName',
  'disks',
  'raftDir',
  'raftHeartbeat',
  'raftReplica',
  'logDir',
  'logLevel',
  'warnLogDir',
  'prof',
  'exporterPort',
  'consulAddr',
  'extentd',
] as const;

type FileKey = (typeof FILE_KEYS)[number];
type FileObject = Readonly<Partial<Record<FileKey, unknown>>>;

/** Reads and checks the file at `path`. Never throws. */
export function loadConfig(path: string): ConfigResult {
  if (path === '') return { ok: false, message: 'no config file given (use -c FILE)' };
  let text: string;
  try {
    const { size } = statSync(path);
    if (size > CONFIG_LIMITS.fileBytesMax) {
      return {
        ok: false,
        message: oneLine(`config file ${path} is larger than ${CONFIG_LIMITS.fileBytesMax} bytes`),
      };
    }
    text = readFileSync(path, 'utf8');
  } catch (error) {
    return { ok: false, message: oneLine(`config file ${path} cannot be read: ${errorText(error)}`) };
  }
  const result = parseConfig(text);
  return result.ok ? result : { ok: false, message: oneLine(`${result.message} (config file ${path})`) };
}

/** Checks the text of a config file. Pure. The message starts with the key's path. */
export function parseConfig(text: string): ConfigResult {
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch (error) {
    return { ok: false, message: oneLine(`not valid JSON: ${errorText(error)}`) };
  }
  if (typeof root !== 'object' || root === null || Array.isArray(root)) {
    return { ok: false, message: `must hold one JSON object, not ${describeValue(root)}` };
  }
  return assemble(root);
}

/** Runs every check in the order of the keys; the first failure is the answer. */
function assemble(file: FileObject): ConfigResult {
  const role = parseRole(file);
  if (!role.ok) return role;
  const port = parseDataPort(file);
  if (!port.ok) return port;
  const localIP = parseLocalIP(file);
  if (!localIP.ok) return localIP;
  const masterAddrs = parseMasterAddrs(file);
  if (!masterAddrs.ok) return masterAddrs;
  const disks = parseDisks(file);
  if (!disks.ok) return disks;
  const texts = parseTexts(file);
  if (!texts.ok) return texts;
  const raft = parseRaft(file);
  if (!raft.ok) return raft;
  const profPort = parseProfPort(file);
  if (!profPort.ok) return profPort;
  const exporterPort = parseExporterPort(file);
  if (!exporterPort.ok) return exporterPort;
  const settings = parseSettings(file.extentd);
  if (!settings.ok) return settings;
  if ((settings.value.tlsCertFile === '') !== (settings.value.tlsKeyFile === ''))
    return refused('extentd.tls', 'certFile and keyFile belong together: one of them is missing');
  const config: NodeConfig = {
    ...settings.value,
    ...texts.value,
    ...raft.value,
    role: 'datanode',
    port: port.value,
    localIP: localIP.value,
    masterAddrs: masterAddrs.value,
    disks: disks.value,
    profPort: profPort.value,
    exporterPort: exporterPort.value,
  };
  const clash = findPortClash(config);
  return clash === null ? { ok: true, config } : clash;
}

/** Missing and null count as not given; the reference reads both as empty. */
function given(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** A string key. `fallback`: value when it is missing or empty. */
function parseText(file: FileObject, key: FileKey, fallback: string): Parsed<string> {
  const value = file[key];
  if (!given(value)) return accepted(fallback);
  if (typeof value !== 'string') return refused(key, `must be a string, not ${describeValue(value)}`);
  if (value.includes('\0')) return refused(key, 'must not hold a NUL character');
  return accepted(value === '' ? fallback : value);
}

function parseRole(file: FileObject): Parsed<'datanode'> {
  const role = parseText(file, 'role', '');
  if (!role.ok) return role;
  if (role.value === 'datanode') return accepted('datanode');
  return refused('role mismatch', `${role.value === '' ? '""' : role.value} (role must be "datanode")`);
}

function parseDataPort(file: FileObject): Parsed<number> {
  const value = file.port;
  if (typeof value !== 'string' || !/^\d+$/.test(value)) {
    return refused(
      'port',
      `Err:port must string (digits in quotes, like "17310"), not ${describeValue(value)}`,
    );
  }
  return parsePort('port', value, 1);
}

function parseLocalIP(file: FileObject): Parsed<string> {
  const localIP = parseText(file, 'localIP', '');
  if (!localIP.ok || localIP.value === '' || isIPv4(localIP.value)) return localIP;
  return refused('localIP', `must be a dotted IPv4 address, not ${describeValue(localIP.value)}`);
}

function parseMasterAddrs(file: FileObject): Parsed<string[]> {
  const value = file.masterAddr;
  if (!given(value))
    return refused('masterAddr', 'Err:masterAddr unavalid (missing: an array of "host:port")');
  if (!Array.isArray(value)) {
    return refused(
      'masterAddr',
      `Err:masterAddr unavalid (must be an array of "host:port", not ${describeValue(value)})`,
    );
  }
  if (value.length === 0)
    return refused('masterAddr', 'Err:masterAddr unavalid (empty: at least one "host:port")');
  const addresses: string[] = [];
  for (const [index, entry] of value.entries()) {
    if (!isHostAndPort(entry)) {
      return refused(`masterAddr[${index}]`, `must be a string "host:port", not ${describeValue(entry)}`);
    }
    addresses.push(entry);
  }
  return accepted(addresses);
}

/** The port may be missing: the reference then asks port 80, as for any HTTP address. */
function isHostAndPort(entry: unknown): entry is string {
  if (typeof entry !== 'string' || !/^[^\s/?#@\\]+$/.test(entry)) return false;
  return URL.canParse(`http://${entry}`);
}

function parseDisks(file: FileObject): Parsed<DiskConfig[]> {
  const value = file.disks;
  const example = 'Invalid disk configuration. Example: PATH:RESERVE_SIZE';
  if (!Array.isArray(value))
    return refused('disks', `${example} (must be an array of strings, not ${describeValue(value)})`);
  if (value.length === 0) return refused('disks', `${example} (empty: at least one)`);
  if (value.length > CONFIG_LIMITS.disksMax)
    return refused('disks', `more than ${CONFIG_LIMITS.disksMax} entries`);
  const disks: DiskConfig[] = [];
  for (const [index, entry] of value.entries()) {
    const parts = typeof entry === 'string' ? entry.split(':') : [];
    const [path, reserve] = parts;
    if (
      parts.length !== 2 ||
      path === undefined ||
      reserve === undefined ||
      path === '' ||
      path.includes('\0')
    ) {
      return refused(`disks[${index}]`, `${example} (not ${describeValue(entry)})`);
    }
    // The reference loads a disk that is named twice once.
    if (!disks.some((disk) => disk.path === path)) disks.push({ path, reserve });
  }
  return accepted(disks);
}

type Texts = Pick<
  NodeConfig,
  'rack' | 'cell' | 'zoneName' | 'raftDir' | 'logDir' | 'logLevel' | 'warnLogDir' | 'consulAddr'
>;

function parseTexts(file: FileObject): Parsed<Texts> {
  const rack = parseText(file, 'rack', REFERENCE_DEFAULTS.rack);
  if (!rack.ok) return rack;
  const cell = parseText(file, 'cell', '');
  if (!cell.ok) return cell;
  const zoneName = parseText(file, 'zoneName', '');
  if (!zoneName.ok) return zoneName;
  const raftDir = parseText(file, 'raftDir', '');
  if (!raftDir.ok) return raftDir;
  if (raftDir.value === '') return refused('raftDir', 'missing: the folder for the logs of the raft server');
  const logDir = parseText(file, 'logDir', '');
  if (!logDir.ok) return logDir;
  const logLevel = parseText(file, 'logLevel', '');
  if (!logLevel.ok) return logLevel;
  const warnLogDir = parseText(file, 'warnLogDir', '');
  if (!warnLogDir.ok) return warnLogDir;
  const consulAddr = parseConsulAddr(file);
  if (!consulAddr.ok) return consulAddr;
  return accepted({
    rack: rack.value,
    cell: cell.value,
    zoneName: zoneName.value,
    raftDir: raftDir.value,
    logDir: logDir.value,
    logLevel: parseLogLevel(logLevel.value),
    warnLogDir: warnLogDir.value,
    consulAddr: consulAddr.value,
  });
}

function parseConsulAddr(file: FileObject): Parsed<string> {
  const consulAddr = parseText(file, 'consulAddr', '');
  if (!consulAddr.ok || consulAddr.value === '' || consulRegisterUrl(consulAddr.value) !== null)
    return consulAddr;
  const example = 'the base URL of an agent, like "http://127.0.0.1:8500"';
  return refused('consulAddr', `must be ${example}, not ${describeValue(consulAddr.value)}`);
}

/** Any case; whatever is no level counts as `error`, as in the reference. */
export function parseLogLevel(text: string): LogLevel {
  const lower = text.toLowerCase();
  return lower === 'debug' || lower === 'info' || lower === 'warn' ? lower : REFERENCE_DEFAULTS.logLevel;
}

function parseRaft(file: FileObject): Parsed<Pick<NodeConfig, 'raftHeartbeatPort' | 'raftReplicaPort'>> {
  const heartbeat = parseRaftPort(file, 'raftHeartbeat', 'heartbeat', REFERENCE_DEFAULTS.raftHeartbeatPort);
  if (!heartbeat.ok) return heartbeat;
  const replica = parseRaftPort(file, 'raftReplica', 'replica', REFERENCE_DEFAULTS.raftReplicaPort);
  if (!replica.ok) return replica;
  return accepted({ raftHeartbeatPort: heartbeat.value, raftReplicaPort: replica.value });
}

/** A decimal string; 0 or less gives `fallback`. A JSON number is refused, as the reference reads it as empty. */
function parseRaftPort(file: FileObject, key: FileKey, name: string, fallback: number): Parsed<number> {
  const value = file[key];
  const port = typeof value === 'string' && /^[+-]?\d{1,10}$/.test(value) ? Number(value) : Number.NaN;
  if (Number.isNaN(port) || port > 65_535) {
    const expected = 'a port number as a string, like "17330"';
    return refused(
      key,
      `Raft ${name} port configuration error: must be ${expected}, not ${describeValue(value)}`,
    );
  }
  return accepted(port <= 0 ? fallback : port);
}

function parseProfPort(file: FileObject): Parsed<number | null> {
  const prof = parseText(file, 'prof', '');
  if (!prof.ok) return prof;
  return prof.value === '' ? accepted(null) : parsePort('prof', prof.value, 1);
}

/** A number or a numeric string; 0, missing and empty: none. */
function parseExporterPort(file: FileObject): Parsed<number> {
  const value = file.exporterPort;
  if (!given(value) || value === '') return accepted(0);
  if (typeof value === 'string' || typeof value === 'number')
    return parsePort('exporterPort', String(value), 0);
  return refused('exporterPort', `must be a port number, not ${describeValue(value)}`);
}

/** Ports that this process would have to open twice. The exporter may share `prof`: both serve the same pages. */
function findPortClash(config: NodeConfig): { readonly ok: false; readonly message: string } | null {
  const ports: [FileKey, number | null][] = [
    ['port', config.port],
    ['raftHeartbeat', config.raftHeartbeatPort],
    ['raftReplica', config.raftReplicaPort],
    ['prof', config.profPort],
    [
      'exporterPort',
      config.exporterPort === 0 || config.exporterPort === config.profPort ? null : config.exporterPort,
    ],
  ];
  for (const [index, [key, port]] of ports.entries()) {
    const earlier = ports.slice(0, index).find(([, other]) => port !== null && other === port);
    if (earlier !== undefined) return refused(key, `port ${port} is the port of ${earlier[0]} too`);
  }
  return null;
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
