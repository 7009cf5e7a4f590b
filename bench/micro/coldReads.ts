/**
 * Small random reads of data that is not in memory, in the three ways a node could do them: through the page cache, the same with readahead switched off
 * (posix_fadvise), and past it (`directReadBytes`). `node dist/bench/micro/coldReads.js FOLDER [MiB 2048] [bytes a read 4096] [threads 4] [seconds 2] [rounds 3]`.
 *
 * As in the node each read is tried without waiting first, and what is cold goes to an I/O thread; as many are in flight as there are threads. Before each row
 * the kernel is asked to forget the files. A file of an eighth of the data, read twice, stands for what others use: the last column is how much of it is still
 * in memory afterwards, which tells something only where memory is short (a memory cgroup).
 */
import assert from 'node:assert';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { native } from '../../src/native/addon.js';
import { NativeDisk } from '../../src/storage/nativeDisk.js';

type Way = 'cache' | 'random' | 'direct';
const WAYS: Way[] = ['cache', 'random', 'direct'];
const MiB = 1024 * 1024;
const PAGE = 4096;
const FILES = 16;
const O_RDWR_CREAT = 0o102;
/** posix_fadvise(2). */
const ADVICE_RANDOM = 1;
const ADVICE_FORGET = 4;
const EAGAIN = 11;
/** Reads of a batch when pages are counted. */
const LOOKS = 256;

interface Row {
  readsPerSecond: number;
  p50us: number;
  p99us: number;
  /** Bytes that came from the device for each byte asked for. */
  deviceBytes: number;
  /** Cold data in memory afterwards, and the share of the other file that still is. */
  cachedMiB: number;
  hotShare: number;
}

class ColdReads {
  private readonly readBytes: number;
  private readonly threads: number;
  private readonly fileBytes: number;
  private readonly disk: NativeDisk;
  private readonly doorbell = new Int32Array(new SharedArrayBuffer(8));
  private readonly cold: number[];
  private readonly hot: number;

  constructor(folder: string, totalMiB: number, readBytes: number, threads: number) {
    this.readBytes = readBytes;
    this.threads = threads;
    this.fileBytes = Math.floor((totalMiB * MiB) / FILES / PAGE) * PAGE;
    const regions = [new Uint8Array(new SharedArrayBuffer(Math.max(threads * readBytes, MiB)))];
    const { doorbell } = this;
    this.disk = new NativeDisk({ device: 0, regions, doorbell, threads, batchCapacity: LOOKS });
    const piece = Buffer.alloc(Math.min(MiB, this.fileBytes), 'not zeros ');
    const make = (name: string, bytes: number): number => {
      const fd = native.openSync(join(folder, name), O_RDWR_CREAT, 0o644);
      for (let at = 0; at < bytes; at += piece.length)
        assert(native.pwriteSync(fd, piece, at) === piece.length);
      assert(native.fdatasyncSync(fd) === 0);
      native.adviseSync(fd, ADVICE_FORGET);
      return fd;
    };
    this.cold = Array.from({ length: FILES }, (_, index) => make(`cold${index}`, this.fileBytes));
    this.hot = make('hot', this.fileBytes * 2);
  }

  /** One row: cold reads for some time. */
  run(way: Way, seconds: number, random: () => number): Row {
    for (const fd of [...this.cold, this.hot]) native.adviseSync(fd, ADVICE_FORGET);
    const piece = new Uint8Array(MiB);
    for (const _ of ['first', 'second'])
      for (let at = 0; native.preadSync(this.hot, piece, at) > 0; at += MiB);
    const opened = this.cold.map((_, file) => native.openSync(this.path(file), O_RDWR_CREAT, 0));
    if (way === 'random') for (const fd of opened) native.adviseSync(fd, ADVICE_RANDOM);
    const startedBytes = deviceBytesRead();
    const startedNs = native.monotonicNs();
    const tookUs = this.read(opened, way === 'direct', seconds, random).sort((a, b) => a - b);
    const spentNs = native.monotonicNs() - startedNs;
    const asked = tookUs.length * this.readBytes;
    const deviceBytes = (deviceBytesRead() - startedBytes) / asked;
    for (const fd of opened) native.closeSync(fd);
    const at = (share: number): number => tookUs[Math.floor(tookUs.length * share)]!;
    return {
      ...{ readsPerSecond: tookUs.length / (spentNs / 1e9), p50us: at(0.5), p99us: at(0.99), deviceBytes },
      cachedMiB: (this.cold.reduce((sum, fd) => sum + this.cachedPages(fd), 0) * PAGE) / MiB,
      hotShare: (this.cachedPages(this.hot) * PAGE) / (this.fileBytes * 2),
    };
  }

  stop(): void {
    for (const fd of [...this.cold, this.hot]) native.closeSync(fd);
    assert(this.disk.stop(10_000));
  }

  private path(file: number): string {
    return `/proc/self/fd/${this.cold[file]}`;
  }

