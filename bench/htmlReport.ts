/**
 * The results as one HTML page that needs nothing else: charts are inline SVG, there are no scripts, fonts or links. Pure.
 */
import type { Comparison } from './compare.js';
import type { LoadOptions } from './flags.js';
import { HTML_STYLE } from './htmlStyle.js';
import { KINDS } from './kinds.js';
import { describeRun, replicaLines } from './report.js';
import { isGood, type KindResult, type RunResult } from './result.js';
import type { Sample } from './sampler.js';
import {
  type Chart,
  escapeHtml,
  linearScale,
  logScale,
  type Mark,
  renderChart,
  type Scale,
  spanScale,
} from './svgChart.js';
import { bytes, counted, megabytes, milliseconds, rate, whole } from './words.js';

/** Series colours, defined for light and dark in the style sheet. */
const COLORS = ['var(--one)', 'var(--two)', 'var(--three)', 'var(--four)', 'var(--five)', 'var(--six)'];
/** Bars of the distribution chart in each power of ten. */
const BARS_PER_DECADE = 24;
const PERCENTILES = [50, 90, 99, 99.9, 99.99, 99.999];

/** The page. `runs`: one a node; of a comparison, the median one of each. */
export function renderPage(
  options: LoadOptions,
  runs: readonly RunResult[],
  comparison: Comparison | null,
): string {
  const title = describeRun(options);
  // A comparison shows the median runs, but an error in any round counts.
  const compared = comparison?.targets.every((target) => target.errorCount + target.mismatches === 0) ?? true;
  const good = compared && runs.every(isGood);
  const names = runs.map((run) => (run.name === run.address ? run.name : `${run.name} (${run.address})`));
  const body = [
    '<header>',
    `<p class="over">extentd load</p><h1>${escapeHtml(title)}</h1>`,
    `<p class="sub">${escapeHtml(names.join(' and '))} · ${escapeHtml(runs[0]?.startedAt.replace('T', ' ').slice(0, 19) ?? '')} UTC`,
    ` <span class="${good ? 'good' : 'bad'}">${good ? 'no errors' : 'with errors'}</span></p>`,
    '</header>',
    comparison === null ? runs.map(cards).join('') : comparisonTable(comparison, options.rounds),
    '<main>',
    ...charts(runs),
    '</main>',
    ...runs.map((run) => detail(run, runs.length > 1)),
    settings(options),
  ];
  return (
    `<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
    `<title>${escapeHtml(title)}</title><style>${HTML_STYLE}</style></head><body>${body.join('')}</body></html>\n`
  );
}

function cards(run: RunResult): string {
  const { total, server } = run;
  const list: [string, string, string][] = [
    ['operations', whole(total.opsPerSecond), 'a second'],
    ['throughput', total.bytes > 0 ? total.megabytesPerSecond.toFixed(1) : '–', 'MB/s'],
    ['median', milliseconds(total.latencyMs.p50), 'ms'],
    ['99 %', milliseconds(total.latencyMs.p99), 'ms'],
    ['99.9 %', milliseconds(total.latencyMs.p999), 'ms'],
  ];
  if (server !== null) list.push(['server CPU', server.cpuMicrosPerOp.toFixed(1), 'µs an operation']);
  list.push(['errors', whole(run.errorCount + run.mismatches), run.verifiedBytes === null ? '' : 'verified']);
  const cells = list.map(
    ([name, value, unit]) =>
      `<div class="card"><span>${name}</span><b>${value}</b><span>${unit}</span></div>`,
  );
  return `<section class="cards">${cells.join('')}</section>`;
}

function comparisonTable(comparison: Comparison, rounds: number): string {
  const best = Math.max(...comparison.targets.map((target) => target.medians.opsPerSecond), 1e-9);
  const rows = comparison.targets.map(({ name, medians, ratios, errorCount, mismatches }, index) => {
    const times = (ratio: number | null) => (ratio === null ? '' : ` <i>×${ratio.toFixed(2)}</i>`);
    const width = ((medians.opsPerSecond / best) * 100).toFixed(1);
    return (
      `<tr><th><s style="background:${colorOf(index)}"></s>${escapeHtml(name)}</th>` +
      `<td class="bar"><u style="width:${width}%;background:${colorOf(index)}"></u></td>` +
      `<td>${rate(medians.opsPerSecond)}${times(ratios.opsPerSecond)}</td><td>${medians.megabytesPerSecond.toFixed(1)}</td>` +
      `<td>${milliseconds(medians.p50Ms)}${times(ratios.p50Ms)}</td><td>${milliseconds(medians.p99Ms)}${times(ratios.p99Ms)}</td>` +
      `<td>${milliseconds(medians.p999Ms)}${times(ratios.p999Ms)}</td>` +
      `<td>${medians.serverCpuMicrosPerOp === null ? '–' : medians.serverCpuMicrosPerOp.toFixed(1)}${times(ratios.serverCpuMicrosPerOp)}</td>` +
      `<td>${medians.serverRssPeakBytes === null ? '–' : megabytes(medians.serverRssPeakBytes)}</td>` +
      `<td>${whole(errorCount + mismatches)}</td></tr>`
    );
  });
  return (
    `<section><h2>Medians of ${counted(rounds, 'round')}, in turns; × is the ratio to ${escapeHtml(comparison.baseline)}</h2><div class="wide"><table>` +
    '<tr><th></th><th class="bar"></th><th>ops/s</th><th>MB/s</th><th>p50 ms</th><th>p99 ms</th><th>p99.9 ms</th><th>CPU µs/op</th><th>memory</th><th>errors</th></tr>' +
    `${rows.join('')}</table></div></section>`
  );
}

function charts(runs: readonly RunResult[]): string[] {
  const measured = runs.filter((run) => run.total.ops > 0);
  if (measured.length === 0) return ['<p>Nothing was measured.</p>'];
  const nodes = legend(runs.map((run, index) => [run.name, colorOf(index), '']));
  const several = runs.length > 1;
  const seconds = Math.max(...runs.map((run) => run.timeline.at(-1)?.atSeconds ?? 0));
  const time = spanScale(seconds, (value) => `${Number(value.toFixed(1))}`);
  const overTime = several
    ? nodes +
      legend([
        ['p50', 'var(--ink)', 'dashed'],
        ['p99', 'var(--ink)', ''],
      ])
    : legend([
        ['p50', COLORS[0]!, ''],
        ['p99', COLORS[1]!, ''],
      ]);
  return [
    figure('Throughput over time', throughput(runs, time), several ? nodes : ''),
    figure('Latency over time', latencyOverTime(runs, time), overTime),
    figure('Latency distribution', distribution(runs), several ? nodes : ''),
    figure('Latency by percentile', percentiles(runs), several ? nodes : ''),
  ];
}

function throughput(runs: readonly RunResult[], time: Scale): Chart {
  const max = Math.max(...runs.flatMap((run) => run.timeline.map((sample) => sample.opsPerSecond)));
  const only = runs.length === 1 ? runs[0]! : null;
  return {
    label: 'operations a second over time',
    x: time,
    y: linearScale(max, (value) => (max >= 10_000 ? (value === 0 ? '0' : `${value / 1000} k`) : rate(value))),
    xName: 'seconds',
    yName: 'operations a second',
    marks: runs.flatMap((run, index) => {
      const points = lineOver(run.timeline, (sample) => sample.opsPerSecond);
      const line: Mark = { shape: 'line', color: colorOf(index), points };
      return only === null ? [line] : [{ ...line, shape: 'area' }, line];
    }),
    hints: only === null ? [] : hintsOf(only),
  };
}

function latencyOverTime(runs: readonly RunResult[], time: Scale): Chart {
  const samples = runs.flatMap((run) => run.timeline).filter((sample) => sample.p99Ms > 0);
  const only = runs.length === 1 ? runs[0]! : null;
  return {
    label: 'median and 99th percentile over time',
    x: time,
    y: logScale(
      Math.min(1000, ...samples.map((sample) => sample.p50Ms)),
      Math.max(0.001, ...samples.map((sample) => sample.p99Ms)),
      tickText,
    ),
    xName: 'seconds',
    yName: 'milliseconds, logarithmic',
    marks: runs.flatMap((run, index): Mark[] => {
      const own = run.timeline.filter((sample) => sample.p99Ms > 0);
      return [
        {
          shape: only === null ? 'dashed' : 'line',
          color: colorOf(index),
          points: lineOver(own, (sample) => sample.p50Ms),
        },
        {
          shape: 'line',
          color: only === null ? colorOf(index) : COLORS[1]!,
          points: lineOver(own, (sample) => sample.p99Ms),
        },
      ];
    }),
    hints: only === null ? [] : hintsOf(only),
  };
}

/** `0.3`, `10`, `0.05`. */
function tickText(value: number): string {
  return String(Number(value.toPrecision(3)));
}

/** A line from 0 on: the first sample stands for the time before it. */
function lineOver(samples: readonly Sample[], figureOf: (sample: Sample) => number): [number, number][] {
  const points = samples.map((sample): [number, number] => [sample.atSeconds, figureOf(sample)]);
  return points.length === 0 ? [] : [[0, points[0]![1]], ...points];
}

function hintsOf(run: RunResult): { from: number; to: number; text: string }[] {
  return run.timeline.map((sample, index) => ({
    from: run.timeline[index - 1]?.atSeconds ?? 0,
    to: sample.atSeconds,
    text:
      `${sample.atSeconds.toFixed(1)} s: ${rate(sample.opsPerSecond)} ops/s, ${(sample.bytesPerSecond / 1e6).toFixed(1)} MB/s, ` +
      `p50 ${milliseconds(sample.p50Ms)} ms, p99 ${milliseconds(sample.p99Ms)} ms${sample.errors > 0 ? `, ${counted(sample.errors, 'error')}` : ''}`,
  }));
}

/** Share of operations in bars that are equally wide on the logarithmic axis. */
function distribution(runs: readonly RunResult[]): Chart {
  const ranges = runs.flatMap((run) => run.total.buckets.map(([floor]) => Math.max(floor, 0.001)));
  const shares = runs.map((run) => {
    const bars = new Map<number, number>();
    for (const [floor, count] of run.total.buckets) {
      const bar = Math.floor(Math.log10(Math.max(floor, 0.001)) * BARS_PER_DECADE);
      bars.set(bar, (bars.get(bar) ?? 0) + (count / run.total.ops) * 100);
    }
    return bars;
  });
  const max = Math.max(...shares.flatMap((bars) => [...bars.values()]));
  const only = runs.length === 1 ? runs[0]! : null;
  const edge = (bar: number) => 10 ** (bar / BARS_PER_DECADE);
  return {
    label: 'share of operations by latency',
    x: logScale(Math.min(...ranges), Math.max(...ranges), tickText),
    y: linearScale(max, (value) => `${Number(value.toFixed(1))} %`),
    xName: 'milliseconds, logarithmic',
    yName: 'share of operations',
    marks: shares.map((bars, index): Mark => {
      const numbers = [...bars.keys()].sort((left, right) => left - right);
      const first = numbers[0]!;
      const points = Array.from({ length: numbers.at(-1)! - first + 2 }, (_, step) => {
        const bar = first + step;
        return [edge(bar), bars.get(bar) ?? 0] as const;
      });
      return { shape: only === null ? 'line' : 'bars', color: colorOf(index), points };
    }),
    markers:
      only === null
        ? []
        : [
            { x: only.total.latencyMs.p50, name: `p50 ${milliseconds(only.total.latencyMs.p50)} ms` },
            { x: only.total.latencyMs.p99, name: `p99 ${milliseconds(only.total.latencyMs.p99)} ms` },
            { x: only.total.latencyMs.p999, name: `p99.9 ${milliseconds(only.total.latencyMs.p999)} ms` },
          ],
  };
}

/** Latency against percentile on the axis on which each further nine takes the same room. */
function percentiles(runs: readonly RunResult[]): Chart {
  const nines = (percent: number) => -Math.log10(1 - percent / 100);
  const lines = runs.map((run) => {
    let seen = 0;
    return run.total.buckets.map(([floor, count]) => {
      seen += count;
      // The largest value has no percentile of its own: it is drawn where half an operation would lie beyond it.
      const beyond = Math.max(run.total.ops - seen, 0.5) / run.total.ops;
      return [-Math.log10(beyond), Math.max(floor, 0.001)] as const;
    });
  });
  const farthest = Math.max(...lines.map((line) => line.at(-1)?.[0] ?? 0), 1);
  const end = Math.min(farthest, nines(PERCENTILES.at(-1)!));
  const values = lines.flat().map(([, value]) => value);
  return {
    label: 'latency by percentile',
    x: {
      kind: 'linear',
      min: 0,
      max: end,
      ticks: PERCENTILES.map(nines).filter((tick) => tick <= end + 1e-9),
      format: (tick) => `${PERCENTILES.find((percent) => Math.abs(nines(percent) - tick) < 1e-6)} %`,
    },
    y: logScale(Math.min(...values), Math.max(...values), tickText),
    xName: 'percentile',
    yName: 'milliseconds, logarithmic',
    marks: lines.map((line, index): Mark => {
      return { shape: 'line', color: colorOf(index), points: line.filter(([x]) => x <= end) };
    }),
  };
}

function figure(title: string, chart: Chart, key: string): string {
  return `<figure><figcaption><h2>${title}</h2>${key}</figcaption>${renderChart(chart)}</figure>`;
}

function legend(entries: readonly (readonly [name: string, color: string, style: string])[]): string {
  const items = entries.map(
    ([name, color, style]) =>
      `<span><s class="${style}" style="border-color:${color}"></s>${escapeHtml(name)}</span>`,
  );
  return `<p class="key">${items.join('')}</p>`;
}

function colorOf(index: number): string {
  return COLORS[index % COLORS.length]!;
}

/** The table of a run, and what else is known of it. */
function detail(run: RunResult, named: boolean): string {
  const rows = run.kinds.length > 1 ? [...run.kinds, run.total] : run.kinds;
  const head = ['', 'operations', 'ops/s', 'MB/s', 'mean ms', 'p50', 'p90', 'p99', 'p99.9', 'max', 'errors'];
  const table = `<div class="wide"><table><tr>${head.map((cell) => `<th>${cell}</th>`).join('')}</tr>${rows.map(kindRow).join('')}</table></div>`;
  const facts: string[] = [];
  for (const { code, count, example } of run.failures) facts.push(`${whole(count)} × ${code}: ${example}`);
  facts.push(...run.mismatchTexts);
  if (run.unsent > 0)
    facts.push(`${counted(run.unsent, 'operation')} of the schedule still held back at the end`);
  if (run.verifiedBytes !== null) {
    const outcome = run.mismatches === 0 ? 'all as written' : counted(run.mismatches, 'mismatching packet');
    facts.push(`read back ${bytes(run.verifiedBytes)}: ${outcome}`);
  }
  facts.push(...replicaLines(run));
  if (run.server !== null) {
    const { cpuMicrosPerOp, cpuSeconds, rssBeforeBytes, rssAfterBytes, rssPeakBytes } = run.server;
    facts.push(
      `server: ${cpuMicrosPerOp.toFixed(1)} µs CPU an operation, ${cpuSeconds.toFixed(1)} s in all; memory ${megabytes(rssBeforeBytes)} before, ${megabytes(rssAfterBytes)} after, ${megabytes(rssPeakBytes)} at most`,
    );
  }
  facts.push(
    `generator: ${run.generator.cpuMicrosPerOp.toFixed(1)} µs CPU an operation, ${counted(run.generator.threads, 'thread')}`,
  );
  const list = facts.map((fact) => `<li>${escapeHtml(fact)}</li>`).join('');
  return `<section><h2>${named ? escapeHtml(run.name) : 'Figures'}</h2>${table}<ul>${list}</ul></section>`;
}

function kindRow(row: KindResult): string {
  const { mean, p50, p90, p99, p999, max } = row.latencyMs;
  const cells = [
    whole(row.ops),
    rate(row.opsPerSecond),
    row.bytes > 0 ? row.megabytesPerSecond.toFixed(1) : '–',
    ...[mean, p50, p90, p99, p999, max].map(milliseconds),
    whole(row.errors),
  ];
  return `<tr><th>${row.name}</th>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
}

function settings(options: LoadOptions): string {
  const { partitions, volume, followers } = options;
  const some = partitions.length > 12 ? `${partitions.length} of them` : partitions.join(', ');
  const rows: [string, string][] = [
    ['operations', options.mix.map(([kind, share]) => `${KINDS[kind]!.name} ${share} %`).join(', ')],
    ['size', bytes(options.sizeBytes)],
    ['connections × in flight', `${options.conns} × ${options.depth}`],
    ['partitions', some === '' ? 'all that are read-write' : some],
    volume === null
      ? ['followers', followers.join(', ') || 'none']
      : ['replicas', `as the master names them, volume ${volume}`],
    ['loop', options.rate === null ? 'closed' : `open, ${whole(options.rate)} a second`],
    ['extents a connection', `${options.extents} of up to ${bytes(options.extentBytes)}`],
    ['reads', `${options.randomReads ? 'random' : 'in order'}, of ${bytes(options.fillBytes)} an extent`],
    ['extent ids', options.ids === 'server' ? 'by the node' : 'by the generator'],
    ['warm-up', `${options.warmupSeconds} s`],
    ['reply time-out', `${options.timeoutMs / 1000} s`],
  ];
  const items = rows.map(([name, value]) => `<div><dt>${name}</dt><dd>${escapeHtml(value)}</dd></div>`);
  return `<section><h2>Settings</h2><dl>${items.join('')}</dl></section>`;
}
