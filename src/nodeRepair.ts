/**
 * Repair as the node uses it: a thread that is started before the data port opens, takes over changed settings, and is stopped before the workers are. Made by `dataNode.ts`.
 */
import type { ExtentdSettings, NodeConfig } from './config/config.js';
import type { Outcome } from './control/nodeView.js';
import type { RepairApi } from './http/messages.js';
import type { RepairSettings, RepairView } from './repair/messages.js';
import { RepairThread } from './repair/startRepair.js';
import type { NodeServer } from './server/nodeServer.js';
import type { Alarms } from './telemetry/alarms.js';
import type { RateLimitedLog } from './telemetry/rateLimitedLog.js';

export interface NodeRepairOptions {
  config: NodeConfig;
  server: NodeServer;
  /** As the master knows the node. */
  address: string;
  log: RateLimitedLog;
  alarms: Alarms;
}

export class NodeRepair implements RepairApi {
  readonly #thread: RepairThread;

  /** Starts the thread: notifications may come as soon as the data port listens. */
  constructor({ config, server, address, log, alarms }: NodeRepairOptions) {
    this.#thread = new RepairThread({
      ...{ memory: server.repair, counters: server.repairCounters, address },
      diskPaths: config.disks.map(({ path }) => path),
      settings: settingsOf(config),
      log: (level, key, message, fields) => log.write(level, `repair ${key}`, message, fields),
      alarm: (text) => alarms.raise(text),
    });
    server.repairWith(this.#thread);
  }

  change(config: NodeConfig): void {
    this.#thread.change(settingsOf(config));
  }

  async view(id: number | null): Promise<Outcome<RepairView>> {
    const view = await this.#thread.view(id);
    return typeof view === 'string'
      ? { ok: false, message: view, httpStatus: 503 }
      : { ok: true, value: view };
  }

  stop(): Promise<void> {
    return this.#thread.stop();
  }
}

function settingsOf(config: ExtentdSettings): RepairSettings {
  return {
    enabled: config.repairEnabled,
    roundsPerDisk: config.repairRoundsPerDisk,
    rounds: config.repairRounds,
    fetchesPerRound: config.repairFetchesPerRound,
    bytesPerSecond: config.repairBytesPerSecond,
  };
}
