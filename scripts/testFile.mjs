/**
 * Runs one compiled test file with plain Node, in a process group of its own, and says what came of it.
 *
 * Plain Node instead of tap's runner: the runner's loaders cost each file twice the start-up time and are inherited by every worker thread that a test
 * starts. The files use tap's assertions and print TAP all the same.
 */
import { spawn } from 'node:child_process';
import { root } from './prepare.mjs';
import { TapOutput } from './tapOutput.mjs';

/** A file that takes longer is broken. tap's own limit is a little lower, so that it can name the test that hangs. */
const TIMEOUT_MS = 120_000;
const TAP_TIMEOUT_S = 110;

/** Process groups under way. */
const running = new Set();

/** Ends every test file under way, for when the run itself is ended. */
export function endTestFiles() {
  for (const pid of running) killGroup(pid);
}

/** Resolves with `{ passed, failed, skipped, report, durationMs }`; `report`: lines to show when something failed. Never rejects. `node`: the program to run it with. */
export function runTestFile(path, temporaryFolder, node = process.execPath) {
  const startedAt = performance.now();
  const output = new TapOutput();
  const child = spawn(node, [path], {
    cwd: root,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TAP_TIMEOUT: String(TAP_TIMEOUT_S), TMPDIR: temporaryFolder, FORCE_COLOR: '0' },
  });
  running.add(child.pid);
  const errors = new TapOutput();
  child.stdout.setEncoding('utf8').on('data', (text) => output.push(text));
  child.stderr.setEncoding('utf8').on('data', (text) => errors.push(text));
  return new Promise((resolve) => {
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup(child.pid);
    }, TIMEOUT_MS);
    child.once('error', (error) =>
      resolve(verdict(`cannot be run: ${error.message}`, output, errors, startedAt)),
    );
    child.once('exit', () => killGroup(child.pid));
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      running.delete(child.pid);
      const end = timedOut ? `took longer than ${TIMEOUT_MS} ms` : describeEnd(code, signal);
      resolve(verdict(end, output, errors, startedAt));
    });
  });
}

/** Ends what a test has left behind, and a test that hangs. */
function killGroup(pid) {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nothing of the group is left.
  }
}

function describeEnd(code, signal) {
  if (code === 0) return null;
  return signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`;
}

/** A file fails by its assertions; or, with one failure of its own, by how it ended, or by asserting nothing. */
function verdict(end, output, errors, startedAt) {
  const report = output.end();
  const totals = output.totals ?? { pass: 0, fail: 0, skip: 0, todo: 0 };
  let problem = end;
  if (problem === null && output.totals === null) problem = 'printed no summary';
  if (problem === null && totals.pass + totals.fail + totals.skip === 0) problem = 'asserts nothing';
  const failed = totals.fail > 0 ? totals.fail : problem === null ? 0 : 1;
  const lines = failed === 0 ? [] : [problem ?? 'failed', ...report, ...errors.end()];
  return {
    passed: totals.pass,
    failed,
    skipped: totals.skip + totals.todo,
    report: lines,
    durationMs: performance.now() - startedAt,
  };
}
