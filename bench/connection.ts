/**
 * One connection of the generator: keeps up to `depth` packets in flight, sends what its plan says, checks every reply the way a client
 * does (`wire.md` 10), and counts. Owned by one worker thread (`worker.ts`).
 *
 * The cost of a packet is what matters here, because the generator shares the machine with what it measures: every slot in flight has its place
 * in one send region, whose constant bytes are filled once; the packets of a batch lie side by side there and leave with one write; replies are parsed
 * in one receive buffer that all connections of the thread share; the clock is read once a batch.
 */
import assert from 'node:assert';
import * as net from 'node:net';
import { type FramedPacket, PacketFramer } from '../src/protocol/framer.js';
import type { PacketHeader } from '../src/protocol/header.js';
import { RESULT } from '../src/protocol/resultCodes.js';
import { whatIsWrong } from './content.js';
import type { CrcFunction } from './crc.js';
import { isDelete, isRandomWrite, KIND } from './kinds.js';
import type { MixGate, OpenLoopSchedule } from './pace.js';
import type { Payload } from './payload.js';
import { PIECE } from './pieces.js';
import { type Plan, PlannedOp } from './plan.js';
import { checkReply, describeError, isRedirection, READ_CHUNK_BYTES } from './reply.js';
import { type RequestSettings, sendRequest } from './request.js';
import { type Slot, Slots } from './slots.js';
import type { Stats } from './stats.js';

/** Attempts to reach a node, one after another without a single good reply, before a connection gives up; more where it can go elsewhere. */
const ATTEMPTS_MAX = 30;
const ATTEMPTS_ELSEWHERE_MAX = 300;
/** Times in turn that a connection is sent elsewhere, and from one round of the hosts to the next: until a leader is elected. */
const REDIRECTIONS_MAX = 300;
const REDIRECTED_MS = 100;
const RECONNECT_MS_MIN = 50;
const RECONNECT_MS_MAX = 1000;
const REPLY_BODY_BYTES_MAX = 1 << 20;

/** What a connection needs from its worker thread; shared by the thread's connections. */
export interface ConnectionHost {
  readonly stats: Stats;
  readonly payload: Payload;
  readonly crc32: CrcFunction;
  /** Replies of all connections are received here, one read at a time. */
  readonly receiveBuffer: Uint8Array;
  readonly timeoutMs: number;
  /** Operations that may still be started; Infinity for a timed run. */
  readonly budget: { left: number };
  /** `count` operations failed for the reason `code`; `text` is one example. */
  failed(code: string, text: string, count: number): void;
  /** A node that does not lead has sent a connection elsewhere; so many packets in flight are given up, and were not counted. */
  redirected(packets: number): void;
  /** Content read back is not what was written. */
  mismatched(text: string): void;
  /** The plan is done (or stopped, or given up) and nothing is in flight any more. */
  idle(connection: Connection): void;
  /** Something was sent or answered: connections of the other class may have become free to send. */
  moved(): void;
}

/** Whom a connection talks to, and what it says of followers. */
export interface Place {
  /** `host:port`. */
  readonly address: string;
  readonly host: string;
  readonly port: number;
  /** Follower list, already in wire form, of everything but reads. */
  readonly arg: Uint8Array;
  readonly remainingFollowers: number;
}

export interface ConnectionSettings {
  /** Number of the connection in the whole run: high word of its ReqIDs. */
  readonly index: number;
  readonly depth: number;
  readonly place: Place;
  /** Failures and wrong content are told with the node's address. */
  readonly named: boolean;
}

/** How a plan is to be carried out. */
export interface Task {
  readonly plan: Plan;
  /** Body bytes of its largest packets; null when it only reads. */
  readonly bodyBytes: number | null;
  /** Compare what is read with what was written. */
  readonly checkContent: boolean;
  /** Give up at the first failure instead of connecting again: for everything that comes before the measured run. */
  readonly failFast: boolean;
  /** Asked after a failure where to connect next; absent: where it was. */
  readonly elsewhere?: () => Place;
  /** Asked where to go when the node says that another one is the raft leader; absent: that is a failure as any other. */
  readonly leader?: () => Place;
  readonly schedule: OpenLoopSchedule | null;
  readonly gate: { readonly gate: MixGate; readonly side: 0 | 1 } | null;
}

