/**
 * Heartbeat tasks of the master (0x63, `admin.md` 5.7): builds the response and posts it. Used by `adminTasks.ts`, which has answered the packet already.
 *
 * A node of 60,000 partitions tells 10 MB, which took 130 ms in one go on the thread that serves clients, so reports are made a slice at a time, one a turn of the event loop.
 * One response is being made at most: a task that comes meanwhile is the same one sent again, or its successor, and the newest is the one that gets it.
 */
import type { AdminTask } from '../protocol/adminTask.js';
import { encodeAdminResponse } from '../protocol/adminTask.js';
import { ERROR_TEXT } from '../protocol/errors.js';
import { encodeHeartbeatAround, heartbeatResponse, partitionReport } from '../protocol/heartbeat.js';
import { OP } from '../protocol/opcodes.js';
import { failedHeartbeat, type NodeLabels, nodeNumbers, reportOf, statusesOf } from './heartbeat.js';
import type { NodeView } from './nodeView.js';
import type { ResponsePoster } from './responsePoster.js';

/** Reports made in one turn: about half a millisecond. */
export const SLICE_PARTITIONS = 256;

export interface HeartbeatsOptions {
  nodeView: Pick<NodeView, 'disks' | 'partition' | 'partitionIds'>;
  poster: Pick<ResponsePoster, 'postHeartbeat'>;
  /** Asked for each response: labels may change while the node runs. */
  labels(): NodeLabels;
  /** Resolves in a later turn of the event loop. */
  nextTurn?: () => Promise<void>;
}

export class Heartbeats {
  readonly #options: HeartbeatsOptions;
  readonly #nextTurn: () => Promise<void>;
  /** Newest task whose response is being made. */
  #task: AdminTask | null = null;

  constructor(options: HeartbeatsOptions) {
    this.#options = options;
    this.#nextTurn = options.nextTurn ?? (() => new Promise((resolve) => setImmediate(resolve)));
  }

  /** Takes a task on. Returns at once. */
  take(task: AdminTask): void {
    if (task.opcode !== OP.dataNodeHeartbeat) {
      const response = failedHeartbeat(ERROR_TEXT.illegalOpcode);
      this.#options.poster.postHeartbeat(task.id, [encodeAdminResponse(task, heartbeatResponse, response)]);
      return;
    }
    const isBuilding = this.#task !== null;
    this.#task = task;
    if (!isBuilding) void this.#build();
  }

  async #build(): Promise<void> {
    const { nodeView, poster, labels } = this.#options;
    const ids = nodeView.partitionIds();
    const pieces: Uint8Array[] = [];
    let statusOfDisk = statusesOf(nodeView.disks());
    for (let from = 0; from < ids.length; from += SLICE_PARTITIONS) {
      if (from > 0) {
        await this.#nextTurn();
        statusOfDisk = statusesOf(nodeView.disks());
      }
      let text = '';
      for (const id of ids.slice(from, from + SLICE_PARTITIONS)) {
        // It may have been deleted since.
        const partition = nodeView.partition(id);
        if (partition !== undefined) text += `,${partitionReport.encode(reportOf(partition, statusOfDisk))}`;
      }
      // The first comma of all is one too many.
      if (text !== '') pieces.push(Buffer.from(pieces.length === 0 ? text.slice(1) : text));
    }
    const task = this.#task!;
    this.#task = null;
    const [before, behind] = encodeHeartbeatAround(task, nodeNumbers(nodeView.disks(), labels()));
    poster.postHeartbeat(task.id, [before, OPEN, ...pieces, CLOSE, behind]);
  }
}

const OPEN = Buffer.from('[');
const CLOSE = Buffer.from(']');
