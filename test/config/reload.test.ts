/** What a changed config file means for a running node, and that it is taken over whole or not at all. */
import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ReloadSignal } from '../../src/cli/reloadSignal.js';
import type { NodeConfig } from '../../src/config/config.js';
import { accepted, refused } from '../../src/config/parsed.js';
import { keyOf, LIVE_FIELDS, type PartName, planReload } from '../../src/config/reload.js';
import { always, Reloader } from '../../src/config/reloader.js';
import { parseConfig } from '../../src/config/schema.js';
import { packageRoot } from '../packageRoot.js';
import { until } from '../support/until.js';

const FILE = {
  ...{ role: 'datanode', port: '17310', prof: '17320', masterAddr: ['127.0.0.1:17010'], raftDir: '/r' },
  ...{ disks: ['/d1:0'], raftHeartbeat: '17330', raftReplica: '17340' },
};

function configOf(change: object): NodeConfig {
  const result = parseConfig(JSON.stringify({ ...FILE, ...change }));
  if (!result.ok) throw new Error(result.message);
  return result.config;
}

const STARTED = configOf({});
const ALL = Object.keys(LIVE_FIELDS) as PartName[];

/** Another value for every key that there is, with the key as the file has it. */
const OTHER: Readonly<Record<string, object>> = {
  port: { port: '1' },
  localIP: { localIP: '10.0.0.1' },
  masterAddr: { masterAddr: ['h:1'] },
  rack: { rack: 'r2' },
  cell: { cell: 'c2' },
  zoneName: { zoneName: 'z2' },
  disks: { disks: ['/d2:0'] },
  raftDir: { raftDir: '/r2' },
  raftHeartbeat: { raftHeartbeat: '2' },
  raftReplica: { raftReplica: '3' },
  logDir: { logDir: '/l' },
  logLevel: { logLevel: 'debug' },
  warnLogDir: { warnLogDir: '/w' },
  prof: { prof: '4' },
  exporterPort: { exporterPort: 5 },
  consulAddr: { consulAddr: 'http://c:8500' },
  'extentd.workersPerDisk': { extentd: { workersPerDisk: 2 } },
  'extentd.ringSlots': { extentd: { ringSlots: 64 } },
  'extentd.slab.slots4k': { extentd: { slab: { slots4k: 64 } } },
  'extentd.slab.slots32k': { extentd: { slab: { slots32k: 16 } } },
  'extentd.slab.slots128k': { extentd: { slab: { slots128k: 16 } } },
  'extentd.slab.slots2m': { extentd: { slab: { slots2m: 2 } } },
  'extentd.ioThreads': { extentd: { ioThreads: 1 } },
  'extentd.maxOpenFiles': { extentd: { maxOpenFiles: 256 } },
  'extentd.strictAppend': { extentd: { strictAppend: false } },
  'extentd.durability': { extentd: { durability: 'always' } },
  'extentd.directReadBytes': { extentd: { directReadBytes: 1 } },
  'extentd.allowLostPartitions': { extentd: { allowLostPartitions: true } },
  'extentd.listenAddress': { extentd: { listenAddress: '::' } },
  'extentd.spin.workerUs': { extentd: { spin: { workerUs: 1 } } },
  'extentd.spin.mainUs': { extentd: { spin: { mainUs: 1 } } },
  'extentd.inlineWrites': { extentd: { inlineWrites: 'never' } },
  'extentd.inFlightBytesPerConnection': { extentd: { inFlightBytesPerConnection: 2097152 } },
  'extentd.inFlightBytesPerDisk': { extentd: { inFlightBytesPerDisk: 4194304 } },
  'extentd.stallMs': { extentd: { stallMs: 100 } },
  'extentd.loadTimeoutMs': { extentd: { loadTimeoutMs: 1000 } },
  'extentd.probe.intervalMs': { extentd: { probe: { intervalMs: 1000 } } },
  'extentd.probe.timeoutMs': { extentd: { probe: { timeoutMs: 1000 } } },
  'extentd.checksums.bytesPerSecond': { extentd: { checksums: { bytesPerSecond: 1 } } },
  'extentd.scrub.bytesPerSecond': { extentd: { scrub: { bytesPerSecond: 1 } } },
  'extentd.scrub.intervalHours': { extentd: { scrub: { intervalHours: 1 } } },
  'extentd.raft.journalSegmentBytes': { extentd: { raft: { journalSegmentBytes: 1048576 } } },
  'extentd.httpAddress': { extentd: { httpAddress: '::1' } },
  'extentd.exporterAddress': { extentd: { exporterAddress: '::1' } },
  'extentd.httpServer': { extentd: { httpServer: 'node' } },
  'extentd.tls.certFile extentd.tls.keyFile': { extentd: { tls: { certFile: '/c', keyFile: '/k' } } },
  'extentd.access.clients': { extentd: { access: { clients: ['::1'] } } },
  'extentd.access.peers': { extentd: { access: { peers: ['::1'] } } },
  'extentd.access.masters': { extentd: { access: { masters: ['::1'] } } },
  'extentd.access.admin': { extentd: { access: { admin: ['::1'] } } },
  'extentd.log.format': { extentd: { log: { format: 'text' } } },
  'extentd.log.fileBytesMax': { extentd: { log: { fileBytesMax: 1048576 } } },
  'extentd.log.oldBytesMax': { extentd: { log: { oldBytesMax: 1 } } },
  'extentd.log.headRoomBytes': { extentd: { log: { headRoomBytes: 1 } } },
  'extentd.ump.entriesPerSecond': { extentd: { ump: { entriesPerSecond: 1 } } },
  'extentd.faultInjection': { extentd: { faultInjection: true } },
  'extentd.limits.clients.readBytesPerSecond': {
    extentd: { limits: { clients: { readBytesPerSecond: 1 } } },
  },
  'extentd.limits.clients.writeBytesPerSecond': {
    extentd: { limits: { clients: { writeBytesPerSecond: 1 } } },
  },
  'extentd.limits.clients.readOpsPerSecond': { extentd: { limits: { clients: { readOpsPerSecond: 1 } } } },
  'extentd.limits.clients.writeOpsPerSecond': { extentd: { limits: { clients: { writeOpsPerSecond: 1 } } } },
  'extentd.limits.clients.readsAtOnce': { extentd: { limits: { clients: { readsAtOnce: 1 } } } },
  'extentd.limits.clients.writesAtOnce': { extentd: { limits: { clients: { writesAtOnce: 1 } } } },
  'extentd.limits.background.readBytesPerSecond': {
    extentd: { limits: { background: { readBytesPerSecond: 1 } } },
  },
  'extentd.limits.background.writeBytesPerSecond': {
    extentd: { limits: { background: { writeBytesPerSecond: 1 } } },
  },
  'extentd.limits.background.readOpsPerSecond': {
    extentd: { limits: { background: { readOpsPerSecond: 1 } } },
  },
  'extentd.limits.background.writeOpsPerSecond': {
    extentd: { limits: { background: { writeOpsPerSecond: 1 } } },
  },
  'extentd.repair.enabled': { extentd: { repair: { enabled: false } } },
  'extentd.repair.roundsPerDisk': { extentd: { repair: { roundsPerDisk: 1 } } },
  'extentd.repair.rounds': { extentd: { repair: { rounds: 1 } } },
  'extentd.repair.fetchesPerRound': { extentd: { repair: { fetchesPerRound: 1 } } },
  'extentd.repair.bytesPerSecond': { extentd: { repair: { bytesPerSecond: 1 } } },
  'extentd.limits.background.readsAtOnce': { extentd: { limits: { background: { readsAtOnce: 1 } } } },
  'extentd.limits.background.writesAtOnce': { extentd: { limits: { background: { writesAtOnce: 1 } } } },
};

