/**
 * What a start costs: makes disks that hold N partitions with M extents each in all, and times how long their workers take to load them.
 * `node dist/bench/micro/startTree.js FOLDER [partitions 100] [extents 1000] [runs 3] [disks 1] [clean] [keep]`.
 *
 * The tree is made in a folder of its own inside FOLDER, as a Go node leaves it: raft logs included. `clean` makes it as extentd leaves it: each extent has
 * an entry in EXTENT_CLEAN. `keep` leaves it and takes it again. Runs after the first one are warm. For a cold one drop the page cache between two calls with
 * `keep`, and look at the first run. The workers are the node's own threads, one a disk, all at once; the time is from their start until the last one says
 * that it is loaded. The CPU is that of the whole process: on a busy machine it tells more than the time.
 */
import assert from 'node:assert';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { EXTENTD_DEFAULTS, type NodeConfig } from '../../src/config/config.js';
import { native } from '../../src/native/addon.js';
import { layOutMemory } from '../../src/server/nodeMemory.js';
import { WorkerHandle, type WorkerListener } from '../../src/server/workerHandle.js';
import { WorkerPort } from '../../src/server/workerPort.js';
import { createDoorbell } from '../../src/shm/doorbell.js';
import {
  CLEAN_KIND,
  cleanOffset,
  encodeCleanEntry,
  encodeCleanHeader,
  encodeStamp,
} from '../../src/storage/cleanFile.js';
import { BASE_BYTES, EXTENT_META_BYTES, encodeBase } from '../../src/storage/extentMeta.js';
import { EXTENT_ID_BASE_MIN, FILE, partitionFolderName, TINY_EXTENT_LAST } from '../../src/storage/layout.js';
import { encodeMeta } from '../../src/storage/metaFile.js';

const PARTITION_BYTES = 128 * 1024 ** 3;
/** A page, of which nothing is written: a start costs the same for longer ones, but looks for holes in those. */
const EXTENT_BYTES = 4096;
/** A raft log's hard state and truncation point, and a first file that has hardly been written. */
const RAFT_META_BYTES = 40;
const RAFT_LOG_BYTES = 4096;
const POLL_MS = 1;
const GIVE_UP_MS = 600_000;

/** Makes partition `id` with `extents` normal extents under `root`, as a node leaves it after a clean stop. */
function makePartition(root: string, id: number, extents: number, clean: boolean): void {
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
  writeFileSync(join(path, FILE.apply), '100');
  const log = join(path, `wal_${id}`);
  mkdirSync(log);
  writeFileSync(join(log, 'META'), new Uint8Array(RAFT_META_BYTES));
  writeFileSync(
    join(log, `${'1'.padStart(16, '0')}-${'1'.padStart(16, '0')}.log`),
    new Uint8Array(RAFT_LOG_BYTES),
  );
  if (clean) addCleanFile(path, extents);
}

/** Gives all normal extents of the partition at `path` an entry in EXTENT_CLEAN, as a clean stop does. */
function addCleanFile(path: string, extents: number): void {
  const stamp = Date.now();
  const bytes = new Uint8Array(cleanOffset(EXTENT_ID_BASE_MIN + extents + 1));
  bytes.set(encodeCleanHeader({ stamp, ownFrom: EXTENT_ID_BASE_MIN + 1 }));
  for (let id = EXTENT_ID_BASE_MIN + 1; id <= EXTENT_ID_BASE_MIN + extents; id++) {
    const mtimeMs = Math.floor(statSync(join(path, String(id))).mtimeMs);
    const entry = { kind: CLEAN_KIND.clean, sizeBytes: EXTENT_BYTES, mtimeMs };
    encodeCleanEntry(bytes, cleanOffset(id), stamp, id, entry);
  }
  writeFileSync(join(path, FILE.extentClean), bytes);
  const meta = new Uint8Array(EXTENT_META_BYTES);
  encodeBase(meta, 0, EXTENT_ID_BASE_MIN + extents);
  encodeStamp(meta, BASE_BYTES, stamp);
  writeFileSync(join(path, FILE.extentMeta), meta);
}

