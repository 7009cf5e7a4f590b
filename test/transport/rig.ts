/** Transports with workers that are played by the test, on loopback and free ports. */
import type { Test } from 'tap';
import { TRANSPORT_LIMITS } from '../../src/config/limits.js';
import { encodeMessage, FRAME_HEAD_BYTES, RAFT_MESSAGE } from '../../src/protocol/raftMessage.js';
import { emptyMessage } from '../../src/raft/outbox.js';
import { RAFT_IN, RAFT_OUT, RAFT_RING_BYTES } from '../../src/raft/ports.js';
import { type ByteRingMemory, createByteRing } from '../../src/shm/byteRing.js';
import { MessageRingConsumer, MessageRingProducer } from '../../src/shm/messageRing.js';
import type { RaftPorts, TransportLimits, TransportLog } from '../../src/transport/parts.js';
import { RaftTransport } from '../../src/transport/transport.js';
import { until } from '../support/until.js';

/** What a worker was told. */
export interface Told {
  kind: number;
  a: number;
  bytes: Uint8Array;
}

/** The other end of a worker's rings. */
export class FakeWorker {
  readonly toWorker: ByteRingMemory;
  readonly fromWorker: ByteRingMemory;
  readonly told: Told[] = [];
  rings = 0;
  /** Looks into its ring when it is rung. */
  isAwake = true;
  readonly #in: MessageRingConsumer;
  readonly #out: MessageRingProducer;

  constructor(ringBytes: number) {
    this.toWorker = createByteRing(ringBytes);
    this.fromWorker = createByteRing(ringBytes);
    this.#in = new MessageRingConsumer(this.toWorker);
    this.#out = new MessageRingProducer(this.fromWorker);
  }

  ring(): void {
    this.rings += 1;
    if (this.isAwake) this.look();
  }

  look(): void {
    this.#in.read((kind, a, bytes) => this.told.push({ kind, a, bytes: bytes.slice() }));
  }

  /** Says something; main is to `drain`. A long message goes on while main drains. */
  say(kind: number, a: number, bytes: Uint8Array, drain: () => void): boolean {
    if (!this.#out.write(kind, a, bytes)) return false;
    while (this.#out.waits) {
      drain();
      this.#out.flush();
    }
    return true;
  }

  /** Bodies of the messages that came. */
  get messages(): Uint8Array[] {
    return this.told.filter(({ kind }) => kind === RAFT_IN.message).map(({ bytes }) => bytes);
  }

  of(kind: number): Told[] {
    return this.told.filter((each) => each.kind === kind);
  }
}

/** A line of the log. */
export interface Line {
  level: string;
  key: string;
  message: string;
  fields: Record<string, unknown>;
}

/** One node: a transport, its workers, its log. */
export class FakeNode {
  readonly nodeId: number;
  readonly workers: FakeWorker[];
  readonly lines: Line[] = [];
  readonly transport: RaftTransport;

  constructor(nodeId: number, options: NodeOptions, portsOfPeer: (nodeId: number) => RaftPorts) {
    this.nodeId = nodeId;
    const count = options.workers ?? 1;
    this.workers = Array.from({ length: count }, () => new FakeWorker(options.ringBytes ?? RAFT_RING_BYTES));
    const log: TransportLog = {
      write: (level, key, message, fields = {}) => this.lines.push({ level, key, message, fields }),
    };
    this.transport = new RaftTransport({
      ...{ nodeId, localIP: '127.0.0.1', portsOfPeer, log, workers: this.workers },
      ...{ heartbeatPort: options.ports?.heartbeat ?? 0, replicaPort: options.ports?.replica ?? 0 },
      useOnread: options.useOnread ?? true,
      access: { accessClients: [], accessMasters: [], accessPeers: options.peers ?? [] },
      workerOf: options.workerOf ?? ((group) => group % count),
      clockMs: () => performance.now(),
      limits: { ...TRANSPORT_LIMITS, ...options.limits },
    });
  }

  /** A worker says something, and main takes it. */
  say(kind: number, a: number, bytes: Uint8Array, worker = 0): boolean {
    const drain = (): void => void this.transport.drain();
    const isTaken = this.workers[worker]!.say(kind, a, bytes, drain);
    drain();
    return isTaken;
  }

  /** Sends a message to the node that it names. */
  send(frame: Uint8Array, to: number, worker = 0): boolean {
    return this.say(RAFT_OUT.message, to, frame, worker);
  }

  /** Knows where another node is. */
  meet(nodeId: number, host = '127.0.0.1'): void {
    this.say(RAFT_OUT.address, nodeId, Buffer.from(host));
  }
}

export interface NodeOptions {
  workers?: number;
  limits?: Partial<TransportLimits>;
  peers?: string[];
  ringBytes?: number;
  useOnread?: boolean;
  ports?: RaftPorts;
  workerOf?: (group: number) => number;
  /** Of peers that are no transports. */
  portsOfPeer?: (nodeId: number) => RaftPorts;
}

/** Nodes 1, 2, ... that know each other, one for each of `options`; gone with the test. */
export async function startNodes(t: Test, ...options: NodeOptions[]): Promise<FakeNode[]> {
  const nodes: FakeNode[] = [];
  const portsOf = (nodeId: number): RaftPorts => nodes[nodeId - 1]!.transport.ports;
  for (const [index, each] of options.entries())
    nodes.push(new FakeNode(index + 1, each, each.portsOfPeer ?? portsOf));
  for (const { transport } of nodes) {
    await transport.listen();
    t.teardown(() => transport.close());
  }
  for (const node of nodes) {
    for (const other of nodes) if (other !== node) node.meet(other.nodeId);
  }
  return nodes;
}

/** The worker has been told so many things of a kind. */
export async function untilTold(worker: FakeWorker, kind: number, count: number): Promise<void> {
  await until(
    `${count} of kind ${kind}, not ${worker.of(kind).length}`,
    () => worker.of(kind).length >= count,
  );
}

/** An append of one entry with `dataBytes` bytes, as it goes over the wire; its index tells it from others. */
export function append(group: number, from: number, to: number, index: number, dataBytes = 0): Uint8Array {
  const message = emptyMessage(RAFT_MESSAGE.appendRequest, group, from, to, 7);
  message.index = index;
  message.entries = [{ type: 0, term: 7, index: index + 1, data: new Uint8Array(dataBytes).fill(index) }];
  return encodeMessage(message);
}

/** Any message without entries. */
export function plain(
  type: number,
  group: number,
  from: number,
  to: number,
  context?: Uint8Array,
): Uint8Array {
  const message = emptyMessage(type, group, from, to, 7);
  if (context !== undefined) message.context = context;
  return encodeMessage(message);
}

/** A snapshot header. */
export function snapshotHeader(group: number, from: number, to: number): Uint8Array {
  const message = emptyMessage(RAFT_MESSAGE.snapshot, group, from, to, 7);
  const peers = [from, to].map((id) => ({ type: 0, priority: 0, nodeId: id }));
  message.snapshot = { index: 500, term: 7, peers };
  return encodeMessage(message);
}

/** A frame without its length. */
export function bodyOf(frame: Uint8Array): Uint8Array {
  return frame.subarray(FRAME_HEAD_BYTES);
}
