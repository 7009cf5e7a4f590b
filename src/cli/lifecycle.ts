/**
 * One node from start to exit code: signals at any time, a stop that always ends, and the outcome of the start reported once.
 *
 * SIGINT and SIGTERM abort a start that still runs and stop a node that runs; whatever hangs then (a master that does not answer, a thread stuck in a
 * system call of a dead disk) is ended by a deadline. The process's signals and its end are injected, so that tests need no process.
 */
import type { StopSignals } from './stopSignals.js';

/** A started node. `stop` finishes what was taken on, syncs and closes. */
export interface Stoppable {
  stop(): Promise<unknown>;
}

export interface LifecycleOptions<T extends Stoppable> {
  /** Starts the node; should reject soon after `signal` aborts, but need not. */
  readonly start: (signal: AbortSignal) => Promise<T>;
  /** The node serves. */
  readonly onReady: (node: T) => Promise<void>;
  /** The start failed, and not because of a signal. */
  readonly onStartFailed: (error: unknown) => Promise<void>;
  /** Something to say about stopping, one line. */
  readonly announce: (line: string) => void;
  readonly signals: StopSignals;
  /** From the first signal: after this `endNow` is called. */
  readonly deadlineMs: number;
  /** Ends the process at once, whatever its threads do. */
  readonly endNow: (exitCode: number) => void;
}

/** Runs until a signal has stopped the node, or its start has failed. Returns the exit code. */
export async function runUntilSignal<T extends Stoppable>(options: LifecycleOptions<T>): Promise<number> {
  const stopping = new AbortController();
  let deadline: NodeJS.Timeout | undefined;
  let resolveSignal = (): void => {};
  const signalled = new Promise<void>((resolve) => {
    resolveSignal = resolve;
  });
  options.signals.onFirst((name) => {
    options.announce(`${name}: stopping`);
    deadline = setTimeout(() => {
      options.announce(`not stopped after ${options.deadlineMs} ms: ending the process`);
      options.endNow(0);
    }, options.deadlineMs);
    stopping.abort();
    resolveSignal();
  });
  try {
    return await runStages(options, stopping.signal, signalled);
  } finally {
    clearTimeout(deadline);
  }
}

async function runStages<T extends Stoppable>(
  options: LifecycleOptions<T>,
  stopping: AbortSignal,
  signalled: Promise<void>,
): Promise<number> {
  let node: T;
  try {
    node = await options.start(stopping);
  } catch (error) {
    if (stopping.aborted) return 0;
    await options.onStartFailed(error);
    return 1;
  }
  if (!stopping.aborted) await options.onReady(node);
  await signalled;
  try {
    await node.stop();
    return 0;
  } catch (error) {
    options.announce(`stop failed: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
}
