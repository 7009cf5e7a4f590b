/**
 * What the embedded master does for one registered node: heartbeat tasks at an interval, creation of the partitions it shall have, and load tasks when somebody
 * asks for them.
 *
 * A link lives from a registration to the next one of the same node. The first heartbeat goes out at once and is repeated quickly until the node's
 * data port answers; partitions are created when the node's first heartbeat response has come, as with the real master (`admin.md` 14.1).
 */
import type { Logger } from 'pino';
import {
  CREATE_TYPE,
  type CreateType,
  createRequest,
  deleteRequest,
  type LoadResponse,
  loadRequest,
} from '../protocol/adminBodies.js';
import { type AdminTask, encodeAdminTask, newAdminTask } from '../protocol/adminTask.js';
import type { HeartbeatResponse } from '../protocol/heartbeat.js';
import type { JsonValue } from '../protocol/jsonText.js';
import { OP } from '../protocol/opcodes.js';
import { AdminConnection, type AdminResult } from './adminConnection.js';
import type { MasterNode, MasterPartition } from './masterState.js';

/** Reply deadlines of the real master: synchronous and asynchronous tasks (`admin.md` 5.2). */
const SYNCHRONOUS_TIMEOUT_MS = 20_000;
const HEARTBEAT_TIMEOUT_MS = 5_000;
/** Time for a node to post what it was asked to load; the real master gives 120 s (`admin.md` 14.4). */
const LOAD_TIMEOUT_MS = 20_000;
/** Pause before another try with a node whose port does not answer yet, with one that has answered before, and after a refused creation. */
const CONNECT_RETRY_MS = 100;
const AWAY_RETRY_MS = 1_000;
const CREATE_RETRY_MS = 1_000;

export interface NodeLinkOptions {
  node: MasterNode;
  volume: string;
  /** `host:port` of this master, for the heartbeat's request. */
  masterAddr: string;
  heartbeatIntervalMs: number;
  /** Partitions that the node has not created yet. */
  pending(): MasterPartition[];
  /** Of the partitions that the node reports: those that it is not to have any more. */
  surplus(reported: readonly number[]): MasterPartition[];
  /** The node has created one. */
  onCreated(partition: MasterPartition, diskPath: string): void;
  log: Pick<Logger, 'warn'>;
}

export class NodeLink {
  readonly #options: NodeLinkOptions;
  readonly #connection: AdminConnection;
  readonly #running: Promise<void>;
  #stopped = false;
  #wake: (() => void) | null = null;
  #woken = false;
  /** Newest heartbeat response since the registration, and when it came, unix ms. */
  #heartbeat: HeartbeatResponse | null = null;
  #heartbeatAtMs = 0;
  /** Why the node did not do what it was last asked; empty: it did. */
  #lastError = '';
  /** The newest heartbeat response was not looked through for replicas that should be gone. */
  #unread = false;
  /** The last creation was refused. */
  #refused = false;
  /** Partitions whose load task has not been sent yet, and who waits for the response to one. */
  readonly #toLoad = new Set<number>();
  readonly #loadWaiting = new Map<number, ((response: LoadResponse | null) => void)[]>();

  constructor(options: NodeLinkOptions) {
    this.#options = options;
    this.#connection = new AdminConnection(options.node.addr);
    this.#running = this.#run();
  }

  get heartbeat(): HeartbeatResponse | null {
    return this.#heartbeat;
  }

  get heartbeatAtMs(): number {
    return this.#heartbeatAtMs;
  }

  get lastError(): string {
    return this.#lastError;
  }

  /** Takes a heartbeat response that the node has posted. */
  received(response: HeartbeatResponse): void {
    this.#heartbeat = response;
    this.#heartbeatAtMs = Date.now();
    this.#unread = true;
    this.#woken = true;
    this.#wake?.();
  }

