/** The far end of the repair thread's rings for tests: a worker that answers as a test says, on the test's own thread. */
import { REPLY_F64, REPLY_I32, REQUEST_F64, REQUEST_I32 } from '../../src/partition/messages.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import type { RepairMemory } from '../../src/repair/messages.js';
import { WorkerPorts } from '../../src/repair/workerPorts.js';
import {
  createDoorbell,
  createLoopWord,
  Doorbell,
  DoorbellSleeper,
  waitWithAtomics,
} from '../../src/shm/doorbell.js';
import { DESCRIPTOR_F64, DESCRIPTOR_I32 } from '../../src/shm/layout.js';
import { createRing, RingConsumer, RingProducer } from '../../src/shm/ring.js';
import { createSlab } from '../../src/shm/slab.js';

/** A question as it stood in the ring, with its body. */
export interface Taken {
  opcode: number;
  extentType: number;
  partitionId: number;
  extentId: number;
  extentOffset: number;
  size: number;
  crc: number;
  expectedCrc: number;
  body: Buffer;
  tag: number;
  /** Bytes of its slot. */
  room: number;
}

/** What a worker answers. `text`: an error. */
export interface Given {
  body?: Uint8Array;
  text?: string;
  extentId?: number;
  extentOffset?: number;
  remainingBytes?: number;
  holeBytes?: number;
  crc?: number;
}

/** Memory for so many workers, each on a disk of its own. */
export function repairMemory(workers: number, requestsMax = 8, slots = 8): RepairMemory {
  return {
    slab: createSlab({
      classes: [
        { bytes: 4096, slots },
        { bytes: 131_072, slots },
      ],
    }),
    doorbell: createDoorbell(),
    loop: createLoopWord(-1),
    healing: new Int32Array(new SharedArrayBuffer(4)),
    ports: Array.from({ length: workers }, (_, index) => ({
      ...{ index, disk: index, requestsMax, doorbell: createDoorbell() },
      ...{ requests: createRing(requestsMax * 2), replies: createRing(requestsMax * 2) },
    })),
  };
}

export class FakeWorker {
  /** Questions that have been taken and have no answer yet. */
  readonly open: Taken[] = [];
  /** Wake-ups that the thread has paid for. */
  wakes = 0;
  readonly #bytes: Uint8Array;
  readonly #offsets = new Map<number, number>();
  readonly #requests: RingConsumer;
  readonly #replies: RingProducer;
  readonly #bell: Doorbell;

  constructor(memory: RepairMemory, index: number, called: () => void) {
    const port = memory.ports[index]!;
    this.#bytes = new Uint8Array(memory.slab.sab);
    this.#requests = new RingConsumer(port.requests);
    this.#replies = new RingProducer(port.replies);
    this.#bell = new Doorbell(memory.doorbell, called);
    // Asleep, so that each ring shows.
    port.doorbell[1] = 1;
  }

  /** Takes what is in the ring. */
  take(): Taken[] {
    const { i32, f64 } = this.#requests;
    for (let at = this.#requests.next(); at >= 0; at = this.#requests.next()) {
      const i = at * DESCRIPTOR_I32;
      const f = at * DESCRIPTOR_F64;
      const kind = i32[i + REQUEST_I32.kind]!;
      const offset = f64[f + REQUEST_F64.bufferOffset]!;
      const size = i32[i + REQUEST_I32.size]!;
      const tag = i32[i + REQUEST_I32.tag]!;
      const room = i32[i + REQUEST_I32.bufferBytes]!;
      this.#offsets.set(tag, offset);
      this.open.push({
        ...{
          tag,
          size,
          room,
          opcode: kind & 0xff,
          extentType: (kind >> 8) & 0xff,
          crc: i32[i + REQUEST_I32.crc]! >>> 0,
          expectedCrc: i32[i + REQUEST_I32.expectedCrc]! >>> 0,
        },
        partitionId: f64[f + REQUEST_F64.partitionId]!,
        extentId: f64[f + REQUEST_F64.extentId]!,
        extentOffset: f64[f + REQUEST_F64.extentOffset]!,
        body: Buffer.from(this.#bytes.slice(offset, offset + Math.min(size, room))),
      });
    }
    this.#requests.release();
    return this.open;
  }

  /** Answers a question that was taken. */
  answer(
    taken: Taken,
    {
      body = new Uint8Array(0),
      text,
      extentId,
      extentOffset,
      remainingBytes = 0,
      holeBytes = 0,
      crc = 0,
    }: Given = {},
  ): void {
    this.open.splice(this.open.indexOf(taken), 1);
    const bytes = text === undefined ? body : Buffer.from(text);
    this.#bytes.set(bytes, this.#offsets.get(taken.tag)!);
    const at = this.#replies.reserve(true);
    const { i32, f64 } = this.#replies;
    i32[at * DESCRIPTOR_I32 + REPLY_I32.tag] = taken.tag;
    i32[at * DESCRIPTOR_I32 + REPLY_I32.resultCode] = text === undefined ? RESULT.ok : RESULT.argMismatchErr;
    i32[at * DESCRIPTOR_I32 + REPLY_I32.bodyBytes] = bytes.length;
    i32[at * DESCRIPTOR_I32 + REPLY_I32.crc] = crc;
    f64[at * DESCRIPTOR_F64 + REPLY_F64.extentId] = extentId ?? taken.extentId;
    f64[at * DESCRIPTOR_F64 + REPLY_F64.extentOffset] = extentOffset ?? taken.extentOffset;
    f64[at * DESCRIPTOR_F64 + REPLY_F64.remainingBytes] = remainingBytes;
    f64[at * DESCRIPTOR_F64 + REPLY_F64.holeBytes] = holeBytes;
    this.#replies.publish();
    this.#bell.ring();
  }
}

/** Ports and workers joined on this thread. */
export function portsAndWorkers(memory: RepairMemory): { ports: WorkerPorts; workers: FakeWorker[] } {
  const wokenBy = new Map<Int32Array, FakeWorker>();
  const ports: WorkerPorts = new WorkerPorts({
    memory,
    sleeper: new DoorbellSleeper(memory.doorbell, waitWithAtomics),
    wake: (words) => {
      wokenBy.get(words)!.wakes += 1;
      words[1] = 1;
    },
    wallMs: () => Date.now(),
  });
  const workers = memory.ports.map(
    ({ index }) => new FakeWorker(memory, index, () => setImmediate(() => ports.called())),
  );
  for (const [index, worker] of workers.entries()) wokenBy.set(memory.ports[index]!.doorbell, worker);
  ports.start();
  return { ports, workers };
}

/** Lets the thread's turns run. */
export async function turns(count = 4): Promise<void> {
  for (let i = 0; i < count; i += 1) await new Promise((resolve) => setImmediate(resolve));
}
