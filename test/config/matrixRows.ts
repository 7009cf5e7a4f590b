/**
 * The tables of `matrix.test.ts`: for every key of the config file what is accepted as what, and what is refused with which words. Written down here, not computed from the code.
 *
 * Values are JSON text, so that what JSON.stringify never writes can stand here too.
 */

/** JSON text → how a message names the value. */
export type Named = readonly [json: string, words: string];

const LONG = 'x'.repeat(5_000);

/** Values that are no number, however much some look like one. */
export const NO_NUMBERS: readonly Named[] = [
  ['null', 'null'],
  ['true', 'the boolean true'],
  ['false', 'the boolean false'],
  ['""', 'the string ""'],
  ['"17"', 'the string "17"'],
  ['" 17"', 'the string " 17"'],
  ['"NaN"', 'the string "NaN"'],
  ['"Infinity"', 'the string "Infinity"'],
  ['"1e3"', 'the string "1e3"'],
  ['"0x10"', 'the string "0x10"'],
  ['"\\u0000"', 'the string "\\u0000"'],
  ['"1\\n7"', 'the string "1\\n7"'],
  [`"${LONG}"`, `the string "${LONG.slice(0, 57)}..."`],
  ['[]', 'an array'],
  ['[17]', 'an array'],
  ['{}', 'an object'],
  ['{"__proto__":17}', 'an object'],
  ['{"valueOf":17}', 'an object'],
];

/** Numbers that are no count of anything. */
export const NO_COUNTS: readonly Named[] = [
  ['-1', 'the number -1'],
  ['1.5', 'the number 1.5'],
  ['1e400', 'the number Infinity'],
  ['-1e400', 'the number -Infinity'],
  ['9007199254740993', 'the number 9007199254740992'],
  ['1e-400', 'the number 0'],
];

/** Values that are no string. */
export const NO_STRINGS: readonly Named[] = [
  ['true', 'the boolean true'],
  ['false', 'the boolean false'],
  ['0', 'the number 0'],
  ['17', 'the number 17'],
  ['-1.5', 'the number -1.5'],
  ['1e400', 'the number Infinity'],
  ['[]', 'an array'],
  ['["x"]', 'an array'],
  ['{}', 'an object'],
  ['{"__proto__":"x"}', 'an object'],
  ['{"toString":"x"}', 'an object'],
];

/** Texts with something odd in them that are texts all the same. */
export const ODD_TEXTS: readonly string[] = [
  ' ',
  'a b',
  'ä€😀',
  'a\nb\tc\u007f\u0001',
  '\ud800',
  '__proto__',
  'null',
  '0',
  LONG,
];

/** Settings that are whole numbers: key, field, least, most, default. */
export const INTEGERS: readonly (readonly [
  key: string,
  field: string,
  min: number,
  max: number,
  standard: number,
])[] = [
  ['workersPerDisk', 'workersPerDisk', 1, 16, 1],
  ['slab.slots4k', 'slabSlots4k', 64, 262_144, 4096],
  ['slab.slots32k', 'slabSlots32k', 16, 65_536, 512],
  ['slab.slots128k', 'slabSlots128k', 16, 16_384, 256],
  ['slab.slots2m', 'slabSlots2m', 2, 1_024, 8],
  ['ioThreads', 'ioThreads', 1, 64, 4],
  ['maxOpenFiles', 'maxOpenFiles', 256, 1_000_000, 20_000],
  ['directReadBytes', 'directReadBytes', 0, 131_072, 0],
  ['spin.workerUs', 'spinWorkerUs', 0, 1_000, 100],
  ['spin.mainUs', 'spinMainUs', 0, 1_000, 50],
  ['inFlightBytesPerConnection', 'inFlightBytesPerConnection', 2_097_152, 1_073_741_824, 8_388_608],
  ['inFlightBytesPerDisk', 'inFlightBytesPerDisk', 4_194_304, 17_179_869_184, 33_554_432],
  ['stallMs', 'stallMs', 100, 60_000, 2_000],
  ['loadTimeoutMs', 'loadTimeoutMs', 1_000, 3_600_000, 60_000],
  ['probe.intervalMs', 'probeIntervalMs', 1_000, 3_600_000, 120_000],
  ['probe.timeoutMs', 'probeTimeoutMs', 1_000, 600_000, 30_000],
  ['checksums.bytesPerSecond', 'checksumBytesPerSecond', 0, 17_179_869_184, 33_554_432],
  ['scrub.bytesPerSecond', 'scrubBytesPerSecond', 0, 17_179_869_184, 8_388_608],
  ['scrub.intervalHours', 'scrubIntervalHours', 0, 100_000, 720],
  ['repair.roundsPerDisk', 'repairRoundsPerDisk', 1, 64, 2],
  ['repair.rounds', 'repairRounds', 1, 1_024, 32],
  ['repair.fetchesPerRound', 'repairFetchesPerRound', 1, 64, 17],
  ['repair.bytesPerSecond', 'repairBytesPerSecond', 0, 1_099_511_627_776, 0],
  ['raft.journalSegmentBytes', 'raftJournalSegmentBytes', 1_048_576, 268_435_456, 33_554_432],
  ['log.fileBytesMax', 'logFileBytesMax', 1_048_576, 1_099_511_627_776, 21_474_836_480],
  ['log.oldBytesMax', 'logOldBytesMax', 0, 70_368_744_177_664, 0],
  ['log.headRoomBytes', 'logHeadRoomBytes', 0, 70_368_744_177_664, 0],
  ['ump.entriesPerSecond', 'umpEntriesPerSecond', 0, 100_000, 100],
  ['limits.clients.readBytesPerSecond', 'clientsReadBytesPerSecond', 0, 1_099_511_627_776, 0],
  ['limits.clients.writeBytesPerSecond', 'clientsWriteBytesPerSecond', 0, 1_099_511_627_776, 0],
  ['limits.clients.readOpsPerSecond', 'clientsReadOpsPerSecond', 0, 100_000_000, 0],
  ['limits.clients.writeOpsPerSecond', 'clientsWriteOpsPerSecond', 0, 100_000_000, 0],
  ['limits.clients.readsAtOnce', 'clientsReadsAtOnce', 0, 65_536, 0],
  ['limits.clients.writesAtOnce', 'clientsWritesAtOnce', 0, 65_536, 0],
  ['limits.background.readBytesPerSecond', 'backgroundReadBytesPerSecond', 0, 1_099_511_627_776, 67_108_864],
  [
    'limits.background.writeBytesPerSecond',
    'backgroundWriteBytesPerSecond',
    0,
    1_099_511_627_776,
    67_108_864,
  ],
  ['limits.background.readOpsPerSecond', 'backgroundReadOpsPerSecond', 0, 100_000_000, 0],
  ['limits.background.writeOpsPerSecond', 'backgroundWriteOpsPerSecond', 0, 100_000_000, 0],
  ['limits.background.readsAtOnce', 'backgroundReadsAtOnce', 0, 65_536, 3],
  ['limits.background.writesAtOnce', 'backgroundWritesAtOnce', 0, 65_536, 3],
];

