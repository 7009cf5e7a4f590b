/**
 * One life of a disk that passes every failpoint: start over what an earlier life left, partitions created and removed, all kinds of operations, files
 * closed to make room, probe, look at the space, a clean stop. It takes whatever fails, and keeps what clients were promised.
 *
 * Where the same steps find the same disk they do the same, so that passes of a failpoint can be numbered.
 */

import { basename } from 'node:path';
import { crc32 } from 'node:zlib';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import { MISSED_RANGE_BYTES, writeMissedRange } from '../../src/partition/internalRecords.js';
import type { Operation } from '../../src/partition/operation.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeClientMarkDelete } from '../../src/protocol/tinyDelete.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { PartitionPromises } from '../crash/promises.js';
import { pattern, type Sent } from '../partition/storeRig.js';
import { FaultApplies } from './faultApplies.js';
import type { FaultRig } from './faultRig.js';
import { OLD, type Partitions } from './firstLife.js';

/** What a step came to; `''` is success. */
export interface Outcome {
  step: string;
  error: string;
}

export class FaultScenario {
  readonly outcomes: Outcome[] = [];
  readonly promises: Partitions;
  /** Normal extents whose delete was acknowledged. */
  readonly deleted: number[] = [];
  /** Everything that was promised before is on disk: the stop was clean. */
  stopped = false;
  readonly rig: FaultRig;
  /** Called when something hangs and nothing else moves. */
  private readonly onHang: (scenario: FaultScenario) => void;
  private readonly open: { step: string; sent: Sent; then: (sent: Sent) => void }[] = [];
  private seeds = 0;
  private applies: FaultApplies | null = null;
  private lookedAtHang = false;

  constructor(rig: FaultRig, promises: Partitions, onHang: (scenario: FaultScenario) => void) {
    this.rig = rig;
    this.promises = promises;
    this.onHang = onHang;
  }

  /** The whole life. */
  run(cold: (share: number) => void): void {
    if (!this.start()) return;
    this.createPartition(8);
    const [first, second] = this.create(7, 2);
    const [other] = this.create(8, 1);
    this.writes(first, second, other);
    this.reads(first, second, cold);
    this.tiny();
    this.delete();
    this.makeRoom(first, other);
    this.rest(first);
    this.applies?.entries(first);
    this.go();
    this.tick();
    this.removePartition(9);
    this.rig.failpoints.endLasting();
    this.applies?.untilEnded();
    this.go();
    for (let round = 0; round < 3 && !this.isSteady(`round ${round}`); round += 1) this.tick();
  }

  /** The start; false when the disk is not served. */
  start(): boolean {
    const failure = this.rig.start();
    this.tell('start', failure ?? '');
    const apply = this.rig.partitions.get(7)?.raftApply ?? null;
    if (apply !== null) this.applies = new FaultApplies(this.rig, apply, this.promises);
    this.go();
    return failure === null;
  }

  /** Everything that a client may want, once more; true when all of it is served. */
  isSteady(step: string): boolean {
    const before = this.outcomes.length;
    for (const partitionId of this.rig.partitions.keys()) {
      const [extent] = this.create(partitionId, 1);
      if (extent === undefined) continue;
      this.write(`${step} write`, partitionId, extent, 0, 3000, false);
      this.write(`${step} sync write`, partitionId, extent, 3000, 3000, true);
      this.go();
      this.read(`${step} read`, partitionId, extent, 0, 6000);
      this.tinyWrite(partitionId, 700, true);
      this.go();
    }
    return this.outcomes.slice(before).every(({ error }) => error === '');
  }

