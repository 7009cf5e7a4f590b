/**
 * A simulated disk on which one call of the folder's code ends otherwise: the process is killed in it, or it fails. Calls that change or sync something are counted; a kill in a write may
 * leave its beginning.
 */

import type { Random } from '../sim/random.js';
import { SimDisk, type SimDiskOptions } from '../sim/simDisk.js';
import type { SimFolder } from '../sim/simFolder.js';

/** Thrown by the call in which the process is killed. */
export class Killed extends Error {}

/** What happens at call number `at`, from 1 on: a kill, or a negated errno; a write may move some bytes before. */
export interface Mishap {
  at: number;
  errno: number;
  random: Random;
}

export class CallDisk extends SimDisk {
  /** Calls since `arm`. */
  calls = 0;
  #mishap: Mishap | null = null;

  /** `errno` 0: the process is killed. */
  arm(mishap: Mishap | null): void {
    this.#mishap = mishap;
    this.calls = 0;
  }

  override open(path: string, flags: number, mode: number): number {
    return this.#call(() => super.open(path, flags, mode));
  }

  override truncate(fd: number, sizeBytes: number): number {
    return this.#call(() => super.truncate(fd, sizeBytes));
  }

  override unlink(path: string): number {
    return this.#call(() => super.unlink(path));
  }

  override mkdir(path: string, mode: number): number {
    return this.#call(() => super.mkdir(path, mode));
  }

  override scan(path: string): ReturnType<SimDisk['scan']> {
    return this.#call(() => super.scan(path));
  }

  override read(fd: number, into: Uint8Array, fileOffset: number): number {
    return this.#call(() => super.read(fd, into, fileOffset));
  }

  override write(fd: number, from: Uint8Array, fileOffset: number): number {
    const some = (random: Random): void => {
      // META lies within a page: the kernel writes it whole or not at all.
      const bytes = this.pathOf(fd).endsWith('META') ? 0 : random.below(from.byteLength);
      super.write(fd, from.subarray(0, bytes), fileOffset);
    };
    return this.#call(() => super.write(fd, from, fileOffset), some);
  }

  protected override successor(options: SimDiskOptions, root: SimFolder): CallDisk {
    return new CallDisk(options, root);
  }

  #call<T>(run: () => T | number, before: (random: Random) => void = () => {}): T | number {
    this.calls += 1;
    if (this.calls !== this.#mishap?.at) return run();
    const { errno, random } = this.#mishap;
    this.#mishap = null;
    before(random);
    if (errno === 0) throw new Killed();
    return errno;
  }
}
