/**
 * Raft in a worker of a disk (docs/raftNode.md): recovery before anything is loaded, one journal and one host for its groups, ticks, and the two message rings to main.
 *
 * The worker's loop calls `turn` at the end of each of its turns and `stopStep` while it stops. Messages come before ticks, and missed ticks are one tick. A worker without groups ticks nothing. Whatever
 * fails here for good leaves groups out of service, never partitions.
 */
import { join } from 'node:path';
import { TRANSPORT_LIMITS } from '../config/limits.js';
import { native } from '../native/addon.js';
import type { Partition } from '../partition/partition.js';
import type { StoreGroup } from '../partition/storeGroup.js';
import {
  decodeMessage,
  encodeMessage,
  messageBytes,
  type RaftMessage,
  writeMessage,
} from '../protocol/raftMessage.js';
import { RaftHost } from '../raft/host.js';
import { Journal } from '../raft/journal.js';
import { readNoVotes } from '../raft/noVote.js';
import { RAFT_IN, RAFT_OUT } from '../raft/ports.js';
import { recoverDisk } from '../raft/recovery.js';
import type { SnapshotVerdict } from '../raft/types.js';
import { MessageRingConsumer } from '../shm/messageRing.js';
import { DiskTable } from '../shm/tables.js';
import { WaitingRing } from '../shm/waitingRing.js';
import { RAFT_FOLDER } from '../storage/layout.js';
import type { EventQueue } from './eventQueue.js';
import { RAFT_TICK_MS } from './raftGroup.js';
import { RaftGroups } from './raftGroups.js';
import { type DiskWorkerData, RAFT_WORD } from './workerData.js';

/** Frames of the ring that are read in a turn. */
const FRAMES_PER_TURN = 256;
/** A tick that is due waits for so many turns while messages come: after a stall they tell who leads. */
const TURNS_BEFORE_TICK = 64;
/** How long a stop waits for the folders; the node's own bound is 3 s. */
const STOP_MS = 2_000;
const SEGMENTS_MAX = 4;
const JOURNAL_BUFFER_BYTES = 8 * 1024 * 1024;
const SCRATCH_BYTES = 64 * 1024;
/** Bytes of the region that belongs to raft alone. */
export const RAFT_REGION_BYTES = JOURNAL_BUFFER_BYTES + SCRATCH_BYTES;
/** How long one wait for the first worker of the disk is. */
const WAIT_MS = 100;

const encoder = new TextEncoder();

export class RaftWorker {
  readonly groups: RaftGroups;
  /** What a stop has ended with; null before. */
  stopProblems: string[] | null = null;
  readonly #data: DiskWorkerData;
  readonly #stores: StoreGroup;
  readonly #region: number;
  readonly #in: MessageRingConsumer;
  readonly #out: WaitingRing;
  readonly #word: Int32Array;
  readonly #workers: DiskTable;
  /** Hosts that main was told, by node id. */
  readonly #addresses = new Map<number, string>();
  /** Streams of snapshot headers that were not judged yet. */
  readonly #streams = new WeakMap<RaftMessage, number>();
  #host: RaftHost | null = null;
  #nextTickMs = 0;
  #lateTurns = 0;
  #stopUntilMs = 0;
  #droppedTold = 0;

  /** @param region index of a region of `RAFT_REGION_BYTES` that nobody else uses. */
  constructor(
    data: DiskWorkerData,
    stores: StoreGroup,
    events: EventQueue,
    region: number,
    partitionOf: (id: number) => Partition | undefined,
  ) {
    this.#data = data;
    this.#stores = stores;
    this.#region = region;
    this.#in = new MessageRingConsumer(data.raft.toWorker);
    this.#out = new WaitingRing(data.raft.fromWorker, TRANSPORT_LIMITS.workerWaitBytesMax);
    this.#word = data.raft.word;
    this.#workers = new DiskTable(data.workers);
    this.groups = new RaftGroups(stores, events, partitionOf);
  }

  /** Before any partition is loaded, with the disk locked by its first worker: recovers, or waits for that, and opens the journal. */
  start(): void {
    const { member, root } = this.#data;
    if (member === 0) this.#recover();
    else this.#waitForRecovery();
    const problem = this.#open();
    if (problem === null) return;
    this.groups.open(problem);
    this.#stores.host.log('error', `no raft group runs on this disk: ${problem}`, { disk: root });
  }

