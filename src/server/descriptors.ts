/**
 * Ring descriptors from the network thread's side: a request written into its ring (`partition/messages.ts` has the layout).
 */
import {
  issuedAt,
  REQUEST_F64,
  REQUEST_I32,
  REQUEST_KIND,
  REQUEST_KIND_SHIFT,
  SETTLE_F64,
  SETTLE_I32,
} from '../partition/messages.js';
import type { PacketHeader } from '../protocol/header.js';
import { DESCRIPTOR_F64, DESCRIPTOR_I32 } from '../shm/layout.js';
import type { RingProducer } from '../shm/ring.js';
import type { Slab } from '../shm/slab.js';

/**
 * Fills the reserved descriptor `at`: the packet's header with the given extent offset and size (a stream read is cut into chunks), the slot, and who sent it;
 * `forwarded`: it goes to followers too. Allocates nothing.
 */
export function writeRequest(
  ring: RingProducer,
  at: number,
  slab: Slab,
  slot: number,
  sender: { readonly index: number; readonly generation: number },
  tag: number,
  header: PacketHeader,
  extentOffset: number,
  bytes: number,
  nowMs: number,
  forwarded: boolean,
): void {
  const { i32, f64 } = ring;
  const i = at * DESCRIPTOR_I32;
  const f = at * DESCRIPTOR_F64;
  i32[i + REQUEST_I32.tag] = tag;
  const packet = header.opcode | (header.extentType << 8) | (header.remainingFollowers << 16);
  const kind = forwarded ? REQUEST_KIND.forwarded : REQUEST_KIND.packet;
  i32[i + REQUEST_I32.kind] = packet | (kind << REQUEST_KIND_SHIFT);
  i32[i + REQUEST_I32.crc] = header.crc;
  i32[i + REQUEST_I32.size] = bytes;
  i32[i + REQUEST_I32.bufferBytes] = slab.capacity(slot);
  i32[i + REQUEST_I32.connection] = sender.index;
  i32[i + REQUEST_I32.generation] = sender.generation;
  i32[i + REQUEST_I32.issuedAtMs] = issuedAt(nowMs);
  f64[f + REQUEST_F64.bufferOffset] = slab.payloadOffset(slot);
  f64[f + REQUEST_F64.partitionId] = header.partitionId;
  f64[f + REQUEST_F64.extentId] = header.extentId;
  f64[f + REQUEST_F64.extentOffset] = extentOffset;
}

/** Fills the reserved descriptor `at` with the outcome of a forwarded tiny append. */
export function writeSettle(
  ring: RingProducer,
  at: number,
  partitionId: number,
  extentId: number,
  loan: number,
  acknowledged: boolean,
): void {
  const { i32, f64 } = ring;
  const i = at * DESCRIPTOR_I32;
  const f = at * DESCRIPTOR_F64;
  i32[i + SETTLE_I32.kind] = REQUEST_KIND.settle << REQUEST_KIND_SHIFT;
  i32[i + SETTLE_I32.acknowledged] = acknowledged ? 1 : 0;
  f64[f + SETTLE_F64.partitionId] = partitionId;
  f64[f + SETTLE_F64.extentId] = extentId;
  f64[f + SETTLE_F64.loan] = loan;
}
