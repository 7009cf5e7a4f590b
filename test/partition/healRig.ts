/** An extent of three blocks on a follower, and heals of it. */
import { crc32 } from 'node:zlib';
import type { Test } from 'tap';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import { readFindings } from '../../src/partition/internalRecords.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { ask, FOLDER, follower, piece, send, storeOf } from './internalRig.js';
import type { SimRig } from './simRig.js';
import { pattern, type Sent } from './storeRig.js';
import { slotsOf } from './trustedSlots.js';

export const ID = 1025;
export const GOOD = [pattern(BLOCK_BYTES, 1), pattern(BLOCK_BYTES, 2), pattern(5000, 3)];

/** A follower whose extent 1025 has two blocks and a part of a third. */
export function rigWithExtent(threaded = false): SimRig {
  const rig = follower();
  rig.threaded = threaded;
  ask(rig, INTERNAL_OP.createExtent, { extentId: ID });
  for (const [block, body] of GOOD.entries()) piece(rig, ID, block * BLOCK_BYTES, body, { extentType: 1 });
  rig.run();
  return rig;
}

/** The disk has changed a byte of a block; returns what the block is now. */
export function damage(rig: SimRig, block: number): Uint8Array {
  const bad = GOOD[block]!.slice();
  bad[77]! ^= 4;
  const fd = rig.sim.open(`${FOLDER}/${ID}`, 2, 0);
  rig.sim.write(fd, bad.subarray(77, 78), block * BLOCK_BYTES + 77);
  rig.sim.fdatasync(fd);
  rig.sim.close(fd);
  return bad;
}

export function sendHeal(rig: SimRig, block: number, against: Uint8Array, body = GOOD[block]!): Sent {
  const fields = { extentId: ID, extentOffset: block * BLOCK_BYTES, crc: crc32(body) };
  return send(rig, INTERNAL_OP.healBlock, { ...fields, expectedCrc: crc32(against) }, body);
}

export function heal(rig: SimRig, block: number, against: Uint8Array, body = GOOD[block]!): Sent {
  const sent = sendHeal(rig, block, against, body);
  rig.run();
  return sent;
}

export function read(rig: SimRig, block: number): Sent {
  const sent = rig.sendRead(ID, block * BLOCK_BYTES, GOOD[block]!.length);
  rig.run();
  return sent;
}

export function content(rig: SimRig, block: number): Uint8Array {
  const from = block * BLOCK_BYTES;
  return rig.sim.content(`${FOLDER}/${ID}`).slice(from, from + GOOD[block]!.length);
}

export function slot(rig: SimRig, block: number): number {
  return slotsOf(rig, storeOf(rig), ID).getUint32(block * 4);
}

export function findings(rig: SimRig): unknown[] {
  const page = ask(rig, INTERNAL_OP.listFindings);
  if (!page.ok || page.extentOffset !== -1) throw new Error(page.error);
  return readFindings(page.body);
}

/** `t.same` of a block takes half a second. */
export function isBytes(test: Test, found: Uint8Array, wanted: Uint8Array, name = 'the bytes'): void {
  test.equal(Buffer.compare(found, wanted), 0, name);
}

/** Ten minutes pass; the checksum job does what is due. */
export function rest(rig: SimRig): void {
  rig.simClock.advance(601_000);
  for (let tick = 0; tick < 4; tick += 1) {
    rig.stores.tick();
    rig.run();
  }
}
