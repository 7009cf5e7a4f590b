/**
 * The embedded master of standalone mode: a small stand-in for a cluster's master on one machine. It speaks the real master's HTTP and admin packets over real
 * sockets, so that the node cannot tell the difference; the node's own code knows nothing of it.
 *
 * Owns the master's state and one `NodeLink` a registered node. Started by `standalone.ts`, and by tests.
 */
import type { Logger } from 'pino';
import { HTTP_LIMITS, type HttpServer, listenHttp } from '../http/httpServer.js';
import type { LoadResponse } from '../protocol/adminBodies.js';
import type { HeartbeatResponse } from '../protocol/heartbeat.js';
import { type Cluster, createMasterApi, isLive, knownLeader } from './masterApi.js';
import {
  growPartitions,
  isComplete,
  loadState,
  type MasterNode,
  type MasterState,
  misfit,
  newState,
  pendingOn,
  registerNode,
  replicaCreated,
  saveState,
  surplusOn,
} from './masterState.js';
import { NodeLink, sendTask } from './nodeLink.js';
import { ReplicaMoves } from './replicaMoves.js';

/** Size of a partition, as the real master's default (`admin.md` 5.3): 120 GiB. */
export const PARTITION_BYTES = 128_849_018_880;

/** The real master's interval is 60 s; on one machine a fresher view costs nothing. */
const HEARTBEAT_INTERVAL_MS = 5_000;

/** As the real master's (`admin.md` 14.5). */
const RETRY_PAUSE_MS = 3_000;

/** A heartbeat response has some 250 bytes a partition, and there may be 10,000. */
const RESPONSE_BYTES_MAX = 16 * 1024 * 1024;

export interface MasterOptions {
  /** Where to listen; port 0: any free one. */
  address: string;
  port: number;
  /** Folder of the state. Made when missing. */
  folder: string;
  volume: string;
  /** Ids 1..n. */
  partitionCount: number;
  /** `ip:port` of the nodes that there will be, in order: they have ids, and their partitions, before they register. Absent: one node, the first that registers. */
  nodes?: readonly string[];
  heartbeatIntervalMs?: number;
  /** Pause between two hosts that are asked to add a member. */
  retryPauseMs?: number;
  log: Pick<Logger, 'info' | 'warn' | 'error'>;
}

export class EmbeddedMaster implements Cluster {
  readonly name = 'standalone';
  readonly #options: MasterOptions;
  readonly #state: MasterState;
  readonly #links = new Map<number, NodeLink>();
  readonly moves: ReplicaMoves;
  #server: HttpServer | null = null;
  /** The state differs from its file; the save under way, and why the last one failed. */
  #dirty = false;
  #saving: Promise<void> | null = null;
  #saveError = '';
  #onProgress: (() => void) | null = null;

  private constructor(options: MasterOptions, state: MasterState) {
    this.#options = options;
    this.#state = state;
    this.moves = new ReplicaMoves({
      state,
      save: () => this.#save(),
      leaderOf: (partition) => knownLeader(this, partition),
      isLive: (node) => isLive(this, node),
      send: sendTask,
      retryPauseMs: options.retryPauseMs ?? RETRY_PAUSE_MS,
    });
  }

