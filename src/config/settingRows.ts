/**
 * The settings under the key `extentd`: one table row a setting, from which the config file, `--set`, SIGHUP and `docs/configuration.md` (its test) work.
 *
 * A setting that is not in this table does not exist. What a row's value may be is checked in `settings.ts`.
 */
import type { ExtentdSettings } from './config.js';
import { LIMIT_ROWS } from './diskLimits.js';
import { RAFT_ROWS } from './raftRows.js';
import { REPAIR_ROWS } from './repairRows.js';

const MiB = 1024 * 1024;
const TiB = 1024 ** 4;

interface SettingBase {
  /** Path below `extentd`, as in the file and in `--set extentd.<key>=`. */
  readonly key: string;
  readonly field: keyof ExtentdSettings;
  readonly unit: string;
  /** What it does, one sentence, for the documentation. */
  readonly effect: string;
}

export type Setting =
  | (SettingBase & {
      readonly kind: 'integer';
      readonly min: number;
      readonly max: number;
      readonly powerOfTwo?: true;
    })
  | (SettingBase & { readonly kind: 'boolean' })
  /** `mayBeEmpty`: what the empty text stands for. */
  | (SettingBase & { readonly kind: 'address'; readonly mayBeEmpty?: string })
  | (SettingBase & { readonly kind: 'path' })
  | (SettingBase & { readonly kind: 'cidrs' })
  | (SettingBase & { readonly kind: 'choice'; readonly choices: readonly string[] });

