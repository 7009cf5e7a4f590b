/** A NodeView made of plain arrays, for tests of the control plane and the debug API. */
import type {
  CreatePartitionRequest,
  DiskInfo,
  NodeView,
  Outcome,
  PartitionInfo,
} from '../../src/control/nodeView.js';

import type { MemberChange, MemberChangeKind } from '../../src/protocol/memberChange.js';

const GiB = 1024 ** 3;

export function diskOf(path: string, change: Partial<DiskInfo> = {}): DiskInfo {
  return {
    path,
    total: 245 * GiB,
    used: 100 * GiB,
    available: 145 * GiB,
    reserved: 5 * GiB,
    allocated: 0,
    unallocated: 245 * GiB,
    status: 2,
    partitionCount: 0,
    readErrors: 0,
    writeErrors: 0,
    responsive: true,
    ...change,
  };
}

export function partitionOf(id: number, change: Partial<PartitionInfo> = {}): PartitionInfo {
  return {
    id,
    volume: 'vol1',
    sizeBytes: 120 * GiB,
    usedBytes: 0,
    extentCount: 64,
    status: 2,
    path: `/d1/datapartition_${id}_${120 * GiB}`,
    diskPath: '/d1',
    hosts: ['127.0.0.1:17310'],
    peers: [{ id: 2, addr: '127.0.0.1:17310' }],
    raftProblem: '',
    isLeader: true,
    ...change,
    replicas: change.replicas ?? change.hosts ?? ['127.0.0.1:17310'],
  };
}

export class FakeView implements NodeView {
  diskList: DiskInfo[] = [diskOf('/d1'), diskOf('/d2')];
  partitionList: PartitionInfo[] = [];
  connections = 0;
  readonly #attached = new Map<PartitionInfo, number>();
  readonly created: { request: CreatePartitionRequest; diskPath: string }[] = [];
  readonly deleted: number[] = [];
  /** Put in place of the next outcomes. */
  createOutcome: (request: CreatePartitionRequest, diskPath: string) => Promise<Outcome<string>> = async (
    _request,
    diskPath,
  ) => ({ ok: true, value: diskPath });
  deleteOutcome: () => Promise<Outcome<null>> = async () => ({ ok: true, value: null });
  queryOutcome: NodeView['query'] = async () => ({ ok: false, message: 'not scripted', httpStatus: 500 });

  snapshotOutcome: NodeView['snapshot'] = async () => ({ ok: true, value: Buffer.from('[]') });

  disks(): DiskInfo[] {
    return this.diskList;
  }

  partitions(): PartitionInfo[] {
    return this.partitionList;
  }

  partition(id: number): PartitionInfo | undefined {
    return this.partitionList.find((partition) => partition.id === id);
  }

  partitionIds(): number[] {
    return this.partitionList.map(({ id }) => id);
  }

  /** Each object is a partition of its own. */
  attachments(): ReadonlyMap<number, number> {
    for (const partition of this.partitionList)
      if (!this.#attached.has(partition)) this.#attached.set(partition, this.#attached.size + 1);
    return new Map(this.partitionList.map((partition) => [partition.id, this.#attached.get(partition)!]));
  }

  setReplicas(id: number, replicas: readonly string[]): void {
    const partition = this.partition(id);
    if (partition !== undefined) partition.replicas = replicas;
  }

  connectionCount(): number {
    return this.connections;
  }

  async createPartition(request: CreatePartitionRequest, diskPath: string): Promise<Outcome<string>> {
    this.created.push({ request, diskPath });
    const outcome = await this.createOutcome(request, diskPath);
    if (outcome.ok) {
      const { partitionId, volume, sizeBytes, hosts, members } = request;
      this.partitionList.push(
        partitionOf(partitionId, { volume, sizeBytes, hosts, peers: members, diskPath: outcome.value }),
      );
      const disk = this.diskList.find((candidate) => candidate.path === diskPath);
      if (disk !== undefined) {
        disk.allocated += sizeBytes;
        disk.partitionCount++;
      }
    }
    return outcome;
  }

  async deletePartition(id: number): Promise<Outcome<null>> {
    this.deleted.push(id);
    const outcome = await this.deleteOutcome();
    if (outcome.ok) this.partitionList = this.partitionList.filter((partition) => partition.id !== id);
    return outcome;
  }

  readonly memberChanges: { kind: MemberChangeKind; change: MemberChange }[] = [];
  memberOutcome: NodeView['changeMembers'] = async () => ({ ok: true, value: '' });
  leadOutcome: NodeView['tryToLead'] = async () => ({ ok: true, value: null });

  changeMembers(kind: MemberChangeKind, change: MemberChange): Promise<Outcome<string>> {
    this.memberChanges.push({ kind, change });
    return this.memberOutcome(kind, change);
  }

  tryToLead(partitionId: number): Promise<Outcome<null>> {
    return this.leadOutcome(partitionId);
  }

  snapshot(partitionId: number): Promise<Outcome<Uint8Array>> {
    return this.snapshotOutcome(partitionId);
  }

  query(
    kind: 'partition' | 'extent' | 'block' | 'raft',
    partitionId: number,
    extentId: number,
  ): Promise<Outcome<unknown>> {
    return this.queryOutcome(kind, partitionId, extentId);
  }
}
