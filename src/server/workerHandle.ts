/**
 * One disk worker as main controls it: starts the thread, sends commands, takes events, notices its death.
 */
import { Worker } from 'node:worker_threads';
import { type BlockPlace, COMMAND, type CommandAnswer, EVENT } from '../partition/messages.js';
import { ByteRingConsumer, ByteRingProducer } from '../shm/byteRing.js';
import type { DiskWorkerData } from '../workers/workerData.js';
import type { WorkerPort } from './workerPort.js';

/** Longest answer that is put together from pieces: the extent list of a full partition is about 6 MiB. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
/**
 * What a worker's short-lived objects may take. Serving makes few of them and does not get slower by it; loading a disk makes many, and what V8 has once
 * given them it keeps: 180,000 extents in eight partitions left 67 MB more in the process with V8's own limit.
 */
const YOUNG_GENERATION_MB = 2;
const encoder = new TextEncoder();

/** What main does with a worker's events. */
export interface WorkerListener {
  attached(handle: WorkerHandle, payload: unknown): void;
  refused(handle: WorkerHandle, payload: { folder: string; reason: string }): void;
  loaded(handle: WorkerHandle): void;
  failed(handle: WorkerHandle, reason: string): void;
  bodyPiece(handle: WorkerHandle, tag: number, offset: number, piece: Uint8Array): void;
  log(
    handle: WorkerHandle,
    record: { level: string; message: string; fields: Record<string, string | number> },
    dropped: number,
  ): void;
  /** Reads wait for a block to be healed. */
  damaged(handle: WorkerHandle, place: BlockPlace): void;
  /** Something of a raft group (`groupEvents.ts`). */
  group(handle: WorkerHandle, kind: number, value: unknown): void;
  stopped(handle: WorkerHandle, clean: boolean): void;
  /** The thread ended without being told to, or threw. */
  died(handle: WorkerHandle, reason: string): void;
}

interface Asked {
  resolve(answer: CommandAnswer): void;
  pieces: Uint8Array[];
  bytes: number;
}

interface WaitingCommand {
  kind: number;
  number: number;
  payload: Uint8Array;
}

export class WorkerHandle {
  readonly index: number;
  readonly disk: number;
  readonly member: number;
  readonly port: WorkerPort;
  loaded = false;
  stopped = false;
  /** Why it cannot serve its disk; empty: it can. */
  failure = '';

  readonly #listener: WorkerListener;
  readonly #thread: Worker;
  readonly #commands: ByteRingProducer;
  readonly #events: ByteRingConsumer;
  readonly #asked = new Map<number, Asked>();
  #waiting: WaitingCommand[] = [];
  #lastNumber = 0;
  #givenUp = false;

