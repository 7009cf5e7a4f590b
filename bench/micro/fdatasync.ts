/**
 * The ceiling of everything that is acknowledged after an fdatasync: how many of them a folder's disk completes a second, with 1, 4 and 16 threads that
 * each append 4 KiB to a file of their own and sync it. `node dist/bench/micro/fdatasync.js FOLDER [seconds a row]`.
 *
 * Give it a folder on the disk that the node uses. A node groups, so it may acknowledge more writes than this prints; `docs/load.md` has the run to compare.
 */
import assert from 'node:assert';
import { once } from 'node:events';
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const THREADS = [1, 4, 16];
const BYTES = 4096;
/** A file begins anew here, so that a long run does not fill the disk. */
const FILE_BYTES_MAX = 64 * 1024 * 1024;

interface Task {
  path: string;
  seconds: number;
  /** [0]: 1 starts all threads at once. [1]: syncs done. */
  shared: Int32Array;
}

/** One thread's part: appends and syncs until the time is over. */
function work({ path, seconds, shared }: Task): void {
  const fd = openSync(path, 'w');
  const body = Buffer.alloc(BYTES, 0x5a);
  parentPort!.postMessage('ready');
  Atomics.wait(shared, 0, 0);
  const endMs = performance.now() + seconds * 1000;
  let done = 0;
  for (let at = 0; performance.now() < endMs; at = (at + BYTES) % FILE_BYTES_MAX) {
    writeSync(fd, body, 0, BYTES, at);
    fdatasyncSync(fd);
    done++;
  }
  Atomics.add(shared, 1, done);
  closeSync(fd);
}

/** fdatasyncs a second of `threads` threads in `folder`. */
async function measure(folder: string, threads: number, seconds: number): Promise<number> {
  const shared = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
  const workers = Array.from({ length: threads }, (_, index) => {
    const task: Task = { path: join(folder, String(index)), seconds, shared };
    return new Worker(new URL(import.meta.url), { workerData: task });
  });
  const ended = Promise.all(workers.map((worker) => once(worker, 'exit')));
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  const startedMs = performance.now();
  Atomics.store(shared, 0, 1);
  Atomics.notify(shared, 0);
  await ended;
  return Atomics.load(shared, 1) / ((performance.now() - startedMs) / 1000);
}

async function main(): Promise<void> {
  const [root, secondsText = '2'] = process.argv.slice(2);
  const seconds = Number(secondsText);
  assert(root !== undefined && seconds > 0 && seconds <= 60, 'FOLDER [seconds a row, 0..60]');
  const folder = mkdtempSync(join(root, 'fdatasync-'));
  try {
    let ceiling = 0;
    for (const threads of THREADS) {
      const rate = await measure(folder, threads, seconds);
      ceiling = Math.max(ceiling, rate);
      console.log(`${String(threads).padStart(3)} threads ${rate.toFixed(0).padStart(8)} fdatasyncs/s`);
    }
    console.log(`    ceiling ${ceiling.toFixed(0).padStart(8)} fdatasyncs/s`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (isMainThread) await main();
else work(workerData as Task);
