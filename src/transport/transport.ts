/**
 * The raft transport of a node, on the main thread: carries messages between the rings of the workers and the connections to peers, in both directions, and knows no group's
 * state (docs/raftNode.md, The transport).
 *
 * A message may be lost anywhere here, and is then counted: raft sends again. Nothing waits for a worker or a peer, and what each of them can make the node hold is bounded.
 */
import assert from 'node:assert';
import type { RaftHead } from '../protocol/raftHead.js';
import { emptyHead, readRaftHead } from '../protocol/raftHead.js';
import { FRAME_HEAD_BYTES, RAFT_MESSAGE } from '../protocol/raftMessage.js';
import { RAFT_IN, RAFT_MESSAGE_BYTES_MAX, RAFT_OUT } from '../raft/ports.js';
import type { AccessSettings } from '../server/portAccess.js';
import { MessageRingConsumer } from '../shm/messageRing.js';
import { countMessage, type Drops, noFigures, type TransportFigures } from './figures.js';
import { type MessageTaker, TAKE } from './incomingStream.js';
import { laneOf } from './lanes.js';
import { RaftListener } from './listener.js';
import type { RaftPorts, TransportParts } from './parts.js';
import { Peers } from './peers.js';
import { ROUTE, routeOf } from './routing.js';
import { RunningSnapshots } from './runningSnapshots.js';
import { SnapshotDelivery } from './snapshotDelivery.js';
import { WorkerRing } from './workerRing.js';

/** How soon a ring that was full is looked at again: at once, then less and less often while nothing moves. */
const RETRY_MS_MIN = 1;
const RETRY_MS_MAX = 50;
const NO_BYTES = new Uint8Array(0);
const DROP_OF_ROUTE: Readonly<Record<number, keyof Drops>> = {
  [ROUTE.unknownGroup]: 'unknownGroup',
  [ROUTE.otherNode]: 'otherNode',
  [ROUTE.localType]: 'notForTheWire',
  [ROUTE.wrongPort]: 'notForTheWire',
};

export class RaftTransport {
  readonly figures: TransportFigures = noFigures();
  readonly #parts: TransportParts;
  readonly #listener: RaftListener;
  readonly #peers: Peers;
  readonly #rings: readonly WorkerRing[];
  readonly #readers: readonly (() => number)[];
  readonly #snapshots: RunningSnapshots<SnapshotDelivery>;
  readonly #outHead = emptyHead();
  #ports: RaftPorts;
  #flushes = false;
  #retrying: NodeJS.Timeout | null = null;
  #retryMs = RETRY_MS_MIN;
  #isClosed = false;

