/**
 * The second table of `matrix.test.ts`: the top-level keys of the config file, one by one.
 */
import { type Named, NO_STRINGS, ODD_TEXTS } from './matrixRows.js';

/** One key: JSON text → value of its field in the configuration, and JSON text → the whole message. */
export interface TopRow {
  readonly key: string;
  readonly field: string;
  /** `undefined`: the key is missing. */
  readonly accepted: readonly (readonly [json: string | undefined, value: unknown])[];
  readonly refused: readonly (readonly [json: string | undefined, message: string])[];
}

const quoted = (text: string): string => JSON.stringify(text);
const MISSING = [undefined, 'null'] as const;
const ABSENT = [undefined, 'null', '""'] as const;

function refusals(values: readonly Named[], message: (words: string) => string): [string, string][] {
  return values.map(([json, words]) => [json, message(words)]);
}

/** A key that takes any text but one with NUL; absent it is `standard`. */
function textRow(key: string, standard: string): TopRow {
  return {
    key,
    field: key,
    accepted: [
      ...ABSENT.map((json) => [json, standard] as const),
      ...ODD_TEXTS.map((text) => [quoted(text), text] as const),
      ['"rack-01"', 'rack-01'],
    ],
    refused: [
      ...refusals(NO_STRINGS, (words) => `${key}: must be a string, not ${words}`),
      ['"a\\u0000b"', `${key}: must not hold a NUL character`],
    ],
  };
}

const ROLE = (got: string): string => `role mismatch: ${got} (role must be "datanode")`;
const PORT = (words: string): string =>
  `port: Err:port must string (digits in quotes, like "17310"), not ${words}`;
const PORT_RANGE = (key: string, least: number, words: string): string =>
  `${key}: must be a port number from ${least} to 65535 in digits, not the string ${words}`;
const MASTER = (index: number, words: string): string =>
  `masterAddr[${index}]: must be a string "host:port", not ${words}`;
const DISKS = 'Invalid disk configuration. Example: PATH:RESERVE_SIZE';
const RAFT = (key: string, name: string, words: string): string =>
  `${key}: Raft ${name} port configuration error: must be a port number as a string, like "17330", not ${words}`;

function raftRow(key: string, field: string, name: string, fallback: number): TopRow {
  return {
    key,
    field,
    accepted: [
      ['"17399"', 17_399],
      ['"65535"', 65_535],
      ['"+17399"', 17_399],
      ['"0000017399"', 17_399],
      ['"0"', fallback],
      ['"-0"', fallback],
      ['"-7"', fallback],
      ['"-9999999999"', fallback],
    ],
    refused: [
      [undefined, RAFT(key, name, 'nothing')],
      ['null', RAFT(key, name, 'null')],
      ...refusals(NO_STRINGS, (words) => RAFT(key, name, words)),
      ...[
        '',
        ' ',
        '65536',
        '9999999999',
        '12345678901',
        '1e3',
        '0x10',
        '17.5',
        ' 17399',
        '17399 ',
        '1\n7',
        'NaN',
        '\0',
        '++1',
      ].map((text) => [quoted(text), RAFT(key, name, `the string ${quoted(text)}`)] as const),
    ],
  };
}

