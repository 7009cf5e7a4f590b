/**
 * A peer that speaks just enough of the protocol to be driven, and does nothing else: for measuring the generator itself, and for its tests. With
 * `keepData` it remembers what is written (in memory) and gives it back; without, reads get a constant body.
 *
 *     node dist/bench/sink.js --port 17399
 */
import assert from 'node:assert';
import * as net from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parseFollowers } from '../src/protocol/followers.js';
import { type FramedPacket, PacketFramer } from '../src/protocol/framer.js';
import {
  EXTENT_TYPE_TINY,
  HEADER_BYTES,
  PacketHeader,
  writeExtent,
  writeReplyFields,
  writeStreamReadHeader,
} from '../src/protocol/header.js';
import { isReadOp, OP } from '../src/protocol/opcodes.js';
import { RESULT } from '../src/protocol/resultCodes.js';
import { decodeMarkDelete } from '../src/protocol/tinyDelete.js';
import { type CrcFunction, loadBodyCrc } from './crc.js';
import { READ_CHUNK_BYTES } from './reply.js';
import { roundUpToPage, TINY_EXTENT_LAST } from './tinyExtents.js';

const EXTENT_BYTES_MAX = 128 * 1024 * 1024;
const FIRST_EXTENT_ID = 1025;
const RECEIVE_BYTES = 512 * 1024;
/** More than a sink ever makes in one partition. */
const EXTENTS_APART = 2 ** 32;

/** What a test makes the sink do with a packet instead of answering it well. */
export type Misbehaviour =
  /** An error reply with this code and text. */
  | { readonly error: number; readonly text: string }
  /** Answer, but with the last byte of the body turned over (and the CRC of the wrong body). */
  | { readonly wrongBody: true }
  /** Answer, but with a CRC that fits nothing. */
  | { readonly wrongCrc: true }
  /** Answer well, and do nothing. */
  | { readonly ignored: true }
  /** Delete what lies behind, too: the next extent, or as much again of a tiny one. */
  | { readonly neighbour: true }
  /** No answer. */
  | { readonly silent: true }
  /** Answer at once, and do it so much later. */
  | { readonly laterMs: number }
  /** Close the connection. */
  | { readonly hangUp: true }
  /** Answer this and everything behind it on the connection so much later. */
  | { readonly delayMs: number };

export interface SinkOptions {
  readonly keepData?: boolean;
  /** Where to listen; default 127.0.0.1. */
  readonly address?: string;
  /** The sink at a follower's address, which does what this one does; undefined: it cannot be reached, and the packet fails. Absent: followers are not looked at. */
  readonly follower?: (address: string) => Sink | undefined;
  /** The other replicas of a partition: they do random writes as this one does. Absent: there are none. */
  readonly group?: (partitionId: number) => readonly Sink[];
  /** Asked about every packet; null: answer it. */
  readonly misbehave?: (header: PacketHeader) => Misbehaviour | null;
  /** The same about what a primary forwards, or a leader has decided; only what is done can be wrong. */
  readonly misbehaveAsFollower?: (header: PacketHeader) => Misbehaviour | null;
}

/** See the file comment. */
export class Sink {
  readonly #options: SinkOptions;
  readonly #crc32: CrcFunction;
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  readonly #extents = new Map<number, Uint8Array>();
  readonly #constantBody = new Uint8Array(READ_CHUNK_BYTES).fill(0x5a);
  readonly #constantCrcs = new Map<number, number>();
  readonly #deleted = new Set<number>();
  /** Where the next tiny write to each extent goes, and how many there were. */
  readonly #tinyEnds = new Map<number, number>();
  #tinyWrites = 0;
  #lastExtentId = FIRST_EXTENT_ID - 1;
  /** Packets taken, by opcode. */
  readonly packets = new Map<number, number>();

  private constructor(options: SinkOptions, crc32: CrcFunction) {
    this.#options = options;
    this.#crc32 = crc32;
    this.#server = net.createServer((socket) => this.#accept(socket));
  }

