/**
 * Commands of the control plane to a worker: read from its command ring, executed between two batches, answered over the event ring.
 */

import { type Limits, UNLIMITED } from '../config/diskLimits.js';
import { answerQuery, type DebugQuery } from '../partition/debugQuery.js';
import type { NewPartition } from '../partition/diskLoad.js';
import {
  type ChecksumPaces,
  COMMAND,
  type CommandAnswer,
  EVENT,
  type MemberCommand,
} from '../partition/messages.js';
import { partitionNotFound } from '../protocol/errors.js';
import { ByteRingConsumer, type ByteRingMemory } from '../shm/byteRing.js';
import type { EventQueue } from './eventQueue.js';
import type { PartitionSet } from './partitionSet.js';

const decoder = new TextDecoder();

/** Answers a command, once: at once, or when what it has begun has ended. */
type Answer = (answer: CommandAnswer) => void;

/** What commands do besides asking partitions. */
export interface CommandHost {
  setLimits(limits: Limits): void;
  setPaces(paces: ChecksumPaces): void;
  /** The data port listens. */
  serve(): void;
  /** How a partition's group stands; null: none runs. */
  raftStatus(partitionId: number): unknown;
  /** Carries out a change of members where its group is led; `answer` is called once. */
  changeMembers(command: MemberCommand, answer: Answer): void;
  tryToLead(partitionId: number): CommandAnswer;
  stop(): void;
}

export class CommandReader {
  readonly #ring: ByteRingConsumer;
  readonly #partitions: PartitionSet;
  readonly #events: EventQueue;
  readonly #host: CommandHost;

  constructor(memory: ByteRingMemory, partitions: PartitionSet, events: EventQueue, host: CommandHost) {
    this.#ring = new ByteRingConsumer(memory);
    this.#partitions = partitions;
    this.#events = events;
    this.#host = host;
  }

  /** Executes at most one command: they touch files, and requests wait meanwhile. The batch must be empty. Returns how many. */
  read(): number {
    if (this.#ring.isEmpty()) return 0;
    return this.#ring.read((kind, number, _b, payload) => {
      // TextDecoder refuses shared memory: decode a copy.
      const text = decoder.decode(payload.slice());
      const later: Answer = (answer) => this.#events.json(EVENT.answer, number, answer);
      const answer = this.#execute(kind, text, later);
      if (answer instanceof Uint8Array) this.#events.bytes(EVENT.answerBytes, number, answer);
      else if (answer !== null) later(answer);
    }, 1);
  }

  /** Null: it has called `later`, or will. */
  #execute(kind: number, text: string, later: Answer): CommandAnswer | Uint8Array | null {
    switch (kind) {
      case COMMAND.createPartition:
        return this.#partitions.create(JSON.parse(text) as NewPartition);
      case COMMAND.deletePartition:
        this.#partitions.remove((JSON.parse(text) as { id: number }).id, later);
        return null;
      case COMMAND.query: {
        const query = JSON.parse(text) as DebugQuery;
        const partition = this.#partitions.get(query.partitionId);
        if (partition === undefined) return { ok: false, message: 'partition not exist', httpStatus: 404 };
        if (query.kind === 'raft') return { ok: true, value: this.#host.raftStatus(query.partitionId) };
        const answer = answerQuery(partition, query);
        if (!answer.ok || query.kind !== 'partition') return answer;
        const raftStatus = this.#host.raftStatus(query.partitionId);
        return { ok: true, value: { ...(answer.value as object), raftStatus } };
      }
      case COMMAND.checksums: {
        const { scrub } = JSON.parse(text) as { scrub: boolean };
        return this.#partitions.checksums(scrub);
      }
      case COMMAND.snapshot: {
        const { partitionId } = JSON.parse(text) as { partitionId: number };
        const partition = this.#partitions.get(partitionId);
        if (partition === undefined) return { ok: false, message: partitionNotFound(partitionId) };
        return partition.snapshot();
      }
      case COMMAND.serve:
        this.#host.serve();
        return { ok: true, value: null };
      case COMMAND.setLimits:
        this.#host.setLimits(JSON.parse(text) as Limits);
        return { ok: true, value: null };
      case COMMAND.setPaces:
        this.#host.setPaces(JSON.parse(text) as ChecksumPaces);
        return { ok: true, value: null };
      case COMMAND.setReplicas: {
        const { partitionId, replicas } = JSON.parse(text) as { partitionId: number; replicas: string[] };
        const partition = this.#partitions.get(partitionId);
        if (partition !== undefined) partition.replicas = replicas;
        return { ok: true, value: null };
      }
      case COMMAND.changeMembers:
        this.#host.changeMembers(JSON.parse(text) as MemberCommand, later);
        return null;
      case COMMAND.tryToLead:
        return this.#host.tryToLead((JSON.parse(text) as { id: number }).id);
      default:
        // What was taken on is finished now, whatever the limits say.
        this.#host.setLimits(UNLIMITED);
        this.#host.stop();
        return null;
    }
  }
}
