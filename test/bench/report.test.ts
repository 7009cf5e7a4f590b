/** What is made of the counters: results, tables, JSON, pages, comparisons. */
import t from 'tap';
import { compareResults, formatComparison, median, medianRun, turns } from '../../bench/compare.js';
import { FailureLog } from '../../bench/failures.js';
import { type LoadOptions, parseFlags } from '../../bench/flags.js';
import { renderPage } from '../../bench/htmlReport.js';
import { KIND } from '../../bench/kinds.js';
import { parseUsage, readUsage } from '../../bench/processUsage.js';
import { barLine, Progress } from '../../bench/progress.js';
import { describeRun, formatResult, toJson } from '../../bench/report.js';
import { isGood, makeResult, type RunResult } from '../../bench/result.js';
import { Sampler } from '../../bench/sampler.js';
import { Stats } from '../../bench/stats.js';
import { linearScale, logScale } from '../../bench/svgChart.js';
import { bytesToWarm, warmMemory } from '../../bench/warmMemory.js';

/** One node, of which everything was read back. */
const replicas = [{ address: '127.0.0.1:17310', primaryOf: 4, verifiedBytes: 1 << 20, mismatches: 0 }];

function optionsOf(...args: string[]): LoadOptions {
  const outcome = parseFlags(args);
  if (outcome.ok !== true) throw new Error('bad flags in a test');
  return outcome.options;
}

/** A run of two workers, 2 s long: `ops` writes of 1 ms each and as many reads of 2 ms. */
function runOf(name: string, ops: number, log = new FailureLog()): RunResult {
  const workers = [new Stats(), new Stats()];
  const sampler = new Sampler(workers, 2);
  sampler.begin(0);
  for (let second = 1; second <= 2; second++) {
    for (const stats of workers) {
      for (let count = 0; count < ops / 4; count++) {
        stats.kinds[KIND.write]!.done(1, 4096);
        stats.kinds[KIND.read]!.done(2, 4096);
      }
    }
    sampler.sample(second * 1000);
  }
  return makeResult({
    target: { name, address: { host: '127.0.0.1', port: 17310 }, pids: [] },
    stats: workers.map((stats) => ({ stats, elapsedMs: 2000 })),
    timeline: sampler.timeline,
    threads: 2,
    log,
    server: { cpuSeconds: 0.02, rssBeforeBytes: 95e6, rssAfterBytes: 124e6, rssPeakBytes: 130e6 },
    generatorCpuSeconds: 0.01,
    unsent: 0,
    redirections: 3,
    redirectedPackets: 1234,
    verified: true,
    replicas,
  });
}

t.test('a result sums workers and kinds', async (t) => {
  const run = runOf('node', 1000);
  t.match(
    run.kinds.map((kind) => [kind.name, kind.ops, kind.opsPerSecond]),
    [
      ['write', 1000, 500],
      ['read', 1000, 500],
    ],
  );
  t.match(run.total, { name: 'total', ops: 2000, bytes: 2000 * 4096, opsPerSecond: 1000, errors: 0 });
  t.equal(run.total.megabytesPerSecond, 4.096, 'decimal megabytes');
  t.ok(Math.abs(run.total.latencyMs.mean - 1.5) < 1e-9);
  t.equal(run.total.latencyMs.max, 2);
  t.equal(
    run.total.buckets.reduce((sum, [, count]) => sum + count, 0),
    2000,
  );
  t.equal(run.server!.cpuMicrosPerOp, 10);
  t.equal(run.generator.cpuMicrosPerOp, 5);
  t.ok(isGood(run));
  t.match(run.timeline, [
    { atSeconds: 1, opsPerSecond: 1000, errors: 0 },
    { atSeconds: 2, opsPerSecond: 1000, errors: 0 },
  ]);
});

t.test('the table and its notes', async (t) => {
  const log = new FailureLog();
  log.failed('0xF3 OpIntraGroupNetErr', 'ActionWrite:_input/output error', 3);
  log.mismatched('partition 1 extent 1025: byte 0 is not what was written');
  const run = runOf('node', 1000, log);
  t.notOk(isGood(run));
  const text = formatResult(run);
  t.match(text, /^ +ops\/s +MB\/s +p50 +p90 +p99 +p99.9 +max +errors/);
  t.match(text, /\nwrite +500 +2\.0 /);
  t.match(text, /\ntotal +1,000 +4\.1 /);
  t.match(text, /error +3 × 0xF3 OpIntraGroupNetErr: ActionWrite:_input\/output error/);
  t.match(text, /mismatch +1 packet with wrong content\n +partition 1 extent 1025/);
  t.match(text, /server +10\.0 µs CPU an operation \(0\.01 cores\), memory 95 MB → 124 MB, peak 130 MB/);
  t.match(formatResult(runOf('node', 1000)), /verified +1 MiB read back, all as written/);
  t.notMatch(text, 'replica', 'one node is not named again');
});

