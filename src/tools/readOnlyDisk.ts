/**
 * A disk that cannot be changed: `Disk` for the tools, over the addon's synchronous calls. Whatever would change a byte, a name, a size or a lock is a
 * broken invariant of the caller and throws before the kernel is asked.
 */
import assert from 'node:assert';
import { constants } from 'node:fs';
import { native } from '../native/addon.js';
import type { Disk, FileSystemSpace, FolderEntry, FolderScans, IoBatch } from '../storage/io.js';
import { scanFolder } from '../storage/nativeDisk.js';

export class ReadOnlyDisk implements Disk {
  get batch(): IoBatch {
    return refuse('a batch');
  }

  runBatch(): number {
    return refuse('runBatch');
  }

  submitBatch(): void {
    refuse('submitBatch');
  }

  submitPwrite(): void {
    refuse('submitPwrite');
  }

  submitPread(): void {
    refuse('submitPread');
  }

  submitOpen(): void {
    refuse('submitOpen');
  }

  submitClose(): void {
    refuse('submitClose');
  }

  submitFdatasync(): void {
    refuse('submitFdatasync');
  }

  submitFsyncFolder(): void {
    refuse('submitFsyncFolder');
  }

  submitUnlink(): void {
    refuse('submitUnlink');
  }

  submitRename(): void {
    refuse('submitRename');
  }

  submitRemoveTree(): void {
    refuse('submitRemoveTree');
  }

  submitStatfs(): void {
    refuse('submitStatfs');
  }

  submitSeek(): void {
    refuse('submitSeek');
  }

  submitFstat(): void {
    refuse('submitFstat');
  }

  submitTruncate(): void {
    refuse('submitTruncate');
  }
  submitFallocate(): void {
    refuse('submitFallocate');
  }

  drainCompletions(): number {
    return 0;
  }

  pending(): number {
    return 0;
  }

  /** For reading only. A named pipe in the place of a file does not hold the tool up: its reads fail. */
  open(path: string, flags: number, _mode: number): number {
    if (flags !== constants.O_RDONLY) refuse(`open for writing: ${path}`);
    return native.openSync(path, constants.O_RDONLY | constants.O_NONBLOCK, 0);
  }

  close(fd: number): number {
    return native.closeSync(fd);
  }

  read(fd: number, into: Uint8Array, fileOffset: number): number {
    return native.preadSync(fd, into, fileOffset);
  }

  write(_fd: number, _from: Uint8Array, _fileOffset: number): number {
    return refuse('write');
  }

  fdatasync(_fd: number): number {
    return refuse('fdatasync');
  }

  fsyncFolder(_path: string): number {
    return refuse('fsyncFolder');
  }

  truncate(_fd: number, _sizeBytes: number): number {
    return refuse('truncate');
  }

  fallocate(): number {
    return refuse('fallocate');
  }

  seekData(fd: number, offset: number): number {
    return native.seekDataSync(fd, offset);
  }

  seekHole(fd: number, offset: number): number {
    return native.seekHoleSync(fd, offset);
  }

  rename(): number {
    return refuse('rename');
  }

  unlink(_path: string): number {
    return refuse('unlink');
  }

  mkdir(): number {
    return refuse('mkdir');
  }

  removeTree(): number {
    return refuse('removeTree');
  }

  lock(_fd: number): number {
    return refuse('lock');
  }

  statfs(path: string): FileSystemSpace | number {
    const [blocks, availableBlocks, blockBytes] = native.statfsSync(path);
    if (availableBlocks === undefined || blockBytes === undefined) return blocks!;
    return { blocks: blocks!, availableBlocks, blockBytes };
  }

  scan(path: string): FolderEntry[] | number {
    return scanFolder(path);
  }

  scanAll(paths: readonly string[]): FolderScans {
    let next = 0;
    return { next: () => this.scan(paths[next++]!) };
  }

  errnoText(errno: number): string {
    return native.errnoText(errno);
  }
}

function refuse(what: string): never {
  assert.fail(`a read-only disk was asked for ${what}`);
}
