/**
 * Instructions that a process executes in user mode, by `perf stat`, where there is one and the machine has a hardware counter; many virtual machines have none.
 */
import { spawn } from 'node:child_process';

/** Counts while `run` runs. Null when this machine cannot count. */
export async function countInstructions(pid: number, run: () => Promise<void>): Promise<number | null> {
  const perf = spawn('perf', ['stat', '-x', ',', '-e', 'instructions:u', '-p', String(pid)], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, LC_ALL: 'C' },
  });
  let text = '';
  perf.stderr.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  const ended = new Promise<void>((resolve) => {
    perf.once('error', () => resolve());
    perf.once('close', () => resolve());
  });
  // It attaches to every thread before it counts; a perf that cannot do so has ended by then.
  await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 300))]);
  await run();
  perf.kill('SIGINT');
  await ended;
  const count = /^(\d+),[^,]*,instructions:u/m.exec(text)?.[1];
  return count === undefined ? null : Number(count);
}
