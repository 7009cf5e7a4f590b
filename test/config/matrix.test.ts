/**
 * Every key of the config file with every kind of value: right, of a wrong type, missing, null, empty, at its bounds and beyond them, texts that look like numbers, control
 * characters, duplicates, wrong shapes, names of Object's prototype. The tables say what is to come of each.
 */
import t, { type Test } from 'tap';
import type { NodeConfig } from '../../src/config/config.js';
import { FILE_KEYS, parseConfig } from '../../src/config/schema.js';
import { SETTINGS } from '../../src/config/settingRows.js';
import * as rows from './matrixRows.js';
import { TOP_ROWS } from './matrixTop.js';

/** A file that is accepted: key → JSON text. */
const GOOD: Readonly<Record<string, string>> = {
  role: '"datanode"',
  port: '"17310"',
  masterAddr: '["127.0.0.1:17010"]',
  disks: '["/d:0"]',
  prof: '"17320"',
  raftDir: '"/r"',
  raftHeartbeat: '"17330"',
  raftReplica: '"17340"',
};

/** The text of that file with one key replaced; `undefined`: left out. */
function fileWith(key: string, json: string | undefined): string {
  const entries = Object.entries({ ...GOOD, [key]: json }).filter(([, value]) => value !== undefined);
  return `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')}}`;
}

/** `{"extentd": ...}` with one setting, nested as its dotted key says. */
function fileWithSetting(key: string, json: string): string {
  const nested = key.split('.').reduceRight((value, name) => `{${JSON.stringify(name)}:${value}}`, json);
  return fileWith('extentd', nested);
}

function configOf(file: string): Readonly<Record<string, unknown>> {
  const result = parseConfig(file);
  if (!result.ok) throw new Error(result.message);
  return result.config as NodeConfig & Record<string, unknown>;
}

const BASE = configOf(fileWith('role', '"datanode"'));

function accepts(t: Test, file: string, field: string, value: unknown, what: string): void {
  const result = parseConfig(file);
  const got = result.ok ? (result.config as NodeConfig & Record<string, unknown>) : result.message;
  t.strictSame(got, { ...BASE, [field]: value }, what);
}

function refuses(t: Test, file: string, message: string, what: string): void {
  const result = parseConfig(file);
  t.equal(result.ok ? 'accepted' : result.message, message, what);
}

const short = (json: string | undefined): string => (json ?? 'missing').slice(0, 40);

t.test('the tables have every key', async (t) => {
  t.strictSame([...TOP_ROWS.map(({ key }) => key), 'extentd'], [...FILE_KEYS]);
  const settings = [rows.INTEGERS, rows.BOOLEANS, rows.CHOICES, rows.ADDRESSES, rows.RANGES].flatMap(
    (table) => table.map(([key]) => key),
  );
  t.strictSame(
    [...settings, 'ringSlots', 'tls.certFile', 'tls.keyFile'].sort(),
    SETTINGS.map(({ key }) => key).sort(),
  );
});

for (const { key, field, accepted, refused } of TOP_ROWS) {
  t.test(`${key}: right, wrong, missing, extreme`, async (t) => {
    for (const [json, value] of accepted)
      accepts(t, fileWith(key, json), field, value, `${key} ${short(json)}`);
    for (const [json, message] of refused) refuses(t, fileWith(key, json), message, `${key} ${short(json)}`);
  });
}

