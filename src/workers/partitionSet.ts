/**
 * The partitions of one worker: loaded at start, created and deleted by command, reported in the shared tables.
 */

import {
  closePartition,
  createPartition,
  deletePartition,
  loadDisk,
  lockDisk,
  type NewPartition,
  type Outcome,
} from '../partition/diskLoad.js';
import { spaceOf } from '../partition/diskSpace.js';
import { type AttachedPartition, type ChecksumReport, EVENT } from '../partition/messages.js';
import type { Partition } from '../partition/partition.js';
import type { StoreGroup } from '../partition/storeGroup.js';
import { DiskTable, PARTITION_FLAG, PartitionTable } from '../shm/tables.js';
import { isDiskError } from '../storage/diskErrors.js';
import type { EventQueue } from './eventQueue.js';
import type { DiskWorkerData } from './workerData.js';

/** Space numbers are refreshed this often (`storage.md` 14). */
const SPACE_INTERVAL_MS = 5_000;

/** What raft does for the partitions of a worker. */
export interface PartitionRaft {
  /** With the disk locked, before anything is loaded. */
  start(): void;
  /** The disk cannot be locked: nothing will be loaded. */
  giveUp(): void;
  readonly groups: {
    begin(partition: Partition): void;
    /** The group ends; `done` is called, between two batches, when that is durable. */
    end(id: number, done: () => void): void;
    forget(id: number): void;
    settleEndings(): number;
    reasonOf(id: number): string | null;
    /** Partitions whose replica here was removed by their group. */
    removed: number[];
    /** Called when a partition's group has another leader, or is out of service. */
    flagsChanged: (id: number) => void;
  };
}

interface Entry {
  partition: Partition;
  row: number;
  /** Who waits for its deletion; null: nobody has asked for that. */
  deleting: Removed[] | null;
}

/** Told once what has become of a deletion. */
export type Removed = (outcome: Outcome<null>) => void;

export class PartitionSet {
  readonly #data: DiskWorkerData;
  readonly #stores: StoreGroup;
  readonly #events: EventQueue;
  readonly #table: PartitionTable;
  readonly #disks: DiskTable;
  readonly #workers: DiskTable;
  readonly #raft: PartitionRaft;
  readonly #entries = new Map<number, Entry>();
  #lockFd = -1;
  #nextSpaceMs = 0;
  #spaceAway = false;
  /** The folder of a deleted partition was renamed, and the fsync of the root failed. */
  #rootUnsynced = false;

  constructor(data: DiskWorkerData, stores: StoreGroup, events: EventQueue, raft: PartitionRaft) {
    this.#raft = raft;
    raft.groups.flagsChanged = (id) => {
      const entry = this.#entries.get(id);
      if (entry !== undefined) this.#reportFlags(entry);
    };
    this.#data = data;
    this.#stores = stores;
    this.#events = events;
    this.#table = new PartitionTable(data.partitions);
    this.#disks = new DiskTable(data.disks);
    this.#workers = new DiskTable(data.workers);
  }

  get(id: number): Partition | undefined {
    return this.#entries.get(id)?.partition;
  }

  /** Locks the disk and loads this worker's share of it. Returns why it cannot be served, or null. */
  load(): string | null {
    const { root, member, members } = this.#data;
    const { disk } = this.#stores.host;
    if (member === 0) {
      const lock = lockDisk(disk, root);
      if (!lock.ok) {
        this.#raft.giveUp();
        return lock.message;
      }
      this.#lockFd = lock.value;
      const space = disk.statfs(root);
      if (typeof space === 'number') {
        this.#raft.giveUp();
        return `statfs ${root}: ${disk.errnoText(-space)}`;
      }
      this.#takeSpace(space.blocks, space.availableBlocks, space.blockBytes);
      this.#publishAvailable();
    }
    this.#raft.start();
    const owns = (id: number): boolean => id % members === member;
    const loaded = loadDisk(this.#stores, root, owns, member === 0, (done, found) => this.#tell(done, found));
    if (!loaded.ok) return loaded.message;
    for (const partition of loaded.value.partitions) this.#attach(partition);
    this.#stores.checksums.open(root, member);
    for (const { name, reason } of loaded.value.refused)
      this.#events.json(EVENT.refused, 0, { folder: `${root}/${name}`, reason });
    return null;
  }

  /** Shows main that loading goes on. */
  #tell(done: number, found: number): void {
    const { index } = this.#data;
    this.#workers.setFoldersFound(index, found);
    this.#workers.setFoldersDone(index, done);
    this.#workers.setHeartbeatMs(index, this.#stores.host.clock.monotonicNs() / 1e6);
  }

