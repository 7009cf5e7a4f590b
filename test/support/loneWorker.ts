/** What a disk worker shares with main, for tests that run one worker of one disk on their own thread; all of it empty. */
import { RAFT_RING_BYTES } from '../../src/raft/ports.js';
import { createByteRing } from '../../src/shm/byteRing.js';
import { createDiskWork } from '../../src/shm/diskWork.js';
import { createDoorbell } from '../../src/shm/doorbell.js';
import { createLimitTable } from '../../src/shm/limitTable.js';
import { createPoisonTable } from '../../src/shm/poison.js';
import { createDiskTable, createPartitionTable } from '../../src/shm/tables.js';
import type { DiskWorkerData } from '../../src/workers/workerData.js';

/** Everything but its root, its ports and its settings. */
export function loneWorkerMemory(): Omit<DiskWorkerData, 'root' | 'ports' | 'settings'> {
  return {
    ...{ index: 0, disk: 0, member: 0, members: 1, doorbell: createDoorbell() },
    lone: new Int32Array(new SharedArrayBuffer(4)),
    healing: new Int32Array(new SharedArrayBuffer(4)),
    commands: createByteRing(65_536),
    events: createByteRing(65_536),
    partitions: createPartitionTable(16),
    disks: createDiskTable(1),
    workers: createDiskTable(1),
    limits: createLimitTable(1),
    work: createDiskWork(),
    poison: createPoisonTable(32),
    raft: loneRaftMemory(),
  };
}

/** Raft of node 1, with a small journal. */
export function loneRaftMemory(nodeId = 1): DiskWorkerData['raft'] {
  return {
    ...{ nodeId, toWorker: createByteRing(RAFT_RING_BYTES), fromWorker: createByteRing(RAFT_RING_BYTES) },
    ...{ word: new Int32Array(new SharedArrayBuffer(4)), segmentBytes: 1024 * 1024 },
  };
}
