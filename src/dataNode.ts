/**
 * The data node put together: shared memory, workers, network thread, control plane, HTTP; started and stopped in order (`admin.md` 3, `spec/api.md` states).
 *
 * Everything decided elsewhere; here is only who knows whom and what comes after what.
 */
import os from 'node:os';
import type { Logger } from 'pino';
import type { NodeConfig } from './config/config.js';
import type { Limits } from './config/diskLimits.js';
import { CONNECTION_LIMITS } from './config/limits.js';
import { AdminTasks } from './control/adminTasks.js';
import { buildHeartbeat } from './control/heartbeat.js';
import { MasterClient } from './control/masterClient.js';
import { checkPartitions, type Registration, register } from './control/registration.js';
import { ResponsePoster } from './control/responsePoster.js';
import { planListeners } from './http/listeners.js';
import type { Readiness } from './http/messages.js';
import { type HttpThread, startHttp } from './http/startHttp.js';
import { native } from './native/addon.js';
import { nameOf } from './protocol/opcodes.js';
import { resultName } from './protocol/resultCodes.js';
import { Listener } from './server/listener.js';
import { NodeServer } from './server/nodeServer.js';
import { onreadWorks } from './server/receivePath.js';
import { Alarms } from './telemetry/alarms.js';
import { LOG_RATE, RateLimitedLog } from './telemetry/rateLimitedLog.js';

/** Connections a node may hold at once: the poison table's size. */
export const CONNECTIONS_MAX = 65_536;
/** How long a stop waits for requests already taken on, and then for the workers to sync and end. */
const DRAIN_MS = 3_000;
const WORKERS_END_MS = 3_000;
/** How long peers may take to accept the last replies. */
const SEND_MS = 500;

/** Life of the node (`spec/api.md`). */
export type NodeLife = 'Standby' | 'Start' | 'Running' | 'Shutdown' | 'Stopped';

export interface DataNodeOptions {
  config: NodeConfig;
  log: Logger;
  /** Where alarms go; default: the log alone. */
  alarms?: Alarms;
  /** Changes the level of the log while the node runs (`/loglevel/set`); false: there is no such level. Absent: it cannot be changed. */
  setLogLevel?: (level: string) => boolean;
  /** Aborted: the start is given up; what was begun is stopped. */
  signal?: AbortSignal;
}

/** A running node. */
export interface DataNode {
  readonly addresses: {
    data: string;
    http: string | null;
    exporter: string | null;
    raftHeartbeat: string;
    raftReplica: string;
  };
  readonly registration: Registration;
  readonly life: NodeLife;
  /** Other limits for all disks, from now on. */
  setLimits(limits: Limits): void;
  /** Stops accepting, finishes what was taken on, syncs, ends the threads. True when every worker ended cleanly. May be called twice. */
  stop(): Promise<boolean>;
}

/** Starts a node: registers (as long as it takes), loads the disks, compares the partitions, listens. Rejects with one clear line when it cannot. */
export async function startDataNode(options: DataNodeOptions): Promise<DataNode> {
  const signal = options.signal ?? new AbortController().signal;
  const node = new RunningNode(options);
  try {
    await node.start(signal);
    return node;
  } catch (error) {
    await node.stop();
    throw error;
  }
}

class RunningNode implements DataNode {
  addresses = {
    data: '',
    http: null as string | null,
    exporter: null as string | null,
    raftHeartbeat: '',
    raftReplica: '',
  };
  registration: Registration = { cluster: '', localIP: '', address: '', nodeId: 0 };
  life: NodeLife = 'Standby';

  readonly #config: NodeConfig;
  readonly #log: Logger;
  readonly #alarms: Alarms;
  readonly #peerLog: RateLimitedLog;
  readonly #stopPeerLog: () => void;
  readonly #master: MasterClient;
  readonly #poster: ResponsePoster;
  #server: NodeServer | null = null;
  #listener: Listener | null = null;
  #http: HttpThread | null = null;
  readonly #setLogLevel: DataNodeOptions['setLogLevel'];
  /** What the start is at, for `/readyz`. */
  #step = 'starting';
  #stopping: Promise<boolean> | null = null;

  constructor(options: DataNodeOptions) {
    const { config, log } = options;
    this.#config = config;
    this.#log = log;
    this.#setLogLevel = options.setLogLevel;
    this.#alarms = options.alarms ?? new Alarms(log);
    this.#peerLog = new RateLimitedLog(log, LOG_RATE, () => performance.now());
    this.#stopPeerLog = this.#peerLog.start();
    this.#master = new MasterClient({ masters: config.masterAddrs });
    this.#poster = new ResponsePoster({ master: this.#master, log });
  }

