/** A real disk for micro-benchmarks, and the wait for what was submitted: as a worker's loop does it. */
import { native } from '../../src/native/addon.js';
import { NativeDisk } from '../../src/storage/nativeDisk.js';

const DEVICE = 0;
const STOP_MS = 10_000;

/** One region of memory and a disk with it. */
export class BenchDisk {
  readonly region: Uint8Array;
  readonly disk: NativeDisk;
  readonly #doorbell = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));

  /** @param regionBytes shared memory that operations may name as region 0. */
  constructor(regionBytes: number, threads = 2) {
    this.region = new Uint8Array(new SharedArrayBuffer(regionBytes));
    const regions = [this.region];
    this.disk = new NativeDisk({
      device: DEVICE,
      regions,
      doorbell: this.#doorbell,
      threads,
      batchCapacity: 1,
    });
  }

  /** Calls back what has ended, after waiting for something to end where nothing has. */
  wait(): void {
    const seen = Atomics.load(this.#doorbell, 0);
    if (this.disk.drainCompletions() === 0) native.waitDoorbell(this.#doorbell, seen, 0, 1000);
  }

  stop(): void {
    this.disk.stop(STOP_MS);
  }
}
