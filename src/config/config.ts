/**
 * The node's configuration as the rest of the program sees it: one plain, flat, complete, read-only value.
 *
 * Made by `schema.ts` from a Go-style JSON file (`admin.md` 2) or by `standaloneFlags.ts` from command-line flags; nobody else parses or
 * defaults anything. Every field is documented for operators in `docs/configuration.md`, from the tables in `schema.ts` and `settingRows.ts`.
 */
import type { LimitField } from './diskLimits.js';
import { CONNECTION_LIMITS } from './limits.js';

/** The levels of `logLevel`, in order of severity. A level shows itself and everything more severe. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Where buffered appends run: chosen by measured latency, always on the worker, or never on the worker (always on the I/O threads). */
export type InlineWrites = 'auto' | 'always' | 'never';

/** When writes and creates are acknowledged: as the client's opcode asks, or always after they are on disk (`docs/durability.md`). */
export type Durability = 'asked' | 'always';

/** `auto`: uWebSockets.js where it loads, else node:http. */
export type HttpServerChoice = 'auto' | 'uws' | 'node';

/** How a line of a log file is written. */
export type LogFormat = 'json' | 'text';

/** One entry `PATH:RESERVE` of `disks`. */
export interface DiskConfig {
  /** As configured: this text is the disk's name in logs, heartbeats and the debug API. */
  readonly path: string;
  /** The text after the colon. v1.4.0 does not use it (the reserve is computed, `admin.md` 8). */
  readonly reserve: string;
}

/** The settings under the key `extentd`, flattened. Numbers are whole; ranges are in `settingRows.ts`. Limits per disk: `limitsOf` gives them their shape. */
export interface ExtentdSettings extends Readonly<Record<LimitField, number>> {
  /** Worker threads a disk. */
  readonly workersPerDisk: number;
  /** Descriptors in each ring between a network thread and a worker; a power of two. */
  readonly ringSlots: number;
  /** `slab.slots4k`: slots a network thread for bodies up to 4 KiB. */
  readonly slabSlots4k: number;
  /** `slab.slots32k`: slots a network thread for bodies up to 32 KiB. */
  readonly slabSlots32k: number;
  /** `slab.slots128k`: slots a network thread for bodies up to 128 KiB. */
  readonly slabSlots128k: number;
  /** `slab.slots2m`: slots a network thread for bodies up to 2 MiB. */
  readonly slabSlots2m: number;
  /** I/O threads a disk. */
  readonly ioThreads: number;
  /** Extent and checksum files that the whole node keeps open. */
  readonly maxOpenFiles: number;
  /** Refuse appends that would leave a gap. */
  readonly strictAppend: boolean;
  readonly durability: Durability;
  /** Reads of up to so many bytes that are not in the page cache go past it (O_DIRECT); 0: none. */
  readonly directReadBytes: number;
  /** Start although partitions that the master expects are missing. */
  readonly allowLostPartitions: boolean;
  /** Address on which the data port listens. */
  readonly listenAddress: string;
  /** `spin.workerUs`: how long an idle worker spins before it sleeps, at most, µs. */
  readonly spinWorkerUs: number;
  /** `spin.mainUs`: how long a network thread with work in flight spins before it returns to its event loop, at most, µs. */
  readonly spinMainUs: number;
  readonly inlineWrites: InlineWrites;
  /** Bytes received and not yet answered, a connection. */
  readonly inFlightBytesPerConnection: number;
  /** Bytes received and not yet answered, a disk. */
  readonly inFlightBytesPerDisk: number;
  /** A disk that has work and completes nothing for this long answers errors at once, ms. */
  readonly stallMs: number;
  /** A disk whose loading makes no progress for this long is left out, and the others serve, ms. */
  readonly loadTimeoutMs: number;
  /** `probe.intervalMs`: time between two probes of a disk, ms. */
  readonly probeIntervalMs: number;
  /** `probe.timeoutMs`: a disk whose probe, or whose worker, has been silent for this long hangs, ms. */
  readonly probeTimeoutMs: number;
  /** `checksums.bytesPerSecond`: what a disk is read with to compute checksums of quiet extents; 0: none are. */
  readonly checksumBytesPerSecond: number;
  /** `scrub.bytesPerSecond`: what a disk is scrubbed with; 0: it is not. */
  readonly scrubBytesPerSecond: number;
  /** `scrub.intervalHours`: a scrub begins this long after the last one began; 0: none does by itself. */
  readonly scrubIntervalHours: number;
  /** `repair.enabled`: runs rounds of the partitions of which this node is the first host. */
  readonly repairEnabled: boolean;
  /** `repair.roundsPerDisk`, `repair.rounds`: rounds at one time, on one disk and in all. */
  readonly repairRoundsPerDisk: number;
  readonly repairRounds: number;
  /** `repair.fetchesPerRound`: extents that a round or task fetches at one time. */
  readonly repairFetchesPerRound: number;
  /** `repair.bytesPerSecond`: what the node fetches from other replicas; 0: no limit. */
  readonly repairBytesPerSecond: number;
  /** `raft.journalSegmentBytes`: length of the files of a worker's raft journal. */
  readonly raftJournalSegmentBytes: number;
  /** Address on which the HTTP port (`prof`) listens. */
  readonly httpAddress: string;
  /** Address on which `exporterPort` listens; empty: `httpAddress`. */
  readonly exporterAddress: string;
  /** `httpServer`: which HTTP server serves both ports. */
  readonly httpServer: HttpServerChoice;
  /** `tls.certFile`, `tls.keyFile`: PEM files with which both HTTP ports speak TLS; both empty: plain HTTP. */
  readonly tlsCertFile: string;
  readonly tlsKeyFile: string;
  /** `access.*`: who may connect as what, addresses or CIDR ranges; an empty list: everybody. */
  readonly accessClients: readonly string[];
  readonly accessPeers: readonly string[];
  readonly accessMasters: readonly string[];
  readonly accessAdmin: readonly string[];
  /** `log.format`: JSON objects, or the reference's lines. */
  readonly logFormat: LogFormat;
  /** `log.fileBytesMax`: a log file that would grow beyond is renamed to `.old`. */
  readonly logFileBytesMax: number;
  /** `log.oldBytesMax`: bytes of `.old` files that are kept; 0: as many as the head room leaves. */
  readonly logOldBytesMax: number;
  /** `log.headRoomBytes`: free space below which the oldest `.old` files go; 0: the smaller of 50 GiB and a fifth of the file system. */
  readonly logHeadRoomBytes: number;
  /** `ump.entriesPerSecond`: entries in the UMP time file, an operation; 0: none. */
  readonly umpEntriesPerSecond: number;
  /** Enables the debug endpoint through which tests make disks slow, hung or failing. */
  readonly faultInjection: boolean;
}

