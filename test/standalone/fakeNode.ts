/** A data node reduced to its sockets: registers with a master over HTTP and answers admin packets on a TCP port. For tests of the embedded master. */
import { request as httpRequest } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { PacketFramer } from '../../src/protocol/framer.js';
import type { PacketHeader } from '../../src/protocol/header.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodePacket } from '../../src/protocol/packet.js';

export interface SeenPacket {
  opcode: number;
  extentType: number;
  crc: number;
  partitionId: number;
  task: Record<string, unknown> & { Request: Record<string, unknown> };
}

const REPORT = {
  ...{ PartitionID: 0, PartitionStatus: 2, Total: 1, Used: 0, DiskPath: '/fake/disk1', IsLeader: false },
  ...{ ExtentCount: 0, NeedCompare: true, VolName: 'demo' },
};

/** What the node answers: OK with a body, an error text, or nothing. */
export type Answer = { ok: true; body: string } | { ok: false; body: string } | null;

export interface HttpReply {
  status: number;
  contentType: string;
  text: string;
}

export class FakeNode {
  readonly packets: SeenPacket[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  connections = 0;
  answer: (packet: SeenPacket) => Answer = (packet) => ({
    ok: true,
    body: packet.opcode === OP.createDataPartition ? '/fake/disk1' : '',
  });
  /** Posts a heartbeat response for each heartbeat packet. */
  masterAddress = '';
  /** Partitions that its heartbeat responses tell of. */
  reports: number[] = [];
  #onChange: (() => void)[] = [];

  constructor() {
    this.#server = createServer((socket) => this.#accept(socket));
  }

  async listen(port = 0, ip = '127.0.0.1'): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(port, ip, resolve));
    return `${ip}:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.dropConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  dropConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Resolves when `condition` holds after a packet; fails after 10 s. */
  until(condition: () => boolean, what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`waited in vain: ${what}`)), 10_000);
      const check = (): void => {
        if (!condition()) return;
        clearTimeout(timer);
        this.#onChange = this.#onChange.filter((one) => one !== check);
        resolve();
      };
      this.#onChange.push(check);
      check();
    });
  }

  count(opcode: number): number {
    return this.packets.filter((packet) => packet.opcode === opcode).length;
  }

  #accept(socket: Socket): void {
    this.connections++;
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    const framer = new PacketFramer({ direction: 'request', argBytesMax: 65_536, bodyBytesMax: 65_536 });
    socket.on('data', (chunk) => {
      framer.push(chunk, ({ header, body }) => this.#onPacket(socket, header, Buffer.from(body).toString()));
    });
  }

  #onPacket(socket: Socket, header: PacketHeader, body: string): void {
    const { opcode, extentType, crc, partitionId } = header;
    const packet = { opcode, extentType, crc, partitionId, task: JSON.parse(body) } as SeenPacket;
    this.packets.push(packet);
    const answer = this.answer(packet);
    if (answer !== null) {
      const reply = Buffer.from(answer.body);
      header.resultCode = answer.ok ? 0xf0 : 0xf3;
      header.size = reply.length;
      socket.write(encodePacket(header, new Uint8Array(0), reply));
    }
    if (opcode === OP.dataNodeHeartbeat && this.masterAddress !== '') this.#postHeartbeat(packet);
    for (const onChange of [...this.#onChange]) onChange();
  }

  #postHeartbeat(packet: SeenPacket): void {
    const Response = {
      Total: 100,
      Used: 1,
      Available: 99,
      RackName: 'r',
      PartitionReports: this.reports.map((id) => ({ ...REPORT, PartitionID: id })),
      Status: 1,
      BadDisks: [],
    };
    // At the end of a test the master may be gone already.
    this.http('POST', '/dataNode/response', JSON.stringify({ ...packet.task, Response })).catch(() => {});
  }

  /** One HTTP call to the master, as a node makes it. */
  http(method: string, path: string, body = ''): Promise<HttpReply> {
    return new Promise((resolve, reject) => {
      const outgoing = httpRequest(`http://${this.masterAddress}${path}`, {
        method,
        agent: false,
        headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) },
      });
      outgoing.on('error', reject);
      outgoing.on('response', (reply) => {
        const chunks: Buffer[] = [];
        reply.on('data', (chunk) => chunks.push(chunk));
        reply.on('end', () =>
          resolve({
            status: reply.statusCode ?? 0,
            contentType: reply.headers['content-type'] ?? '',
            text: Buffer.concat(chunks).toString(),
          }),
        );
      });
      outgoing.end(body);
    });
  }
}
