/** The master's list of tasks for one node, and how it sends them (`admin.md` 5.1, 5.2). */
import type { FakeClock } from './clock.js';
import { type NodeConnections, type NodeReply, RESULT_OK } from './packets.js';

export const OPCODE = {
  create: 0x60,
  delete: 0x61,
  load: 0x62,
  heartbeat: 0x63,
  decommission: 0x66,
  addMember: 0x67,
  removeMember: 0x68,
  tryToLeader: 0x69,
} as const;

/** A task as it stands in packets and posted responses. */
export interface Task {
  ID: string;
  PartitionID: number;
  OpCode: number;
  OperatorAddr: string;
  Status: number;
  SendTime: number;
  CreateTime: number;
  SendCount: number;
  Request: unknown;
  Response: unknown;
}

const SYNC_DEADLINE_MS = 20_000;
const ASYNC_DEADLINE_MS = 5_000;
const RESEND_SECONDS = 5;
const SENDINGS_MAX = 5;
const RESPONSE_SECONDS = 100;
const TASKS_PER_SCAN = 30;

/** A new task. Without a partition it is about the node. */
export function newTask(
  clock: FakeClock,
  opcode: number,
  addr: string,
  partitionId: number | null,
  request: unknown,
): Task {
  const suffix = partitionId === null ? '' : `_DataPartitionID[${partitionId}]`;
  return {
    ID: `addr[${addr}]_op[${opcode}]${suffix}`,
    PartitionID: partitionId ?? 0,
    OpCode: opcode,
    OperatorAddr: addr,
    Status: 0,
    SendTime: 0,
    CreateTime: clock.seconds(),
    SendCount: 0,
    Request: request,
    Response: null,
  };
}

export class TaskList {
  readonly pending = new Map<string, Task>();
  /** Every packet that was answered, and every one that was not, by the task's id. */
  readonly sent: { id: string; resultCode: number; body: string }[] = [];
  readonly failed: { id: string; reason: string }[] = [];
  /** Tasks given up without a response. */
  readonly dropped: string[] = [];
  readonly #clock: FakeClock;
  readonly #connections: NodeConnections;

  constructor(clock: FakeClock, connections: NodeConnections) {
    this.#clock = clock;
    this.#connections = connections;
  }

  /** A task with the ID of a pending one is ignored. */
  add(task: Task): void {
    if (!this.pending.has(task.ID)) this.pending.set(task.ID, task);
  }

  /** Sends a task and waits for its reply, which must be OK; the reply's body. */
  async send(task: Task): Promise<string> {
    const reply = await this.#packet(task, SYNC_DEADLINE_MS);
    if (reply.resultCode !== RESULT_OK)
      throw new Error(`result code[0x${reply.resultCode.toString(16)}],msg[${reply.body}]`);
    return reply.body;
  }

  /** One round: gives up what was sent too often or waited for too long, sends what is due: heartbeats first, then creations and loads, then the rest. */
  async scan(): Promise<void> {
    const now = this.#clock.seconds();
    for (const task of this.pending.values()) {
      const isLate = task.SendTime > 0 && now - task.SendTime > RESPONSE_SECONDS;
      if (task.SendCount < SENDINGS_MAX && !isLate) continue;
      this.pending.delete(task.ID);
      this.dropped.push(task.ID);
    }
    const due = [...this.pending.values()].filter(({ SendTime }) => now - SendTime > RESEND_SECONDS);
    due.sort((a, b) => rankOf(a) - rankOf(b));
    for (const task of due.slice(0, TASKS_PER_SCAN)) {
      task.SendTime = now;
      try {
        // The result code is not looked at.
        const { resultCode, body } = await this.#packet(task, ASYNC_DEADLINE_MS);
        this.sent.push({ id: task.ID, resultCode, body });
      } catch (error) {
        this.failed.push({ id: task.ID, reason: (error as Error).message });
      }
      task.SendCount += 1;
      task.Status = 3;
    }
  }

  #packet(task: Task, timeoutMs: number): Promise<NodeReply> {
    return this.#connections.request(task.OpCode, task.PartitionID, JSON.stringify(task), timeoutMs);
  }
}

function rankOf({ OpCode }: Task): number {
  if (OpCode === OPCODE.heartbeat) return 0;
  return OpCode === OPCODE.create || OpCode === OPCODE.load ? 1 : 2;
}
