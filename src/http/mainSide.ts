/**
 * The main thread's side of the debug API: answers the HTTP thread's questions from the node's view (`admin.md` 10 for the bodies).
 *
 * Nothing here waits for a disk, but for `query`, which asks a partition's owner and whose answer may come late or never; the HTTP thread
 * gives up on its own.
 */
import type { DiskInfo, NodeView, Outcome, PartitionInfo } from '../control/nodeView.js';
import { type HeartbeatResponse, heartbeatResponse } from '../protocol/heartbeat.js';
import {
  ANSWER_BYTES_MAX,
  type Answer,
  type ChecksumsApi,
  type FaultRequest,
  failure,
  type LimitsApi,
  type NodeQuestion,
  QUESTIONS_MAX,
  type RepairApi,
} from './messages.js';
import { OVERVIEW_PARTITIONS_MAX, type Overview } from './overview.js';
import type { NamedPartition } from './volumes.js';

/** Who the node is, for the status page. */
export interface NodeIdentity {
  address: string;
  cluster: string;
  nodeId: number;
}

export interface MainSideOptions {
  nodeView: NodeView;
  rack(): string;
  identity: NodeIdentity;
  startedAtMs: number;
  /** Body of `/stats`: the heartbeat response (`control/heartbeat.ts`). */
  stats(): HeartbeatResponse;
  limits: LimitsApi;
  checksums: ChecksumsApi;
  repair: RepairApi;
  /** Injects a fault; absent unless configured. */
  setFault?: (fault: FaultRequest) => Outcome<null>;
}

/** Answers questions; at most `QUESTIONS_MAX` of them at one time. */
export class MainSide {
  readonly #options: MainSideOptions;
  #open = 0;

  constructor(options: MainSideOptions) {
    this.#options = options;
  }

  /** Always resolves. */
  async answer(question: NodeQuestion): Promise<Answer> {
    if (this.#open >= QUESTIONS_MAX) return failure(503, 'too many requests in flight');
    this.#open++;
    try {
      const outcome = await this.#outcome(question);
      if (!outcome.ok) return failure(outcome.httpStatus ?? 500, outcome.message);
      const dataJson = dataJsonOf(question, outcome.value);
      if (dataJson.length > ANSWER_BYTES_MAX) return failure(500, 'the answer is too large');
      return { status: 200, dataJson, message: '' };
    } catch (error) {
      return failure(500, `internal error: ${(error as Error).message}`);
    } finally {
      this.#open--;
    }
  }

  #outcome(question: NodeQuestion): Outcome<unknown> | Promise<Outcome<unknown>> {
    const { nodeView, rack } = this.#options;
    switch (question.kind) {
      case 'disks':
        return { ok: true, value: { disks: nodeView.disks().map(diskBody), rack: rack() } };
      case 'partitions': {
        const partitions = nodeView.partitions().map(partitionBody);
        return { ok: true, value: { partitions, partitionCount: partitions.length } };
      }
      case 'stats':
        return { ok: true, value: this.#options.stats() };
      case 'volumes':
        return { ok: true, value: nodeView.partitions().map(namedPartition) };
      case 'overview':
        return { ok: true, value: this.#overview() };
      case 'partition':
        return this.#partition(question.partitionId);
      case 'extent':
      case 'block':
        return this.#extent(question);
      case 'fault':
        return this.#fault(question.fault);
      case 'limits':
        return { ok: true, value: { disks: this.#options.limits.view() } };
      case 'checksums':
        return this.#checksums(null);
      case 'repair':
        return this.#repair(question.partitionId);
      case 'scrub':
        return this.#checksums(question.disk);
      case 'setLimits':
        return this.#setLimits(question.disk, question.changes);
      case 'raftStatus':
        return this.#raftStatus(question.raftIdText);
    }
  }

  async #partition(id: number): Promise<Outcome<unknown>> {
    const partition = this.#options.nodeView.partition(id);
    if (partition === undefined) return notExist();
    const details = await this.#options.nodeView.query('partition', id, 0);
    if (!details.ok) return details;
    const { extents, tinyDeleteRecordSize, raftStatus } = details.value as {
      extents: unknown[];
      tinyDeleteRecordSize: number;
      raftStatus?: object | null;
    };
    const { id: _id, size, used, status, path, replicas } = partitionBody(partition);
    return {
      ok: true,
      value: {
        VolName: partition.volume,
        id,
        size,
        used,
        status,
        path,
        extents,
        fileCount: extents.length,
        replicas,
        tinyDeleteRecordSize,
        RaftStatus: raftStatus ?? null,
      },
    };
  }

  /** The id may be beyond what a number holds; such a group does not run. */
  async #raftStatus(idText: string): Promise<Outcome<string>> {
    const { nodeView, identity } = this.#options;
    const unknown: Outcome<string> = { ok: true, value: unknownGroupJson(idText, identity.nodeId) };
    const id = Number(idText);
    if (!Number.isSafeInteger(id) || nodeView.partition(id) === undefined) return unknown;
    const status = await nodeView.query('raft', id, 0);
    if (!status.ok) return status;
    return status.value === null ? unknown : { ok: true, value: JSON.stringify(status.value) };
  }

  async #extent(question: NodeQuestion & { kind: 'extent' | 'block' }): Promise<Outcome<unknown>> {
    const { kind, partitionId, extentId, extentText } = question;
    if (this.#options.nodeView.partition(partitionId) === undefined) return notExist();
    if (extentId < 0) {
      return { ok: false, message: `e extent ${partitionId}_${extentText} not exist`, httpStatus: 500 };
    }
    return this.#options.nodeView.query(kind, partitionId, extentId);
  }

  async #setLimits(disk: string, changes: [name: string, text: string][]): Promise<Outcome<unknown>> {
    const outcome = await this.#options.limits.change(disk, changes);
    return outcome.ok ? { ok: true, value: { disks: outcome.value } } : outcome;
  }

  /** @param scrub disk to scrub first, null for none. */
  async #checksums(scrub: string | null): Promise<Outcome<unknown>> {
    const { checksums } = this.#options;
    if (scrub === null) return { ok: true, value: { disks: await checksums.view() } };
    const outcome = await checksums.scrub(scrub);
    return outcome.ok ? { ok: true, value: { disks: outcome.value } } : outcome;
  }

