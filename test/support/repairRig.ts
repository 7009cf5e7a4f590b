/** A node that is a member of partitions whose other hosts are up to the test, and notifications to it. */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createRequest } from '../../src/protocol/adminBodies.js';
import { encodeAdminTask, newAdminTask } from '../../src/protocol/adminTask.js';
import type { ExtentInfo } from '../../src/protocol/extentInfo.js';
import type { JsonValue } from '../../src/protocol/jsonText.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeRepairTask } from '../../src/protocol/repairTask.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { type RunningNode, type StandaloneOptions, startStandalone, type Teardown } from './nodeProcess.js';
import { PacketClient, type Reply } from './packetClient.js';

const GiB = 1024 ** 3;
/** Of the partition that `startMember` makes. */
export const PARTITION = 700;

export interface Member {
  node: RunningNode;
  client: PacketClient;
  /** Folder of a partition. */
  folder(partitionId?: number): string;
  extent(id: number, partitionId?: number): Buffer;
}

/** Starts a standalone node with partition 700, whose hosts are `hosts` and the node behind them. */
export async function startMember(
  t: Teardown,
  hosts: readonly string[],
  options: StandaloneOptions & { createType?: 0 | 1 } = {},
): Promise<Member> {
  const node = await startStandalone(t, options);
  const client = new PacketClient(node.port);
  t.teardown(() => client.end());
  const created = await client.ask(create(PARTITION, [...hosts, node.address], options.createType ?? 0));
  if (created.resultCode !== RESULT.ok) throw new Error(created.body.toString());
  return member(node, client);
}

/** A node with its connection. */
export function member(node: RunningNode, client: PacketClient): Member {
  const folder = (partitionId = PARTITION): string =>
    join(node.folder, 'disk1', `datapartition_${partitionId}_${GiB}`);
  return {
    node,
    client,
    folder,
    extent: (id, partitionId) => readFileSync(join(folder(partitionId), String(id))),
  };
}

/** OpCreateDataPartition with these hosts, for the last one unless another is named. */
export function create(
  partitionId: number,
  hosts: readonly string[],
  createType: 0 | 1 = 0,
  host: string = hosts.at(-1)!,
): Parameters<PacketClient['ask']>[0] {
  const request = createRequest.encode({
    ...{ partitionType: '', partitionId, sizeBytes: GiB, volume: 'repaired', isRandomWrite: false },
    members: hosts.map((addr, i) => ({ id: i + 1, addr })),
    ...{ hosts: [...hosts], createType },
  });
  const value = JSON.parse(request) as JsonValue;
  const task = newAdminTask(OP.createDataPartition, host, partitionId, 1_700_000_000, value);
  return { opcode: OP.createDataPartition, partitionId, body: encodeAdminTask(task) };
}

export interface TaskFields {
  create?: ExtentInfo[];
  repair?: ExtentInfo[];
  leader?: string;
  deleteBytes?: number;
  partitionId?: number;
}

/** OpNotifyReplicasToRepair. */
export function notification(fields: TaskFields): Parameters<PacketClient['ask']>[0] {
  const body = encodeRepairTask({
    taskType: 0,
    extentsToBeCreated: fields.create ?? [],
    extentsToBeRepaired: fields.repair ?? [],
    leaderTinyDeleteRecordFileSize: fields.deleteBytes ?? 0,
    leaderAddr: fields.leader ?? '127.0.0.1:1',
  });
  return {
    opcode: OP.notifyReplicasToRepair,
    extentType: 1,
    partitionId: fields.partitionId ?? PARTITION,
    body,
  };
}

export function notify(client: PacketClient, fields: TaskFields): Promise<Reply> {
  return client.ask(notification(fields));
}

/** `data` of a page of the debug API. */
export async function page<T>(node: RunningNode, path: string): Promise<T> {
  return ((await (await fetch(`${node.httpUrl}${path}`)).json()) as { data: T }).data;
}

/** Bytes of a file that take room on disk. */
export function roomOf(path: string): number {
  return statSync(path).blocks * 512;
}