  async start(signal: AbortSignal): Promise<void> {
    const config = this.#config;
    this.life = 'Start';
    const port = config.port;
    await this.#startHttp();
    this.#step = 'registering with the master';
    const registration = await register(
      { master: this.#master, localIP: config.localIP, port, log: this.#log },
      signal,
    );
    if (registration === null || signal.aborted) throw new Error('the start was given up');
    this.registration = registration;
    const useOnread = await onreadWorks();
    if (!useOnread)
      this.#log.warn('sockets are read by data events: onread does not work on this Node version');
    const server = new NodeServer({
      config,
      log: this.#log,
      connectionsMax: CONNECTIONS_MAX,
      cores: os.availableParallelism(),
      limits: { ...CONNECTION_LIMITS, inFlightBytesMax: config.inFlightBytesPerConnection },
      admin: (nodeView) =>
        new AdminTasks({ nodeView, poster: this.#poster, rack: config.rack, log: this.#log }),
      sockets: () => this.#listener!,
    });
    this.#server = server;
    server.connectionCount = () => this.#listener?.connectionCount ?? 0;
    this.#listener = new Listener(server.network, CONNECTIONS_MAX, useOnread, {
      refused: (reason) => this.#peerLog.write('warn', 'refused', 'connection refused', { reason }),
      closed: (remote, reason) =>
        this.#peerLog.write('warn', 'closed', 'connection closed', { remote, reason }),
      failed: (remote, opcode, resultCode, text) =>
        this.#peerLog.write('warn', 'failed', 'packet answered with an error', {
          remote,
          op: nameOf(opcode),
          result: resultName(resultCode),
          text,
        }),
    });
    this.#step = 'loading the disks';
    await server.whenLoaded(signal);
    this.#step = 'comparing the partitions with the list of the master';
    await this.#compare(signal);
    this.#step = 'opening the data port';
    const bound = await this.#listener.listen(config.listenAddress, port);
    this.addresses.data = `${registration.localIP}:${bound}`;
    this.addresses.raftHeartbeat = `${registration.localIP}:${config.raftHeartbeatPort}`;
    this.addresses.raftReplica = `${registration.localIP}:${config.raftReplicaPort}`;
    this.#openHttp(server);
    this.life = 'Running';
  }

  setLimits(limits: Limits): void {
    this.#server?.limits.setAll(limits);
  }

  stop(): Promise<boolean> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #compare(signal: AbortSignal): Promise<void> {
    const outcome = await checkPartitions(
      {
        master: this.#master,
        address: this.registration.address,
        isLoaded: (id) => this.#server!.state.partition(id) !== undefined,
        allowLostPartitions: this.#config.allowLostPartitions,
        log: this.#log,
      },
      signal,
    );
    // The reference raises an alarm for it and does not start.
    if (!outcome.ok && outcome.message.startsWith('LackPartitions')) this.#alarms.raise(outcome.message);
    if (!outcome.ok) throw new Error(outcome.message);
  }

  /** The ports are open from here on, so that the start can be watched (`/healthz`, `/readyz`). */
  async #startHttp(): Promise<void> {
    const config = this.#config;
    const listeners = planListeners(config);
    if (listeners.length === 0) return;
    const http = await startHttp({
      listeners,
      server: config.httpServer,
      tls: config.tlsCertFile === '' ? null : { certFile: config.tlsCertFile, keyFile: config.tlsKeyFile },
      access: config.accessAdmin,
      faultInjection: config.faultInjection,
      readiness: () => this.#readiness(),
      // The reference has it with `prof` only.
      ...(this.#setLogLevel === undefined || config.profPort === null
        ? {}
        : { setLogLevel: this.#setLogLevel }),
      log: this.#log,
    });
    this.#http = http;
    for (const { address, prof, exporter } of listeners) {
      if (prof && http.prof !== null) this.addresses.http = `${address}:${http.prof}`;
      if (exporter && http.exporter !== null) this.addresses.exporter = `${address}:${http.exporter}`;
    }
  }

  #readiness(): Readiness {
    if (this.life === 'Running') return { ready: true, reason: '' };
    return { ready: false, reason: this.life === 'Start' ? this.#step : 'stopping' };
  }

  #openHttp(server: NodeServer): void {
    const config = this.#config;
    this.#http?.open({
      nodeView: server.state,
      rack: config.rack,
      identity: {
        address: this.addresses.data,
        cluster: this.registration.cluster,
        nodeId: this.registration.nodeId,
      },
      stats: () => buildHeartbeat(server.state.disks(), server.state.partitions(), config.rack),
      limits: server.limits,
      checksums: server.checksums,
      ...(config.faultInjection ? { setFault: (fault) => server.setFault(fault) } : {}),
    });
  }

  async #stop(): Promise<boolean> {
    this.life = 'Shutdown';
    this.#listener?.stopAccepting();
    let clean = true;
    if (this.#server !== null) {
      await this.#server.drain(DRAIN_MS);
      clean = await this.#server.stopWorkers(WORKERS_END_MS);
    }
    await this.#listener?.close(SEND_MS);
    await this.#http?.close();
    await this.#poster.stop();
    this.#server?.close();
    this.#stopPeerLog();
    this.life = 'Stopped';
    this.#log.info({ clean }, 'data node stopped');
    return clean;
  }
}

/** Ends the process whatever its threads are stuck in. */
export function endProcess(exitCode: number): void {
  native.exitProcess(exitCode);
}
