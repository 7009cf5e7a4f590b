/**
 * What main knows of the node's partitions and disks: the registry behind routing, heartbeats and the debug API.
 *
 * Identity comes from the workers' attach events, numbers from the shared tables, so nothing here waits for a disk.
 */
import type {
  CreatePartitionRequest,
  DiskInfo,
  NodeView,
  Outcome,
  PartitionInfo,
  Status,
} from '../control/nodeView.js';
import {
  type AttachedPartition,
  COMMAND,
  type CommandAnswer,
  type MemberCommand,
  type MemberOutcome,
} from '../partition/messages.js';
import { diskNotExist, ERROR_TEXT, partitionNotExist, partitionNotFound } from '../protocol/errors.js';
import type { MemberChange, MemberChangeKind } from '../protocol/memberChange.js';
import type { RepairPartition } from '../repair/messages.js';
import { DiskTable, PARTITION_FLAG, PartitionTable, type TableMemory } from '../shm/tables.js';
import type { NetworkThread } from './networkThread.js';
import type { PartitionWatcher } from './repairer.js';
import type { WorkerHandle } from './workerHandle.js';

interface Registered {
  info: AttachedPartition;
  handle: WorkerHandle;
  /** See `NodeView.attachments`. */
  attachment: number;
  /** Current replicas: the master's list, or META's as long as there is none. */
  replicas: readonly string[];
  /** Why its raft group does not run; empty: nothing is known against it. */
  raftProblem: string;
  /** The master has told the replicas in this process. */
  isTold: boolean;
}

/** One disk as configured, with the tables of its workers. */
export interface DiskState {
  path: string;
  handles: WorkerHandle[];
}

export class NodeState implements NodeView {
  readonly #net: NetworkThread;
  readonly #disks: readonly DiskState[];
  readonly #diskTable: DiskTable;
  readonly #workerTable: DiskTable;
  readonly #tables: readonly PartitionTable[];
  readonly #partitions = new Map<number, Registered>();
  /** Sum of sizes and number of the partitions on each disk: disks are asked for often, and partitions may be 60,000. */
  readonly #allocated: { bytes: number; count: number }[];
  readonly #connectionCount: () => number;
  #lastAttachment = 0;
  #watcher: PartitionWatcher | null = null;

  /** `tables`: one partition table a worker, by worker index. */
  constructor(
    network: NetworkThread,
    disks: readonly DiskState[],
    diskTable: TableMemory,
    workerTable: TableMemory,
    tables: readonly TableMemory[],
    connectionCount: () => number,
  ) {
    this.#net = network;
    this.#disks = disks;
    this.#diskTable = new DiskTable(diskTable);
    this.#workerTable = new DiskTable(workerTable);
    this.#tables = tables.map((memory) => new PartitionTable(memory));
    this.#connectionCount = connectionCount;
    this.#allocated = disks.map(() => ({ bytes: 0, count: 0 }));
  }

