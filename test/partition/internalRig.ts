/** A `SimRig` whose partition 7 has three hosts, this one a follower, asked as the node's own threads ask. */
import type { ExtentStore } from '../../src/partition/extentStore.js';
import { INTERNAL_OP, LIST } from '../../src/partition/internalOps.js';
import {
  MISSED_RANGE_BYTES,
  type PartitionInfo,
  readExtentRecords,
  readPartitionInfo,
  writeMissedRange,
} from '../../src/partition/internalRecords.js';
import type { Operation } from '../../src/partition/operation.js';
import type { StoreSettings } from '../../src/partition/storeHost.js';
import type { ExtentInfo } from '../../src/protocol/extentInfo.js';
import { OP } from '../../src/protocol/opcodes.js';
import { ROOT, run, SimRig } from './simRig.js';
import type { Sent } from './storeRig.js';

export const FOLDER = `${ROOT}/datapartition_7_1073741824`;
export const HOSTS = ['a:1', 'b:1', 'c:1'];

export function follower(settings: Partial<StoreSettings> = {}): SimRig {
  const rig = SimRig.start(settings);
  rig.create(ROOT, { hosts: HOSTS });
  return rig;
}

export function storeOf(rig: SimRig): ExtentStore {
  return rig.partitions.get(7)!.store;
}

/** Sends an internal request. */
export function send(
  rig: SimRig,
  opcode: number,
  fields: Partial<Operation> = {},
  body: Uint8Array = new Uint8Array(0),
): Sent {
  return rig.send({ opcode, internal: true, ...fields }, body);
}

/** Sends one and runs everything to its end. */
export function ask(
  rig: SimRig,
  opcode: number,
  fields: Partial<Operation> = {},
  body: Uint8Array = new Uint8Array(0),
): Sent {
  return run(rig, send(rig, opcode, fields, body));
}

/** A piece of data as repair brings it to the end of a tiny extent, or with `extentType` 1 of a normal one. */
export function piece(
  rig: SimRig,
  extentId: number,
  extentOffset: number,
  body: Uint8Array,
  fields: Partial<Operation> = {},
): Sent {
  return ask(rig, OP.write, { extentType: 0, extentId, extentOffset, ...fields }, body);
}

export function hole(rig: SimRig, extentId: number, extentOffset: number, size: number): Sent {
  return ask(rig, INTERNAL_OP.tinyHole, { extentId, extentOffset, size });
}

export function missedDelete(
  rig: SimRig,
  extentId: number,
  extentOffset: number,
  sizeBytes: number,
  recordAt: number,
): Sent {
  const body = new Uint8Array(MISSED_RANGE_BYTES);
  writeMissedRange(new DataView(body.buffer), 0, { extentOffset, sizeBytes, recordAt });
  return ask(rig, INTERNAL_OP.missedDelete, { extentId }, body);
}

/** All pages of a list. */
export function list(rig: SimRig, extentType: number, fields: Partial<Operation> = {}): ExtentInfo[] {
  const extents: ExtentInfo[] = [];
  for (let from = 0; from >= 0; ) {
    const sent = ask(rig, INTERNAL_OP.listExtents, { extentType, extentOffset: from, ...fields });
    if (!sent.ok) throw new Error(sent.error);
    extents.push(...readExtentRecords(sent.body));
    from = sent.extentOffset;
  }
  return extents;
}

export function describe(rig: SimRig): PartitionInfo {
  return readPartitionInfo(ask(rig, INTERNAL_OP.describe).body);
}

/** Watermark of a tiny extent, or size of a normal one. */
export function sizeOf(rig: SimRig, extentId: number): number {
  return ask(rig, INTERNAL_OP.extentSize, { extentId }).extentOffset;
}

/** Ids of all extents, ascending. */
export function allIds(rig: SimRig): number[] {
  return list(rig, LIST.all)
    .map(({ fileId }) => fileId)
    .sort((a, b) => a - b);
}
