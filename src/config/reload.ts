/**
 * What a config file that has changed under a running node means: which keys can be taken over, by which part of the node, and which others want a restart. Pure; used
 * at SIGHUP.
 */
import { isDeepStrictEqual } from 'node:util';
import type { NodeConfig } from './config.js';
import { LIMIT_ROWS } from './diskLimits.js';
import { SETTINGS } from './settingRows.js';

type Field = keyof NodeConfig;

/** Live fields, by the part of the node that takes them over. A part that does not run leaves its fields to a restart. */
export const LIVE_FIELDS = {
  limits: LIMIT_ROWS.map(({ field }) => field),
  checksums: ['checksumBytesPerSecond', 'scrubBytesPerSecond', 'scrubIntervalHours'],
  repair: [
    'repairEnabled',
    'repairRoundsPerDisk',
    'repairRounds',
    'repairFetchesPerRound',
    'repairBytesPerSecond',
  ],
  watch: ['stallMs', 'loadTimeoutMs', 'probeTimeoutMs'],
  /** Looked at by a start only, so there is nothing to do. */
  start: ['allowLostPartitions'],
  masters: ['masterAddrs'],
  rack: ['rack'],
  /** What other versions' heartbeats tell beside the rack. */
  zone: ['cell', 'zoneName'],
  consul: ['consulAddr'],
  /** At the packet port. */
  access: ['accessClients', 'accessPeers', 'accessMasters'],
  /** At the HTTP ports. Certificates are read again even when their paths are the same. */
  http: ['accessAdmin', 'tlsCertFile', 'tlsKeyFile'],
  logLevel: ['logLevel'],
  logFiles: ['logFileBytesMax', 'logOldBytesMax', 'logHeadRoomBytes'],
  ump: ['umpEntriesPerSecond'],
} as const satisfies Record<string, readonly Field[]>;

/** A part of the node that takes over changed settings while it runs. */
export type PartName = keyof typeof LIVE_FIELDS;

/** Fields whose key in the file has another name. */
const FILE_NAMES: Readonly<Partial<Record<Field, string>>> = {
  masterAddrs: 'masterAddr',
  profPort: 'prof',
  raftHeartbeatPort: 'raftHeartbeat',
  raftReplicaPort: 'raftReplica',
};

export interface ReloadPlan {
  /** What is in force afterwards: `current` with what can be taken over. */
  readonly config: NodeConfig;
  /** Keys, as in the file, that are taken over and differ. */
  readonly changed: readonly string[];
  /** Keys that differ and stay as they were. */
  readonly needRestart: readonly string[];
}

/** Compares what is in force with the file, for a node that has these parts. */
export function planReload(current: NodeConfig, file: NodeConfig, parts: Iterable<PartName>): ReloadPlan {
  const live = new Set<Field>([...parts].flatMap((part): readonly Field[] => LIVE_FIELDS[part]));
  const differing = (Object.keys(file) as Field[]).filter(
    (field) => !isDeepStrictEqual(current[field], file[field]),
  );
  const changed = differing.filter((field) => live.has(field));
  const taken = Object.fromEntries(changed.map((field) => [field, file[field]])) as Partial<NodeConfig>;
  return {
    config: { ...current, ...taken },
    changed: changed.map(keyOf).sort(),
    needRestart: differing
      .filter((field) => !live.has(field))
      .map(keyOf)
      .sort(),
  };
}

/** The key of a field, as in the file. */
export function keyOf(field: Field): string {
  const setting = SETTINGS.find((candidate) => candidate.field === field);
  return setting === undefined ? (FILE_NAMES[field] ?? field) : `extentd.${setting.key}`;
}
