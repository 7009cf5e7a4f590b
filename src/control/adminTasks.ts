/**
 * Executes the master's packets on this node: create 0x60, delete 0x61, load 0x62, heartbeat 0x63, and the tasks of
 * membership 0x66 to 0x69 (`wire.md` 9.8, `admin.md` 5).
 *
 * The server hands over a packet's body and sends the reply; results that the master wants by HTTP are posted from here (`responsePoster.ts`).
 * Disks are only reached through the node's view, so that a heartbeat is answered while a disk hangs.
 */
import type { Logger } from 'pino';
import {
  type CreateRequest,
  decodeCreateRequest,
  decodeDeleteRequest,
  deleteResponse,
  RESPONSE_STATUS,
} from '../protocol/adminBodies.js';
import {
  type AdminTask,
  createPartitionFailed,
  decodeAdminTask,
  encodeAdminResponse,
  illegalTaskOpcode,
  undecodableCreateRequest,
  wrongTaskOpcode,
} from '../protocol/adminTask.js';
import { ERROR_TEXT } from '../protocol/errors.js';
import { actionOf, OP, UNKNOWN_OPCODE_ACTION } from '../protocol/opcodes.js';
import type { NodeLabels } from './heartbeat.js';
import { Heartbeats } from './heartbeats.js';
import { LoadTasks } from './loadTasks.js';
import { answerMemberTask } from './memberTasks.js';
import type { AdminHandler, AdminReply, NodeView, Outcome } from './nodeView.js';
import type { ResponsePoster } from './responsePoster.js';
import { chooseDisk } from './space.js';

export interface AdminTasksOptions {
  nodeView: NodeView;
  /** `ip:port` of this node's data port. */
  address: string;
  poster: ResponsePoster;
  /** Where the node stands; asked for each heartbeat. */
  labels(): NodeLabels;
  /** Told of each heartbeat task that comes. */
  heartbeatCame?(): void;
  log: Pick<Logger, 'info' | 'warn'>;
}

const EMPTY = new Uint8Array(0);
const OK: AdminReply = { ok: true, body: EMPTY };

export class AdminTasks implements AdminHandler {
  readonly #options: AdminTasksOptions;
  readonly #loads: LoadTasks;
  readonly #heartbeats: Heartbeats;
  /** Last command of each partition that has one under way: commands for one partition run one after another. */
  readonly #lastOf = new Map<number, Promise<unknown>>();
  /** Bytes of partitions under creation, by disk path: not in the disk's allocated bytes yet. */
  readonly #pendingBytes = new Map<string, number>();

  constructor(options: AdminTasksOptions) {
    this.#options = options;
    this.#loads = new LoadTasks(options);
    this.#heartbeats = new Heartbeats(options);
  }

  async handle(opcode: number, partitionId: number, body: Uint8Array): Promise<AdminReply> {
    switch (opcode) {
      case OP.createDataPartition:
        return this.#create(body);
      case OP.deleteDataPartition:
        return this.#delete(body);
      case OP.loadDataPartition:
        return this.#load(body);
      case OP.dataNodeHeartbeat:
        return this.#heartbeat(body);
      case OP.decommissionDataPartition:
      case OP.addDataPartitionRaftMember:
      case OP.removeDataPartitionRaftMember:
      case OP.dataPartitionTryToLeader:
        return answerMemberTask(opcode, partitionId, body, this.#options);
      default:
        return { ok: false, action: UNKNOWN_OPCODE_ACTION, message: `${UNKNOWN_OPCODE_ACTION}${opcode}` };
    }
  }

  async #create(body: Uint8Array): Promise<AdminReply> {
    const action = actionOf(OP.createDataPartition);
    const decoded = decodeAdminTask(body);
    if (!decoded.ok) return { ok: false, action, message: ERROR_TEXT.adminTaskUndecodable };
    const task = decoded.value;
    if (task.opcode !== OP.createDataPartition) return { ok: false, action, message: wrongTaskOpcode(task) };
    const request = decodeCreateRequest(task.request);
    if (!request.ok) {
      this.#options.log.warn({ task: task.id, reason: request.message }, 'create task refused');
      return { ok: false, action, message: undecodableCreateRequest(task) };
    }
    const { partitionId } = request.value;
    const outcome = await this.#inTurn(partitionId, () => this.#createOnDisk(request.value));
    if (outcome.ok) return { ok: true, body: Buffer.from(outcome.value), partitionId };
    this.#options.log.warn({ task: task.id, reason: outcome.message }, 'partition not created');
    return { ok: false, action, message: createPartitionFailed(task, outcome.message), partitionId };
  }

