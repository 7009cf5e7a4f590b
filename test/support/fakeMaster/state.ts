/**
 * What a master knows: nodes, volumes, partitions, and what nodes have posted (`admin.md` 4.2, 5.1, 14). Pure but for its clock: who sends and who listens is in the
 * files beside it. All masters of a cluster share one state, as a raft group does.
 */
import type { FakeClock } from './clock.js';
import type { LoadedFile } from './compare.js';
import { NodeConnections } from './packets.js';
import { OPCODE, type Task, TaskList } from './tasks.js';

const INACTIVE_SECONDS = 180;
const CODE = { success: 0, parameter: 2, volNotExists: 7, partitionNotExists: 9, nodeNotExists: 10 } as const;

export interface FakeNode {
  id: number;
  addr: string;
  /** As told at the registration. */
  zoneName: string | null;
  connections: NodeConnections;
  tasks: TaskList;
  /** Last accepted heartbeat response, and when; null before the first. */
  heartbeat: HeartbeatBody | null;
  heartbeatSeconds: number;
  heartbeats: number;
}

export interface HeartbeatBody {
  Total: number;
  Available: number;
  CreatedPartitionCnt: number;
  RackName: string;
  PartitionReports: { PartitionID: number; VolName: string; PartitionStatus: number; DiskPath: string }[];
  Status: number;
  Result: string;
  BadDisks: string[];
}

interface LoadBody {
  PartitionId: number;
  PartitionSnapshot: LoadedFile[] | null;
  Status: number;
  Result: string;
}

export interface FakePartition {
  id: number;
  volume: string;
  sizeBytes: number;
  hosts: string[];
  peers: { id: number; addr: string }[];
  /** Path of each replica's disk, by address. */
  replicas: Map<string, string>;
  /** Answers to the last load, by address; null: failed. */
  loads: Map<string, LoadBody>;
}

/** The reply of one call; errors come with HTTP 200 too. */
export interface Envelope {
  code: number;
  msg: string;
  data: unknown;
}

export class MasterState {
  readonly name: string;
  readonly clock: FakeClock;
  readonly nodes = new Map<string, FakeNode>();
  readonly partitions = new Map<number, FakePartition>();
  readonly volumes = new Map<string, { isDeleted: boolean }>();
  /** Responses that were taken with 200 and thrown away, with the reason. */
  readonly rejected: string[] = [];
  /** Every posted response, as text. */
  readonly posted: string[] = [];
  #nextId = 2;

  constructor(name: string, clock: FakeClock) {
    this.name = name;
    this.clock = clock;
  }

  /** Ids of nodes and partitions come from one counter. */
  newId(): number {
    return this.#nextId++;
  }

  /** A call of a node. */
  answer(path: string, query: URLSearchParams, body: string, peerIp: string): Envelope {
    switch (path) {
      case '/admin/getIp':
        return success({ Cluster: this.name, Ip: peerIp });
      case '/dataNode/add':
        return this.#addNode(query.get('addr'), query.get('zoneName'));
      case '/dataNode/get':
        return this.#getNode(query.get('addr'));
      case '/dataPartition/get':
        return this.#getPartition(query.get('id'), query.get('name'));
      case '/dataNode/response':
        return this.#takeResponse(body);
      default:
        return refuse(CODE.parameter, `no ${path}`);
    }
  }

  isActive({ heartbeat, heartbeatSeconds }: FakeNode): boolean {
    return heartbeat !== null && this.clock.seconds() - heartbeatSeconds <= INACTIVE_SECONDS;
  }

