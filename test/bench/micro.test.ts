/** The micro-benchmarks that operators are told to run do run, print their figures, and leave nothing behind. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';

/** Runs a compiled benchmark on an empty folder and gives back what it printed; the folder must be empty again. */
function print(t: Test, name: string, ...flags: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'extentd-micro-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const program = fileURLToPath(new URL(`../../bench/micro/${name}.js`, import.meta.url));
  const text = execFileSync(process.execPath, [program, folder, ...flags], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  t.same(readdirSync(folder), []);
  return text;
}

t.test('the fdatasync ceiling is printed for 1, 4 and 16 threads', async (t) => {
  const text = print(t, 'fdatasync', '0.05');
  for (const threads of [1, 4, 16])
    t.match(text, new RegExp(`^ *${threads} threads +\\d+ fdatasyncs/s$`, 'm'));
  t.match(text, /^ *ceiling +[1-9]\d* fdatasyncs\/s$/m);
});

t.test('a tree is made, loaded as often as asked, and removed', async (t) => {
  const text = print(t, 'startTree', '5', '20', '2', '2', 'clean');
  t.match(text, /^made in [\d.]+ s$/m);
  const took = String.raw`\d+ ms, [\d.]+ µs an extent, \d+ ms of CPU, -?\d+ MB`;
  for (const run of [1, 2]) t.match(text, new RegExp(`^run ${run}: 5 x 20 loaded in ${took}$`, 'm'));
});

t.test('durable writes are told for each kind of file and both ways', async (t) => {
  const text = print(t, 'durableWrites', '4096', '0.05');
  for (const kind of ['growing', 'preallocated', 'overwritten'])
    for (const way of ['durable write', 'write \\+ fdatasync'])
      t.match(text, new RegExp(`^${kind} +${way} +[1-9]\\d* writes/s of 4096 bytes$`, 'm'));
});

t.test('the raft journal is told beside its ceiling', async (t) => {
  const text = print(t, 'journal', '0.1');
  t.match(text, /^ *ceiling +[1-9]\d* durable writes\/s$/m);
  for (const groups of [1, 16, 300])
    t.match(
      text,
      new RegExp(`^ *${groups} groups +[1-9]\\d* entries/s in \\d+ frames/s, [\\d.]+ of the ceiling$`, 'm'),
    );
});

t.test('a journal is recovered, and the folders hold all of it', async (t) => {
  const text = print(t, 'raftRecovery', '32', '5', 'cold');
  t.match(
    text,
    /^32 MiB, 5 groups, cold: 8192 entries in [\d.]+ s, [\d.]+ GiB\/s, \d+ MiB of memory at most$/m,
  );
});
