/**
 * Puts the wall clock of a process ahead while it runs: preloaded into every thread of a node (`--import`), it adds the milliseconds that stand in a file. For what takes minutes of being left alone, as extents
 * do before other replicas are told of them; below zero, it is behind. Monotonic clocks and timers stay as they are, as when an operator sets the clock. The one thing that a node leaves to chance, when it asks for the hosts of its partitions for the first
 * time, within 5 s of its start, comes at once if so wanted.
 */
import { existsSync, readFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

/** Names the file; with a `/` at its end the folder of a file for each process, named by its number, which may be missing. */
export const CLOCK_VARIABLE = 'EXTENTD_TEST_CLOCK';
/** `1`: nothing on the main thread is left to chance. */
export const AT_ONCE_VARIABLE = 'EXTENTD_TEST_AT_ONCE';
/** The file is looked into this often, ms. */
const LOOK_MS = 20;

const named = process.env[CLOCK_VARIABLE];
if (named !== undefined) {
  const path = named.endsWith('/') ? `${named}${process.pid}` : named;
  // Workers leave the election timeouts of raft to chance, which must go on.
  if (isMainThread && process.env[AT_ONCE_VARIABLE] === '1') Math.random = () => 0;
  const wallMs = Date.now.bind(Date);
  let aheadMs = 0;
  let lookMs = 0;
  Date.now = () => {
    const now = wallMs();
    if (now >= lookMs) {
      lookMs = now + LOOK_MS;
      aheadMs = path === named || existsSync(path) ? Number(readFileSync(path, 'utf8')) : 0;
    }
    return now + aheadMs;
  };
}
