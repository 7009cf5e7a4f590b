/**
 * What a config file that has changed under a running node means: what can be taken over, and which other keys want a restart. Pure; used at SIGHUP.
 */
import { isDeepStrictEqual } from 'node:util';
import type { NodeConfig } from './config.js';
import { LIMIT_ROWS } from './diskLimits.js';
import { SETTINGS } from './settingRows.js';

/** Fields whose key in the file has another name. */
const FILE_NAMES: Readonly<Record<string, string>> = {
  masterAddrs: 'masterAddr',
  profPort: 'prof',
  raftHeartbeatPort: 'raftHeartbeat',
  raftReplicaPort: 'raftReplica',
};

/** Keys, as in the file, whose values differ between the configuration that the node was started with and `now`, and that a running node does not take over. */
export function keysThatNeedRestart(started: NodeConfig, now: NodeConfig): string[] {
  const live = new Set<string>(LIMIT_ROWS.map(({ field }) => field));
  const fields = Object.keys(now) as (keyof NodeConfig)[];
  return fields
    .filter((field) => !live.has(field) && !isDeepStrictEqual(started[field], now[field]))
    .map((field) => {
      const setting = SETTINGS.find((candidate) => candidate.field === field);
      return setting === undefined ? (FILE_NAMES[field] ?? field) : `extentd.${setting.key}`;
    })
    .sort();
}