/** Keys that a running node takes over; every other one wants a restart. */
const LIVE =
  /^(masterAddr|rack|cell|zoneName|logLevel|consulAddr|extentd\.(limits\..*|access\..*|tls\..*|log\.\w+(Max|Bytes)|ump\..*|stallMs|loadTimeoutMs|probe\.timeoutMs|checksums\..*|repair\..*|scrub\..*|allowLostPartitions))$/;

t.test('every key is live or needs a restart, and the file says which', async (t) => {
  const seen: string[] = [];
  for (const [names, change] of Object.entries(OTHER)) {
    const keys = names.split(' ');
    const plan = planReload(STARTED, configOf(change), ALL);
    const live = LIVE.test(keys[0]!);
    t.strictSame(plan.changed, live ? keys : [], names);
    t.strictSame(plan.needRestart, live ? [] : keys, names);
    t.strictSame(plan.config, live ? configOf(change) : STARTED, `${names}: what is in force`);
    seen.push(...keys);
  }
  // `role` has one value only.
  const every = (Object.keys(STARTED) as (keyof NodeConfig)[]).filter((field) => field !== 'role');
  t.strictSame(seen.sort(), every.map(keyOf).sort(), 'no key is left out');
});

t.test('operators read of the live keys, all of them and no others', async (t) => {
  const page = readFileSync(join(packageRoot, 'docs', 'operations.md'), 'utf8');
  const table = /\| key \| what happens \|\n\|[-|]+\n((?:\|.*\n)+)/.exec(page)?.[1] ?? '';
  const told = table
    .split('\n')
    .flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, key = '']) => key));
  const live = Object.values(LIVE_FIELDS).flatMap((fields): string[] => fields.map(keyOf));
  const grouped = live.map((key) => (key.startsWith('extentd.limits.') ? 'extentd.limits.*' : key));
  t.strictSame(told.sort(), [...new Set(grouped)].sort());
});