  /** While something hangs in one partition's extent: the other partition and the other extents are served. */
  independentWork(hangs: string): void {
    const here = /datapartition_(\d)_/.exec(hangs)?.[1];
    for (const partitionId of this.rig.partitions.keys()) {
      if (String(partitionId) === here) continue;
      const [extent] = this.create(partitionId, 1, 'meanwhile create');
      this.write('meanwhile write', partitionId, extent, 0, 4000, true);
      this.go();
      if (extent !== undefined) this.read('meanwhile read', partitionId, extent, 0, 4000);
      this.tinyWrite(partitionId, 600, true, 'meanwhile tiny write');
      if (extent !== undefined) this.removeExtent(partitionId, extent);
      this.go();
    }
    for (const id of [OLD.blocks, OLD.small]) {
      if (basename(hangs) !== String(id)) this.read('meanwhile old', 7, id, 0, 4000);
    }
    this.go();
  }

  /** The last writes are not synced; then nobody waits, and it ends. */
  stop(): boolean {
    this.lastWrites();
    this.applies?.lastEntries();
    this.go();
    const clean = this.rig.stop();
    this.tell('stop', clean ? '' : this.rig.told.join('; '));
    this.go();
    this.stopped = clean;
    return clean;
  }

  tick(): void {
    this.rig.tick();
    this.go();
  }

  /** Answers that are missing. */
  get unanswered(): string[] {
    return [...this.open.map(({ step }) => step), ...(this.applies?.open ?? [])];
  }

  go(): void {
    this.rig.run();
    if (this.rig.failpoints.hanging.length > 0 && !this.lookedAtHang) {
      this.lookedAtHang = true;
      this.onHang(this);
      this.rig.failpoints.release();
      this.rig.run();
    }
    this.settleOutcomes();
  }

  private settleOutcomes(): void {
    for (const { step, error } of this.applies?.ended.splice(0) ?? []) this.tell(step, error);
    for (const each of this.open.splice(0)) {
      if (!each.sent.ended) {
        this.open.push(each);
        continue;
      }
      this.tell(each.step, each.sent.error);
      each.then(each.sent);
    }
  }

  private tell(step: string, error: string): void {
    this.outcomes.push({ step, error });
  }

  private sent(step: string, sent: Sent, then: (sent: Sent) => void = () => {}): Sent {
    this.open.push({ step, sent, then });
    return sent;
  }

  private createPartition(partitionId: number): void {
    const promises = new PartitionPromises();
    this.promises.set(partitionId, promises);
    for (let attempt = 1; attempt <= 2 && !promises.created; attempt += 1) {
      const failure = this.rig.createPartition(partitionId);
      this.tell(`partition ${partitionId}`, failure ?? '');
      promises.created = failure === null;
    }
    this.go();
  }

  private removePartition(partitionId: number): void {
    const promises = this.promises.get(partitionId);
    if (promises === undefined || !this.rig.partitions.has(partitionId)) return;
    promises.deletion = 'sent';
    for (let attempt = 1; attempt <= 2 && promises.deletion === 'sent'; attempt += 1) {
      const failure = this.rig.deletePartition(partitionId);
      this.tell(`remove ${partitionId}`, failure ?? '');
      if (failure === null) promises.deletion = 'acknowledged';
      this.go();
    }
  }

  /** Extents, with a second attempt after a look at the disk's space. */
  private create(partitionId: number, count: number, step = 'create'): (number | undefined)[] {
    if (!this.rig.partitions.has(partitionId)) return [];
    const made: number[] = [];
    for (let attempt = 1; attempt <= 2 && made.length < count; attempt += 1) {
      if (attempt > 1) this.tick();
      for (let left = count - made.length; left > 0; left -= 1) {
        const sent = this.rig.sendCreate({ partitionId });
        this.promises.get(partitionId)!.creates.push(sent);
        this.sent(`${step} in ${partitionId}`, sent, ({ ok, extentId }) => {
          if (ok) made.push(extentId);
        });
      }
      this.go();
    }
    return made;
  }

  private write(
    step: string,
    partitionId: number,
    extentId: number | undefined,
    at: number,
    bytes: number,
    sync: boolean,
  ): void {
    if (extentId === undefined) return;
    this.seeds += 1;
    const body = pattern(bytes, this.seeds);
    const opcode = sync ? OP.syncWrite : OP.write;
    const sent = this.sent(step, this.rig.send({ opcode, extentId, extentOffset: at, partitionId }, body));
    const { writes } = this.promises.get(partitionId)!;
    writes.set(extentId, [...(writes.get(extentId) ?? []), { sent, at, body, sync }]);
  }

