/**
 * What a start costs: makes a disk of N partitions with M extents each (sparse files), and times how long its worker takes to load it.
 * `node dist/bench/micro/startTree.js FOLDER [partitions 100] [extents 1000] [runs 3] [keep]`.
 *
 * The tree is made in a folder of its own inside FOLDER; `keep` leaves it and takes it again. Runs after the first one are warm. For a cold one drop the page
 * cache between two calls with `keep`, and look at the first run. The worker is the node's own thread; the time is from its start until it says that it is loaded.
 */
import assert from 'node:assert';
import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EXTENTD_DEFAULTS, type NodeConfig } from '../../src/config/config.js';
import { native } from '../../src/native/addon.js';
import { layOutMemory } from '../../src/server/nodeMemory.js';
import { WorkerHandle, type WorkerListener } from '../../src/server/workerHandle.js';
import { WorkerPort } from '../../src/server/workerPort.js';
import { createDoorbell } from '../../src/shm/doorbell.js';
import { BASE_BYTES, EXTENT_META_BYTES, encodeBase } from '../../src/storage/extentMeta.js';
import { EXTENT_ID_BASE_MIN, FILE, partitionFolderName, TINY_EXTENT_LAST } from '../../src/storage/layout.js';
import { encodeMeta } from '../../src/storage/metaFile.js';

const PARTITION_BYTES = 128 * 1024 ** 3;
const EXTENT_BYTES = 1024 * 1024;
const POLL_MS = 1;
const GIVE_UP_MS = 600_000;

/** Makes partition `id` with `extents` normal extents under `root`, as a node leaves it after a clean stop. */
function makePartition(root: string, id: number, extents: number): void {
  const path = join(root, partitionFolderName(id, PARTITION_BYTES));
  mkdirSync(path);
  const file = (name: string, bytes: number): void => {
    const fd = openSync(join(path, name), 'w');
    if (bytes > 0) ftruncateSync(fd, bytes);
    closeSync(fd);
  };
  for (let tiny = 1; tiny <= TINY_EXTENT_LAST; tiny++) file(String(tiny), 0);
  for (let i = 1; i <= extents; i++) file(String(EXTENT_ID_BASE_MIN + i), EXTENT_BYTES);
  file(FILE.extentCrc, (EXTENT_ID_BASE_MIN + extents + 1) * 4096);
  file(FILE.tinyDelete, 0);
  file(FILE.normalDelete, 0);
  const base = new Uint8Array(EXTENT_META_BYTES);
  encodeBase(base.subarray(0, BASE_BYTES), 0, EXTENT_ID_BASE_MIN + extents);
  writeFileSync(join(path, FILE.extentMeta), base);
  const meta = {
    ...{ volume: 'bench', partitionId: id, sizeBytes: PARTITION_BYTES, createTime: '2020-01-01 00:00:00' },
    ...{ peers: [{ id: 1, addr: '127.0.0.1:17310' }], hosts: ['127.0.0.1:17310'], createType: 0 },
    lastTruncateId: 0,
  };
  writeFileSync(join(path, FILE.meta), encodeMeta(meta));
}

/** Starts a worker on `root`, waits until it is loaded, and ends it. Milliseconds, and partitions that came up. */
async function load(root: string): Promise<{ ms: number; partitions: number }> {
  const config = { ...EXTENTD_DEFAULTS, disks: [{ path: root, reserve: '0' }] } as unknown as NodeConfig;
  const { workers } = layOutMemory(config, 1, 16, createDoorbell(), -1);
  const data = workers[0]!;
  const port = new WorkerPort(0, 0, root, data.ports[0]!, data.doorbell, native.ringDoorbell);
  let partitions = 0;
  const listener: WorkerListener = {
    attached: () => void partitions++,
    refused: (_handle, { folder, reason }) => assert.fail(`${folder}: ${reason}`),
    failed: (_handle, reason) => assert.fail(reason),
    died: (_handle, reason) => assert.fail(reason),
    loaded: () => {},
    bodyPiece: () => {},
    log: () => {},
    stopped: () => {},
  };
  const startedMs = performance.now();
  const handle = new WorkerHandle(data, port, listener);
  const until = async (done: () => boolean): Promise<void> => {
    for (;;) {
      handle.drainEvents();
      if (done()) return;
      assert(performance.now() - startedMs < GIVE_UP_MS, 'the worker does not answer');
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  };
  await until(() => handle.loaded);
  const ms = performance.now() - startedMs;
  handle.stop();
  await until(() => handle.stopped);
  return { ms, partitions };
}

async function main(): Promise<void> {
  const keep = process.argv.at(-1) === 'keep';
  const [folder, ...numbers] = process.argv.slice(2, keep ? -1 : undefined);
  const [partitions = 100, extents = 1000, runs = 3] = numbers.map(Number);
  const fits = [partitions, extents, runs].every((number) => Number.isSafeInteger(number) && number > 0);
  assert(folder !== undefined && fits, 'FOLDER [partitions] [extents] [runs] [keep]');
  const root = join(folder, `startTree-${partitions}x${extents}`);
  if (!existsSync(root)) {
    const startedMs = performance.now();
    mkdirSync(root);
    for (let id = 1; id <= partitions; id++) makePartition(root, id, extents);
    console.log(`made in ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  }
  for (let run = 1; run <= runs; run++) {
    const { ms, partitions: up } = await load(root);
    assert(up === partitions, `${up} partitions came up`);
    const each = ((ms * 1000) / (partitions * extents)).toFixed(2);
    console.log(`run ${run}: ${partitions} x ${extents} loaded in ${ms.toFixed(0)} ms, ${each} µs an extent`);
  }
  if (!keep) rmSync(root, { recursive: true });
}

await main();
