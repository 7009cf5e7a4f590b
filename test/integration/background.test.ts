/** A node in the background, as `extentd -c FILE` starts it (`admin.md` 1): what the launcher waits for, and what the node's process is like. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import t, { type Test } from 'tap';
import { freePorts } from '../../src/standalone/standaloneConfig.js';
import { type NodeFiles, nodeFiles, nodePorts, startMaster } from '../support/nodeFiles.js';
import { mainPath } from '../support/nodeProcess.js';
import { until } from '../support/until.js';

interface Launched {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** `extentd -c datanode.json`, in the file's own folder, with an environment of which nothing but PATH may get through. */
async function launch(files: NodeFiles): Promise<Launched> {
  const child = spawn(process.execPath, [mainPath, '-c', basename(files.path)], {
    cwd: files.folder,
    env: { ...process.env, SECRET_OF_THE_SHELL: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (piece: string) => {
      texts[name] += piece;
    });
  }
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, ...texts };
}

/** Processes that run with this config file. */
function nodesOf(path: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => argumentsOf(pid).includes(path) && pid !== process.pid);
}

function argumentsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

async function filesFor(t: Test, masterAddr: string): Promise<NodeFiles> {
  const files = nodeFiles(t, masterAddr, nodePorts(await freePorts('127.0.0.1', 4)), {
    localIP: '127.0.0.1',
    extentd: { listenAddress: '127.0.0.1' },
  });
  t.teardown(() => {
    for (const pid of nodesOf(files.path)) process.kill(pid, 'SIGKILL');
  });
  return files;
}

t.test('the launcher returns when the node serves; the node is a daemon, reloads and stops', async (t) => {
  const master = await startMaster(t);
  const files = await filesFor(t, master.address);
  t.strictSame(await launch(files), { code: 0, stdout: '', stderr: '' });
  const http = `http://127.0.0.1:${files.config['prof']}`;
  t.equal((await fetch(`${http}/healthz`)).status, 200, 'it serves when the launcher has returned');

  const [pid, ...others] = nodesOf(files.path);
  t.strictSame(others, []);
  t.equal(readlinkSync(`/proc/${pid}/cwd`), '/');
  t.strictSame(argumentsOf(pid!).slice(-4, -1), ['-f', '-c', files.path], 'the config file’s absolute path');
  const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  t.strictSame(
    environment.filter((entry) => !/^(PATH|EXTENTD_LAUNCHED|NODE_CHANNEL_\w+)=|^$/.test(entry)),
    [],
  );
  const [, , , , session] = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/\(.*\) /, '')
    .split(' ');
  t.equal(Number(session), pid, 'a session of its own');
  for (const fd of [1, 2]) t.match(readlinkSync(`/proc/${pid}/fd/${fd}`), /dataNode\/output\.log$/);
  t.equal(readlinkSync(`/proc/${pid}/fd/0`), '/dev/null');

  writeFileSync(files.path, JSON.stringify({ ...files.config, rack: 'moved' }));
  process.kill(pid!, 'SIGHUP');
  await until('the new rack', () => files.log('dataNode_info.log').includes('"changed":["rack"]'));
  t.match(await (await fetch(`${http}/disks`)).json(), { data: { rack: 'moved' } });

  process.kill(pid!, 'SIGTERM');
  await until('it ends', () => nodesOf(files.path).length === 0, 15_000);
  t.match(files.log('output.log'), /extentd ready .*\n\d{4}-\S+Z SIGTERM: stopping\n/);
  t.match(files.log('dataNode_info.log'), /data node stopped/);
});

t.test('a start that fails: the launcher says why and exits 1, and no process stays', async (t) => {
  const master = await startMaster(t);
  const files = await filesFor(t, master.address);
  const disks = [`${files.folder}/nothing:0`];
  writeFileSync(files.path, JSON.stringify({ ...files.config, disks }));
  const { code, stdout, stderr } = await launch(files);
  t.strictSame([code, stdout], [1, '']);
  t.match(stderr, /^Server start failed: disks\[0\]: Stat disk path error: ENOENT[^\n]*\n$/);
  await until('no process stays', () => nodesOf(files.path).length === 0);
  t.match(
    files.log('output.log'),
    /Z Fatal: failed to start the ChubaoFS datanode daemon err disks\[0\].* - \n$/,
  );
});
