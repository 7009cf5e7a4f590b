/**
 * A log file that is renamed when its rule says so (`rotation.ts`), and opened again when somebody else has moved or removed it. Acts only, within the jobs of
 * its lane.
 *
 * What goes wrong with a rotation is told and counted, and lines go on into the file that is open; only a file that cannot be written at all rejects.
 */
import { dirname } from 'node:path';
import { codeOf, type FileCalls } from './fileCalls.js';
import type { LineOutput } from './logFile.js';
import {
  type Candidate,
  candidatePaths,
  choosePath,
  localDay,
  type RotationRule,
  rotationDue,
} from './rotation.js';

/** How often a file that is written looks whether it is still the one at its path. */
const LOOK_MS = 1_000;
/** After a rotation that failed. */
const ROTATION_RETRY_MS = 10_000;

/** Wall clock for days and names, monotonic clock for intervals. */
export interface LogClock {
  wallMs(): number;
  monotonicMs(): number;
}

export interface RotatingFileParts {
  readonly path: string;
  readonly rule: RotationRule;
  readonly calls: FileCalls;
  readonly clock: LogClock;
  /** Whether space is short. */
  pressed(): boolean;
  /** Hears in words what went wrong; bounds the rate itself. */
  report(what: string): void;
}

interface OpenFile {
  readonly fd: number;
  readonly identity: string;
  /** Pipes and devices are written and never renamed. */
  readonly isFile: boolean;
  sizeBytes: number;
  day: number;
}

export class RotatingFile implements LineOutput {
  readonly path: string;
  readonly #parts: RotatingFileParts;
  #rule: RotationRule;
  #file: OpenFile | null = null;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #rotateAfterMs = Number.NEGATIVE_INFINITY;
  #rotations = 0;
  #rotationErrors = 0;

  constructor(parts: RotatingFileParts) {
    this.path = parts.path;
    this.#parts = parts;
    this.#rule = parts.rule;
  }

  /** Another rule, from the next line on. */
  setRule(rule: RotationRule): void {
    this.#rule = rule;
  }

  get rotations(): number {
    return this.#rotations;
  }

  /** Rotations that failed, and times that the file could not be opened again or looked at. */
  get rotationErrors(): number {
    return this.#rotationErrors;
  }

  /** Opens the file, with its folder when that is not there. Rejects when it cannot be. */
  async open(): Promise<void> {
    const { calls, clock } = this.#parts;
    const fd = await calls.open(this.path).catch(async (error: unknown) => {
      if (codeOf(error) !== 'ENOENT') throw error;
      await calls.makeFolder(dirname(this.path));
      return calls.open(this.path);
    });
    try {
      const { identity, isFile, sizeBytes, modifiedMs } = await calls.factsOf(fd);
      const day = localDay(sizeBytes > 0 ? modifiedMs : clock.wallMs());
      await this.#closeFile();
      this.#file = { fd, identity, isFile, sizeBytes, day };
      this.#lookedMs = clock.monotonicMs();
    } catch (error) {
      await calls.close(fd).catch(() => {});
      throw error;
    }
  }

  async write(bytes: Uint8Array): Promise<number> {
    if (this.#file === null) await this.open();
    else if (this.#parts.clock.monotonicMs() - this.#lookedMs >= LOOK_MS) await this.#follow();
    await this.#rotateIfDue(bytes.length);
    const file = this.#file!;
    const written = await this.#parts.calls.write(file.fd, bytes);
    file.sizeBytes += written;
    return written;
  }

  /** To be called now and then, so that a file is renamed although nobody writes to it. */
  async look(): Promise<void> {
    const file = this.#file;
    if (file === null) return;
    const facts = await this.#factsNow();
    // Only a line that is to be written makes a removed file anew.
    if (facts === 'gone') await this.#closeFile();
    else await this.#rotateIfDue(0);
  }

  /** Goes where the path leads now. */
  async #follow(): Promise<void> {
    if ((await this.#factsNow()) !== 'gone') return;
    try {
      await this.open();
    } catch (error) {
      this.#failed(`cannot be opened again: ${(error as Error).message}`);
    }
  }

  /** Whether another file, or none, is at the path. Somebody may have emptied ours. */
  async #factsNow(): Promise<'same' | 'gone'> {
    const file = this.#file!;
    this.#lookedMs = this.#parts.clock.monotonicMs();
    try {
      const facts = await this.#parts.calls.factsAt(this.path);
      if (facts === null || facts.identity !== file.identity) return 'gone';
      file.sizeBytes = facts.sizeBytes;
    } catch (error) {
      this.#failed(`cannot be looked at: ${(error as Error).message}`);
    }
    return 'same';
  }

  async #rotateIfDue(bytes: number): Promise<void> {
    const { clock, pressed } = this.#parts;
    const rule = this.#rule;
    const file = this.#file!;
    const nowMs = clock.wallMs();
    if (file.sizeBytes === 0) file.day = localDay(nowMs);
    if (!file.isFile || clock.monotonicMs() < this.#rotateAfterMs) return;
    if (!rotationDue(rule, file, bytes, nowMs, pressed())) return;
    try {
      await this.#rotate(nowMs);
      this.#rotations += 1;
    } catch (error) {
      this.#rotateAfterMs = clock.monotonicMs() + ROTATION_RETRY_MS;
      this.#failed(`cannot be rotated: ${(error as Error).message}`);
    }
  }

  async #rotate(nowMs: number): Promise<void> {
    const { calls } = this.#parts;
    const to = await freePath(this.#rule, this.path, nowMs, calls);
    if (to === null) throw new Error('all names for it are taken');
    await calls.rename(this.path, to);
    await this.open();
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    if (file !== null) await this.#parts.calls.close(file.fd).catch(() => {});
  }

  #failed(what: string): void {
    this.#rotationErrors += 1;
    this.#parts.report(what);
  }
}

/** The name to give to the file at `path`; null: all are taken. */
export async function freePath(
  rule: RotationRule,
  path: string,
  nowMs: number,
  calls: FileCalls,
): Promise<string | null> {
  const candidates: Candidate[] = [];
  for (const candidate of candidatePaths(rule, path, nowMs)) {
    const facts = await calls.factsAt(candidate);
    candidates.push({ path: candidate, takenMs: facts?.modifiedMs ?? null });
    if (facts === null) break;
  }
  return choosePath(rule, candidates);
}