t.test('a run that never began says so', async (t) => {
  const log = new FailureLog();
  log.failed('connect', 'connect ECONNREFUSED 127.0.0.1:1', 4);
  const filled = new Stats();
  filled.kinds[KIND.write]!.done(1, 4096);
  const run = makeResult({
    target: { name: 'node', address: { host: 'h', port: 1 }, pids: [] },
    stats: [{ stats: filled, elapsedMs: 0 }],
    timeline: [],
    threads: 1,
    log,
    server: null,
    generatorCpuSeconds: 0,
    unsent: 0,
    redirections: 0,
    redirectedPackets: 0,
    verified: false,
    replicas: [],
  });
  t.equal(run.total.ops, 0, 'what preparing counted is not part of it');
  t.match(formatResult(run), /4 × connect: connect ECONNREFUSED.*\nnothing was measured/);
  t.match(renderPage(optionsOf(), [run], null), /Nothing was measured/);
});

t.test('the JSON file', async (t) => {
  const options = optionsOf('--op', 'mixed', '--mix', 'write=50,read=50', '--seconds', '2');
  const parsed = JSON.parse(toJson(options, [runOf('node', 100)], null));
  t.same(Object.keys(parsed), ['version', 'title', 'options', 'results', 'comparison']);
  t.equal(parsed.version, 1);
  t.same(parsed.options.mix, { write: 50, read: 50 });
  t.same(parsed.options.targets, [{ name: '127.0.0.1:17310', address: '127.0.0.1:17310', pids: [] }]);
  const [result] = parsed.results;
  t.same(Object.keys(result).sort(), [
    'address',
    'elapsedSeconds',
    'errorCount',
    'failures',
    'generator',
    'kinds',
    'mismatchTexts',
    'mismatches',
    'name',
    'redirectedPackets',
    'redirections',
    'replicas',
    'server',
    'startedAt',
    'timeline',
    'total',
    'unsent',
    'verifiedBytes',
  ]);
  t.same(Object.keys(result.total.latencyMs), ['mean', 'p50', 'p90', 'p99', 'p999', 'max']);
  t.same(Object.keys(result.timeline[0]), [
    'atSeconds',
    'opsPerSecond',
    'bytesPerSecond',
    'p50Ms',
    'p99Ms',
    'errors',
  ]);
});