/** Everything one data node is started with. */
export interface NodeConfig extends ExtentdSettings {
  readonly role: 'datanode';
  /** Data port, 1..65535; 0 (standalone only): any free one. */
  readonly port: number;
  /** Dotted IPv4 of this node; empty: the address the master saw. */
  readonly localIP: string;
  /** Masters, `host:port`, at least one. */
  readonly masterAddrs: readonly string[];
  readonly rack: string;
  /** Cell of v1.5.x clusters and zone of v2.0.0 ones; empty: not told. */
  readonly cell: string;
  readonly zoneName: string;
  /** At least one. */
  readonly disks: readonly DiskConfig[];
  /** HTTP port (`prof`); null: no HTTP; 0 (standalone only): any free one. */
  readonly profPort: number | null;
  readonly raftDir: string;
  /** 0 (standalone only): any free one. */
  readonly raftHeartbeatPort: number;
  /** 0 (standalone only): any free one. */
  readonly raftReplicaPort: number;
  /** Folder under which `dataNode/` gets the log files; empty: the working directory. */
  readonly logDir: string;
  readonly logLevel: LogLevel;
  /** Folder for UMP alarm files; empty: none. */
  readonly warnLogDir: string;
  /** Prometheus port; 0: none. */
  readonly exporterPort: number;
  /** Base URL of a consul agent; empty: none. */
  readonly consulAddr: string;
}

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

/** The settings of a node whose config file has no `extentd` key. Slabs: 16 + 16 + 32 + 16 MiB a network thread. */
export const EXTENTD_DEFAULTS: ExtentdSettings = {
  workersPerDisk: 1,
  ringSlots: 4096,
  slabSlots4k: 4096,
  slabSlots32k: 512,
  slabSlots128k: 256,
  slabSlots2m: 8,
  ioThreads: 4,
  maxOpenFiles: 20_000,
  strictAppend: true,
  durability: 'asked',
  directReadBytes: 0,
  allowLostPartitions: false,
  listenAddress: '0.0.0.0',
  spinWorkerUs: 100,
  spinMainUs: 50,
  inlineWrites: 'auto',
  inFlightBytesPerConnection: CONNECTION_LIMITS.inFlightBytesMax,
  inFlightBytesPerDisk: 32 * MiB,
  stallMs: 2_000,
  loadTimeoutMs: 60_000,
  probeIntervalMs: 120_000,
  probeTimeoutMs: 30_000,
  checksumBytesPerSecond: 32 * MiB,
  scrubBytesPerSecond: 8 * MiB,
  scrubIntervalHours: 720,
  repairEnabled: true,
  repairRoundsPerDisk: 2,
  repairRounds: 32,
  // As many as the reference has.
  repairFetchesPerRound: 17,
  repairBytesPerSecond: 0,
  raftJournalSegmentBytes: 32 * MiB,
  httpAddress: '127.0.0.1',
  exporterAddress: '',
  httpServer: 'auto',
  tlsCertFile: '',
  tlsKeyFile: '',
  accessClients: [],
  accessPeers: [],
  accessMasters: [],
  accessAdmin: [],
  logFormat: 'json',
  logFileBytesMax: 20 * GiB,
  logOldBytesMax: 0,
  logHeadRoomBytes: 0,
  umpEntriesPerSecond: 100,
  faultInjection: false,
  clientsReadBytesPerSecond: 0,
  clientsWriteBytesPerSecond: 0,
  clientsReadOpsPerSecond: 0,
  clientsWriteOpsPerSecond: 0,
  clientsReadsAtOnce: 0,
  clientsWritesAtOnce: 0,
  // About a third of what a hard disk reads in one go. A lost disk is rebuilt from many disks, so the sum of them is what counts.
  backgroundReadBytesPerSecond: 64 * MiB,
  backgroundWriteBytesPerSecond: 64 * MiB,
  // Most repair reads are 128 KiB, so bytes limit them before their number does.
  backgroundReadOpsPerSecond: 0,
  backgroundWriteOpsPerSecond: 0,
  // Fewer than a disk has I/O threads by default, so that a client's cold read finds one free.
  backgroundReadsAtOnce: 3,
  backgroundWritesAtOnce: 3,
};

/** Defaults of the reference for keys that may be missing (`admin.md` 2). */
export const REFERENCE_DEFAULTS = {
  rack: 'cfs_rack1',
  raftHeartbeatPort: 5901,
  raftReplicaPort: 5902,
  logLevel: 'error' as LogLevel,
} as const;
