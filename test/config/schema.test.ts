/**
 * The config file: every key's coercion, and one clear line with the key's path for every wrong value (`admin.md` 2).
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { EXTENTD_DEFAULTS, type NodeConfig } from '../../src/config/config.js';
import { CONFIG_LIMITS } from '../../src/config/limits.js';
import { FILE_KEYS, loadConfig, parseConfig, parseLogLevel } from '../../src/config/schema.js';

/** The example of `admin.md` 2. */
const EXAMPLE: Readonly<Record<string, unknown>> = {
  role: 'datanode',
  port: '17310',
  prof: '17320',
  raftHeartbeat: '17330',
  raftReplica: '17340',
  raftDir: '/cfs/log',
  consulAddr: 'http://192.168.0.100:8500',
  exporterPort: 9500,
  rack: 'rack-01',
  logDir: '/cfs/log',
  logLevel: 'info',
  disks: ['/cfs/disk:10737418240'],
  masterAddr: ['192.168.0.11:17010', '192.168.0.12:17010', '192.168.0.13:17010'],
};

function accept(changes: Record<string, unknown>): NodeConfig {
  const result = parseConfig(JSON.stringify({ ...EXAMPLE, ...changes }));
  if (!result.ok) throw new Error(result.message);
  return result.config;
}

function refuse(changes: Record<string, unknown>): string {
  const result = parseConfig(JSON.stringify({ ...EXAMPLE, ...changes }));
  return result.ok ? 'accepted' : result.message;
}

t.test('the example of the reference is read whole', async (t) => {
  t.strictSame(accept({}), {
    ...EXTENTD_DEFAULTS,
    role: 'datanode',
    port: 17310,
    localIP: '',
    masterAddrs: ['192.168.0.11:17010', '192.168.0.12:17010', '192.168.0.13:17010'],
    rack: 'rack-01',
    cell: '',
    zoneName: '',
    disks: [{ path: '/cfs/disk', reserve: '10737418240' }],
    profPort: 17320,
    raftDir: '/cfs/log',
    raftHeartbeatPort: 17330,
    raftReplicaPort: 17340,
    logDir: '/cfs/log',
    logLevel: 'info',
    warnLogDir: '',
    exporterPort: 9500,
    consulAddr: 'http://192.168.0.100:8500',
  });
});

t.test('keys that may be missing, empty or null take the defaults of the reference', async (t) => {
  for (const absent of [undefined, null, '']) {
    const optional = [
      'localIP',
      'rack',
      'cell',
      'zoneName',
      'logDir',
      'logLevel',
      'warnLogDir',
      'prof',
      'exporterPort',
      'consulAddr',
    ];
    const config = accept(Object.fromEntries(optional.map((key) => [key, absent])));
    t.match(config, {
      localIP: '',
      rack: 'cfs_rack1',
      logDir: '',
      logLevel: 'error',
      warnLogDir: '',
      profPort: null,
      exporterPort: 0,
      consulAddr: '',
    });
  }
});

t.test('coercions of the reference', async (t) => {
  t.equal(accept({ exporterPort: '9500' }).exporterPort, 9500, 'exporterPort may be a numeric string');
  t.equal(accept({ exporterPort: 0 }).exporterPort, 0);
  t.equal(accept({ raftHeartbeat: '0' }).raftHeartbeatPort, 5901, 'raftHeartbeat of 0 is 5901');
  t.equal(accept({ raftHeartbeat: '-7' }).raftHeartbeatPort, 5901);
  t.equal(accept({ raftReplica: '0' }).raftReplicaPort, 5902, 'raftReplica of 0 is 5902');
  t.equal(parseLogLevel('WARN'), 'warn', 'levels in any case');
  t.equal(parseLogLevel('verbose'), 'error', 'any other level is error');
  t.strictSame(accept({ unknownKey: { deep: 1 } }), accept({}), 'unknown keys are ignored');
  t.strictSame(
    accept({ disks: ['/a:1', '/b:', '/a:2'] }).disks,
    [
      { path: '/a', reserve: '1' },
      { path: '/b', reserve: '' },
    ],
    'a disk named twice is one disk',
  );
});

