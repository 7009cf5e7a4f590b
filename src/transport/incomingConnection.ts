/**
 * One accepted connection: its socket, what its bytes are (`incomingStream.ts`), and its deadlines. Owned by `listener.ts`.
 */
import type { Socket } from 'node:net';
import { SNAPSHOT_ACK } from '../protocol/raftMessage.js';
import { IncomingStream, type MessageTaker } from './incomingStream.js';
import type { TransportLimits } from './parts.js';

const ACK = Uint8Array.of(SNAPSHOT_ACK);

export class IncomingConnection {
  /** Names it to workers; no number is used twice. */
  readonly number: number;
  /** As the socket showed it when it was accepted. */
  readonly address: string;
  readonly remote: string;
  readonly atHeartbeatPort: boolean;
  readonly stream: IncomingStream;
  readonly #socket: Socket;
  readonly #limits: TransportLimits;
  /** When bytes came last, or the answer to a snapshot left. */
  #movedMs: number;
  /** When a snapshot header came. */
  #headerMs = 0;
  /** A verdict was given: the sender is to close. */
  #lingers = false;
  /** Bytes that came after it. */
  #lingerBytes = 0;

  constructor(
    number: number,
    socket: Socket,
    atHeartbeatPort: boolean,
    nowMs: number,
    limits: TransportLimits,
    take: MessageTaker,
  ) {
    this.number = number;
    this.#socket = socket;
    this.address = socket.remoteAddress ?? '?';
    this.remote = `${this.address}:${socket.remotePort ?? 0}`;
    this.atHeartbeatPort = atHeartbeatPort;
    this.#limits = limits;
    this.#movedMs = nowMs;
    this.stream = new IncomingStream(limits.snapshotBytesMax, take);
  }

  /** Nothing that comes is of use any more: it is to be closed. */
  get isDone(): boolean {
    if (this.stream.state !== 'closed') return false;
    return !this.#lingers || this.#lingerBytes > this.#limits.snapshotBytesMax;
  }

  /** Takes bytes of the socket, of which it keeps nothing but copies. What the stream says of them stands in its state. */
  push(chunk: Uint8Array, nowMs: number): void {
    const waited = this.stream.waits;
    this.stream.push(chunk);
    if (this.#lingers) this.#lingerBytes += chunk.byteLength;
    else this.#movedMs = nowMs;
    if (!waited && this.stream.waits) this.#headerMs = nowMs;
  }

  /** Answers the snapshot that waits here; false: none does. A refusal closes the connection. */
  judge(isTaken: boolean, nowMs: number): boolean {
    if (!this.stream.waits) return false;
    const { isQuiet } = this.stream.judge(isTaken);
    if (!isTaken) {
      this.close();
      return true;
    }
    this.#lingers = true;
    this.#movedMs = nowMs;
    // Whoever still sends blocks does not read the answer; a close stops it (`raft.md` 2.6).
    this.#socket.end(ACK, () => {
      if (!isQuiet) this.close();
    });
    return true;
  }

  /** Why it is to be closed now, or null. */
  overdue(nowMs: number): string | null {
    const limits = this.#limits;
    const { stream } = this;
    const idleMs = nowMs - this.#movedMs;
    if (this.#lingers) return idleMs > limits.lingerMs ? 'its snapshot is answered' : null;
    if (stream.waits) return nowMs - this.#headerMs > limits.verdictMs ? 'no verdict on its snapshot' : null;
    if (stream.isMidFrame && idleMs > limits.frameProgressMs) return 'a frame did not progress';
    return null;
  }

  close(): void {
    this.stream.close();
    this.#socket.destroy();
  }
}
