/**
 * The embedded master's HTTP paths: what a data node asks a master (`admin.md` 4), in the real master's words, what operators ask it to do with replicas, and for people and tests
 * `/status` and `/dataPartition/load`.
 *
 * Pure routing over the `Cluster` that `master.ts` gives it.
 */
import { isIPv4 } from 'node:net';
import { type HttpRequest, type HttpResponse, plain } from '../http/httpServer.js';
import { type LoadResponse, loadResponse } from '../protocol/adminBodies.js';
import { type AdminTask, decodeAdminTask } from '../protocol/adminTask.js';
import { decodeHeartbeatResponse, type HeartbeatResponse, heartbeatResponse } from '../protocol/heartbeat.js';
import { decodeValue } from '../protocol/jsonCodec.js';
import { OP } from '../protocol/opcodes.js';
import { createdOn, type MasterNode, type MasterPartition, type MasterState } from './masterState.js';
import type { ReplicaMoves } from './replicaMoves.js';
import { leaderOf, type ReplicaView, statusOf } from './replicaView.js';

/** What the routes need of the master. */
export interface Cluster {
  readonly name: string;
  readonly state: MasterState;
  /** Registers a node; resolves when it is remembered. */
  register(addr: string): Promise<MasterNode>;
  /** A node's newest heartbeat response since its registration, and its time, unix ms. */
  heartbeatOf(node: MasterNode): { response: HeartbeatResponse; atMs: number } | null;
  /** Time without a heartbeat response after which a node counts as away, ms. */
  readonly silenceMs: number;
  /** Takes a heartbeat response. */
  received(node: MasterNode, response: HeartbeatResponse): void;
  /** Has a node load a partition; its response, null when none came. */
  load(node: MasterNode, partitionId: number): Promise<LoadResponse | null>;
  /** What operators do with replicas. */
  readonly moves: Pick<ReplicaMoves, 'add' | 'delete' | 'decommission'>;
  /** Takes a load response. */
  loaded(node: MasterNode, response: LoadResponse): void;
}

/** Codes of the real master (`admin.md` 4.1). */
const CODE = {
  success: 0,
  internal: 1,
  parameter: 2,
  volNotExists: 7,
  partitionNotExists: 9,
  nodeNotExists: 10,
} as const;

/** The HTTP calls that a data node makes (`admin.md` 4.2), the clients' view of the partitions, and `/status` for people and tests. Errors come in the master's envelope. */
export function createMasterApi(cluster: Cluster): (request: HttpRequest) => Promise<HttpResponse> {
  return async (request) => {
    const parameters = new URLSearchParams(request.query);
    switch (request.path) {
      case '/admin/getIp':
        return success(JSON.stringify({ Cluster: cluster.name, Ip: request.peer }));
      case '/dataNode/add':
        return addNode(cluster, parameters.get('addr'));
      case '/dataNode/get':
        return getNode(cluster, parameters.get('addr'));
      case '/dataPartition/get':
        return getPartition(cluster, parameters.get('id'));
      case '/client/partitions':
        return getClientView(cluster, parameters.get('name'));
      case '/dataPartition/load':
        return loadPartition(cluster, parameters.get('id'));
      case '/dataReplica/add':
        return moveReplica(cluster, 'add', parameters);
      case '/dataReplica/delete':
        return moveReplica(cluster, 'delete', parameters);
      case '/dataPartition/decommission':
        return moveReplica(cluster, 'decommission', parameters);
      case '/dataNode/response':
        return takeResponse(cluster, request.body);
      case '/status':
        return { status: 200, contentType: 'application/json', body: statusText(cluster) };
      default:
        return plain(404, '404 page not found');
    }
  };
}

async function addNode(cluster: Cluster, addr: string | null): Promise<HttpResponse> {
  if (addr === null || !isAddress(addr)) return refuse(CODE.parameter, 'parameter addr not found');
  const node = await cluster.register(addr);
  return success(String(node.id));
}