  /** Creates a partition, or finds the one that is there (`admin.md` 5.3). */
  create(request: NewPartition): Outcome<AttachedPartition> {
    const present = this.#entries.get(request.partitionId);
    if (present !== undefined && present.deleting !== null)
      return { ok: false, message: `partition ${request.partitionId} is being deleted` };
    if (present !== undefined) return { ok: true, value: describe(present) };
    const created = createPartition(this.#stores, this.#data.root, request);
    if (!created.ok) return created;
    return this.#attach(created.value);
  }

  /**
   * Deletes a partition when its group has ended durably; an unknown id is success, unless the end of an earlier deletion is not known to be on disk. A partition that cannot be deleted serves on, without its group.
   */
  remove(id: number, done: Removed): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return done(this.#rootUnsynced ? this.#syncRoot() : { ok: true, value: null });
    if (entry.deleting !== null) return void entry.deleting.push(done);
    const asked = [done];
    entry.deleting = asked;
    this.#raft.groups.end(id, () => {
      entry.deleting = null;
      const outcome = this.#removeNow(id, entry);
      for (const ended of asked) ended(outcome);
    });
  }

  #removeNow(id: number, entry: Entry): Outcome<null> {
    const outcome = deletePartition(this.#stores, entry.partition);
    if (!outcome.ok && outcome.serves) return outcome;
    this.#rootUnsynced ||= !outcome.ok;
    this.#raft.groups.forget(id);
    this.#entries.delete(id);
    this.#table.free(entry.row);
    return outcome;
  }

  /** Between two batches: deletions whose groups have ended, and replicas that their groups have removed. Returns how many went on. */
  settleRemovals(): number {
    const { groups } = this.#raft;
    const { removed } = groups;
    if (removed.length > 0) groups.removed = [];
    for (const id of removed) {
      this.#events.log('warn', 'the group has removed this replica: its folder goes', { partition: id });
      this.remove(id, (outcome) => {
        if (outcome.ok) this.#events.json(EVENT.detached, 0, { id });
        else this.#events.log('error', `a removed replica stays: ${outcome.message}`, { partition: id });
      });
    }
    return removed.length + groups.settleEndings();
  }

  #syncRoot(): Outcome<null> {
    const { root } = this.#data;
    const { disk } = this.#stores.host;
    const synced = disk.fsyncFolder(root);
    if (synced < 0) return { ok: false, message: `sync ${root}: ${disk.errnoText(synced)}` };
    this.#rootUnsynced = false;
    return { ok: true, value: null };
  }

  /** How the checksums of this worker's partitions are; `scrub`: and begins a pass over them. */
  checksums(scrub: boolean): Outcome<ChecksumReport> {
    const { checksums } = this.#stores;
    if (scrub && !checksums.scrubs)
      return { ok: false, message: 'scrub.bytesPerSecond is 0: nothing is scrubbed' };
    if (scrub) checksums.startScrub();
    return { ok: true, value: checksums.report() };
  }

  /** About once a second: statuses, tables, space. */
  tick(nowMs: number, monotonicMs: number): void {
    this.#publishAvailable();
    for (const entry of this.#entries.values()) {
      entry.partition.tick(nowMs);
      this.#report(entry);
    }
    if (monotonicMs < this.#nextSpaceMs) return;
    this.#nextSpaceMs = monotonicMs + SPACE_INTERVAL_MS;
    this.#refreshSpace();
  }

  /** Syncs and closes everything. True when nothing failed. */
  close(): boolean {
    let clean = true;
    for (const { partition, row } of this.#entries.values()) {
      const outcome = closePartition(this.#stores, partition);
      if (!outcome.ok) {
        clean = false;
        this.#events.log('error', `partition did not close cleanly: ${outcome.message}`, {
          partition: partition.id,
        });
      }
      this.#table.free(row);
    }
    this.#entries.clear();
    this.#stores.checksums.close();
    if (this.#lockFd >= 0) this.#stores.host.disk.close(this.#lockFd);
    this.#lockFd = -1;
    return clean;
  }

  #attach(partition: Partition): Outcome<AttachedPartition> {
    const row = this.#table.claim(partition.id);
    if (row < 0) return { ok: false, message: `more than ${this.#table.rows} partitions on one worker` };
    partition.tableRow = row;
    const entry = { partition, row, deleting: null };
    this.#entries.set(partition.id, entry);
    const value = describe(entry);
    this.#events.json(EVENT.attached, 0, value);
    // What it tells main is of a partition that main knows.
    this.#raft.groups.begin(partition);
    this.#report(entry);
    return { ok: true, value };
  }

  #report(entry: Entry): void {
    const { partition, row } = entry;
    const table = this.#table;
    table.setSizeBytes(row, partition.sizeBytes);
    table.setUsedBytes(row, partition.usedBytes);
    table.setExtentCount(row, partition.extentCount);
    table.setStatus(row, partition.status);
    table.setAppliedId(row, partition.durableAppliedId);
    this.#reportFlags(entry);
  }

  #reportFlags({ partition, row }: Entry): void {
    const isOut = this.#raft.groups.reasonOf(partition.id) !== null;
    const leader = partition.isLeader ? PARTITION_FLAG.leader : 0;
    this.#table.setFlags(row, leader | (isOut ? PARTITION_FLAG.raftOut : 0));
  }

  /** Each worker of a disk looks for itself: what another one has accepted it sees by the next look. */
  #refreshSpace(): void {
    const { health, disk } = this.#stores.host;
    if (this.#spaceAway) return;
    this.#spaceAway = true;
    health.space.beginLook();
    disk.submitStatfs(this.#data.root, ({ result, value0, value1, value2 }) => {
      this.#spaceAway = false;
      if (result >= 0) this.#takeSpace(value0, value1, value2);
      else if (isDiskError(result)) this.#stores.host.diskError(result, false);
    });
  }

  #takeSpace(blocks: number, availableBlocks: number, blockBytes: number): void {
    const space = spaceOf(blocks, availableBlocks, blockBytes);
    this.#stores.host.health.space.endLook(space.available);
    if (this.#data.member !== 0) return;
    const row = this.#data.disk;
    this.#disks.setTotalBytes(row, space.total);
    this.#disks.setReservedBytes(row, space.reserved);
  }

  /** What is left now decides the status; the first worker of the disk tells it to everybody. */
  #publishAvailable(): void {
    const { health } = this.#stores.host;
    if (health.status !== -1) health.status = health.space.isExhausted ? 1 : 2;
    // A disk that could not be loaded has no numbers.
    if (this.#data.member !== 0 || !Number.isFinite(health.space.leftBytes)) return;
    const row = this.#data.disk;
    const available = Math.max(0, health.space.leftBytes);
    this.#disks.setAvailableBytes(row, available);
    this.#disks.setUsedBytes(row, Math.max(0, this.#disks.totalBytes(row) - available));
    this.#disks.setStatus(row, health.status);
  }
}

function describe({ partition, row }: Entry): AttachedPartition {
  const { id, volume, sizeBytes, path, hosts, peers, createType } = partition;
  return { id, volume, sizeBytes, path, hosts, peers, row, createType };
}
