/**
 * The launcher of a node in the background, with small programs in the node's place: it waits for the outcome and reports it.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { launchDaemon } from '../../src/cli/daemon.js';
import { StopSignals } from '../../src/cli/stopSignals.js';

const daemonModule = new URL('../../src/cli/daemon.js', import.meta.url).href;

interface Launch {
  folder: string;
  outcome: string | null;
  output: string;
}

/** Launches a program with this body (it may use `reportToLauncher`, `isLaunched` and `folder`). */
async function launch(t: Test, body: string): Promise<Launch> {
  const folder = mkdtempSync(join(tmpdir(), 'extentd-daemon-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const program = join(folder, 'program.mjs');
  const prelude = `import { isLaunched, reportToLauncher } from ${JSON.stringify(daemonModule)};
    import { writeFileSync } from 'node:fs';
    const folder = ${JSON.stringify(folder)};`;
  writeFileSync(program, `${prelude}\n${body}`);
  const outcome = await launchDaemon(
    program,
    join(folder, 'config.json'),
    join(folder, 'logs'),
    new StopSignals(process),
  );
  const output = readFileSync(join(folder, 'logs', 'dataNode', 'output.log'), 'utf8');
  return { folder, outcome, output };
}

t.test('success is reported while the child runs on, in a session of its own', async (t) => {
  const { folder, outcome } = await launch(
    t,
    `const state = { args: process.argv.slice(2), cwd: process.cwd(), env: Object.keys(process.env), pid: process.pid, launched: isLaunched() };
     writeFileSync(folder + '/state.json', JSON.stringify(state));
     const timer = setTimeout(() => {}, 60_000);
     await reportToLauncher({ extentd: 'started' });
     await reportToLauncher({ extentd: 'started' });`,
  );
  t.equal(outcome, null);
  const state = JSON.parse(readFileSync(join(folder, 'state.json'), 'utf8'));
  t.teardown(() => process.kill(state.pid, 'SIGKILL'));
  t.match(state, { args: ['-f', '-c', join(folder, 'config.json')], cwd: '/', launched: true });
  t.strictSame(
    state.env.filter((name: string) => !name.startsWith('NODE_CHANNEL')).sort(),
    ['EXTENTD_LAUNCHED', 'PATH'],
    'the environment is reduced to PATH',
  );
  t.equal(process.kill(state.pid, 0), true, 'it still runs');
  const [, , , , session] = readFileSync(`/proc/${state.pid}/stat`, 'utf8')
    .replace(/\(.*\) /, '')
    .split(' ');
  t.equal(Number(session), state.pid);
});

t.test('failure is reported with its text, and what the child prints goes to output.log', async (t) => {
  const { outcome, output } = await launch(
    t,
    `console.error('to standard error');
     await reportToLauncher({ extentd: 'failed', message: 'no such disk' });
     process.exit(1);`,
  );
  t.equal(outcome, 'no such disk');
  t.match(output, /to standard error/);
});

t.test('a child that ends without a report is a failure', async (t) => {
  t.match(
    (await launch(t, 'process.exit(7);')).outcome,
    /^the process ended with exit code 7, see .*output\.log$/,
  );
  t.match(
    (await launch(t, "process.kill(process.pid, 'SIGKILL');")).outcome,
    /^the process ended with SIGKILL/,
  );
});

t.test('a signal for the launcher reaches the child', async (t) => {
  const launched = launch(
    t,
    `process.on('SIGTERM', () => process.exit(9));
     process.kill(${process.pid}, 'SIGTERM');
     setTimeout(() => {}, 60_000);`,
  );
  t.match((await launched).outcome, /^the process ended with exit code 9/);
});

t.test('a log folder that cannot be made is a failure', async (t) => {
  const file = fileURLToPath(import.meta.url);
  t.match(await launchDaemon('unused', 'unused', file, new StopSignals(process)), /^logDir: E/);
});
