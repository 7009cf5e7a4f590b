/**
 * The program itself, as a process: flags, config errors, exit codes. It is started up to the point where a node would begin.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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
    [['standalone', '--nodes', '3'], /^Fatal: --nodes: /],
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