  /** Sends a load task for a partition; resolves with the response that the node posts, or with null when none came in time. */
  load(partitionId: number): Promise<LoadResponse | null> {
    if (this.#stopped) return Promise.resolve(null);
    this.#toLoad.add(partitionId);
    this.#woken = true;
    this.#wake?.();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.loaded(partitionId, null), LOAD_TIMEOUT_MS);
      const waiting = this.#loadWaiting.get(partitionId) ?? [];
      this.#loadWaiting.set(partitionId, waiting);
      waiting.push((response) => {
        clearTimeout(timer);
        resolve(response);
      });
    });
  }

  /** Takes a load response that the node has posted. */
  loaded(partitionId: number, response: LoadResponse | null): void {
    const waiting = this.#loadWaiting.get(partitionId) ?? [];
    this.#loadWaiting.delete(partitionId);
    for (const resolve of waiting) resolve(response);
  }

  /** Ends the loop and the connection. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#connection.close();
    this.#wake?.();
    for (const partitionId of [...this.#loadWaiting.keys()]) this.loaded(partitionId, null);
    await this.#running;
  }

  async #run(): Promise<void> {
    let heartbeatDueMs = 0;
    let creationDueMs = 0;
    while (!this.#stopped) {
      this.#woken = false;
      if (performance.now() >= heartbeatDueMs) {
        const sent = await this.#sendHeartbeat();
        heartbeatDueMs = performance.now() + this.#pauseAfter(sent);
      }
      if (this.#heartbeat !== null && performance.now() >= creationDueMs) {
        const created = await this.#createPending();
        creationDueMs = created ? 0 : performance.now() + CREATE_RETRY_MS;
      }
      await this.#deleteSurplus();
      await this.#sendLoads();
      const dueMs = creationDueMs === 0 ? heartbeatDueMs : Math.min(heartbeatDueMs, creationDueMs);
      await this.#sleep(dueMs - performance.now());
    }
  }

  /** A node that went away registers when it is back, which makes a new link. */
  #pauseAfter(sent: boolean): number {
    const { heartbeatIntervalMs } = this.#options;
    if (sent) return heartbeatIntervalMs;
    return this.#heartbeat === null ? CONNECT_RETRY_MS : Math.min(AWAY_RETRY_MS, heartbeatIntervalMs);
  }

  async #sendHeartbeat(): Promise<boolean> {
    const { masterAddr } = this.#options;
    const seconds = unixSeconds();
    const request = { CurrTime: seconds, MasterAddr: masterAddr };
    const task = newAdminTask(OP.dataNodeHeartbeat, this.#options.node.addr, undefined, seconds, request);
    const result = await this.#send(task, HEARTBEAT_TIMEOUT_MS);
    return result.ok;
  }

  /** Creates what is missing, one after another; false when the node refused one. */
  async #createPending(): Promise<boolean> {
    const { log, node, volume, pending, onCreated } = this.#options;
    for (const partition of pending()) {
      if (this.#stopped) return true;
      const joins = partition.joining?.includes(node.addr) ?? false;
      const type = joins ? CREATE_TYPE.decommissioned : CREATE_TYPE.normal;
      const request = creation(partition, volume, type);
      const task = newAdminTask(OP.createDataPartition, node.addr, partition.id, unixSeconds(), request);
      const result = await this.#send(task, SYNCHRONOUS_TIMEOUT_MS);
      if (!result.ok) {
        // It is tried again every second; one line is enough until something succeeds.
        if (!this.#refused && !this.#stopped)
          log.warn({ partition: partition.id, reason: result.message }, 'embedded master: creation refused');
        this.#refused = true;
        return false;
      }
      this.#refused = false;
      onCreated(partition, result.body);
    }
    return true;
  }

  /** Asks once more, at each heartbeat, for the deletion of what the node should not have: it may have been away when it was asked first. */
  async #deleteSurplus(): Promise<void> {
    if (!this.#unread || this.#heartbeat === null) return;
    this.#unread = false;
    const { log, node, surplus } = this.#options;
    for (const partition of surplus(this.#heartbeat.partitionReports.map(({ partitionId }) => partitionId))) {
      if (this.#stopped) return;
      log.warn(
        { partition: partition.id, addr: node.addr },
        'embedded master: a replica that was removed is still there, and is deleted',
      );
      const task = newAdminTask(
        OP.deleteDataPartition,
        node.addr,
        partition.id,
        unixSeconds(),
        deletion(partition),
      );
      await this.#send(task, SYNCHRONOUS_TIMEOUT_MS);
    }
  }

  async #sendLoads(): Promise<void> {
    for (const partitionId of this.#toLoad) {
      this.#toLoad.delete(partitionId);
      const request = JSON.parse(loadRequest.encode({ partitionId })) as JsonValue;
      const { addr } = this.#options.node;
      const task = newAdminTask(OP.loadDataPartition, addr, partitionId, unixSeconds(), request);
      const result = await this.#send(task, HEARTBEAT_TIMEOUT_MS);
      if (!result.ok) this.loaded(partitionId, null);
    }
  }

  async #send(task: AdminTask, timeoutMs: number): Promise<AdminResult> {
    const sent = { ...task, sendTime: unixSeconds() };
    const result = await this.#connection.request(
      task.opcode,
      task.partitionId,
      encodeAdminTask(sent),
      timeoutMs,
    );
    this.#lastError = result.ok ? '' : result.message;
    return result;
  }

  /** Waits, at least for a moment of the event loop; ends early on `received` and `stop`. */
  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#wake = null;
        resolve();
      };
      const timer = setTimeout(end, this.#woken || this.#stopped ? 0 : Math.max(0, ms));
      this.#wake = end;
    });
  }
}

/** Sends one synchronous task on a connection of its own (`admin.md` 5.2). */
export async function sendTask(
  addr: string,
  opcode: number,
  partitionId: number,
  request: JsonValue,
): Promise<AdminResult> {
  const connection = new AdminConnection(addr);
  const seconds = unixSeconds();
  const task = { ...newAdminTask(opcode, addr, partitionId, seconds, request), sendTime: seconds };
  const result = await connection.request(opcode, partitionId, encodeAdminTask(task), SYNCHRONOUS_TIMEOUT_MS);
  connection.close();
  return result;
}

/** Request of the task that creates a replica of `partition`. */
export function creation(partition: MasterPartition, volume: string, createType: CreateType): JsonValue {
  const { id, sizeBytes, peers, hosts } = partition;
  const request = createRequest.encode({
    ...{ partitionType: '', partitionId: id, sizeBytes, volume, isRandomWrite: false },
    ...{ members: peers, hosts, createType },
  });
  return JSON.parse(request) as JsonValue;
}

/** Request of the task that deletes a replica of `partition`. */
export function deletion({ id, sizeBytes }: MasterPartition): JsonValue {
  return JSON.parse(deleteRequest.encode({ partitionType: '', partitionId: id, sizeBytes })) as JsonValue;
}

function unixSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
