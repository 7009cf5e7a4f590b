/**
 * The fake master's side of the packet protocol (`wire.md` 2): 57 bytes of header, written and read by hand and not by the codec under test, over a pool of
 * connections to one node.
 */
import { connect, type Socket } from 'node:net';

const MAGIC = 0xff;
const HEADER_BYTES = 57;
export const RESULT_OK = 0xf0;

export interface NodeReply {
  opcode: number;
  resultCode: number;
  partitionId: number;
  body: string;
}

/** Connections to one node. One request at a time on each; a connection that failed is closed, the others are used again. */
export class NodeConnections {
  readonly addr: string;
  readonly #idle: Socket[] = [];
  readonly #all = new Set<Socket>();
  #lastReqId = 0;

  /** `addr`: `ip:port`. */
  constructor(addr: string) {
    this.addr = addr;
  }

  /** Sends a packet and reads its reply; rejects when none comes within `timeoutMs`. */
  async request(opcode: number, partitionId: number, body: string, timeoutMs: number): Promise<NodeReply> {
    const socket = this.#idle.pop() ?? this.#open();
    const reqId = ++this.#lastReqId;
    try {
      const reply = await exchange(socket, requestBytes(opcode, partitionId, reqId, body), reqId, timeoutMs);
      // A node closes a connection on which it has answered an error.
      if (reply.resultCode === RESULT_OK) this.#idle.push(socket);
      else socket.destroy();
      return reply;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  close(): void {
    for (const socket of this.#all) socket.destroy();
  }

  #open(): Socket {
    const colon = this.addr.lastIndexOf(':');
    const socket = connect({ host: this.addr.slice(0, colon), port: Number(this.addr.slice(colon + 1)) });
    this.#all.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#all.delete(socket);
      const index = this.#idle.indexOf(socket);
      if (index >= 0) this.#idle.splice(index, 1);
    });
    return socket;
  }
}

function requestBytes(opcode: number, partitionId: number, reqId: number, body: string): Buffer {
  const data = Buffer.from(body);
  const header = Buffer.alloc(HEADER_BYTES);
  header[0] = MAGIC;
  header[2] = opcode;
  header.writeUInt32BE(data.length, 9);
  header.writeBigUInt64BE(BigInt(partitionId), 17);
  header.writeBigUInt64BE(BigInt(reqId), 41);
  return Buffer.concat([header, data]);
}

function exchange(socket: Socket, bytes: Buffer, reqId: number, timeoutMs: number): Promise<NodeReply> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const end = (outcome: NodeReply | Error): void => {
      clearTimeout(timer);
      socket.off('data', onData).off('close', onClose);
      if (outcome instanceof Error) reject(outcome);
      else resolve(outcome);
    };
    const onClose = (): void => end(new Error('the connection was closed'));
    const onData = (chunk: Buffer): void => {
      received = Buffer.concat([received, chunk]);
      if (received.length < HEADER_BYTES) return;
      const bodyFrom = HEADER_BYTES + received.readUInt32BE(13);
      const bytesWanted = bodyFrom + received.readUInt32BE(9);
      if (received.length < bytesWanted) return;
      if (received.length > bytesWanted || received[0] !== MAGIC) return end(new Error('not one reply'));
      if (received.readBigUInt64BE(41) !== BigInt(reqId)) return end(new Error('a reply to something else'));
      end({
        opcode: received[2]!,
        resultCode: received[3]!,
        partitionId: Number(received.readBigUInt64BE(17)),
        body: received.subarray(bodyFrom).toString(),
      });
    };
    const timer = setTimeout(() => end(new Error(`no reply within ${timeoutMs} ms`)), timeoutMs);
    socket.on('data', onData).on('close', onClose);
    socket.write(bytes);
  });
}
