/**
 * Which volume a partition belongs to, which only main knows, and sums over the partitions of a volume that never go down. Used by the metrics page.
 *
 * Main is asked when a partition table has changed, or has a partition that main did not know yet when it was asked, and never more than once in `ASK_INTERVAL_MS`,
 * however often the page is read. The page waits for the answer for a moment and goes without it if need be: the volumes of new partitions come with a later page.
 *
 * A partition's counts go with it when it is deleted, while its volume's must not fall: so what has been added since the last look is what is summed up.
 */
import { PARTITION_COUNT, type PartitionCount, type PartitionTable } from '../shm/tables.js';

/** Main is not asked more often, ms. */
export const ASK_INTERVAL_MS = 5_000;
/** How long a page waits for the answer, ms. */
const WAIT_MS = 500;

/** A partition as main knows it. */
export type NamedPartition = readonly [id: number, diskPath: string, volume: string];

/** Asks main for all partitions; null: no answer. Always resolves. */
export type AskPartitions = () => Promise<readonly NamedPartition[] | null>;

/** One worker's table, and the path of its disk. */
export interface VolumeTable {
  readonly diskPath: string;
  readonly table: PartitionTable;
}

/** Figures of one volume on this node. */
export interface VolumeSums {
  partitions: number;
  usedBytes: number;
  /** By PARTITION_COUNT. */
  readonly counts: Map<PartitionCount, number>;
}

/** A partition that is served, with what it has counted. */
export interface ServedPartition {
  readonly id: number;
  readonly volume: string;
  readonly diskPath: string;
  readonly table: PartitionTable;
  readonly row: number;
}

const COUNTS = Object.values(PARTITION_COUNT);

export class Volumes {
  readonly #tables: readonly VolumeTable[];
  readonly #ask: AskPartitions;
  readonly #now: () => number;
  #names = new Map<string, string>();
  #askedVersions: readonly number[] = [];
  #askedMs = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | null = null;
  /** The last look found partitions without a name. */
  #nameless = false;
  readonly #sums = new Map<string, VolumeSums>();
  /** Counts of a partition at the last look. */
  #seen = new Map<string, readonly number[]>();

  /** `now`: monotonic ms. */
  constructor(tables: readonly VolumeTable[], ask: AskPartitions, now: () => number) {
    this.#tables = tables;
    this.#ask = ask;
    this.#now = now;
  }

  /** Asks main if there is a reason, and waits for a moment. */
  async refresh(): Promise<void> {
    if (this.#asking === null && this.#mayAsk()) {
      this.#askedMs = this.#now();
      this.#asking = this.#takeNames();
    }
    if (this.#asking === null) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, WAIT_MS);
    });
    await Promise.race([this.#asking, late]);
    clearTimeout(timer);
  }

  /** What each volume has by now, and the partitions themselves. */
  look(): { volumes: ReadonlyMap<string, VolumeSums>; partitions: readonly ServedPartition[] } {
    const partitions: ServedPartition[] = [];
    const seen = new Map<string, readonly number[]>();
    this.#nameless = false;
    for (const sums of this.#sums.values()) {
      sums.partitions = 0;
      sums.usedBytes = 0;
    }
    for (const { diskPath, table } of this.#tables) {
      for (let row = 0; row < table.rows; row++) {
        const id = table.id(row);
        if (id === 0) continue;
        const key = keyOf(id, diskPath);
        const volume = this.#names.get(key);
        if (volume === undefined) {
          this.#nameless = true;
          continue;
        }
        partitions.push({ id, volume, diskPath, table, row });
        seen.set(key, this.#add(volume, table, row, this.#seen.get(key)));
      }
    }
    this.#seen = seen;
    return { volumes: this.#sums, partitions };
  }

  /** Adds a partition to its volume; returns its counts. */
  #add(volume: string, table: PartitionTable, row: number, before: readonly number[] | undefined): number[] {
    let sums = this.#sums.get(volume);
    if (sums === undefined) {
      sums = { partitions: 0, usedBytes: 0, counts: new Map(COUNTS.map((count) => [count, 0])) };
      this.#sums.set(volume, sums);
    }
    sums.partitions++;
    sums.usedBytes += table.usedBytes(row);
    const { counts } = sums;
    return COUNTS.map((count, index) => {
      const value = table.counted(row, count);
      const last = before?.[index] ?? 0;
      // Less than before: it was deleted and made again in between.
      counts.set(count, counts.get(count)! + (value < last ? value : value - last));
      return value;
    });
  }

  #mayAsk(): boolean {
    if (this.#now() - this.#askedMs < ASK_INTERVAL_MS) return false;
    const changed = this.#tables.some(({ table }, index) => table.version() !== this.#askedVersions[index]);
    return changed || this.#nameless;
  }

  async #takeNames(): Promise<void> {
    const versions = this.#tables.map(({ table }) => table.version());
    const partitions = await this.#ask();
    this.#asking = null;
    if (partitions === null) return;
    this.#askedVersions = versions;
    this.#names = new Map(partitions.map(([id, diskPath, volume]) => [keyOf(id, diskPath), volume]));
  }
}

/** The same partition may lie on two disks by mistake; main serves one of them. */
function keyOf(id: number, diskPath: string): string {
  return `${id}:${diskPath}`;
}
