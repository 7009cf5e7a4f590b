/**
 * A `DiskIo` with all its memory and a temp folder, for the tests of the addon; reads and writes the tables as `addon.ts` documents them,
 * without the storage code's help.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  COMPLETION_BYTES,
  type DiskIo,
  type DiskIoOptions,
  native,
  OP_ENTRY_BYTES,
} from '../../src/native/addon.js';

export interface EntryFields {
  code: number;
  flags?: number;
  fd?: number;
  length?: number;
  offset?: number;
  bufferOffset?: number;
  region?: number;
  value?: number;
}

export interface Completion {
  token: number;
  result: number;
  crc: number;
  values: [number, number, number, number];
}

// Every rig of a test file gets a device of its own, because faults are set a device.
let nextDevice = 0;

export class DiskRig {
  readonly folder = mkdtempSync(join(tmpdir(), 'extentd-native-'));
  readonly region = new Uint8Array(new SharedArrayBuffer(1 << 20));
  readonly table = new DataView(new SharedArrayBuffer(128 * OP_ENTRY_BYTES));
  readonly completions = new DataView(new SharedArrayBuffer(64 * COMPLETION_BYTES));
  readonly doorbell = new Int32Array(new SharedArrayBuffer(8));
  readonly device = nextDevice++;
  readonly io: DiskIo;

  constructor(threads = 2) {
    this.io = native.createDiskIo(this.options(threads));
  }

  options(threads: number): DiskIoOptions {
    return {
      device: this.device,
      regions: [this.region],
      opTable: new Uint8Array(this.table.buffer),
      completions: new Uint8Array(this.completions.buffer),
      doorbell: this.doorbell,
      threads,
    };
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Opens a new or existing file for reading and writing. */
  open(name: string): number {
    const fd = native.openSync(this.path(name), 0o102, 0o644);
    if (fd < 0) throw new Error(`open ${name}: ${native.errnoText(fd)}`);
    return fd;
  }

  entry(index: number, fields: EntryFields): void {
    const at = index * OP_ENTRY_BYTES;
    this.table.setUint32(at, fields.code, true);
    this.table.setUint32(at + 4, fields.flags ?? 0, true);
    this.table.setInt32(at + 8, fields.fd ?? -1, true);
    this.table.setUint32(at + 12, fields.length ?? 0, true);
    this.table.setFloat64(at + 16, fields.offset ?? 0, true);
    this.table.setFloat64(at + 24, fields.bufferOffset ?? 0, true);
    this.table.setUint32(at + 32, fields.region ?? 0, true);
    this.table.setFloat64(at + 48, fields.value ?? 0, true);
  }

  /** Fills the table from entry 0 and runs it; returns the results. */
  run(...entries: EntryFields[]): number[] {
    for (const [index, fields] of entries.entries()) this.entry(index, fields);
    this.io.runBatch(0, entries.length);
    return entries.map((_, index) => this.result(index));
  }

  result(index: number): number {
    return this.table.getInt32(index * OP_ENTRY_BYTES + 36, true);
  }

  crc(index: number): number {
    return this.table.getUint32(index * OP_ENTRY_BYTES + 40, true);
  }

  value(index: number): number {
    return this.table.getFloat64(index * OP_ENTRY_BYTES + 48, true);
  }

  /** Waits, 20 s at most, for `count` completions; in the order in which they ended. */
  take(count: number): Completion[] {
    const taken: Completion[] = [];
    const deadlineMs = Date.now() + 20_000;
    while (taken.length < count) {
      if (Date.now() > deadlineMs) throw new Error(`${taken.length} of ${count} completions in 20 s`);
      const seen = Atomics.load(this.doorbell, 0);
      const found = this.io.takeCompletions(64);
      for (let index = 0; index < found; index++) taken.push(this.#completion(index));
      if (found === 0) native.waitDoorbell(this.doorbell, seen, 0, 1000);
    }
    return taken;
  }

  #completion(index: number): Completion {
    const at = index * COMPLETION_BYTES;
    const value = (slot: number): number => this.completions.getFloat64(at + 16 + slot * 8, true);
    return {
      token: this.completions.getFloat64(at, true),
      result: this.completions.getInt32(at + 8, true),
      crc: this.completions.getUint32(at + 12, true),
      values: [value(0), value(1), value(2), value(3)],
    };
  }

  /** Submits an operation on a path and waits for it. */
  onPath(code: number, path: string, path2 = '', a = 0, b = 0): Completion {
    this.io.submitPath(code, path, path2, a, b, 77);
    return this.take(1)[0]!;
  }

  /** Submits an operation on an fd and waits for it. */
  onFd(code: number, fd: number, a = 0, b = 0): Completion {
    this.io.submitFd(code, fd, a, b, 78);
    return this.take(1)[0]!;
  }

  /** Ends the threads and removes the folder; false when a thread was stuck. */
  end(): boolean {
    native.clearFaults(this.device);
    const ended = this.io.close(10_000);
    rmSync(this.folder, { recursive: true, force: true });
    return ended;
  }
}