t.test('integers: at their bounds, beyond them, and what is no whole number', async (t) => {
  for (const [key, field, min, max, standard] of rows.INTEGERS) {
    t.equal(BASE[field], standard, `${key}: default`);
    for (const value of [min, max, Math.floor((min + max) / 2)])
      accepts(t, fileWithSetting(key, String(value)), field, value, `${key} ${value}`);
    accepts(
      t,
      fileWithSetting(key, `${max}.0e0`),
      field,
      max,
      `${key}: a number is a number however written`,
    );
    const words = `extentd.${key}: must be a whole number from ${min} to ${max}, not`;
    for (const value of [min - 1, max + 1, min + 0.5])
      refuses(t, fileWithSetting(key, String(value)), `${words} the number ${value}`, `${key} ${value}`);
    for (const [json, named] of [...rows.NO_NUMBERS, ...rows.NO_COUNTS]) {
      if (json === '1e-400' && min === 0) accepts(t, fileWithSetting(key, json), field, 0, `${key} ${json}`);
      else refuses(t, fileWithSetting(key, json), `${words} ${named}`, `${key} ${short(json)}`);
    }
    if (min === 0)
      t.ok(Object.is(configOf(fileWithSetting(key, '-0'))[field], 0), `${key}: no negative zero`);
  }
});

t.test('ringSlots: powers of two only', async (t) => {
  t.equal(BASE['ringSlots'], 4096);
  for (const value of [64, 128, 65_536])
    accepts(t, fileWithSetting('ringSlots', String(value)), 'ringSlots', value, String(value));
  const words = 'extentd.ringSlots: must be a power of two from 64 to 65536, not';
  for (const value of [0, 1, 32, 63, 65, 96, 100, 65_535, 65_537, 131_072, 64.5])
    refuses(t, fileWithSetting('ringSlots', String(value)), `${words} the number ${value}`, String(value));
  for (const [json, named] of [...rows.NO_NUMBERS, ...rows.NO_COUNTS])
    refuses(t, fileWithSetting('ringSlots', json), `${words} ${named}`, short(json));
});

t.test('booleans: true and false, nothing that only looks like them', async (t) => {
  for (const [key, field, standard] of rows.BOOLEANS) {
    t.equal(BASE[field], standard, `${key}: default`);
    for (const value of [true, false]) accepts(t, fileWithSetting(key, String(value)), field, value, key);
    const words = `extentd.${key}: must be true or false, not`;
    for (const [json, named] of [...rows.NO_NUMBERS, ...rows.NO_COUNTS]) {
      if (json === 'true' || json === 'false') continue;
      refuses(t, fileWithSetting(key, json), `${words} ${named}`, `${key} ${short(json)}`);
    }
    for (const text of ['true', 'false', 'yes', 'TRUE'])
      refuses(t, fileWithSetting(key, `"${text}"`), `${words} the string "${text}"`, `${key} "${text}"`);
    refuses(t, fileWithSetting(key, '1'), `${words} the number 1`, key);
  }
});

t.test('choices: their words, exactly', async (t) => {
  for (const [key, field, ...choices] of rows.CHOICES) {
    t.equal(BASE[field], choices[0], `${key}: default`);
    for (const word of choices) accepts(t, fileWithSetting(key, `"${word}"`), field, word, `${key} ${word}`);
    const words = `extentd.${key}: must be one of ${choices.join(', ')}, not`;
    for (const [json, named] of [...rows.NO_NUMBERS, ...rows.NO_STRINGS])
      refuses(t, fileWithSetting(key, json), `${words} ${named}`, `${key} ${short(json)}`);
    for (const word of choices.flatMap((one) => [one.toUpperCase(), `${one} `, `${one},${one}`]))
      refuses(t, fileWithSetting(key, `"${word}"`), `${words} the string "${word}"`, `${key} "${word}"`);
  }
});

t.test('addresses: IPv4 and IPv6, no names, no ports, no ranges', async (t) => {
  for (const [key, field, standard] of rows.ADDRESSES) {
    t.equal(BASE[field], standard, `${key}: default`);
    for (const address of rows.GOOD_ADDRESSES)
      accepts(t, fileWithSetting(key, `"${address}"`), field, address, `${key} ${address}`);
    const words = `extentd.${key}: must be an IP address, not`;
    for (const address of rows.BAD_ADDRESSES)
      refuses(
        t,
        fileWithSetting(key, `"${address}"`),
        `${words} the string "${address}"`,
        `${key} ${address}`,
      );
    for (const [json, named] of [...rows.NO_NUMBERS, ...rows.NO_STRINGS]) {
      if (json === '""' && key === 'exporterAddress')
        accepts(t, fileWithSetting(key, json), field, '', 'empty');
      else refuses(t, fileWithSetting(key, json), `${words} ${named}`, `${key} ${short(json)}`);
    }
  }
});

