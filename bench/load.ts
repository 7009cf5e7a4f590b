/**
 * `npm run load`: the packet generator's entry. Reads the flags, makes the runs, prints and writes what came out.
 */
import { writeFileSync } from 'node:fs';
import { compareResults, formatComparison, medianRun, turns } from './compare.js';
import { type LoadOptions, parseFlags } from './flags.js';
import { HELP } from './help.js';
import { renderPage } from './htmlReport.js';
import { Progress } from './progress.js';
import { describeRun, formatResult, toJson } from './report.js';
import { isGood, type RunResult } from './result.js';
import { LoadRun, type RunObserver } from './run.js';
import { warmMemory } from './warmMemory.js';
import { bytes } from './words.js';

const EXIT = { good: 0, failed: 1, badFlags: 2 } as const;

const SILENT: RunObserver = { phase: () => {}, progress: () => {} };

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Runs once against each target in turn; a first interrupt ends the current run and skips the rest, a second one ends the process. */
async function makeRuns(options: LoadOptions): Promise<RunResult[]> {
  const results: RunResult[] = [];
  let current: LoadRun | null = null;
  let interrupted = false;
  const onInterrupt = () => {
    if (interrupted) process.exit(EXIT.failed);
    interrupted = true;
    current?.stop();
  };
  process.on('SIGINT', onInterrupt);
  for (const target of turns(options)) {
    if (interrupted) break;
    const progress = options.quiet ? null : new Progress(process.stderr);
    current = new LoadRun(options, target, progress ?? SILENT);
    const result = await current.start();
    progress?.end();
    results.push(result);
    if (options.compare) say(`\n${result.name}, round ${Math.ceil(results.length / options.targets.length)}`);
    say(formatResult(result));
  }
  process.off('SIGINT', onInterrupt);
  return results;
}

function writeOutputs(options: LoadOptions, results: readonly RunResult[]): void {
  const comparison = options.compare ? compareResults(options.targets, results) : null;
  if (comparison !== null) say(`\n${formatComparison(comparison)}`);
  if (options.jsonFile !== null) writeFileSync(options.jsonFile, toJson(options, results, comparison));
  if (options.reportFile === null) return;
  const shown = options.targets
    .map((target) => medianRun(results, target.name))
    .filter((run) => run !== undefined);
  writeFileSync(options.reportFile, renderPage(options, shown, comparison));
  say(`report     ${options.reportFile}`);
}

/** The whole program; returns the exit code. */
async function main(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args);
  if (flags.ok === 'help') {
    say(HELP);
    return EXIT.good;
  }
  if (!flags.ok) {
    process.stderr.write(`load: ${flags.message}\n`);
    return EXIT.badFlags;
  }
  const { options } = flags;
  if (options.warmMemory) say(`warmed ${bytes(await warmMemory())} of memory`);
  const where = options.targets.map(({ name, address }) =>
    options.compare ? `${name} (${address.host}:${address.port})` : name,
  );
  say(`${where.join(' and ')}: ${describeRun(options)}`);
  const results = await makeRuns(options);
  writeOutputs(options, results);
  return results.every(isGood) ? EXIT.good : EXIT.failed;
}

process.exitCode = await main(process.argv.slice(2));
