/**
 * The embedded master's kept connection to a node's data port: sends admin packets one at a time and reads their replies (`admin.md` 5.2).
 *
 * Used by `nodeLink.ts`. Connects when there is something to send and again after any failure.
 */
import assert from 'node:assert';
import { connect, type Socket } from 'node:net';
import { type FramedPacket, PacketFramer } from '../protocol/framer.js';
import { encodeRequest, hasRequestId, RequestIds } from '../protocol/packet.js';
import { RESULT, resultName } from '../protocol/resultCodes.js';

/** The reply's body as text, or why there is none. */
export type AdminResult = { ok: true; body: string } | { ok: false; message: string };

/** Admin replies are empty, a path, or an error text. */
const REPLY_BYTES_MAX = 64 * 1024;

interface Waiting {
  reqId: number;
  end(result: AdminResult): void;
}

export class AdminConnection {
  readonly #host: string;
  readonly #port: number;
  readonly #ids = new RequestIds();
  #socket: Socket | null = null;
  #waiting: Waiting | null = null;
  #closed = false;

  /** `addr`: `ip:port`. */
  constructor(addr: string) {
    const colon = addr.lastIndexOf(':');
    this.#host = addr.slice(0, colon);
    this.#port = Number(addr.slice(colon + 1));
  }

  /** Sends one packet and waits for its reply. Never rejects. Call it again only when the last call has ended. */
  request(opcode: number, partitionId: number, body: Uint8Array, timeoutMs: number): Promise<AdminResult> {
    assert(this.#waiting === null, 'one admin packet at a time');
    if (this.#closed) return Promise.resolve({ ok: false, message: 'closed' });
    return new Promise((resolve) => {
      const reqId = this.#ids.next();
      const timer = setTimeout(() => this.#fail(`no reply within ${timeoutMs} ms`), timeoutMs);
      this.#waiting = {
        reqId,
        end: (result) => {
          clearTimeout(timer);
          this.#waiting = null;
          resolve(result);
        },
      };
      this.#socket ??= this.#connect();
      this.#socket.write(encodeRequest({ opcode, reqId, partitionId, body }));
    });
  }

  /** Cuts the connection; what is under way fails. */
  close(): void {
    this.#closed = true;
    this.#fail('closed');
  }

  #connect(): Socket {
    const socket = connect({ host: this.#host, port: this.#port, noDelay: true });
    const framer = new PacketFramer({
      direction: 'reply',
      argBytesMax: REPLY_BYTES_MAX,
      bodyBytesMax: REPLY_BYTES_MAX,
    });
    const failThis = (message: string): void => {
      if (this.#socket === socket) this.#fail(message);
    };
    socket.on('data', (chunk) => {
      const fault = framer.push(chunk, (packet) => this.#onReply(packet));
      if (fault !== null) failThis(fault.message);
    });
    socket.on('error', (error) => failThis(error.message));
    socket.on('close', () => failThis('connection closed'));
    return socket;
  }

  #onReply({ header, body }: FramedPacket): void {
    const waiting = this.#waiting;
    if (waiting === null || !hasRequestId(header, waiting.reqId)) {
      this.#fail('a reply to nothing that was asked');
      return;
    }
    const text = Buffer.from(body).toString('utf8');
    if (header.resultCode === RESULT.ok) {
      waiting.end({ ok: true, body: text });
      return;
    }
    // The node treats a connection as half dead after an error reply (`wire.md` 6.5).
    this.#drop();
    waiting.end({ ok: false, message: `${resultName(header.resultCode)}: ${text}` });
  }

  #fail(message: string): void {
    this.#drop();
    this.#waiting?.end({ ok: false, message });
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.destroy();
  }
}