/** Key, field, default. */
export const BOOLEANS: readonly (readonly [key: string, field: string, standard: boolean])[] = [
  ['strictAppend', 'strictAppend', true],
  ['allowLostPartitions', 'allowLostPartitions', false],
  ['faultInjection', 'faultInjection', false],
  ['repair.enabled', 'repairEnabled', true],
];

/** Key, field, words that are accepted, the default first. */
export const CHOICES: readonly (readonly [key: string, field: string, ...words: string[]])[] = [
  ['durability', 'durability', 'asked', 'always'],
  ['inlineWrites', 'inlineWrites', 'auto', 'always', 'never'],
  ['httpServer', 'httpServer', 'auto', 'uws', 'node'],
  ['log.format', 'logFormat', 'json', 'text'],
];

/** Key, field, default. */
export const ADDRESSES: readonly (readonly [key: string, field: string, standard: string])[] = [
  ['listenAddress', 'listenAddress', '0.0.0.0'],
  ['httpAddress', 'httpAddress', '127.0.0.1'],
  ['exporterAddress', 'exporterAddress', ''],
];

/** IP addresses in every form that one may have, and what is none. */
export const GOOD_ADDRESSES = [
  '0.0.0.0',
  '10.1.2.3',
  '255.255.255.255',
  '::',
  '::1',
  'fd00::7',
  '::ffff:10.0.0.1',
  'fe80::1%eth0',
];
export const BAD_ADDRESSES = [
  'localhost',
  '10.0.0',
  '10.0.0.256',
  '010.0.0.1',
  '10.0.0.1 ',
  '10.0.0.1:80',
  '10.0.0.0/8',
  '[::1]',
  ':::',
  '*',
  '0x7f000001',
  '2130706433',
];

/** Key, field. */
export const RANGES: readonly (readonly [key: string, field: string])[] = [
  ['access.clients', 'accessClients'],
  ['access.peers', 'accessPeers'],
  ['access.masters', 'accessMasters'],
  ['access.admin', 'accessAdmin'],
];

export const GOOD_RANGES = [
  '10.0.0.0/8',
  '0.0.0.0/0',
  '10.0.0.1',
  '10.0.0.1/32',
  '::/0',
  'fd00::/8',
  '::1/128',
];
export const BAD_RANGES = [
  '',
  ' ',
  '10.0.0.0/33',
  '10.0.0.0/-1',
  '10.0.0.0/',
  '10.0.0.0/8/8',
  '10.0.0.0/1e1',
  '10.0.0',
  'host',
  '::/129',
  'fe80::1%eth0',
  '*',
];

/** Objects under `extentd` that hold settings. */
export const GROUPS = [
  'slab',
  'spin',
  'probe',
  'checksums',
  'scrub',
  'repair',
  'tls',
  'access',
  'log',
  'ump',
  'limits',
  'limits.clients',
  'limits.background',
];

/** Names that no setting has. */
export const NO_SETTINGS = [
  '',
  ' ',
  'stalMs',
  'StallMs',
  'stallMs ',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'slab.',
  '.stallMs',
  'slab.slots4k.x',
  'clientsReadsAtOnce',
  'extentd',
];
