/**
 * What a durable write costs, by what the file is like before: growing, preallocated with fallocate, full of zeros. One write at a time through the addon's I/O threads, as one
 * durable operation (RWF_DSYNC) and as a write and an fdatasync. `node dist/bench/micro/durableWrites.js FOLDER [bytes] [seconds a row]`.
 */
import assert from 'node:assert';
import { constants, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { MiB } from '../../src/storage/layout.js';
import { BenchDisk } from './benchDisk.js';

const FILE_BYTES = 32 * MiB;
const FILES = ['growing', 'preallocated', 'overwritten'] as const;
const WAYS = ['durable write', 'write + fdatasync'] as const;

/** A file of a kind; its fd. */
function makeFile({ disk, region }: BenchDisk, path: string, kind: (typeof FILES)[number]): number {
  const fd = disk.open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  assert(fd >= 0, 'the folder can be written to');
  if (kind === 'preallocated') assert.equal(disk.fallocate(fd, false, 0, FILE_BYTES), 0);
  if (kind === 'overwritten') {
    const zeros = new Uint8Array(MiB);
    for (let at = 0; at < FILE_BYTES; at += MiB) assert.equal(disk.write(fd, zeros, at), MiB);
  }
  assert.equal(disk.fdatasync(fd), 0);
  region.fill(0x5a);
  return fd;
}

/** Durable writes a second. */
function measure(
  bench: BenchDisk,
  fd: number,
  way: (typeof WAYS)[number],
  bytes: number,
  seconds: number,
): number {
  const { disk } = bench;
  let count = 0;
  let ended = true;
  let at = 0;
  const done = ({ result }: { result: number }): void => {
    assert(result >= 0, disk.errnoText(result));
    count += 1;
    ended = true;
  };
  const startedMs = performance.now();
  while (!ended || performance.now() < startedMs + seconds * 1000) {
    if (ended) {
      ended = false;
      if (way === 'durable write') disk.submitPwrite(fd, at, 0, 0, bytes, done, true);
      else disk.submitPwrite(fd, at, 0, 0, bytes, () => disk.submitFdatasync(fd, done));
      at = at + 2 * bytes > FILE_BYTES ? 0 : at + bytes;
    }
    bench.wait();
  }
  return count / ((performance.now() - startedMs) / 1000);
}

function main(): void {
  const [root, bytesText = '8192', secondsText = '1'] = process.argv.slice(2);
  const [bytes, seconds] = [Number(bytesText), Number(secondsText)];
  assert(
    root !== undefined && bytes > 0 && bytes <= MiB && seconds > 0,
    'FOLDER [bytes, 1 MiB at most] [seconds]',
  );
  const folder = mkdtempSync(join(root, 'durable-'));
  const bench = new BenchDisk(MiB);
  try {
    for (const kind of FILES) {
      for (const way of WAYS) {
        const fd = makeFile(bench, join(folder, `${kind} ${way}`), kind);
        const rate = measure(bench, fd, way, bytes, seconds);
        console.log(
          `${kind.padEnd(14)}${way.padEnd(20)}${rate.toFixed(0).padStart(7)} writes/s of ${bytes} bytes`,
        );
        bench.disk.close(fd);
      }
    }
  } finally {
    bench.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

main();
