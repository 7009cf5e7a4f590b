/**
 * UMP files: names, bytes of an entry, bounds, rotation, and when there are none.
 */
import { networkInterfaces } from 'node:os';
import t, { type Test } from 'tap';
import { EXTENTD_DEFAULTS } from '../../src/config/config.js';
import { type NodeLog, openFileLog } from '../../src/telemetry/log.js';
import type { UmpFiles } from '../../src/telemetry/umpFiles.js';
import { until } from '../support/until.js';
import { FakeFiles, NOON_MS } from './fakeFiles.js';

const TIMES = '/ump/ump_datanode_tp.log';
const BUSINESS = '/ump/ump_datanode_business.log';
/** What the reference takes for the host's name. */
const ADDRESS =
  Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '10.9.8.7';

async function rig(
  t: Test,
  entriesPerSecond = 100,
): Promise<{ files: FakeFiles; nodeLog: NodeLog; ump: UmpFiles; lines(path: string): string[] }> {
  const files = new FakeFiles();
  files.folders.add('/ump');
  const settings = { ...EXTENTD_DEFAULTS, umpEntriesPerSecond: entriesPerSecond };
  const environment = { warnLogDir: '/ump', calls: files, clock: files };
  const opened = await openFileLog('/l', 'error', true, settings, environment);
  if (!opened.ok) throw new Error(opened.message);
  t.teardown(() => opened.nodeLog.close());
  await until('the files are open', () => files.names('/ump').length === 3);
  const { ump, alarms } = opened.nodeLog;
  alarms.identify('my.cluster', '10.9.8.7');
  ump!.identify('my.cluster', '10.9.8.7');
  const lines = (path: string): string[] => files.text(path)!.split('\n\n').slice(0, -1);
  return { files, nodeLog: opened.nodeLog, ump: ump!, lines };
}

t.test('the three files, and an entry of each kind as the reference writes it', async (t) => {
  const { files, nodeLog, ump } = await rig(t);
  t.strictSame(files.names('/ump'), [
    'ump_datanode_alive.log',
    'ump_datanode_business.log',
    'ump_datanode_tp.log',
  ]);
  ump.time('OpWrite', 1.9, false);
  ump.time('OpWrite', 12_345.6, true);
  nodeLog.alarms.raise('disk "x" <&>');
  await nodeLog.drain(60_000);
  t.equal(
    files.text(TIMES),
    `{"time":"20240501115959000","key":"my_cluster_dataNode_OpWrite","hostname":"${ADDRESS}","processState":"0","elapsedTime":"1"}\n\n` +
      `{"time":"20240501115947000","key":"my_cluster_dataNode_OpWrite","hostname":"${ADDRESS}","processState":"1","elapsedTime":"12345"}\n\n`,
    'the time is that of the start',
  );
  t.equal(
    files.text(BUSINESS),
    `{"time":"20240501120000000","key":"my_cluster_dataNode_warning","hostname":"${ADDRESS}","type":"0","value":"0","detail":"disk \\"x\\" <&>"}\n\n`,
  );
});

t.test('so many entries a second, operation and outcome', async (t) => {
  const { files, nodeLog, ump, lines } = await rig(t, 3);
  for (let index = 0; index < 10; index += 1) {
    ump.time('OpWrite', 0, false);
    ump.time('OpWrite', 0, true);
    ump.time('OpStreamRead', 0, false);
  }
  await nodeLog.drain(60_000);
  t.equal(lines(TIMES).length, 9);
  t.equal(ump.held, 21);
  files.nowMs = NOON_MS + 1_000;
  ump.time('OpWrite', 0, false);
  await nodeLog.drain(60_000);
  t.equal(lines(TIMES).length, 10, 'another second');
  for (let index = 0; index < 1_000; index += 1) ump.time(`Op${index}`, 0, false);
  await nodeLog.drain(60_000);
  t.ok(lines(TIMES).length < 300, 'names without end do not take memory without end');
});

t.test('no entries where none are wanted', async (t) => {
  const { nodeLog, ump, files } = await rig(t, 0);
  ump.time('OpWrite', 0, false);
  await nodeLog.drain(60_000);
  t.equal(files.text(TIMES), '');
});

t.test('a long alarm is cut to 510 characters', async (t) => {
  const { nodeLog, lines } = await rig(t);
  const texts = ['x'.repeat(512), 'y'.repeat(513), 'ü'.repeat(300), '𝄞'.repeat(600)];
  for (const text of texts) nodeLog.alarms.raise(text);
  await nodeLog.drain(60_000);
  const details = lines(BUSINESS).map((line) => String(JSON.parse(line).detail));
  t.strictSame(details, [texts[0], 'y'.repeat(510), texts[2], '𝄞'.repeat(510)]);
});

t.test('10 MiB, then .1 to .3', async (t) => {
  const { files, nodeLog, ump } = await rig(t);
  files.files.get(TIMES)!.unseenBytes = 10 * 1024 ** 2;
  files.nowMs += 1_000;
  ump.time('OpWrite', 0, false);
  await nodeLog.drain(60_000);
  t.equal(files.text(`${TIMES}.1`), '', 'the full one, whose bytes only its size knows of');
  t.match(files.text(TIMES), /^\{"time".*\}\n\n$/);
});

t.test('no folder, a file, or nothing configured: no UMP files', async (t) => {
  for (const warnLogDir of ['', '/none', '/file']) {
    const files = new FakeFiles();
    files.put('/file', '');
    const environment = { warnLogDir, calls: files, clock: files };
    const opened = await openFileLog('/l', 'error', true, EXTENTD_DEFAULTS, environment);
    if (!opened.ok) throw new Error(opened.message);
    opened.nodeLog.close();
    t.equal(opened.nodeLog.ump, undefined, warnLogDir);
    t.strictSame(files.names('/ump'), []);
  }
});

t.test('a full disk: entries wait in bounded memory, then they are dropped and counted', async (t) => {
  const { files, nodeLog, ump } = await rig(t, 100_000);
  files.errors.set('write', 'ENOSPC');
  for (let index = 0; index < 50_000; index += 1) ump.time('OpWrite', 0, false);
  t.ok(ump.dropped > 0);
  t.equal(nodeLog.losses().dropped, ump.dropped);
});
