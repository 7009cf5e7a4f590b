/**
 * Charts as inline SVG: axes with round ticks, lines, areas and bars. Pure text, no scripts; colours come from the page's CSS variables, so that a chart
 * fits a light and a dark page. Used by `htmlReport.ts`.
 */

/** One axis: which values are where, and what is written along it. */
export interface Scale {
  readonly kind: 'linear' | 'log';
  readonly min: number;
  readonly max: number;
  /** Values with a grid line. */
  readonly ticks: readonly number[];
  readonly format: (value: number) => string;
}

/** Something drawn. `color` is a CSS colour; points are in axis values, ascending in x. */
export interface Mark {
  readonly shape: 'line' | 'dashed' | 'area' | 'bars';
  readonly color: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Chart {
  /** For readers who cannot see it. */
  readonly label: string;
  readonly x: Scale;
  readonly y: Scale;
  readonly xName: string;
  readonly yName: string;
  readonly marks: readonly Mark[];
  /** Vertical lines with a name. */
  readonly markers?: readonly { readonly x: number; readonly name: string }[];
  /** Texts shown when the pointer rests on a part of the chart: from x to x. */
  readonly hints?: readonly { readonly from: number; readonly to: number; readonly text: string }[];
}

const WIDTH = 640;
const HEIGHT = 270;
const LEFT = 62;
const RIGHT = 16;
const TOP = 30;
const BOTTOM = 44;
const PLOT_WIDTH = WIDTH - LEFT - RIGHT;
const PLOT_HEIGHT = HEIGHT - TOP - BOTTOM;

/** Text made safe for HTML and attributes. */
export function escapeHtml(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
}

/** A linear axis from 0 that holds `max`, with about five round ticks. */
export function linearScale(max: number, format: (value: number) => string): Scale {
  const rough = (max > 0 ? max : 1) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough)!;
  const count = Math.max(1, Math.ceil((max > 0 ? max : 1) / step - 1e-9));
  const ticks = Array.from({ length: count + 1 }, (_, index) => index * step);
  return { kind: 'linear', min: 0, max: count * step, ticks, format };
}

/** A linear axis that ends exactly at `max`: time. */
export function spanScale(max: number, format: (value: number) => string): Scale {
  const round = linearScale(max, format);
  const ticks = round.ticks.filter((tick) => tick <= max * 1.0001);
  return { ...round, max: max > 0 ? max : 1, ticks };
}

/** A logarithmic axis that holds `[min, max]`, both above 0, with a tick at each 1, 2 and 5 (or each power of ten when it is long). */
export function logScale(min: number, max: number, format: (value: number) => string): Scale {
  const steps = Math.log10(max / min) > 3 ? [1] : Math.log10(max / min) > 1.7 ? [1, 3] : [1, 2, 5];
  const all: number[] = [];
  for (let power = -5; power <= 7; power++) for (const step of steps) all.push(step * 10 ** power);
  const from = Math.max(
    0,
    all.findLastIndex((tick) => tick <= min),
  );
  const to = all.findIndex((tick) => tick >= max);
  const ticks = all.slice(from, (to < 0 ? all.length - 1 : Math.max(to, from + 1)) + 1);
  return { kind: 'log', min: ticks[0]!, max: ticks.at(-1)!, ticks, format };
}

function place(scale: Scale, value: number): number {
  const { min, max } = scale;
  const share =
    scale.kind === 'linear'
      ? (value - min) / (max - min)
      : Math.log(Math.max(value, min) / min) / Math.log(max / min);
  return Math.min(1, Math.max(0, share));
}

/** The chart as one `<svg>` element. */
export function renderChart(chart: Chart): string {
  const at = (value: number) => (LEFT + place(chart.x, value) * PLOT_WIDTH).toFixed(1);
  const up = (value: number) => (TOP + (1 - place(chart.y, value)) * PLOT_HEIGHT).toFixed(1);
  const base = (TOP + PLOT_HEIGHT).toFixed(1);
  const parts = [
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(chart.label)}">`,
    ...gridLines(chart, at, up),
    ...chart.marks.map((mark) => renderMark(mark, at, up, base)),
    ...renderMarkers(chart, at),
    `<text class="axis" x="${LEFT - 8}" y="${TOP - 14}" text-anchor="start" dx="${8 - LEFT + 4}">${escapeHtml(chart.yName)}</text>`,
    `<text class="axis" x="${WIDTH - RIGHT}" y="${HEIGHT - 6}" text-anchor="end">${escapeHtml(chart.xName)}</text>`,
    ...(chart.hints ?? []).map(({ from, to, text }) => {
      const left = Number(at(from));
      const width = Math.max(0.5, Number(at(to)) - left).toFixed(1);
      return `<rect class="hint" x="${left}" y="${TOP}" width="${width}" height="${PLOT_HEIGHT}"><title>${escapeHtml(text)}</title></rect>`;
    }),
    '</svg>',
  ];
  return parts.join('');
}

type Place = (value: number) => string;

function gridLines(chart: Chart, at: Place, up: Place): string[] {
  const lines = chart.y.ticks.map((tick) => {
    const y = up(tick);
    const text = escapeHtml(chart.y.format(tick));
    return `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y}" y2="${y}"/><text class="tick" x="${LEFT - 8}" y="${y}" dy="0.35em" text-anchor="end">${text}</text>`;
  });
  for (const tick of chart.x.ticks) {
    const x = at(tick);
    const text = escapeHtml(chart.x.format(tick));
    lines.push(
      `<line class="grid faint" x1="${x}" x2="${x}" y1="${TOP}" y2="${TOP + PLOT_HEIGHT}"/><text class="tick" x="${x}" y="${TOP + PLOT_HEIGHT + 17}" text-anchor="middle">${text}</text>`,
    );
  }
  return lines;
}

function renderMark(mark: Mark, at: Place, up: Place, base: string): string {
  const { points, color } = mark;
  if (points.length === 0) return '';
  if (mark.shape === 'bars') {
    const path = points.map(([x, y], index) => {
      const next = points[index + 1]?.[0] ?? x;
      return `M${at(x)} ${base}V${up(y)}H${at(next)}V${base}Z`;
    });
    return `<path class="bars" style="fill:${color}" d="${path.join('')}"/>`;
  }
  const line = points.map(([x, y]) => `${at(x)} ${up(y)}`).join('L');
  if (mark.shape === 'area') {
    return `<path class="area" style="fill:${color}" d="M${at(points[0]![0])} ${base}L${line}L${at(points.at(-1)![0])} ${base}Z"/>`;
  }
  return `<path class="line${mark.shape === 'dashed' ? ' dashed' : ''}" style="stroke:${color}" d="M${line}"/>`;
}

/** Names of markers that stand close together go on two levels. */
function renderMarkers(chart: Chart, at: Place): string[] {
  let lastX = Number.NEGATIVE_INFINITY;
  let level = 0;
  return (chart.markers ?? []).map(({ x, name }) => {
    const left = Number(at(x));
    level = left - lastX < 90 ? level + 1 : 0;
    lastX = left;
    const y = TOP + 11 + level * 14;
    const end = left > WIDTH - 110;
    return `<line class="marker" x1="${left}" x2="${left}" y1="${TOP}" y2="${TOP + PLOT_HEIGHT}"/><text class="note" x="${left + (end ? -5 : 5)}" y="${y}" text-anchor="${end ? 'end' : 'start'}">${escapeHtml(name)}</text>`;
  });
}
