/**
 * This node's replica of one partition as rounds and tasks use it (`round.ts`, `memberTask.ts`): lists, creates, fetches, tiny deletes. Joins what the parts beside it do with what must be known of one partition over the time: which
 * extents are being fetched, and which ids were deleted.
 */
import { LIST } from '../partition/internalOps.js';
import { ERROR_TEXT } from '../protocol/errors.js';
import type { ExtentInfo } from '../protocol/extentInfo.js';
import { DeleteSync, type DeleteSyncParts } from './deleteSync.js';
import { DISK_FULL, type DiskRoom, tellsFullDisk } from './diskRoom.js';
import { ExtentFetching, type FetchParts, type FetchProgress, targetOf } from './extentFetching.js';
import type { MemberReplica } from './memberTask.js';
import type { OwnReplica } from './ownReplica.js';
import type { ReplicaList, RoundReplica } from './round.js';

export interface LocalReplicaParts extends FetchParts, DeleteSyncParts {
  /** An extent was made as long as another replica's. */
  fetchedExtent(): void;
}

export class LocalReplica implements RoundReplica, MemberReplica {
  readonly own: OwnReplica;
  readonly deletes: DeleteSync;
  readonly #room: DiskRoom;
  readonly #parts: LocalReplicaParts;
  readonly #fetching = new Map<number, { progress: FetchProgress; ended: Promise<void> }>();
  /** Extents with bytes that a fetch has written and no sync has covered: a sync has failed. */
  readonly #unsynced = new Set<number>();
  #deleted: ReadonlySet<number> = new Set();
  /** Why extents could not be created lately: what their fetches are told. */
  readonly #notCreated = new Map<number, string>();

  constructor(own: OwnReplica, room: DiskRoom, parts: LocalReplicaParts) {
    this.own = own;
    this.#room = room;
    this.#parts = parts;
    this.deletes = new DeleteSync(own, parts);
  }

  /** Fetches that run. */
  get fetches(): FetchProgress[] {
    return [...this.#fetching.values()].map(({ progress }) => progress);
  }

  /** Looks again which ids were deleted here: before each round and task. */
  async learnDeleted(): Promise<void> {
    this.#deleted = await this.own.deletedIds();
    this.#notCreated.clear();
  }

  isDeleted(id: number): boolean {
    return this.#deleted.has(id);
  }

  async list(tinyIds: readonly number[] | null): Promise<ReplicaList> {
    // Before the list: a delete that comes between is not announced, and is in no list either.
    const { tinyDeleteEnd } = await this.own.describe();
    const extents =
      tinyIds === null ? await this.own.extents(LIST.quiet) : await this.own.tinyExtents(tinyIds);
    return { extents, tinyDeleteBytes: tinyDeleteEnd };
  }

  async create(id: number): Promise<void> {
    this.#notCreated.delete(id);
    if (!this.#room.admits(this.#parts.nowMs())) {
      this.#notCreated.set(id, DISK_FULL);
      throw new Error(DISK_FULL);
    }
    try {
      await this.own.createExtent(id);
      this.#room.wrote();
    } catch (error) {
      const text = (error as Error).message;
      if (tellsFullDisk(text)) this.#room.full(this.#parts.nowMs());
      else this.#room.untried(this.#parts.nowMs());
      this.#notCreated.set(id, text);
      throw error;
    }
  }

  async giveBack(good: readonly number[], bad: readonly number[]): Promise<void> {
    await this.own.giveBackTiny(good, bad);
  }

  syncTinyDeletes(leader: string, bytes: number): Promise<void> {
    return this.deletes.run(leader, bytes);
  }

  /** One fetch of an extent at a time: whoever comes second waits, and then looks what is still missing. */
  async fetch(entry: ExtentInfo): Promise<void> {
    const target = targetOf(entry, this.#parts.ownAddress);
    if (typeof target === 'string') throw new Error(target);
    const id = entry.fileId;
    for (let other = this.#fetching.get(id); other !== undefined; other = this.#fetching.get(id))
      await other.ended;
    const fetching = new ExtentFetching(entry, target, this.own, this.#room, this.#parts);
    const run = this.#fetch(fetching);
    this.#fetching.set(id, { progress: fetching.progress, ended: run.catch(() => {}) });
    try {
      await run;
    } finally {
      this.#fetching.delete(id);
    }
  }

  async #fetch(fetching: ExtentFetching): Promise<void> {
    const { extentId, source, targetBytes } = fetching.progress;
    const size = await this.own.extentSize(extentId);
    // Deleted since the task was made, or never created here.
    if (size < 0) {
      const why = this.#notCreated.get(extentId) ?? ERROR_TEXT.extentNotFound;
      throw new Error(`extent ${extentId} from ${source}: ${why}`);
    }
    fetching.unsynced = this.#unsynced.has(extentId);
    try {
      await fetching.run();
    } finally {
      if (fetching.unsynced) this.#unsynced.add(extentId);
      else this.#unsynced.delete(extentId);
    }
    if (size < targetBytes) this.#parts.fetchedExtent();
  }
}
