/**
 * Long run: three nodes under random writes lose the leader of their partition by kill -9, again and again: how long until another one leads, and until a write is acknowledged.
 *
 *     node dist/test/long/raftFailover.js [--runs 5]
 *
 * Ends with exit code 1 when what clients were told cannot be explained by one order.
 */
import { parseArgs } from 'node:util';
import { Random } from '../sim/random.js';
import { Cleanup } from '../support/cleanup.js';
import { RaftTrio } from '../support/raftTrio.js';
import { Registers } from '../support/registers.js';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '5' } } });
const runs = Number(values.runs);
if (!(runs > 0)) throw new Error('--runs takes a whole number');

const elected: number[] = [];
const acknowledged: number[] = [];
const cleanup = new Cleanup();
let verdict: string | null = null;
try {
  const trio = await RaftTrio.start(cleanup, 1);
  const registers = new Registers(cleanup, trio, 1, new Random(1));
  await registers.prepare();
  await trio.leader(1);
  registers.start();
  for (let run = 1; run <= runs; run++) {
    await registers.progress(50);
    const leader = await trio.leader(1);
    await trio.kill(leader);
    const fromMs = performance.now();
    const others = [0, 1, 2].filter((node) => node !== leader);
    await Promise.all([
      trio.leader(1, others).then(() => elected.push(performance.now() - fromMs)),
      registers.progress(1).then(() => acknowledged.push(performance.now() - fromMs)),
    ]);
    console.log(
      `${run}/${runs}: a leader after ${told(elected.at(-1)!)}, a write after ${told(acknowledged.at(-1)!)}`,
    );
    await trio.bringBack(leader);
    await trio.appliesWith(1, leader);
  }
  await registers.stop();
  verdict = await registers.verdict();
} finally {
  await cleanup.run();
}
console.log(`median: a leader after ${told(median(elected))}, a write after ${told(median(acknowledged))}`);
if (verdict !== null) console.log(verdict);
process.exitCode = verdict === null ? 0 : 1;

function median(list: readonly number[]): number {
  return list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]!;
}

function told(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