/** Every top-level key but `extentd`. */
export const TOP_ROWS: readonly TopRow[] = [
  {
    key: 'role',
    field: 'role',
    accepted: [['"datanode"', 'datanode']],
    refused: [
      [undefined, ROLE('""')],
      ['null', ROLE('""')],
      ['""', ROLE('""')],
      ...refusals(NO_STRINGS, (words) => `role: must be a string, not ${words}`),
      ...['master', 'metanode', 'DataNode', 'datanode ', '__proto__', 'constructor'].map(
        (text) => [quoted(text), ROLE(text)] as const,
      ),
      ['"data\\nnode"', ROLE('data node')],
      ['"datanode\\u0000"', 'role: must not hold a NUL character'],
    ],
  },
  {
    key: 'port',
    field: 'port',
    accepted: [
      ['"1"', 1],
      ['"17310"', 17_310],
      ['"65535"', 65_535],
      ['"0000017310"', 17_310],
    ],
    refused: [
      [undefined, PORT('nothing')],
      ['null', PORT('null')],
      ...refusals(NO_STRINGS, PORT),
      ...[
        '',
        ' ',
        '-1',
        '+17310',
        '17310 ',
        '17.5',
        '1e3',
        '0x10',
        'NaN',
        'http',
        '１７',
        '17\n310',
        '\0',
      ].map((text) => [quoted(text), PORT(`the string ${quoted(text)}`)] as const),
      ...['0', '65536', '12345678901'].map(
        (text) => [quoted(text), PORT_RANGE('port', 1, quoted(text))] as const,
      ),
    ],
  },
  {
    key: 'localIP',
    field: 'localIP',
    accepted: [
      ...ABSENT.map((json) => [json, ''] as const),
      ['"10.1.2.3"', '10.1.2.3'],
      ['"0.0.0.0"', '0.0.0.0'],
      ['"255.255.255.255"', '255.255.255.255'],
    ],
    refused: [
      ...refusals(NO_STRINGS, (words) => `localIP: must be a string, not ${words}`),
      ...[
        'node-1',
        '10.1.2',
        '10.1.2.256',
        '010.1.2.3',
        '::1',
        '::ffff:10.1.2.3',
        '10.1.2.3:80',
        ' 10.1.2.3',
        '10.1.2.3\n',
      ].map(
        (text) =>
          [quoted(text), `localIP: must be a dotted IPv4 address, not the string ${quoted(text)}`] as const,
      ),
      ['"10.1.2.3\\u0000"', 'localIP: must not hold a NUL character'],
    ],
  },
  {
    key: 'masterAddr',
    field: 'masterAddrs',
    accepted: [
      ['["m:17010"]', ['m:17010']],
      [
        '["10.0.0.1:17010","10.0.0.2:17010","10.0.0.1:17010"]',
        ['10.0.0.1:17010', '10.0.0.2:17010', '10.0.0.1:17010'],
      ],
      ['["[::1]:17010","[fd00::1]"]', ['[::1]:17010', '[fd00::1]']],
      ['["master.example"]', ['master.example']],
    ],
    refused: [
      ...MISSING.map(
        (json) => [json, 'masterAddr: Err:masterAddr unavalid (missing: an array of "host:port")'] as const,
      ),
      ['[]', 'masterAddr: Err:masterAddr unavalid (empty: at least one "host:port")'],
      ...refusals(
        [
          ['true', 'the boolean true'],
          ['17', 'the number 17'],
          ['""', 'the string ""'],
          ['"m:17010"', 'the string "m:17010"'],
          ['{}', 'an object'],
          ['{"0":"m:17010","length":1}', 'an object'],
        ],
        (words) => `masterAddr: Err:masterAddr unavalid (must be an array of "host:port", not ${words})`,
      ),
      ...refusals(NO_STRINGS, (words) => MASTER(1, words)).map(
        ([json, message]) => [`["m:1",${json}]`, message] as const,
      ),
      ['["m:1",null]', MASTER(1, 'null')],
      ...[
        '',
        ' ',
        'm:17010 ',
        'm:65536',
        'm:x',
        'http://m:17010',
        'm:17010/',
        'u@m:17010',
        '::1:17010',
        '[::1',
        'm\n:1',
        'm\0:1',
        'm?x',
        'm#x',
        'm\\x',
      ].map((text) => [`[${quoted(text)}]`, MASTER(0, `the string ${quoted(text)}`)] as const),
    ],
  },
  textRow('rack', 'cfs_rack1'),
  textRow('cell', ''),
  textRow('zoneName', ''),
  {
    key: 'disks',
    field: 'disks',
    accepted: [
      ['["/a:1"]', [{ path: '/a', reserve: '1' }]],
      [
        '["/a:","/b:x"]',
        [
          { path: '/a', reserve: '' },
          { path: '/b', reserve: 'x' },
        ],
      ],
      ['["/a:1","/a:2"]', [{ path: '/a', reserve: '1' }]],
      ['["/a b\\n:1"]', [{ path: '/a b\n', reserve: '1' }]],
      [
        JSON.stringify(Array.from({ length: 255 }, (_, index) => `/d${index}:0`)),
        Array.from({ length: 255 }, (_, index) => ({ path: `/d${index}`, reserve: '0' })),
      ],
    ],
    refused: [
      [undefined, `disks: ${DISKS} (must be an array of strings, not nothing)`],
      ['null', `disks: ${DISKS} (must be an array of strings, not null)`],
      ['[]', `disks: ${DISKS} (empty: at least one)`],
      ['"/a:1"', `disks: ${DISKS} (must be an array of strings, not the string "/a:1")`],
      ['17', `disks: ${DISKS} (must be an array of strings, not the number 17)`],
      ['true', `disks: ${DISKS} (must be an array of strings, not the boolean true)`],
      ['{"0":"/a:1","length":1}', `disks: ${DISKS} (must be an array of strings, not an object)`],
      [
        JSON.stringify(Array.from({ length: 256 }, (_, index) => `/d${index}:0`)),
        'disks: more than 255 entries',
      ],
      ...refusals(NO_STRINGS, (words) => `disks[1]: ${DISKS} (not ${words})`).map(
        ([json, message]) => [`["/a:1",${json}]`, message] as const,
      ),
      ['["/a:1",null]', `disks[1]: ${DISKS} (not null)`],
      ...['', '/a', ':5', '/a:1:2', '::', '/a\0:1'].map(
        (text) => [`[${quoted(text)}]`, `disks[0]: ${DISKS} (not the string ${quoted(text)})`] as const,
      ),
    ],
  },
  {
    ...textRow('raftDir', ''),
    accepted: ODD_TEXTS.map((text) => [quoted(text), text] as const),
    refused: [
      ...ABSENT.map(
        (json) => [json, 'raftDir: missing: the folder for the logs of the raft server'] as const,
      ),
      ...textRow('raftDir', '').refused,
    ],
  },
  raftRow('raftHeartbeat', 'raftHeartbeatPort', 'heartbeat', 5901),
  raftRow('raftReplica', 'raftReplicaPort', 'replica', 5902),
  textRow('logDir', ''),
  {
    ...textRow('logLevel', 'error'),
    accepted: [
      ...ABSENT.map((json) => [json, 'error'] as const),
      ['"debug"', 'debug'],
      ['"INFO"', 'info'],
      ['"Warn"', 'warn'],
      ['"error"', 'error'],
      ...['warn ', 'warning', 'fatal', 'read', '0', 'debug\n', '__proto__'].map(
        (text) => [quoted(text), 'error'] as const,
      ),
    ],
  },
  textRow('warnLogDir', ''),
  {
    key: 'prof',
    field: 'profPort',
    accepted: [
      ...ABSENT.map((json) => [json, null] as const),
      ['"1"', 1],
      ['"65535"', 65_535],
      ['"0000017320"', 17_320],
    ],
    refused: [
      ...refusals(NO_STRINGS, (words) => `prof: must be a string, not ${words}`),
      ...['0', '-1', '65536', ' ', 'http', '1e3', '17320 ', '17.5', '12345678901'].map(
        (text) => [quoted(text), PORT_RANGE('prof', 1, quoted(text))] as const,
      ),
      ['"1\\u0000"', 'prof: must not hold a NUL character'],
    ],
  },
  {
    key: 'exporterPort',
    field: 'exporterPort',
    accepted: [
      ...ABSENT.map((json) => [json, 0] as const),
      ['0', 0],
      ['-0', 0],
      ['"0"', 0],
      ['9500', 9500],
      ['9.5e3', 9500],
      ['"9500"', 9500],
      ['65535', 65_535],
      // The exporter may share the port of the debug API.
      ['17320', 17_320],
    ],
    refused: [
      ...refusals(
        [
          ['true', 'the boolean true'],
          ['[]', 'an array'],
          ['[9500]', 'an array'],
          ['{}', 'an object'],
        ],
        (words) => `exporterPort: must be a port number, not ${words}`,
      ),
      ...['-1', '65536', '9500.5', '1e3', ' ', 'x', 'NaN', '9500 ', '\0'].map(
        (text) => [quoted(text), PORT_RANGE('exporterPort', 0, quoted(text))] as const,
      ),
      ['-1', PORT_RANGE('exporterPort', 0, '"-1"')],
      ['65536', PORT_RANGE('exporterPort', 0, '"65536"')],
      ['9500.5', PORT_RANGE('exporterPort', 0, '"9500.5"')],
      ['1e400', PORT_RANGE('exporterPort', 0, '"Infinity"')],
      ['1e21', PORT_RANGE('exporterPort', 0, '"1e+21"')],
    ],
  },
  {
    key: 'consulAddr',
    field: 'consulAddr',
    accepted: [
      ...ABSENT.map((json) => [json, ''] as const),
      ...[
        'http://192.168.0.100:8500',
        'https://consul/path/',
        'http://[::1]:8500',
        '192.168.0.100:8500',
        'consul',
      ].map((text) => [quoted(text), text] as const),
    ],
    refused: [
      ...refusals(NO_STRINGS, (words) => `consulAddr: must be a string, not ${words}`),
      ...[
        ' ',
        'ftp://consul',
        'http://',
        'http://consul:65536',
        'http://consul?dc=1',
        'http://con\nsul',
        'fd00::1:8500',
      ].map(
        (text) =>
          [
            quoted(text),
            `consulAddr: must be the base URL of an agent, like "http://127.0.0.1:8500", not the string ${quoted(text)}`,
          ] as const,
      ),
      ['"http://consul\\u0000"', 'consulAddr: must not hold a NUL character'],
    ],
  },
];
