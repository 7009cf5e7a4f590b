/**
 * What has to be done to a folder of log files from time to time: files whose day is over are renamed, renamed ones go when space is short or there are too
 * many, and `output.log` is kept small. Acts only; `rotation.ts` decides.
 *
 * Owned by `log.ts`. Everything runs in one job of the lane, so a round waits for a disk that hangs and the next one is left out. Only files of
 * this folder that are named as `<log file>.<YYYYMMDDhhmmss>.old` are ever removed.
 */
import { join } from 'node:path';
import type { FileCalls } from './fileCalls.js';
import type { FileLane } from './fileLane.js';
import { freePath, type LogClock, type RotatingFile } from './rotatingFile.js';
import { filesToRemove, headRoomBytes, type OldFile, stampOf } from './rotation.js';

/** `output.log` is cut beyond this: it holds start and stop messages, and what a crash leaves on standard error. */
export const OUTPUT_BYTES_MAX = 64 * 1024 ** 2;

export interface UpkeepBounds {
  /** `output.log` is cut beyond this. */
  readonly outputBytesMax: number;
  /** `log.oldBytesMax`, `log.headRoomBytes`. */
  readonly oldBytesMax: number;
  readonly headRoomBytes: number;
}

export interface UpkeepParts {
  readonly folder: string;
  readonly files: () => Iterable<RotatingFile>;
  /** Name of the file that is copied and emptied instead of renamed, because standard error may be open on it. */
  readonly outputName: string;
  /** Names of all files whose renamed ones may go. */
  readonly names: readonly string[];
  readonly bounds: UpkeepBounds;
  readonly lane: FileLane;
  readonly calls: FileCalls;
  readonly clock: LogClock;
  /** Hears in words what went wrong; bounds the rate itself. */
  report(what: string): void;
}

export class LogUpkeep {
  readonly #parts: UpkeepParts;
  #bounds: UpkeepBounds;
  #pressed = false;
  #inLane = false;
  /** Rotations when the renamed files were last listed. */
  #listedAt = -1;
  #removed = 0;
  #errors = 0;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
    this.#bounds = parts.bounds;
  }

  /** Other bounds, from the next round on. */
  setBounds(bounds: UpkeepBounds): void {
    this.#bounds = bounds;
    this.#listedAt = -1;
  }

  /** Space is short although no renamed file is left. */
  get pressed(): boolean {
    return this.#pressed;
  }

  /** Renamed files removed so far. */
  get removed(): number {
    return this.#removed;
  }

  /** Steps that failed. */
  get errors(): number {
    return this.#errors;
  }

  /** Does a round when the one before is over. */
  tick(): void {
    if (this.#inLane) return;
    this.#inLane = true;
    this.#parts.lane.run(async () => {
      for (const file of this.#parts.files()) await this.#attempt('a log file', () => file.look());
      await this.#attempt('output.log', () => this.#cutOutput());
      await this.#attempt('space for logs', () => this.#makeRoom());
      this.#inLane = false;
    });
  }

  async #attempt(what: string, step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.#failed(`${what}: ${(error as Error).message}`);
    }
  }

  /** Whoever has it open, for append, goes on in it. Lines that come between the two calls are lost. */
  async #cutOutput(): Promise<void> {
    const { folder, outputName, calls, clock } = this.#parts;
    const { outputBytesMax } = this.#bounds;
    const path = join(folder, outputName);
    const facts = await calls.factsAt(path);
    if (facts === null || !facts.isFile || facts.sizeBytes <= outputBytesMax) return;
    const rule = { bytesMax: outputBytesMax, daily: false, names: 'stamped' } as const;
    const to = await freePath(rule, path, clock.wallMs(), calls);
    if (to === null) return;
    try {
      await calls.copy(path, to);
    } catch (error) {
      // Half a copy is of no use, and takes space.
      await calls.remove(to).catch(() => {});
      throw error;
    }
    await calls.empty(path);
    this.#listedAt = -1;
  }

  async #makeRoom(): Promise<void> {
    const { folder, calls } = this.#parts;
    const { oldBytesMax } = this.#bounds;
    const { freeBytes, totalBytes } = await calls.space(folder);
    const headRoom = headRoomBytes(this.#bounds.headRoomBytes, totalBytes);
    const rotations = [...this.#parts.files()].reduce((sum, file) => sum + file.rotations, 0);
    const short = freeBytes < headRoom;
    if (!short && (oldBytesMax === 0 || this.#listedAt === rotations)) {
      this.#pressed = false;
      return;
    }
    const old = await this.#oldFiles();
    let free = freeBytes;
    const errorsBefore = this.#errors;
    for (const name of filesToRemove(old, freeBytes, headRoom, oldBytesMax)) {
      await this.#attempt(`${name} cannot be removed`, async () => {
        await calls.remove(join(folder, name));
        this.#removed += 1;
        free += old.find((file) => file.name === name)!.sizeBytes;
      });
    }
    this.#pressed = free < headRoom;
    // What could not be removed is tried again in the next round.
    this.#listedAt = this.#errors === errorsBefore ? rotations : -1;
  }

  async #oldFiles(): Promise<OldFile[]> {
    const { folder, names, calls } = this.#parts;
    const found: OldFile[] = [];
    for (const name of await calls.list(folder)) {
      if (stampOf(name, names) === null) continue;
      const facts = await calls.factsAt(join(folder, name));
      if (facts?.isFile) found.push({ name, sizeBytes: facts.sizeBytes });
    }
    return found;
  }

  #failed(what: string): void {
    this.#errors += 1;
    this.#parts.report(what);
  }
}
