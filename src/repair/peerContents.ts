/** Contents of the other replicas for the fetch of what is missing (`missingPass.ts`): repair reads, and where their extents end. For one pass; `close` ends its connections. */
import { ERROR_TEXT } from '../protocol/errors.js';
import { isTinyExtent, roundUpToPage, TINY_EXTENT_FIRST, TINY_EXTENT_LAST } from '../storage/layout.js';
import type { PeerContent } from './missingPass.js';
import { PeerBlocks } from './peerBlocks.js';
import type { PeerReplicas } from './peerReplica.js';

const TINY_IDS = Array.from(
  { length: TINY_EXTENT_LAST - TINY_EXTENT_FIRST + 1 },
  (_, i) => TINY_EXTENT_FIRST + i,
);

export class PeerContents {
  readonly #peers: PeerReplicas;
  readonly #partitionId: number;
  readonly #blocks: PeerBlocks;
  /** Watermarks of tiny extents, by host: a stream behind one has no answer at all. */
  readonly #watermarks = new Map<string, Promise<Map<number, number>>>();

  constructor(peers: PeerReplicas, partitionId: number, crc32: (data: Uint8Array) => number) {
    this.#peers = peers;
    this.#partitionId = partitionId;
    this.#blocks = new PeerBlocks(peers, partitionId, crc32);
  }

  /** As `MissingPassParts.readContent`. */
  async read(address: string, extentId: number, from: number, to: number): Promise<PeerContent> {
    if (isTinyExtent(extentId)) return this.#readTiny(address, extentId, from, to);
    // A read that goes past the end is an error as a whole: half of it may not.
    for (let bytes = to - from; bytes > 0; bytes = bytes === 1 ? 0 : Math.ceil(bytes / 2)) {
      try {
        return await this.#blocks.content(address, extentId, from, bytes);
      } catch (error) {
        const { message } = error as Error;
        if (message.includes(ERROR_TEXT.extentNotFound)) return 'unknown';
        if (!message.endsWith(`_${ERROR_TEXT.eof}`)) throw error;
      }
    }
    return 'beyond';
  }

  close(): void {
    this.#blocks.close();
  }

  async #readTiny(address: string, extentId: number, from: number, to: number): Promise<PeerContent> {
    const watermarks = this.#watermarks.get(address) ?? this.#askWatermarks(address);
    this.#watermarks.set(address, watermarks);
    const end = (await watermarks).get(extentId);
    if (end === undefined) return 'unknown';
    if (end <= from) return 'beyond';
    return this.#blocks.content(address, extentId, from, Math.min(to, end) - from);
  }

  async #askWatermarks(address: string): Promise<Map<number, number>> {
    const list = await this.#peers.list(address, this.#partitionId, TINY_IDS);
    return new Map(list.map(({ fileId, size }) => [fileId, roundUpToPage(size)]));
  }
}
