/**
 * Reads what `node --trace-gc` prints: how much each V8 heap of a process allocated, in units of 0.1 MiB. The lines of all threads go to standard output, each with
 * the address of its heap. Pure.
 */

const LINE =
  /^\[\d+:(0x[0-9a-f]+)\]\s+\d+ ms: (?:Scavenge|Mark-Compact).*? ([\d.]+) \([\d.]+\) -> ([\d.]+) \(/;
const MiB = 1024 * 1024;

/**
 * Bytes allocated by all heaps between the first and the last collection of each in `text`, and how many collections there were. Between two collections of one heap
 * its size grows by what was allocated.
 */
export function allocatedBytes(text: string): { bytes: number; collections: number } {
  const sizeAfter = new Map<string, number>();
  let bytes = 0;
  let collections = 0;
  for (const line of text.split('\n')) {
    const match = LINE.exec(line);
    if (match === null) continue;
    const [, heap = '', before, after] = match;
    const last = sizeAfter.get(heap);
    if (last !== undefined) bytes += Math.max(0, Number(before) - last) * MiB;
    sizeAfter.set(heap, Number(after));
    collections++;
  }
  return { bytes, collections };
}
