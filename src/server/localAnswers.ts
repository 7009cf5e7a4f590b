/**
 * Packets that are answered on the network thread itself: errors found before any worker was asked, the master's tasks, which the control plane carries out, and other nodes' notifications, which
 * the repair thread does.
 * Their replies keep their place in the connection's queue like all others.
 */
import type { AdminHandler } from '../control/nodeView.js';
import { errorBody, resultCodeFor } from '../protocol/errors.js';
import { actionOf, OP } from '../protocol/opcodes.js';
import { RESULT } from '../protocol/resultCodes.js';
import type { Connection } from './connection.js';
import type { NetworkThread } from './networkThread.js';
import { TAG, TAG_KIND } from './pending.js';

/** Notifications of repair that are here at one time, and the bytes of their bodies: outside the slab's budgets, so with their own. */
const TASKS_MAX = 512;
const TASK_BYTES_MAX = 64 * 1024 * 1024;

export class LocalAnswers {
  readonly #net: NetworkThread;
  readonly #admin: AdminHandler;
  /** Bodies of notifications that are received or carried out, with their bytes. */
  readonly #tasks = new Map<Uint8Array, number>();
  #taskBytes = 0;

  constructor(net: NetworkThread, admin: AdminHandler) {
    this.#net = net;
    this.#admin = admin;
  }

  /** Takes a tag for such a packet; below 0: there is none. */
  takeTag(connection: Connection, raw: Uint8Array): number {
    const { pending } = this.#net;
    const tag = pending.acquire(connection.index, TAG_KIND.local, raw, 0);
    if (tag < 0) return tag;
    pending.extentId[tag] = 0;
    pending.arrivedMs[tag] = connection.progressMs;
    return tag;
  }

  /** Memory for the body of a packet that is answered here; null: too many are here already, and the sender is to try again. */
  takeBody(opcode: number, bytes: number): Buffer | null {
    if (opcode !== OP.notifyReplicasToRepair) return Buffer.alloc(bytes);
    if (this.#tasks.size >= TASKS_MAX || this.#taskBytes + bytes > TASK_BYTES_MAX) return null;
    const body = Buffer.alloc(bytes);
    this.#tasks.set(body, bytes);
    this.#taskBytes += bytes;
    return body;
  }

  /** A body is not wanted any more, or there is none. Null, for whoever has held it. */
  dropBody(body: Uint8Array | null): null {
    if (body === null) return null;
    this.#taskBytes -= this.#tasks.get(body) ?? 0;
    this.#tasks.delete(body);
    return null;
  }

  /** Answers a packet: `resultCode` with `body`. */
  finish(connection: Connection, tag: number, resultCode: number, body: Uint8Array): void {
    connection.replies.push(tag, body.length);
    this.#complete(connection, tag, resultCode, body);
  }

  /** Hands a master packet to the control plane, or a notification to the repair thread. */
  control(connection: Connection, tag: number, opcode: number, partitionId: number, body: Uint8Array): void {
    const { pending } = this.#net;
    connection.replies.push(tag, body.length);
    const { index } = connection;
    this.#admin
      .handle(opcode, partitionId, body)
      .catch((error: Error) => ({
        ok: false as const,
        action: actionOf(opcode),
        message: error.message,
        partitionId: 0,
      }))
      .then((reply) => {
        this.dropBody(body);
        if (pending.state[tag] === TAG.abandoned) return this.#net.releaseTag(tag);
        const live = this.#net.connectionAt(index);
        pending.extentId[tag] = reply.partitionId ?? 0;
        if (reply.ok) this.#complete(live, tag, RESULT.ok, reply.body);
        else if ('resultCode' in reply) this.#complete(live, tag, reply.resultCode, reply.body);
        else {
          const code = resultCodeFor(reply.action, reply.message);
          this.#complete(live, tag, code, errorBody(reply.action, reply.message));
        }
      });
  }

  #complete(connection: Connection, tag: number, resultCode: number, body: Uint8Array): void {
    const { pending } = this.#net;
    pending.resultCode[tag] = resultCode;
    pending.crc[tag] = pending.headerView.getUint32(pending.headerOffset(tag) + 5);
    pending.bodyBytes[tag] = body.length;
    pending.body[tag] = body;
    pending.state[tag] = TAG.done;
    if (resultCode !== RESULT.ok) this.#net.fail(connection);
    this.#net.schedule(connection.replies);
  }
}
