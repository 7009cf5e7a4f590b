/**
 * One packet on its way through a worker: what the ring descriptor said, and what came of it.
 *
 * Operations are pooled by the worker (`src/workers`) and handed to a partition, which passes them to its store. Whoever holds an operation must end it
 * exactly once, through `OperationHost.finish` or `OperationHost.fail`; afterwards it belongs to the pool again.
 */

/** A pooled request. All numbers are safe integers; `extentOffset` may be negative (it comes from the wire and is checked by the store). */
export class Operation {
  /** Ring port (network thread) and that thread's tag for the reply. */
  port = 0;
  tag = 0;
  opcode = 0;
  /** 0 tiny, 1 normal (checked before dispatch). */
  extentType = 0;
  /** RemainingFollowers > 0, or a one-host partition: this node assigns ids. Set by the partition. */
  primary = false;
  /** RemainingFollowers as it came. */
  remainingFollowers = 0;
  /** It goes to followers too: nothing of its slot may change, and whoever gives it an id or a place tells `assigned`. */
  forwarded = false;
  /** From a thread of this node, not from a connection: background work that nothing makes obsolete, and never primary. */
  internal = false;
  /** CRC field of the packet and, for write ops, CRC-32 of the body as received (computed before dispatch). */
  crc = 0;
  bodyCrc = 0;
  /** Internal requests only: checksum of the content that is to be replaced (`INTERNAL_OP.healBlock`). */
  expectedCrc = 0;
  /** Size field: body bytes, or bytes wanted by a read. */
  size = 0;
  /** Slab slot: where the body is, and where a reply body or error text goes. */
  region = 0;
  bufferOffset = 0;
  bufferBytes = 0;
  /** Index and generation of the client connection, for the poison flag. */
  connection = 0;
  generation = 0;
  partitionId = 0;
  extentId = 0;
  extentOffset = 0;
  /** Wall clock ms at which the network thread took it on. */
  issuedAtMs = 0;
  /** For the worker's counts: its clock when it took the operation, monotonic ms, and the row of the partition in its table, -1: none. */
  takenMs = 0;
  tableRow = -1;

  // Outcome. `finish` sends result code 0xF0 with these; `fail` overwrites them.
  /** Bytes of reply body in the slot. */
  replyBytes = 0;
  /** CRC field of the reply: the request's, or the chunk's for stream reads. */
  replyCrc = 0;
  /** One packet of a stream of unknown length (`tinyStreams.ts`): bytes that the answer still covers from here on, and of a hole that this packet stands for. */
  remainingBytes = 0;
  holeBytes = 0;
  /** A reply body too large for the slot (watermark lists); null otherwise. */
  replyBody: Uint8Array | null = null;
  /** Entries of the I/O batch still to come back. */
  entriesPending = 0;
  /** The call on the disk that made it fail: a negated errno, 1 for one that came short, 0 when it was refused without one. */
  ioError = 0;
  /** Free for the store: intrusive queue link, phase. */
  next: Operation | null = null;
  phase = 0;
  handler: OperationHandler | null = null;
  /** Who lent something to the operation that its end gives back; null in most cases. */
  loan: OperationLoan | null = null;
  /** Who inside this node asked for it; null for packets, which the host answers. */
  owner: OperationOwner | null = null;

  // Limits of the disk (`diskLimits.ts`); those of the line while it waits, with `next` for its neighbour there.
  /** Lane that it runs in, a limit of which it was charged to; 0: none. */
  chargedLane = 0;
  waitingLane = 0;
  /** Place in the order of arrival among those that wait, how many of them it has to let go first, and who has to let it go first. */
  arrival = 0;
  blockers = 0;
  nextOnConnection: Operation | null = null;
  nextOnExtent: Operation | null = null;
}

/** Lends something for the life of an operation. */
export interface OperationLoan {
  /** `op` ends now, well (`acknowledged`) or not. Called once, before the reply. */
  loanEnded(op: Operation, acknowledged: boolean): void;
}

/** Work of this node's own that goes the way of operations. */
export interface OperationOwner {
  /** `op` has ended: carried out when `problem` is null. Called once; `op` is the owner's again. Nothing may be added to the batch here. */
  operationEnded(op: Operation, problem: string | null): void;
}

/**
 * What every host does first when an operation ends, well or with a `problem`: gives back what it has borrowed, and tells its owner. True when it had one: then
 * nobody waits for a reply.
 */
export function endsInside(op: Operation, problem: string | null): boolean {
  const { loan, owner } = op;
  if (loan !== null) {
    op.loan = null;
    loan.loanEnded(op, problem === null);
  }
  owner?.operationEnded(op, problem);
  return owner !== null;
}

/** Gets the batch results of the operations it added entries for. */
export interface OperationHandler {
  /** Entry `index` of the batch, added for `op`, has run. Called once an entry, in order of entries. */
  ioDone(op: Operation, index: number): void;
}

/** What the worker offers to partitions and stores. */
export interface OperationHost {
  /** Parallel to the I/O batch: the operation an entry belongs to, or null for entries nobody waits for. */
  readonly entryOperations: (Operation | null)[];
  /** Sends the OK reply: `replyBytes`/`replyBody`, `replyCrc`, `extentId`, `extentOffset` as they stand in `op`. */
  finish(op: Operation): void;
  /** Sends the error reply `<action>_<message>`; the result code follows from both (`wire.md` 5.2); poisons the connection. */
  fail(op: Operation, action: string, message: string): void;
  /** A forwarded operation has got its extent, its place, or (`size` bytes in its slot) its body. `loan`: number under which its tiny extent waits for the outcome; 0: none. */
  assigned(op: Operation, loan: number): void;
  /** An operating error of the disk, for its counters and status (`admin.md` 8.2). */
  diskError(errno: number, writing: boolean): void;
  /** A log record; never per packet at info or above. */
  log(
    level: 'debug' | 'info' | 'warn' | 'error',
    message: string,
    fields?: Record<string, string | number>,
  ): void;
}
