/** The end of worker threads and processes that still use the addon. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { native } from '../../src/native/addon.js';
import { packageRoot } from '../packageRoot.js';

interface Left {
  loop: number;
  folder: string;
}

/** Empty for a thread that has just ended. */
function threadName(task: string): string {
  try {
    return readFileSync(`/proc/self/task/${task}/comm`, 'utf8');
  } catch {
    return '';
  }
}

/** Runs a worker that leaves with work under way; `terminated`: is ended by us instead of by itself. */
async function endOne(hang: boolean, terminated: boolean): Promise<number> {
  const worker = new Worker(new URL('./peer.js', import.meta.url), { workerData: { role: 'end', hang } });
  const exited = once(worker, 'exit') as Promise<[number]>;
  const [left] = (await once(worker, 'message')) as [Left];
  native.notifyLoop(left.loop);
  if (terminated) await worker.terminate();
  const [code] = await exited;
  native.notifyLoop(left.loop);
  rmSync(left.folder, { recursive: true, force: true });
  return code;
}

t.test('fifty workers end with queued work and a registered loop', async (t) => {
  for (let round = 0; round < 50; round++) {
    const terminated = round % 2 === 1;
    const code = await endOne(round % 10 === 0, terminated);
    t.ok(code === 0 || (terminated && code === 1), `worker ${round} ended with ${code}`);
  }
  native.clearFaults(0);
  const threads = readdirSync('/proc/self/task').map((task) => threadName(task));
  t.same(
    threads.filter((name) => name.startsWith('disk')),
    [],
    'their I/O threads are gone',
  );
});

t.test('exitProcess ends a process with the given code, whatever runs', async (t) => {
  const addon = join(packageRoot, 'src', 'native', 'extentd.node');
  t.ok(existsSync(addon));
  const script = `process.on('exit', () => console.log('not reached')); require(${JSON.stringify(addon)}).exitProcess(42);`;
  const run = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8', timeout: 20_000 });
  t.match(run, { status: 42, stdout: '', stderr: '' });
});
