/** What is missing is fetched, and contents are compared after a snapshot, while entries go on: the pass of the repair thread over real replicas on simulated disks, asked as the thread asks them. */
import t from 'tap';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import {
  FILL_HEADER_BYTES,
  type MissingPart,
  readMissingParts,
  writeFillHeader,
} from '../../src/partition/internalRecords.js';
import type { Operation } from '../../src/partition/operation.js';
import type { Content } from '../../src/repair/differences.js';
import {
  fetchMissing,
  type MissingReplica,
  type MissingReport,
  type PeerContent,
} from '../../src/repair/missingPass.js';
import { ApplyRig, type Write } from '../partition/applyRig.js';
import { ask } from '../partition/internalRig.js';
import { pattern } from '../partition/storeRig.js';
import { Random } from '../sim/random.js';

const KiB = 1024;
const BLOCK_BYTES = 128 * KiB;
const SIZES = [20 * KiB, 30 * KiB, 300 * KiB];
const EXTENTS = SIZES.map((_, number) => 1025 + number);

/** A replica as `OwnReplica` asks it; `before` comes between the thread's questions. */
class RigReplica implements MissingReplica {
  private readonly replica: ApplyRig;
  private readonly before: () => void;

  constructor(replica: ApplyRig, before: () => void) {
    this.replica = replica;
    this.before = before;
  }

  async missing(passOver: number): Promise<{ parts: MissingPart[]; next: number }> {
    const { body, extentOffset } = this.#ask(INTERNAL_OP.listMissing, { extentOffset: passOver });
    return { parts: readMissingParts(body.slice()), next: extentOffset };
  }

  async extentSize(extentId: number): Promise<number> {
    return this.#ask(INTERNAL_OP.extentSize, { extentId }).extentOffset;
  }

  async content(extentId: number, from: number, to: number): Promise<Content> {
    const start = from - (from % BLOCK_BYTES);
    const { body } = this.#ask(INTERNAL_OP.readBlock, { extentId, extentOffset: start, size: BLOCK_BYTES });
    return { bytes: body.slice(from - start, to - start), holes: [] };
  }

  async fillMissing(
    extentId: number,
    from: number,
    bytes: Uint8Array,
    appliedIndex: number,
  ): Promise<number> {
    const body = new Uint8Array(FILL_HEADER_BYTES + bytes.length);
    writeFillHeader(new DataView(body.buffer), 0, { appliedIndex, bytes: bytes.length });
    body.set(bytes, FILL_HEADER_BYTES);
    return this.#ask(INTERNAL_OP.fillMissing, { extentId, extentOffset: from }, body).extentOffset;
  }

  async notMissing(extentId: number, from: number, to: number, appliedIndex: number): Promise<void> {
    const body = new Uint8Array(FILL_HEADER_BYTES);
    writeFillHeader(new DataView(body.buffer), 0, { appliedIndex, bytes: to - from });
    this.#ask(INTERNAL_OP.fillMissing, { extentId, extentOffset: from }, body);
  }

  async forgetMissing(extentId: number, from: number): Promise<void> {
    this.#ask(INTERNAL_OP.forgetMissing, { extentId, extentOffset: from });
  }

  async sync(extentId: number): Promise<void> {
    this.#ask(INTERNAL_OP.syncExtent, { extentId });
  }

  #ask(
    opcode: number,
    fields: Partial<Operation>,
    body?: Uint8Array,
  ): { body: Buffer; extentOffset: number } {
    this.before();
    const sent = ask(this.replica.rig, opcode, fields, body);
    if (!sent.ok) throw new Error(sent.error);
    return { body: Buffer.from(sent.body), extentOffset: sent.extentOffset };
  }
}

/** Three replicas of a partition; the last one lags behind. */
class Replicas {
  readonly whole = [ApplyRig.start(SIZES), ApplyRig.start(SIZES)];
  readonly late: ApplyRig;
  readonly random: Random;
  /** Entries come between the questions of a pass. */
  busy = true;
  written = 0;
  compared = 0;
  private entries = 0;

  constructor(seed: number, lateSizes: readonly number[]) {
    this.random = new Random(seed);
    this.late = ApplyRig.start(lateSizes);
  }

  /** An entry; the late replica gets it unless it is away. */
  commit(isLateAway = false): void {
    this.entries += 1;
    const number = this.random.below(EXTENTS.length);
    const body = pattern(1 + this.random.below(9000), this.entries);
    const at = this.random.below(SIZES[number]! - body.length);
    const write: Write = { extentId: EXTENTS[number]!, at, body };
    for (const replica of isLateAway ? this.whole : [...this.whole, this.late]) replica.write(write);
    for (const replica of this.whole) if (this.random.chance(0.5)) replica.run();
    if (!isLateAway && this.random.chance(0.7)) this.late.rig.turn();
  }

  get index(): number {
    return this.entries;
  }

  /** Repair by size: the extent is made, or made longer, with what a whole replica has there now. */
  repair(extentId: number, share: number): void {
    const source = this.whole[0]!;
    source.run();
    const bytes = source.content(extentId);
    if (!this.late.has(String(extentId))) this.late.rig.sendCreate();
    this.late.run();
    const from = this.late.content(extentId).length;
    const to = Math.floor(bytes.length * share);
    for (let at = from; at < to; at += BLOCK_BYTES) {
      this.late.rig.sendSyncWrite(extentId, at, bytes.subarray(at, Math.min(to, at + BLOCK_BYTES)));
      this.late.run();
    }
  }