  /** Keeps as many random reads in flight as there are threads; microseconds that each took. */
  private read(fds: number[], direct: boolean, seconds: number, random: () => number): number[] {
    const { disk, readBytes } = this;
    const endNs = native.monotonicNs() + seconds * 1e9;
    const tookUs: number[] = [];
    const places = Math.floor((this.fileBytes - readBytes) / PAGE) + 1;
    let waiting = Array.from({ length: this.threads }, (_, lane) => lane);
    let flying = 0;
    while (waiting.length > 0 || flying > 0) {
      const lanes = native.monotonicNs() < endNs ? waiting : [];
      waiting = [];
      const reads = lanes.map((lane) => ({
        ...{ lane, fd: fds[Math.floor(random() * FILES)]!, startNs: native.monotonicNs() },
        offset: Math.floor(random() * places) * PAGE,
      }));
      for (const { fd, offset, lane } of reads)
        disk.batch.pread(fd, offset, 0, lane * readBytes, readBytes, true, true, direct);
      disk.runBatch();
      const ended = (lane: number, startNs: number): void => {
        tookUs.push((native.monotonicNs() - startNs) / 1000);
        waiting.push(lane);
      };
      for (const [index, { fd, offset, lane, startNs }] of reads.entries()) {
        if (disk.batch.result(index) === readBytes) {
          ended(lane, startNs);
          continue;
        }
        flying += 1;
        const done = ({ result, value0 }: { result: number; value0: number }): void => {
          assert(result === readBytes, `a read of ${readBytes} answered ${result}`);
          assert(value0 === 0, `direct reads are refused: ${native.errnoText(value0)}`);
          flying -= 1;
          ended(lane, startNs);
        };
        disk.submitPread(fd, offset, 0, lane * readBytes, readBytes, true, done, direct);
      }
      disk.batch.clear();
      while (waiting.length === 0 && flying > 0) {
        const seen = Atomics.load(this.doorbell, 0);
        if (disk.drainCompletions() === 0) native.waitDoorbell(this.doorbell, seen, 0, 1000);
      }
    }
    return tookUs;
  }

  /** Pages of a file that are in memory, looked at without reading any in. */
  private cachedPages(fd: number): number {
    const { batch } = this.disk;
    const pages = (fd === this.hot ? 2 : 1) * (this.fileBytes / PAGE);
    let cached = 0;
    for (let first = 0; first < pages; first += LOOKS) {
      const count = Math.min(LOOKS, pages - first);
      for (let i = 0; i < count; i++) batch.pread(fd, (first + i) * PAGE, 0, 0, 1, true, false, true);
      this.disk.runBatch();
      for (let i = 0; i < count; i++) if (batch.result(i) !== -EAGAIN) cached += 1;
      batch.clear();
    }
    return cached;
  }
}

/** Bytes that this process caused to be read from devices. */
function deviceBytesRead(): number {
  return Number(/^read_bytes: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))![1]);
}

/** A small generator with a seed (mulberry32): every way of a round reads the same places. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

function median(rows: Row[], field: keyof Row): number {
  return rows.map((row) => row[field]).sort((a, b) => a - b)[Math.floor(rows.length / 2)]!;
}

function main(): void {
  const [folder, ...numbers] = process.argv.slice(2);
  const [totalMiB = 2048, readBytes = 4096, threads = 4, seconds = 2, rounds = 3] = numbers.map(Number);
  const fits = [totalMiB, readBytes, threads, rounds].every((n) => Number.isSafeInteger(n) && n > 0);
  assert(
    folder !== undefined && fits && seconds > 0,
    'FOLDER [MiB] [bytes a read] [threads] [seconds] [rounds]',
  );
  assert(threads <= 64 && readBytes <= 128 * 1024, 'at most 64 threads and 128 KiB a read');
  assert((totalMiB * MiB) / FILES >= readBytes + PAGE, 'more data than that');
  const own = mkdtempSync(join(folder, 'coldReads-'));
  try {
    const bench = new ColdReads(own, totalMiB, readBytes, threads);
    const rows = new Map<Way, Row[]>(WAYS.map((way) => [way, []]));
    for (let round = 1; round <= rounds; round++)
      for (const way of WAYS) rows.get(way)!.push(bench.run(way, seconds, generator(round)));
    bench.stop();
    console.log(
      `${'way'.padEnd(8)}${'reads/s'.padStart(9)}${'p50 µs'.padStart(8)}${'p99 µs'.padStart(8)}` +
        `${'device/asked'.padStart(14)}${'cold in memory'.padStart(16)}${'hot left'.padStart(10)}`,
    );
    for (const [way, ofWay] of rows) {
      const value = (field: keyof Row, digits: number): string => median(ofWay, field).toFixed(digits);
      const hot = `${(median(ofWay, 'hotShare') * 100).toFixed(0)} %`;
      console.log(
        `${way.padEnd(8)}${value('readsPerSecond', 0).padStart(9)}${value('p50us', 0).padStart(8)}${value('p99us', 0).padStart(8)}` +
          `${value('deviceBytes', 2).padStart(14)}${`${value('cachedMiB', 1)} MiB`.padStart(16)}${hot.padStart(10)}`,
      );
    }
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}

main();
