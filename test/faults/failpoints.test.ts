/**
 * A fault at every call of the storage code on its disk, one after the other, and what is held against the node each time (`faultRun.ts`).
 *
 * `FAILPOINT_PASSES=all` does it at every passage of every failpoint, and with faults that last, instead of at the first and the last passage.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { packageRoot } from '../packageRoot.js';
import type { Fault, FaultKind } from './failpointDisk.js';
import type { Effect, Failpoint } from './failpointRows.js';
import { FAILPOINTS } from './failpoints.js';
import { type FaultRun, FaultRuns } from './faultRun.js';

const everyPass = process.env['FAILPOINT_PASSES'] === 'all';
const timeout = everyPass ? 1_200_000 : 100_000;
t.setTimeout(2 * timeout);
const runs = new FaultRuns();
const clean = { inline: runs.run([]), threaded: runs.run([], true) };
/** By failpoint, over all runs: how often it was passed, and how often a fault acted there. */
const passed = new Map<string, number>();
const fired = new Map<string, number>();
count(clean.inline);
count(clean.threaded);

function count(run: FaultRun): void {
  for (const [name, passes] of run.passed) passed.set(name, (passed.get(name) ?? 0) + passes);
  for (const name of run.fired) fired.set(name, (fired.get(name) ?? 0) + 1);
}

function isSynchronous(name: string): boolean {
  return /^(load|create|delete|stop|apply)\./.test(name);
}

/** Calls that a full disk may refuse. */
const NEEDS_ROOM = /write:|sync:|open:|Open:|Create:|Punch:|[tT]runcate:|mkdir:|rename:|[sS]yncFolder:/;

/** Whether a fault of this kind can act there. */
function applies(name: string, kind: FaultKind): boolean {
  if (kind === 'EAGAIN') return name.startsWith('submit');
  if (kind === 'hang') return !isSynchronous(name);
  if (kind === 'ENOSPC') return NEEDS_ROOM.test(name);
  if (kind === 'short') return /write:|batch\.pread|submitPwrite|submitPread:EXTENT_CRC/.test(name);
  return true;
}

/** At which passages of a failpoint, which a life without faults passes `total` times. */
function passesOf(name: string, total: number, kind: FaultKind): number[] {
  if (everyPass) return Array.from({ length: total }, (_, i) => i + 1);
  return kind === 'EIO' && !isSynchronous(name) ? [...new Set([1, total])] : [1];
}

function at(name: string, kind: FaultKind, pass = 1, times = 1): Fault {
  return { matches: (other) => other === name, kind, pass, count: times };
}

interface Told {
  what: string;
  run: FaultRun;
  effect: Effect;
}

/** The runs of a failpoint with faults of one kind, each with what it is. Only a batch that an I/O thread runs can hang. */
function runsOf(failpoint: Failpoint, kind: FaultKind): Told[] {
  const { name, behind = [], behindKind = 'EIO' } = failpoint;
  // A disk that is full stays so.
  const times = behindKind === 'ENOSPC' ? Number.POSITIVE_INFINITY : 1;
  const before = behind.map((other) => at(other, behindKind, 1, times));
  const twice = name.startsWith('batch.') && (kind === 'EIO' || everyPass);
  const modes = kind === 'hang' ? [true] : twice ? [false, true] : [false];
  return modes.flatMap((threaded) => {
    const without = threaded ? clean.threaded : clean.inline;
    const usual = before.length === 0 ? without : runs.run(before, threaded);
    const { passed } = without;
    const faults = passesOf(name, passed.get(name) ?? 1, kind).map((pass) => at(name, kind, pass));
    if (everyPass && canLast(name, kind)) faults.push(at(name, kind, 1, Number.POSITIVE_INFINITY));
    return faults.map((fault) => {
      const run = runs.run([...before, fault], threaded);
      count(run);
      const how = `${fault.count === 1 ? '' : ', lasting'}${threaded ? ', on an I/O thread' : ''}`;
      const what = `${name} ${kind} at passage ${fault.pass}${how}`;
      return { what, run, effect: effectOf(run, usual) };
    });
  });
}

/** What lasts ends before the stop. */
function canLast(name: string, kind: FaultKind): boolean {
  return (kind === 'EIO' || kind === 'ENOSPC') && !name.startsWith('stop.');
}

/** What became known of the fault, beside what is told anyway. */
function effectOf(run: FaultRun, usual: FaultRun): Effect {
  if (run.diskErrors.length > usual.diskErrors.length) return 'unavailable';
  const known = new Set([...errorsOf(usual), ...usual.complaints]);
  return [...errorsOf(run), ...run.complaints].some((line) => !known.has(line)) ? 'told' : 'nothing';
}

function errorsOf({ outcomes }: FaultRun): string[] {
  return outcomes.flatMap(({ step, error }) => (error === '' ? [] : [`${step}: ${error}`]));
}

t.test('a life without faults: everything is served, whatever thread runs the batches', async (t) => {
  for (const run of [clean.inline, clean.threaded]) {
    t.same(run.problems, []);
    t.match(
      run.complaints,
      [/datapartition_7_\d+: .* hole.*1028 at 0/, /datapartition_9_\d+ was incomplete: made EXTENT_META, 5$/],
      'as the first life left it',
    );
    t.same(
      run.outcomes.filter(({ error }) => error !== ''),
      [{ step: 'behind the end', error: 'ActionStreamRead_EOF' }],
    );
  }
});

for (const kind of ['EIO', 'ENOSPC', 'short', 'EAGAIN', 'hang'] as const) {
  t.test(
    `${kind} at every failpoint: no promise is broken, and the store recovers`,
    { timeout },
    async (t) => {
      let count = 0;
      for (const failpoint of FAILPOINTS) {
        if (!applies(failpoint.name, kind)) continue;
        for (const { what, run, effect } of runsOf(failpoint, kind)) {
          count += 1;
          if (!run.fired.includes(failpoint.name)) t.fail(`${what}: nothing happened`);
          if (run.problems.length > 0) t.fail(`${what}: ${run.problems.join('\n')}`);
          // A queue that is full, and a call that takes long, are nobody's failure.
          if (kind === 'EAGAIN' || kind === 'hang') t.equal(effect, 'nothing', what);
          else if (kind !== 'EIO') t.not(effect, 'unavailable', what);
          else if (what.endsWith(' 1')) {
            t.equal(effect, failpoint.onEio, `${what}: ${run.complaints}`);
          }
          if (kind === 'hang') t.equal(run.hung.length, 1, what);
        }
      }
      t.ok(count > 10);
      t.comment(`${count} runs`);
    },
  );
}

t.test('every failpoint was passed and has failed, and no call has no name', async (t) => {
  const names = FAILPOINTS.map(({ name }) => name);
  t.equal(new Set(names).size, names.length);
  t.same(
    [...passed.keys()].filter((name) => !names.includes(name)),
    [],
    'calls that are not in the table',
  );
  for (const name of names) {
    t.ok((passed.get(name) ?? 0) > 0 && (fired.get(name) ?? 0) > 0, name);
    t.comment(`${name}: passed ${passed.get(name) ?? 0}, failed ${fired.get(name) ?? 0}`);
  }
});

t.test('the page lists the failpoints, all and no others, with what they do', async (t) => {
  const page = readFileSync(join(packageRoot, 'docs/failpoints.md'), 'utf8');
  const rows = page.split('\n').filter((line) => line.startsWith('| `'));
  t.same(rows, FAILPOINTS.map(row));
});

function row({ name, use, onEio, then }: Failpoint): string {
  return `| \`${name}\` | ${use} | ${onEio} | ${then} |`;
}
