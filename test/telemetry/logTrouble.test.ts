/**
 * Log disks that are full, read-only or hang: at the start, and while the node runs.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdirSync, openSync, readSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import t from 'tap';
import { EXTENTD_DEFAULTS, type LogLevel } from '../../src/config/config.js';
import { LossesTold, logFolder } from '../../src/telemetry/log.js';
import { until } from '../support/until.js';
import { FakeFiles } from './fakeFiles.js';
import { opened, temporaryFolder } from './openLog.js';

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

t.test(
  'pains 19: a log disk that hangs holds one call, the node goes on, and lines come when it does',
  async (t) => {
    const files = new FakeFiles();
    const settings = { ...EXTENTD_DEFAULTS, logFormat: 'json' } as const;
    const environment = { warnLogDir: '/ump', calls: files, clock: files };
    files.folders.add('/ump');
    const { log, alarms, ump, drain } = await opened(t, '/l', 'debug', true, settings, environment);
    files.hanging.add('write');
    for (let index = 0; index < 50; index += 1) {
      for (const level of LEVELS) log[level]({ index }, 'a line');
      log.debug({ operation: 'read' }, 'a line');
      alarms.raise(`alarm ${index}`);
      ump!.time('OpWrite', 1, false);
    }
    await until('a write hangs', () => files.underWay === 1);
    await drain(20);
    t.equal(files.underWay, 1, 'one thread of the pool is taken, the UMP files on the same disk included');
    // The pool has three threads left: other files are read and names resolved.
    t.ok(await readFile(fileURLToPath(import.meta.url)));
    files.release();
    await drain(60_000);
    t.equal(files.text('/l/dataNode/dataNode_info.log')!.split('\n').length, 51, 'no line is lost');
    t.equal(files.text('/l/dataNode/dataNode_critical.log')!.split('\n').length, 51);
    t.equal(files.underWayMax, 1);
  },
);

t.test('pains 19: while log files hang the rest of the pool serves other files', async (t) => {
  const logDir = temporaryFolder(t);
  mkdirSync(logFolder(logDir));
  const kinds = [...LEVELS, 'read', 'write', 'critical'];
  const pipes = kinds.map((kind) => join(logFolder(logDir), `dataNode_${kind}.log`));
  // A pipe without a reader: the call that opens it does not come back.
  execFileSync('mkfifo', pipes);
  const { log, drain } = await opened(t, logDir, 'info', true);
  for (let index = 0; index < 100; index += 1) log.error('a line for each of them would take a thread');
  for (const level of LEVELS) log[level]('a line');
  const others = Array.from({ length: 20 }, () => readFile(fileURLToPath(import.meta.url)));
  t.equal((await Promise.all(others)).length, 20);
  // A reader lets the hung calls go on.
  const readers = pipes.map((path) => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  t.teardown(() => readers.forEach(closeSync));
  await drain(60_000);
  const taken = Buffer.alloc(1024 * 1024);
  t.equal(readSync(readers[1]!, taken, 0, taken.length, null) > 0, true, 'and the lines come');
});

t.test('lines that were lost are told in the log when it is over', async (t) => {
  const said: Record<string, unknown>[] = [];
  const told = new LossesTold(pino({}, { write: (line: string) => void said.push(JSON.parse(line)) }));
  for (const dropped of [0, 5, 9, 9, 9, 10, 10]) told.look(dropped);
  t.match(said, [{ lost: 9 }, { lost: 1 }]);
  t.equal(said.length, 2);
});

t.test('a log disk that is full or read-only at the start keeps no node from starting', async (t) => {
  for (const code of ['ENOSPC', 'EROFS', 'EIO']) {
    const files = new FakeFiles();
    files.errors.set('open', code);
    const environment = { warnLogDir: '', calls: files, clock: files };
    const { log, drain } = await opened(t, '/l', 'info', false, EXTENTD_DEFAULTS, environment);
    log.info('kept until there is room');
    await until('a write was tried', () => files.made.filter((call) => call.startsWith('open')).length > 8);
    files.errors.clear();
    await drain(60_000);
    t.match(files.text('/l/dataNode/dataNode_info.log'), /kept until there is room/, code);
  }
});

t.test('a log disk that hangs at the start keeps no node from starting', async (t) => {
  const files = new FakeFiles();
  files.hanging.add('open');
  const environment = { warnLogDir: '', calls: files, clock: files };
  const { log, drain } = await opened(t, '/l', 'info', true, EXTENTD_DEFAULTS, environment);
  log.info('kept');
  files.release();
  await drain(60_000);
  t.match(files.text('/l/dataNode/dataNode_info.log'), /kept/);
});
