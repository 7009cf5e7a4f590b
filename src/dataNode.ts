/**
 * The data node put together: shared memory, workers, network thread, control plane, HTTP; started and stopped in order (`admin.md` 3, `spec/api.md` states).
 *
 * Everything decided elsewhere; here is only who knows whom and what comes after what.
 */
import os from 'node:os';
import type { Logger } from 'pino';
import type { NodeConfig } from './config/config.js';
import { limitsOf } from './config/diskLimits.js';
import { CONNECTION_LIMITS } from './config/limits.js';
import { type Parsed, refused } from './config/parsed.js';
import type { PartName, ReloadPlan } from './config/reload.js';
import { always, type Prepare, Reloader } from './config/reloader.js';
import { AdminTasks } from './control/adminTasks.js';
import { ConsulRegistration, metricsAddress } from './control/consul.js';
import { buildHeartbeat, type NodeLabels } from './control/heartbeat.js';
import { MasterClient } from './control/masterClient.js';
import { MasterContact } from './control/masterContact.js';
import {
  checkPartitions,
  type Registration,
  register,
  registerOnce,
  warnOfOtherAddress,
} from './control/registration.js';
import { ReplicaLists } from './control/replicaLists.js';
import { ResponsePoster } from './control/responsePoster.js';
import type { Readiness } from './http/messages.js';
import type { ServedNode } from './http/startHttp.js';
import { native } from './native/addon.js';
import { NodeHttp } from './nodeHttp.js';
import { NodeRaft } from './nodeRaft.js';
import { NodeRepair } from './nodeRepair.js';
import { Listener } from './server/listener.js';
import { listenerLog } from './server/listenerLog.js';
import { NodeServer } from './server/nodeServer.js';
import type { OperationListener } from './server/operations.js';
import { PortAccess } from './server/portAccess.js';
import { onreadWorks } from './server/receivePath.js';
import { Alarms } from './telemetry/alarms.js';
import { LOG_RATE, RateLimitedLog } from './telemetry/rateLimitedLog.js';
import type { UmpFiles } from './telemetry/umpFiles.js';

/** Connections a node may hold at once: the poison table's size. */
export const CONNECTIONS_MAX = 65_536;
/** How long a stop waits for requests already taken on, and then for the workers to sync and end. */
const DRAIN_MS = 3_000;
const WORKERS_END_MS = 3_000;
/** How long peers may take to accept the last replies. */
const SEND_MS = 500;

const MS_PER_HOUR = 3_600_000;

/** Life of the node (`spec/api.md`). */
export type NodeLife = 'Standby' | 'Start' | 'Running' | 'Shutdown' | 'Stopped';

export interface DataNodeOptions {
  config: NodeConfig;
  log: Logger;
  /** Where alarms go; default: the log alone. */
  alarms?: Alarms;
  /** UMP files; absent: there are none. */
  ump?: UmpFiles;
  /** Changes the level of the log while the node runs (`/loglevel/set`); false: there is no such level. Absent: it cannot be changed. */
  setLogLevel?: (level: string) => boolean;
  /** Parts of the process around the node that take over changed settings with it: its log files, say. */
  reloadParts?: ReadonlyMap<PartName, Prepare>;
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
  /** Takes over what it can of a changed config file, from now on; one line when something in it cannot be, and then nothing is changed. One call at a time. */
  reload(config: NodeConfig): Promise<Parsed<ReloadPlan>>;
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
  readonly #ump: UmpFiles | undefined;
  readonly #startedAtMs = Date.now();
  readonly #peerLog: RateLimitedLog;
  readonly #stopPeerLog: () => void;
  readonly #master: MasterClient;
  readonly #poster: ResponsePoster;
  readonly #reloader: Reloader;
  #contact: MasterContact | null = null;
  #replicaLists: ReplicaLists | null = null;
  #server: NodeServer | null = null;
  #listener: Listener | null = null;
  #repair: NodeRepair | null = null;
  #raft: NodeRaft | null = null;
  #consul: ConsulRegistration | null = null;
  readonly #http: NodeHttp;
  /** What the start is at, for `/readyz`. */
  #step = 'starting';
  #stopping: Promise<boolean> | null = null;

