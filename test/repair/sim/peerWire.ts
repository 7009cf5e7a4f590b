/**
 * Connections between repair threads and data ports in a simulated run, in place of `peerConnection.ts` and the network threads: packets travel as bytes, in order on each connection, late, torn, or not at all.
 */
import { crc32 } from 'node:zlib';
import { PacketFramer } from '../../../src/protocol/framer.js';
import { HEADER_OFFSET, PacketHeader } from '../../../src/protocol/header.js';
import { OP } from '../../../src/protocol/opcodes.js';
import { encodePacket } from '../../../src/protocol/packet.js';
import { RESULT } from '../../../src/protocol/resultCodes.js';
import { TINY_REPAIR_ARG_BYTES, writeTinyRepairArg } from '../../../src/protocol/tinyRepairArg.js';
import type { PeerPacket } from '../../../src/repair/peerConnection.js';
import { BLOCK_BYTES, PAGE_BYTES } from '../../../src/storage/layout.js';
import type { Life } from './life.js';
import { nonsenseList, nonsenseTask } from './nonsense.js';
import type { World } from './world.js';

const LIMITS = { argBytesMax: 64 * 1024, bodyBytesMax: 64 * 1024 * 1024 };
const NO_BYTES = new Uint8Array(0);
/** A connection on which nothing is heard any more is ended by the system after so long: `peerConnection.ts` asks for keep-alive after 60 s, and ten unanswered probes follow. */
const KEEP_ALIVE_MS = 70_000;

/** The asking end, as `PeerConnection`. */
export class SimPeerConnection {
  readonly address: string;
  readonly #world: World;
  readonly #served: ServedConnection;
  readonly #framer = new PacketFramer({ direction: 'reply', ...LIMITS });
  readonly #queue: PeerPacket[] = [];
  #waiting: { resolve(packet: PeerPacket): void; reject(error: Error): void; since: number } | null = null;
  #failure: Error | null = null;
  #turns = 0;
  #arrivesMs = 0;
  #silent = false;

  constructor(world: World, asker: Life, target: Life, address: string) {
    this.address = address;
    this.#world = world;
    this.#served = new ServedConnection(world, target, this);
    asker.connections.add(this);
    target.connections.add(this);
    this.ends = [asker, target];
  }

  readonly ends: readonly Life[];

  get failure(): Error | null {
    return this.#failure;
  }

  get isReusable(): boolean {
    return this.#failure === null && this.#queue.length === 0 && this.#framer.pendingBytes === 0;
  }

  send(packet: Uint8Array): void {
    if (this.#failure !== null) return;
    if (this.#world.stormy && this.#world.traits.silence && this.#world.random.chance(0.02))
      this.fallSilent();
    this.#inOrder(() => this.#served.request(packet));
  }

  next(timeoutMs = 60_000): Promise<PeerPacket> {
    const packet = this.#queue.shift();
    if (packet !== undefined) return Promise.resolve(packet);
    if (this.#failure !== null) return Promise.reject(this.#failure);
    this.#turns += 1;
    const turn = this.#turns;
    this.#world.after(timeoutMs, () => {
      if (this.#waiting?.since === turn) this.close(`no packet within ${timeoutMs} ms`);
    });
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject, since: turn };
    });
  }

  close(reason = 'closed'): void {
    if (this.#failure !== null) return;
    this.#failure = new Error(`${this.address}: ${reason}`);
    for (const life of this.ends) life.connections.delete(this);
    const waiting = this.#waiting;
    this.#waiting = null;
    this.#world.touched = true;
    waiting?.reject(this.#failure);
  }

  /** One end is gone, or the network between them: the asker learns it late. `torn`: with part of a packet. */
  lose(): void {
    this.#world.after(this.#world.delayMs(), () => this.close('connection closed'));
  }

  /** From now on nothing that is sent arrives, and neither end is told. */
  fallSilent(): void {
    if (this.#silent || this.#failure !== null) return;
    this.#silent = true;
    this.#world.hits.silentPeers += 1;
    this.#world.after(KEEP_ALIVE_MS, () => this.close('read ETIMEDOUT'));
  }

  /** A reply is on its way. */
  reply(bytes: Uint8Array): void {
    this.#inOrder(() => {
      const fault = this.#framer.push(bytes, ({ header, arg, body }) => {
        const packet = { header: { ...header }, arg: arg.slice(), body: body.slice() };
        const waiting = this.#waiting;
        this.#waiting = null;
        this.#world.touched = true;
        if (waiting === null) this.#queue.push(packet);
        else waiting.resolve(packet);
      });
      if (fault !== null) this.close(fault.message);
    });
  }

  #inOrder(action: () => void): void {
    const world = this.#world;
    this.#arrivesMs = Math.max(this.#arrivesMs, world.nowMs + world.delayMs());
    world.events.at(this.#arrivesMs, () => {
      if (this.#failure === null && !this.#silent && this.ends.every((life) => life.alive)) action();
    });
  }
}