t.test('each key of each wrong type is refused in one line that names the key', async (t) => {
  const samples: Record<string, unknown> = {
    number: 17,
    boolean: true,
    array: [1],
    object: { a: 1 },
    string: 'x',
  };
  const fitting: Record<string, string[]> = {
    masterAddr: [],
    disks: [],
    extentd: [],
    exporterPort: ['number'],
    rack: ['string'],
    cell: ['string'],
    zoneName: ['string'],
    raftDir: ['string'],
    logDir: ['string'],
    logLevel: ['string'],
    warnLogDir: ['string'],
    consulAddr: ['string'],
  };
  for (const key of FILE_KEYS) {
    for (const [type, value] of Object.entries(samples)) {
      if (fitting[key]?.includes(type)) continue;
      const message = refuse({ [key]: value });
      t.ok(message.startsWith(key), `${key} as ${type}: ${message}`);
      t.notMatch(message, /\n/);
    }
  }
});

t.test('wrong values carry the text of the reference', async (t) => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ role: 'metanode' }, /^role mismatch: metanode/],
    [{ role: undefined }, /^role mismatch: ""/],
    [{ port: 17310 }, /^port: Err:port must string .* not the number 17310$/],
    [{ port: undefined }, /^port: Err:port must string/],
    [{ port: '17 310' }, /^port: Err:port must string/],
    [{ port: '0' }, /^port: must be a port number from 1 to 65535/],
    [{ port: '70000' }, /^port: must be a port number from 1 to 65535/],
    [{ localIP: 'node-1' }, /^localIP: must be a dotted IPv4 address, not the string "node-1"/],
    [{ localIP: '::1' }, /^localIP: must be a dotted IPv4/],
    [{ masterAddr: undefined }, /^masterAddr: Err:masterAddr unavalid/],
    [{ masterAddr: [] }, /^masterAddr: Err:masterAddr unavalid/],
    [{ masterAddr: '10.0.0.1:17010' }, /^masterAddr: Err:masterAddr unavalid .*not the string/],
    [
      { masterAddr: ['10.0.0.1:17010', 17010] },
      /^masterAddr\[1\]: must be a string "host:port", not the number 17010/,
    ],
    [{ masterAddr: ['http://10.0.0.1:17010'] }, /^masterAddr\[0\]: /],
    [{ masterAddr: ['10.0.0.1:99999'] }, /^masterAddr\[0\]: /],
    [{ disks: ['/cfs/disk'] }, /^disks\[0\]: Invalid disk configuration. Example: PATH:RESERVE_SIZE/],
    [{ disks: ['/a:1', '/b:1:2'] }, /^disks\[1\]: Invalid disk configuration/],
    [{ disks: [':5'] }, /^disks\[0\]: Invalid disk configuration/],
    [{ disks: [] }, /^disks: Invalid disk configuration/],
    [{ disks: Array.from({ length: 300 }, (_, i) => `/d${i}:0`) }, /^disks: more than 255/],
    [{ raftDir: undefined }, /^raftDir: missing/],
    [{ raftHeartbeat: 17330 }, /^raftHeartbeat: Raft heartbeat port configuration error: .*the number 17330/],
    [{ raftHeartbeat: undefined }, /^raftHeartbeat: Raft heartbeat port configuration error/],
    [{ raftReplica: 'x' }, /^raftReplica: Raft replica port configuration error/],
    [{ raftReplica: '65536' }, /^raftReplica: Raft replica port configuration error/],
    [{ raftReplica: '17330' }, /^raftReplica: port 17330 is the port of raftHeartbeat too/],
    [{ prof: '17310' }, /^prof: port 17310 is the port of port too/],
    [{ prof: 'http' }, /^prof: must be a port number/],
    [{ exporterPort: 'x' }, /^exporterPort: must be a port number from 0 to 65535/],
    [{ exporterPort: 9500.5 }, /^exporterPort: must be a port number/],
    [{ logDir: 'a\0b' }, /^logDir: must not hold a NUL/],
  ];
  for (const [changes, expected] of cases) t.match(refuse(changes), expected);
});

