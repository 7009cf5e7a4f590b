/**
 * Disk workers of several nodes on threads of their own, whose raft messages the test carries from one to the other: what is main's and the network's in a cluster. Each has partition 7 with all nodes for hosts.
 */
import type { Test } from 'tap';
import { native } from '../../src/native/addon.js';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import { COMMAND, type CommandAnswer } from '../../src/partition/messages.js';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { RAFT_IN, RAFT_OUT } from '../../src/raft/ports.js';
import { WorkerHandle } from '../../src/server/workerHandle.js';
import { WorkerPort } from '../../src/server/workerPort.js';
import { MessageRingConsumer, MessageRingProducer } from '../../src/shm/messageRing.js';
import { RingConsumer, RingProducer } from '../../src/shm/ring.js';
import { PARTITION_FLAG, PartitionTable } from '../../src/shm/tables.js';
import type { DiskWorkerData } from '../../src/workers/workerData.js';
import { loneRaftMemory } from '../support/loneWorker.js';
import { until } from '../support/until.js';
import {
  newRoot,
  PARTITION,
  put,
  type Reply,
  type Request,
  readReplies,
  type WorkerRun,
  workerData,
} from './workerRig.js';

const FRAME_HEAD_BYTES = 4;
const TAGS = 64;
const BOUND_MS = 30_000;

/** Service address of a node. */
export function hostOf(nodeId: number): string {
  return `10.0.0.${nodeId}:17310`;
}

/** One of several workers of a disk. */
export type SharedDisk = Pick<DiskWorkerData, 'member' | 'members' | 'workers' | 'limits'> & {
  word: Int32Array;
};

/** One end of a port, with a tag for each request. */
class Client {
  private readonly run: WorkerRun = {
    space: null as never,
    replies: new Map(),
    assigned: new Map(),
    events: [],
  };
  private readonly requests: RingProducer;
  private readonly replies: RingConsumer;
  private readonly slab: Uint8Array;
  private nextTag = 0;

  constructor(data: DiskWorkerData, port: number) {
    const memory = data.ports[port]!;
    this.requests = new RingProducer(memory.requests);
    this.replies = new RingConsumer(memory.replies);
    this.slab = new Uint8Array(memory.slab);
  }

  send(request: Omit<Request, 'connection'>): number {
    const tag = this.nextTag;
    this.nextTag = (tag + 1) % TAGS;
    this.run.replies.delete(tag);
    // A connection that has failed once is served no more.
    put(this.requests, this.slab, tag, { ...request, connection: tag % 32 });
    this.requests.publish();
    return tag;
  }

  reply(tag: number): Reply | undefined {
    readReplies(this.replies, this.slab, new Map(), this.run);
    this.replies.release();
    return this.run.replies.get(tag);
  }
}

export class RaftWorkerNode {
  readonly nodeId: number;
  readonly data: DiskWorkerData;
  readonly handle: WorkerHandle;
  /** Events of groups and log lines, as told to main. */
  readonly events: { kind: number; value: unknown }[] = [];
  readonly lines: string[] = [];
  /** What it has told main beside messages and addresses. */
  readonly told: { kind: number; a: number; text: string }[] = [];
  /** What it has told of addresses. */
  readonly addresses = new Map<number, string>();
  readonly out: MessageRingConsumer;
  readonly in: MessageRingProducer;
  stopped: boolean | null = null;
  private readonly clients: Client;
  private readonly own: Client;

  /** @param shared what the workers of one disk share, and which of them it is. */
  constructor(root: string, nodeId: number, shared?: SharedDisk) {
    this.nodeId = nodeId;
    const own = { ...workerData({ root, writes: 'always' }), raft: loneRaftMemory(nodeId) };
    const {
      word = own.raft.word,
      member = 0,
      members = 1,
      workers = own.workers,
      limits = own.limits,
    } = shared ?? {};
    const raft = { ...own.raft, word };
    this.data = { ...own, raft, workers, limits, members, member, index: member };
    this.out = new MessageRingConsumer(raft.fromWorker);
    this.in = new MessageRingProducer(raft.toWorker);
    const nothing = (): void => {};
    const port = new WorkerPort(0, 0, root, this.data.ports[0]!, this.data.doorbell, native.ringDoorbell);
    this.handle = new WorkerHandle(this.data, port, {
      ...{ attached: nothing, refused: nothing, loaded: nothing, bodyPiece: nothing, damaged: nothing },
      failed: (_handle, reason) => this.lines.push(reason),
      died: (_handle, reason) => this.lines.push(reason),
      log: (_handle, { message }) => this.lines.push(message),
      group: (_handle, kind, value) => this.events.push({ kind, value }),
      stopped: (_handle, clean) => {
        this.stopped = clean;
      },
    });
    this.clients = new Client(this.data, 0);
    this.own = new Client(this.data, 1);
  }

