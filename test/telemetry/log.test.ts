/**
 * Log files as the reference names them, readable lines for a terminal, and a log that cannot be written.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import t from 'tap';
import { EXTENTD_DEFAULTS, type LogLevel } from '../../src/config/config.js';
import { logFolder, openConsoleLog, openFileLog, outputLogPath } from '../../src/telemetry/log.js';
import { formatLogLine, formatReferenceLine } from '../../src/telemetry/logLine.js';
import { RateLimitedLog } from '../../src/telemetry/rateLimitedLog.js';
import { until } from '../support/until.js';
import { FakeFiles } from './fakeFiles.js';
import { opened, temporaryFolder } from './openLog.js';

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** The messages in each level's file. */
function messages(logDir: string): Record<string, string[]> {
  const read = (level: string): string[] => {
    const text = readFileSync(join(logDir, 'dataNode', `dataNode_${level}.log`), 'utf8');
    return text.split('\n').flatMap((line) => (line === '' ? [] : [String(JSON.parse(line).msg)]));
  };
  return Object.fromEntries(LEVELS.map((level) => [level, read(level)]));
}

function linesOf(logDir: string, kind: string): string[] {
  const text = readFileSync(join(logDir, 'dataNode', `dataNode_${kind}.log`), 'utf8');
  return text.split('\n').filter((line) => line !== '');
}

t.test('each level has its file; a level shows itself and what is more severe', async (t) => {
  const wanted: Record<LogLevel, string[][]> = {
    debug: [['d'], ['i'], ['w'], ['e', 'f']],
    info: [[], ['i'], ['w'], ['e', 'f']],
    warn: [[], [], ['w'], ['e', 'f']],
    error: [[], [], [], ['e', 'f']],
  };
  for (const level of LEVELS) {
    const logDir = join(temporaryFolder(t), 'made', 'here');
    const { log, drain } = await opened(t, logDir, level, true);
    log.debug('d');
    log.info({ partition: 7 }, 'i');
    log.warn('w');
    log.error({ err: new Error('boom') }, 'e');
    log.fatal('f');
    await drain(60_000);
    t.strictSame(Object.values(messages(logDir)), wanted[level], level);
  }
});

t.test('a record holds level, time, message and fields; files are appended to', async (t) => {
  const logDir = temporaryFolder(t);
  for (const partition of [1, 2]) {
    const nodeLog = await opened(t, logDir, 'info', true);
    nodeLog.log.info({ partition }, 'loaded');
    await nodeLog.drain(60_000);
  }
  const lines = readFileSync(join(logDir, 'dataNode', 'dataNode_info.log'), 'utf8')
    .trimEnd()
    .split('\n');
  t.equal(lines.length, 2);
  t.match(JSON.parse(lines[1] ?? ''), {
    level: 'info',
    time: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/,
    msg: 'loaded',
    partition: 2,
  });
});

t.test('announcements go to output.log', async (t) => {
  const logDir = temporaryFolder(t);
  const nodeLog = await opened(t, logDir, 'error', false);
  nodeLog.announce('# an announcement');
  await nodeLog.drain(60_000);
  t.match(readFileSync(outputLogPath(logDir), 'utf8'), /^\d{4}-\S+Z # an announcement\n$/);
});

t.test('a log folder that cannot be made is one line', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'file'), '');
  t.match(await openFileLog(join(folder, 'file'), 'info', true), {
    ok: false,
    message: /^logDir: cannot open the log files: E/,
  });
});

t.test(
  'a log disk that is full stops neither a fatal line nor the end',
  { skip: !existsSync('/dev/full') && 'this system has no /dev/full' },
  async (t) => {
    const logDir = temporaryFolder(t);
    mkdirSync(logFolder(logDir));
    for (const level of LEVELS) symlinkSync('/dev/full', join(logFolder(logDir), `dataNode_${level}.log`));
    const nodeLog = await opened(t, logDir, 'info', false);
    nodeLog.log.info('a line that the disk does not take');
    nodeLog.log.fatal('nor this one');
    await nodeLog.drain(10);
    nodeLog.announce('# still here');
    await until('it says so', () => readFileSync(outputLogPath(logDir), 'utf8').includes('# still here'));
    t.ok(nodeLog.losses().writeErrors > 0, 'the errors are counted');
  },
);

t.test('lines about operations have files of their own, at level debug', async (t) => {
  const logDir = temporaryFolder(t);
  const { log, setLevel, drain } = await opened(t, logDir, 'debug', true);
  log.debug({ operation: 'read', extent: 1 }, 'r');
  log.debug({ operation: 'write' }, 'w');
  log.debug({ operation: 'other' }, 'd');
  log.debug('plain');
  log.warn({ operation: 'read' }, 'more severe');
  setLevel('info');
  log.debug({ operation: 'read' }, 'not at info');
  await drain(60_000);
  const said = (kind: string): unknown[] => linesOf(logDir, kind).map((line) => JSON.parse(line).msg);
  t.strictSame(said('read'), ['r']);
  t.strictSame(said('write'), ['w']);
  t.strictSame(said('debug'), ['d', 'plain']);
  t.strictSame(said('warn'), ['more severe']);
});