t.test('settings of extentd: nested, bounded, no unknown names', async (t) => {
  const config = accept({
    extentd: { stallMs: 500, slab: { slots4k: 128 }, spin: { workerUs: 0 }, ringSlots: 128 },
  });
  t.match(config, { stallMs: 500, slabSlots4k: 128, spinWorkerUs: 0, ringSlots: 128 });
  t.equal(config.slabSlots32k, EXTENTD_DEFAULTS.slabSlots32k, 'the rest keeps its default');
  const cases: [unknown, RegExp][] = [
    [{ stallMs: 99 }, /^extentd.stallMs: must be a whole number from 100 to 60000, not the number 99$/],
    [{ stallMs: '500' }, /^extentd.stallMs: must be a whole number .* not the string "500"$/],
    [{ stallMs: 500.5 }, /^extentd.stallMs: /],
    [{ ringSlots: 100 }, /^extentd.ringSlots: must be a power of two from 64 to 65536/],
    [{ slab: { slots4k: 1 } }, /^extentd.slab.slots4k: /],
    [{ slab: { slots5k: 1 } }, /^extentd.slab.slots5k: there is no such setting/],
    [{ slab: 7 }, /^extentd.slab: must be an object, not the number 7/],
    [{ 'slab.slots4k': '7' }, /^extentd.slab.slots4k: must be a whole number/],
    [{ stalMs: 500 }, /^extentd.stalMs: there is no such setting/],
    [{ strictAppend: 'yes' }, /^extentd.strictAppend: must be true or false/],
    [{ inlineWrites: 'sometimes' }, /^extentd.inlineWrites: must be one of auto, always, never/],
    [{ listenAddress: 'localhost' }, /^extentd.listenAddress: must be an IP address/],
    [[], /^extentd: must be an object, not an array/],
  ];
  for (const [extentd, expected] of cases) t.match(refuse({ extentd }), expected);
});

t.test('text that is no JSON object is refused in one line', async (t) => {
  for (const text of ['', '{', '{"role":\n"datanode",\n}', '[]', 'null', '"x"', '7', '{"a":"\u0001"}']) {
    const result = parseConfig(text);
    t.equal(result.ok, false);
    if (!result.ok) t.match(result.message, /^(not valid JSON: |must hold one JSON object, not )\P{Cc}+$/u);
  }
});

t.test('files: missing, a folder, too large, and a good one', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'extentd-config-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  t.match(loadConfig(''), { ok: false, message: /^no config file given/ });
  const missing = join(folder, 'missing.json');
  t.match(loadConfig(missing), { ok: false, message: `config file ${missing} cannot be read: ENOENT` });
  t.match(loadConfig(folder), { ok: false, message: /cannot be read: EISDIR/ });
  const large = join(folder, 'large.json');
  writeFileSync(large, ' '.repeat(CONFIG_LIMITS.fileBytesMax + 1));
  t.match(loadConfig(large), { ok: false, message: /is larger than 1048576 bytes/ });
  const bad = join(folder, 'bad.json');
  writeFileSync(bad, JSON.stringify({ ...EXAMPLE, port: 1 }));
  t.match(loadConfig(bad), { ok: false, message: /^port: .*bad\.json\)$/ });
  const good = join(folder, 'good.json');
  writeFileSync(good, JSON.stringify(EXAMPLE));
  t.match(loadConfig(good), { ok: true, config: { port: 17310 } });
});

t.test('access lists, paths and TLS files are checked', async (t) => {
  const settings = (extentd: object): string => refuse({ extentd });
  t.strictSame(accept({ extentd: { access: { peers: ['10.0.0.0/8', 'fd00::1'] } } }).accessPeers, [
    '10.0.0.0/8',
    'fd00::1',
  ]);
  t.match(
    settings({ access: { peers: '10.0.0.0/8' } }),
    /^extentd.access.peers: must be an array of addresses/,
  );
  t.match(
    settings({ access: { admin: ['10.0.0.0/8', 'host'] } }),
    /^extentd.access.admin\[1\]: must be an address or a CIDR range/,
  );
  t.match(settings({ access: { admin: [7] } }), /^extentd.access.admin\[0\]: /);
  t.match(
    settings({ access: { clients: Array(1025).fill('10.0.0.1') } }),
    /^extentd.access.clients: more than 1024 entries/,
  );
  t.match(settings({ tls: { certFile: '/a.pem' } }), /^extentd.tls: certFile and keyFile belong together/);
  t.match(
    settings({ tls: { certFile: 1, keyFile: '/b' } }),
    /^extentd.tls.certFile: must be the path of a file/,
  );
  t.equal(accept({ extentd: { tls: { certFile: '/a', keyFile: '/b' } } }).tlsKeyFile, '/b');
  t.equal(accept({ extentd: { exporterAddress: '' } }).exporterAddress, '', 'empty: as httpAddress');
  t.match(settings({ exporterAddress: 'x' }), /^extentd.exporterAddress: must be an IP address/);
  t.match(settings({ httpAddress: '' }), /^extentd.httpAddress: must be an IP address/);
});
