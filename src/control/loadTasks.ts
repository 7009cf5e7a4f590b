/**
 * Load tasks of the master (0x62, `admin.md` 5.5, 5.6): asks the partition's owner for its files and posts them. Used by `adminTasks.ts`, which has answered the
 * packet already.
 *
 * Each partition has one question under way at most, so a disk that hangs collects no more of them than it has partitions. A task that comes meanwhile is
 * the same one sent again, or its successor: the newest is the one that gets the response.
 */
import type { Logger } from 'pino';
import { decodeLoadRequest, encodeLoadResponse, RESPONSE_STATUS } from '../protocol/adminBodies.js';
import type { AdminTask } from '../protocol/adminTask.js';
import { ERROR_TEXT, partitionNotFound } from '../protocol/errors.js';
import { OP } from '../protocol/opcodes.js';
import type { NodeView } from './nodeView.js';
import type { ResponsePoster } from './responsePoster.js';

export interface LoadTasksOptions {
  nodeView: NodeView;
  poster: ResponsePoster;
  log: Pick<Logger, 'warn'>;
}

const NO_FILES = Buffer.from('[]');

export class LoadTasks {
  readonly #options: LoadTasksOptions;
  /** Newest task of each partition whose files are being asked for. */
  readonly #asking = new Map<number, AdminTask>();

  constructor(options: LoadTasksOptions) {
    this.#options = options;
  }

  /** Takes a task on. Returns at once; what goes wrong is told in the posted response. */
  take(task: AdminTask): void {
    if (task.opcode !== OP.loadDataPartition) return this.#postFailed(task, 0, ERROR_TEXT.illegalOpcode);
    const request = decodeLoadRequest(task.request);
    // What cannot be read is partition 0, as in the reference.
    const partitionId = request.ok ? request.value.partitionId : 0;
    if (this.#options.nodeView.partition(partitionId) === undefined) {
      return this.#postFailed(task, partitionId, partitionNotFound(partitionId));
    }
    const isAsking = this.#asking.has(partitionId);
    this.#asking.set(partitionId, task);
    if (!isAsking) void this.#ask(partitionId);
  }

  async #ask(partitionId: number): Promise<void> {
    const { nodeView, poster } = this.#options;
    const files = await nodeView.snapshot(partitionId);
    const task = this.#asking.get(partitionId)!;
    this.#asking.delete(partitionId);
    const partition = nodeView.partition(partitionId);
    if (!files.ok) return this.#postFailed(task, partitionId, files.message);
    if (partition === undefined) return this.#postFailed(task, partitionId, partitionNotFound(partitionId));
    const response = {
      partitionId,
      usedBytes: partition.usedBytes,
      status: RESPONSE_STATUS.success,
      partitionStatus: partition.status,
      result: '',
      volume: '',
    };
    poster.post(task.id, encodeLoadResponse(task, response, files.value));
  }

  #postFailed(task: AdminTask, partitionId: number, result: string): void {
    const { log, poster } = this.#options;
    log.warn({ task: task.id, reason: result }, 'load task failed');
    const status = RESPONSE_STATUS.failed;
    const response = { partitionId, usedBytes: 0, status, partitionStatus: 0, result, volume: '' };
    poster.post(task.id, encodeLoadResponse(task, response, NO_FILES));
  }
}
