/**
 * Goes through the extents of many partitions in the order of their ids, a few at a time, and can go on from any place: partitions and extents may come and
 * go meanwhile. Pure.
 */
import { NONE } from '../storage/extentTable.js';
import type { ExtentStore } from './extentStore.js';

/** The last extent that was looked at: everything up to it is done. */
export interface WalkPlace {
  partitionId: number;
  extentId: number;
}

export class ExtentWalk {
  /** Row of the extent that `next` has found, in `store`. */
  row = NONE;
  store: ExtentStore | null = null;
  private place: WalkPlace = { partitionId: 0, extentId: 0 };
  /** Ids of the store of the moment, ascending, and the next of them. */
  private ids: Float64Array = new Float64Array(0);
  private at = 0;

  /** Where it stands. */
  get position(): Readonly<WalkPlace> {
    return this.place;
  }

  /** Goes on behind this place. */
  moveTo(place: WalkPlace): void {
    this.place = { ...place };
    this.store = null;
  }

  /** The extent that was found last is found again. */
  stepBack(): void {
    this.moveTo({ partitionId: this.place.partitionId, extentId: this.place.extentId - 1 });
  }

  /**
   * The next extent that is wanted: `row` of `store`. Looks at `rowsMax` extents at most. `later`: ask again; `ended`: there are no more.
   * `stores` must ascend by partition id.
   */
  next(
    stores: readonly ExtentStore[],
    wants: (store: ExtentStore, row: number) => boolean,
    rowsMax: number,
  ): 'found' | 'later' | 'ended' {
    let left = rowsMax;
    while (left > 0) {
      if (this.store === null && !this.enter(stores)) return 'ended';
      const store = this.store!;
      if (store.closed || this.at === this.ids.length) {
        this.place = { partitionId: store.partitionId + 1, extentId: 0 };
        this.store = null;
        // An empty partition costs something too.
        left -= 1;
        continue;
      }
      const id = this.ids[this.at]!;
      this.at += 1;
      left -= 1;
      this.place.extentId = id;
      const row = store.table.find(id);
      if (row === NONE || !wants(store, row)) continue;
      this.row = row;
      return 'found';
    }
    return 'later';
  }

  private enter(stores: readonly ExtentStore[]): boolean {
    const store = stores.find(({ partitionId }) => partitionId >= this.place.partitionId);
    if (store === undefined) return false;
    if (store.partitionId !== this.place.partitionId) {
      this.place = { partitionId: store.partitionId, extentId: 0 };
    }
    this.store = store;
    this.ids = store.table.idsAbove(this.place.extentId);
    this.at = 0;
    return true;
  }
}