  /** Starts listening; port 0 picks one. */
  static async listen(port: number, options: SinkOptions = {}): Promise<Sink> {
    const sink = new Sink(options, (await loadBodyCrc()).crc32);
    await new Promise<void>((resolve, reject) => {
      sink.#server.once('error', reject).listen(port, options.address ?? '127.0.0.1', resolve);
    });
    return sink;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: net.Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    const replies = new ReplyQueue(socket);
    const framer = new PacketFramer({ direction: 'request', argBytesMax: 1 << 16, bodyBytesMax: 1 << 24 });
    const onPacket = (packet: FramedPacket) => this.#answer(packet, replies, socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('data', (chunk: Uint8Array) => {
      if (framer.push(chunk, onPacket) !== null) socket.destroy();
      else replies.flush();
    });
  }

  #answer(packet: FramedPacket, replies: ReplyQueue, socket: net.Socket): void {
    const { header } = packet;
    this.packets.set(header.opcode, (this.packets.get(header.opcode) ?? 0) + 1);
    const fault = this.#options.misbehave?.(header) ?? null;
    if (fault !== null) {
      if ('error' in fault) return replies.plain(packet, fault.error, Buffer.from(fault.text));
      if ('silent' in fault) return;
      if ('hangUp' in fault) return void socket.destroy();
      if ('delayMs' in fault) replies.delay(fault.delayMs);
    }
    if (isReadOp(header.opcode)) return this.#read(packet, replies, fault);
    if (header.opcode === OP.getMaxExtentIdAndPartitionSize) return this.#highestId(packet, replies);
    if (header.opcode === OP.createExtent && header.remainingFollowers > 0)
      header.extentId = ++this.#lastExtentId;
    if (header.opcode === OP.write && header.extentType === EXTENT_TYPE_TINY) this.#assign(header);
    this.#execute(packet, fault);
    const lost = this.#forward(packet);
    if (lost === null) return replies.plain(packet, RESULT.ok, null);
    replies.plain(packet, RESULT.intraGroupNetErr, Buffer.from(`ActionReceiveFromFollower_${lost} is away`));
  }

  /** What is left to do when ids and places are known. */
  #execute({ header, body }: Pick<FramedPacket, 'header' | 'body'>, fault: Misbehaviour | null): void {
    if (fault !== null && 'ignored' in fault) return;
    if (fault !== null && 'laterMs' in fault) {
      const later = { header: Object.assign(new PacketHeader(), header), body: body.slice() };
      setTimeout(() => this.#execute(later, null), fault.laterMs);
      return;
    }
    if (header.opcode === OP.markDelete) {
      this.#delete(header, body, fault !== null && 'neighbour' in fault ? 1 : 0);
    } else if (header.opcode !== OP.createExtent && this.#options.keepData === true) {
      this.#store(header, body);
    }
  }

  /** Has the followers do it, too; returns the address of one that cannot be reached. */
  #forward(packet: FramedPacket): string | null {
    const { follower, group } = this.#options;
    if (isRandomWriteOp(packet.header.opcode)) {
      for (const sink of group?.(packet.header.partitionId) ?? [])
        sink.#execute(packet, sink.#options.misbehaveAsFollower?.(packet.header) ?? null);
      return null;
    }
    if (follower === undefined) return null;
    const list = parseFollowers(packet.arg);
    assert(list.ok, 'a follower list');
    let lost: string | null = null;
    for (const address of list.addresses) {
      const sink = follower(address);
      if (sink === undefined) lost ??= address;
      else sink.#execute(packet, sink.#options.misbehaveAsFollower?.(packet.header) ?? null);
    }
    return lost;
  }

  /** Tiny extents in turn. */
  #assign(header: PacketHeader): void {
    header.extentId = (this.#tinyWrites % TINY_EXTENT_LAST) + 1;
    this.#tinyWrites += 1;
    const key = keyOf(header);
    header.extentOffset = this.#tinyEnds.get(key) ?? 0;
    this.#tinyEnds.set(key, header.extentOffset + roundUpToPage(header.size));
  }

  /** `further`: extents, or pieces of the same size, deleted beyond what is asked. */
  #delete(header: PacketHeader, body: Uint8Array, further: number): void {
    const key = keyOf(header);
    if (header.extentType !== EXTENT_TYPE_TINY) {
      for (let each = key; each <= key + further; each += 1) {
        this.#extents.delete(each);
        this.#deleted.add(each);
      }
      return;
    }
    const range = decodeMarkDelete(body);
    assert(range.ok, 'a tiny delete has a range');
    const { extentOffset, size } = range.value;
    this.#extents.get(key)?.fill(0, extentOffset, extentOffset + size * (1 + further));
  }

  #store(header: PacketHeader, body: Uint8Array): void {
    const end = header.extentOffset + body.length;
    let kept = this.#extents.get(keyOf(header)) ?? new Uint8Array(0);
    if (kept.length < end) {
      const grown = new Uint8Array(Math.min(EXTENT_BYTES_MAX, Math.max(end, kept.length * 2)));
      grown.set(kept);
      kept = grown;
      this.#extents.set(keyOf(header), kept);
    }
    kept.set(body, header.extentOffset);
  }

  #read(packet: FramedPacket, replies: ReplyQueue, fault: Misbehaviour | null): void {
    const { header } = packet;
    const kept = this.#extents.get(keyOf(header));
    if (this.#deleted.has(keyOf(header))) {
      return replies.plain(packet, RESULT.notExistErr, Buffer.from('ActionStreamRead_extent does not exist'));
    }
    for (let done = 0; done < header.size; ) {
      const bytes = Math.min(READ_CHUNK_BYTES, header.size - done);
      const offset = header.extentOffset + done;
      let body =
        this.#options.keepData === true
          ? kept?.slice(offset, offset + bytes)
          : this.#constantBody.subarray(0, bytes);
      if (body === undefined || body.length < bytes) {
        return replies.plain(packet, RESULT.intraGroupNetErr, Buffer.from('ActionStreamRead_EOF'));
      }
      if (fault !== null && 'wrongBody' in fault) {
        body = body.slice();
        body[bytes - 1]! ^= 0xff;
      }
      let crc =
        this.#options.keepData === true || fault !== null ? this.#crc32(body, 0) : this.#constantCrc(bytes);
      if (fault !== null && 'wrongCrc' in fault) crc = (crc ^ 1) >>> 0;
      replies.chunk(packet, offset, crc, body);
      done += bytes;
    }
  }

  #constantCrc(bytes: number): number {
    let crc = this.#constantCrcs.get(bytes);
    if (crc === undefined) {
      crc = this.#crc32(this.#constantBody.subarray(0, bytes), 0);
      this.#constantCrcs.set(bytes, crc);
    }
    return crc;
  }

  #highestId(packet: FramedPacket, replies: ReplyQueue): void {
    const body = Buffer.alloc(16);
    body.writeBigUInt64BE(BigInt(this.#lastExtentId), 0);
    replies.plain(packet, RESULT.ok, body);
  }
}

