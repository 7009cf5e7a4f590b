/**
 * Carries out the fetch of one extent: asks how long it is here, streams what is missing from its source, hands the pieces to the worker, and has them synced. What a packet means is judged in `fetch.ts`.
 *
 * Pieces are written in order, a few of them at one time: a worker executes appends to one extent in the order in which they were asked for. A piece that does not fit the extent's end meets a forwarded append that was
 * faster: then the length is asked for again, and the fetch goes on behind it or is done.
 */
import { ERROR_TEXT } from '../protocol/errors.js';
import type { ExtentInfo } from '../protocol/extentInfo.js';
import {
  EXTENT_BYTES_MAX,
  EXTENT_ID_MAX,
  isTinyExtent,
  roundUpToPage,
  TINY_WATERMARK_MAX,
} from '../storage/layout.js';
import { DISK_FULL, type DiskRoom, tellsFullDisk } from './diskRoom.js';
import { ExtentFetch, type Piece } from './fetch.js';
import type { OwnReplica } from './ownReplica.js';
import type { Pace } from './pace.js';
import type { PeerPacket } from './peerConnection.js';
import type { Lease, Sources } from './sources.js';

/** Pieces of one extent that are at the worker at one time. */
const PIECES_AT_ONCE = 4;
/**
 * What was written is synced each time it has come to this, and not in one go at the end: seventeen extents that were fetched side by side are a gigabyte of dirty pages, whose flush would hold up all other writes to the disk for a
 * second. So a loss of power costs a fetch no more than this, too.
 */
const SYNC_BYTES = 4 * 1024 * 1024;
/** How often one fetch meets appends before it leaves the extent to the next round. */
const MEETINGS_MAX = 16;
const MEETING_PAUSE_MS = 50;
/** Error texts of peers are a line; what one calls so may be anything. */
const ERROR_TEXT_BYTES_MAX = 1024;

/** What all fetches of the thread share. */
export interface FetchParts {
  readonly sources: Sources;
  readonly pace: Pace;
  readonly ownAddress: string;
  nextReqId(): number;
  crc32(data: Uint8Array): number;
  nowMs(): number;
  /** Bytes were written. */
  fetched(bytes: number): void;
}

/** Progress of a fetch, for whoever looks. */
export interface FetchProgress {
  readonly extentId: number;
  readonly source: string;
  bytes: number;
  readonly targetBytes: number;
}

/** The pieces did not fit the extent's end. */
class Met extends Error {}

export class ExtentFetching {
  readonly progress: FetchProgress;
  /** Something was written that no sync has covered. */
  unsynced = false;
  /** Bytes written since a sync began. */
  #bytesUnsynced = 0;
  readonly #own: OwnReplica;
  readonly #room: DiskRoom;
  readonly #parts: FetchParts;

  /** `entry` comes from a peer: what it wants must be possible, which `targetOf` has said. */
  constructor(entry: ExtentInfo, targetBytes: number, own: OwnReplica, room: DiskRoom, parts: FetchParts) {
    const { fileId: extentId, source } = entry;
    this.progress = { extentId, source, bytes: 0, targetBytes };
    this.#own = own;
    this.#room = room;
    this.#parts = parts;
  }

  /** Resolves when the extent has its length here, durably. Rejects with one line that names source and extent. */
  async run(): Promise<void> {
    const { extentId, source, targetBytes } = this.progress;
    try {
      let size = await this.#size();
      for (let meetings = 0; size < targetBytes; ) {
        const met = await this.#stream(size);
        const before = size;
        size = await this.#size();
        if (!met) {
          if (size <= before) throw new Error('the extent did not grow');
          continue;
        }
        meetings += 1;
        if (meetings > MEETINGS_MAX) throw new Error('appends of others come faster');
        // Its append is on its way to the disk.
        if (size <= before) await new Promise((resolve) => setTimeout(resolve, MEETING_PAUSE_MS));
      }
      await this.#syncWritten();
    } catch (error) {
      // What came stays, so it may as well last.
      await this.#syncWritten().catch(() => {});
      throw new Error(`extent ${extentId} from ${source}: ${(error as Error).message}`);
    }
  }