/** See the file comment. */
export class Connection {
  readonly settings: ConnectionSettings;
  #place: Place;
  #request: RequestSettings;
  readonly #host: ConnectionHost;
  readonly #slots: Slots;
  readonly #op = new PlannedOp();
  readonly #onPacket = (packet: FramedPacket) => this.#reply(packet);
  #socket: net.Socket | null = null;
  #framer: PacketFramer | null = null;
  #connected = false;
  #reconnectTimer: NodeJS.Timeout | null = null;
  #attempts = 0;
  #task: Task | null = null;
  #finished = true;
  /** It is not to go on, whatever is left to do. */
  #stopped = false;
  /** When the oldest packet in flight became the one that is waited for. */
  #progressAtMs = 0;
  #openedAtMs = 0;
  #nowMs = 0;

  constructor(settings: ConnectionSettings, host: ConnectionHost) {
    this.settings = settings;
    this.#place = settings.place;
    this.#request = { index: settings.index, ...settings.place };
    this.#host = host;
    this.#slots = new Slots(settings.depth, settings.place.arg);
  }

  /** Connects for the first time; the error's text, or null when connected. */
  connect(): Promise<string | null> {
    return new Promise((resolve) => {
      this.#open((error) => resolve(error));
    });
  }

  /** Starts a task; `host.idle` is called when it has ended. The previous one must have. */
  begin(task: Task): void {
    assert(this.#slots.count === 0, 'a task begins with nothing in flight');
    this.#task = task;
    this.#finished = false;
    this.#stopped = false;
    this.#slots.prepare(task.bodyBytes, this.#host.payload);
    if (this.#socket === null) this.#open(null);
    this.pump(performance.now());
  }

  /** Sends whatever may be sent now. */
  pump(nowMs: number): void {
    if (this.#task === null) return;
    if (this.#connected && !this.#finished) {
      this.#sendBatch(this.#task, nowMs);
      this.#task.schedule?.ticked(nowMs);
    }
    if (this.#finished && this.#slots.count === 0) {
      this.#task = null;
      this.#host.idle(this);
    }
  }

  /** No new operations; `host.idle` follows when the last one in flight has ended. */
  stop(): void {
    if (this.#task === null) return;
    this.#finished = true;
    this.#stopped = true;
    if (this.#reconnectTimer !== null) clearTimeout(this.#reconnectTimer);
    this.#reconnectTimer = null;
    this.pump(performance.now());
  }

  /** Drops the connection when the node has been silent for too long. */
  checkTimeout(nowMs: number): void {
    if (this.#socket !== null && !this.#connected && nowMs - this.#openedAtMs > this.#host.timeoutMs) {
      this.#socket.destroy(new Error(`no connection within ${this.#host.timeoutMs / 1000} s`));
      return;
    }
    if (this.#slots.count === 0 || nowMs - this.#progressAtMs <= this.#host.timeoutMs) return;
    this.#broken('timeout', `no reply within ${this.#host.timeoutMs / 1000} s`, 1);
  }

  /** Closes the socket for good. */
  close(): void {
    if (this.#reconnectTimer !== null) clearTimeout(this.#reconnectTimer);
    this.#dropSocket();
  }

  #sendBatch(task: Task, nowMs: number): void {
    const { budget } = this.#host;
    const slots = this.#slots;
    const op = this.#op;
    if (slots.count === 0) this.#progressAtMs = nowMs;
    while (slots.count < this.settings.depth) {
      if (budget.left <= 0) {
        this.#finished = true;
        break;
      }
      if (task.schedule !== null && !task.schedule.due(nowMs)) break;
      if (task.gate !== null && !task.gate.gate.maySend(task.gate.side)) break;
      const answer = task.plan.next(op);
      if (answer === 'done') this.#finished = true;
      if (answer !== 'send') break;
      let startMs = nowMs;
      if (op.measured) {
        budget.left--;
        if (task.schedule !== null) startMs = task.schedule.take(nowMs);
        if (task.gate !== null) task.gate.gate.sent(task.gate.side);
      }
      sendRequest(op, startMs, slots, this.#request, this.#host.payload, this.#socket!);
    }
    slots.flush(this.#socket!);
  }

  #reply(packet: FramedPacket): void {
    const slots = this.#slots;
    const { header } = packet;
    // A packet behind the one that broke the connection in this same read.
    if (!this.#connected) return;
    if (slots.count === 0) return this.#broken('protocol', 'a reply to nothing that was asked', 0);
    const slot = slots.oldest;
    if (header.resultCode !== RESULT.ok) {
      const error = describeError(header, packet.body);
      if (this.#task!.leader !== undefined && isRedirection(header.resultCode, error.text))
        return this.#redirected(this.#task!, this.#task!.leader());
      return this.#broken(error.code, error.text, 1);
    }
    const wrong = checkReply(header, slot, this.settings.index, slots.tail >>> 0);
    if (wrong !== null) return this.#broken('protocol', wrong, 1);
    this.#attempts = 0;
    this.#progressAtMs = this.#nowMs;
    if (slot.isRead) {
      this.#readChunk(packet, slot.kind);
      if (slot.left > 0) return;
    } else if (slot.kind === KIND.create) {
      this.#task!.plan.created(slot.lane, header.extentId);
    } else {
      this.#acknowledged(slot, header);
    }
    if (slot.measured) this.#host.stats.kinds[slot.kind]!.done(this.#nowMs - slot.startMs, slot.bytes);
    slots.release();
  }

  /** A write or delete was answered with OK. */
  #acknowledged(slot: Slot, header: PacketHeader): void {
    const { extent, piece } = slot;
    if (isRandomWrite(slot.kind)) extent!.versions!.acknowledged(slot.offset, slot.version);
    else if (extent !== null) extent.ackedBytes = slot.offset + slot.bytes;
    if (piece === null) return;
    piece.state = isDelete(slot.kind) ? PIECE.deleted : PIECE.written;
    if (slot.kind !== KIND.tinywrite) return;
    piece.extentId = header.extentId;
    piece.offset = header.extentOffset;
  }

  /** One data packet of a read: its checksum, and its content where that is asked for. */
  #readChunk(packet: FramedPacket, kind: number): void {
    const slot = this.#slots.oldest;
    const { header, body } = packet;
    const crc = this.#host.crc32(body, 0);
    const stats = this.#host.stats.kinds[kind]!;
    const { payload } = this.#host;
    const { partitionId, extentId } = slot;
    const offset = slot.offset + slot.bytes - slot.left;
    if (crc !== header.crc) {
      stats.failed();
      const place = `partition ${partitionId} extent ${extentId} offset ${offset}`;
      this.#failed('checksum', `${place}: the packet's CRC is not that of its body`, 1);
    }
    if (this.#task!.checkContent) {
      const wrong = whatIsWrong(payload, this.#host.crc32, slot, offset, body, crc);
      if (wrong !== null) {
        stats.mismatched();
        this.#host.mismatched(this.#named(wrong));
      }
    }
    slot.left -= body.length;
  }

  #open(onFirst: ((error: string | null) => void) | null): void {
    const { host, port } = this.#place;
    const framer = new PacketFramer({
      direction: 'reply',
      argBytesMax: 1 << 16,
      bodyBytesMax: Math.max(REPLY_BODY_BYTES_MAX, READ_CHUNK_BYTES),
    });
    let problem = 'the node closed the connection';
    const socket = net.connect({
      host,
      port,
      noDelay: true,
      onread: {
        buffer: this.#host.receiveBuffer,
        callback: (count, buffer) => {
          if (this.#socket === socket) this.#received(count, buffer, framer);
          return true;
        },
      },
    });
    this.#socket = socket;
    this.#framer = framer;
    this.#openedAtMs = performance.now();
    socket.on('connect', () => {
      this.#connected = true;
      onFirst?.(null);
      this.pump(performance.now());
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      problem = error.message;
    });
    socket.on('close', () => {
      if (this.#socket !== socket) return;
      if (onFirst !== null && !this.#connected) {
        this.#socket = null;
        return onFirst(this.#named(problem));
      }
      this.#broken(this.#connected ? 'closed' : 'connect', problem, 0);
    });
  }

  #received(count: number, buffer: Uint8Array, framer: PacketFramer): void {
    this.#nowMs = performance.now();
    const fault = framer.push(buffer.subarray(0, count), this.#onPacket);
    if (this.#framer !== framer) return;
    if (fault !== null) return this.#broken('protocol', fault.message, 1);
    this.pump(this.#nowMs);
    this.#host.moved();
  }

  /**
   * The connection is of no more use: `culprits` operations (0 or 1) failed for `code`, the rest in flight will never be answered. Connects again
   * unless the task says otherwise.
   */
  #broken(code: string, text: string, culprits: number): void {
    const inFlight = this.#slots.count;
    const blamed = Math.min(culprits, inFlight);
    for (let count = inFlight; count > 0; count--) {
      this.#host.stats.kinds[this.#slots.oldest.kind]!.failed();
      this.#slots.release();
    }
    if (blamed > 0 || inFlight === 0) this.#failed(code, text, 1);
    const lost = inFlight - blamed;
    if (lost > 0)
      this.#failed(blamed > 0 ? 'unanswered' : code, `${text}; sent before, never answered`, lost);
    this.#dropSocket();
    const task = this.#task;
    if (task === null) return;
    task.plan.lost();
    this.#attempts++;
    const attemptsMax = task.elsewhere === undefined ? ATTEMPTS_MAX : ATTEMPTS_ELSEWHERE_MAX;
    if (task.failFast || this.#attempts > attemptsMax) this.#finished = true;
    if (this.#finished) return this.pump(performance.now());
    if (task.elsewhere !== undefined) this.#move(task, task.elsewhere());
    const waitMs = Math.min(RECONNECT_MS_MAX, RECONNECT_MS_MIN * 2 ** Math.min(10, this.#attempts - 1));
    this.#reconnectTimer = setTimeout(() => this.#open(null), waitMs);
  }

  /** The node does not lead: what is in flight is given up, as not counted, and sent to whoever leads. */
  #redirected(task: Task, place: Place): void {
    const packets = this.#slots.count;
    for (let count = packets; count > 0; count--) {
      if (this.#slots.oldest.measured) this.#host.budget.left++;
      this.#slots.release();
    }
    this.#host.redirected(packets);
    this.#dropSocket();
    task.plan.lost();
    this.#attempts++;
    if (this.#attempts > REDIRECTIONS_MAX) this.#failed('redirected', 'no host leads', 1);
    // What was given up may be what was left of the count.
    this.#finished = this.#stopped || this.#attempts > REDIRECTIONS_MAX;
    if (this.#finished) return this.pump(performance.now());
    this.#move(task, place);
    this.#reconnectTimer = setTimeout(() => this.#open(null), this.#attempts === 1 ? 0 : REDIRECTED_MS);
  }

  #move(task: Task, place: Place): void {
    this.#place = place;
    this.#request = { index: this.settings.index, ...place };
    this.#slots.useArg(place.arg);
    this.#slots.prepare(task.bodyBytes, this.#host.payload);
  }

  #failed(code: string, text: string, count: number): void {
    this.#host.failed(code, this.#named(text), count);
  }

  #named(text: string): string {
    return this.settings.named ? `${this.#place.address}: ${text}` : text;
  }

  #dropSocket(): void {
    const socket = this.#socket;
    this.#socket = null;
    this.#framer = null;
    this.#connected = false;
    socket?.destroy();
  }
}
