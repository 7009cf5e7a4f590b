/** Syncs of tiny deletes with first hosts whose files are laid out in any way, on a replica that keeps a file and lengths in memory: what is recorded, what waits, and that no list grows by being read again. */
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import type { MissedRange } from '../../src/partition/internalRecords.js';
import { TINY_DELETE_RECORD_BYTES, writeTinyDeleteRecord } from '../../src/protocol/tinyDelete.js';
import { DeleteSync, type DeletesHere } from '../../src/repair/deleteSync.js';
import { PeerReplicas } from '../../src/repair/peerReplica.js';
import { FakePeer } from '../support/fakePeer.js';

const PAGE = 4096;
/** `extent:page`, a deleted range of one page; empty: an empty slot. */
type Slots = string[];

function fileOf(slots: Slots): Buffer {
  const bytes = Buffer.alloc(slots.length * TINY_DELETE_RECORD_BYTES);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (const [i, slot] of slots.entries()) {
    if (slot === '') continue;
    const [extentId, page] = slot.split(':').map(Number) as [number, number];
    const record = { extentId, extentOffset: page * PAGE, sizeBytes: PAGE };
    writeTinyDeleteRecord(view, i * TINY_DELETE_RECORD_BYTES, record);
  }
  return bytes;
}

/** A replica: its delete file, how many pages its extents have, and the deletes that it was asked for. */
class Replica implements DeletesHere {
  readonly partitionId = 7;
  readonly pages = new Map<number, number>();
  readonly asked: string[] = [];
  slots: Slots = [];
  position = 0;
  reads = 0;

  async tinyExtents(ids: readonly number[]): Promise<{ fileId: number; size: number }[]> {
    return ids.map((fileId) => ({ fileId, size: (this.pages.get(fileId) ?? 0) * PAGE }));
  }

  async tinyDeleteRecords(offset: number, bytes: number): Promise<Uint8Array> {
    this.reads += 1;
    const records = new Uint8Array(bytes);
    records.set(fileOf(this.slots).subarray(offset, offset + bytes));
    return records;
  }

  async describe(): Promise<{ tinyDeleteEnd: number }> {
    return { tinyDeleteEnd: this.slots.length * TINY_DELETE_RECORD_BYTES };
  }

  async missedDelete(extentId: number, { extentOffset, recordAt }: MissedRange): Promise<boolean> {
    const name = `${extentId}:${extentOffset / PAGE}`;
    this.asked.push(name);
    if (extentOffset + PAGE > (this.pages.get(extentId) ?? 0) * PAGE) return false;
    if (recordAt < 0) this.position += TINY_DELETE_RECORD_BYTES;
    const slot = (recordAt < 0 ? this.position : recordAt) / TINY_DELETE_RECORD_BYTES;
    while (this.slots.length <= slot) this.slots.push('');
    this.slots[slot] = name;
    this.position = Math.max(this.position, slot * TINY_DELETE_RECORD_BYTES);
    return true;
  }

  async finishDeletes(bytes: number): Promise<void> {
    this.position = Math.max(this.position, bytes);
  }
}

async function rig(t: Test) {
  const stop = new AbortController();
  const peers = new PeerReplicas(stop.signal);
  t.teardown(() => stop.abort());
  const leader = await FakePeer.start(t);
  const replica = new Replica();
  const clock = { ms: 0 };
  const syncOf = (own: Replica): DeleteSync =>
    new DeleteSync(own, {
      ownAddress: '10.0.0.1:1',
      dial: (address) => peers.dial(address),
      nextReqId: () => peers.nextReqId(),
      crc32: (data) => crc32(data),
      nowMs: () => clock.ms,
    });
  const sync = syncOf(replica);
  const run = (slots: Slots): Promise<void> => {
    leader.deletes = fileOf(slots);
    return sync.run(leader.address, leader.deletes.byteLength);
  };
  const anew = (own: Replica, slots: Slots): Promise<void> => {
    leader.deletes = fileOf(slots);
    return syncOf(own).run(leader.address, leader.deletes.byteLength);
  };
  return { replica, leader, clock, run, anew };
}

