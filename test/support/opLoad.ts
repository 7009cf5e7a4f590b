/**
 * Steady load of one kind of operation with cheap bookkeeping, for tests that count: operations done in a window, system calls an operation.
 *
 * Every connection has an extent of its own and keeps `depth` packets of 4 KiB in flight; packets and replies have one fixed length, so that a reply costs this
 * process next to nothing.
 */
import net, { type Socket } from 'node:net';
import zlib from 'node:zlib';
import { HEADER_BYTES, HEADER_OFFSET } from '../../src/protocol/header.js';
import { encodeRequest } from '../../src/protocol/packet.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { type Ask, PacketClient } from './packetClient.js';
import { create, pattern, read, write } from './requests.js';
import { until } from './until.js';

export type OpKind = 'append' | 'syncAppend' | 'read';

const BODY_BYTES = 4096;
/** Appends begin again at 0 after this: rewrites below the end are legitimate and keep the disk small. */
const EXTENT_BYTES = 16 * 1024 * 1024;
const READ_BYTES = 1024 * 1024;

interface Lane {
  socket: Socket;
  packet: Buffer;
  replyBytes: number;
  wrapBytes: number;
  offset: number;
  inFlight: number;
  /** Bytes of a reply that came so far. */
  partial: number;
}

export class OpLoad {
  /** Operations answered OK, and other answers or ends of connections, by text. */
  ops = 0;
  readonly errors: string[] = [];
  readonly #lanes: Lane[] = [];
  readonly #depth: number;
  #budget = Number.POSITIVE_INFINITY;
  #running = false;

  private constructor(depth: number) {
    this.#depth = depth;
  }

  /** Prepares `connections` connections with an extent of `partitionId` each; nothing runs yet. `followers`: fields of a packet that is replicated. */
  static async prepare(
    port: number,
    partitionId: number,
    kind: OpKind,
    connections: number,
    depth: number,
    followers: Pick<Ask, 'remainingFollowers' | 'arg'> = {},
  ): Promise<OpLoad> {
    const load = new OpLoad(depth);
    const client = new PacketClient(port);
    for (let index = 0; index < connections; index++) {
      const { extentId } = await client.ask({ ...create(partitionId), ...followers });
      const body = pattern(extentId, 0, READ_BYTES);
      const filled = await client.ask({ ...write(partitionId, extentId, 0, body), ...followers });
      if (filled.resultCode !== RESULT.ok) throw new Error(filled.body.toString());
      load.#lanes.push(load.#lane(port, partitionId, extentId, kind, followers));
    }
    await client.end();
    await Promise.all(load.#lanes.map(({ socket }) => until('connected', () => !socket.connecting)));
    return load;
  }

  /** Runs until `stop`. */
  start(): void {
    this.#running = true;
    for (const lane of this.#lanes) this.#fill(lane);
  }

  /** Sends nothing more and waits for what is in flight. */
  async stop(): Promise<void> {
    this.#running = false;
    await until('answers to what is in flight', () => this.#lanes.every(({ inFlight }) => inFlight === 0));
  }

  /** Runs exactly `count` operations. */
  async run(count: number): Promise<void> {
    const target = this.ops + count;
    this.#budget = count;
    this.start();
    await until(`${count} operations`, () => this.ops >= target || this.errors.length > 0, 60_000);
    await this.stop();
    this.#budget = Number.POSITIVE_INFINITY;
    if (this.errors.length > 0) throw new Error(this.errors[0]);
  }

  /** Operations answered in a window of `ms`, a second. */
  async rate(ms: number): Promise<number> {
    const [ops, fromMs] = [this.ops, performance.now()];
    await new Promise((resolve) => setTimeout(resolve, ms));
    return ((this.ops - ops) * 1000) / (performance.now() - fromMs);
  }

  close(): void {
    this.#running = false;
    for (const { socket } of this.#lanes) socket.destroy();
  }

  #lane(
    port: number,
    partitionId: number,
    extentId: number,
    kind: OpKind,
    followers: Pick<Ask, 'remainingFollowers' | 'arg'>,
  ): Lane {
    const body = pattern(extentId, 0, BODY_BYTES);
    const ask =
      kind === 'read'
        ? read(partitionId, extentId, 0, BODY_BYTES)
        : write(partitionId, extentId, 0, body, kind === 'syncAppend');
    const lane: Lane = {
      socket: net.connect({ port, host: '127.0.0.1', noDelay: true }),
      packet: Buffer.from(
        encodeRequest({ ...ask, ...followers, crc: kind === 'read' ? 0 : zlib.crc32(body), reqId: 2 }),
      ),
      replyBytes: HEADER_BYTES + (kind === 'read' ? BODY_BYTES : 0),
      wrapBytes: kind === 'read' ? READ_BYTES : EXTENT_BYTES,
      offset: 0,
      inFlight: 0,
      partial: 0,
    };
    lane.socket.on('data', (chunk) => this.#replies(lane, chunk));
    lane.socket.on('error', (error) => this.errors.push(error.message));
    lane.socket.on('end', () => this.errors.push('the node ended the connection'));
    return lane;
  }

  #fill(lane: Lane): void {
    const count = Math.min(this.#depth - lane.inFlight, this.#budget);
    if (!this.#running || count <= 0) return;
    const packets = Buffer.allocUnsafe(count * lane.packet.length);
    for (let index = 0; index < count; index++) {
      lane.packet.writeBigInt64BE(BigInt(lane.offset), HEADER_OFFSET.extentOffset);
      lane.packet.copy(packets, index * lane.packet.length);
      lane.offset = (lane.offset + BODY_BYTES) % lane.wrapBytes;
    }
    lane.inFlight += count;
    this.#budget -= count;
    lane.socket.write(packets);
  }

  #replies(lane: Lane, chunk: Buffer): void {
    // The result code of each reply that begins in this chunk, or whose code byte lies in it.
    for (let at = HEADER_OFFSET.resultCode - lane.partial; at < chunk.length; at += lane.replyBytes) {
      if (at >= 0 && chunk[at] !== RESULT.ok) {
        this.errors.push(
          `result code ${chunk[at]}: ${chunk.subarray(at + HEADER_BYTES - 3).toString('latin1')}`,
        );
        return;
      }
    }
    const bytes = lane.partial + chunk.length;
    const done = Math.floor(bytes / lane.replyBytes);
    lane.partial = bytes % lane.replyBytes;
    lane.inFlight -= done;
    this.ops += done;
    this.#fill(lane);
  }
}