function isRandomWriteOp(opcode: number): boolean {
  return opcode === OP.randomWrite || opcode === OP.syncRandomWrite;
}

/** An extent of a partition, as one number. */
function keyOf({ partitionId, extentId }: PacketHeader): number {
  return partitionId * EXTENTS_APART + extentId;
}

/** Replies of one connection, gathered in one buffer per batch of requests. */
class ReplyQueue {
  readonly #socket: net.Socket;
  #bytes = Buffer.alloc(RECEIVE_BYTES);
  #view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset);
  #used = 0;
  #delayMs = 0;

  constructor(socket: net.Socket) {
    this.#socket = socket;
  }

  delay(delayMs: number): void {
    this.flush();
    this.#delayMs = delayMs;
  }

  /** The request's header as a reply, with a body or without. */
  plain(packet: FramedPacket, code: number, body: Uint8Array | null): void {
    const at = this.#reserve(HEADER_BYTES + (body?.length ?? 0));
    this.#bytes.set(packet.bytes.subarray(packet.start, packet.start + HEADER_BYTES), at);
    writeReplyFields(this.#view, at, code, packet.header.crc, body?.length ?? 0, 0);
    writeExtent(this.#view, at, packet.header.extentId, packet.header.extentOffset);
    if (body !== null) this.#bytes.set(body, at + HEADER_BYTES);
  }

  /** One data packet of a read. */
  chunk(packet: FramedPacket, offset: number, crc: number, body: Uint8Array): void {
    const at = this.#reserve(HEADER_BYTES + body.length);
    const request = new DataView(packet.bytes.buffer, packet.bytes.byteOffset);
    writeStreamReadHeader(this.#view, at, request, packet.start, offset, crc, body.length);
    this.#bytes.set(body, at + HEADER_BYTES);
  }

  /** Hands what was gathered to the socket; its buffer is the socket's from then on. */
  flush(): void {
    if (this.#used === 0) return;
    const bytes = Buffer.from(this.#bytes.subarray(0, this.#used));
    this.#used = 0;
    const delayMs = this.#delayMs;
    this.#delayMs = 0;
    if (delayMs === 0) {
      this.#socket.write(bytes);
      return;
    }
    // Nothing of this connection may overtake the late reply: it takes no requests meanwhile.
    this.#socket.pause();
    setTimeout(() => {
      this.#socket.write(bytes);
      this.#socket.resume();
    }, delayMs);
  }

  #reserve(bytes: number): number {
    if (this.#used + bytes > this.#bytes.length) this.flush();
    const at = this.#used;
    this.#used += bytes;
    return at;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { port: { type: 'string', default: '17399' } } });
  const sink = await Sink.listen(Number(values.port));
  process.stdout.write(`sink ready on 127.0.0.1:${sink.port}\n`);
}