  get leads(): boolean {
    const table = new PartitionTable(this.data.partitions);
    const row = table.rowOf(PARTITION.partitionId);
    return row >= 0 && (table.flags(row) & PARTITION_FLAG.leader) !== 0;
  }

  wake(): void {
    native.ringDoorbell(this.data.doorbell);
  }

  /** Sends a request of a client, or of the node's own work; gives what asks for the reply. */
  send(request: Omit<Request, 'connection'>): () => Reply | undefined {
    const client = request.internal ? this.own : this.clients;
    const tag = client.send(request);
    this.wake();
    return () => client.reply(tag);
  }
}

export class RaftWorkers {
  readonly nodes: RaftWorkerNode[];
  /** Whether a message goes through. */
  passes: (from: number, to: number) => boolean = () => true;

  private constructor(nodes: RaftWorkerNode[]) {
    this.nodes = nodes;
  }

  /** Workers that the test starts and ends itself. */
  static of(nodes: RaftWorkerNode[]): RaftWorkers {
    return new RaftWorkers(nodes);
  }

  /** Workers of `count` nodes, loaded, with partition 7; they end with the test. */
  static async start(t: Test, count: number): Promise<RaftWorkers> {
    const ids = Array.from({ length: count }, (_, i) => i + 1);
    const rig = new RaftWorkers(ids.map((id) => new RaftWorkerNode(newRoot(t), id)));
    t.teardown(async () => {
      for (const { handle } of rig.nodes) handle.stop();
      await rig.until('the end of the workers', () => rig.nodes.every(({ handle }) => handle.stopped));
    });
    await rig.until('the workers are loaded', () => rig.nodes.every(({ handle }) => handle.loaded));
    const members = ids.map((id) => ({ id, addr: hostOf(id) }));
    const partition = { ...PARTITION, members, hosts: ids.map(hostOf) };
    for (const node of rig.nodes) await rig.command(node, COMMAND.createPartition, partition);
    return rig;
  }

  /** Carries what there is to carry. */
  carry(): void {
    for (const node of this.nodes) {
      node.handle.drainEvents();
      node.out.read((kind, a, bytes) => {
        const text = Buffer.from(bytes).toString();
        if (kind === RAFT_OUT.address) node.addresses.set(a, text);
        else if (kind !== RAFT_OUT.message) node.told.push({ kind, a, text });
        if (kind !== RAFT_OUT.message || !this.passes(node.nodeId, a)) return;
        const to = this.nodes.find(({ nodeId }) => nodeId === a);
        if (to?.in.write(RAFT_IN.message, node.nodeId, bytes.subarray(FRAME_HEAD_BYTES))) to.wake();
      }, 10_000);
    }
  }

  async until(what: string, condition: () => boolean): Promise<void> {
    await until(
      what,
      () => {
        this.carry();
        return condition();
      },
      BOUND_MS,
    );
  }

  async command(
    node: RaftWorkerNode,
    kind: (typeof COMMAND)[keyof typeof COMMAND],
    value: unknown,
  ): Promise<CommandAnswer> {
    let answer: CommandAnswer | null = null;
    void node.handle.ask(kind, value).then((one) => {
      answer = one;
    });
    await this.until(`an answer to command ${kind}`, () => answer !== null);
    return answer!;
  }

  async ask(node: RaftWorkerNode, request: Omit<Request, 'connection'>): Promise<Reply> {
    const reply = node.send(request);
    await this.until(`a reply to 0x${request.opcode.toString(16)}`, () => reply() !== undefined);
    return reply()!;
  }

  async serve(): Promise<void> {
    for (const node of this.nodes) await this.command(node, COMMAND.serve, {});
  }

  /** The one node of `among` that says it leads. */
  async leader(among: readonly RaftWorkerNode[] = this.nodes): Promise<RaftWorkerNode> {
    await this.until('a leader', () => among.filter(({ leads }) => leads).length === 1);
    return among.find(({ leads }) => leads)!;
  }

  /** Extent 1025 with this content on every node. */
  async fill(body: Uint8Array): Promise<void> {
    for (const node of this.nodes) {
      await this.ask(node, { opcode: INTERNAL_OP.createExtent, extentId: 1025, internal: true });
      const written = await this.ask(node, { opcode: OP.write, extentId: 1025, body, internal: true });
      if (written.resultCode !== RESULT.ok) throw new Error(written.text);
    }
  }

  randomWrite(node: RaftWorkerNode, extentOffset: number, body: Uint8Array): Promise<Reply> {
    return this.ask(node, { opcode: OP.randomWrite, extentId: 1025, extentOffset, body });
  }

  read(node: RaftWorkerNode, opcode: number, size: number): Promise<Reply> {
    return this.ask(node, { opcode, extentId: 1025, size });
  }
}
