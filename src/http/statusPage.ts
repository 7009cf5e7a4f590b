/**
 * The plain status page at `/`: one self-contained HTML document, no scripts. Pure; runs on the HTTP thread.
 */
import type { Overview, OverviewDisk, OverviewPartition } from './overview.js';

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --ok: #2a9d5c; --warn: #d08700; --bad: #d33; --bar: #3b82f6; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1060px; margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; margin: 0; } h1 small { font-weight: 400; opacity: .65; font-size: 1rem; margin-left: .5rem; }
h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .75rem; margin: 1.25rem 0 0; }
.facts div { background: var(--soft); border-radius: 10px; padding: .6rem .9rem; }
.facts dt { font-size: .78rem; opacity: .7; } .facts dd { margin: 0; font-size: 1.1rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-size: .78rem; font-weight: 600; opacity: .7; } td.n, th.n { text-align: right; }
.bar { display: inline-block; width: 110px; height: 8px; border-radius: 4px; background: var(--line); overflow: hidden; vertical-align: middle; margin-right: .5rem; }
.bar i { display: block; height: 100%; background: var(--bar); }
.ok { color: var(--ok); } .warn { color: var(--warn); } .bad { color: var(--bad); }
nav a { margin-right: 1rem; } footer { margin-top: 2rem; opacity: .6; font-size: .85rem; }
`;

/** The page. `nowMs` is the wall clock, for the uptime. */
export function renderStatusPage(overview: Overview, nowMs: number): string {
  const used = sum(overview.disks, 'used');
  const total = sum(overview.disks, 'total');
  const facts: [string, string][] = [
    ['Cluster', overview.cluster || '-'],
    ['Node id', String(overview.nodeId)],
    ['Rack', overview.rack],
    ['Partitions', String(overview.partitionCount)],
    ['Connections', String(overview.connections)],
    ['Used', `${bytesText(used)} of ${bytesText(total)}`],
    ['Up for', durationText(nowMs - overview.startedAtMs)],
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="5"><title>extentd ${text(overview.address)}</title><style>${STYLE}</style></head>
<body><h1>extentd <small>${text(overview.address)}</small></h1>
<dl class="facts">${facts.map(([name, value]) => `<div><dt>${name}</dt><dd>${text(value)}</dd></div>`).join('')}</dl>
<h2>Disks</h2>
${table(DISK_HEADINGS, overview.disks.map(diskRow))}
<h2>Partitions</h2>
${table(
  PARTITION_HEADINGS,
  overview.partitions.map((partition) => partitionRow(partition, overview.address)),
)}
${more(overview)}
<h2>As JSON</h2>
<nav><a href="/stats">/stats</a><a href="/disks">/disks</a><a href="/partitions">/partitions</a><a href="/healthz">/healthz</a></nav>
<footer>The page renews itself every 5 seconds.</footer></body></html>
`;
}

const DISK_HEADINGS = [
  'Path',
  'Status',
  'Used',
  number('Available'),
  number('Allocated'),
  number('Partitions'),
  number('Errors (read / write)'),
];

const PARTITION_HEADINGS = [
  number('Id'),
  'Volume',
  'Status',
  'Used',
  number('Size'),
  number('Extents'),
  'Leader',
  'Hosts, primary first',
];

function table(headings: readonly Cell[], rows: readonly string[]): string {
  const body = `<thead>${row(headings, 'th')}</thead>\n<tbody>${rows.join('\n')}</tbody>`;
  return `<div class="scroll"><table>${body}</table></div>`;
}

function diskRow(disk: OverviewDisk): string {
  const hanging = !disk.responsive && disk.status !== -1;
  return row([
    text(disk.path),
    hanging ? '<span class="bad">hanging</span>' : statusText(disk.status),
    bar(disk.used, disk.total),
    number(bytesText(disk.available)),
    number(bytesText(disk.allocated)),
    number(disk.partitions),
    number(`${disk.readErrors} / ${disk.writeErrors}`),
  ]);
}

/** `address`: this node's own, which stands out among the hosts. */
function partitionRow(partition: OverviewPartition, address: string): string {
  const { id } = partition;
  return row([
    number(`<a href="/partition?id=${id}">${id}</a>`),
    text(partition.volume),
    statusText(partition.status),
    bar(partition.used, partition.size),
    number(bytesText(partition.size)),
    number(partition.extents),
    partition.leader ? 'yes' : 'no',
    partition.hosts
      .map((host) => (host === address ? `<strong>${text(host)}</strong>` : text(host)))
      .join(', '),
  ]);
}

/** HTML of a cell; `right`: a number, aligned as such. */
type Cell = string | { right: string | number };

function number(right: string | number): Cell {
  return { right };
}

function row(contents: readonly Cell[], tag: 'td' | 'th' = 'td'): string {
  const cells = contents.map((content) =>
    typeof content === 'string'
      ? `<${tag}>${content}</${tag}>`
      : `<${tag} class="n">${content.right}</${tag}>`,
  );
  return `<tr>${cells.join('')}</tr>`;
}

function more(overview: Overview): string {
  const hidden = overview.partitionCount - overview.partitions.length;
  return hidden > 0
    ? `<p>${hidden} more partitions are listed at <a href="/partitions">/partitions</a>.</p>`
    : '';
}

function statusText(status: number): string {
  if (status === 2) return '<span class="ok">read-write</span>';
  return status === 1 ? '<span class="warn">read-only</span>' : '<span class="bad">unavailable</span>';
}

function bar(part: number, whole: number): string {
  const percent = whole > 0 ? Math.min(100, (part / whole) * 100) : 0;
  return `<span class="bar"><i style="width:${percent.toFixed(1)}%"></i></span>${bytesText(part)}`;
}

function sum(disks: readonly OverviewDisk[], key: 'used' | 'total'): number {
  return disks.reduce((bytes, disk) => bytes + disk[key], 0);
}

/** `1.5 GiB`. */
function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** `2 d 3 h`, `5 min 7 s`. */
function durationText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (hours >= 24) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  return minutes > 0 ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

const HTML_ESCAPES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function text(value: string): string {
  return value.replace(/[&<>"']/g, (character) => HTML_ESCAPES[character]!);
}
