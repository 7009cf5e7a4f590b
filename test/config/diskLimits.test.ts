/** Limits per disk as configuration: names, shapes, changes by text; and what a changed file means for a node that runs. */
import { EventEmitter } from 'node:events';
import t from 'tap';
import { ReloadSignal } from '../../src/cli/reloadSignal.js';
import { EXTENTD_DEFAULTS, type NodeConfig } from '../../src/config/config.js';
import { LIMIT_ROWS, limitsOf, UNLIMITED, withChangedLimits } from '../../src/config/diskLimits.js';
import { keysThatNeedRestart } from '../../src/config/reload.js';
import { parseConfig } from '../../src/config/schema.js';
import { parseSettings } from '../../src/config/settings.js';

function configOf(change: object): NodeConfig {
  const file = {
    ...{ role: 'datanode', port: '17310', prof: '17320', masterAddr: ['127.0.0.1:17010'], raftDir: '/r' },
    ...{ disks: ['/d1:0'], raftHeartbeat: '17330', raftReplica: '17340' },
    ...change,
  };
  const result = parseConfig(JSON.stringify(file));
  if (!result.ok) throw new Error(result.message);
  return result.config;
}

t.test('a limit has the same name in the file, in the shape for a disk, and as a change', async (t) => {
  for (const [i, row] of LIMIT_ROWS.entries()) {
    const file = { limits: { [row.class]: { [row.key]: i + 1 } } };
    const settings = parseSettings(file);
    if (!settings.ok) throw new Error(settings.message);
    const limits = limitsOf(settings.value);
    t.equal(limits[row.class][row.key], i + 1, row.name);
    const start = limitsOf(EXTENTD_DEFAULTS);
    const changed = withChangedLimits(start, [[row.name, String(i + 1)]]);
    t.same(changed, { ok: true, value: limits }, row.name);
    t.same(start, limitsOf(EXTENTD_DEFAULTS), 'the old limits are as they were');
  }
});

t.test('a change with anything wrong in it is refused whole', async (t) => {
  const refusal = (...changes: [string, string][]): string => {
    const result = withChangedLimits(UNLIMITED, changes);
    return result.ok ? '' : result.message;
  };
  t.equal(refusal(['clients.readsAtOnce', '65536'], ['background.writesAtOnce', '0']), '');
  for (const text of ['65537', '-1', '1.5', '', ' 1', '0x10', '1e2', '9'.repeat(400)]) {
    t.match(
      refusal(['clients.readsAtOnce', text]),
      /^clients\.readsAtOnce: must be a whole number from 0/,
      text,
    );
  }
  t.match(
    refusal(['clients.readsAtOnce', '1'], ['readsAtOnce', '1']),
    /^readsAtOnce: there is no such limit/,
  );
  t.notMatch(refusal(['a\nb', '1']), /\n/);
});

t.test('what of a changed file a running node does not take over', async (t) => {
  const started = configOf({});
  t.same(keysThatNeedRestart(started, configOf({})), []);
  t.same(
    keysThatNeedRestart(started, configOf({ extentd: { limits: { clients: { readsAtOnce: 3 } } } })),
    [],
  );
  const changed = configOf({
    ...{ prof: '1', raftReplica: '2', masterAddr: ['h:1'], disks: ['/d1:0', '/d2:0'], logLevel: 'info' },
    extentd: { slab: { slots4k: 100 }, limits: { background: { readsAtOnce: 9 } } },
  });
  t.same(keysThatNeedRestart(started, changed), [
    'disks',
    'extentd.slab.slots4k',
    'logLevel',
    'masterAddr',
    'prof',
    'raftReplica',
  ]);
});

t.test('SIGHUP is caught from the start and remembered once', async (t) => {
  const source = new EventEmitter();
  const reloads = new ReloadSignal(source);
  source.emit('SIGHUP');
  source.emit('SIGHUP');
  let count = 0;
  reloads.onReload(() => count++);
  t.equal(count, 1);
  source.emit('SIGHUP');
  t.equal(count, 2);
});
