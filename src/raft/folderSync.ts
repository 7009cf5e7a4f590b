/**
 * What of a folder is not known to be durable, and making it so: the files changed since they were synced last, and the names.
 *
 * A sync that has failed is never made good by a later one: the kernel has dropped the pages and reports nothing the second time. So the errno stays, and is the answer to
 * every later sync of the folder, until it is opened anew and what was lost has been written again from the journal.
 */
import assert from 'node:assert';
import { dirname } from 'node:path';
import type { Disk, IoDone } from '../storage/io.js';
import type { SharedFd } from './sharedFd.js';
import type { WhenDurable } from './types.js';

/** The submission queue was full: nothing was tried. */
const EAGAIN = 11;

/** A file whose content may not be durable, held open: the fd that was there when it changed is the one that is told of a failed write-back. */
interface Changed {
  file: SharedFd;
  change: number;
}

export class FolderSync {
  readonly #disk: Disk;
  readonly #path: string;
  /** By path: the fd and the number of the last change. */
  readonly #changed = new Map<string, Changed>();
  #changes = 0;
  /** Number of the last change of names; 0 when they are durable. */
  #names = 0;
  /** The folder's own name as well, in the folder above. */
  #ownName = false;
  #failed = 0;

  constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.#path = path;
  }

  /** Something may not be durable. */
  get dirty(): boolean {
    return this.#changed.size > 0 || this.#names > 0;
  }

  /** The content of the file at `path` has changed. It is kept open until that is durable, or forgotten. */
  changed(path: string, file: SharedFd): void {
    this.#changes += 1;
    const known = this.#changed.get(path);
    if (known !== undefined) {
      known.change = this.#changes;
      return;
    }
    file.hold();
    this.#changed.set(path, { file, change: this.#changes });
  }

  /** A file was made or removed. */
  namesChanged(): void {
    this.#changes += 1;
    this.#names = this.#changes;
  }

  /** As `namesChanged`, and the folder itself may be new. */
  ownNameChanged(): void {
    this.namesChanged();
    this.#ownName = true;
  }

  /** The file at `path` is removed: its content is of no interest any more. */
  forget(path: string): void {
    this.#changed.get(path)?.file.release();
    this.#changed.delete(path);
  }

  /** Lets go of all files, which may not be durable. */
  forgetAll(): void {
    for (const path of [...this.#changed.keys()]) this.forget(path);
    this.#names = 0;
  }

  /** Submits what makes durable everything that was changed before the call; `done` is called when it is, at once when nothing is to be done. */
  submit(done: WhenDurable): void {
    const works: ((done: IoDone) => void)[] = [];
    for (const [path, { file, change }] of this.#changed)
      works.push((ended) => this.#submitFile(path, file, change, ended));
    for (const path of this.#changedFolders())
      works.push((ended) => this.#disk.submitFsyncFolder(path, ended));
    const names = this.#names;
    let left = works.length;
    let errno = this.#failed;
    if (errno < 0 || left === 0) return done(errno);
    for (const work of works) {
      work(({ result }) => {
        errno = Math.min(errno, this.#ended(result));
        left -= 1;
        if (left > 0) return;
        if (errno === 0) this.#namesDurable(names);
        done(errno);
      });
    }
  }

  /** The same, now. 0 or a negated errno. */
  now(): number {
    if (this.#failed < 0) return this.#failed;
    for (const [path, { file, change }] of [...this.#changed]) {
      const synced = this.#ended(this.#disk.fdatasync(file.fd));
      if (synced < 0) return synced;
      this.#durable(path, file, change);
    }
    for (const path of this.#changedFolders()) {
      const synced = this.#ended(this.#disk.fsyncFolder(path));
      if (synced < 0) return synced;
    }
    this.#namesDurable(this.#names);
    return 0;
  }

  #submitFile(path: string, file: SharedFd, change: number, ended: IoDone): void {
    file.hold();
    this.#disk.submitFdatasync(file.fd, (result) => {
      if (result.result === 0) this.#durable(path, file, change);
      file.release();
      ended(result);
    });
  }

  #changedFolders(): string[] {
    if (this.#names === 0) return [];
    return this.#ownName ? [this.#path, dirname(this.#path)] : [this.#path];
  }

  /** The file is durable as of `change`. */
  #durable(path: string, file: SharedFd, change: number): void {
    const known = this.#changed.get(path);
    if (known?.file === file && known.change === change) this.forget(path);
  }

  #namesDurable(names: number): void {
    if (names === 0) return;
    this.#ownName = false;
    if (this.#names === names) this.#names = 0;
  }

  /** An fsync's result, remembered when it is a failure. */
  #ended(result: number): number {
    assert(result <= 0, 'an fsync gives 0 or an errno');
    if (result < 0 && result !== -EAGAIN) this.#failed = result;
    return result;
  }
}
