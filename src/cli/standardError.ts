/**
 * Where the output of a data node's process goes: standard error to `output.log`, as in the reference (`admin.md` 1, step 4), so that what the runtime, the addon or
 * an abort print is kept; what the node itself announces to the terminal or service manager as well.
 *
 * Called by `program.ts`, once, when the log files are open.
 */
import { appendFileSync, closeSync, openSync } from 'node:fs';
import { Writable } from 'node:stream';
import { getSystemErrorName } from 'node:util';
import type { NodeLog } from '../telemetry/log.js';
import { LogFile } from '../telemetry/logFile.js';

/** dup2(2) of the addon: a descriptor of what `target` was before, or a negated errno. */
export type ReplaceDescriptor = (target: number, fd: number) => number;

export type Redirected =
  | { readonly ok: true; readonly before: number }
  | { readonly ok: false; readonly message: string };

/** What is said to people: in `output.log`, and where standard error went before. */
export type Announcer = Pick<NodeLog, 'announce' | 'drain'>;

const STANDARD_ERROR = 2;
/** A terminal that takes nothing (its output stopped) holds so much, then lines are dropped. */
const QUEUED_BYTES_MAX = 64 * 1024;

/** Sends standard error to the file, which is opened for append. `before`: a descriptor of where it went. On failure nothing has changed, and one line says why. */
export function redirectStandardError(path: string, replaceDescriptor: ReplaceDescriptor): Redirected {
  let fd: number;
  try {
    fd = openSync(path, 'a', 0o644);
  } catch (error) {
    return { ok: false, message: `logDir: cannot open output.log: ${(error as Error).message}` };
  }
  const before = replaceDescriptor(STANDARD_ERROR, fd);
  closeSync(fd);
  if (before >= 0) {
    replaceStream();
    return { ok: true, before };
  }
  const reason = getSystemErrorName(before);
  return { ok: false, message: `logDir: standard error cannot be sent to ${path}: ${reason}` };
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

/** Announces through `nodeLog`, which writes to standard error, and to `terminalFd`. */
export function announcerTo(nodeLog: Announcer, terminalFd: number): Announcer {
  // Nobody is left to be told when the terminal fails.
  const terminal = new LogFile(terminalFd, QUEUED_BYTES_MAX, () => {});
  return {
    announce(line) {
      nodeLog.announce(line);
      terminal.write(`${line}\n`);
    },
    async drain(timeoutMs) {
      await Promise.all([nodeLog.drain(timeoutMs), terminal.drain(timeoutMs)]);
    },
  };
}