interface Loaded {
  ms: number;
  cpuMs: number;
  /** Memory that the process has gained, with the slab and the rings of the workers. */
  gainedBytes: number;
  /** Partitions that came up. */
  partitions: number;
}

/** Starts a worker on each of `roots`, waits until all are loaded, and ends them. */
async function load(roots: readonly string[]): Promise<Loaded> {
  const rssBefore = process.memoryUsage.rss();
  const disks = roots.map((path) => ({ path, reserve: '0' }));
  const config = { ...EXTENTD_DEFAULTS, disks } as unknown as NodeConfig;
  const { workers } = layOutMemory(config, 1, 16, createDoorbell(), -1, 1);
  let partitions = 0;
  const listener: WorkerListener = {
    attached: () => void partitions++,
    refused: (_handle, { folder, reason }) => assert.fail(`${folder}: ${reason}`),
    failed: (_handle, reason) => assert.fail(reason),
    died: (_handle, reason) => assert.fail(reason),
    loaded: () => {},
    bodyPiece: () => {},
    log: () => {},
    damaged: () => {},
    group: () => {},
    stopped: () => {},
  };
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  const handles = workers.map((data, index) => {
    const port = new WorkerPort(
      index,
      index,
      roots[index]!,
      data.ports[0]!,
      data.doorbell,
      native.ringDoorbell,
    );
    return new WorkerHandle(data, port, listener);
  });
  const until = async (done: (handle: WorkerHandle) => boolean): Promise<void> => {
    for (;;) {
      for (const handle of handles) handle.drainEvents();
      if (handles.every(done)) return;
      assert(performance.now() - startedMs < GIVE_UP_MS, 'a worker does not answer');
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  };
  await until((handle) => handle.loaded);
  const ms = performance.now() - startedMs;
  const { user, system } = process.cpuUsage(cpu);
  const gainedBytes = process.memoryUsage.rss() - rssBefore;
  for (const handle of handles) handle.stop();
  await until((handle) => handle.stopped);
  return { ms, cpuMs: (user + system) / 1000, gainedBytes, partitions };
}

async function main(): Promise<void> {
  const [folder, ...rest] = process.argv.slice(2);
  const words: string[] = rest.filter((word) => word === 'keep' || word === 'clean');
  const numbers = rest.filter((word) => !words.includes(word)).map(Number);
  const [partitions = 100, extents = 1000, runs = 3, disks = 1] = numbers;
  const fits = [partitions, extents, runs, disks].every((n) => Number.isSafeInteger(n) && n > 0);
  assert(folder !== undefined && fits, 'FOLDER [partitions] [extents] [runs] [disks] [clean] [keep]');
  const clean = words.includes('clean');
  const tree = join(folder, `startTree-${partitions}x${extents}x${disks}${clean ? '-clean' : ''}`);
  const roots = Array.from({ length: disks }, (_, disk) => join(tree, `disk${disk + 1}`));
  if (!existsSync(tree)) {
    const startedMs = performance.now();
    for (const root of roots) mkdirSync(root, { recursive: true });
    for (let id = 1; id <= partitions; id++) makePartition(roots[id % disks]!, id, extents, clean);
    console.log(`made in ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  }
  for (let run = 1; run <= runs; run++) {
    const { ms, cpuMs, gainedBytes, partitions: up } = await load(roots);
    assert(up === partitions, `${up} partitions came up`);
    const each = ((ms * 1000) / (partitions * extents)).toFixed(2);
    const took = `${ms.toFixed(0)} ms, ${each} µs an extent, ${cpuMs.toFixed(0)} ms of CPU, ${(gainedBytes / 1e6).toFixed(0)} MB`;
    console.log(`run ${run}: ${partitions} x ${extents} loaded in ${took}`);
  }
  if (!words.includes('keep')) rmSync(tree, { recursive: true });
}

await main();