  /** Reads the state and listens. Rejects with a clear text when either fails. */
  static async start(options: MasterOptions): Promise<EmbeddedMaster> {
    const state = (await loadState(options.folder)) ?? newState(options.volume);
    const { nodes, folder } = options;
    const reason = nodes === undefined ? null : misfit(state, nodes);
    if (reason !== null) throw new Error(`${folder} ${reason}, or choose another folder with --data`);
    const master = new EmbeddedMaster(options, state);
    master.#server = await listenHttp({
      address: options.address,
      port: options.port,
      limits: { ...HTTP_LIMITS, bodyBytesMax: RESPONSE_BYTES_MAX },
      handler: createMasterApi(master),
    });
    try {
      // Not before the port is ours: another master may run on this folder.
      if (nodes !== undefined) await master.#expectNodes(nodes);
    } catch (error) {
      await master.stop();
      throw error;
    }
    return master;
  }

  /** `host:port` of the HTTP server. */
  get address(): string {
    return `${this.#options.address}:${this.#server?.port ?? 0}`;
  }

  get state(): MasterState {
    return this.#state;
  }

  /** Partitions that exist, on all their hosts. */
  get createdCount(): number {
    return this.#state.partitions.filter(isComplete).length;
  }

  /** Time without a heartbeat response after which a node counts as away: three of them are missing, as with the real master (`admin.md` 14.1). */
  get silenceMs(): number {
    return 3 * (this.#options.heartbeatIntervalMs ?? HEARTBEAT_INTERVAL_MS);
  }

  async register(addr: string): Promise<MasterNode> {
    const node = registerNode(this.#state, addr);
    this.#grow();
    await this.#save();
    void this.#links.get(node.id)?.stop();
    this.#links.set(node.id, this.#linkTo(node));
    this.#options.log.info({ node: node.id, addr }, 'embedded master: node registered');
    return node;
  }

  heartbeatOf(node: MasterNode): { response: HeartbeatResponse; atMs: number } | null {
    const link = this.#links.get(node.id);
    if (link === undefined || link.heartbeat === null) return null;
    return { response: link.heartbeat, atMs: link.heartbeatAtMs };
  }

  load(node: MasterNode, partitionId: number): Promise<LoadResponse | null> {
    return this.#links.get(node.id)?.load(partitionId) ?? Promise.resolve(null);
  }

  loaded(node: MasterNode, response: LoadResponse): void {
    this.#links.get(node.id)?.loaded(response.partitionId, response);
  }

  received(node: MasterNode, response: HeartbeatResponse): void {
    this.#links.get(node.id)?.received(response);
    if (this.#dirty) this.#saveInBackground();
    this.#onProgress?.();
  }

  /**
   * Waits until every partition is created and every node that has some has answered a heartbeat since it registered. Null then; when `signal` is aborted, or
   * no partition is created for `idleTimeoutMs`, one line that says what is missing.
   */
  waitServing(idleTimeoutMs: number, signal: AbortSignal): Promise<string | null> {
    return new Promise((resolve) => {
      let created = this.createdCount;
      const end = (outcome: string | null): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        this.#onProgress = null;
        resolve(outcome);
      };
      const onAbort = (): void => end('aborted');
      const timer = setTimeout(() => end(this.#missing()), idleTimeoutMs);
      signal.addEventListener('abort', onAbort);
      this.#onProgress = () => {
        if (this.#missing() === null) end(null);
        else if (this.createdCount !== created) timer.refresh();
        created = this.createdCount;
      };
      if (signal.aborted) onAbort();
      else this.#onProgress();
    });
  }

  /** Stops tasks to nodes, then the HTTP server. */
  async stop(): Promise<void> {
    await Promise.all([...this.#links.values()].map((link) => link.stop()));
    await this.#saving?.catch(() => {});
    await this.#server?.close(1_000);
  }

  /** Gives the nodes that there will be their ids and partitions. */
  async #expectNodes(nodes: readonly string[]): Promise<void> {
    // A start that came to nothing has made no partition, and may have been for other nodes.
    if (this.#state.nodeCount !== nodes.length) Object.assign(this.#state, newState(this.#state.volume));
    this.#state.nodeCount = nodes.length;
    for (const addr of nodes) registerNode(this.#state, addr);
    this.#grow();
    await this.#save();
  }

  #grow(): void {
    const { nodes, partitionCount } = this.#options;
    growPartitions(
      this.#state,
      partitionCount,
      PARTITION_BYTES,
      this.#state.nodes.slice(0, nodes?.length ?? 1),
    );
  }

  /** What `waitServing` still waits for; null: nothing. */
  #missing(): string | null {
    const { nodes, partitions } = this.#state;
    if (nodes.length === 0) return 'no node has registered';
    const reasons = [...this.#links.values()].map((link) => link.lastError).filter((error) => error !== '');
    const because = reasons.length === 0 ? '' : `: ${reasons.join('; ')}`;
    const pending = partitions.length - this.createdCount;
    if (pending > 0) return `${pending} of ${partitions.length} partitions are not created${because}`;
    const silent = nodes.filter(
      (node) =>
        this.heartbeatOf(node) === null &&
        partitions.some((partition) => partition.hosts.includes(node.addr)),
    );
    if (silent.length === 0 && (this.#dirty || this.#saving !== null))
      return this.#saveError || 'the state is being written';
    return silent.length === 0 ? null : `node ${silent[0]!.addr} has not answered a heartbeat${because}`;
  }

  #linkTo(node: MasterNode): NodeLink {
    const { addr } = node;
    return new NodeLink({
      node: { ...node },
      volume: this.#state.volume,
      masterAddr: this.address,
      heartbeatIntervalMs: this.#options.heartbeatIntervalMs ?? HEARTBEAT_INTERVAL_MS,
      pending: () => pendingOn(this.#state, addr),
      surplus: (reported) => surplusOn(this.#state, addr, reported),
      onCreated: (partition, diskPath) => {
        replicaCreated(partition, addr, diskPath);
        this.#saveInBackground();
      },
      log: this.#options.log,
    });
  }

  /** Resolves when the state as it is now is on disk; changes made meanwhile share the next write. */
  #save(): Promise<void> {
    this.#dirty = true;
    this.#saving ??= this.#saveWhileDirty();
    return this.#saving;
  }

  async #saveWhileDirty(): Promise<void> {
    try {
      while (this.#dirty) {
        this.#dirty = false;
        await saveState(this.#options.folder, this.#state);
      }
      this.#saveError = '';
    } catch (error) {
      this.#dirty = true;
      this.#saveError = `the embedded master cannot write its state: ${(error as Error).message}`;
      throw error;
    } finally {
      this.#saving = null;
    }
  }

  /** A save that fails is repeated with the next heartbeat. A partition that was not remembered is created again, which changes nothing. */
  #saveInBackground(): void {
    this.#save().then(
      () => this.#onProgress?.(),
      () => this.#options.log.error(this.#saveError),
    );
  }
}
