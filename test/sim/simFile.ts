/**
 * A file of the simulated disk: what a reader sees now, and what a power loss may leave of it. The fault model is told in `simDisk.ts`.
 */
import type { Random } from './random.js';

export const SIM_PAGE_BYTES = 4096;
export const SECTOR_BYTES = 512;
/** Contents remembered of a page that is written again and again without a sync. */
const PAST_VERSIONS_MAX = 4;
const ZERO_PAGE = new Uint8Array(SIM_PAGE_BYTES);

/** The state of the written pages at one moment; taken when an fdatasync begins. */
export interface SyncPoint {
  pages: Map<number, Uint8Array | null>;
  size: number;
  mtimeMs: number;
}

export class SimFile {
  readonly kind = 'file';
  size = 0;
  mtimeMs: number;
  /** As of the last sync: what a power loss may leave although newer data is there. */
  durableMtimeMs: number;
  /** Fd that holds the advisory lock, -1 for none. */
  lockedBy = -1;
  /** Pages are never changed in place, so that a sync point can keep them. A missing page is a hole. */
  private readonly pages = new Map<number, Uint8Array>();
  private readonly durablePages = new Map<number, Uint8Array>();
  private durableSize = 0;
  /** Pages changed since they were made durable. */
  private readonly dirty = new Set<number>();
  /** Pages whose write-back failed: no later fdatasync makes them durable unless they are written again. */
  private readonly lost = new Set<number>();
  /** What an unsynced page held between its durable and its last content, oldest first: written back at any of these moments it may be found. */
  private readonly past = new Map<number, Uint8Array[]>();

  constructor(nowMs: number) {
    this.mtimeMs = nowMs;
    this.durableMtimeMs = nowMs;
  }

  get blocks512(): number {
    return this.pages.size * (SIM_PAGE_BYTES / SECTOR_BYTES);
  }

  /** Bytes that are durable at this moment, for assertions. */
  get durableBytes(): number {
    return this.durableSize;
  }

  read(offset: number, into: Uint8Array): number {
    const length = Math.max(0, Math.min(into.byteLength, this.size - offset));
    for (let done = 0; done < length; ) {
      const at = (offset + done) % SIM_PAGE_BYTES;
      const step = Math.min(SIM_PAGE_BYTES - at, length - done);
      const page = this.pages.get(Math.floor((offset + done) / SIM_PAGE_BYTES));
      if (page === undefined) into.fill(0, done, done + step);
      else into.set(page.subarray(at, at + step), done);
      done += step;
    }
    return length;
  }

  write(offset: number, from: Uint8Array, nowMs: number): number {
    for (let done = 0; done < from.byteLength; ) {
      const at = (offset + done) % SIM_PAGE_BYTES;
      const step = Math.min(SIM_PAGE_BYTES - at, from.byteLength - done);
      const index = Math.floor((offset + done) / SIM_PAGE_BYTES);
      this.setPage(index, this.pageWith(index, at, from.subarray(done, done + step)));
      done += step;
    }
    this.size = Math.max(this.size, offset + from.byteLength);
    this.mtimeMs = nowMs;
    return from.byteLength;
  }

  /** A bit turns on the medium, at a place that holds data: of what is read and of what is durable. Nobody has written, so neither the time nor what is synced changes. */
  turnBit(offset: number, bit: number): void {
    const index = Math.floor(offset / SIM_PAGE_BYTES);
    for (const pages of [this.pages, this.durablePages]) {
      const page = pages.get(index)?.slice();
      if (page === undefined) continue;
      page[offset % SIM_PAGE_BYTES]! ^= 1 << bit;
      pages.set(index, page);
    }
  }

