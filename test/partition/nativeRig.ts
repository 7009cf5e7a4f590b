/**
 * A `StoreRig` on a temp folder of the real disk.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { native } from '../../src/native/addon.js';
import { closePartition } from '../../src/partition/diskLoad.js';
import type { StoreSettings } from '../../src/partition/storeHost.js';
import type { Clock } from '../../src/storage/io.js';
import { NativeDisk } from '../../src/storage/nativeDisk.js';
import { BATCH_CAPACITY, rigRegions, StoreRig } from './storeRig.js';

const clock: Clock = { nowMs: () => Date.now(), monotonicNs: () => native.monotonicNs() };
/** Any work on a test's few files ends in this time, or the disk hangs. */
const SETTLE_MS = 30_000;

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'extentd-store-'));
}

export class NativeRig extends StoreRig {
  readonly root: string;
  readonly native: NativeDisk;
  private readonly doorbell: Int32Array;

  private constructor(
    root: string,
    disk: NativeDisk,
    doorbell: Int32Array,
    regions: Uint8Array[],
    settings: Partial<StoreSettings>,
  ) {
    super(disk, clock, regions, settings);
    this.root = root;
    this.native = disk;
    this.doorbell = doorbell;
  }

  static start(root: string, settings: Partial<StoreSettings> = {}): NativeRig {
    const regions = rigRegions();
    const doorbell = new Int32Array(new SharedArrayBuffer(64));
    const disk = new NativeDisk({ device: 7, regions, doorbell, threads: 2, batchCapacity: BATCH_CAPACITY });
    return new NativeRig(root, disk, doorbell, regions, settings);
  }

  run(): void {
    const startedMs = Date.now();
    this.settle(() => {
      if (Date.now() - startedMs > SETTLE_MS) throw new Error('the disk does not answer');
      const seen = Atomics.load(this.doorbell, 0);
      const drained = this.disk.drainCompletions();
      if (drained === 0 && this.disk.pending() > 0) native.waitDoorbell(this.doorbell, seen, 0, 100);
      // What was drained may have left work for the next turn.
      return drained > 0;
    });
  }

  /** Closes all partitions and ends the I/O threads; returns the problems. */
  stop(): string[] {
    this.run();
    const problems: string[] = [];
    for (const partition of this.partitions.values()) {
      const outcome = closePartition(this.stores, partition);
      if (!outcome.ok) problems.push(outcome.message);
    }
    this.partitions.clear();
    if (!this.native.stop(SETTLE_MS)) problems.push('an I/O thread is stuck');
    return problems;
  }

  removeRoot(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