function getNode(cluster: Cluster, addr: string | null): HttpResponse {
  const node = cluster.state.nodes.find((candidate) => candidate.addr === addr);
  if (node === undefined) return refuse(CODE.nodeNotExists, 'data node not exists');
  const heartbeat = cluster.heartbeatOf(node);
  const reports = heartbeat?.response.partitionReports ?? [];
  const body = {
    TotalWeight: heartbeat?.response.total ?? 0,
    UsedWeight: heartbeat?.response.used ?? 0,
    AvailableSpace: heartbeat?.response.available ?? 0,
    ID: node.id,
    Rack: 'default',
    Addr: node.addr,
    ReportTime: heartbeat === null ? '0001-01-01T00:00:00Z' : new Date(heartbeat.atMs).toISOString(),
    UsageRatio: heartbeat === null ? 0 : heartbeat.response.used / Math.max(1, heartbeat.response.total),
    SelectedTimes: 0,
    Carry: 0,
    TaskManager: { TaskMap: {} },
    DataPartitionReports: null,
    DataPartitionCount: reports.length,
    NodeSetID: 1,
    PersistenceDataPartitions: createdOn(cluster.state, node.addr),
    BadDisks: heartbeat?.response.badDisks ?? null,
  };
  return success(JSON.stringify(body));
}

function getPartition(cluster: Cluster, id: string | null): HttpResponse {
  if (id === null || !/^[0-9]+$/.test(id)) return refuse(CODE.parameter, 'parameter id not found');
  const partition = cluster.state.partitions.find((candidate) => candidate.id === Number(id));
  if (partition === undefined) return refuse(CODE.partitionNotExists, 'data partition not exists');
  const replicas = replicasOf(cluster, partition);
  const body = {
    PartitionID: partition.id,
    LastLoadedTime: 0,
    ReplicaNum: partition.hosts.length,
    Status: statusOf(replicas),
    Replicas: replicas.map((replica) => replicaBody(partition, replica)),
    Hosts: partition.hosts,
    Peers: partition.peers,
    MissingNodes: {},
    VolName: cluster.state.volume,
    VolID: 1,
    FileInCoreMap: {},
    FilesWithMissingReplica: {},
  };
  return success(JSON.stringify(body));
}

/** Has every registered host load the partition, and shows their responses as they posted them; null for one that did not. */
async function loadPartition(cluster: Cluster, id: string | null): Promise<HttpResponse> {
  if (id === null || !/^[0-9]+$/.test(id)) return refuse(CODE.parameter, 'parameter id not found');
  const partition = cluster.state.partitions.find((candidate) => candidate.id === Number(id));
  if (partition === undefined) return refuse(CODE.partitionNotExists, 'data partition not exists');
  const nodes = cluster.state.nodes.filter(({ addr }) => partition.hosts.includes(addr));
  const responses = await Promise.all(nodes.map((node) => cluster.load(node, partition.id)));
  const texts = responses.map((response) => (response === null ? 'null' : loadResponse.encode(response)));
  return success(`[${texts.join(',')}]`);
}

/** Adds, deletes or moves a replica; answered when its group, and the nodes that come and go, have done it. A new replica is created then, and joins by repair. */
async function moveReplica(
  cluster: Cluster,
  move: 'add' | 'delete' | 'decommission',
  parameters: URLSearchParams,
): Promise<HttpResponse> {
  const id = parameters.get('id') ?? '';
  const addr = parameters.get('addr') ?? '';
  if (!/^[0-9]+$/.test(id)) return refuse(CODE.parameter, 'parameter id not found');
  if (addr === '') return refuse(CODE.parameter, 'parameter addr not found');
  const partition = cluster.state.partitions.find((candidate) => candidate.id === Number(id));
  if (partition === undefined) return refuse(CODE.partitionNotExists, 'data partition not exists');
  const moved = await cluster.moves[move](partition, addr);
  if (!moved.ok) return refuse(moved.unknownNode ? CODE.nodeNotExists : CODE.internal, moved.message);
  const done =
    move === 'decommission'
      ? `/dataPartition/decommission dataPartitionID :${id}  on node:${addr} successfully`
      : `data partitionID :${id}  ${move} replica [${addr}] successfully`;
  return success(JSON.stringify(done));
}

/** What clients ask a master: every partition with its hosts, the primary first. */
function getClientView(cluster: Cluster, name: string | null): HttpResponse {
  if (name === null) return refuse(CODE.parameter, 'parameter name not found');
  if (name !== cluster.state.volume) return refuse(CODE.volNotExists, 'vol not exists');
  const partitions = cluster.state.partitions.map((partition) => {
    const replicas = replicasOf(cluster, partition);
    return {
      PartitionID: partition.id,
      Status: statusOf(replicas),
      ReplicaNum: replicas.length,
      Hosts: partition.hosts,
      LeaderAddr: leaderOf(replicas),
      Epoch: 0,
    };
  });
  return success(JSON.stringify({ DataPartitions: partitions }));
}