  #addNode(addr: string | null, zoneName: string | null): Envelope {
    if (addr === null) return refuse(CODE.parameter, 'parameter addr not found');
    const known = this.nodes.get(addr);
    if (known !== undefined) return success(known.id);
    const connections = new NodeConnections(addr);
    const node: FakeNode = {
      id: this.newId(),
      addr,
      zoneName,
      connections,
      tasks: new TaskList(this.clock, connections),
      heartbeat: null,
      heartbeatSeconds: 0,
      heartbeats: 0,
    };
    this.nodes.set(addr, node);
    return success(node.id);
  }

  #getNode(addr: string | null): Envelope {
    const node = this.nodes.get(addr ?? '');
    if (node === undefined) return refuse(CODE.nodeNotExists, 'data node not exists');
    const here = [...this.partitions.values()].filter(({ hosts }) => hosts.includes(node.addr));
    return success({
      TotalWeight: node.heartbeat?.Total ?? 1,
      ID: node.id,
      Rack: '',
      Addr: node.addr,
      TaskManager: { TaskMap: {} },
      DataPartitionReports: node.heartbeat?.PartitionReports ?? null,
      NodeSetID: 1,
      PersistenceDataPartitions: here.map(({ id }) => id),
      BadDisks: node.heartbeat?.BadDisks ?? null,
    });
  }

  #getPartition(id: string | null, name: string | null): Envelope {
    if (id === null) return refuse(CODE.parameter, 'parameter id not found');
    if (name !== null && !this.volumes.has(name)) return refuse(CODE.volNotExists, 'vol not exists');
    const partition = this.partitions.get(Number(id));
    if (partition === undefined) return refuse(CODE.partitionNotExists, 'data partition not exists');
    const { hosts, peers, volume, sizeBytes } = partition;
    return success({
      PartitionID: partition.id,
      LastLoadedTime: 0,
      ReplicaNum: hosts.length,
      Status: 2,
      Replicas: hosts.map((Addr) => ({ Addr, TotalSize: sizeBytes, DiskPath: partition.replicas.get(Addr) })),
      Hosts: hosts,
      Peers: peers,
      MissingNodes: {},
      VolName: volume,
      VolID: 1,
      FileInCoreMap: {},
      FilesWithMissingReplica: {},
    });
  }

  /** The reply is success whatever the response is, as long as it is a task; what comes of it is seen here only. */
  #takeResponse(body: string): Envelope {
    let task: Task;
    try {
      task = JSON.parse(body) as Task;
    } catch (error) {
      return refuse(CODE.parameter, (error as Error).message);
    }
    this.posted.push(body);
    const problem = this.#apply(task);
    if (problem !== null) this.rejected.push(problem);
    return success('200');
  }

  #apply(task: Task): string | null {
    const node = this.nodes.get(task.OperatorAddr);
    if (node === undefined) return `unknown node ${task.OperatorAddr}`;
    node.tasks.pending.delete(task.ID);
    if (task.Response === null) return `no response in ${task.ID}`;
    switch (task.OpCode) {
      case OPCODE.heartbeat:
        return this.#applyHeartbeat(node, task.Response as HeartbeatBody);
      case OPCODE.load:
        return this.#applyLoad(node, task.Response as LoadBody);
      case OPCODE.delete:
        return this.#applyDelete(node, task.Response as { Status: number; PartitionId: number });
      default:
        return `unknown operate code ${task.OpCode}`;
    }
  }

  #applyHeartbeat(node: FakeNode, response: HeartbeatBody): string | null {
    if (response.Status !== 1) return `heartbeat of ${node.addr}: ${response.Result}`;
    node.heartbeat = response;
    node.heartbeatSeconds = this.clock.seconds();
    node.heartbeats += 1;
    return null;
  }

  #applyLoad(node: FakeNode, response: LoadBody): string | null {
    if (response.Status === 2 || response.PartitionSnapshot === null)
      return `load of ${response.PartitionId} on ${node.addr}: ${response.Result}`;
    const partition = this.partitions.get(response.PartitionId);
    if (partition === undefined) return `load of unknown partition ${response.PartitionId}`;
    partition.loads.set(node.addr, response);
    return null;
  }

  #applyDelete(node: FakeNode, response: { Status: number; PartitionId: number }): string | null {
    if (response.Status !== 1) return `delete of ${response.PartitionId} on ${node.addr} failed`;
    this.partitions.get(response.PartitionId)?.replicas.delete(node.addr);
    return null;
  }
}

function success(data: unknown): Envelope {
  return { code: CODE.success, msg: 'success', data };
}

function refuse(code: number, msg: string): Envelope {
  return { code, msg, data: null };
}