  /** The first worker of the disk does not get to it: the others need not wait. */
  giveUp(): void {
    if (this.#data.member === 0) this.#tell(RAFT_WORD.failed);
  }

  /** When the loop has to come round for raft, monotonic ms: for the next tick, or to give up a stop; Infinity without groups. */
  get nextTickMs(): number {
    if (this.groups.size === 0 || this.stopProblems !== null) return Number.POSITIVE_INFINITY;
    return this.#stopUntilMs === 0 ? this.#nextTickMs : this.#stopUntilMs;
  }

  /** The end of a turn; `moved`: work of the disk has completed. Returns how much there was to do; more than 0 when there is more at once. */
  turn(nowMs: number, moved: boolean): number {
    const host = this.#host;
    if (host === null) return 0;
    this.#out.flush();
    if (this.#stopUntilMs !== 0) return 0;
    const taken = this.#in.isEmpty() ? 0 : this.#receive();
    const ticked = this.#tick(host, nowMs);
    // Completions of other work are none of its business: a turn without raft costs nothing.
    const flushes = moved && host.journal.queuedBytes > 0;
    if (!flushes && taken === 0 && !ticked && !host.isAwake) return 0;
    host.turn();
    this.groups.turn();
    return taken + (host.isAwake ? 1 : 0);
  }

  /** Something was written for main since the worker has set this to false. */
  get dirty(): boolean {
    return this.#out.dirty;
  }
  set dirty(value: boolean) {
    this.#out.dirty = value;
  }

  /** Messages to peers that were dropped since the start, because main did not take them; the log has a line when there are more of them. About once a second. */
  tellDropped(): number {
    const { dropped } = this.#out;
    if (dropped > this.#droppedTold)
      this.#stores.host.log('warn', 'the main thread takes no raft messages: they are dropped', {
        ...{ disk: this.#data.root, messages: dropped - this.#droppedTold },
      });
    this.#droppedTold = dropped;
    return dropped;
  }

  /** True when main has not taken all that it was told. */
  get waitsForMain(): boolean {
    return this.#out.waits;
  }

  /**
   * A step of a clean stop; true when all that is durable in the journal is in the folders, or that has failed. Nothing is proposed or received any more, and what waits ends with `try again`.
   */
  stopStep(nowMs: number): boolean {
    const host = this.#host;
    if (host === null || this.stopProblems !== null) {
      this.stopProblems ??= [];
      return true;
    }
    if (this.#stopUntilMs === 0) {
      this.#stopUntilMs = nowMs + STOP_MS;
      this.groups.stop();
    }
    this.stopProblems = host.stopStep();
    if (this.stopProblems === null && nowMs >= this.#stopUntilMs) this.stopProblems = this.#breakOff(host);
    if (this.stopProblems === null) return false;
    for (const problem of this.stopProblems)
      this.#stores.host.log('error', `raft did not stop cleanly: ${problem}`, { disk: this.#data.root });
    return true;
  }

  /** The journal keeps what folders lack: the next start recovers it. */
  #breakOff(host: RaftHost): string[] {
    for (const id of host.groupIds) host.group(id)!.close();
    host.journal.close();
    return [`its groups did not come to rest within ${STOP_MS} ms`];
  }

  #recover(): void {
    const { root } = this.#data;
    const { disk, log } = this.#sources;
    const report = recoverDisk(disk, root, {
      log: (level, message) => log(level, message, { disk: root }),
      progress: () => this.#showLife(),
    });
    for (const failure of report.failures) log('error', `raft recovery: ${failure}`, { disk: root });
    this.#tell(report.failures.length === 0 ? RAFT_WORD.recovered : RAFT_WORD.failed);
  }

  /** Shows the life of the worker it waits for, not its own: where that one hangs, main gives up both. */
  #waitForRecovery(): void {
    const { index, member } = this.#data;
    while (Atomics.load(this.#word, 0) === RAFT_WORD.none) {
      this.#workers.setHeartbeatMs(index, this.#workers.heartbeatMs(index - member));
      Atomics.wait(this.#word, 0, RAFT_WORD.none, WAIT_MS);
    }
    this.#showLife();
  }

  #tell(word: number): void {
    Atomics.store(this.#word, 0, word);
    Atomics.notify(this.#word, 0);
  }

  #showLife(): void {
    this.#workers.setHeartbeatMs(this.#data.index, native.monotonicNs() / 1e6);
  }

  get #sources(): Pick<StoreGroup['host'], 'disk' | 'log'> {
    const { host } = this.#stores;
    return { disk: host.disk, log: (level, message, fields) => host.log(level, message, fields) };
  }

  /** Null, or why no group can run. */
  #open(): string | null {
    const { root, member } = this.#data;
    const { nodeId, segmentBytes } = this.#data.raft;
    if (nodeId === 0) return 'this node has no id';
    if (Atomics.load(this.#word, 0) !== RAFT_WORD.recovered)
      return 'the journals of the disk were not recovered';
    const { disk, log } = this.#sources;
    const marks = readNoVotes(disk, root);
    if (typeof marks === 'number') return `readdir ${root}/${RAFT_FOLDER}: ${disk.errnoText(marks)}`;
    const { regions } = this.#stores.host;
    const place = { regions, region: this.#region };
    const journal = Journal.open({
      ...{ ...place, disk, folder: join(root, RAFT_FOLDER, String(member)), bufferOffset: 0 },
      ...{ bufferBytes: JOURNAL_BUFFER_BYTES, segmentBytes, segmentsMax: SEGMENTS_MAX },
      crc32c: native.crc32c,
      log: (level, message) => log(level, message, { disk: root }),
    });
    if (typeof journal === 'string') return journal;
    const host = new RaftHost({
      ...{ disk, journal, folder: {}, nodeId, serving: false },
      scratch: { ...place, bufferOffset: JOURNAL_BUFFER_BYTES, bufferBytes: SCRATCH_BYTES },
      random: (below) => Math.floor(Math.random() * below),
      send: (message) => this.#send(message),
      snapshotVerdict: (verdict) => this.#judge(verdict),
      groupFailed: (group, reason) => this.groups.failed(group, reason),
      caughtUp: (group) => this.groups.caughtUp(group),
      leaderChanged: (group, leader) => this.groups.leaderChanged(group, leader),
      log: (level, message, fields) => {
        const { group, ...rest } = fields ?? {};
        log(level, message, group === undefined ? rest : { ...rest, partition: group });
      },
    });
    this.#host = host;
    this.groups.open({
      ...{ host, nodeId, root, marks: new Map(marks.map(({ group, reason }) => [group, reason])) },
      tellAddress: (id, address) => this.#tellAddress(id, address),
    });
    return null;
  }

  /** True when a tick has passed. */
  #tick(host: RaftHost, nowMs: number): boolean {
    if (this.groups.size === 0 || nowMs < this.#nextTickMs) return false;
    this.#lateTurns += 1;
    if (!this.#in.isEmpty() && this.#lateTurns < TURNS_BEFORE_TICK) return false;
    this.#lateTurns = 0;
    this.#nextTickMs = nowMs + RAFT_TICK_MS;
    host.tick();
    this.groups.tick();
    return true;
  }

  // Messages.

  #receive(): number {
    return this.#in.read((kind, a, bytes) => {
      if (kind === RAFT_IN.message) this.#message(a, bytes);
      else if (kind === RAFT_IN.reconnected) this.groups.reconnected(a);
      else if (kind === RAFT_IN.snapshotSent) this.#snapshotSent(a, bytes);
    }, FRAMES_PER_TURN);
  }

  #message(stream: number, body: Uint8Array): void {
    // Entries stay in memory; the ring's is written over.
    const decoded = decodeMessage(body.slice());
    if (!decoded.ok) return this.#badStream(stream, decoded.message);
    if (decoded.value.snapshot !== null) this.#streams.set(decoded.value, stream);
    const problem = this.#host!.receive(decoded.value);
    if (problem !== null) this.#badStream(stream, problem);
  }

  #badStream(stream: number, why: string): void {
    this.#out.keep(RAFT_OUT.badStream, stream, encoder.encode(why));
  }

  #snapshotSent(group: number, bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#host!.snapshotSent(group, Number(view.getBigUint64(0)), view.getUint8(8) === 1);
  }

  #judge({ header, accepted }: SnapshotVerdict): void {
    const stream = this.#streams.get(header);
    if (stream !== undefined) this.#out.keep(RAFT_OUT.verdict, stream, Uint8Array.of(accepted ? 1 : 0));
  }

  #tellAddress(nodeId: number, host: string): void {
    if (this.#addresses.get(nodeId) === host) return;
    this.#addresses.set(nodeId, host);
    this.#out.keep(RAFT_OUT.address, nodeId, encoder.encode(host));
  }

  /** What main does not take for long is dropped, as if the network had lost it. */
  #send(message: RaftMessage): void {
    const into = this.#out.reserve(RAFT_OUT.message, message.to, messageBytes(message));
    if (into === null) {
      this.#out.write(RAFT_OUT.message, message.to, encodeMessage(message));
    } else {
      writeMessage(message, into);
      this.#out.commit();
    }
  }
}
