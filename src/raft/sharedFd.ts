/**
 * An fd that several may use at a time: the folder that writes it, and submitted fdatasyncs that have not ended. The last one to let go closes it, so that
 * a number is never given to another file while work on the old one is under way.
 */
import assert from 'node:assert';
import type { Disk } from '../storage/io.js';

export class SharedFd {
  readonly fd: number;
  readonly #disk: Disk;
  #holders = 1;

  /** `fd` is open and has one holder, the caller. */
  constructor(disk: Disk, fd: number) {
    assert(fd >= 0, 'a shared fd is open');
    this.#disk = disk;
    this.fd = fd;
  }

  hold(): void {
    assert(this.#holders > 0, 'the fd is closed');
    this.#holders += 1;
  }

  release(): void {
    assert(this.#holders > 0, 'the fd is closed');
    this.#holders -= 1;
    if (this.#holders === 0) this.#disk.close(this.fd);
  }
}