  async pass(piecesMax: number): Promise<MissingReport> {
    const sources = this.whole.map(({ apply }, number) => ({
      address: String(number),
      appliedIndex: apply.appliedIndex,
    }));
    const between = (): void => {
      if (this.busy && this.random.chance(0.4)) this.commit();
    };
    const report = await fetchMissing(
      {
        ...{ replica: new RigReplica(this.late, between), sources, isStopping: () => false },
        pace: async () => between(),
        readContent: async (address, extentId, from, to) => this.read(Number(address), extentId, from, to),
      },
      0,
      piecesMax,
    );
    this.written += report.writtenBytes;
    this.compared += report.comparedBytes;
    return report;
  }

  private read(number: number, extentId: number, from: number, to: number): PeerContent {
    const source = this.whole[number]!;
    if (this.busy && this.random.chance(0.2)) throw new Error('no answer');
    if (!source.has(String(extentId))) return 'unknown';
    const bytes = source.content(extentId).slice(from, to);
    return bytes.length === 0 ? 'beyond' : { bytes, holes: [] };
  }

  /** Nothing comes any more, and all is brought. */
  async settle(): Promise<void> {
    this.busy = false;
    for (const replica of [...this.whole, this.late]) replica.run();
    for (let round = 0; round < 20 && this.late.apply.missing.count > 0; round += 1) await this.pass(1000);
  }

  differing(): number[] {
    return EXTENTS.filter((id) => Buffer.compare(this.late.content(id), this.whole[0]!.content(id)) !== 0);
  }
}

t.test('what is missing is fetched while entries go on, and nothing newer is written over', async (t) => {
  let written = 0;
  for (let seed = 1; seed <= 30; seed += 1) {
    const replicas = new Replicas(seed, []);
    for (let step = 0; step < 30; step += 1) {
      replicas.commit();
      if (step % 6 === 3) await replicas.pass(1 + replicas.random.below(6));
      if (step % 8 === 5)
        replicas.repair(EXTENTS[Math.floor(step / 8) % 3]!, replicas.random.chance(0.5) ? 1 : 0.6);
    }
    for (const extentId of EXTENTS) replicas.repair(extentId, 1);
    await replicas.settle();
    t.equal(replicas.late.apply.missing.count, 0, `seed ${seed}: nothing is missing in the end`);
    t.same(replicas.differing(), [], `seed ${seed}`);
    written += replicas.written;
  }
  t.ok(written > 100 * KiB, `${written} bytes were written`);
});

t.test(
  'after a snapshot all contents are compared while entries go on, and written where they differ',
  async (t) => {
    let compared = 0;
    let written = 0;
    for (let seed = 1; seed <= 30; seed += 1) {
      const replicas = new Replicas(seed, SIZES);
      for (let step = 0; step < 10; step += 1) replicas.commit(true);
      for (const replica of replicas.whole) replica.run();
      replicas.late.apply.restore({ index: replicas.index, term: 1, peers: [] }, () => undefined);
      replicas.late.run();
      for (let step = 0; step < 4; step += 1) replicas.commit();
      replicas.late.run();
      t.ok(replicas.late.apply.missing.compareFrom > 0);
      t.ok(ask(replicas.late.rig, INTERNAL_OP.compareAll).ok);
      t.equal(replicas.late.apply.missing.ranges.extentIds.length, 3);
      for (let pass = 0; pass < 4; pass += 1) await replicas.pass(2);
      if (seed % 3 === 0) replicas.late.pass(11);
      await replicas.settle();
      t.equal(replicas.late.apply.missing.count, 0, `seed ${seed}: the comparison has ended`);
      t.same(replicas.differing(), [], `seed ${seed}`);
      compared += replicas.compared;
      written += replicas.written;
    }
    t.ok(written > 100 * KiB, `${written} bytes were written`);
    t.ok(compared > 2 * written, 'and most were equal');
  },
);

t.test('passes of any length come to every extent, whatever is done on the way', async (t) => {
  for (let seed = 1; seed <= 50; seed += 1) {
    const random = new Random(seed);
    const ids = Array.from({ length: 20 }, (_, i) => 1025 + i);
    const stuck = new Set(ids.filter(() => random.chance(0.4)));
    let listed = [...ids];
    const asked = new Set<number>();
    const parts = {
      sources: [{ address: 'b:1', appliedIndex: 9 }],
      pace: async () => undefined,
      isStopping: () => false,
      readContent: async (_address: string, extentId: number) => {
        asked.add(extentId);
        if (stuck.has(extentId)) throw new Error('no answer');
        return { bytes: new Uint8Array(10), holes: [] };
      },
      replica: {
        missing: async (passOver: number) => ({
          parts: listed
            .slice(passOver, passOver + 3)
            .map((extentId) => ({ extentId, from: 0, to: 10, index: 5 })),
          next: passOver + 3 < listed.length ? passOver + 3 : -1,
        }),
        extentSize: async () => 10,
        content: async () => ({ bytes: new Uint8Array(10), holes: [] }),
        fillMissing: () => Promise.reject(new Error('nothing differs')),
        notMissing: async (extentId: number) => {
          listed = listed.filter((each) => each !== extentId);
        },
        forgetMissing: () => Promise.reject(new Error('nobody has said that it has none')),
        sync: async () => undefined,
      },
    };
    let next = 0;
    for (let pass = 0; pass < 20 && next >= 0; pass += 1) {
      ({ next } = await fetchMissing(parts, next, 1 + random.below(6)));
    }
    t.equal(next, -1, `seed ${seed}`);
    t.same([asked.size, listed], [20, [...stuck]]);
  }
});
