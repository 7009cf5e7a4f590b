/** A follower that is a function: a server on loopback that frames what a primary forwards, keeps it, and answers each packet as told. */
import net, { type Socket } from 'node:net';
import { PacketFramer } from '../../src/protocol/framer.js';
import { RESULT } from '../../src/protocol/resultCodes.js';

/** One packet as it came. */
export interface Forwarded {
  raw: Buffer;
  opcode: number;
  body: Buffer;
  socket: Socket;
}

/** The bytes to answer with, or null: not now. */
export type FollowerWork = (packet: Forwarded) => Buffer | null;

export class FakeFollower {
  readonly seen: Forwarded[] = [];
  readonly sockets: Socket[] = [];
  work: FollowerWork;
  address = '';
  readonly #server: net.Server;

  constructor(work: FollowerWork = ok) {
    this.work = work;
    this.#server = net.createServer((socket) => this.#accept(socket));
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    this.address = `127.0.0.1:${(this.#server.address() as net.AddressInfo).port}`;
    return this;
  }

  /** Ends its connections and listens no more. */
  stop(): void {
    this.#server.close();
    for (const socket of this.sockets) socket.destroy();
  }

  get openSockets(): number {
    return this.sockets.filter((socket) => !socket.destroyed).length;
  }

  #accept(socket: Socket): void {
    this.sockets.push(socket);
    socket.setNoDelay(true);
    socket.on('error', () => {});
    const framer = new PacketFramer({ direction: 'request', argBytesMax: 1 << 16, bodyBytesMax: 1 << 24 });
    socket.on('data', (chunk) => {
      const fault = framer.push(chunk, ({ header, body, raw }) => {
        const packet = { raw: Buffer.from(raw), body: Buffer.from(body), opcode: header.opcode, socket };
        this.seen.push(packet);
        const answer = this.work(packet);
        if (answer !== null) socket.write(answer);
      });
      if (fault !== null) throw new Error(fault.message);
    });
  }
}

/** The reply OK to a packet. */
export function ok({ raw }: Pick<Forwarded, 'raw'>): Buffer {
  return reply(raw, RESULT.ok);
}

/** A reply with a result code and a text. */
export function reply(raw: Buffer, resultCode: number, text = ''): Buffer {
  const header = Buffer.from(raw.subarray(0, 57));
  header[3] = resultCode;
  const body = Buffer.from(text);
  header.writeUInt32BE(body.length, 9);
  header.writeUInt32BE(0, 13);
  return Buffer.concat([header, body]);
}
