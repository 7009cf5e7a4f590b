/** A worker's thread as main holds it: it loads, answers, ends when told; and what happens when it ends without being told. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { UNLIMITED } from '../../src/config/diskLimits.js';
import { native } from '../../src/native/addon.js';
import { COMMAND } from '../../src/partition/messages.js';
import { WorkerHandle, type WorkerListener } from '../../src/server/workerHandle.js';
import { WorkerPort } from '../../src/server/workerPort.js';
import { createByteRing } from '../../src/shm/byteRing.js';
import { createDiskWork } from '../../src/shm/diskWork.js';
import { createDoorbell, createLoopWord } from '../../src/shm/doorbell.js';
import { createLimitTable } from '../../src/shm/limitTable.js';
import { createPoisonTable } from '../../src/shm/poison.js';
import { createRing } from '../../src/shm/ring.js';
import { createDiskTable, createPartitionTable } from '../../src/shm/tables.js';
import type { DiskWorkerData } from '../../src/workers/workerData.js';
import { loneRaftMemory } from '../support/loneWorker.js';
import { until } from '../support/until.js';

const RING_SLOTS = 64;

interface Rig {
  handle: WorkerHandle;
  /** What the listener was told, in order. */
  told: string[];
}

/** A worker on an empty folder. With `ioThreads` 0 its thread throws when it starts. */
function startWorker(t: Test, ioThreads: number): Rig {
  const root = mkdtempSync(join(tmpdir(), 'extentd-handle-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  const rings = {
    requests: createRing(RING_SLOTS * 2),
    replies: createRing(RING_SLOTS * 2),
    requestsMax: RING_SLOTS,
  };
  const doorbell = createDoorbell();
  const data: DiskWorkerData = {
    ...{ index: 0, disk: 0, member: 0, members: 1, root, doorbell },
    ports: [
      {
        ...rings,
        slab: new SharedArrayBuffer(4096),
        doorbell: createDoorbell(),
        loop: createLoopWord(-1),
        internal: false,
      },
    ],
    lone: new Int32Array(new SharedArrayBuffer(4)),
    healing: new Int32Array(new SharedArrayBuffer(4)),
    commands: createByteRing(65_536),
    events: createByteRing(65_536),
    partitions: createPartitionTable(4),
    disks: createDiskTable(1),
    workers: createDiskTable(1),
    limits: createLimitTable(1),
    work: createDiskWork(),
    poison: createPoisonTable(4),
    raft: loneRaftMemory(),
    settings: {
      ...{
        ioThreads,
        openExtentsMax: 16,
        strictAppend: true,
        durability: 'asked',
        directReadBytes: 0,
      },
      ...{ spinUs: 0, cores: 1, writes: 'auto', probeIntervalMs: 120_000, requestAgeMsMax: 5_000 },
      ...{ checksumBytesPerSecond: 0, scrubBytesPerSecond: 0, scrubIntervalMs: 0 },
      ...{ repairReadAgeMsMax: 55_000, limits: UNLIMITED },
    },
  };
  const told: string[] = [];
  const listener: WorkerListener = {
    attached: () => told.push('attached'),
    refused: () => told.push('refused'),
    loaded: () => told.push('loaded'),
    failed: (_handle, reason) => told.push(`failed: ${reason}`),
    bodyPiece: () => told.push('bodyPiece'),
    log: (_handle, { message }) => told.push(`log: ${message}`),
    damaged: () => told.push('damaged'),
    group: (_handle, kind) => told.push(`group event ${kind}`),
    stopped: (_handle, clean) => told.push(`stopped: ${clean}`),
    died: () => told.push('died'),
  };
  const port = new WorkerPort(0, 0, root, rings, doorbell, (words) => native.ringDoorbell(words));
  return { handle: new WorkerHandle(data, port, listener), told };
}

t.test('a worker loads, answers what it is asked, and ends when told', async (t) => {
  const { handle, told } = startWorker(t, 1);
  const drained = (condition: () => boolean) => () => {
    handle.drainEvents();
    return condition();
  };
  await until(
    'loaded',
    drained(() => handle.loaded),
  );
  const query = { kind: 'extent', partitionId: 7, extentId: 1025 };
  const answer = handle.ask(COMMAND.query, query);
  let answered = false;
  void answer.then(() => {
    answered = true;
  });
  await until(
    'an answer',
    drained(() => answered),
  );
  t.same(await answer, { ok: false, message: 'partition not exist', httpStatus: 404 });
  handle.stop();
  await until(
    'stopped',
    drained(() => handle.stopped),
  );
  t.same(told, ['loaded', 'stopped: true']);
  t.equal(handle.failure, '');
});

t.test('what a worker loads after it was given up is not taken', async (t) => {
  const { handle, told } = startWorker(t, 1);
  handle.giveUp('no partition came up');
  t.match(await handle.ask(COMMAND.deletePartition, { id: 7 }), {
    ok: false,
    message: 'no partition came up',
  });
  handle.stop();
  await until('stopped', () => {
    handle.drainEvents();
    return handle.stopped;
  });
  t.notOk(handle.loaded);
  t.same(
    told.filter((what) => !what.startsWith('log')),
    ['failed: no partition came up', 'stopped: true'],
  );
});

t.test('a worker that dies is told, and nobody waits for its answers', async (t) => {
  const { handle, told } = startWorker(t, 0);
  const asked = handle.ask(COMMAND.deletePartition, { id: 7 });
  await until('dead', () => handle.stopped);
  t.match(await asked, { ok: false, message: /^disk worker has ended: / });
  t.match(await handle.ask(COMMAND.deletePartition, { id: 7 }), { ok: false, httpStatus: 500 });
  t.match(handle.failure, /^disk worker has ended: /);
  t.same(told, ['died']);
});