t.test('levels by name, in any case; alarms are in the critical file whatever the level', async (t) => {
  const logDir = temporaryFolder(t);
  const { log, alarms, setLevel, drain } = await opened(t, logDir, 'error', true);
  const levels = [
    ['DEBUG', 'debug'],
    ['info', 'info'],
    ['Read', 'info'],
    ['warn', 'warn'],
    ['write', 'info'],
    ['error', 'error'],
    ['Critical', 'fatal'],
    ['fatal', 'fatal'],
  ] as const;
  for (const [name, level] of levels) {
    t.equal(setLevel(name), true, name);
    t.equal(log.level, level, `${name}: pino's level, so that what is off is free`);
  }
  for (const name of ['', 'trace', 'silent', 'infos', '__proto__', 'warn '])
    t.equal(setLevel(name), false, name);
  t.equal(log.level, 'fatal', 'what is unknown changes nothing');
  log.error('not at fatal');
  alarms.identify('my-cluster.x', '10.0.0.1');
  alarms.disk('/data/disk0', '', { errno: 'EIO' });
  log.fatal('f');
  await drain(60_000);
  t.strictSame(
    linesOf(logDir, 'error').map((line) => JSON.parse(line).msg),
    ['f'],
  );
  t.match(
    linesOf(logDir, 'critical').map((line) => JSON.parse(line)),
    [
      {
        level: 'critical',
        key: 'my_cluster_x_dataNode_warning',
        msg: 'disk path /data/disk0 error on 10.0.0.1',
        errno: 'EIO',
      },
    ],
  );
  setLevel('error');
  alarms.disk('/data/disk0', '', {});
  await drain(60_000);
  t.match(JSON.parse(linesOf(logDir, 'error')[1]!), { alarm: true, msg: /^disk path/ }, 'an error line too');
});

t.test('log.format text: the lines of the reference, with its tags', async (t) => {
  const logDir = temporaryFolder(t);
  const settings = { ...EXTENTD_DEFAULTS, logFormat: 'text' } as const;
  const { log, alarms, drain } = await opened(t, logDir, 'debug', true, settings);
  log.debug({ operation: 'read', partition: 7 }, 'served');
  log.debug({ operation: 'write' }, 'taken');
  log.debug('d');
  log.info({ text: 'two words' }, 'i');
  log.warn('w');
  log.error({ err: new Error('boom') }, 'e');
  log.fatal('f');
  alarms.identify('c1', '10.0.0.1');
  alarms.raise('an alarm', { disk: '/d' });
  await drain(60_000);
  const place = `extentd:${process.pid}:`;
  const wanted: [kind: string, line: number, text: string][] = [
    ['read', 0, `[READ ] ${place} served operation=read partition=7`],
    ['write', 0, `[WRITE] ${place} taken operation=write`],
    ['debug', 0, `[DEBUG] ${place} d`],
    ['info', 0, `[INFO ] ${place} i text="two words"`],
    ['warn', 0, `[WARN ] ${place} w`],
    ['error', 0, `[ERROR] ${place} e | Error: boom < at `],
    ['error', 1, `[FATAL] ${place} f`],
    ['critical', 0, `[FATAL] ${place} c1_dataNode_warning an alarm disk=/d`],
  ];
  for (const [kind, line, text] of wanted) {
    const found = linesOf(logDir, kind)[line]!;
    t.match(found, /^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d\.\d{6} /, 'local time with microseconds');
    t.equal(found.slice(27, 27 + text.length), text);
  }
  t.equal(formatReferenceLine('no record\n'), 'no record\n');
  const noon = new Date(2024, 4, 1, 12, 3, 4, 56);
  const line = formatReferenceLine(JSON.stringify({ level: 'info', time: noon.toISOString(), msg: 'm' }));
  t.equal(line, `2024/05/01 12:03:04.056000 [INFO ] ${place} m\n`);
});

t.test('files are renamed at log.fileBytesMax', async (t) => {
  const logDir = temporaryFolder(t);
  const settings = { ...EXTENTD_DEFAULTS, logFileBytesMax: 1_000 };
  const { log, drain, losses } = await opened(t, logDir, 'info', true, settings);
  for (let index = 0; index < 4; index += 1) {
    log.info({ index }, 'x'.repeat(400));
    await drain(60_000);
  }
  const names = readdirSync(logFolder(logDir)).filter((name) => name.startsWith('dataNode_info'));
  t.equal(names.filter((name) => /^dataNode_info\.log\.\d{14}\.old$/.test(name)).length, 1);
  t.strictSame(
    linesOf(logDir, 'info').map((line) => JSON.parse(line).index),
    [2, 3],
  );
  t.strictSame(losses(), { dropped: 0, writeErrors: 0, rotationErrors: 0 });
});

