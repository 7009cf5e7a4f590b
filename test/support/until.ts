/** Waiting for a condition with a bound, for every test that watches something it cannot await. */

/** Waits for a condition, looked at every few ms, at most `timeoutMs`; throws with `what` after that. */
export async function until(what: string, condition: () => boolean, timeoutMs = 10_000): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`timed out: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** The same for a condition that has to be asked for; a rejected question counts as "not yet". Resolves with its first value that is not null. */
export async function untilAnswer<T>(
  what: string,
  ask: () => Promise<T | null>,
  timeoutMs = 10_000,
): Promise<T> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const value = await ask().catch(() => null);
    if (value !== null) return value;
    if (performance.now() > deadlineMs) throw new Error(`timed out: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
