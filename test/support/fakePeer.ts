/**
 * Another data node as repair meets it, written from the description of the protocol (`repair.md` 7) without any code of the node but the codec: serves extents from memory, takes notifications, and misbehaves where a test wants
 * it to.
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { crc32 } from 'node:zlib';
import { type ExtentInfo, encodeExtentList } from '../../src/protocol/extentInfo.js';
import { PacketFramer } from '../../src/protocol/framer.js';
import { PacketHeader } from '../../src/protocol/header.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodePacket } from '../../src/protocol/packet.js';
import { encodeMaxExtentIdAndSize, encodeUint64Body } from '../../src/protocol/queries.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { TINY_REPAIR_ARG_BYTES, writeTinyRepairArg } from '../../src/protocol/tinyRepairArg.js';
import type { Teardown } from './nodeProcess.js';

const PIECE_BYTES = 128 * 1024;
const PAGE_BYTES = 4096;
const NONE = new Uint8Array(0);

/** A packet of an answer, before it is encoded. */
export interface Piece {
  header: Partial<PacketHeader>;
  arg: Uint8Array;
  body: Uint8Array;
}

/** What came in. */
export interface Asked {
  opcode: number;
  extentId: number;
  extentOffset: number;
  size: number;
  body: Buffer;
  /** Number of the connection, in order of arrival. */
  connection: number;
}

/** Decides about one question; undefined: the ordinary answer. */
export type Answer = (
  asked: Asked,
  socket: Socket,
  ordinary: () => Piece[],
) => Iterable<Piece> | AsyncIterable<Piece> | undefined;

export class FakePeer {
  /** Contents by id; pages of a tiny one that are all zero are holes. */
  readonly extents = new Map<number, Buffer>();
  /** The tiny delete file as it is served. */
  deletes: Buffer = Buffer.alloc(0);
  readonly asked: Asked[] = [];
  answer: Answer = () => undefined;
  connections = 0;
  address = '';
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async start(t: Teardown, host = '127.0.0.1'): Promise<FakePeer> {
    const peer = new FakePeer();
    await new Promise<void>((resolve) => peer.#server.listen(0, host, resolve));
    peer.address = `${host}:${(peer.#server.address() as AddressInfo).port}`;
    t.teardown(() => peer.stop());
    return peer;
  }

  /** An entry of a task that names this peer as the source. */
  entry(id: number, size = this.extents.get(id)!.length): ExtentInfo {
    return { fileId: id, size, crc: 0, deleted: false, modTime: 0, source: this.address };
  }

  stop(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #accept(socket: Socket): void {
    const connection = ++this.connections;
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
    const framer = new PacketFramer({ direction: 'request', argBytesMax: 1 << 16, bodyBytesMax: 1 << 26 });
    socket.on('data', (chunk) => {
      framer.push(chunk, ({ header, body }) => {
        const { opcode, extentId, extentOffset, size } = header;
        const asked = { opcode, extentId, extentOffset, size, body: Buffer.from(body), connection };
        this.asked.push(asked);
        const request = { ...header };
        const ordinary = (): Piece[] => this.#ordinary(asked);
        void send(socket, request, this.answer(asked, socket, ordinary) ?? ordinary());
      });
    });
  }

  #ordinary({ opcode, extentId, extentOffset, size, body }: Asked): Piece[] {
    switch (opcode) {
      case OP.extentRepairRead:
        return normalPieces(this.extents.get(extentId)!, extentOffset, size);
      case OP.tinyExtentRepairRead:
        return tinyPieces(this.extents.get(extentId)!, extentOffset, size);
      case OP.readTinyDeleteRecord: {
        const records = this.deletes.subarray(extentOffset);
        const header = { opcode: RESULT.ok, extentType: 1, extentId: 0, extentOffset, crc: crc32(records) };
        return records.length === 0 ? [] : [{ header, arg: NONE, body: records }];
      }
      case OP.getAllWatermarks: {
        const wanted = body.length === 0 ? null : new Set(JSON.parse(body.toString()) as number[]);
        const ids = [...this.extents.keys()].filter((id) => (wanted === null ? id > 64 : wanted.has(id)));
        const list = ids.map((id) => ({
          ...this.entry(id, roundedSize(id, this.extents.get(id)!)),
          source: '',
        }));
        return [{ header: {}, arg: NONE, body: encodeExtentList(list) }];
      }
      case OP.getPartitionSize:
        return [{ header: {}, arg: NONE, body: encodeUint64Body(this.#sum(extentId)) }];
      case OP.getMaxExtentIdAndPartitionSize: {
        const max = Math.max(64, ...this.extents.keys());
        return [{ header: {}, arg: NONE, body: encodeMaxExtentIdAndSize(max, this.#sum(max)) }];
      }
      default:
        return [{ header: {}, arg: NONE, body: NONE }];
    }
  }

  #sum(max: number): number {
    return [...this.extents].reduce((sum, [id, bytes]) => sum + (id <= max ? roundedSize(id, bytes) : 0), 0);
  }
}

function roundedSize(id: number, bytes: Buffer): number {
  return id <= 64 ? Math.ceil(bytes.length / PAGE_BYTES) * PAGE_BYTES : bytes.length;
}

/** The packets of a normal repair read. */
export function normalPieces(bytes: Buffer, from: number, size: number): Piece[] {
  const pieces: Piece[] = [];
  const end = Math.min(bytes.length, from + size);
  for (let at = from; at < end; at += PIECE_BYTES) {
    const body = bytes.subarray(at, Math.min(end, at + PIECE_BYTES));
    pieces.push({ header: { extentOffset: at, crc: crc32(body) }, arg: NONE, body });
  }
  return pieces;
}

/** Those of a tiny one: runs of zero pages are holes. */
export function tinyPieces(bytes: Buffer, from: number, size: number): Piece[] {
  const available = Math.min(size, bytes.length - from);
  const isHole = (at: number): boolean => bytes.subarray(at, at + PAGE_BYTES).every((byte) => byte === 0);
  const pieces: Piece[] = [];
  for (let at = from; at < from + available; ) {
    const hole = isHole(at);
    let end = at;
    while (end < bytes.length && end - at < PIECE_BYTES && isHole(end) === hole) end += PAGE_BYTES;
    end = Math.min(end, bytes.length);
    const arg = new Uint8Array(TINY_REPAIR_ARG_BYTES);
    writeTinyRepairArg(new DataView(arg.buffer), 0, hole ? end - at : 0, available);
    const body = hole ? NONE : bytes.subarray(at, end);
    pieces.push({ header: { extentOffset: at, crc: hole ? 0 : crc32(body) }, arg, body });
    at = end;
  }
  return pieces;
}

async function send(
  socket: Socket,
  request: PacketHeader,
  pieces: Iterable<Piece> | AsyncIterable<Piece>,
): Promise<void> {
  for await (const piece of pieces) socket.write(packet(request, piece));
}

/** The packet that answers `request` with a piece. */
function packet(request: PacketHeader, { header, arg, body }: Piece): Uint8Array {
  const fields = { resultCode: RESULT.ok, size: body.byteLength, crc: 0, ...header };
  return encodePacket(Object.assign(new PacketHeader(), request, fields), arg, body);
}
