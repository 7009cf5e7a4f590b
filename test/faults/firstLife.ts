/**
 * What the faulty life of a disk starts over: an earlier life without faults, and beside it what a Go node, crashes and losses of power may have left.
 */
import assert from 'node:assert';
import {
  encodeMissingRecord,
  MISSING_KIND,
  MISSING_RECORD_BYTES,
} from '../../src/partition/missingRanges.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeClientMarkDelete } from '../../src/protocol/tinyDelete.js';
import { writeApply } from '../../src/storage/applyFile.js';
import { SLOT_TABLE_BYTES } from '../../src/storage/crcFile.js';
import { BLOCK_BYTES, FILE } from '../../src/storage/layout.js';
import { writeNewFile } from '../../src/storage/wholeFile.js';
import { PartitionPromises } from '../crash/promises.js';
import { pattern, type Sent } from '../partition/storeRig.js';
import type { FaultRig } from './faultRig.js';

export const FOLDER = (id: number): string => `datapartition_${id}_${1 << 30}`;

/** 7 has everything; 9 and 6 look like a Go node's, with and without an extent. */
const PARTITIONS = [7, 9, 6];
/** Extents of partition 7: blocks with checksums, a small one, one that was deleted, one with a hole, and the last id that was handed out. */
export const OLD = { blocks: 1025, small: 1026, deleted: 1027, holed: 1028, lastId: 1029 } as const;

export type Partitions = Map<number, PartitionPromises>;

/** Lives and stops; what it has promised. */
export function firstLife(rig: FaultRig): Partitions {
  const partitions: Partitions = new Map(PARTITIONS.map((id) => [id, new PartitionPromises()]));
  assert.equal(rig.start(), null);
  for (const [partitionId, promises] of partitions) {
    assert.equal(rig.createPartition(partitionId), null);
    promises.created = true;
  }
  extent(rig, partitions, 7, pattern(BLOCK_BYTES + 5000, 900));
  extent(rig, partitions, 7, pattern(9000, 901));
  extent(rig, partitions, 9, pattern(6000, 904));
  const deleted = ended(rig, rig.sendCreate());
  ended(rig, rig.sendWrite(deleted.extentId, 0, pattern(100, 902)));
  ended(rig, rig.send({ opcode: OP.markDelete, extentId: deleted.extentId }));
  rig.rest();
  const { extentId, extentOffset } = ended(rig, rig.sendTinyWrite(pattern(5000, 903)));
  const key = { fileOffset: 0, partitionId: 7, extentId, extentOffset, size: 4096, crc: 0 };
  ended(rig, rig.send({ opcode: OP.markDelete, extentType: 0, extentId }, encodeClientMarkDelete(key)));
  const { extentId: holed } = ended(rig, rig.sendCreate());
  const { extentId: last } = ended(rig, rig.sendCreate());
  assert.deepEqual([deleted.extentId, holed, last], [OLD.deleted, OLD.holed, OLD.lastId]);
  assert(rig.stop(), rig.told.join('; '));
  age(rig);
  return partitions;
}

/** What was not left by a clean stop. */
function age(rig: FaultRig): void {
  const { root, disk } = rig;
  const seven = `${root}/${FOLDER(7)}`;
  // The file of an extent that was never synced went with the power: only EXTENT_META remembers its id.
  disk.unlink(`${seven}/${OLD.lastId}`);
  cut(rig, `${seven}/${OLD.holed}`, 12_288);
  // So long that the slots of new extents are looked at.
  cut(rig, `${seven}/EXTENT_CRC`, 1100 * SLOT_TABLE_BYTES);
  writeApply(disk, seven, 12);
  missesARange(rig, seven);
  for (const id of [9, 6]) disk.unlink(`${root}/${FOLDER(id)}/EXTENT_CLEAN`);
  // A partition that the reference left incomplete, and a removal that a crash cut short.
  disk.unlink(`${root}/${FOLDER(9)}/5`);
  cut(rig, `${root}/${FOLDER(9)}/EXTENT_META`, 8);
  disk.mkdir(`${root}/deleted_${FOLDER(3)}_1`, 0o755);
  disk.fsyncFolder(root);
}

/** An extent with this content, synced, which a client relies on. */
function extent(rig: FaultRig, partitions: Partitions, partitionId: number, body: Uint8Array): void {
  const { creates, writes } = partitions.get(partitionId)!;
  const created = ended(rig, rig.sendCreate({ partitionId }));
  const { extentId } = created;
  creates.push(created);
  writes.set(extentId, []);
  for (let at = 0; at < body.length; at += BLOCK_BYTES) {
    const piece = body.subarray(at, at + BLOCK_BYTES);
    const fields = { opcode: OP.syncWrite, partitionId, extentId, extentOffset: at };
    writes.get(extentId)!.push({ sent: ended(rig, rig.send(fields, piece)), at, body: piece, sync: true });
  }
}

function ended(rig: FaultRig, sent: Sent): Sent {
  rig.run();
  assert(sent.ok, sent.error);
  return sent;
}

/** A random write came before its extent. */
function missesARange({ disk }: FaultRig, folder: string): void {
  const bytes = new Uint8Array(MISSING_RECORD_BYTES);
  const range = { extentId: 4000, from: 0, to: 100, index: 12 };
  encodeMissingRecord(bytes, 0, { kind: MISSING_KIND.range, ...range });
  writeNewFile(disk, `${folder}/${FILE.raftMissing}`, bytes);
}

function cut({ disk }: FaultRig, path: string, bytes: number): void {
  const fd = disk.open(path, 2, 0);
  disk.truncate(fd, bytes);
  disk.close(fd);
}