  /** Value: path of the partition's disk. A partition that is here already stays as it is. */
  async #createOnDisk(request: CreateRequest): Promise<Outcome<string>> {
    const { nodeView, log } = this.#options;
    const { partitionId, sizeBytes, volume, members, hosts, createType } = request;
    const existing = nodeView.partition(partitionId);
    if (existing !== undefined) return { ok: true, value: existing.diskPath };
    const disk = chooseDisk(nodeView.disks(), (path) => this.#pendingBytes.get(path) ?? 0);
    if (disk === null) return { ok: false, message: ERROR_TEXT.noDiskForPartition };
    this.#addPending(disk.path, sizeBytes);
    try {
      const outcome = await nodeView.createPartition(
        { partitionId, sizeBytes, volume, members, hosts, createType },
        disk.path,
      );
      if (outcome.ok) log.info({ partitionId, volume, disk: disk.path }, 'partition created');
      return outcome;
    } finally {
      this.#addPending(disk.path, -sizeBytes);
    }
  }

  async #delete(body: Uint8Array): Promise<AdminReply> {
    const action = actionOf(OP.deleteDataPartition);
    const decoded = decodeAdminTask(body);
    if (!decoded.ok) return { ok: false, action, message: decoded.message };
    const task = decoded.value;
    if (task.opcode !== OP.deleteDataPartition)
      return { ok: false, action, message: illegalTaskOpcode(task) };
    const request = decodeDeleteRequest(task.request);
    if (!request.ok) return { ok: false, action, message: request.message };
    const { partitionId } = request.value;
    const { nodeView, log } = this.#options;
    const outcome = await this.#inTurn(partitionId, () => nodeView.deletePartition(partitionId));
    if (!outcome.ok) {
      log.warn({ task: task.id, reason: outcome.message }, 'partition not deleted');
      return { ok: false, action, message: outcome.message };
    }
    log.info({ partitionId }, 'partition deleted');
    this.#postDeleted(task, partitionId);
    return OK;
  }

  /**
   * The reference posts nothing here, so that its master sends each delete five times and keeps the replica's entry (`admin.md` 15#3). A task
   * that names no operator, or has no id, was not made by a master that could use the answer.
   */
  #postDeleted(task: AdminTask, partitionId: number): void {
    if (task.id === '' || task.operatorAddr === '') return;
    const response = { status: RESPONSE_STATUS.success, result: '', partitionId };
    this.#options.poster.post(task.id, encodeAdminResponse(task, deleteResponse, response));
  }

  /** Answered at once, whatever comes of it; the files are posted later. */
  #load(body: Uint8Array): AdminReply {
    const decoded = decodeAdminTask(body);
    if (!decoded.ok) return { ok: false, action: actionOf(OP.loadDataPartition), message: decoded.message };
    this.#loads.take(decoded.value);
    return OK;
  }

  /** Answered at once; the response is built and posted after that. */
  #heartbeat(body: Uint8Array): AdminReply {
    const decoded = decodeAdminTask(body);
    if (!decoded.ok) return { ok: false, action: actionOf(OP.dataNodeHeartbeat), message: decoded.message };
    this.#options.heartbeatCame?.();
    this.#heartbeats.take(decoded.value);
    return OK;
  }

  /** Runs `command` after the earlier ones of this partition: a create and a delete at one time would race for the folder. */
  async #inTurn<T>(partitionId: number, command: () => Promise<T>): Promise<T> {
    const earlier = this.#lastOf.get(partitionId) ?? Promise.resolve();
    const mine = earlier.then(command);
    const settled = mine.then(
      () => {},
      () => {},
    );
    this.#lastOf.set(partitionId, settled);
    try {
      return await mine;
    } finally {
      if (this.#lastOf.get(partitionId) === settled) this.#lastOf.delete(partitionId);
    }
  }

  #addPending(path: string, bytes: number): void {
    const sum = (this.#pendingBytes.get(path) ?? 0) + bytes;
    if (sum === 0) this.#pendingBytes.delete(path);
    else this.#pendingBytes.set(path, sum);
  }
}