t.test('access lists: addresses and ranges, at most 1024', async (t) => {
  const most = Array.from({ length: 1024 }, (_, index) => `10.0.${index >> 8}.${index & 255}`);
  for (const [key, field] of rows.RANGES) {
    t.strictSame(BASE[field], [], `${key}: default`);
    for (const list of [[], rows.GOOD_RANGES, ['10.0.0.1', '10.0.0.1'], most])
      accepts(t, fileWithSetting(key, JSON.stringify(list)), field, list, `${key} ${list.length}`);
    const where = `extentd.${key}`;
    refuses(
      t,
      fileWithSetting(key, JSON.stringify([...most, '::1'])),
      `${where}: more than 1024 entries`,
      key,
    );
    const words = 'must be an address or a CIDR range like "10.0.0.0/8", not';
    for (const bad of rows.BAD_RANGES) {
      const file = fileWithSetting(key, JSON.stringify(['::1', bad]));
      refuses(t, file, `${where}[1]: ${words} the string ${JSON.stringify(bad)}`, `${key} ${bad}`);
    }
    for (const [json, named] of rows.NO_STRINGS)
      refuses(t, fileWithSetting(key, `[${json}]`), `${where}[0]: ${words} ${named}`, `${key} [${json}]`);
    const array = `${where}: must be an array of addresses and CIDR ranges, not`;
    for (const [json, named] of rows.NO_NUMBERS.filter(([, name]) => name !== 'an array'))
      refuses(t, fileWithSetting(key, json), `${array} ${named}`, `${key} ${short(json)}`);
  }
});

t.test('TLS files: both or none, any path', async (t) => {
  const file = (tls: string): string => fileWith('extentd', `{"tls":${tls}}`);
  t.equal(BASE['tlsCertFile'], '');
  t.equal(BASE['tlsKeyFile'], '');
  for (const path of rows.ODD_TEXTS) {
    const tls = JSON.stringify({ certFile: path, keyFile: '/k' });
    t.match(configOf(file(tls)), { tlsKeyFile: '/k' });
    t.equal(configOf(file(tls))['tlsCertFile'], path, short(path));
  }
  t.strictSame(configOf(file('{"certFile":"","keyFile":""}')), BASE);
  const missing = 'extentd.tls: certFile and keyFile belong together: one of them is missing';
  for (const one of ['{"certFile":"/c"}', '{"keyFile":"/k"}', '{"certFile":"/c","keyFile":""}'])
    refuses(t, file(one), missing, one);
  for (const [key, other] of [
    ['certFile', 'keyFile'],
    ['keyFile', 'certFile'],
  ]) {
    const words = `extentd.tls.${key}: must be the path of a file, not`;
    for (const [json, named] of [
      ...rows.NO_STRINGS,
      ['null', 'null'],
      ['"a\\u0000"', 'the string "a\\u0000"'],
    ])
      refuses(t, file(`{"${key}":${json},"${other}":"/x"}`), `${words} ${named}`, `${key} ${json}`);
  }
});