export const SETTINGS: readonly Setting[] = [
  {
    key: 'workersPerDisk',
    field: 'workersPerDisk',
    kind: 'integer',
    min: 1,
    max: 16,
    unit: 'threads',
    effect: 'Worker threads that share the partitions of one disk.',
  },
  {
    key: 'ringSlots',
    field: 'ringSlots',
    kind: 'integer',
    min: 64,
    max: 65_536,
    powerOfTwo: true,
    unit: 'descriptors',
    effect:
      'Requests that may be under way between one network thread and one worker; a full ring pauses the sockets.',
  },
  {
    key: 'slab.slots4k',
    field: 'slabSlots4k',
    kind: 'integer',
    min: 64,
    max: 262_144,
    unit: 'slots of 4 KiB',
    effect: 'Memory of a network thread for bodies up to 4 KiB.',
  },
  {
    key: 'slab.slots32k',
    field: 'slabSlots32k',
    kind: 'integer',
    min: 16,
    max: 65_536,
    unit: 'slots of 32 KiB',
    effect: 'Memory of a network thread for bodies up to 32 KiB.',
  },
  {
    key: 'slab.slots128k',
    field: 'slabSlots128k',
    kind: 'integer',
    min: 16,
    max: 16_384,
    unit: 'slots of 128 KiB',
    effect: 'Memory of a network thread for bodies and read chunks up to 128 KiB.',
  },
  {
    key: 'slab.slots2m',
    field: 'slabSlots2m',
    kind: 'integer',
    min: 2,
    max: 1_024,
    unit: 'slots of 2 MiB',
    effect: 'Memory of a network thread for the largest bodies.',
  },
  {
    key: 'ioThreads',
    field: 'ioThreads',
    kind: 'integer',
    min: 1,
    max: 64,
    unit: 'threads',
    effect: 'Threads a disk for what can block: fsync, open, unlink, cold reads.',
  },
  {
    key: 'maxOpenFiles',
    field: 'maxOpenFiles',
    kind: 'integer',
    min: 256,
    max: 1_000_000,
    unit: 'files',
    effect:
      'Extent and checksum files that the whole node keeps open; lowered at start when the system allows less.',
  },
  {
    key: 'strictAppend',
    field: 'strictAppend',
    kind: 'boolean',
    unit: '-',
    effect: 'Refuse an append that would leave a gap, which would read as zeros for ever.',
  },
  {
    key: 'durability',
    field: 'durability',
    kind: 'choice',
    choices: ['asked', 'always'],
    unit: '-',
    effect:
      'When a write or create is acknowledged: as its opcode asks, or always after it is on disk, in groups.',
  },
  {
    key: 'directReadBytes',
    field: 'directReadBytes',
    kind: 'integer',
    min: 0,
    max: 128 * 1024,
    unit: 'bytes',
    effect:
      'Reads up to this size that are not in the page cache go past it (O_DIRECT) and push nothing out of it; 0: none.',
  },
  {
    key: 'allowLostPartitions',
    field: 'allowLostPartitions',
    kind: 'boolean',
    unit: '-',
    effect:
      'Start although partitions that the master lists for this node are not on its disks; the reference refuses.',
  },
  {
    key: 'listenAddress',
    field: 'listenAddress',
    kind: 'address',
    unit: '-',
    effect: 'Address on which the data port listens.',
  },
  {
    key: 'spin.workerUs',
    field: 'spinWorkerUs',
    kind: 'integer',
    min: 0,
    max: 1_000,
    unit: 'µs',
    effect: 'How long an idle worker spins before it sleeps, at most; 0 never spins.',
  },
  {
    key: 'spin.mainUs',
    field: 'spinMainUs',
    kind: 'integer',
    min: 0,
    max: 1_000,
    unit: 'µs',
    effect: 'How long a network thread with requests under way spins for replies, at most; 0 never spins.',
  },
  {
    key: 'inlineWrites',
    field: 'inlineWrites',
    kind: 'choice',
    choices: ['auto', 'always', 'never'],
    unit: '-',
    effect: 'Whether buffered appends run on the worker itself; `auto` decides by their measured latency.',
  },
  {
    key: 'inFlightBytesPerConnection',
    field: 'inFlightBytesPerConnection',
    kind: 'integer',
    min: 2 * MiB,
    max: 1_024 * MiB,
    unit: 'bytes',
    effect:
      'Request bytes of one connection received and not yet answered; at the limit its socket is not read.',
  },
  {
    key: 'inFlightBytesPerDisk',
    field: 'inFlightBytesPerDisk',
    kind: 'integer',
    min: 4 * MiB,
    max: 16_384 * MiB,
    unit: 'bytes',
    effect:
      'Request bytes for one disk received and not yet answered, so that a hung disk cannot pin the slabs.',
  },
  {
    key: 'stallMs',
    field: 'stallMs',
    kind: 'integer',
    min: 100,
    max: 60_000,
    unit: 'ms',
    effect: 'A disk that has work and completes nothing for this long answers errors at once.',
  },
  {
    key: 'loadTimeoutMs',
    field: 'loadTimeoutMs',
    kind: 'integer',
    min: 1_000,
    max: 3_600_000,
    unit: 'ms',
    effect: 'A disk on which no partition comes up for this long while it is loaded is out of service.',
  },
  {
    key: 'probe.intervalMs',
    field: 'probeIntervalMs',
    kind: 'integer',
    min: 1_000,
    max: 3_600_000,
    unit: 'ms',
    effect: 'How often a small file on each disk is written, synced and read back.',
  },
  {
    key: 'probe.timeoutMs',
    field: 'probeTimeoutMs',
    kind: 'integer',
    min: 1_000,
    max: 600_000,
    unit: 'ms',
    effect: 'A disk whose probe takes longer is reported as unavailable until it ends.',
  },
  {
    key: 'checksums.bytesPerSecond',
    field: 'checksumBytesPerSecond',
    kind: 'integer',
    min: 0,
    max: 16_384 * MiB,
    unit: 'bytes/s',
    effect:
      'What a disk is read with to compute checksums of extents that were left alone; 0: none are computed.',
  },
  {
    key: 'scrub.bytesPerSecond',
    field: 'scrubBytesPerSecond',
    kind: 'integer',
    min: 0,
    max: 16_384 * MiB,
    unit: 'bytes/s',
    effect: 'What a disk is read with to compare blocks with their checksums; 0: no scrub.',
  },
  {
    key: 'scrub.intervalHours',
    field: 'scrubIntervalHours',
    kind: 'integer',
    min: 0,
    max: 100_000,
    unit: 'hours',
    effect: 'A scrub begins this long after the last one began; 0: only when it is asked for.',
  },
  ...REPAIR_ROWS,
  ...RAFT_ROWS,
  {
    key: 'httpAddress',
    field: 'httpAddress',
    kind: 'address',
    unit: '-',
    effect: 'Address on which the HTTP port (`prof`) listens. The debug API has no authentication.',
  },
  {
    key: 'exporterAddress',
    field: 'exporterAddress',
    kind: 'address',
    mayBeEmpty: '`httpAddress`',
    unit: '-',
    effect: 'Address on which `exporterPort` listens.',
  },
  {
    key: 'httpServer',
    field: 'httpServer',
    kind: 'choice',
    choices: ['auto', 'uws', 'node'],
    unit: '-',
    effect:
      'What serves both HTTP ports: uWebSockets.js, `node:http`, or the first where it loads and the second elsewhere.',
  },
  {
    key: 'tls.certFile',
    field: 'tlsCertFile',
    kind: 'path',
    unit: '-',
    effect:
      'PEM file with the certificate of both HTTP ports, which then speak TLS only. Needs `tls.keyFile`.',
  },
  {
    key: 'tls.keyFile',
    field: 'tlsKeyFile',
    kind: 'path',
    unit: '-',
    effect: 'PEM file with the key of that certificate.',
  },
  {
    key: 'access.clients',
    field: 'accessClients',
    kind: 'cidrs',
    unit: '-',
    effect: 'Who may send what clients send: reads, writes, deletes. An empty list: everybody.',
  },
  {
    key: 'access.peers',
    field: 'accessPeers',
    kind: 'cidrs',
    unit: '-',
    effect:
      'Who may send what other data nodes send: replicated writes, repair, raft. An empty list: everybody.',
  },
  {
    key: 'access.masters',
    field: 'accessMasters',
    kind: 'cidrs',
    unit: '-',
    effect:
      'Who may send admin tasks: create, delete, load, heartbeat, membership. An empty list: everybody.',
  },
  {
    key: 'access.admin',
    field: 'accessAdmin',
    kind: 'cidrs',
    unit: '-',
    effect: 'Who may use the HTTP ports. An empty list: everybody who reaches them.',
  },
  {
    key: 'log.format',
    field: 'logFormat',
    kind: 'choice',
    choices: ['json', 'text'],
    unit: '-',
    effect: 'Lines of the log files: JSON objects with fields, or text in the manner of the reference.',
  },
  {
    key: 'log.fileBytesMax',
    field: 'logFileBytesMax',
    kind: 'integer',
    min: 1 * MiB,
    max: 1 * TiB,
    unit: 'bytes',
    effect:
      'A log file that would grow beyond is renamed to `FILE.<time>.old`, as it is at the change of the day.',
  },
  {
    key: 'log.oldBytesMax',
    field: 'logOldBytesMax',
    kind: 'integer',
    min: 0,
    max: 64 * TiB,
    unit: 'bytes',
    effect: 'Renamed log files that are kept, the oldest go first; 0: as many as `log.headRoomBytes` leaves.',
  },
  {
    key: 'log.headRoomBytes',
    field: 'logHeadRoomBytes',
    kind: 'integer',
    min: 0,
    max: 64 * TiB,
    unit: 'bytes',
    effect:
      'With less free space than this the oldest renamed log files go; 0: 50 GiB or a fifth of the file system, whichever is less.',
  },
  {
    key: 'ump.entriesPerSecond',
    field: 'umpEntriesPerSecond',
    kind: 'integer',
    min: 0,
    max: 100_000,
    unit: 'entries/s',
    effect:
      'Entries of the UMP time file, for each operation, at most; failures count as an operation of their own.',
  },
  {
    key: 'faultInjection',
    field: 'faultInjection',
    kind: 'boolean',
    unit: '-',
    effect: 'For tests: an HTTP endpoint that makes a disk slow, hung or failing.',
  },
  ...LIMIT_ROWS.map(
    ({ name, field, max, unit, effect }): Setting => ({
      key: `limits.${name}`,
      field,
      kind: 'integer',
      min: 0,
      max,
      unit,
      effect,
    }),
  ),
];
