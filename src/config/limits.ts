/**
 * Every limit of the node, with its derivation. Lengths from outside are compared with these before anything is allocated.
 */

const KiB = 1024;
const MiB = 1024 * KiB;

/** Wire limits (`wire.md` 1, 13#1). */
export const WIRE_LIMITS = {
  /** Follower list: 255 followers × ~22 bytes is 5.6 KiB; 64 KiB leaves room for names. */
  argBytesMax: 64 * KiB,
  /** OpWrite/OpSyncWrite: clients send up to 1 MiB (1,500,000 was seen to work with the reference). */
  writeBodyBytesMax: 2 * MiB,
  /** Any other request: the largest legitimate one is a repair notification for about 20,000 extents. */
  bodyBytesMax: 16 * MiB,
  /** Admin task: a creation with its members and hosts is below 4 KiB. It is kept on the heap, outside the slab's budgets. */
  adminBodyBytesMax: 256 * KiB,
  /** One reply packet of a stream read. */
  readChunkBytes: 128 * KiB,
} as const;

/** Deadlines of a connection. There is none for an idle one: clients keep pools (`wire.md` 10.1). */
export const CONNECTION_LIMITS = {
  /** A header or body must progress within this time once its first byte has come. */
  requestProgressMs: 20_000,
  /** A peer that takes nothing of its replies for this long is dropped. Clients wait 5 s for a reply. */
  replyProgressMs: 30_000,
  /** Either of the two while other connections wait for shared memory: what one peer neither fills nor takes may not stop the rest for longer than they wait. */
  starvingProgressMs: 1_000,
  /** After an error reply: how long the rest of the peer's bytes is discarded before the close (`wire.md` 6.5). */
  lingerMs: 1_000,
  /** Bytes received and not yet answered, a connection. 64 packets of 128 KiB in flight keep any disk busy. */
  inFlightBytesMax: 8 * MiB,
  /** Packets received and not yet answered, a connection. */
  inFlightPacketsMax: 1024,
  /** Reply bytes queued in the process for one connection before its reads pause. */
  replyBufferBytesMax: 4 * MiB,
} as const;

/** Connections to followers (`docs/replication.md`). */
export const FOLLOWER_LIMITS = {
  /** Clients wait 5 s for a reply: a dial that takes longer leaves no time to go elsewhere. */
  dialMs: 3_000,
  /** As long as the reference waits for each reply of a follower. */
  replyMs: 5_000,
} as const;

/** The raft ports, both directions (`docs/raftNode.md`). */
export const TRANSPORT_LIMITS = {
  /** As the reference waits for a dial. */
  dialMs: 2_000,
  /** A peer that takes no byte of what was handed to its socket for this long loses the connection; noticed within twice the time. */
  outputProgressMs: 2_000,
  /** Pauses between dials that fail: the first one as in the reference, and the longest. */
  dialPauseMsMin: 50,
  dialPauseMsMax: 2_000,
  /** What one connection holds for a peer that is slow: seven of the longest usual appends. */
  outputBytesMax: 8 * MiB,
  /** The reference's send queue. */
  outputFramesMax: 10_240,
  /** Outgoing snapshots at a time, as in the reference. */
  snapshotsMax: 10,
  /** The receiver of a snapshot header answers with one byte, within this time. */
  snapshotAckMs: 60_000,
  /** Accepted connections, both ports. A peer has 6, and one a snapshot. */
  connectionsMax: 1024,
  /** Memory for frames that have not come to their end, all connections. */
  frameBytesMax: 64 * MiB,
  /** A frame whose first byte has come must progress within this time. */
  frameProgressMs: 10_000,
  /** What waits for room in the ring to a worker: a turn of a socket brings more long messages than the ring holds. */
  ringWaitBytesMax: 8 * MiB,
  /** The same in a worker, for its way to main: appends of 1 MiB to two followers, twice. Main takes them several times a millisecond. */
  workerWaitBytesMax: 4 * MiB,
  /** Bytes of a snapshot that are read before its verdict. */
  snapshotBytesMax: 1 * MiB,
  /** How long a snapshot header may wait for its verdict. */
  verdictMs: 60_000,
  /** After the answer to a snapshot: how long the sender has to close. */
  lingerMs: 300,
} as const;

/** What a config file may ask for (`admin.md` 2). */
export const CONFIG_LIMITS = {
  /** A file with a thousand disks and masters is below 100 KiB. */
  fileBytesMax: 1 * MiB,
  /** One worker thread, its rings and its I/O threads a disk; storage servers have up to about a hundred. The addon counts disks in a byte. */
  disksMax: 255,
} as const;

/**
 * Files a node may keep open under the system's limit: half of it, as connections, logs and files being opened need the rest.
 * `wanted` and `systemLimit` in files.
 */
export function openFileBudget(wanted: number, systemLimit: number): number {
  return Math.min(wanted, Math.max(64, Math.floor(systemLimit / 2)));
}

/** What a node says of the system's limit of open files, `got`: null when there is enough for the extent files wanted and the connections it may hold. */
export function fileLimitShortfall(
  asked: number,
  got: number,
  extentFiles: number,
  connections: number,
): string | null {
  const kept = openFileBudget(extentFiles, got);
  const left = Math.max(0, Math.min(connections, got - kept));
  if (kept === extentFiles && left === connections) return null;
  return (
    `the limit of open files is ${got} (${asked} were asked for): ${kept} extent files are kept open, not ${extentFiles}, ` +
    `and there is room for about ${left} connections, not ${connections}; raise LimitNOFILE of the service or ulimit -n`
  );
}