/** Address of a partition's leader, as the newest heartbeats tell; empty: none does. */
export function knownLeader(cluster: Cluster, partition: MasterPartition): string {
  return leaderOf(replicasOf(cluster, partition));
}

/** Whether a node has answered a heartbeat lately. */
export function isLive(cluster: Cluster, node: MasterNode): boolean {
  const heartbeat = cluster.heartbeatOf(node);
  return heartbeat !== null && Date.now() - heartbeat.atMs <= cluster.silenceMs;
}

/** The replicas in host order, as the newest heartbeats of their nodes tell of them. */
function replicasOf(cluster: Cluster, partition: MasterPartition): ReplicaView[] {
  return partition.hosts.map((addr, index) => {
    const node = cluster.state.nodes.find((candidate) => candidate.addr === addr);
    const heartbeat = node === undefined ? null : cluster.heartbeatOf(node);
    return {
      addr,
      diskPath: partition.diskPaths[index] ?? '',
      isLive: node !== undefined && isLive(cluster, node),
      reportedAtMs: heartbeat?.atMs ?? 0,
      report: heartbeat?.response.partitionReports.find((one) => one.partitionId === partition.id) ?? null,
    };
  });
}

function replicaBody(
  partition: MasterPartition,
  { addr, diskPath, reportedAtMs, report }: ReplicaView,
): object {
  return {
    Addr: addr,
    ReportTime: Math.floor(reportedAtMs / 1000),
    FileCount: report?.extentCount ?? 0,
    Status: report?.status ?? 2,
    HasLoadResponse: false,
    TotalSize: partition.sizeBytes,
    UsedSize: report?.used ?? 0,
    IsLeader: report?.isLeader ?? false,
    NeedsToCompare: report?.needCompare ?? false,
    DiskPath: diskPath,
  };
}

function takeResponse(cluster: Cluster, body: Buffer): HttpResponse {
  const task = decodeAdminTask(body);
  if (!task.ok) return refuse(CODE.parameter, task.message);
  const node = cluster.state.nodes.find((candidate) => candidate.addr === task.value.operatorAddr);
  if (node === undefined) return refuse(CODE.nodeNotExists, 'data node not exists');
  if (task.value.opcode === OP.dataNodeHeartbeat) return takeHeartbeat(cluster, node, task.value);
  if (task.value.opcode === OP.loadDataPartition) return takeLoad(cluster, node, task.value);
  return success('"200"');
}

function takeLoad(cluster: Cluster, node: MasterNode, task: AdminTask): HttpResponse {
  const response = decodeValue(loadResponse, task.response);
  if (!response.ok) return refuse(CODE.parameter, response.message);
  cluster.loaded(node, response.value);
  return success('"200"');
}

function takeHeartbeat(cluster: Cluster, node: MasterNode, task: AdminTask): HttpResponse {
  const response = decodeHeartbeatResponse(task.response);
  if (!response.ok) return refuse(CODE.parameter, response.message);
  if (response.value.status !== 1) return refuse(CODE.internal, response.value.result);
  cluster.received(node, response.value);
  return success('"200"');
}

function statusText(cluster: Cluster): string {
  const nodes = cluster.state.nodes.map((node) => {
    const heartbeat = cluster.heartbeatOf(node);
    return {
      ...node,
      heartbeatAtMs: heartbeat?.atMs ?? null,
      heartbeat: heartbeat === null ? null : JSON.parse(heartbeatResponse.encode(heartbeat.response)),
    };
  });
  const { volume, partitions } = cluster.state;
  return `${JSON.stringify({ cluster: cluster.name, volume, nodes, partitions }, null, 1)}\n`;
}

function isAddress(text: string): boolean {
  const colon = text.lastIndexOf(':');
  const port = text.slice(colon + 1);
  return (
    isIPv4(text.slice(0, colon)) && /^[0-9]{1,5}$/.test(port) && Number(port) > 0 && Number(port) < 65_536
  );
}

/** Errors come with HTTP status 200, as from the real master. */
function refuse(code: number, message: string): HttpResponse {
  return envelope(code, message, 'null');
}

function success(dataJson: string): HttpResponse {
  return envelope(CODE.success, 'success', dataJson);
}

function envelope(code: number, message: string, dataJson: string): HttpResponse {
  const body = `{"code":${code},"msg":${JSON.stringify(message)},"data":${dataJson}}`;
  return { status: 200, contentType: 'application/json', body };
}