  async #repair(partitionId: number | null): Promise<Outcome<unknown>> {
    const { nodeView, repair } = this.#options;
    if (partitionId !== null && nodeView.partition(partitionId) === undefined) return notExist();
    return repair.view(partitionId);
  }

  #fault(fault: FaultRequest): Outcome<unknown> {
    const { nodeView, setFault } = this.#options;
    if (setFault === undefined) return { ok: false, message: 'fault injection is off', httpStatus: 404 };
    if (fault.disk >= nodeView.disks().length) {
      return { ok: false, message: `there is no disk ${fault.disk}`, httpStatus: 400 };
    }
    return setFault(fault);
  }

  #overview(): Overview {
    const { nodeView, rack, identity, startedAtMs } = this.#options;
    const partitions = nodeView.partitions().toSorted((a, b) => a.id - b.id);
    return {
      ...identity,
      rack: rack(),
      startedAtMs,
      connections: nodeView.connectionCount(),
      disks: nodeView.disks().map((disk) => ({
        path: disk.path,
        total: disk.total,
        used: disk.used,
        available: disk.available,
        allocated: disk.allocated,
        status: disk.status,
        partitions: disk.partitionCount,
        readErrors: disk.readErrors,
        writeErrors: disk.writeErrors,
        responsive: disk.responsive,
      })),
      partitions: partitions.slice(0, OVERVIEW_PARTITIONS_MAX).map((partition) => ({
        id: partition.id,
        volume: partition.volume,
        size: partition.sizeBytes,
        used: partition.usedBytes,
        extents: partition.extentCount,
        status: partition.status,
        leader: partition.isLeader,
        hosts: partition.hosts,
      })),
      partitionCount: partitions.length,
    };
  }
}

/** Bodies whose numbers may be past 2^53 come as JSON text, or have a codec of their own. */
function dataJsonOf(question: NodeQuestion, value: unknown): string {
  switch (question.kind) {
    case 'stats':
      return heartbeatResponse.encode(value as HeartbeatResponse);
    case 'raftStatus':
      return value as string;
    default:
      return JSON.stringify(value);
  }
}

/** `/raftStatus` of a group that does not run here. `raftIdText`: an unsigned 64-bit number. */
function unknownGroupJson(raftIdText: string, nodeId: number): string {
  const zeros = [
    'Leader',
    'Term',
    'Index',
    'Commit',
    'Applied',
    'Vote',
    'PendQueue',
    'RecvQueue',
    'AppQueue',
  ];
  const counts = zeros.map((key) => `"${key}":0`).join(',');
  return `{"ID":${raftIdText},"NodeID":${nodeId},${counts},"Stopped":true,"RestoringSnapshot":false,"State":"","Replicas":null}`;
}

function notExist(): Outcome<never> {
  return { ok: false, message: 'partition not exist', httpStatus: 404 };
}

/** The reference's keys, then ours. */
function diskBody(disk: DiskInfo): object {
  return {
    path: disk.path,
    total: disk.total,
    used: disk.used,
    available: disk.available,
    unallocated: disk.unallocated,
    allocated: disk.allocated,
    status: disk.status,
    restSize: disk.reserved,
    partitions: disk.partitionCount,
    readErrCnt: disk.readErrors,
    writeErrCnt: disk.writeErrors,
    responsive: disk.responsive,
  };
}

function namedPartition({ id, diskPath, volume }: PartitionInfo): NamedPartition {
  return [id, diskPath, volume];
}

interface PartitionBody {
  id: number;
  size: number;
  used: number;
  status: number;
  path: string;
  replicas: readonly string[];
  raftProblem?: string;
}

function partitionBody(partition: PartitionInfo): PartitionBody {
  return {
    id: partition.id,
    size: partition.sizeBytes,
    used: partition.usedBytes,
    status: partition.status,
    path: partition.path,
    replicas: partition.replicas,
    // Ours, and only where there is something to say.
    ...(partition.raftProblem === '' ? {} : { raftProblem: partition.raftProblem }),
  };
}