  constructor(parts: TransportParts) {
    this.#parts = parts;
    const { limits, log, clockMs, access, heartbeatPort, replicaPort, useOnread } = parts;
    const { figures } = this;
    this.#ports = { heartbeat: heartbeatPort, replica: replicaPort };
    this.#rings = parts.workers.map(
      (worker) => new WorkerRing(worker, limits.ringWaitBytesMax, figures.drops, log),
    );
    this.#readers = parts.workers.map((worker, index) =>
      this.#readerOf(worker.fromWorker, this.#rings[index]!),
    );
    this.#snapshots = new RunningSnapshots(limits.snapshotsMax);
    const portsOfPeer = parts.portsOfPeer ?? (() => this.#ports);
    const reconnected = (nodeId: number): void => this.#tellAll(RAFT_IN.reconnected, nodeId, NO_BYTES);
    this.#peers = new Peers({ limits, log, figures, portsOfPeer, clockMs, reconnected });
    this.#listener = new RaftListener({
      ...{ access, limits, log, figures, clockMs, useOnread },
      takerOf: ({ number, atHeartbeatPort }) => this.#takerOf(number, atHeartbeatPort),
    });
  }

  /** The ports that it listens on; before `listen` those that are wanted. */
  get ports(): RaftPorts {
    return this.#ports;
  }

  /** Bytes held for a peer that has not taken them. */
  heldBytes(nodeId: number): number {
    return this.#peers.heldBytes(nodeId);
  }

  /** Bytes of frames that have not come to their end. */
  get incomingBytes(): number {
    return this.#listener.heldBytes;
  }

  /** Opens both ports; rejects with the error of the one that cannot be had. */
  async listen(): Promise<void> {
    this.#ports = await this.#listener.listen(this.#parts.localIP, this.#ports);
  }

  /** Takes what the workers have written, and sends it. Returns how many frames of their rings that were: 0, and nothing was there. */
  drain(): number {
    let frames = 0;
    for (const read of this.#readers) frames += read();
    this.#peers.flush();
    return frames;
  }

  /** Other lists of who may connect, from now on. */
  setAccess(access: AccessSettings): void {
    this.#listener.setAccess(access);
  }

  /** Closes ports and connections. Nothing is taken or told any more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retrying ?? undefined);
    this.#peers.close();
    for (const delivery of this.#snapshots.clear()) delivery.abort();
    this.figures.snapshots.running = 0;
    this.#listener.close();
  }

  // From peers to workers.

  #takerOf(stream: number, atHeartbeatPort: boolean): MessageTaker {
    const { nodeId, workerOf } = this.#parts;
    return (body, head) => {
      countMessage(this.figures.received, head.type, FRAME_HEAD_BYTES + body.byteLength);
      const isSnapshot = head.type === RAFT_MESSAGE.snapshot;
      const route = routeOf(head, nodeId, atHeartbeatPort, workerOf);
      const dropped = this.#dropReason(route, body);
      if (dropped !== null) {
        this.#dropIncoming(dropped, head);
        return isSnapshot ? TAKE.end : TAKE.nextMessage;
      }
      if (route === ROUTE.everyWorker) this.#tellAll(RAFT_IN.message, stream, body);
      else if (!this.#tell(route, RAFT_IN.message, stream, body) && isSnapshot) return TAKE.end;
      if (!isSnapshot) return TAKE.nextMessage;
      this.figures.snapshots.received += 1;
      return TAKE.verdict;
    };
  }

  #dropReason(route: number, body: Uint8Array): keyof Drops | null {
    return DROP_OF_ROUTE[route] ?? (body.byteLength > RAFT_MESSAGE_BYTES_MAX ? 'tooLong' : null);
  }

  #dropIncoming(reason: keyof Drops, { type, group, from, to }: RaftHead): void {
    this.figures.drops[reason] += 1;
    // A group that is not here is nothing unusual: partitions come and go.
    const level = reason === 'unknownGroup' ? 'debug' : 'warn';
    const fields = { reason, type, group, from, to };
    this.#parts.log.write(level, `raft message dropped: ${reason}`, 'a raft message is dropped', fields);
  }

  #tell(worker: number, kind: number, a: number, bytes: Uint8Array): boolean {
    const ring = this.#rings[worker];
    assert(ring !== undefined, 'a group is at a worker that there is');
    this.#flushSoon();
    return ring.write(kind, a, bytes);
  }

  #tellAll(kind: number, a: number, bytes: Uint8Array): void {
    for (let worker = 0; worker < this.#rings.length; worker++) this.#tell(worker, kind, a, bytes);
  }

  /** Bells are rung once for all that a read of a socket has brought. */
  #flushSoon(): void {
    if (this.#flushes) return;
    this.#flushes = true;
    queueMicrotask(() => {
      this.#flushes = false;
      if (!this.#isClosed) this.#flushRings();
    });
  }

  #flushRings(): void {
    let hasMoved = false;
    for (const ring of this.#rings) if (ring.flush()) hasMoved = true;
    if (hasMoved) this.#retryMs = RETRY_MS_MIN;
    if (this.#retrying !== null || !this.#rings.some(({ waits }) => waits)) return;
    this.#retrying = setTimeout(() => {
      this.#retrying = null;
      this.#flushRings();
    }, this.#retryMs);
    this.#retryMs = Math.min(2 * this.#retryMs, RETRY_MS_MAX);
  }

  // From workers to peers.

  #readerOf(memory: TransportParts['workers'][number]['fromWorker'], ring: WorkerRing): () => number {
    const consumer = new MessageRingConsumer(memory);
    const take = (kind: number, a: number, bytes: Uint8Array): void => this.#fromWorker(ring, kind, a, bytes);
    return () => consumer.read(take);
  }

  #fromWorker(ring: WorkerRing, kind: number, a: number, bytes: Uint8Array): void {
    switch (kind) {
      case RAFT_OUT.message:
        return this.#send(ring, a, bytes);
      case RAFT_OUT.verdict:
        if (this.#listener.judge(a, bytes[0] === 1) && bytes[0] === 1)
          this.figures.snapshots.acknowledged += 1;
        return;
      case RAFT_OUT.badStream:
        return this.#listener.closeBad(a, Buffer.from(bytes).toString());
      case RAFT_OUT.address:
        return this.#peers.setHost(a, Buffer.from(bytes).toString());
      default:
        assert.fail(`a worker says ${kind} of raft`);
    }
  }

  #send(ring: WorkerRing, to: number, frame: Uint8Array): void {
    const head = this.#outHead;
    const fault = readRaftHead(frame.subarray(FRAME_HEAD_BYTES), head);
    assert(fault === null, `a worker sends a message that is none: ${fault}`);
    if (head.type === RAFT_MESSAGE.snapshot) return this.#sendSnapshot(ring, head.group, to, frame);
    const refusal = this.#peers.send(to, laneOf(head.type, head.group), frame);
    if (refusal === null) return countMessage(this.figures.sent, head.type, frame.byteLength);
    this.figures.drops[refusal] += 1;
    if (refusal === 'unknownNode') this.#noSuchNode(to, head.group);
  }

  #noSuchNode(nodeId: number, group: number): void {
    this.#parts.log.write('warn', 'no such raft node', 'no such node', { nodeId, group });
  }

  #sendSnapshot(ring: WorkerRing, group: number, to: number, frame: Uint8Array): void {
    const { snapshots, drops, sent } = this.figures;
    const { limits, log } = this.#parts;
    const failed = (fault: string): void => {
      snapshots.failed += 1;
      log.write('warn', 'raft snapshot failed', 'a snapshot is not taken', { group, to, fault });
      this.#snapshotEnded(ring, group, to, false);
    };
    const address = this.#peers.replicaAddress(to);
    if (address === null) {
      drops.unknownNode += 1;
      return failed('no such node');
    }
    if (!this.#snapshots.hasRoomFor(group, to)) {
      snapshots.tooMany += 1;
      return failed(`snapshot concurrency exceed the limit ${limits.snapshotsMax}.`);
    }
    // The frame is the ring's.
    const delivery = new SnapshotDelivery(address, frame.slice(), limits, (fault) => {
      this.#snapshots.end(group, to, delivery);
      snapshots.running = this.#snapshots.count;
      if (fault !== null) return failed(fault);
      snapshots.taken += 1;
      this.#snapshotEnded(ring, group, to, true);
    });
    this.#snapshots.start(group, to, delivery)?.abort();
    snapshots.running = this.#snapshots.count;
    countMessage(sent, RAFT_MESSAGE.snapshot, frame.byteLength);
  }

  #snapshotEnded(ring: WorkerRing, group: number, to: number, isTaken: boolean): void {
    ring.snapshotSent(group, to, isTaken);
    this.#flushSoon();
  }
}
