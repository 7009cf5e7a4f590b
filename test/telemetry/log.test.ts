/**
 * Log files as the reference names them, readable lines for a terminal, and a log that cannot be written.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import type { LogLevel } from '../../src/config/config.js';
import { logFolder, openConsoleLog, openFileLog, outputLogPath } from '../../src/telemetry/log.js';
import { formatLogLine } from '../../src/telemetry/logLine.js';
import { RateLimitedLog } from '../../src/telemetry/rateLimitedLog.js';

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** The messages in each level's file. */
function messages(logDir: string): Record<string, string[]> {
  const read = (level: string): string[] => {
    const text = readFileSync(join(logDir, 'dataNode', `dataNode_${level}.log`), 'utf8');
    return text.split('\n').flatMap((line) => (line === '' ? [] : [String(JSON.parse(line).msg)]));
  };
  return Object.fromEntries(LEVELS.map((level) => [level, read(level)]));
}

function temporaryFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'extentd-log-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function waitFor(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('waited 60 s in vain');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
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
    const opened = openFileLog(logDir, level, true);
    if (!opened.ok) throw new Error(opened.message);
    const { log, drain } = opened.nodeLog;
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
    const opened = openFileLog(logDir, 'info', true);
    if (!opened.ok) throw new Error(opened.message);
    opened.nodeLog.log.info({ partition }, 'loaded');
    await opened.nodeLog.drain(60_000);
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
  const opened = openFileLog(logDir, 'error', false);
  if (!opened.ok) throw new Error(opened.message);
  opened.nodeLog.announce('# an announcement');
  await opened.nodeLog.drain(60_000);
  t.match(readFileSync(outputLogPath(logDir), 'utf8'), /^\d{4}-\S+Z # an announcement\n$/);
});

t.test('a log folder that cannot be made is one line', async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'file'), '');
  const opened = openFileLog(join(folder, 'file'), 'info', true);
  t.match(opened, { ok: false, message: /^logDir: cannot open the log files: E/ });
});

t.test(
  'a log disk that is full stops neither a fatal line nor the end',
  { skip: !existsSync('/dev/full') },
  async (t) => {
    const logDir = temporaryFolder(t);
    mkdirSync(logFolder(logDir));
    for (const level of LEVELS) symlinkSync('/dev/full', join(logFolder(logDir), `dataNode_${level}.log`));
    const opened = openFileLog(logDir, 'info', false);
    if (!opened.ok) throw new Error(opened.message);
    opened.nodeLog.log.info('a line that the disk does not take');
    opened.nodeLog.log.fatal('nor this one');
    await opened.nodeLog.drain(10);
    opened.nodeLog.announce('# still here');
    await waitFor(() => readFileSync(outputLogPath(logDir), 'utf8').includes('# still here'));
    t.pass();
  },
);

t.test('the console log honours its level', async (t) => {
  t.equal(openConsoleLog('warn').log.isLevelEnabled('info'), false);
  t.equal(openConsoleLog('debug').log.isLevelEnabled('debug'), true);
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
