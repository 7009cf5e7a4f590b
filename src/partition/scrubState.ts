/**
 * How far the scrub of a worker has come, so that it goes on there after a restart: its numbers, and the small file that keeps them. A lost or torn file
 * only costs reading again.
 */
import assert from 'node:assert';
import { join } from 'node:path';
import type { Disk } from '../storage/io.js';
import { FILE_MODE, SCRUB_FILE_PREFIX } from '../storage/layout.js';
import { OPEN_OR_CREATE } from '../storage/partitionFolder.js';
import type { WalkPlace } from './extentWalk.js';

/** All times in unix ms. */
export interface ScrubState extends WalkPlace {
  /** A pass is under way; otherwise the last one has ended. */
  running: boolean;
  /** Begin of the pass of the moment, or of the last one; 0: there was none. */
  startedMs: number;
  /** End of the last whole pass, 0 for none. */
  endedMs: number;
  /** Compared in the pass of the moment, or of the last one. */
  extents: number;
  bytes: number;
  /** Extents of that pass that could not be read, or went on being written to. */
  skipped: number;
}

export const SCRUB_FILE_BYTES = 512;
const VERSION = 1;
const NUMBERS = [
  'partitionId',
  'extentId',
  'startedMs',
  'endedMs',
  'extents',
  'bytes',
  'skipped',
] as const satisfies (keyof ScrubState)[];

/** Nothing was scrubbed yet; the first pass is due an interval after `nowMs`. */
export function freshScrub(nowMs: number): ScrubState {
  return {
    ...{ running: false, startedMs: nowMs, endedMs: 0, partitionId: 0, extentId: 0 },
    ...{ extents: 0, bytes: 0, skipped: 0 },
  };
}

/** Text of `SCRUB_FILE_BYTES` bytes: JSON, blanks, a line feed. */
export function encodeScrub(state: ScrubState): Uint8Array {
  const text = JSON.stringify({ version: VERSION, ...state });
  assert(text.length < SCRUB_FILE_BYTES, 'the numbers of a scrub fit one sector');
  return new TextEncoder().encode(`${text.padEnd(SCRUB_FILE_BYTES - 1)}\n`);
}

/** The state; null when the bytes are not one of this version, whole and in range. */
export function decodeScrub(bytes: Uint8Array): ScrubState | null {
  if (bytes.byteLength !== SCRUB_FILE_BYTES) return null;
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const found = value as Record<string, unknown>;
  if (found['version'] !== VERSION || typeof found['running'] !== 'boolean') return null;
  const state = { ...freshScrub(0), running: found['running'] };
  for (const key of NUMBERS) {
    const number = found[key];
    if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 0) return null;
    state[key] = number;
  }
  return state;
}

/** The file of one worker at its disk's root. Written now and then, never synced. */
export class ScrubFile {
  readonly path: string;
  private readonly disk: Disk;
  private fd = -1;

  /** @param member number of the worker among those of its disk. */
  constructor(disk: Disk, root: string, member: number) {
    this.disk = disk;
    this.path = join(root, `${SCRUB_FILE_PREFIX}${member}`);
  }

  /** Opens the file and reads it; null when it says nothing. Synchronous, at a start. */
  read(): ScrubState | null {
    this.fd = this.disk.open(this.path, OPEN_OR_CREATE, FILE_MODE);
    if (this.fd < 0) return null;
    const bytes = new Uint8Array(SCRUB_FILE_BYTES);
    const got = this.disk.read(this.fd, bytes, 0);
    return got === SCRUB_FILE_BYTES ? decodeScrub(bytes) : null;
  }

  /** Writes the state on an I/O thread, from `bufferAt` of a region that stays as it is until then. `done` when it has ended, however. */
  submit(
    state: ScrubState,
    regions: readonly Uint8Array[],
    region: number,
    bufferAt: number,
    done: () => void,
  ): void {
    if (this.fd < 0) return done();
    regions[region]!.set(encodeScrub(state), bufferAt);
    this.disk.submitPwrite(this.fd, 0, region, bufferAt, SCRUB_FILE_BYTES, done);
  }

  /** Writes the state and closes the file, at a stop. */
  close(state: ScrubState): void {
    if (this.fd < 0) return;
    this.disk.write(this.fd, encodeScrub(state), 0);
    this.disk.close(this.fd);
    this.fd = -1;
  }
}
