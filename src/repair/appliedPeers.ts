/**
 * OpGetAppliedId and OpBroadcastMinAppliedID to other nodes (`raft.md` 5.7), over connections that are kept for a moment: each partition asks each minute, so one a question would be a handshake for each. Used by the exchange and by the
 * fetch of what is missing.
 */
import {
  decodeUint64Body,
  newPacketToBroadcastMinAppliedId,
  newPacketToGetAppliedId,
} from '../protocol/queries.js';
import type { PeerPacket } from './peerConnection.js';
import { checkAnswer } from './peerReplica.js';
import { PeerSilence } from './peerSilence.js';
import type { Lease, Sources } from './sources.js';

export interface AppliedPeersParts {
  readonly sources: Pick<Sources, 'lease'>;
  nextReqId(): number;
  nowMs(): number;
}

export class AppliedPeers {
  readonly #parts: AppliedPeersParts;
  readonly #silence = new PeerSilence();

  constructor(parts: AppliedPeersParts) {
    this.#parts = parts;
  }

  /** What raft has applied there, durably where the peer is one of ours. */
  async appliedId(address: string, partitionId: number): Promise<number> {
    const reqId = this.#parts.nextReqId();
    const { body } = await this.#ask(
      address,
      reqId,
      partitionId,
      newPacketToGetAppliedId(reqId, partitionId),
    );
    const id = decodeUint64Body(body);
    if (id === null) throw new Error(`${address}: an applied id of ${body.byteLength} bytes`);
    return id;
  }

  /** All replicas have applied `leastId`. */
  async tellLeast(address: string, partitionId: number, leastId: number): Promise<void> {
    const reqId = this.#parts.nextReqId();
    const request = newPacketToBroadcastMinAppliedId(reqId, partitionId, leastId);
    await this.#ask(address, reqId, partitionId, request);
  }

  async #ask(address: string, reqId: number, partitionId: number, request: Uint8Array): Promise<PeerPacket> {
    const { nowMs } = this.#parts;
    if (!this.#silence.mayAsk(address, nowMs())) throw new Error(`${address}: has not answered lately`);
    const ended = this.#silence.asked(address, nowMs());
    let answered = false;
    try {
      const { lease, packet } = await this.#packet(address, request);
      answered = true;
      try {
        checkAnswer(address, packet, reqId, partitionId);
      } catch (error) {
        // Peers close a connection behind an error.
        lease.discard('an answer that is an error');
        throw error;
      }
      lease.giveBack();
      return packet;
    } finally {
      ended(answered, nowMs());
    }
  }

  /** A kept connection that fails is followed by a new one. */
  async #packet(address: string, request: Uint8Array): Promise<{ lease: Lease; packet: PeerPacket }> {
    for (let fresh = false; ; fresh = true) {
      const lease = await this.#parts.sources.lease(address, fresh);
      lease.connection.send(request);
      try {
        return { lease, packet: await lease.connection.next() };
      } catch (error) {
        lease.discard('the question was given up');
        if (lease.isFresh) throw error;
      }
    }
  }
}