t.test('a file that is the same changes nothing', async (t) => {
  t.strictSame(planReload(STARTED, configOf({}), ALL), { config: STARTED, changed: [], needRestart: [] });
});

t.test('keys of a part that does not run need a restart', async (t) => {
  const file = configOf({ rack: 'r2', extentd: { stallMs: 500 } });
  const plan = planReload(STARTED, file, ['watch']);
  t.strictSame([plan.changed, plan.needRestart], [['extentd.stallMs'], ['rack']]);
  t.match(plan.config, { rack: 'cfs_rack1', stallMs: 500 });
});

t.test('every part acts at each reload, with what is in force afterwards', async (t) => {
  const reloader = new Reloader(STARTED);
  const racks: string[] = [];
  const stalls: number[] = [];
  reloader.register(
    'rack',
    always(({ rack, port }) => racks.push(`${rack} ${port}`)),
  );
  reloader.register(
    'watch',
    always(({ stallMs }) => stalls.push(stallMs)),
  );
  t.match(await reloader.reload(configOf({ rack: 'r2', port: '1' })), {
    ok: true,
    value: { changed: ['rack'], needRestart: ['port'] },
  });
  t.match(await reloader.reload(configOf({ rack: 'r2' })), {
    ok: true,
    value: { changed: [], needRestart: [] },
  });
  t.strictSame(racks, ['r2 17310', 'r2 17310']);
  t.strictSame(stalls, [2000, 2000], 'the same again: it may have been changed by other means');
  t.equal(reloader.config.rack, 'r2');
  t.throws(
    () =>
      reloader.register(
        'rack',
        always(() => {}),
      ),
    /registered twice/,
  );
});

t.test('one part that refuses, and nothing is changed', async (t) => {
  const reloader = new Reloader(STARTED);
  const acted: string[] = [];
  let outcome: 'good' | 'refused' | 'thrown' = 'refused';
  reloader.register(
    'rack',
    always(() => acted.push('rack')),
  );
  reloader.register('http', async () => {
    if (outcome === 'thrown') throw new Error('out of\nluck');
    if (outcome === 'refused') return refused('extentd.tls.certFile', 'no such file');
    return accepted(() => acted.push('http'));
  });
  const file = configOf({ rack: 'r2' });
  t.strictSame(await reloader.reload(file), { ok: false, message: 'extentd.tls.certFile: no such file' });
  outcome = 'thrown';
  t.strictSame(await reloader.reload(file), { ok: false, message: 'reload: out of luck' });
  t.strictSame(acted, []);
  t.equal(reloader.config, STARTED);
  outcome = 'good';
  t.match(await reloader.reload(file), { ok: true, value: { changed: ['rack'] } });
  t.strictSame(acted, ['rack', 'http']);
});

t.test('SIGHUP is caught from the start and remembered once', async (t) => {
  const source = new EventEmitter();
  const reloads = new ReloadSignal(source);
  source.emit('SIGHUP');
  source.emit('SIGHUP');
  let count = 0;
  reloads.onReload(async () => void count++);
  t.equal(count, 1);
  await until('the first ends', () => {
    source.emit('SIGHUP');
    return count > 1;
  });
});

t.test('a signal while a reload is under way is answered behind it, once', async (t) => {
  const source = new EventEmitter();
  const reloads = new ReloadSignal(source);
  let running = 0;
  let most = 0;
  let count = 0;
  const ends: (() => void)[] = [];
  reloads.onReload(async () => {
    count++;
    most = Math.max(most, ++running);
    await new Promise<void>((resolve) => ends.push(resolve));
    running--;
  });
  for (let i = 0; i < 3; i++) source.emit('SIGHUP');
  t.equal(count, 1);
  ends.shift()!();
  await until('the second begins', () => count === 2);
  ends.shift()!();
  await until('it ends', () => running === 0);
  t.strictSame([count, most], [2, 1]);
});
