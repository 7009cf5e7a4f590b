/**
 * The program itself, as a process: flags, config errors, exit codes. It is started up to the point where a node would begin.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const program = fileURLToPath(new URL('../../src/main.js', import.meta.url));

function extentd(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [program, ...args], { encoding: 'utf8', timeout: 60_000 });
}

const folder = mkdtempSync(join(tmpdir(), 'extentd-main-'));
t.teardown(() => rmSync(folder, { recursive: true }));

function configFile(content: Record<string, unknown> | string): string {
  const path = join(folder, 'config.json');
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

const GOOD = {
  role: 'datanode',
  port: '17310',
  masterAddr: ['127.0.0.1:1'],
  disks: [`${join(folder, 'missing')}:0`],
  raftDir: join(folder, 'raft'),
  raftHeartbeat: '17330',
  raftReplica: '17340',
  logDir: join(folder, 'logs'),
};

t.test('-v prints four lines', async (t) => {
  const { status, stdout } = extentd('-v');
  t.equal(status, 0);
  t.match(stdout, /^extentd \d+\.\d+\.\d+\nBranch: .+\nCommit: .+\nBuild: .+\n$/);
});

t.test('-h and standalone --help print help', async (t) => {
  t.match(extentd('-h'), { status: 0, stdout: /extentd -c FILE/ });
  t.match(extentd('standalone', '--help'), { status: 0, stdout: /--partitions N/ });
});

t.test('what cannot start is one line on standard error and exit code 1', async (t) => {
  const cases: [string[], RegExp][] = [
    [[], /^Fatal: no config file given/],
    [['-c', join(folder, 'nowhere.json'), '-f'], /^Fatal: config file .* cannot be read: ENOENT/],
    [['-c', configFile('{"role":'), '-f'], /^Fatal: not valid JSON/],
    [['standalone', '--disks', 'x'], /^Fatal: --disks: /],
    [['standalone', '--nodes', '9'], /^Fatal: --nodes: /],
  ];
  for (const [args, expected] of cases) {
    const { status, stdout, stderr } = extentd(...args);
    t.equal(status, 1);
    t.equal(stdout, '');
    t.match(stderr, expected);
    t.equal(stderr.split('\n').length, 2, 'one line');
  }
});

t.test('each key of a wrong type, in the foreground and in the background', async (t) => {
  const wrong: Record<string, unknown> = {
    role: 5,
    port: 17310,
    masterAddr: 'x',
    disks: {},
    raftReplica: 1,
    rack: [],
  };
  for (const [key, value] of Object.entries(wrong)) {
    const path = configFile({ ...GOOD, [key]: value });
    const { status, stderr } = extentd('-c', path, ...(key === 'port' ? [] : ['-f']));
    t.equal(status, 1);
    t.match(stderr, new RegExp(`^Fatal: ${key}: .*\\n$`));
  }
  t.match(
    extentd('-c', configFile({ ...GOOD, role: 'master' }), '-f').stderr,
    /^Fatal: role mismatch: master/,
  );
});

t.test('a role that is another server: the words of the reference, in front and behind', async (t) => {
  for (const [role, said] of [
    ['master', 'master'],
    ['metanode', 'metanode'],
    ['', '""'],
  ]) {
    const path = configFile({ ...GOOD, role });
    for (const flags of [['-f'], []]) {
      const { status, stdout, stderr } = extentd('-c', path, ...flags);
      t.strictSame([status, stdout], [1, '']);
      t.match(stderr, `Fatal: role mismatch: ${said} `);
      t.equal(stderr.split('\n').length, 2, 'one line');
    }
  }
  t.notOk(existsSync(GOOD.logDir), 'before any log is opened');
});

t.test('a start that fails says so to the terminal, or through the launcher', async (t) => {
  const path = configFile(GOOD);
  const inFront = extentd('-c', path, '-f');
  t.equal(inFront.status, 1);
  t.match(
    inFront.stderr,
    /^Fatal: failed to start the ChubaoFS datanode daemon err disks\[0\]: Stat disk path error: ENOENT.* - \n$/,
  );
  const behind = extentd('-c', path);
  t.equal(behind.status, 1);
  t.match(behind.stderr, /^Server start failed: disks\[0\]: Stat disk path error: ENOENT/);
});

/** A node that looks for its master for ever, with `prelude` run before it. Resolves when its logs are open. */
async function searchingNode(
  name: string,
  prelude: string,
): Promise<{ child: ChildProcess; logDir: string }> {
  const disk = join(folder, `disk-${name}`);
  const logDir = join(folder, `logs-${name}`);
  mkdirSync(disk);
  const path = configFile({ ...GOOD, disks: [`${disk}:0`], logDir, logLevel: 'info' });
  const args = ['--import', `data:text/javascript,${encodeURIComponent(prelude)}`, program, '-c', path, '-f'];
  const child = spawn(process.execPath, args, { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  const deadline = performance.now() + 60_000;
  const warnings = join(logDir, 'dataNode', 'dataNode_warn.log');
  const searches = (): boolean =>
    existsSync(warnings) && readFileSync(warnings, 'utf8').includes('registration');
  while (!searches()) {
    if (performance.now() > deadline || child.exitCode !== null) throw new Error('the node did not begin');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return { child, logDir };
}

function exitOf(child: ChildProcess): Promise<[number | null, NodeJS.Signals | null]> {
  return new Promise((resolve) => child.once('exit', (code, signal) => resolve([code, signal])));
}

t.test('SIGTERM while the node looks for its master: exit code 0', async (t) => {
  const { child } = await searchingNode('term', '');
  const ended = exitOf(child);
  child.kill('SIGTERM');
  t.strictSame(await ended, [0, null]);
});

t.test('a broken invariant: exit code 1, and the stack in the log', async (t) => {
  const { child, logDir } = await searchingNode(
    'fatal',
    "process.on('SIGUSR2', () => { throw new Error('broken on purpose'); });",
  );
  const ended = exitOf(child);
  child.kill('SIGUSR2');
  t.strictSame(await ended, [1, null]);
  t.match(
    readFileSync(join(logDir, 'dataNode', 'dataNode_error.log'), 'utf8'),
    /"level":"fatal".*broken on purpose/,
  );
  t.match(readFileSync(join(logDir, 'dataNode', 'output.log'), 'utf8'), /Error: broken on purpose\n +at /);
});