  private read(
    step: string,
    partitionId: number,
    extentId: number,
    extentOffset: number,
    size: number,
  ): Sent {
    const opcode = OP.streamFollowerRead;
    return this.sent(step, this.rig.send({ opcode, extentId, extentOffset, size, partitionId }));
  }

  private tinyWrite(partitionId: number, bytes: number, sync: boolean, step = 'tiny write'): Sent {
    this.seeds += 1;
    const body = pattern(bytes, this.seeds);
    const opcode = sync ? OP.syncWrite : OP.write;
    const { writes } = this.promises.get(partitionId)!;
    return this.sent(
      `${step} in ${partitionId}`,
      this.rig.send({ opcode, extentType: 0, partitionId }, body),
      (sent) => {
        if (!sent.ok) return;
        const { extentId, extentOffset } = sent;
        writes.set(extentId, [...(writes.get(extentId) ?? []), { sent, at: extentOffset, body, sync }]);
      },
    );
  }

  private removeExtent(partitionId: number, extentId: number): void {
    const promises = this.promises.get(partitionId)!;
    promises.writes.delete(extentId);
    promises.creates.splice(
      promises.creates.findIndex((sent) => sent.extentId === extentId),
      1,
    );
    const sent = this.rig.send({ opcode: OP.markDelete, extentId, partitionId });
    this.sent(`delete in ${partitionId}`, sent, ({ ok }) => {
      if (ok && partitionId === 7) this.deleted.push(extentId);
    });
  }

  /** Whole blocks and parts, alone and pipelined, over checksums that are there already. */
  private writes(first: number | undefined, second: number | undefined, other: number | undefined): void {
    this.write('part of an old block', 7, OLD.blocks, 500, 1000, true);
    this.go();
    this.write('a block', 7, first, 0, BLOCK_BYTES, false);
    this.go();
    this.write('behind it, synced', 7, first, BLOCK_BYTES, 5000, true);
    this.write('another partition', 8, other, 0, 5000, true);
    this.go();
    for (let i = 0; i < 3; i += 1) this.write(`pipelined ${i}`, 7, second, i * 4096, 4096, i === 2);
    this.go();
    this.write('part of the block', 7, first, 1000, 3000, false);
    this.go();
    this.write('the block again', 7, first, 0, BLOCK_BYTES, true);
    this.go();
  }

  private reads(first: number | undefined, second: number | undefined, cold: (share: number) => void): void {
    for (const share of [0, 1]) {
      cold(share);
      for (const id of [OLD.blocks, OLD.small, first, second]) {
        if (id !== undefined) this.read(`read ${share}`, 7, id, 0, 4096);
      }
      if (first !== undefined) this.read(`whole block ${share}`, 7, first, 0, BLOCK_BYTES);
      this.go();
    }
    cold(0);
    this.read('behind the end', 7, OLD.small, 8000, 4096);
    this.go();
  }

  /** Appends, a delete in the middle, and both streams over it. */
  private tiny(): void {
    const written = this.tinyWrite(7, 9000, false);
    this.go();
    this.tinyWrite(7, 3000, true);
    this.go();
    const { ok, extentId, extentOffset } = written;
    if (!ok) return;
    const key = { fileOffset: 0, partitionId: 7, extentId, extentOffset, size: 4096, crc: 0 };
    this.read('read of a tiny extent', 7, extentId, extentOffset, 9000);
    this.go();
    const { writes } = this.promises.get(7)!;
    const [rest] = writes.get(extentId)!.splice(-1);
    this.sent(
      'tiny delete',
      this.rig.send({ opcode: OP.markDelete, extentType: 0, extentId }, encodeClientMarkDelete(key)),
    );
    writes.get(extentId)!.push({ ...rest!, at: extentOffset + 4096, body: rest!.body.subarray(4096) });
    this.go();
    for (const at of [extentOffset, extentOffset + 4096]) {
      const fields = { extentType: 0, extentId, extentOffset: at, size: 12_288 };
      this.sent('tiny stream', this.rig.send({ opcode: OP.tinyExtentRepairRead, ...fields }));
    }
    this.sent('records', this.rig.send({ opcode: OP.readTinyDeleteRecord, extentType: 0 }));
    this.go();
    this.repair(extentId, extentOffset + 4096);
  }

