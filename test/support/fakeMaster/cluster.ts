/**
 * A cluster of fake masters for integration tests: their servers, one state, and the leader's periodic work. Written from the description of the real ones (`admin.md` 4, 5.1,
 * 5.2, 14) without any code of the node, so that both cannot be wrong in the same way.
 */
import type { Teardown } from '../nodeProcess.js';
import { FakeClock } from './clock.js';
import { type Comparison, compareLoads } from './compare.js';
import { MasterServer } from './server.js';
import { type FakeNode, type FakePartition, MasterState } from './state.js';
import { newTask, OPCODE } from './tasks.js';

const HEARTBEAT_SECONDS = 60;
const SCAN_SECONDS = 2;
/** A node with less than this gets no new partition. */
const PLACEMENT_BYTES_MIN = 10 * 1024 ** 3;

export interface ClusterOptions {
  masters?: number;
  /** Real ms of one second of the masters. Default: a heartbeat each 300 ms. */
  msPerSecond?: number;
}

export class FakeCluster {
  readonly state: MasterState;
  readonly servers: MasterServer[];
  #leader: MasterServer | null = null;
  #ends: (() => Promise<void>)[] = [];

  constructor(options: ClusterOptions = {}) {
    const { masters = 1, msPerSecond = 5 } = options;
    this.state = new MasterState('fake', new FakeClock(msPerSecond));
    const peers = { state: this.state, leader: () => this.#leader?.addr ?? null };
    this.servers = Array.from({ length: masters }, () => new MasterServer(peers));
  }

  /** Starts every server; the first one leads. Ends with the test. */
  static async start(t: Teardown, options: ClusterOptions = {}): Promise<FakeCluster> {
    const cluster = new FakeCluster(options);
    t.teardown(() => cluster.stop());
    for (const server of cluster.servers) await server.start();
    cluster.elect(0);
    const { clock } = cluster.state;
    cluster.#ends = [
      clock.every(HEARTBEAT_SECONDS, () => cluster.sendHeartbeats()),
      clock.every(SCAN_SECONDS, () => cluster.#scan()),
    ];
    return cluster;
  }

  get addrs(): string[] {
    return this.servers.map(({ addr }) => addr);
  }

  /** Makes a server the leader, or nobody. A new leader sends heartbeats at once. */
  elect(index: number | null): void {
    this.#leader = index === null ? null : this.servers[index]!;
    if (index !== null) this.sendHeartbeats();
  }

  async stop(): Promise<void> {
    for (const { connections } of this.state.nodes.values()) connections.close();
    await Promise.all(this.#ends.map((end) => end()));
    await Promise.all(this.servers.map((server) => server.stop()));
    for (const { connections } of this.state.nodes.values()) connections.close();
  }

  /** Puts a heartbeat task onto each node's list. */
  sendHeartbeats(): void {
    if (this.#leader === null) return;
    const { clock, nodes } = this.state;
    for (const { addr, tasks } of nodes.values()) {
      const request = { CurrTime: clock.seconds(), MasterAddr: this.#leader.addr };
      tasks.add(newTask(clock, OPCODE.heartbeat, addr, null, request));
    }
  }

  /** The node table is lost, the rest is kept. */
  forgetNodes(): void {
    for (const { connections } of this.state.nodes.values()) connections.close();
    this.state.nodes.clear();
  }

  /** Creates a volume with `count` partitions on all eligible nodes. Where a replica fails the others are deleted again, and it rejects. */
  async createVolume(name: string, count: number, sizeBytes: number): Promise<FakePartition[]> {
    this.state.volumes.set(name, { isDeleted: false });
    const made: FakePartition[] = [];
    for (let number = 0; number < count; number++) made.push(await this.createPartition(name, sizeBytes));
    return made;
  }

  async createPartition(volume: string, sizeBytes: number): Promise<FakePartition> {
    const nodes = [...this.state.nodes.values()].filter((node) => this.#isEligible(node));
    if (nodes.length === 0) throw new Error('no enough data nodes');
    const id = this.state.newId();
    const partition: FakePartition = {
      id,
      volume,
      sizeBytes,
      hosts: nodes.map(({ addr }) => addr),
      peers: nodes.map(({ id: nodeId, addr }) => ({ id: nodeId, addr })),
      replicas: new Map(),
      loads: new Map(),
    };
    try {
      for (const node of nodes) partition.replicas.set(node.addr, await this.create(node, partition));
    } catch (error) {
      for (const addr of partition.replicas.keys()) this.#delete(partition, addr);
      throw error;
    }
    this.state.partitions.set(id, partition);
    return partition;
  }

  /** A creation on one node; resolves with the path of its disk. */
  create(node: FakeNode, partition: FakePartition): Promise<string> {
    const request = {
      PartitionType: '',
      PartitionId: partition.id,
      PartitionSize: partition.sizeBytes,
      VolumeId: partition.volume,
      IsRandomWrite: true,
      Members: partition.peers,
      Hosts: partition.hosts,
      CreateType: 0,
    };
    return node.tasks.send(newTask(this.state.clock, OPCODE.create, node.addr, partition.id, request));
  }

  /** Has all live hosts load a partition; `comparison` once they have answered. */
  load(partition: FakePartition): void {
    partition.loads.clear();
    for (const addr of partition.hosts) {
      const request = { PartitionId: partition.id };
      const task = newTask(this.state.clock, OPCODE.load, addr, partition.id, request);
      this.state.nodes.get(addr)?.tasks.add(task);
    }
  }

  /** What the loads of a partition say, as of `nowSeconds` (unix); null until all hosts have answered. */
  comparison(partition: FakePartition, nowSeconds: number): Comparison | null {
    if (partition.hosts.some((addr) => !partition.loads.has(addr))) return null;
    const lists = [...partition.loads].map(([addr, load]) => [addr, load.PartitionSnapshot ?? []] as const);
    return compareLoads(new Map(lists), nowSeconds);
  }

  /** Marks a volume as deleted and has its replicas deleted. */
  deleteVolume(name: string): void {
    this.state.volumes.set(name, { isDeleted: true });
    for (const partition of this.state.partitions.values())
      if (partition.volume === name) for (const addr of partition.hosts) this.#delete(partition, addr);
  }

  /** A deleted volume whose last replica is gone. */
  isGone(name: string): boolean {
    const left = [...this.state.partitions.values()].filter(({ volume }) => volume === name);
    return (
      this.state.volumes.get(name)?.isDeleted === true && left.every(({ replicas }) => replicas.size === 0)
    );
  }

  #delete({ id, sizeBytes }: FakePartition, addr: string): void {
    const request = { DataPartitionType: '', PartitionId: id, PartitionSize: sizeBytes };
    this.state.nodes.get(addr)?.tasks.add(newTask(this.state.clock, OPCODE.delete, addr, id, request));
  }

  #isEligible(node: FakeNode): boolean {
    return this.state.isActive(node) && node.heartbeat!.Available > PLACEMENT_BYTES_MIN;
  }

  async #scan(): Promise<void> {
    if (this.#leader === null) return;
    await Promise.all([...this.state.nodes.values()].map(({ tasks }) => tasks.scan()));
  }
}
