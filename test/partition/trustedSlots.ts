/**
 * The rule of trusted checksums, looked at from outside: every slot that is not 0 of an extent that the node trusts is the checksum of its block.
 */
import { crc32 } from 'node:zlib';
import type { ExtentStore } from '../../src/partition/extentStore.js';
import { SLOT_TABLE_BYTES } from '../../src/storage/crcFile.js';
import { EXTENT_FLAG } from '../../src/storage/extentTable.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import type { SimRig } from './simRig.js';

/** Slots that break the rule, in words, and how many slots were compared. */
export function wrongTrustedSlots(rig: SimRig): { wrong: string[]; compared: number } {
  const wrong: string[] = [];
  let compared = 0;
  for (const { store } of rig.partitions.values()) {
    const { table } = store;
    for (let row = 0; row < table.rowCount; row += 1) {
      if (!table.has(row, EXTENT_FLAG.trusted) || table.has(row, EXTENT_FLAG.deleted)) continue;
      const found = compareSlots(rig, store, table.ids[row]!);
      compared += found.compared;
      wrong.push(...found.wrong);
    }
  }
  return { wrong, compared };
}

/** Throws when the rule is broken. */
export function checkTrustedSlots(rig: SimRig): void {
  const { wrong } = wrongTrustedSlots(rig);
  if (wrong.length > 0) throw new Error(wrong.join('; '));
}

/** The slots of one extent, as they stand in EXTENT_CRC. */
export function slotsOf(rig: SimRig, store: ExtentStore, extentId: number): DataView {
  const table = new Uint8Array(SLOT_TABLE_BYTES);
  const file = rig.sim.node(`${store.path}/EXTENT_CRC`);
  if (file?.kind === 'file') file.read(extentId * SLOT_TABLE_BYTES, table);
  return new DataView(table.buffer);
}

function compareSlots(
  rig: SimRig,
  store: ExtentStore,
  extentId: number,
): { wrong: string[]; compared: number } {
  const found = { wrong: [] as string[], compared: 0 };
  if (rig.sim.node(`${store.path}/${extentId}`)?.kind !== 'file') return found;
  const bytes = rig.sim.content(`${store.path}/${extentId}`);
  const slots = slotsOf(rig, store, extentId);
  for (let block = 0; block * BLOCK_BYTES < bytes.length; block += 1) {
    const slot = slots.getUint32(block * 4);
    if (slot === 0) continue;
    found.compared += 1;
    const actual = crc32(bytes.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES));
    const where = `slot ${block} of extent ${store.partitionId}_${extentId}`;
    if (slot !== actual) found.wrong.push(`${where} is trusted and wrong`);
  }
  return found;
}
