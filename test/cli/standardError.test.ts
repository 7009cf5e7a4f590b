/** Standard error of a node: `output.log`, for all that the runtime prints too; announcements go to the terminal as well. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { redirectStandardError } from '../../src/cli/standardError.js';
import { until, untilAnswer } from '../support/until.js';

const program = fileURLToPath(new URL('../../src/main.js', import.meta.url));

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'extentd-stderr-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function configIn(folder: string): string {
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  const path = join(folder, 'config.json');
  const config = {
    ...{ role: 'datanode', port: '17310', masterAddr: ['127.0.0.1:1'], disks: [`${disk}:0`] },
    ...{ raftDir: join(folder, 'raft'), raftHeartbeat: '17330', raftReplica: '17340' },
    ...{ logDir: join(folder, 'logs'), logLevel: 'info' },
  };
  writeFileSync(path, JSON.stringify(config));
  return path;
}

interface Running {
  child: ChildProcess;
  terminal(): string;
  outputLog(): string;
}

/** A node in the foreground that looks for its master, with `prelude` run before it. Resolves when it has begun to look. */
async function searching(t: Test, prelude: string): Promise<Running> {
  const folder = folderOf(t);
  const args = ['--import', `data:text/javascript,${encodeURIComponent(prelude)}`, program];
  const child = spawn(process.execPath, [...args, '-c', configIn(folder), '-f'], {
    // Where a core file would go.
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  const log = (name: string): string => {
    try {
      return readFileSync(join(folder, 'logs', 'dataNode', name), 'utf8');
    } catch {
      return '';
    }
  };
  const looks = (): boolean => /registration with the master failed/.test(log('dataNode_warn.log'));
  await until('it looks for its master', () => looks() || child.exitCode !== null, 30_000);
  return { child, terminal: () => text, outputLog: () => log('output.log') };
}

/** The node that was started with this prelude. */
function nodeWith(prelude: string): number | undefined {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const pid = pids.find((one) => {
    try {
      const [command, ...args] = readFileSync(`/proc/${one}/cmdline`, 'utf8').split('\0');
      return command === process.execPath && args.includes(prelude);
    } catch {
      return false;
    }
  });
  return pid === undefined ? undefined : Number(pid);
}

function exitOf(child: ChildProcess): Promise<[number | null, NodeJS.Signals | null]> {
  return new Promise((resolve) => child.once('close', (code, signal) => resolve([code, signal])));
}

t.test(
  'what the runtime prints goes to output.log, announcements go there and to the terminal',
  async (t) => {
    const node = await searching(
      t,
      `process.on('SIGUSR2', () => {
       process._rawDebug('printed by the runtime');
       console.error('printed by JavaScript');
       process.emitWarning('a warning');
     });`,
    );
    node.child.kill('SIGUSR2');
    await until('it is in output.log', () => /a warning/.test(node.outputLog()));
    t.match(
      node.outputLog(),
      /^printed by the runtime\nprinted by JavaScript\n\(node:\d+\) Warning: a warning/,
    );
    t.equal(node.terminal(), '');
    const ended = exitOf(node.child);
    node.child.kill('SIGTERM');
    t.strictSame(await ended, [0, null]);
    t.equal(node.terminal(), 'SIGTERM: stopping\n');
    t.match(node.outputLog(), /\n\d{4}-\S+Z SIGTERM: stopping\n/);
  },
);

const noTerminal = spawnSync('script', ['--version']).status === 0 ? false : 'there is no script(1) here';

t.test('on a terminal, too, only announcements are shown', { skip: noTerminal }, async (t) => {
  const folder = folderOf(t);
  const prelude = join(folder, 'prelude.mjs');
  writeFileSync(
    prelude,
    `process.on('SIGUSR2', () => {
       console.error('printed by JavaScript');
       process._rawDebug('printed by the runtime');
       process.kill(process.pid, 'SIGTERM');
     });`,
  );
  const line = [process.execPath, '--import', prelude, program, '-c', configIn(folder), '-f'].join(' ');
  t.teardown(() => {
    const pid = nodeWith(prelude);
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
  });
  const terminal = spawn('script', ['-qec', `${line} & wait $!`, '/dev/null'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let shown = '';
  terminal.stdout.setEncoding('utf8').on('data', (piece: string) => {
    shown += piece;
  });
  const log = (name: string): string => readFileSync(join(folder, 'logs', 'dataNode', name), 'utf8');
  const looks = async (): Promise<true | null> =>
    /registration/.test(log('dataNode_warn.log')) ? true : null;
  await untilAnswer('it looks for its master', looks, 30_000);
  const ended = exitOf(terminal);
  process.kill(nodeWith(prelude)!, 'SIGUSR2');
  t.strictSame(await ended, [0, null]);
  t.match(shown, /^SIGTERM: stopping\r?\n$/);
  t.match(log('output.log'), /^printed by JavaScript\nprinted by the runtime\n\S+ SIGTERM: stopping\n$/);
});

t.test('an abort leaves its words in output.log', async (t) => {
  const node = await searching(t, "process.on('SIGUSR2', () => process.abort());");
  const ended = exitOf(node.child);
  node.child.kill('SIGUSR2');
  t.equal((await ended)[1], 'SIGABRT');
  t.match(node.outputLog(), /node::Abort|----- Native stack trace -----/);
  t.equal(node.terminal(), '');
});

t.test('a broken invariant is told to the terminal and to output.log', async (t) => {
  const node = await searching(t, "process.on('SIGUSR2', () => { throw new Error('broken on purpose'); });");
  const ended = exitOf(node.child);
  node.child.kill('SIGUSR2');
  t.strictSame(await ended, [1, null]);
  for (const text of [node.terminal(), node.outputLog()]) t.match(text, /Error: broken on purpose\n +at /);
});

t.test('an output.log that cannot be opened: one clear line, exit code 1, nothing started', async (t) => {
  const folder = folderOf(t);
  mkdirSync(join(folder, 'logs', 'dataNode', 'output.log'), { recursive: true });
  const config = configIn(folder);
  const outcome = async (...args: string[]): Promise<[number | null, string]> => {
    const child = spawn(process.execPath, [program, '-c', config, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let text = '';
    child.stderr.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
    });
    return [(await exitOf(child))[0], text];
  };
  const [inFront, said] = await outcome('-f');
  t.equal(inFront, 1);
  t.match(said, /^Fatal: logDir: cannot open output\.log: EISDIR[^\n]*\n$/);
  const [behind, told] = await outcome();
  t.equal(behind, 1);
  t.match(told, /^Server start failed: logDir: EISDIR[^\n]*\n$/);
});

t.test('a redirection that the system refuses says why', async (t) => {
  const path = join(folderOf(t), 'new', 'output.log');
  t.strictSame(await redirectStandardError(path, () => -24), {
    ok: false,
    message: `logDir: standard error cannot be sent to ${path}: EMFILE`,
  });
  const asked: number[][] = [];
  t.strictSame(
    await redirectStandardError(path, (target, fd) => {
      asked.push([target, fd]);
      return 7;
    }),
    { ok: true, isOutputLog: true, before: 7 },
  );
  t.equal(asked[0]![0], 2);
});

t.test('pains 19: a disk that is full, fails or hangs leaves standard error as it was', async (t) => {
  const never = (): number => {
    throw new Error('nothing is replaced');
  };
  const asItWas = { ok: true, isOutputLog: false, before: null };
  const failing = (code: string) => ({
    makeFolder: async () => {},
    open: async () => Promise.reject(Object.assign(new Error(code), { code })),
    close: async () => {},
  });
  for (const code of ['ENOSPC', 'EIO', 'EROFS'])
    t.strictSame(await redirectStandardError('/l/output.log', never, failing(code)), asItWas, code);
  t.match(await redirectStandardError('/l/output.log', never, failing('EACCES')), {
    ok: false,
    message: /^logDir: cannot open output.log: EACCES/,
  });
  const closed: number[] = [];
  let answer = (_fd: number): void => {};
  const hanging = {
    makeFolder: async () => {},
    open: () => new Promise<number>((resolve) => (answer = resolve)),
    close: async (fd: number) => void closed.push(fd),
  };
  t.strictSame(await redirectStandardError('/l/output.log', never, hanging, 20), asItWas);
  answer(99);
  await until('what opened too late is closed', () => closed.length > 0);
  t.strictSame(closed, [99]);
});