  /** What repair brings and asks, all over again: a missed delete, a hole, a piece, a look at a block, syncs. `rangeAt`: of what is left there of a file. */
  private repair(extentId: number, rangeAt: number): void {
    const own = (step: string, fields: Partial<Operation>, body = new Uint8Array(0)): void => {
      this.sent(step, this.rig.send({ internal: true, ...fields }, body));
      this.go();
    };
    const missed = new Uint8Array(MISSED_RANGE_BYTES);
    const range = { extentOffset: rangeAt, sizeBytes: 4096, recordAt: -1 };
    writeMissedRange(new DataView(missed.buffer), 0, range);
    const { writes } = this.promises.get(7)!;
    const [rest] = writes.get(extentId)!.splice(-1);
    own('missed delete', { opcode: INTERNAL_OP.missedDelete, extentId }, missed);
    writes.get(extentId)!.push({ ...rest!, at: rest!.at + 4096, body: rest!.body.subarray(4096) });
    const { store } = this.rig.partitions.get(7)!;
    const end = store.table.sizes[store.table.find(64)]!;
    own('hole', { opcode: INTERNAL_OP.tinyHole, extentId: 64, extentOffset: end, size: 12_288 });
    own('sync of a hole', { opcode: INTERNAL_OP.syncExtent, extentId: 64 });
    own('look at a block', { opcode: INTERNAL_OP.readBlock, extentId: OLD.blocks, size: BLOCK_BYTES });
    const [healed] = this.create(7, 1);
    if (healed === undefined) return;
    this.write('a block to be healed', 7, healed, 0, BLOCK_BYTES, false);
    this.go();
    // The same bytes again, so that all promises hold.
    const { sent, body } = writes.get(healed)!.at(-1)!;
    const heal = { extentId: healed, crc: crc32(body), expectedCrc: crc32(body) };
    if (sent.ok) own('heal', { opcode: INTERNAL_OP.healBlock, ...heal }, Uint8Array.from(body));
  }

  private delete(): void {
    const [extent] = this.create(7, 1);
    this.write('a block to be deleted', 7, extent, 0, BLOCK_BYTES, false);
    this.go();
    if (extent !== undefined) this.removeExtent(7, extent);
    this.go();
  }

  /** Files with unsynced data are closed for others. */
  private makeRoom(first: number | undefined, other: number | undefined): void {
    this.write('unsynced', 7, first, 0, 4096, false);
    this.write('unsynced too', 8, other, 0, 4096, false);
    this.go();
    for (const id of [OLD.blocks, OLD.small, OLD.blocks]) {
      this.read('makes room', 7, id, 0, 1000);
      this.go();
    }
    for (const id of [first, OLD.small]) {
      if (id !== undefined) this.read('makes more room', 7, id, 0, 1000);
    }
    this.go();
  }

  /** Extents come to rest, are written to again, and are all compared. */
  private rest(first: number | undefined): void {
    this.rig.rest();
    this.go();
    this.write('after the rest', 7, OLD.small, 9000, 1000, false);
    this.write('after the rest too', 7, first, 500, 1000, true);
    this.write('after the rest elsewhere', 9, 1025, 6000, 1000, true);
    this.go();
    this.rig.rest();
    this.go();
    this.rig.scrub();
    this.go();
  }

  private lastWrites(): void {
    for (const partitionId of this.rig.partitions.keys()) {
      const [extent] = this.create(partitionId, 1);
      this.write('at last', partitionId, extent, 0, 2000, false);
      this.tinyWrite(partitionId, 500, false);
    }
  }
}