t.test('the page needs nothing but itself', async (t) => {
  const options = optionsOf('--compare', 'go=h:1', 'ours=h:2');
  const runs = [runOf('go', 500), runOf('ours', 1000)];
  const pages = [
    renderPage(optionsOf(), [runs[0]!], null),
    renderPage(options, runs, compareResults(options.targets, runs)),
  ];
  for (const page of pages) {
    t.notMatch(page, /https?:|<script|<link|<img|src=|@import|url\(/i);
    t.equal(page.match(/<svg /g)?.length, 4, 'four charts');
    t.notMatch(page, /NaN|Infinity|undefined/);
    t.match(page, /prefers-color-scheme:dark/);
  }
  const comparison = compareResults(options.targets, [...runs, { ...runs[0]!, errorCount: 1 }]);
  t.match(renderPage(options, runs, comparison), /with errors/, 'an error in a round that is not shown');
  const hostile = { ...runs[0]!, failures: [{ code: 'x', count: 1, example: '<b>&"' }] };
  t.match(renderPage(optionsOf(), [hostile], null), /&lt;b&gt;&amp;&quot;/, 'texts of the node are escaped');
});

t.test('comparisons: turns, medians, ratios', async (t) => {
  const options = optionsOf('--compare', 'go=h:1', 'ours=h:2', '--rounds', '3');
  t.same(
    turns(options).map((target) => target.name),
    ['go', 'ours', 'go', 'ours', 'go', 'ours'],
  );
  t.equal(median([3, 1, 2]), 2);
  t.equal(median([4, 1, 2, 3]), 2.5);
  t.equal(median([]), 0);
  const results = [500, 2000, 700, 1400, 600, 1000].map((ops, index) =>
    runOf(index % 2 ? 'ours' : 'go', ops),
  );
  const comparison = compareResults(options.targets, results);
  t.match(comparison.targets, [
    { name: 'go', rounds: 3, medians: { opsPerSecond: 600 }, ratios: { opsPerSecond: 1, p50Ms: 1 } },
    { name: 'ours', rounds: 3, medians: { opsPerSecond: 1400 }, ratios: { opsPerSecond: 1400 / 600 } },
  ]);
  t.equal(medianRun(results, 'ours')!.total.opsPerSecond, 1400);
  t.equal(medianRun(results, 'nobody'), undefined);
  t.match(formatComparison(comparison), /\nours +1,400 +×2\.33 /);
});

t.test('what is run, in words', async (t) => {
  t.equal(describeRun(optionsOf()), 'write 4 KiB, 4 connections × 16 in flight, 10 s');
  const mixed = optionsOf('--op', 'mixed', '--mix', 'write=60,read=40', '--count', '5000', '--rate', '2000');
  t.equal(
    describeRun(mixed),
    'write 60 % + read 40 %, 4 KiB, 4 connections × 16 in flight, 5,000 operations, open loop 2,000/s',
  );
  t.equal(
    describeRun(optionsOf('--op', 'create', '--conns', '1')),
    'create, 1 connection × 16 in flight, 10 s',
  );
});

t.test('progress: a bar on a terminal, now and then a line elsewhere', async (t) => {
  const view = { share: 0.5, opsPerSecond: 98_123, bytesPerSecond: 4e8, errors: 2 };
  t.match(barLine(view), /^▕█{14} {14}▏ {2}50 % +98,123 ops\/s +400\.0 MB\/s {2}2 errors$/);
  t.match(barLine({ ...view, share: 1.2 }), /█{28}/);
  const written: string[] = [];
  const write = (text: string) => written.push(text);
  let nowMs = 0;
  const plain = new Progress({ write }, () => nowMs);
  plain.phase('run');
  for (; nowMs <= 11_000; nowMs += 250) plain.progress(view);
  plain.end();
  t.equal(written.length, 2, 'every 5 s');
  t.notOk(written.some((text) => text.includes('\x1b') || text.includes('\r')));
  written.length = 0;
  const bar = new Progress({ isTTY: true, write }, () => nowMs);
  bar.phase('connect');
  bar.progress(view);
  bar.end();
  t.match(written.join(''), /connecting.*50 %/s);
  t.equal(written.at(-1), '\r\x1b[2K', 'the bar is taken away at the end');
});

t.test('axes hold their data and have round ticks', async (t) => {
  const text = String;
  t.same(linearScale(98_123, text).ticks, [0, 20_000, 40_000, 60_000, 80_000, 100_000]);
  t.same(linearScale(0, text).min, 0);
  t.match(logScale(0.12, 4.9, text), { min: 0.1, max: 5 });
  const one = logScale(1, 1, text);
  t.ok(one.max > one.min, 'a single value has an axis, too');
});

t.test('usage of processes is read from /proc', async (t) => {
  const stat = `12 (a) b ) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 11 0`;
  const status = 'Name:\tx\nVmHWM:\t    200 kB\nVmRSS:\t    100 kB\n';
  t.same(parseUsage(stat, status), { cpuSeconds: 2, rssBytes: 102_400, rssPeakBytes: 204_800 });
  t.equal(parseUsage('garbage', ''), null);
  const own = readUsage([process.pid, process.pid]);
  t.ok(own !== null && own.cpuSeconds > 0 && own.rssPeakBytes >= own.rssBytes);
  t.equal(readUsage([2 ** 31 - 1]), null, 'a process that is not there');
  t.equal(readUsage([]), null);
});

t.test('memory is warmed within what is free and allowed', async (t) => {
  const meminfo = 'MemTotal: 2000 kB\nMemAvailable:    1000 kB\n';
  t.equal(bytesToWarm(meminfo, 0), 819_200);
  t.equal(bytesToWarm(meminfo, 100_000), 80_000);
  t.equal(bytesToWarm('', 0), 0);
  t.equal(await warmMemory(1 << 20), 1 << 20, 'the process that touches it ends well');
});
