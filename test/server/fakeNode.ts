/**
 * A network thread with a real listener on loopback, and workers made of a function: for tests of framing, order, back-pressure and failure
 * without disks. The fake workers run on the same thread, in turns of their own.
 */
import zlib from 'node:zlib';
import { CONNECTION_LIMITS } from '../../src/config/limits.js';
import type { AdminHandler } from '../../src/control/nodeView.js';
import {
  REPLY_F64,
  REPLY_I32,
  REQUEST_F64,
  REQUEST_I32,
  REQUEST_KIND,
  REQUEST_KIND_SHIFT,
  RESULT_ASSIGNED,
  RESULT_SKIPPED,
  SETTLE_F64,
  SETTLE_I32,
} from '../../src/partition/messages.js';
import { OPERATION_NAMES } from '../../src/protocol/operationNames.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import type { FailedPacket } from '../../src/server/failedPacket.js';
import { Listener } from '../../src/server/listener.js';
import type { ConnectionLimits } from '../../src/server/networkParts.js';
import { NetworkThread } from '../../src/server/networkThread.js';
import { type OperationListener, type OperationLog, Operations } from '../../src/server/operations.js';
import { type AccessSettings, PortAccess } from '../../src/server/portAccess.js';
import { WorkerPort } from '../../src/server/workerPort.js';
import { createDoorbell, DoorbellSleeper, waitWithAtomics } from '../../src/shm/doorbell.js';
import { createOperationTable, OperationTable } from '../../src/shm/operationTable.js';
import { createPoisonTable, PoisonTable } from '../../src/shm/poison.js';
import { createRing, RingConsumer, RingProducer } from '../../src/shm/ring.js';
import { createSlab, Slab } from '../../src/shm/slab.js';
import { SpinPolicy } from '../../src/workers/spin.js';

/** One request as a fake worker sees it. */
export interface Seen {
  port: number;
  tag: number;
  opcode: number;
  size: number;
  extentId: number;
  extentOffset: number;
  connection: number;
  /** Goes to followers too. */
  forwarded: boolean;
  /** The slot: the body as received, and the place for the answer. */
  slot: Uint8Array;
}

/** Result code, body bytes put into the slot, CRC; or null: answer later through `answer`. */
export type Answer = {
  code: number;
  bodyBytes: number;
  crc?: number | undefined;
  unserved?: boolean;
  /** Error text of a forwarded request. */
  text?: string;
  /** Of a stream of unknown length: bytes that the answer covers from here on. */
  remainingBytes?: number;
};

export interface FakeOptions {
  workers?: number;
  slots4k?: number;
  slots128k?: number;
  ringSlots?: number;
  limits?: Partial<ConnectionLimits>;
  useOnread?: boolean;
  admin?: AdminHandler;
  /** Default: everybody is admitted. */
  access?: AccessSettings;
  /** The network thread's clock, ms. */
  clock?: () => number;
  log?: OperationLog;
  operationEnded?: OperationListener;
  dialMs?: number;
  replyMs?: number;
  work(request: Seen): Answer | null;
}