  constructor(options: DataNodeOptions) {
    const { config, log } = options;
    this.#config = config;
    this.#log = log;
    this.#http = new NodeHttp({
      ...{ config, log, setLogLevel: options.setLogLevel },
      readiness: () => this.#readiness(),
    });
    this.#alarms = options.alarms ?? new Alarms(log);
    this.#ump = options.ump;
    this.#peerLog = new RateLimitedLog(log, LOG_RATE, () => performance.now());
    this.#stopPeerLog = this.#peerLog.start();
    this.#master = new MasterClient({ masters: config.masterAddrs });
    this.#poster = new ResponsePoster({ master: this.#master, log });
    this.#reloader = new Reloader(config);
    this.#registerLiveParts(options);
  }

  async start(signal: AbortSignal): Promise<void> {
    const config = this.#config;
    this.life = 'Start';
    Object.assign(this.addresses, await this.#http.start());
    this.#step = 'registering with the master';
    const registration = await register(this.#registrationOptions(), signal);
    if (registration === null || signal.aborted) throw new Error('the start was given up');
    this.registration = registration;
    this.#alarms.identify(registration.cluster, registration.localIP);
    this.#ump?.identify(registration.cluster, registration.localIP);
    const useOnread = await onreadWorks();
    if (!useOnread)
      this.#log.warn('sockets are read by data events: onread does not work on this Node version');
    const server = new NodeServer({
      config,
      log: this.#log,
      alarms: this.#alarms,
      nodeId: registration.nodeId,
      connectionsMax: CONNECTIONS_MAX,
      cores: os.availableParallelism(),
      limits: { ...CONNECTION_LIMITS, inFlightBytesMax: config.inFlightBytesPerConnection },
      admin: (nodeView) =>
        new AdminTasks({
          nodeView,
          address: registration.address,
          poster: this.#poster,
          labels: () => this.#labels,
          heartbeatCame: () => this.#contact?.heard(),
          log: this.#log,
        }),
      sockets: () => this.#listener!,
      alarmCount: () => this.#alarms.count,
      ...this.#timeEntries(),
    });
    this.#server = server;
    server.connectionCount = () => this.#listener?.connectionCount ?? 0;
    const access = new PortAccess(config);
    const events = listenerLog(this.#peerLog);
    this.#listener = new Listener(server.network, CONNECTIONS_MAX, useOnread, access, events);
    this.#step = 'loading the disks';
    await server.whenLoaded(signal);
    this.#step = 'comparing the partitions with the list of the master';
    await this.#compare(signal);
    this.#step = 'starting repair';
    this.#repair = new NodeRepair({
      ...{ config: this.#reloader.config, server, address: registration.address },
      ...{ log: this.#peerLog, alarms: this.#alarms },
    });
    this.#step = 'opening the raft ports';
    this.#raft = new NodeRaft({
      ...{ config: this.#reloader.config, registration, server, log: this.#peerLog },
      useOnread: this.#listener!.useOnread,
    });
    Object.assign(this.addresses, await this.#raft.listen());
    this.#step = 'opening the data port';
    const bound = await this.#listener.listen(config.listenAddress, config.port);
    server.serve();
    this.addresses.data = `${registration.localIP}:${bound}`;
    warnOfOtherAddress(config.listenAddress, registration, this.#log);
    this.#http.open(this.#pages(server));
    this.#startConsul();
    this.#startMasterWatch(server);
    this.life = 'Running';
  }

  async reload(config: NodeConfig): Promise<Parsed<ReloadPlan>> {
    if (this.life !== 'Running') return refused('reload', 'the node is stopping');
    return this.#reloader.reload(config);
  }

  stop(): Promise<boolean> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Which part takes over which keys: `LIVE_FIELDS` in `config/reload.ts`. Nobody reloads before the node serves. */
  #registerLiveParts({ setLogLevel, reloadParts }: DataNodeOptions): void {
    const parts = this.#reloader;
    parts.register(
      'limits',
      always((config) => this.#server?.limits.setAll(limitsOf(config))),
    );
    parts.register(
      'checksums',
      always(({ checksumBytesPerSecond, scrubBytesPerSecond, scrubIntervalHours }) =>
        this.#server?.checksums.setPaces({
          checksumBytesPerSecond,
          scrubBytesPerSecond,
          scrubIntervalMs: scrubIntervalHours * MS_PER_HOUR,
        }),
      ),
    );
    parts.register(
      'repair',
      always((config) => this.#repair?.change(config)),
    );
    parts.register(
      'watch',
      always((config) => this.#server?.setTimes(config)),
    );
    parts.register(
      'masters',
      always(({ masterAddrs }) => this.#master.setMasters(masterAddrs)),
    );
    // Nobody's after the start; asked for with each heartbeat and page.
    for (const part of ['start', 'rack', 'zone'] as const)
      parts.register(
        part,
        always(() => {}),
      );
    parts.register(
      'consul',
      always(() => this.#startConsul()),
    );
    parts.register(
      'access',
      always((config) => {
        this.#listener?.setAccess(new PortAccess(config));
        this.#raft?.setAccess(config);
      }),
    );
    parts.register('http', (changed) => this.#http.prepare(changed));
    if (setLogLevel !== undefined) {
      parts.register(
        'logLevel',
        always(({ logLevel }) => void setLogLevel(logLevel)),
      );
    }
    for (const [part, prepare] of reloadParts ?? []) parts.register(part, prepare);
  }

  /** What heartbeats tell of where the node stands: as the configuration is now. */
  get #labels(): NodeLabels {
    const { rack, cell, zoneName } = this.#reloader.config;
    return { rack, cell, zoneName };
  }

  /** Who hears of each operation, for the UMP files; nobody where there are none. */
  #timeEntries(): { operationEnded?: OperationListener } {
    const ump = this.#ump;
    if (ump === undefined) return {};
    return { operationEnded: (operation, elapsedMs, failed) => ump.time(operation, elapsedMs, failed) };
  }

  #registrationOptions(): Parameters<typeof register>[0] {
    const { localIP, port } = this.#config;
    return { master: this.#master, localIP, port, zoneName: this.#labels.zoneName, log: this.#log };
  }

  /** What goes on between node and master besides tasks. */
  #startMasterWatch(server: NodeServer): void {
    const shared = { master: this.#master, nodeView: server.state, log: this.#log };
    this.#replicaLists = new ReplicaLists(shared);
    this.#replicaLists.start();
    this.#contact = new MasterContact({
      ...shared,
      registration: this.registration,
      register: (signal) => registerOnce(this.#registrationOptions(), signal),
      alarm: (text) => this.#alarms.raise(text),
    });
    this.#contact.start();
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

  #readiness(): Readiness {
    if (this.life === 'Running') return { ready: true, reason: '' };
    return { ready: false, reason: this.life === 'Start' ? this.#step : 'stopping' };
  }

  /** What the HTTP pages show. */
  #pages(server: NodeServer): ServedNode {
    const { exporterPort, faultInjection } = this.#config;
    const { cluster, nodeId } = this.registration;
    const raft = this.#raft!.counters;
    const metrics = { ...server.metrics, raft, cluster, startedAtMs: this.#startedAtMs };
    return {
      nodeView: server.state,
      rack: () => this.#labels.rack,
      identity: { address: this.addresses.data, cluster, nodeId },
      stats: () => buildHeartbeat(server.state.disks(), server.state.partitions(), this.#labels),
      ...{ limits: server.limits, checksums: server.checksums, repair: this.#repair! },
      ...(exporterPort > 0 ? { metrics } : {}),
      ...(faultInjection ? { setFault: (fault) => server.setFault(fault) } : {}),
    };
  }

  /** Registers with the configured consul agent, or with none. */
  #startConsul(): void {
    const { consulAddr, exporterPort, exporterAddress, httpAddress } = this.#reloader.config;
    if (this.#consul === null && consulAddr === '') return;
    if (exporterPort === 0) {
      if (consulAddr !== '')
        this.#log.warn('consulAddr is set and exporterPort is not: there is nothing to register');
      return;
    }
    const { cluster, localIP } = this.registration;
    const address = metricsAddress(exporterAddress === '' ? httpAddress : exporterAddress, localIP);
    this.#consul ??= new ConsulRegistration({
      service: { cluster, address, port: exporterPort },
      log: this.#log,
    });
    this.#consul.use(consulAddr);
  }

  async #stop(): Promise<boolean> {
    this.life = 'Shutdown';
    this.#consul?.stop();
    this.#listener?.stopAccepting();
    let clean = true;
    if (this.#server !== null) {
      // Its notifications are answered before connections are closed, and workers are asked nothing more.
      await this.#repair?.stop();
      await this.#server.drain(DRAIN_MS);
      clean = await this.#server.stopWorkers(WORKERS_END_MS);
    }
    await this.#listener?.close(SEND_MS);
    this.#raft?.close();
    await this.#http.close();
    await Promise.all([this.#poster.stop(), this.#replicaLists?.stop(), this.#contact?.stop()]);
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