  truncate(sizeBytes: number): void {
    for (const index of [...this.pages.keys()]) {
      if (index * SIM_PAGE_BYTES >= sizeBytes) this.removePage(index);
    }
    const last = this.pages.get(Math.floor(sizeBytes / SIM_PAGE_BYTES));
    if (last !== undefined) {
      this.setPage(Math.floor(sizeBytes / SIM_PAGE_BYTES), last.slice().fill(0, sizeBytes % SIM_PAGE_BYTES));
    }
    this.size = sizeBytes;
  }

  /** Zeroes a range; whole pages become holes, the one with the file's end as well. */
  punch(offset: number, length: number): void {
    const end = Math.min(offset + length, Math.ceil(this.size / SIM_PAGE_BYTES) * SIM_PAGE_BYTES);
    for (let at = offset; at < end; ) {
      const index = Math.floor(at / SIM_PAGE_BYTES);
      const pageEnd = Math.min((index + 1) * SIM_PAGE_BYTES, end);
      const whole = at === index * SIM_PAGE_BYTES && pageEnd === (index + 1) * SIM_PAGE_BYTES;
      const page = this.pages.get(index);
      if (whole) this.removePage(index);
      else if (page !== undefined) {
        this.setPage(
          index,
          page.slice().fill(0, at - index * SIM_PAGE_BYTES, pageEnd - index * SIM_PAGE_BYTES),
        );
      }
      at = pageEnd;
    }
  }

  /** Offset of the next data (`hole` false) or hole at or after `offset`; -1 when there is none before the end. */
  seek(offset: number, hole: boolean): number {
    for (let at = offset; at < this.size; at = (Math.floor(at / SIM_PAGE_BYTES) + 1) * SIM_PAGE_BYTES) {
      if (this.pages.has(Math.floor(at / SIM_PAGE_BYTES)) !== hole) return at;
    }
    return hole && offset < this.size ? this.size : -1;
  }

  /** What a sync that begins now makes durable: all, or the pages that hold bytes of `[from, to)`, and the length. */
  syncPoint(from = 0, to = Number.POSITIVE_INFINITY): SyncPoint {
    const [first, end] = [Math.floor(from / SIM_PAGE_BYTES), Math.ceil(to / SIM_PAGE_BYTES)];
    const dirty = [...this.dirty].filter((index) => index >= first && index < end);
    const pages = new Map(dirty.map((index) => [index, this.pages.get(index) ?? null]));
    return { pages, size: this.size, mtimeMs: this.mtimeMs };
  }

  /** An fdatasync that began at `point` has succeeded. */
  makeDurable(point: SyncPoint): void {
    for (const [index, page] of point.pages) {
      if (this.lost.has(index)) continue;
      if (page === null) this.durablePages.delete(index);
      else this.durablePages.set(index, page);
      if ((this.pages.get(index) ?? null) === page) this.dirty.delete(index);
      this.forgetUpTo(index, page);
    }
    this.durableSize = point.size;
    this.durableMtimeMs = point.mtimeMs;
  }

  /** An fdatasync has failed: the kernel forgets that the pages are dirty. */
  loseDirty(): void {
    for (const index of this.dirty) this.lost.add(index);
    this.dirty.clear();
  }

  /** Pages that are not durable as they are now, in ascending order. */
  unsyncedPages(): number[] {
    return [...new Set([...this.dirty, ...this.lost])].sort((a, b) => a - b);
  }

  /** What an unsynced page may hold: durable content first, then what it held in between, last what it holds now. */
  pageVersions(index: number): (Uint8Array | undefined)[] {
    return [this.durablePages.get(index), ...(this.past.get(index) ?? []), this.pages.get(index)];
  }

  /** Durable pages of the file, in no order: what is the same in every image. */
  durableContent(): ReadonlyMap<number, Uint8Array> {
    return this.durablePages;
  }