export class FakeNode {
  readonly network: NetworkThread;
  readonly listener: Listener;
  readonly ports: WorkerPort[] = [];
  /** Reasons of connections closed by the node. */
  readonly closed: string[] = [];
  /** Outcomes of lent extents, as workers are told: `extent/loan whole`. */
  readonly settles: string[] = [];
  /** Lost followers, as the node tells them to its log. */
  readonly lost: string[] = [];
  /** Partitions without space. */
  readonly full = new Set<number>();
  /** Error replies as the node tells them to its log. */
  readonly failures: FailedPacket[] = [];
  /** Connections, and packets (with opcode), that the access lists kept out, as the node tells them to its log. */
  readonly notAdmitted: { remote: string; opcode?: number; text?: string; count: number }[] = [];
  readonly slab: Slab;
  readonly operations = createOperationTable(OPERATION_NAMES.length);
  port = 0;
  /** While true no worker takes requests. */
  hung = false;
  readonly seen: Seen[] = [];
  readonly #work: (request: Seen) => Answer | null;
  readonly #rings: { requests: RingConsumer; replies: RingProducer }[] = [];
  readonly #poison: PoisonTable;
  readonly #failed: Map<number, number>[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FakeOptions) {
    this.#work = options.work;
    const memory = createSlab({
      classes: [
        { bytes: 4096, slots: options.slots4k ?? 256 },
        { bytes: 32768, slots: 16 },
        { bytes: 131072, slots: options.slots128k ?? 16 },
        { bytes: 2097152, slots: 4 },
      ],
    });
    this.slab = new Slab(memory);
    const poison = createPoisonTable(4096);
    this.#poison = new PoisonTable(poison);
    const ringSlots = options.ringSlots ?? 256;
    for (let i = 0; i < (options.workers ?? 1); i++) {
      const rings = {
        requests: createRing(ringSlots * 2),
        replies: createRing(ringSlots * 2),
        requestsMax: ringSlots,
      };
      this.ports.push(new WorkerPort(i, i, `/disk${i}`, rings, createDoorbell(), () => {}));
      this.#failed.push(new Map());
      this.#rings.push({
        requests: new RingConsumer(rings.requests),
        replies: new RingProducer(rings.replies),
      });
    }
    const refuse: AdminHandler = {
      handle: async () => ({
        ok: false,
        action: 'ActionCreateDataPartition',
        message: 'no control plane here',
      }),
    };
    this.network = new NetworkThread({
      slab: this.slab,
      ports: this.ports,
      poison: this.#poison,
      sleeper: new DoorbellSleeper(createDoorbell(), waitWithAtomics),
      spin: new SpinPolicy(0, 1),
      lone: new Int32Array(1),
      limits: { ...CONNECTION_LIMITS, ...options.limits },
      tags: ringSlots * this.ports.length + 64,
      admin: options.admin ?? refuse,
      forwarding: {
        dialMs: options.dialMs ?? 3_000,
        replyMs: options.replyMs ?? 5_000,
        errnoText: (errno) => `errno ${errno}`,
        lost: (address, _loss, text) => this.lost.push(`${address}: ${text}`),
      },
      operations: new Operations(
        new OperationTable(this.operations),
        options.log ?? null,
        options.operationEnded ?? null,
      ),
      crc32: (data, seed) => zlib.crc32(data, seed),
      copyMany: (from, to, moves, count) => {
        for (let i = 0; i < count * 3; i += 3) {
          to.set(from.subarray(moves[i], moves[i]! + moves[i + 2]!), moves[i + 1]);
        }
      },
      spinForReplies: () => false,
      monotonicMs: options.clock ?? (() => performance.now()),
      wallMs: () => Date.now(),
      drainEvents: () => {},
      sockets: () => this.listener,
    });
    const access = new PortAccess(
      options.access ?? { accessClients: [], accessPeers: [], accessMasters: [] },
    );
    this.listener = new Listener(this.network, 4096, options.useOnread ?? true, access, {
      refused: (reason) => this.closed.push(reason),
      closed: (_remote, reason) => this.closed.push(reason),
      failed: (_remote, packet) => this.failures.push(packet),
      connectionNotAdmitted: (remote, count) => this.notAdmitted.push({ remote, count }),
      packetNotAdmitted: (remote, { opcode, text }, count) =>
        this.notAdmitted.push({ remote, opcode, text, count }),
    });
  }

  /** Routes partition ids 1..n to workers in turn and listens. */
  async start(partitions = 4, address = '127.0.0.1'): Promise<void> {
    for (let id = 1; id <= partitions; id++) {
      this.network.routes.set(id, {
        port: this.ports[(id - 1) % this.ports.length]!,
        isFull: () => this.full.has(id),
      });
    }
    this.port = await this.listener.listen(address, 0);
    this.#timer = setInterval(() => this.poll(), 1);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.listener.stopAccepting();
    void this.listener.close(0);
  }

  /** Lets every worker take what there is. */
  poll(): void {
    if (this.hung) return;
    for (const [index, { requests }] of this.#rings.entries()) {
      for (let at = requests.next(); at >= 0; at = requests.next()) this.#take(index, at);
      requests.release();
    }
    this.#publish();
  }

  /** Answers a request that was answered `null` before. */
  answer(request: Seen, answer: Answer): void {
    this.#reply(request, answer);
    this.#publish();
  }

  #take(index: number, at: number): void {
    const { i32, f64 } = this.#rings[index]!.requests;
    const kind = i32[at * 16 + REQUEST_I32.kind]! >>> REQUEST_KIND_SHIFT;
    if (kind === REQUEST_KIND.settle) return this.#settled(i32, f64, at);
    const offset = f64[at * 8 + REQUEST_F64.bufferOffset]!;
    const request: Seen = {
      port: index,
      tag: i32[at * 16 + REQUEST_I32.tag]!,
      opcode: i32[at * 16 + REQUEST_I32.kind]! & 0xff,
      size: i32[at * 16 + REQUEST_I32.size]!,
      extentId: f64[at * 8 + REQUEST_F64.extentId]!,
      extentOffset: f64[at * 8 + REQUEST_F64.extentOffset]!,
      connection: i32[at * 16 + REQUEST_I32.connection]!,
      forwarded: kind === REQUEST_KIND.forwarded,
      slot: this.slab.bytes.subarray(offset, offset + i32[at * 16 + REQUEST_I32.bufferBytes]!),
    };
    const generation = i32[at * 16 + REQUEST_I32.generation]!;
    const failed = this.#failed[index]!;
    if (
      failed.get(request.connection) === generation ||
      this.#poison.isPoisoned(request.connection, generation)
    ) {
      this.#reply(request, { code: RESULT_SKIPPED, bodyBytes: 0 });
      return;
    }
    this.seen.push(request);
    const answer = this.#work(request);
    if (answer === null) return;
    if (answer.code !== RESULT.ok) failed.set(request.connection, generation);
    this.#reply(request, answer);
  }

  #settled(i32: Int32Array, f64: Float64Array, at: number): void {
    const extent = f64[at * 8 + SETTLE_F64.extentId];
    const loan = f64[at * 8 + SETTLE_F64.loan];
    this.settles.push(
      `${extent}/${loan} ${i32[at * 16 + SETTLE_I32.acknowledged] === 1 ? 'whole' : 'broken'}`,
    );
  }

  /** Says what was given to a forwarded request; a new body, where it has one, was put into the slot. */
  assign(
    request: Seen,
    extentId: number,
    extentOffset: number,
    loan: number,
    bodyBytes = request.size,
  ): void {
    request.extentId = extentId;
    request.extentOffset = extentOffset;
    const { replies } = this.#rings[request.port]!;
    const at = replies.reserve(true);
    replies.i32[at * 16 + REPLY_I32.tag] = request.tag;
    replies.i32[at * 16 + REPLY_I32.resultCode] = RESULT_ASSIGNED;
    replies.i32[at * 16 + REPLY_I32.bodyBytes] = bodyBytes;
    replies.i32[at * 16 + REPLY_I32.unserved] = 1;
    replies.f64[at * 8 + REPLY_F64.extentId] = extentId;
    replies.f64[at * 8 + REPLY_F64.extentOffset] = extentOffset;
    replies.f64[at * 8 + REPLY_F64.loan] = loan;
    this.#publish();
  }

  #reply(request: Seen, answer: Answer): void {
    const { replies } = this.#rings[request.port]!;
    const at = replies.reserve(true);
    replies.i32[at * 16 + REPLY_I32.tag] = request.tag;
    replies.i32[at * 16 + REPLY_I32.resultCode] = answer.code;
    replies.i32[at * 16 + REPLY_I32.crc] = answer.crc ?? 0;
    replies.i32[at * 16 + REPLY_I32.bodyBytes] = answer.bodyBytes;
    const text = request.forwarded && answer.code !== RESULT.ok && answer.code !== RESULT_SKIPPED;
    replies.i32[at * 16 + REPLY_I32.largeBody] = text ? 1 : 0;
    replies.i32[at * 16 + REPLY_I32.unserved] = answer.unserved === true ? 1 : 0;
    replies.f64[at * 8 + REPLY_F64.extentId] = request.extentId;
    replies.f64[at * 8 + REPLY_F64.extentOffset] = request.extentOffset;
    replies.f64[at * 8 + REPLY_F64.remainingBytes] = answer.remainingBytes ?? 0;
    replies.f64[at * 8 + REPLY_F64.holeBytes] = 0;
    if (!text) return;
    // Over the event ring, and never in a slot that sockets may read.
    const { tag, port } = request;
    this.#publish();
    this.network.drainPort(port);
    this.network.bodyPiece(tag, 0, Buffer.alloc(answer.bodyBytes, answer.text ?? 'x'));
  }

  #publish(): void {
    let published = 0;
    for (const { replies } of this.#rings) published += replies.publish();
    if (published > 0) this.network.wake();
  }
}
