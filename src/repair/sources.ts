/**
 * Connections to the sources of streams. One that has served a stream to its end is kept for the next one from the same source for a moment: v1.4.0 nodes, and this one, keep theirs open after a
 * success, and a partition whose many extents are fetched from one peer would else pay a handshake for each (`repair.md` 14, R23).
 *
 * A kept connection may have been closed by its peer meanwhile, so a failure before the first packet on such a one says nothing about the source: the user dials again (`Lease.isFresh`).
 */
import type { PeerConnection } from './peerConnection.js';

/** How long a connection is kept without a user, ms; a peer closes idle ones much later. */
export const KEEP_MS = 2_000;
/** Kept connections to one source. */
const KEPT_PER_SOURCE_MAX = 4;

/** A connection for one stream. */
export interface Lease {
  readonly connection: PeerConnection;
  /** Dialed for this stream. */
  readonly isFresh: boolean;
  /** The stream has come to its end in order. */
  giveBack(): void;
  /** It has not. */
  discard(reason: string): void;
}

export class Sources {
  readonly #dial: (address: string) => Promise<PeerConnection>;
  readonly #kept = new Map<string, { connection: PeerConnection; timer: NodeJS.Timeout }[]>();
  readonly #used = new Set<PeerConnection>();
  #closed = false;

  constructor(dial: (address: string) => Promise<PeerConnection>) {
    this.#dial = dial;
  }

  /** @param fresh not one that was kept. Rejects when the source cannot be reached. */
  async lease(address: string, fresh: boolean): Promise<Lease> {
    const kept = fresh ? undefined : this.#takeKept(address);
    const connection = kept ?? (await this.#dial(address));
    if (this.#closed) {
      connection.close();
      throw new Error('the node is stopping');
    }
    this.#used.add(connection);
    return {
      connection,
      isFresh: kept === undefined,
      giveBack: () => this.#giveBack(address, connection),
      discard: (reason) => {
        this.#used.delete(connection);
        connection.close(reason);
      },
    };
  }

  /** Ends all streams. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#used) connection.close('the node is stopping');
    for (const list of this.#kept.values())
      for (const { connection, timer } of list) {
        clearTimeout(timer);
        connection.close();
      }
    this.#kept.clear();
  }

  #takeKept(address: string): PeerConnection | undefined {
    for (;;) {
      const one = this.#kept.get(address)?.pop();
      if (one === undefined) return undefined;
      clearTimeout(one.timer);
      if (one.connection.isReusable) return one.connection;
      one.connection.close();
    }
  }

  #giveBack(address: string, connection: PeerConnection): void {
    this.#used.delete(connection);
    const list = this.#kept.get(address) ?? [];
    if (this.#closed || !connection.isReusable || list.length >= KEPT_PER_SOURCE_MAX)
      return connection.close();
    const timer = setTimeout(() => {
      const at = list.findIndex((one) => one.connection === connection);
      if (at >= 0) list.splice(at, 1);
      if (list.length === 0 && this.#kept.get(address) === list) this.#kept.delete(address);
      connection.close();
    }, KEEP_MS);
    list.push({ connection, timer });
    this.#kept.set(address, list);
  }
}
