/**
 * Long run: with one of two disks hung the other keeps at least 90 % of its throughput.
 *
 *     node dist/test/long/hungDisk.js [--runs 5]
 *
 * Needs a quiet machine: it compares rates. Ends with exit code 1 when the median of the runs is below the bound, or anything else is not as it should be.
 */
import { parseArgs } from 'node:util';
import { Cleanup } from '../support/cleanup.js';
import { hangOneDisk } from '../support/hungDisk.js';

const SHARE_MIN = 0.9;

const { values } = parseArgs({ options: { runs: { type: 'string', default: '5' } } });
const runs = Number(values.runs);
if (!(runs > 0)) throw new Error('--runs takes a whole number');

const cleanup = new Cleanup();
const shares: number[] = [];
let late = 0;
try {
  for (let run = 1; run <= runs; run++) {
    const report = await hangOneDisk(cleanup, 10, 1_000);
    const share = report.hungRate / report.idleRate;
    shares.push(share);
    if (report.waitMsMax >= report.stallMs + 1_000) late++;
    console.log(
      `${run}/${runs}: ${Math.round(report.hungRate)} of ${Math.round(report.idleRate)} operations/s (${Math.round(share * 100)} %), ` +
        `longest wait for an error ${Math.round(report.waitMsMax)} ms, served again after ${Math.round(report.recoveredAfterMs)} ms`,
    );
    await cleanup.run();
  }
} finally {
  await cleanup.run();
}
const share = shares.toSorted((a, b) => a - b)[Math.floor(shares.length / 2)]!;
console.log(
  `median ${Math.round(share * 100)} %, the bound is ${SHARE_MIN * 100} %; ${late} runs with late errors`,
);
process.exitCode = share >= SHARE_MIN && late === 0 ? 0 : 1;
