/**
 * The probe of a disk (`storage.md` 2, 12; `admin.md` 8.2): a small file at the disk's root is written anew, synced and read back, so that a disk that fails or
 * hangs is noticed without a client. One a disk, run by its first worker from its tick.
 *
 * Everything is submitted work, so the worker goes on when the disk does not. How long the running probe has taken is told to main, which judges it.
 */
import { constants } from 'node:fs';
import type { IoDone } from '../storage/io.js';
import { EAGAIN, reportDiskError } from './ioErrors.js';
import { SCRATCH_PROBE_BYTES, type StoreHost, scratchBytes } from './storeHost.js';

/** The file's name is its content, as the reference has it. */
export const PROBE_FILE = '.diskStatus';
const PROBE_MODE = 0o755;
const TEXT = new TextEncoder().encode(PROBE_FILE);
const NS_PER_MS = 1e6;

type Call = 'open' | 'write' | 'sync' | 'read' | 'close';

export class DiskProbe {
  readonly path: string;
  private readonly host: StoreHost;
  private readonly intervalMs: number;
  /** Places in the scratch region: what is written, and where it is read back. */
  private readonly outOffset: number;
  private readonly inOffset: number;
  private nextMs: number;
  /** Monotonic ms; -1: none runs. */
  private startedMs = -1;
  private fd = -1;
  /** What is wrong with the disk was logged: the same is not said again before a probe succeeds. */
  private complained = '';

  /** Probes the disk at `root` every `intervalMs`, the first time after one interval. */
  constructor(host: StoreHost, root: string, intervalMs: number) {
    this.host = host;
    this.path = `${root}/${PROBE_FILE}`;
    this.intervalMs = intervalMs;
    this.outOffset = scratchBytes(host.disk.batch.capacity) - SCRATCH_PROBE_BYTES;
    this.inOffset = this.outOffset + SCRATCH_PROBE_BYTES / 2;
    this.nextMs = this.nowMs() + intervalMs;
    host.regions[host.scratchRegion]!.set(TEXT, this.outOffset);
  }

  /** How long the running probe has been under way, ms; 0 when none is. */
  get underWayMs(): number {
    return this.startedMs < 0 ? 0 : Math.max(1, this.nowMs() - this.startedMs);
  }

  /** Starts a probe when it is time and none runs. */
  tick(): void {
    const nowMs = this.nowMs();
    if (this.startedMs >= 0 || nowMs < this.nextMs) return;
    this.startedMs = nowMs;
    this.nextMs = nowMs + this.intervalMs;
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC;
    this.host.disk.submitOpen(this.path, flags, PROBE_MODE, ({ result }) => {
      if (result < 0) return this.end('open', result);
      this.fd = result;
      this.write();
    });
  }

  private write(): void {
    const { disk, scratchRegion } = this.host;
    disk.submitPwrite(this.fd, 0, scratchRegion, this.outOffset, TEXT.length, ({ result }) => {
      if (result !== TEXT.length) return this.end('write', result);
      disk.submitFdatasync(this.fd, (io) => {
        if (io.result < 0) return this.end('sync', io.result);
        this.readBack();
      });
    });
  }

  private readBack(): void {
    const { disk, regions, scratchRegion } = this.host;
    const read = regions[scratchRegion]!.subarray(this.inOffset, this.inOffset + TEXT.length);
    read.fill(0);
    disk.submitPread(this.fd, 0, scratchRegion, this.inOffset, TEXT.length, false, ({ result }) => {
      const same = TEXT.every((byte, index) => read[index] === byte);
      this.end('read', result < 0 || (result === TEXT.length && same) ? result : 0);
    });
  }

  /** The probe has ended with the result of its last call: a negated errno, or a count, which is the whole text's when all went well. */
  private end(call: Call, result: number): void {
    this.startedMs = -1;
    if (this.fd >= 0) this.close(this.fd);
    this.fd = -1;
    if (result === TEXT.length) {
      if (this.complained !== '') this.host.log('warn', 'disk probe succeeds again', { path: this.path });
      this.complained = '';
    } else if (result === -EAGAIN) {
      // The I/O queue is full, which says nothing of the disk: once more with the next tick.
      this.nextMs = this.nowMs();
    } else {
      if (result < 0) reportDiskError(this.host, result, call !== 'read');
      const words = result < 0 ? this.host.disk.errnoText(result) : 'not all bytes, or others';
      this.complain(`${call} ${this.path}: ${words}`);
    }
  }

  private complain(problem: string): void {
    if (problem === this.complained) return;
    this.complained = problem;
    this.host.log('error', `disk probe failed: ${problem}`);
  }

  private close(fd: number): void {
    const closed: IoDone = ({ result }) => {
      if (result === -EAGAIN) this.close(fd);
    };
    this.host.disk.submitClose(fd, closed);
  }

  private nowMs(): number {
    return this.host.clock.monotonicNs() / NS_PER_MS;
  }
}