t.test('extentd and its groups: objects of known names', async (t) => {
  for (const absent of [undefined, 'null', '{}'])
    t.strictSame(configOf(fileWith('extentd', absent)), BASE, short(absent));
  const wrong = [
    ...rows.NO_NUMBERS.filter(([, named]) => named !== 'an object'),
    ['17', 'the number 17'],
  ] as const;
  for (const [json, named] of wrong) {
    if (json !== 'null')
      refuses(t, fileWith('extentd', json), `extentd: must be an object, not ${named}`, short(json));
    for (const group of rows.GROUPS) {
      const message = `extentd.${group}: must be an object, not ${named}`;
      refuses(t, fileWithSetting(group, json), message, `${group} ${short(json)}`);
    }
  }
  for (const group of rows.GROUPS) t.strictSame(configOf(fileWithSetting(group, '{}')), BASE, `${group} {}`);
  for (const name of rows.NO_SETTINGS) {
    const words = 'there is no such setting (see docs/configuration.md)';
    refuses(t, fileWith('extentd', `{${JSON.stringify(name)}:1}`), `extentd.${name}: ${words}`, name);
    for (const group of rows.GROUPS) {
      const file = fileWithSetting(group, `{${JSON.stringify(name)}:{}}`);
      refuses(t, file, `extentd.${group}.${name}: ${words}`, `${group} ${name}`);
    }
  }
});

t.test('a setting that is given twice, and a key that is there twice', async (t) => {
  const twice = fileWith('extentd', '{"slab.slots4k":128,"slab":{"slots4k":64}}');
  refuses(t, twice, 'extentd.slab.slots4k: is given twice', 'dotted and nested');
  accepts(t, fileWith('extentd', '{"slab.slots4k":128}'), 'slabSlots4k', 128, 'dotted alone');
  // As JSON has it in every reader: the last one counts.
  accepts(t, fileWith('rack', '"a","rack":"b"'), 'rack', 'b', 'rack twice');
  refuses(
    t,
    fileWith('port', '"1","port":2'),
    'port: Err:port must string (digits in quotes, like "17310"), not the number 2',
    'port twice',
  );
});

t.test('names of Object’s prototype at the top level are keys like others, and are ignored', async (t) => {
  for (const key of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf', ''])
    for (const json of ['1', 'null', '{"role":"master"}', '[]'])
      t.strictSame(
        configOf(fileWith('rack', `"cfs_rack1",${JSON.stringify(key)}:${json}`)),
        BASE,
        `${key} ${json}`,
      );
  const inherited = fileWith('role', undefined).replace('{', '{"__proto__":{"role":"datanode"},');
  refuses(t, inherited, 'role mismatch: "" (role must be "datanode")', 'nothing is inherited');
  t.equal(({} as Record<string, unknown>)['role'], undefined, 'nor is anything left behind');
});

t.test('ports that clash, in every pair', async (t) => {
  const keys = ['port', 'raftHeartbeat', 'raftReplica', 'prof'];
  for (const [index, later] of keys.entries()) {
    for (const earlier of keys.slice(0, index)) {
      const file = fileWith(later, GOOD[earlier]);
      const port = JSON.parse(GOOD[earlier]!) as string;
      refuses(t, file, `${later}: port ${port} is the port of ${earlier} too`, `${later} as ${earlier}`);
    }
  }
  const defaults = fileWith('raftReplica', '"5901","raftHeartbeat":"0"');
  refuses(t, defaults, 'raftReplica: port 5901 is the port of raftHeartbeat too', 'a default counts');
  for (const key of ['port', 'raftHeartbeat', 'raftReplica']) {
    const port = JSON.parse(GOOD[key]!) as string;
    const file = fileWith('exporterPort', port);
    refuses(t, file, `exporterPort: port ${port} is the port of ${key} too`, `exporterPort as ${key}`);
  }
});

t.test('depth and size: refused or ignored, never a crash', async (t) => {
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  t.strictSame(configOf(fileWith('rack', `"cfs_rack1","other":${deep}`)), BASE, 'where it is ignored');
  refuses(t, fileWith('rack', deep), 'rack: must be a string, not an array', 'where it is not');
  refuses(t, fileWithSetting('slab', deep), 'extentd.slab: must be an object, not an array', 'in a setting');
  const nested = `${'{"slab":'.repeat(10_000)}1${'}'.repeat(10_000)}`;
  const words = 'there is no such setting (see docs/configuration.md)';
  refuses(t, fileWith('extentd', nested), `extentd.slab.slab: ${words}`, 'objects in objects');
});
