/**
 * The dumb twin of a group's folder: what files the reference leaves after the same operations (`raft.md` 6.4), told by plain arrays and written out anew each time. One difference: an
 * empty file is never sealed.
 */
import type { HardState, RaftEntry } from '../../src/protocol/raftStructs.js';
import { crc32c } from '../../src/storage/crc32c.js';
import type { RecordedFile } from './folderRig.js';

interface TwinFile {
  seq: number;
  index: number;
  entries: RaftEntry[];
  sealed: boolean;
}

export class GoTwin {
  files: TwinFile[] = [{ seq: 1, index: 1, entries: [], sealed: false }];
  hardState: HardState = { term: 0, vote: 0, commit: 0 };
  cutIndex = 0;
  cutTerm = 0;
  metaBytes = 0;
  private readonly fileBytesMax: number;

  constructor(fileBytesMax: number) {
    this.fileBytesMax = fileBytesMax;
  }

  get lastIndex(): number {
    return this.all.at(-1)?.index ?? this.cutIndex;
  }

  /** The entries behind the cut. */
  get all(): RaftEntry[] {
    return this.files.flatMap(({ entries }) => entries).filter(({ index }) => index > this.cutIndex);
  }

  term(index: number): number {
    return index === this.cutIndex ? this.cutTerm : this.all[index - this.cutIndex - 1]!.term;
  }

  append(entries: readonly RaftEntry[]): void {
    const first = entries[0]!.index;
    if (first <= this.lastIndex) this.truncateBack(first);
    for (const entry of entries) {
      const active = this.files.at(-1)!;
      const bytes = active.entries.reduce((sum, other) => sum + 30 + other.data.byteLength, 0);
      if (active.entries.length > 0 && bytes + 30 + entry.data.byteLength > this.fileBytesMax) {
        active.sealed = true;
        this.files.push({ seq: active.seq + 1, index: entry.index, entries: [], sealed: false });
      }
      this.files.at(-1)!.entries.push(entry);
    }
  }

  cut(index: number, term: number): void {
    this.metaBytes = 40;
    [this.cutIndex, this.cutTerm] = [index, term];
    while (this.files.length > 1 && this.files[1]!.index - 1 <= index) this.files.shift();
  }

  reset(index: number, term: number, hardState: HardState): void {
    this.metaBytes = 40;
    this.hardState = { ...hardState, commit: index };
    [this.cutIndex, this.cutTerm] = [index, term];
    this.files = [{ seq: 1, index: 1, entries: [], sealed: false }];
  }

  setHardState(hardState: HardState): void {
    this.metaBytes = Math.max(this.metaBytes, 24);
    this.hardState = hardState;
  }

  /** Names and bytes, by name. */
  written(): RecordedFile[] {
    const meta = Buffer.concat(
      [this.hardState.term, this.hardState.commit, this.hardState.vote, this.cutIndex, this.cutTerm].map(u64),
    ).subarray(0, this.metaBytes);
    return [...this.files.map((file) => told(nameOf(file), fileBytes(file))), told('META', meta)];
  }

  private truncateBack(index: number): void {
    if (this.files[0]!.index >= index) {
      this.files = [{ seq: 1, index: 1, entries: [], sealed: false }];
      return;
    }
    while (this.files.at(-1)!.index > index) this.files.pop();
    const file = this.files.at(-1)!;
    file.sealed = false;
    file.entries = file.entries.filter((entry) => entry.index < index);
  }
}

function told(file: string, bytes: Buffer): RecordedFile {
  return { file, hex: bytes.toString('hex'), size: bytes.byteLength };
}

function nameOf({ seq, index }: TwinFile): string {
  return `${[seq, index].map((value) => value.toString(16).padStart(16, '0')).join('-')}.log`;
}

function fileBytes({ entries, sealed }: TwinFile): Buffer {
  const records = entries.map(({ type, term, index, data }) =>
    record(1, Buffer.from([type]), u64(term), u64(index), data),
  );
  if (!sealed) return Buffer.concat(records);
  const offsets = records.map((_, at) => Buffer.concat(records.slice(0, at)).byteLength);
  const items = entries.map(({ index, term }, at) => [u64(index), u64(term), u32(offsets[at]!)]);
  const indexAt = Buffer.concat(records).byteLength;
  return Buffer.concat([
    ...records,
    record(2, u32(entries.length), ...items.flat()),
    record(3, u64(indexAt), Buffer.from('f9bf3e0ad3c5cc3f', 'hex')),
  ]);
}

function record(type: number, ...parts: Uint8Array[]): Buffer {
  const data = Buffer.concat(parts);
  const crc = BigInt(crc32c(data));
  const masked = BigInt.asUintN(32, ((crc >> 15n) | (crc << 17n)) & 0xffff_ffffn) + 0xa282ead8n;
  return Buffer.concat([Buffer.from([type]), u64(data.byteLength), data, u32(Number(masked % 2n ** 32n))]);
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
