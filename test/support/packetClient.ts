/**
 * A client of a data port for tests: sends bytes or requests, keeps every reply with all its fields, and knows how the connection ended.
 *
 * Used against fake nodes and real ones. It trusts nothing: replies are framed with the production framer and kept raw as well, so that a test can compare
 * whole packets byte by byte.
 */
import net, { type Socket } from 'node:net';
import { PacketFramer } from '../../src/protocol/framer.js';
import { encodeRequest, type RequestFields } from '../../src/protocol/packet.js';
import { until } from './until.js';

/** One reply, copied. */
export interface Reply {
  extentType: number;
  opcode: number;
  resultCode: number;
  remainingFollowers: number;
  crc: number;
  partitionId: number;
  extentId: number;
  extentOffset: number;
  reqId: number;
  arg: Buffer;
  body: Buffer;
  /** Header, Arg and body as they came. */
  raw: Buffer;
}

/** A request without its ReqID, which the client chooses. */
export type Ask = Omit<RequestFields, 'reqId'>;

interface Waiting {
  count: number;
  replies: Reply[];
  resolve(replies: Reply[]): void;
  reject(error: Error): void;
}

export class PacketClient {
  /** Every reply since the start, unless `keepReplies` is off. */
  readonly replies: Reply[] = [];
  readonly socket: Socket;
  keepReplies = true;
  /** The node sent FIN; the socket is closed; why it failed, if it did. */
  ended = false;
  closed = false;
  error = '';
  /** Bytes of the reply stream that do not frame. */
  fault: string | null = null;
  #nextReqId = 2;
  readonly #waiting: Waiting[] = [];
  readonly #framer = new PacketFramer({ direction: 'reply', argBytesMax: 1 << 16, bodyBytesMax: 1 << 26 });

  /** `localAddress`: the address from which to connect, for instance another one of loopback. */
  constructor(port: number, host = '127.0.0.1', localAddress?: string) {
    const from = localAddress === undefined ? {} : { localAddress };
    this.socket = net.connect({ port, host, noDelay: true, ...from });
    this.socket.on('error', (error) => {
      this.error = error.message;
    });
    this.socket.on('end', () => {
      this.ended = true;
      this.#failWaiting('the node ended the connection');
    });
    this.socket.on('close', () => {
      this.closed = true;
      this.#failWaiting(`the connection closed ${this.error}`);
    });
    this.socket.on('data', (chunk: Buffer) => this.#take(chunk));
  }

  /** Sends bytes as they are. */
  send(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  /** A ReqID that was not used yet. */
  reqId(): number {
    return this.#nextReqId++;
  }

  /** Sends one request and waits for its reply; a read of several chunks needs `askAll`. */
  async ask(fields: Ask): Promise<Reply> {
    const [reply] = await this.askAll(fields, 1);
    return reply!;
  }

  /** Sends one request and waits for `count` replies. Requests may be pipelined; replies are taken in order. */
  askAll(fields: Ask, count: number): Promise<Reply[]> {
    const bytes = encodeRequest({ ...fields, reqId: this.reqId() });
    const promise = this.take(count);
    this.send(bytes);
    return promise;
  }

  /** The next `count` replies that nobody waits for yet. Rejects when the connection ends before. */
  take(count: number): Promise<Reply[]> {
    return new Promise((resolve, reject) => {
      if (this.closed || this.ended) reject(new Error(`the connection has ended ${this.error}`));
      else this.#waiting.push({ count, replies: [], resolve, reject });
    });
  }

  /** Waits for a condition, at most 10 s. */
  async until(what: string, condition: () => boolean): Promise<void> {
    await until(what, condition);
  }

  /** Ends the connection and waits for its close. */
  async end(): Promise<void> {
    this.socket.destroy();
    await until('the connection closes', () => this.closed);
  }

  #take(chunk: Buffer): void {
    const fault = this.#framer.push(chunk, ({ header, arg, body, raw }) => {
      const reply: Reply = {
        extentType: header.extentType,
        opcode: header.opcode,
        resultCode: header.resultCode,
        remainingFollowers: header.remainingFollowers,
        crc: header.crc,
        partitionId: header.partitionId,
        extentId: header.extentId,
        extentOffset: header.extentOffset,
        reqId: header.reqIdHigh * 2 ** 32 + header.reqIdLow,
        arg: Buffer.from(arg),
        body: Buffer.from(body),
        raw: Buffer.from(raw),
      };
      if (this.keepReplies) this.replies.push(reply);
      this.#hand(reply);
    });
    if (fault !== null) this.fault = fault.message;
  }

  #hand(reply: Reply): void {
    const waiting = this.#waiting[0];
    if (waiting === undefined) return;
    waiting.replies.push(reply);
    if (waiting.replies.length < waiting.count) return;
    this.#waiting.shift();
    waiting.resolve(waiting.replies);
  }

  #failWaiting(message: string): void {
    for (const { reject } of this.#waiting.splice(0)) reject(new Error(message));
  }
}
