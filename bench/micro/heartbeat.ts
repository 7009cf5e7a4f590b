/**
 * How long the main thread is held up by one heartbeat of a node with many partitions: in one go, as `/stats` is made, and in slices, as heartbeats are.
 *
 *     node dist/bench/micro/heartbeat.js [ROUNDS]
 */
import { buildHeartbeat, type NodeLabels } from '../../src/control/heartbeat.js';
import { Heartbeats } from '../../src/control/heartbeats.js';
import type { DiskInfo, PartitionInfo } from '../../src/control/nodeView.js';
import { encodeAdminResponse, newAdminTask } from '../../src/protocol/adminTask.js';
import { heartbeatResponse } from '../../src/protocol/heartbeat.js';
import { OP } from '../../src/protocol/opcodes.js';

const PARTITION_COUNTS = [1_000, 10_000, 60_000];
const DISKS = 12;
const LABELS: NodeLabels = { rack: 'rack-01', cell: '', zoneName: '' };
const rounds = Number(process.argv[2] ?? 15);
const task = newAdminTask(OP.dataNodeHeartbeat, '10.0.0.1:17310', undefined, 0, null);

function pathOf(disk: number): string {
  return `/cfs/disk${disk % DISKS}`;
}

const disks: DiskInfo[] = Array.from({ length: DISKS }, (_, index) => ({
  path: pathOf(index),
  total: 8e12,
  used: 2e12,
  available: 6e12,
  reserved: 3e10,
  allocated: 4e12,
  unallocated: 4e12,
  status: 2,
  partitionCount: 0,
  readErrors: 0,
  writeErrors: 0,
  responsive: true,
}));

function partitionsOf(count: number): Map<number, PartitionInfo> {
  const map = new Map<number, PartitionInfo>();
  for (let id = 1; id <= count; id += 1) {
    map.set(id, {
      id,
      volume: `volume-${id % 50}`,
      sizeBytes: 128_849_018_880,
      usedBytes: id * 4096,
      extentCount: 66,
      status: 2,
      path: `${pathOf(id)}/datapartition_${id}_128849018880`,
      diskPath: pathOf(id),
      hosts: ['10.0.0.1:17310'],
      peers: [],
      replicas: ['10.0.0.1:17310'],
      raftProblem: '',
      isLeader: false,
    });
  }
  return map;
}

function inOneGo(partitions: Map<number, PartitionInfo>): { longestMs: number; wholeMs: number } {
  const fromMs = performance.now();
  encodeAdminResponse(task, heartbeatResponse, buildHeartbeat(disks, [...partitions.values()], LABELS));
  const wholeMs = performance.now() - fromMs;
  return { longestMs: wholeMs, wholeMs };
}

function inSlices(partitions: Map<number, PartitionInfo>): Promise<{ longestMs: number; wholeMs: number }> {
  return new Promise((resolve) => {
    const fromMs = performance.now();
    let turnFromMs = fromMs;
    let longestMs = 0;
    const endTurn = (): void => {
      longestMs = Math.max(longestMs, performance.now() - turnFromMs);
    };
    new Heartbeats({
      nodeView: {
        disks: () => disks,
        partition: (id) => partitions.get(id),
        partitionIds: () => [...partitions.keys()],
      },
      poster: {
        postHeartbeat: () => {
          endTurn();
          resolve({ longestMs, wholeMs: performance.now() - fromMs });
        },
      },
      labels: () => LABELS,
      nextTurn: () => {
        endTurn();
        return new Promise((next) => {
          setImmediate(() => {
            turnFromMs = performance.now();
            next();
          });
        });
      },
    }).take(task);
  });
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

for (const count of PARTITION_COUNTS) {
  const partitions = partitionsOf(count);
  for (const [name, make] of [
    ['in one go', async () => inOneGo(partitions)],
    ['in slices', () => inSlices(partitions)],
  ] as const) {
    const results: { longestMs: number; wholeMs: number }[] = [];
    for (let round = 0; round < rounds; round += 1) results.push(await make());
    const longest = median(results.map(({ longestMs }) => longestMs));
    const worst = Math.max(...results.map(({ longestMs }) => longestMs));
    const whole = median(results.map(({ wholeMs }) => wholeMs));
    console.log(
      `${count} partitions ${name}: longest turn ${longest.toFixed(1)} ms (median), ${worst.toFixed(1)} ms (worst); in all ${whole.toFixed(0)} ms`,
    );
  }
}
