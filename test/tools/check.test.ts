/**
 * `extentd check`: the config, disks that cannot be used, copies of a partition, and the words and codes around the loader's verdicts.
 */
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { checkDisk, type DiskCheck } from '../../src/tools/check.js';
import { runTool } from '../../src/tools/runTool.js';
import type { ToolContext } from '../../src/tools/toolContext.js';
import { recordedDisk, scratchFolder, treeState } from '../support/folderState.js';
import type { Teardown } from '../support/nodeProcess.js';
import { type TextStreams, textStreams } from '../support/textStreams.js';

const FIVE = 'datapartition_5_10737418240';

interface Outcome {
  code: number;
  streams: TextStreams;
  config: Record<string, unknown> | null;
  disks: DiskCheck[];
  problems: string[];
  foldersToLookAt: number;
  complete: boolean;
}

/** A config file in a folder of its own. */
function configFile(t: Teardown, disks: string[], changes: Record<string, unknown> = {}): string {
  const folder = scratchFolder(t);
  const config = {
    ...{
      role: 'datanode',
      port: '17310',
      masterAddr: ['127.0.0.1:1'],
      disks: disks.map((disk) => `${disk}:0`),
    },
    ...{ raftDir: join(folder, 'raft'), raftHeartbeat: '17330', raftReplica: '17340' },
    ...{ logDir: join(folder, 'logs'), ...changes },
  };
  writeFileSync(join(folder, 'node.json'), JSON.stringify(config));
  return join(folder, 'node.json');
}

async function check(file: string, interrupted = false): Promise<Outcome> {
  const streams = textStreams(interrupted);
  const code = await runTool({ tool: 'check', target: file, json: true }, streams);
  return { ...(JSON.parse(streams.out) as Outcome), code, streams };
}

/** A random write beyond its end has left a hole in an extent of the recorded disk: its zeros become data. */
function fillHoles(root: string): void {
  const path = join(root, 'datapartition_5_10737418240', '1026');
  writeFileSync(path, readFileSync(path));
}

async function text(file: string): Promise<{ code: number; out: string }> {
  const streams = textStreams();
  const code = await runTool({ tool: 'check', target: file, json: false }, streams);
  return { code, out: streams.out };
}

t.test('disks of the reference: 0, the effective configuration, nothing changed or made', async (t) => {
  const root = recordedDisk(t);
  fillHoles(root);
  const file = configFile(t, [root], { extentd: { stallMs: 1234 } });
  const before = [treeState(root), treeState(join(file, '..'))];
  const outcome = await check(file);
  const words = await text(file);
  t.strictSame([treeState(root), treeState(join(file, '..'))], before);
  t.match(outcome, { code: 0, problems: [], foldersToLookAt: 0, complete: true });
  t.match(outcome.config, { port: 17310, stallMs: 1234, rack: 'cfs_rack1' });
  t.match(outcome.disks, [{ path: root, held: false, denied: [], failure: null }]);
  t.match(outcome.disks[0]?.mode, /^[0-7]{4}$/);
  t.match(outcome.disks[0]?.partitions, [{ verdict: 'loaded' }, { verdict: 'loaded' }]);
  t.equal(words.code, 0);
  t.match(words.out, /stallMs +1234\n/);
  t.match(words.out, / datapartition_5_10737418240 +loaded +vol1 +67 +449162\n/);
  t.match(words.out, /\nfine: a start would serve all of this\n$/);
});

t.test('a hole in an extent of the reference is named: it is served, and somebody should look', async (t) => {
  const root = recordedDisk(t);
  const before = treeState(root);
  const { code, out } = await text(configFile(t, [root]));
  t.strictSame(treeState(root), before);
  t.equal(code, 1);
  t.match(out, / datapartition_5_10737418240 +loaded /);
  t.match(out, /: 1 extents have a hole, which reads as zeros: 1026 at 208896 of 400010\n/);
  t.match(out, /PROBLEM: 1 partition folder to look at\n$/);
});

t.test('a config that the node refuses: its words, and 1', async (t) => {
  const file = configFile(t, ['x'], { port: 5 });
  const outcome = await check(file);
  t.match(outcome, { code: 1, config: null, disks: [] });
  t.match(outcome.problems, [/^port: /]);
  const missing = await text(join(file, 'nowhere'));
  t.match(missing, { code: 1, out: /^PROBLEM: config file .* cannot be read/ });
});

