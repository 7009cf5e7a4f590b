/** A data node reduced to a data port that takes packets and answers each as told. */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { PacketFramer } from '../../src/protocol/framer.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { replyBytes } from '../support/requests.js';

/** Code and body; raw bytes; the end of the connection; nothing at all. */
type LeaderReply = { resultCode: number; body: string; reqId?: number } | Uint8Array | 'close' | null;

export class FakeLeader {
  readonly packets: { opcode: number; partitionId: number; extentType: number; body: Buffer }[] = [];
  answer: LeaderReply = { resultCode: RESULT.ok, body: '' };
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async listen(): Promise<FakeLeader> {
    const leader = new FakeLeader();
    await new Promise<void>((resolve) => leader.#server.listen(0, '127.0.0.1', resolve));
    leader.address = `127.0.0.1:${(leader.#server.address() as AddressInfo).port}`;
    return leader;
  }

  address = '';

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    const framer = new PacketFramer({ direction: 'request', argBytesMax: 1024, bodyBytesMax: 1024 * 1024 });
    socket.on('data', (chunk) => {
      framer.push(chunk, ({ header, body }) => {
        const { opcode, partitionId, extentType } = header;
        this.packets.push({ opcode, partitionId, extentType, body: Buffer.from(body) });
        const { answer } = this;
        if (answer === null) return;
        if (answer === 'close') return void socket.destroy();
        if (answer instanceof Uint8Array) return void socket.write(answer);
        const reqId = answer.reqId ?? header.reqIdHigh * 2 ** 32 + header.reqIdLow;
        socket.write(replyBytes({ opcode, reqId, partitionId }, answer));
      });
    });
  }
}
