/**
 * Raft's transport as the node uses it: both raft ports opened before the data port, messages carried between the workers' rings and peers, lists of access that change, and the end. Made by `dataNode.ts`.
 */
import type { NodeConfig } from './config/config.js';
import { TRANSPORT_LIMITS } from './config/limits.js';
import type { Registration } from './control/registration.js';
import { native } from './native/addon.js';
import type { NodeServer } from './server/nodeServer.js';
import { Counters } from './shm/counters.js';
import { Doorbell } from './shm/doorbell.js';
import type { RateLimitedLog } from './telemetry/rateLimitedLog.js';
import { createTransportCounters, publishFigures } from './transport/figures.js';
import { RaftTransport } from './transport/transport.js';

export interface NodeRaftOptions {
  config: NodeConfig;
  registration: Registration;
  server: NodeServer;
  log: RateLimitedLog;
  /** As in `TransportParts`. */
  useOnread: boolean;
}

/** The figures for the metrics are renewed this often. */
const SHOW_MS = 250;

export class NodeRaft {
  /** What the transport counts, for the metrics. */
  readonly counters = createTransportCounters();
  readonly #transport: RaftTransport;
  readonly #localIP: string;
  readonly #shows: NodeJS.Timeout;

  constructor({ config, registration, server, log, useOnread }: NodeRaftOptions) {
    const { routes } = server.network;
    this.#localIP = registration.localIP;
    this.#transport = new RaftTransport({
      ...{ nodeId: registration.nodeId, localIP: registration.localIP },
      ...{ heartbeatPort: config.raftHeartbeatPort, replicaPort: config.raftReplicaPort },
      ...{ access: config, log, limits: TRANSPORT_LIMITS, useOnread },
      clockMs: () => performance.now(),
      workerOf: (group) => routes.get(group)?.port.index ?? -1,
      workers: server.raft.map(({ raft, doorbell }) => {
        const bell = new Doorbell(doorbell, native.ringDoorbell);
        return { toWorker: raft.toWorker, fromWorker: raft.fromWorker, ring: () => bell.ring() };
      }),
    });
    const counters = new Counters(this.counters);
    this.#shows = setInterval(() => publishFigures(this.#transport.figures, counters), SHOW_MS);
    this.#shows.unref();
    server.drainRaft = () => void this.#transport.drain();
  }

  /** Opens both ports, and gives their addresses; rejects with the error of the one that cannot be had. */
  async listen(): Promise<{ raftHeartbeat: string; raftReplica: string }> {
    await this.#transport.listen();
    const { heartbeat, replica } = this.#transport.ports;
    return {
      raftHeartbeat: `${this.#localIP}:${heartbeat}`,
      raftReplica: `${this.#localIP}:${replica}`,
    };
  }

  setAccess(config: NodeConfig): void {
    this.#transport.setAccess(config);
  }

  close(): void {
    clearInterval(this.#shows);
    this.#transport.close();
  }
}
