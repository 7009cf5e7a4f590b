/**
 * Watches one extent for whoever looks at it over several turns: whether a write to it has started, or it went away, in between.
 */
import type { ExtentStore } from './extentStore.js';

export class RowWatch {
  store: ExtentStore | null = null;
  row = -1;
  /** Something has changed since `begin`. */
  touched = false;

  begin(store: ExtentStore, row: number): void {
    this.store = store;
    this.row = row;
    this.touched = false;
  }

  end(): void {
    this.store = null;
    this.row = -1;
  }

  /** The extent in `row` changes now: called before the change. */
  touch(store: ExtentStore, row: number): void {
    if (row === this.row && store === this.store) this.touched = true;
  }
}