/** The answering end: what a network thread does with the questions of peers, one at a time. */
class ServedConnection {
  readonly #world: World;
  readonly #life: Life;
  readonly #peer: SimPeerConnection;
  readonly #framer = new PacketFramer({ direction: 'request', ...LIMITS });

  constructor(world: World, life: Life, peer: SimPeerConnection) {
    this.#world = world;
    this.#life = life;
    this.#peer = peer;
  }

  request(bytes: Uint8Array): void {
    this.#framer.push(bytes, ({ header, body }) => this.#serve({ ...header }, body.slice()));
  }

  #serve(request: PacketHeader, body: Uint8Array): void {
    const { opcode, extentType, extentId, extentOffset, partitionId, size } = request;
    if (opcode === OP.notifyReplicasToRepair) {
      this.#life.task(this.#asTaken(body), (failure) =>
        this.#answer(request, failure === null ? {} : { text: failure }),
      );
      return;
    }
    const fields = { opcode, extentType, extentId, extentOffset, partitionId };
    if (opcode === OP.extentRepairRead) return this.#normal(request, extentOffset, size);
    if (opcode === OP.tinyExtentRepairRead || opcode === OP.readTinyDeleteRecord)
      return this.#stream(request, extentOffset, size);
    this.#life.send(fields, body, (sent) =>
      this.#answer(request, sent.ok ? { body: this.#asTold(request, sent.body) } : { text: sent.error }),
    );
  }

  /** A notification as it comes from a first host that may have gone wrong. */
  #asTaken(body: Uint8Array): Uint8Array {
    const { stormy, traits, random, hits } = this.#world;
    if (!stormy || !traits.nonsense || !random.chance(0.1)) return body;
    hits.nonsenseTasks += 1;
    return nonsenseTask(body, random);
  }

  /** A list as it leaves a node that may have gone wrong. */
  #asTold({ opcode }: PacketHeader, body: Uint8Array): Uint8Array {
    const { stormy, traits, random, hits } = this.#world;
    if (opcode !== OP.getAllWatermarks || !stormy || !traits.nonsense || !random.chance(0.1)) return body;
    hits.nonsenseLists += 1;
    return nonsenseList(body, random);
  }

  #normal(request: PacketHeader, at: number, left: number): void {
    const size = Math.min(left, BLOCK_BYTES);
    const { opcode, extentType, extentId, partitionId } = request;
    this.#life.send(
      { opcode, extentType, extentId, partitionId, extentOffset: at, size },
      NO_BYTES,
      (sent) => {
        if (!sent.ok) return this.#answer(request, { text: sent.error });
        this.#answer(request, { body: sent.body, crc: sent.crc, extentOffset: at });
        if (left > size) this.#normal(request, at + size, left - size);
      },
    );
  }

  #stream(request: PacketHeader, at: number, left: number): void {
    const { opcode, extentId, partitionId } = request;
    this.#life.send(
      { opcode, extentType: 0, extentId, partitionId, extentOffset: at, size: left },
      NO_BYTES,
      (sent) => {
        if (!sent.ok) return this.#answer(request, { text: sent.error });
        const { remainingBytes, holeBytes } = sent.op;
        const covered = holeBytes > 0 ? holeBytes : sent.body.byteLength;
        const arg = new Uint8Array(opcode === OP.tinyExtentRepairRead ? TINY_REPAIR_ARG_BYTES : 0);
        const available = at - request.extentOffset + remainingBytes;
        if (arg.byteLength > 0) writeTinyRepairArg(new DataView(arg.buffer), 0, holeBytes, available);
        this.#answer(request, { body: sent.body, crc: sent.crc, extentOffset: at, arg });
        if (remainingBytes > covered && covered > 0)
          this.#stream(request, at + covered, remainingBytes - covered);
      },
    );
  }

  #answer(
    request: PacketHeader,
    answer: { body?: Uint8Array; crc?: number; extentOffset?: number; arg?: Uint8Array; text?: string },
  ): void {
    const body = answer.text === undefined ? (answer.body ?? NO_BYTES) : Buffer.from(answer.text);
    const header = Object.assign(new PacketHeader(), request, {
      ...{ resultCode: answer.text === undefined ? RESULT.ok : RESULT.argMismatchErr, size: body.byteLength },
      ...{ crc: answer.crc ?? request.crc, extentOffset: answer.extentOffset ?? request.extentOffset },
    });
    this.#onItsWay(header, answer.arg ?? NO_BYTES, body);
  }

  /** What may befall a packet of repair. */
  #onItsWay(header: PacketHeader, arg: Uint8Array, body: Uint8Array): void {
    const world = this.#world;
    const { random, hits } = world;
    const bytes = encodePacket(header, arg, body);
    const isPiece = header.opcode === OP.extentRepairRead || header.opcode === OP.tinyExtentRepairRead;
    if (isPiece && world.stormy && random.chance(0.03)) {
      hits.misplacedPieces += 1;
      return this.#peer.reply(misplaced(header, arg, body));
    }
    if (world.stormy && world.traits.silence && random.chance(0.01)) this.#peer.fallSilent();
    if (!world.stormy || !random.chance(isPiece ? 0.1 : 0.02)) return this.#peer.reply(bytes);
    const kind = random.below(3);
    if (kind === 0) {
      if (isPiece) hits.tornFetches += 1;
      this.#peer.reply(bytes.slice(0, random.below(bytes.byteLength)));
      this.#peer.lose();
    } else if (kind === 1 && isPiece) {
      hits.garbage += 1;
      this.#peer.reply(garbled(bytes, body.byteLength, world));
    } else if (kind === 2) {
      // In the middle of an answer one of both ends goes.
      this.#peer.reply(bytes);
      const life = this.#peer.ends[random.below(2)]!;
      world.after(world.between(0, 3), () => life.node.killed(life, 'while it repairs'));
    } else this.#peer.reply(bytes);
  }
}

/** A piece of another place, whole and with its checksum: a source that has gone wrong. */
function misplaced(header: PacketHeader, arg: Uint8Array, body: Uint8Array): Uint8Array {
  const other = body.toReversed();
  const extentOffset = header.extentOffset + PAGE_BYTES;
  const wrong = Object.assign(new PacketHeader(), header, { extentOffset, crc: crc32(other) });
  return encodePacket(wrong, arg, other);
}

/** A byte is not what it was: of the header, or of the body. Not of the Arg, which no checksum covers: the length of a hole is believed (`repair.md` 7.4). */
function garbled(bytes: Uint8Array, bodyBytes: number, { random }: World): Uint8Array {
  const wrong = bytes.slice();
  const places = [HEADER_OFFSET.extentId + 7, HEADER_OFFSET.extentOffset + 5, HEADER_OFFSET.crc];
  const place = random.below(places.length + (bodyBytes > 0 ? 3 : 0));
  const at = places[place] ?? bytes.byteLength - 1 - random.below(bodyBytes);
  wrong[at]! ^= 1 << random.below(8);
  return wrong;
}