t.test(
  'a disk that is missing, one that is a file: named as the start names them, the others are told',
  async (t) => {
    const root = recordedDisk(t);
    const plain = join(scratchFolder(t), 'plain');
    writeFileSync(plain, '');
    const outcome = await check(configFile(t, [join(root, 'no'), plain, root]));
    t.equal(outcome.code, 1);
    t.match(outcome.problems, [
      /^disks\[0\]: Stat disk path error: ENOENT/,
      `disks[1]: Disk path is not dir: ${plain}`,
    ]);
    t.equal(outcome.problems.length, 2);
    t.equal(outcome.disks[2]?.partitions.length, 2);
  },
);

t.test('refused and odd folders: named with what the start would create, and 1', async (t) => {
  const root = recordedDisk(t);
  writeFileSync(join(root, FIVE, '0099'), '');
  for (const name of readdirSync(join(root, FIVE))) if (/^[1-9]$/.test(name)) rmSync(join(root, FIVE, name));
  writeFileSync(join(root, FIVE, 'EXTENT_META'), '');
  mkdirSync(join(root, 'datapartition_9_1'));
  mkdirSync(join(root, 'deleted_datapartition_4_1_1'));
  const before = treeState(root);
  const { code, out } = await text(configFile(t, [root]));
  t.strictSame(treeState(root), before);
  t.equal(code, 1);
  t.match(out, / datapartition_9_1 +REFUSED /);
  t.match(out, /datapartition_9_1 REFUSED: open .*META: no such file or directory\n/);
  t.match(out, /0099 is named like an extent but is none: not served\n/);
  t.match(out, /the start creates 9 missing files: 1 2 3 4 5 \.\.\.\n/);
  t.match(out, /the start fills up EXTENT_META\n/);
  t.match(out, /the next start removes deleted_datapartition_4_1_1\n/);
  t.match(out, /PROBLEM: 2 partition folders to look at\n$/);
});

t.test('a partition on two disks is named', async (t) => {
  const [one, two] = [recordedDisk(t), recordedDisk(t)];
  for (const root of [one, two]) fillHoles(root);
  const outcome = await check(configFile(t, [one, two]));
  t.match(outcome, { code: 1, problems: [], foldersToLookAt: 2 });
  t.match(outcome.disks[1]?.partitions[0]?.warnings, [`partition 5 is on ${one} too; one copy is ignored`]);
});

t.test('one disk under two names is refused as its lock would refuse it', async (t) => {
  const root = recordedDisk(t);
  fillHoles(root);
  const again = join(scratchFolder(t), 'again');
  symlinkSync(root, again);
  const outcome = await check(configFile(t, [root, again]));
  t.equal(outcome.code, 1);
  t.match(outcome.disks[1], { held: true, failure: /is in use by another process$/ });
  t.equal(outcome.foldersToLookAt, 0, 'its partitions are no copies');
});

t.test('a log folder that cannot be made', async (t) => {
  const root = recordedDisk(t);
  const file = join(scratchFolder(t), 'plain');
  writeFileSync(file, '');
  t.match((await check(configFile(t, [root], { logDir: file }))).problems, [/^logDir: .* is not a folder$/]);
});

t.test('a disk that does not answer is told, and its call is abandoned', async (t) => {
  let abandoned = 0;
  const context: ToolContext = {
    ...{ out: () => {}, complain: () => {}, progress: () => {}, interrupted: () => false },
    abandon: () => {
      abandoned += 1;
    },
  };
  const disk = { path: '/nowhere', reserve: '0' };
  const hang = (): Promise<never> => new Promise(() => {});
  const hung = await checkDisk(disk, 3, new Set(), context, hang, 1);
  t.match(hung, { failure: 'disks[3]: /nowhere does not answer', partitions: [], mode: null });
  t.equal(abandoned, 1);
  const missing = await checkDisk(disk, 3, new Set(), context, undefined, 60_000);
  t.match(missing.failure, /Stat disk path error/);
  t.equal(abandoned, 1);
});

t.test('a signal ends it with 2', async (t) => {
  t.match(await check(configFile(t, [recordedDisk(t)]), true), { code: 2, complete: false, disks: [] });
});

t.test(
  'what this user may not do is told',
  { skip: process.getuid?.() === 0 && 'root may do all' },
  async (t) => {
    const root = recordedDisk(t);
    chmodSync(root, 0o555);
    const outcome = await check(configFile(t, [root]));
    chmodSync(root, 0o755);
    t.match(outcome.disks[0], { mode: '0555', denied: ['write'], failure: /permission denied$/ });
  },
);