  /** A file whose content is `pages` cut or filled up to `sizeBytes`, all of it durable. The pages are kept, not copied. */
  static durableWith(pages: Iterable<[number, Uint8Array]>, sizeBytes: number, mtimeMs: number): SimFile {
    const file = new SimFile(mtimeMs);
    for (const [index, page] of pages) {
      if (index * SIM_PAGE_BYTES < sizeBytes) file.durablePages.set(index, page);
    }
    const last = Math.floor(sizeBytes / SIM_PAGE_BYTES);
    const page = file.durablePages.get(last);
    const at = sizeBytes % SIM_PAGE_BYTES;
    if (page !== undefined && Buffer.compare(page.subarray(at), ZERO_PAGE.subarray(at)) !== 0) {
      file.durablePages.set(last, page.slice().fill(0, at));
    }
    for (const [index, kept] of file.durablePages) file.pages.set(index, kept);
    file.size = sizeBytes;
    file.durableSize = sizeBytes;
    return file;
  }

  /** What a power loss leaves: each page that is not durable is old, new or torn by sectors; so is the length. */
  afterPowerLoss(random: Random): SimFile {
    const file = new SimFile(random.chance(0.5) ? this.mtimeMs : this.durableMtimeMs);
    for (const [index, page] of this.durablePages) file.pages.set(index, page);
    for (const index of [...this.dirty, ...this.lost]) {
      const before = this.durablePages.get(index);
      const after = this.pages.get(index);
      const kept = pageAfterPowerLoss(before, after, random);
      if (kept === undefined) file.pages.delete(index);
      else file.pages.set(index, kept);
    }
    const low = Math.min(this.durableSize, this.size);
    const high = Math.max(this.durableSize, this.size);
    const choice = random.below(3);
    file.truncate(
      choice === 0 ? this.durableSize : choice === 1 ? this.size : low + random.below(high - low + 1),
    );
    for (const [index, page] of file.pages) file.durablePages.set(index, page);
    file.dirty.clear();
    file.durableSize = file.size;
    return file;
  }

  /** The page's present content with `bytes` at `at`, in a new page. */
  private pageWith(index: number, at: number, bytes: Uint8Array): Uint8Array {
    if (bytes.byteLength === SIM_PAGE_BYTES) return bytes.slice();
    const page = this.pages.get(index)?.slice() ?? new Uint8Array(SIM_PAGE_BYTES);
    page.set(bytes, at);
    return page;
  }

  private setPage(index: number, page: Uint8Array): void {
    this.keepVersion(index);
    this.pages.set(index, page);
    this.dirty.add(index);
    this.lost.delete(index);
  }

  private removePage(index: number): void {
    this.keepVersion(index);
    if (this.pages.delete(index)) this.dirty.add(index);
  }

  /** The content of an unsynced page before it changes again. */
  private keepVersion(index: number): void {
    const page = this.pages.get(index);
    if (page === undefined || !this.dirty.has(index)) return;
    const versions = this.past.get(index) ?? [];
    versions.push(page);
    if (versions.length > PAST_VERSIONS_MAX) versions.shift();
    this.past.set(index, versions);
  }

  /** An fdatasync that began when the page was `page` has made what came before it impossible. */
  private forgetUpTo(index: number, page: Uint8Array | null): void {
    const versions = this.past.get(index);
    if (versions === undefined) return;
    const at = page === null ? -1 : versions.indexOf(page);
    if (at < 0 || at === versions.length - 1) this.past.delete(index);
    else versions.splice(0, at + 1);
  }
}

function pageAfterPowerLoss(
  before: Uint8Array | undefined,
  after: Uint8Array | undefined,
  random: Random,
): Uint8Array | undefined {
  const choice = random.below(3);
  if (choice === 0) return before;
  if (choice === 1) return after;
  const torn = (before ?? new Uint8Array(SIM_PAGE_BYTES)).slice();
  const fresh = after ?? new Uint8Array(SIM_PAGE_BYTES);
  for (let at = 0; at < SIM_PAGE_BYTES; at += SECTOR_BYTES) {
    if (random.chance(0.5)) torn.set(fresh.subarray(at, at + SECTOR_BYTES), at);
  }
  return torn;
}