  async #syncWritten(): Promise<void> {
    if (!this.unsynced) return;
    await this.#own.sync(this.progress.extentId);
    this.unsynced = false;
  }

  async #syncPart(): Promise<void> {
    this.#bytesUnsynced = 0;
    await this.#own.sync(this.progress.extentId);
  }

  async #size(): Promise<number> {
    const size = await this.#own.extentSize(this.progress.extentId);
    if (size < 0) throw new Error(ERROR_TEXT.extentNotFound);
    this.progress.bytes = size;
    return size;
  }

  /** One stream, at most `FETCH_BYTES_MAX`; true when it met an append. A kept connection that fails at once is followed by a new one. */
  async #stream(localBytes: number): Promise<boolean> {
    for (let fresh = false; ; fresh = true) {
      if (!this.#room.admits(this.#parts.nowMs())) throw new Error(DISK_FULL);
      const lease = await this.#lease(fresh);
      const outcome = { packets: 0 };
      try {
        await this.#take(lease, localBytes, outcome);
        lease.giveBack();
        return false;
      } catch (error) {
        lease.discard('the stream was given up');
        if (!tellsFullDisk((error as Error).message)) this.#room.untried(this.#parts.nowMs());
        if (error instanceof Met) return true;
        if (outcome.packets > 0 || lease.isFresh) throw error;
      }
    }
  }

  async #lease(fresh: boolean): Promise<Lease> {
    try {
      return await this.#parts.sources.lease(this.progress.source, fresh);
    } catch (error) {
      this.#room.untried(this.#parts.nowMs());
      throw error;
    }
  }

  async #take({ connection }: Lease, localBytes: number, outcome: { packets: number }): Promise<void> {
    const { extentId, targetBytes } = this.progress;
    const { pace, nextReqId } = this.#parts;
    const { partitionId } = this.#own;
    const fetch = new ExtentFetch({ partitionId, extentId, localBytes, targetBytes, reqId: nextReqId() });
    connection.send(fetch.request());
    const writes: Promise<void>[] = [];
    let failure: Error | null = null;
    try {
      while (!fetch.ended && failure === null) {
        const packet = await connection.next();
        const piece = fetch.judge(packet.header, packet.arg, () => textOf(packet.body));
        if (piece.kind === 'failed') throw new Error(piece.reason);
        outcome.packets += 1;
        await pace.take(packet.body.byteLength);
        // A hole is made in several steps: what is before it must be there, and what follows has no end to be at before.
        const alone = piece.kind === 'hole';
        while (alone && writes.length > 0) await writes.shift();
        const write = this.#write(piece, packet);
        // Whoever waits for it may come late.
        write.catch((error: Error) => {
          failure ??= error;
        });
        writes.push(write);
        while (writes.length >= (alone ? 1 : PIECES_AT_ONCE)) await writes.shift();
        if (this.#bytesUnsynced >= SYNC_BYTES) await this.#syncPart();
      }
      for (const write of writes) await write;
    } catch (error) {
      // The first piece that failed says why; those behind it could not fit.
      await Promise.allSettled(writes);
      throw failure ?? error;
    }
  }

  async #write(piece: Exclude<Piece, { kind: 'failed' }>, { header, body }: PeerPacket): Promise<void> {
    const { extentId } = this.progress;
    const { offset, bytes } = piece;
    const { nowMs } = this.#parts;
    this.unsynced = true;
    try {
      if (piece.kind === 'hole') await this.#own.appendHole(extentId, offset, bytes);
      else if (bytes === body.byteLength) await this.#own.append(extentId, offset, body, header.crc);
      else await this.#appendPart(offset, bytes, body, header.crc);
    } catch (error) {
      const text = (error as Error).message;
      if (text.includes(ERROR_TEXT.parameterMismatch)) throw new Met(text);
      if (tellsFullDisk(text)) this.#room.full(nowMs());
      throw error;
    }
    this.#room.wrote();
    this.#bytesUnsynced += bytes;
    this.progress.bytes = Math.max(this.progress.bytes, offset + bytes);
    this.#parts.fetched(bytes);
  }

  /** The rest of a piece lies behind the target: its checksum has to be compared here. */
  async #appendPart(offset: number, bytes: number, body: Uint8Array, crc: number): Promise<void> {
    if (this.#parts.crc32(body) !== crc) throw new Error(ERROR_TEXT.crcMismatch);
    const part = body.subarray(0, bytes);
    await this.#own.append(this.progress.extentId, offset, part, this.#parts.crc32(part));
  }
}

/** Up to where an entry of a task is to be fetched; a string: why it makes no sense. */
export function targetOf({ fileId, size, source }: ExtentInfo, ownAddress: string): number | string {
  if (source === ownAddress) return `extent ${fileId} is to be fetched from this node itself`;
  if (isTinyExtent(fileId)) {
    const target = roundUpToPage(size);
    return target <= TINY_WATERMARK_MAX ? target : `tiny extent ${fileId} of ${size} bytes`;
  }
  if (fileId < 1 || fileId > EXTENT_ID_MAX) return `no extent has the id ${fileId}`;
  return size <= EXTENT_BYTES_MAX ? size : `extent ${fileId} of ${size} bytes`;
}

function textOf(body: Uint8Array): string {
  const text = Buffer.from(body.subarray(0, ERROR_TEXT_BYTES_MAX)).toString('utf8');
  return text === '' ? 'an error without a text' : text.replaceAll(/\s+/g, ' ');
}
