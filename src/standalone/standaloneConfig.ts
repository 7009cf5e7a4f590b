/**
 * The Go-style config file of a standalone node, made from its flags. Pure but for `freePorts`; used by `standalone.ts` only.
 *
 * The file is written for people as much as for the node: `extentd -c <data>/datanode.json -f` starts the same node against the running master.
 */
import assert from 'node:assert';
import { randomInt } from 'node:crypto';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { EXTENTD_DEFAULTS } from '../config/config.js';
import { SETTINGS } from '../config/settingRows.js';
import { addressOfNode, type StandaloneFlags } from '../config/standaloneFlags.js';

/** Folders of a standalone node under its data folder. */
export function standaloneFolders(flags: StandaloneFlags): {
  disks: string[];
  log: string;
  raft: string;
  master: string;
} {
  const { dataFolder, diskCount } = flags;
  return {
    disks: Array.from({ length: diskCount }, (_, index) => join(dataFolder, `disk${index + 1}`)),
    log: join(dataFolder, 'log'),
    raft: join(dataFolder, 'raft'),
    master: join(dataFolder, 'master'),
  };
}

/** Each node of `flags` as flags of its own: one node is as it is, several have their folders and addresses. All ports of `flags` must be chosen. */
export function flagsOfNodes(flags: StandaloneFlags): StandaloneFlags[] {
  const { nodeCount, dataFolder, settings } = flags;
  if (nodeCount === 1) return [flags];
  return Array.from({ length: nodeCount }, (_, index) => {
    const address = addressOfNode(flags.address, index);
    assert(address !== null, 'the flags were checked');
    return {
      ...flags,
      nodeCount: 1,
      dataFolder: join(dataFolder, `node${index + 1}`),
      address,
      settings: { ...settings, listenAddress: address, httpAddress: address },
    };
  });
}

/** The config file's text. All ports of `flags` must be chosen. Settings are written where they differ from the defaults. */
export function configText(flags: StandaloneFlags, masterAddress: string): string {
  const folders = standaloneFolders(flags);
  const settings: Record<string, unknown> = {};
  for (const { key, field } of SETTINGS) {
    if (flags.settings[field] !== EXTENTD_DEFAULTS[field])
      put(settings, key.split('.'), flags.settings[field]);
  }
  const config = {
    role: 'datanode',
    port: String(flags.port),
    localIP: flags.address,
    masterAddr: [masterAddress],
    disks: folders.disks.map((path) => `${path}:0`),
    prof: String(flags.httpPort),
    raftDir: folders.raft,
    raftHeartbeat: String(flags.raftHeartbeatPort),
    raftReplica: String(flags.raftReplicaPort),
    logDir: folders.log,
    logLevel: flags.logLevel,
    extentd: settings,
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

function put(into: Record<string, unknown>, path: string[], value: unknown): void {
  const [name, ...rest] = path as [string, ...string[]];
  if (rest.length === 0) {
    into[name] = value;
    return;
  }
  into[name] ??= {};
  put(into[name] as Record<string, unknown>, rest, value);
}

/** `count` ports of `address` that are free now, all different. */
export async function freePorts(address: string, count: number): Promise<number[]> {
  const servers: Server[] = [];
  try {
    // All are held until the last one is known, so that no port comes twice.
    for (let index = 0; index < count; index++) servers.push(await listenAnywhere(address));
    return servers.map((server) => {
      const bound = server.address();
      return typeof bound === 'object' && bound !== null ? bound.port : 0;
    });
  } finally {
    await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  }
}

/** Below the ports that Linux gives to outgoing connections, which come and go: one of those could be taken again before the node listens on it. */
const QUIET_PORTS = { first: 20_000, last: 32_767 };
/** Ports tried there before any other will do. */
const TRIES = 50;

async function listenAnywhere(address: string): Promise<Server> {
  for (let tries = 0; tries < TRIES; tries++) {
    const server = await listenOn(address, randomInt(QUIET_PORTS.first, QUIET_PORTS.last + 1)).catch(
      () => null,
    );
    if (server !== null) return server;
  }
  return listenOn(address, 0);
}

function listenOn(address: string, port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, address, () => resolve(server));
  });
}
