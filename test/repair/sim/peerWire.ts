/**
 * Connections between repair threads and data ports in a simulated run, in place of `peerConnection.ts` and the network threads: packets travel as bytes, in order on each connection, late, torn, or not at all.
 */

import { PacketFramer } from '../../../src/protocol/framer.js';
import { HEADER_OFFSET, PacketHeader } from '../../../src/protocol/header.js';
import { OP } from '../../../src/protocol/opcodes.js';
import { encodePacket } from '../../../src/protocol/packet.js';
import { RESULT } from '../../../src/protocol/resultCodes.js';
import { TINY_REPAIR_ARG_BYTES, writeTinyRepairArg } from '../../../src/protocol/tinyRepairArg.js';
import type { PeerPacket } from '../../../src/repair/peerConnection.js';
import { BLOCK_BYTES } from '../../../src/storage/layout.js';
import type { Life } from './simNode.js';
import type { World } from './world.js';

const LIMITS = { argBytesMax: 64 * 1024, bodyBytesMax: 64 * 1024 * 1024 };
const NO_BYTES = new Uint8Array(0);

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
      if (this.#failure === null && this.ends.every((life) => life.alive)) action();
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
      this.#life.task(body, (failure) => this.#answer(request, failure === null ? {} : { text: failure }));
      return;
    }
    const fields = { opcode, extentType, extentId, extentOffset, partitionId };
    if (opcode === OP.extentRepairRead) return this.#normal(request, extentOffset, size);
    if (opcode === OP.tinyExtentRepairRead || opcode === OP.readTinyDeleteRecord)
      return this.#stream(request, extentOffset, size);
    this.#life.send(fields, body, (sent) =>
      this.#answer(request, sent.ok ? { body: sent.body } : { text: sent.error }),
    );
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
    const bytes = encodePacket(header, answer.arg ?? NO_BYTES, body);
    this.#onItsWay(request.opcode, bytes);
  }

  /** What may befall a packet of repair. */
  #onItsWay(opcode: number, bytes: Uint8Array): void {
    const world = this.#world;
    const { random, hits } = world;
    const isPiece = opcode === OP.extentRepairRead || opcode === OP.tinyExtentRepairRead;
    if (!world.stormy || !random.chance(isPiece ? 0.1 : 0.02)) return this.#peer.reply(bytes);
    const kind = random.below(3);
    if (kind === 0) {
      if (isPiece) hits.tornFetches += 1;
      this.#peer.reply(bytes.slice(0, random.below(bytes.byteLength)));
      this.#peer.lose();
    } else if (kind === 1 && isPiece) {
      hits.garbage += 1;
      this.#peer.reply(garbled(bytes, world));
    } else if (kind === 2) {
      // In the middle of an answer one of both ends goes.
      this.#peer.reply(bytes);
      const life = this.#peer.ends[random.below(2)]!;
      world.after(world.between(0, 3), () => life.node.killed(life, 'while it repairs'));
    } else this.#peer.reply(bytes);
  }
}

/** Some bytes are not what they were: of the header, of the Arg, or of the body. */
function garbled(bytes: Uint8Array, { random }: World): Uint8Array {
  const wrong = bytes.slice();
  const places = [HEADER_OFFSET.extentId + 7, HEADER_OFFSET.extentOffset + 5, HEADER_OFFSET.crc];
  const place = random.below(places.length + 3);
  const at =
    place < places.length ? places[place]! : bytes.byteLength - 1 - random.below(bytes.byteLength - 57);
  wrong[at]! ^= 1 << random.below(8);
  return wrong;
}
