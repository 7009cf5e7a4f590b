/** How the rings use a doorbell: look at the sequence, look for work, and only then wait for the sequence to change. */
import { native } from '../../src/native/addon.js';

/** Waits until `counts[index]` has reached `wanted`; false when nothing rang for 20 s. Every third wait spins first. */
export function waitForCount(bell: Int32Array, counts: Int32Array, index: number, wanted: number): boolean {
  for (;;) {
    const seen = Atomics.load(bell, 0);
    if (Atomics.load(counts, index) >= wanted) return true;
    if (native.waitDoorbell(bell, seen, wanted % 3 === 0 ? 5_000 : 0, 20_000) === 0) return false;
  }
}
