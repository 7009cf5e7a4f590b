/**
 * Raft messages a second through two transports on loopback: `node dist/bench/micro/raftTransport.js [seconds a row 2]`.
 *
 * Everything between the ring of the sending worker and the ring of the receiving one is the node's own: rings, framing, sockets, routing. Both transports and both workers run on
 * one thread, so a node that only sends or only receives has about twice as much. A row says how many messages are under way at most, over all groups, and how many of them found no room.
 */
import { TRANSPORT_LIMITS } from '../../src/config/limits.js';
import { encodeMessage, RAFT_MESSAGE } from '../../src/protocol/raftMessage.js';
import { emptyMessage } from '../../src/raft/outbox.js';
import { RAFT_IN, RAFT_OUT, RAFT_RING_BYTES } from '../../src/raft/ports.js';
import { createByteRing } from '../../src/shm/byteRing.js';
import { MessageRingConsumer, MessageRingProducer } from '../../src/shm/messageRing.js';
import type { RaftPorts } from '../../src/transport/parts.js';
import { RaftTransport } from '../../src/transport/transport.js';

/** Bytes of a message, how many are under way, groups. */
const ROWS: readonly (readonly [frameBytes: number, underWay: number, groups: number])[] = [
  [200, 1, 1],
  [200, 64, 100],
  [200, 4000, 100],
  [1024 * 1024 + 97, 1, 1],
  [1024 * 1024 + 97, 4, 5],
  [1024 * 1024 + 97, 16, 100],
];
/** An append of one entry has so many bytes beside its data. */
const BYTES_BESIDE_DATA = 97;

/** A transport with one worker. */
class Node {
  readonly transport: RaftTransport;
  readonly #toWorker = createByteRing(RAFT_RING_BYTES);
  readonly #fromWorker = createByteRing(RAFT_RING_BYTES);
  readonly #in = new MessageRingConsumer(this.#toWorker);
  readonly #out = new MessageRingProducer(this.#fromWorker);
  received = 0;

  constructor(nodeId: number, portsOfPeer: (nodeId: number) => RaftPorts) {
    const ring = (): void => this.#look();
    this.transport = new RaftTransport({
      ...{ nodeId, localIP: '127.0.0.1', heartbeatPort: 0, replicaPort: 0, portsOfPeer },
      useOnread: true,
      access: { accessClients: [], accessPeers: [], accessMasters: [] },
      workers: [{ toWorker: this.#toWorker, fromWorker: this.#fromWorker, ring }],
      workerOf: () => 0,
      log: { write: () => {} },
      clockMs: () => performance.now(),
      limits: TRANSPORT_LIMITS,
    });
  }

  #look(): void {
    this.#in.read((kind) => {
      if (kind === RAFT_IN.message) this.received += 1;
    });
  }

  /** False: the ring to main is full. */
  say(kind: number, a: number, bytes: Uint8Array): boolean {
    const isTaken = this.#out.write(kind, a, bytes);
    while (this.#out.waits) {
      this.transport.drain();
      this.#out.flush();
    }
    return isTaken;
  }
}

function framesOf(frameBytes: number, groups: number): Uint8Array[] {
  return Array.from({ length: groups }, (_, group) => {
    const message = emptyMessage(RAFT_MESSAGE.appendRequest, group, 1, 2, 7);
    message.entries = [{ type: 0, term: 7, index: 1, data: new Uint8Array(frameBytes - BYTES_BESIDE_DATA) }];
    return encodeMessage(message);
  });
}

function dropsOf(...nodes: Node[]): number {
  return nodes.reduce((sum, { transport }) => {
    return sum + Object.values(transport.figures.drops).reduce((drops, each) => drops + each, 0);
  }, 0);
}

async function row(
  from: Node,
  to: Node,
  seconds: number,
  [frameBytes, underWay, groups]: (typeof ROWS)[number],
): Promise<void> {
  const frames = framesOf(frameBytes, groups);
  const receivedBefore = to.received;
  const dropsBefore = dropsOf(from, to);
  let sent = 0;
  const ended = (): number => to.received - receivedBefore + dropsOf(from, to) - dropsBefore;
  const startMs = performance.now();
  let nowMs = startMs;
  while (nowMs - startMs < seconds * 1000) {
    while (sent - ended() < underWay && from.say(RAFT_OUT.message, 2, frames[sent % groups]!)) sent += 1;
    from.transport.drain();
    await new Promise((resolve) => setImmediate(resolve));
    nowMs = performance.now();
  }
  const messages = to.received - receivedBefore;
  const perSecond = (messages / (nowMs - startMs)) * 1000;
  const drops = ((100 * (dropsOf(from, to) - dropsBefore)) / sent).toFixed(1);
  const rate = `${Math.round(perSecond).toLocaleString('en').padStart(9)} /s`;
  const bytes = `${((perSecond * frameBytes) / 2 ** 20).toFixed(0).padStart(6)} MiB/s`;
  process.stdout.write(
    `${String(frameBytes).padStart(8)} bytes, ${String(underWay).padStart(4)} under way, ${String(groups).padStart(3)} groups ${rate} ${bytes}, ${drops} % dropped\n`,
  );
  while (ended() < sent) await new Promise((resolve) => setImmediate(resolve));
}

const seconds = Number(process.argv[2] ?? 2);
const nodes: Node[] = [];
for (const nodeId of [1, 2]) nodes.push(new Node(nodeId, (peer) => nodes[peer - 1]!.transport.ports));
const [from, to] = nodes as [Node, Node];
for (const { transport } of nodes) await transport.listen();
from.say(RAFT_OUT.address, 2, Buffer.from('127.0.0.1'));
for (const each of ROWS) await row(from, to, seconds, each);
for (const { transport } of nodes) transport.close();