t.test('R9: what is told is recorded, in the slot that it has there, and once', async (t) => {
  const { replica, run, clock } = await rig(t);
  replica.pages.set(1, 9).set(2, 9);
  const theirs = ['', '1:0', '', '2:4', '1:5'];
  replica.slots = ['', '', '', '2:4'];
  await run(theirs);
  t.same(replica.slots, theirs);
  t.same(replica.asked, ['1:0', '1:5']);
  clock.ms = 25 * 3_600_000;
  await run(theirs);
  t.same(replica.asked.length, 2, 'another whole sync finds nothing to do');
});

t.test(
  'a slot that another record has here: to the end, unless it stands anywhere in our file',
  async (t) => {
    const { replica, run, anew } = await rig(t);
    replica.pages.set(1, 9);
    replica.slots = ['', '1:1', '1:2'];
    replica.position = 48;
    // Shifted by a slot, as v1.4.0 nodes leave it.
    const theirs = ['', '1:3', '1:1', '1:2'];
    await run(theirs);
    t.same(replica.asked, ['1:2', '1:3'], 'one into a free slot, one to the end');
    const recorded = replica.slots.filter((slot) => slot !== '');
    t.same([...new Set(recorded)].sort(), ['1:1', '1:2', '1:3']);
    const before = [...replica.slots];
    for (let i = 0; i < 3; i += 1) await anew(replica, theirs);
    t.same(replica.slots, before, 'no whole sync makes it longer');
  },
);

t.test('what an extent does not have yet waits until it has it, and holds up nothing else', async (t) => {
  const { replica, run, leader } = await rig(t);
  replica.pages.set(1, 4);
  const theirs = ['', '1:6', '1:1', '2:0'];
  await run(theirs);
  t.same(replica.slots, ['', '', '1:1']);
  replica.asked.length = 0;
  const { length } = leader.asked;
  await run(theirs);
  t.same([replica.asked.length, leader.asked.length], [0, length], 'nobody is asked in vain');
  await run([...theirs, '1:0']);
  t.same(replica.asked, ['1:0'], 'only what is new is read');
  replica.pages.set(1, 7);
  await run([...theirs, '1:0']);
  t.same(replica.slots, ['', '1:6', '1:1', '', '1:0']);
  replica.pages.set(2, 1);
  await run([...theirs, '1:0']);
  t.same(replica.slots, [...theirs, '1:0']);
});

const slot = fc.oneof(
  fc.constant(''),
  fc.tuple(fc.integer({ min: 1, max: 3 }), fc.nat({ max: 4 })).map(([id, page]) => `${id}:${page}`),
);

t.test(
  'after syncs with any first hosts every record is here, and no list grows by them any more',
  async (t) => {
    const { anew } = await rig(t);
    const slots = fc.array(slot, { maxLength: 10 });
    const check = await fc.check(
      fc.asyncProperty(slots, slots, slots, async (own, a, b) => {
        const replica = new Replica();
        for (const id of [1, 2, 3]) replica.pages.set(id, 5);
        replica.slots = [...own];
        replica.position = own.length * TINY_DELETE_RECORD_BYTES;
        const hosts = [a, b].filter(({ length }) => length > 0);
        const round = async (): Promise<void> => {
          for (const host of hosts) await anew(replica, host);
        };
        await round();
        const known = new Set([...own, ...a, ...b].filter((one) => one !== ''));
        const here = replica.slots.filter((one) => one !== '');
        const isWhole = [...known].every((one) => here.includes(one)) && here.every((one) => known.has(one));
        await round();
        const before = replica.slots.join(' ');
        await round();
        return isWhole && replica.slots.join(' ') === before;
      }),
      { numRuns: 150 },
    );
    t.notOk(check.failed, JSON.stringify(check.counterexample));
  },
);
