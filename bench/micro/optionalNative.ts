/** The addon for benchmarks and tests that can also do without it. Production code imports `src/native/addon.ts` and fails when it is missing. */
import type { NativeAddon } from '../../src/native/addon.js';
import { type Wait, type Wake, waitWithAtomics, wakeWithAtomics } from '../../src/shm/doorbell.js';

async function loadNative(): Promise<NativeAddon | null> {
  try {
    return (await import('../../src/native/addon.js')).native;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') return null;
    throw error;
  }
}

/** The addon, or null when it has not been built. */
export const native = await loadNative();

/** How the two ends of a doorbell sleep and wake. */
export interface Waiting {
  readonly wait: Wait;
  readonly wake: Wake;
}
/** Without the addon. */
export const atomicsWaiting: Waiting = { wait: waitWithAtomics, wake: wakeWithAtomics };
/** With the addon where it has been built. */
export const bestWaiting: Waiting =
  native === null
    ? atomicsWaiting
    : { wait: native.waitDoorbell, wake: (words) => void native?.ringDoorbell(words) };