t.test('at the change of the day all files are renamed but the critical one and output.log', async (t) => {
  const files = new FakeFiles();
  const environment = { warnLogDir: '', calls: files, clock: files };
  const { log, alarms, announce, drain } = await opened(
    t,
    '/l',
    'debug',
    false,
    EXTENTD_DEFAULTS,
    environment,
  );
  for (let day = 0; day < 2; day += 1) {
    for (const level of LEVELS) log[level]('a line');
    for (const operation of ['read', 'write']) log.debug({ operation }, 'a line');
    alarms.raise(`alarm of day ${day}`);
    announce('# a day');
    await drain(60_000);
    files.nowMs += 24 * 3600 * 1000;
  }
  const renamed = files.names('/l/dataNode').filter((name) => name.endsWith('.log.20240502120000.old'));
  const kinds = ['debug', 'error', 'info', 'read', 'warn', 'write'];
  t.strictSame(
    renamed,
    kinds.map((kind) => `dataNode_${kind}.log.20240502120000.old`),
  );
  t.equal(files.text('/l/dataNode/dataNode_critical.log')!.split('\n').length, 3);
  t.equal(files.text('/l/dataNode/output.log')!.split('\n').length, 3);
});

t.test('the console log honours its level', async (t) => {
  const [warn, debug] = [openConsoleLog('warn'), openConsoleLog('debug')];
  t.equal(warn.log.isLevelEnabled('info'), false);
  t.equal(debug.log.isLevelEnabled('debug'), true);
  t.equal(warn.setLevel('info'), true);
  t.equal(warn.log.isLevelEnabled('info'), true);
  for (const { close } of [warn, debug]) close();
});

t.test('one readable line a record', async (t) => {
  const record = {
    level: 'warn',
    time: '2024-05-01T12:00:00.123Z',
    msg: 'a\nb',
    disk: '/data/disk0',
    text: 'two words\n',
    count: 3,
    list: [1],
  };
  t.equal(
    formatLogLine(`${JSON.stringify(record)}\n`),
    '2024-05-01 12:00:00.123 WARN  a b disk=/data/disk0 text="two words\\n" count=3 list=[1]\n',
  );
  const failed = formatLogLine(
    JSON.stringify({ ...record, msg: 'x', err: { message: 'm', stack: 'Error: m\n    at f\n    at g' } }),
  );
  t.match(failed, / \| Error: m < at f < at g\n$/);
  t.equal(formatLogLine('no record\n'), 'no record\n');
});

t.test('a rate-limited log: bounded lines, one summary, by an injected clock', async (t) => {
  const lines: string[] = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(JSON.parse(String(chunk)).msg));
      done();
    },
  });
  let nowMs = 0;
  const limits = { messagesMax: 2, intervalMs: 1_000, keysMax: 8 };
  const limited = new RateLimitedLog(pino(sink), limits, () => nowMs);
  for (let index = 0; index < 10; index += 1) limited.write('warn', 'bad packet', `m${index}`);
  limited.write('debug', 'bad packet', 'a level that is off counts nothing');
  limited.tick();
  t.strictSame(lines, ['m0', 'm1']);
  nowMs = 1_000;
  limited.tick();
  limited.tick();
  t.strictSame(lines, ['m0', 'm1', 'suppressed 8 more messages: bad packet']);
  const stop = limited.start();
  for (let index = 0; index < 3; index += 1) limited.write('warn', 'x', 'm');
  nowMs = 2_000;
  stop();
  t.equal(lines.at(-1), 'suppressed 1 more messages: x');
});

t.test(
  'an announcement goes to output.log, stamped, and plain to where standard error was before',
  async (t) => {
    const fs = new FakeFiles();
    for (const [fd, path] of [
      [2, '/l/dataNode/output.log'],
      [77, '/terminal'],
    ] as const) {
      fs.put(path, '');
      fs.opened.set(fd, fs.files.get(path)!);
    }
    const environment = { warnLogDir: '', terminalFd: 77, calls: fs, clock: fs };
    const nodeLog = await opened(t, '/l', 'info', true, EXTENTD_DEFAULTS, environment);
    nodeLog.announce('SIGTERM: stopping');
    await nodeLog.drain(60_000);
    t.equal(fs.text('/terminal'), 'SIGTERM: stopping\n');
    t.match(fs.text('/l/dataNode/output.log'), /^\d{4}-\S+Z SIGTERM: stopping\n$/);
  },
);

t.test('other settings of the files are taken over while they are open', async (t) => {
  const fs = new FakeFiles();
  const environment = { warnLogDir: '', calls: fs, clock: fs };
  const nodeLog = await opened(t, '/l', 'info', true, EXTENTD_DEFAULTS, environment);
  nodeLog.log.info('x'.repeat(500));
  await nodeLog.drain(60_000);
  const renamed = (): number => fs.names('/l/dataNode').filter((name) => name.endsWith('.old')).length;
  t.equal(renamed(), 0);
  nodeLog.reload({ ...EXTENTD_DEFAULTS, logFileBytesMax: 600 });
  nodeLog.log.info('y'.repeat(500));
  await nodeLog.drain(60_000);
  t.equal(renamed(), 1);
});