  /** Tells `watcher` of the partitions that are here, and from now on of all that comes to pass with them. */
  watch(watcher: PartitionWatcher): void {
    this.#watcher = watcher;
    for (const { info, handle } of this.#partitions.values()) watcher.attached(repairPartition(info, handle));
  }

  /** A worker has loaded or created a partition. Returns why it cannot be taken, or null. */
  attach(handle: WorkerHandle, info: AttachedPartition): string | null {
    const present = this.#partitions.get(info.id);
    if (present !== undefined && present.handle !== handle) {
      return `partition ${info.id} is on ${this.#disks[present.handle.disk]!.path} too; this copy is ignored`;
    }
    const sum = this.#allocated[handle.disk]!;
    sum.bytes += info.sizeBytes - (present?.info.sizeBytes ?? 0);
    if (present === undefined) sum.count += 1;
    this.#partitions.set(info.id, {
      info,
      handle,
      attachment: present?.attachment ?? ++this.#lastAttachment,
      replicas: present?.replicas ?? info.hosts,
      raftProblem: present?.raftProblem ?? '',
      isTold: present?.isTold ?? false,
    });
    this.#route(info, handle);
    if (present === undefined) this.#watcher?.attached(repairPartition(info, handle));
    return null;
  }

  disks(): DiskInfo[] {
    return this.#disks.map(({ path, handles }, row) => {
      const total = this.#diskTable.totalBytes(row);
      const sum = this.#allocated[row]!;
      return {
        path,
        total,
        used: this.#diskTable.usedBytes(row),
        available: this.#diskTable.availableBytes(row),
        reserved: this.#diskTable.reservedBytes(row),
        allocated: sum.bytes,
        unallocated: Math.max(0, total - sum.bytes),
        status: this.diskStatus(row),
        partitionCount: sum.count,
        readErrors: sumOf(handles, (index) => this.#workerTable.readErrors(index)),
        writeErrors: sumOf(handles, (index) => this.#workerTable.writeErrors(index)),
        responsive: handles.every(({ port }) => port.refusal === '' && !port.hung),
      };
    });
  }

  partitions(): PartitionInfo[] {
    return [...this.#partitions.values()].map((registered) => this.#describe(registered));
  }

  partition(id: number): PartitionInfo | undefined {
    const registered = this.#partitions.get(id);
    return registered === undefined ? undefined : this.#describe(registered);
  }

  partitionIds(): number[] {
    return [...this.#partitions.keys()];
  }

  attachments(): ReadonlyMap<number, number> {
    return new Map([...this.#partitions].map(([id, { attachment }]) => [id, attachment]));
  }

  /** The owner is told too; nobody waits for its answer. */
  setReplicas(id: number, replicas: readonly string[]): void {
    const registered = this.#partitions.get(id);
    if (registered === undefined) return;
    registered.isTold = true;
    this.#watcher?.hosts(id, replicas);
    if (isSameList(registered.replicas, replicas)) return;
    registered.replicas = [...replicas];
    void registered.handle.ask(COMMAND.setReplicas, { partitionId: id, replicas });
  }

  connectionCount(): number {
    return this.#connectionCount();
  }

  async createPartition(request: CreatePartitionRequest, diskPath: string): Promise<Outcome<string>> {
    const present = this.#partitions.get(request.partitionId);
    if (present !== undefined) return { ok: true, value: this.#disks[present.handle.disk]!.path };
    const disk = this.#disks.find(({ path }) => path === diskPath);
    if (disk === undefined) return { ok: false, message: diskNotExist(diskPath) };
    const handle = disk.handles[request.partitionId % disk.handles.length]!;
    const answer = await handle.ask(COMMAND.createPartition, request);
    if (!answer.ok) return answer;
    const refused = this.attach(handle, answer.value as AttachedPartition);
    return refused === null ? { ok: true, value: diskPath } : { ok: false, message: refused };
  }

  async deletePartition(id: number): Promise<Outcome<null>> {
    const registered = this.#partitions.get(id);
    if (registered === undefined) return { ok: true, value: null };
    this.#net.routes.delete(id);
    this.#watcher?.detached(id);
    const answer = await registered.handle.ask(COMMAND.deletePartition, { id });
    if (answer.ok) {
      this.#forget(id);
      return { ok: true, value: null };
    }
    this.#route(registered.info, registered.handle);
    this.#watcher?.attached(repairPartition(registered.info, registered.handle));
    return answer;
  }

  async changeMembers(kind: MemberChangeKind, change: MemberChange): Promise<Outcome<string>> {
    const registered = this.#partitions.get(change.partitionId);
    if (registered === undefined) return { ok: false, message: ERROR_TEXT.partitionNotExists };
    const command: MemberCommand = { kind, change };
    const answer = await registered.handle.ask(COMMAND.changeMembers, command);
    return answer.ok ? { ok: true, value: (answer.value as MemberOutcome).leader } : answer;
  }

  async tryToLead(partitionId: number): Promise<Outcome<null>> {
    const registered = this.#partitions.get(partitionId);
    if (registered === undefined) return { ok: false, message: partitionNotExist(partitionId) };
    const answer = await registered.handle.ask(COMMAND.tryToLead, { id: partitionId });
    return answer.ok ? { ok: true, value: null } : answer;
  }

  /** The group of a partition has removed its replica here. */
  detach(handle: WorkerHandle, id: number): void {
    if (this.#partitions.get(id)?.handle !== handle) return;
    this.#net.routes.delete(id);
    this.#watcher?.detached(id);
    this.#forget(id);
  }

  /** The group of a partition has decided on other members. */
  setMembers(handle: WorkerHandle, change: Pick<AttachedPartition, 'id' | 'hosts' | 'peers'>): void {
    const registered = this.#partitions.get(change.id);
    if (registered?.handle !== handle) return;
    registered.info = { ...registered.info, ...change, createType: 0 };
    if (registered.isTold) this.setReplicas(change.id, listAfter(registered.replicas, change.hosts));
  }

  /** The group of a partition does not run, or does again (an empty reason). */
  setRaftProblem(handle: WorkerHandle, id: number, reason: string): void {
    const registered = this.#partitions.get(id);
    if (registered?.handle === handle) registered.raftProblem = reason;
  }

  #route({ id, row, sizeBytes }: AttachedPartition, { port, index }: WorkerHandle): void {
    const table = this.#tables[index]!;
    this.#net.routes.set(id, { port, isFull: () => table.usedBytes(row) >= sizeBytes });
  }

  #forget(id: number): void {
    const registered = this.#partitions.get(id);
    // Two deletions of one partition may end here.
    if (registered === undefined) return;
    this.#partitions.delete(id);
    const sum = this.#allocated[registered.handle.disk]!;
    sum.bytes -= registered.info.sizeBytes;
    sum.count -= 1;
  }

  async snapshot(partitionId: number): Promise<Outcome<Uint8Array>> {
    const registered = this.#partitions.get(partitionId);
    if (registered === undefined) return { ok: false, message: partitionNotFound(partitionId) };
    const answer = await registered.handle.ask(COMMAND.snapshot, { partitionId });
    return answer.ok ? { ok: true, value: answer.value as Uint8Array } : answer;
  }

  async query(
    kind: 'partition' | 'extent' | 'block' | 'raft',
    partitionId: number,
    extentId: number,
  ): Promise<Outcome<unknown>> {
    const registered = this.#partitions.get(partitionId);
    if (registered === undefined) return { ok: false, message: 'partition not exist', httpStatus: 404 };
    const answer: CommandAnswer = await registered.handle.ask(COMMAND.query, { kind, partitionId, extentId });
    return answer;
  }

  #describe({ info, handle, replicas, raftProblem }: Registered): PartitionInfo {
    const table = this.#tables[handle.index]!;
    const disk = this.#disks[handle.disk]!;
    return {
      id: info.id,
      volume: info.volume,
      sizeBytes: info.sizeBytes,
      usedBytes: table.usedBytes(info.row),
      extentCount: table.extentCount(info.row),
      status: Math.min(table.status(info.row), this.diskStatus(handle.disk)) as Status,
      path: info.path,
      diskPath: disk.path,
      hosts: info.hosts,
      peers: info.peers,
      replicas,
      raftProblem,
      isLeader: (table.flags(info.row) & PARTITION_FLAG.leader) !== 0,
    };
  }

  /** Worst of what the disk's space and its workers say; a disk without a living worker is unavailable, and one that hangs is as long as it does. */
  diskStatus(row: number): Status {
    const { handles } = this.#disks[row]!;
    const isOut = ({ failure, index, port }: WorkerHandle): boolean =>
      failure !== '' || port.hung || this.#workerTable.status(index) === -1;
    if (handles.some(isOut)) return -1;
    return this.#diskTable.availableBytes(row) === 0 ? 1 : 2;
  }
}

function repairPartition(
  { id, hosts, createType }: AttachedPartition,
  handle: WorkerHandle,
): RepairPartition {
  return { id, hosts, createType, worker: handle.index, disk: handle.disk };
}

/** The master's list of replicas after a change of members, as the master will tell it: it is asked every ten minutes only, and a new replica waits for the first host's rounds. */
function listAfter(replicas: readonly string[], hosts: readonly string[]): string[] {
  const stay = replicas.filter((addr) => hosts.includes(addr));
  return [...stay, ...hosts.filter((addr) => !stay.includes(addr))];
}

function isSameList(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((entry, index) => entry === other[index]);
}

function sumOf(handles: readonly WorkerHandle[], value: (index: number) => number): number {
  return handles.reduce((sum, { index }) => sum + value(index), 0);
}
