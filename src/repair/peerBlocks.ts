/**
 * Blocks of the other replicas for a comparison (`healer.ts`): OpExtentRepairRead, which v1.4.0 nodes answer too, by the rules of `fetch.ts`, and OpGetAppliedId where it is answered. A connection to each host is kept for the extent that is
 * being compared; `close` ends them.
 */
import type { Content, Hole } from './differences.js';
import { ExtentFetch } from './fetch.js';
import type { HealPeers } from './healer.js';
import type { PeerConnection } from './peerConnection.js';
import type { PeerReplicas } from './peerReplica.js';

/** Error texts are a line; what a peer calls one may be anything. */
const ERROR_TEXT_BYTES_MAX = 1024;

export class PeerBlocks implements HealPeers {
  readonly #peers: PeerReplicas;
  readonly #partitionId: number;
  readonly #crc32: (data: Uint8Array) => number;
  readonly #connections = new Map<string, PeerConnection>();
  /** Hosts that did not answer the question for their applied id: not asked again for this extent. */
  readonly #withoutId = new Set<string>();

  constructor(peers: PeerReplicas, partitionId: number, crc32: (data: Uint8Array) => number) {
    this.#peers = peers;
    this.#partitionId = partitionId;
    this.#crc32 = crc32;
  }

  async readBlock(
    address: string,
    extentId: number,
    offset: number,
    bytes: number,
  ): Promise<{ body: Uint8Array; crc: number }> {
    const { bytes: body } = await this.content(address, extentId, offset, bytes);
    return { body, crc: this.#crc32(body) };
  }

  /** The same with the holes of a tiny extent, of which whole pages are to be asked for. A tiny extent that ends before is shorter in the answer; it must not end before `offset`. */
  async content(address: string, extentId: number, offset: number, bytes: number): Promise<Content> {
    const kept = this.#connections.get(address);
    const connection = kept ?? (await this.#peers.dial(address));
    this.#connections.set(address, connection);
    try {
      return await this.#read(connection, extentId, offset, bytes);
    } catch (error) {
      // Something may still be on its way: the next question has a connection of its own.
      this.#connections.delete(address);
      connection.close();
      throw error;
    }
  }

  async appliedId(address: string): Promise<number | null> {
    if (this.#withoutId.has(address)) return null;
    try {
      return await this.#peers.appliedId(address, this.#partitionId);
    } catch {
      this.#withoutId.add(address);
      return null;
    }
  }

  close(): void {
    for (const connection of this.#connections.values()) connection.close();
    this.#connections.clear();
  }

  async #read(connection: PeerConnection, extentId: number, offset: number, bytes: number): Promise<Content> {
    const fetch = new ExtentFetch({
      ...{ partitionId: this.#partitionId, extentId, localBytes: offset },
      ...{ targetBytes: offset + bytes, reqId: this.#peers.nextReqId() },
    });
    connection.send(fetch.request());
    const whole = new Uint8Array(bytes);
    const holes: Hole[] = [];
    while (!fetch.ended) {
      const { header, arg, body } = await connection.next();
      const text = (): string => Buffer.from(body.subarray(0, ERROR_TEXT_BYTES_MAX)).toString('utf8');
      const piece = fetch.judge(header, arg, text);
      if (piece.kind === 'failed') throw new Error(piece.reason);
      if (this.#crc32(body) !== header.crc) throw new Error('a piece whose checksum is wrong');
      if (piece.kind === 'hole') holes.push({ from: piece.offset, to: piece.offset + piece.bytes });
      else whole.set(body.subarray(0, piece.bytes), piece.offset - offset);
    }
    return { bytes: whole.subarray(0, Math.min(bytes, fetch.position - offset)), holes };
  }
}
