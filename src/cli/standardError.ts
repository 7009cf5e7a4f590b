/**
 * Where the output of a data node's process goes: standard error to `output.log`, as in the reference (`admin.md` 1, step 4), so that what the runtime, the addon or
 * an abort print is kept; what the node itself announces to the terminal or service manager as well.
 *
 * Called by `program.ts`, once, before the log files are opened.
 */
import { appendFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { getSystemErrorName } from 'node:util';
import { type FileCalls, isDiskTrouble, nodeFileCalls } from '../telemetry/fileCalls.js';
import type { NodeLog } from '../telemetry/log.js';

/** dup2(2) of the addon: a descriptor of what `target` was before, or a negated errno. */
export type ReplaceDescriptor = (target: number, fd: number) => number;

/** `isOutputLog`: standard error is `output.log` now; `before`: a descriptor of where it went, for what people should hear; null: nothing was changed. */
export type Redirected =
  | { readonly ok: true; readonly isOutputLog: boolean; readonly before: number | null }
  | { readonly ok: false; readonly message: string };

/** What is said to people, and the end of it. */
export type Announcer = Pick<NodeLog, 'announce' | 'drain'>;

const STANDARD_ERROR = 2;

/** How long the start waits for the file to open. */
const OPEN_MS = 3_000;

/**
 * Sends standard error to the file, which is opened for append, its folder made. A disk that is full, fails or hangs leaves it as it was, and the node starts; a path that is wrong, and a redirection
 * that the system refuses, is one line that says why.
 */
export async function redirectStandardError(
  path: string,
  replaceDescriptor: ReplaceDescriptor,
  calls: Pick<FileCalls, 'open' | 'makeFolder' | 'close'> = nodeFileCalls,
  openMs = OPEN_MS,
): Promise<Redirected> {
  let fd: number | null;
  try {
    fd = await openInTime(path, calls, openMs);
  } catch (error) {
    if (isDiskTrouble(error)) return { ok: true, isOutputLog: false, before: null };
    return { ok: false, message: `logDir: cannot open output.log: ${(error as Error).message}` };
  }
  if (fd === null) return { ok: true, isOutputLog: false, before: null };
  const before = replaceDescriptor(STANDARD_ERROR, fd);
  await calls.close(fd);
  if (before >= 0) {
    replaceStream();
    return { ok: true, isOutputLog: true, before };
  }
  const reason = getSystemErrorName(before);
  return { ok: false, message: `logDir: standard error cannot be sent to ${path}: ${reason}` };
}

/** The file's descriptor; null when it did not open in time, and is closed when it does. */
async function openInTime(
  path: string,
  calls: Pick<FileCalls, 'open' | 'makeFolder' | 'close'>,
  openMs: number,
): Promise<number | null> {
  const opening = calls.makeFolder(dirname(path)).then(() => calls.open(path));
  const timeUp = new AbortController();
  const late = sleep(openMs, null, { signal: timeUp.signal }).catch(() => null);
  try {
    const fd = await Promise.race([opening, late]);
    if (fd === null) opening.then((opened) => calls.close(opened)).catch(() => {});
    return fd;
  } finally {
    timeUp.abort();
  }
}

/**
 * `process.stderr` anew. Node's own, made when `node:assert` was loaded, has opened the terminal a second time, under a number of its own. Writes wait, as those of Node's own
 * do for a file: warnings and the like, which are rare.
 */
function replaceStream(): void {
  const stream = new Writable({
    write(chunk: Uint8Array, _encoding, done) {
      try {
        appendFileSync(STANDARD_ERROR, chunk);
      } catch {
        // Nobody is left to be told.
      }
      done();
    },
  });
  const descriptor = { value: Object.assign(stream, { fd: STANDARD_ERROR }), configurable: true };
  Object.defineProperty(process, 'stderr', { ...descriptor, enumerable: true, writable: true });
}