  constructor(data: DiskWorkerData, port: WorkerPort, listener: WorkerListener) {
    this.index = data.index;
    this.disk = data.disk;
    this.member = data.member;
    this.port = port;
    this.#listener = listener;
    this.#commands = new ByteRingProducer(data.commands);
    this.#events = new ByteRingConsumer(data.events);
    this.#thread = new Worker(new URL('../workers/thread.js', import.meta.url), {
      workerData: data,
      name: `disk ${data.disk}.${data.member}`,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    });
    this.#thread.on('error', (error) =>
      this.#died(error instanceof Error ? (error.stack ?? error.message) : String(error)),
    );
    this.#thread.on('exit', (code) => {
      this.drainEvents();
      if (!this.stopped) this.#died(`thread ended with code ${code}`);
    });
  }

  /** Asks the worker; the answer comes between two of its batches. Fails at once when it is dead. */
  ask(kind: (typeof COMMAND)[keyof typeof COMMAND], value: unknown): Promise<CommandAnswer> {
    if (this.failure !== '') return Promise.resolve({ ok: false, message: this.failure, httpStatus: 500 });
    const number = ++this.#lastNumber;
    return new Promise((resolve) => {
      this.#asked.set(number, { resolve, pieces: [], bytes: 0 });
      this.#send({ kind, number, payload: encoder.encode(JSON.stringify(value)) });
    });
  }

  /** Leaves a worker out that does not get its disk loaded: whatever it brings up later is not taken. */
  giveUp(reason: string): void {
    this.failure = reason;
    this.#givenUp = true;
    this.#listener.failed(this, reason);
  }

  /** Tells the worker to finish, sync and end. */
  stop(): void {
    if (!this.stopped) this.#send({ kind: COMMAND.stop, number: 0, payload: new Uint8Array(0) });
  }

  /** Takes what the worker sent. Called once a turn. */
  drainEvents(): void {
    if (this.#waiting.length > 0) this.#resend();
    if (this.#events.isEmpty()) return;
    this.#events.read((kind, a, b, payload) => this.#take(kind, a, b, payload));
  }

  #take(kind: number, a: number, b: number, payload: Uint8Array): void {
    if (kind === EVENT.bodyPiece) return this.#listener.bodyPiece(this, a, b, payload);
    if (kind === EVENT.answer || kind === EVENT.answerBytes) return this.#answer(kind, a, b, payload);
    const value: unknown = JSON.parse(Buffer.from(payload).toString());
    if (this.#givenUp && this.#isLate(kind)) return;
    switch (kind) {
      case EVENT.attached:
        return this.#listener.attached(this, value);
      case EVENT.refused:
        return this.#listener.refused(this, value as { folder: string; reason: string });
      case EVENT.loaded:
        this.loaded = true;
        return this.#listener.loaded(this);
      case EVENT.failed:
        this.failure = (value as { reason: string }).reason;
        return this.#listener.failed(this, this.failure);
      case EVENT.log:
        return this.#listener.log(this, value as Parameters<WorkerListener['log']>[1], a);
      case EVENT.damaged:
        return this.#listener.damaged(this, value as BlockPlace);
      case EVENT.detached:
      case EVENT.members:
      case EVENT.raft:
      case EVENT.alarm:
        return this.#listener.group(this, kind, value);
      default:
        this.stopped = true;
        return this.#listener.stopped(this, (value as { clean: boolean }).clean);
    }
  }

  /** What a worker that was given up has brought up after all is not taken. */
  #isLate(kind: number): boolean {
    if (kind === EVENT.loaded) {
      const message = 'disk was loaded too late: it stays out of service until a restart';
      this.#listener.log(this, { level: 'warn', message, fields: {} }, 0);
    }
    return kind === EVENT.attached || kind === EVENT.loaded || kind === EVENT.failed;
  }

  #answer(kind: number, number: number, bytesToCome: number, payload: Uint8Array): void {
    const asked = this.#asked.get(number);
    if (asked === undefined) return;
    asked.bytes += payload.length;
    if (asked.bytes <= ANSWER_BYTES_MAX) asked.pieces.push(payload.slice());
    if (bytesToCome > 0) return;
    this.#asked.delete(number);
    if (asked.bytes > ANSWER_BYTES_MAX)
      asked.resolve({ ok: false, message: 'answer too long', httpStatus: 500 });
    else if (kind === EVENT.answerBytes) asked.resolve({ ok: true, value: Buffer.concat(asked.pieces) });
    else asked.resolve(JSON.parse(Buffer.concat(asked.pieces).toString()) as CommandAnswer);
  }

  #send(command: WaitingCommand): void {
    this.#waiting.push(command);
    this.#resend();
  }

  #resend(): void {
    let sent = 0;
    for (const { kind, number, payload } of this.#waiting) {
      if (!this.#commands.tryWrite(kind, number, 0, payload)) break;
      sent++;
    }
    if (sent === 0) return;
    this.#waiting = this.#waiting.slice(sent);
    this.port.doorbell.ring();
  }

  #died(reason: string): void {
    if (this.failure === '') this.failure = `disk worker has ended: ${reason.split('\n')[0]}`;
    for (const asked of this.#asked.values())
      asked.resolve({ ok: false, message: this.failure, httpStatus: 500 });
    this.#asked.clear();
    this.stopped = true;
    this.#listener.died(this, reason);
  }
}
