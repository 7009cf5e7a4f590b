/**
 * Random repair of a follower's tiny extents against a plain model: pieces of data and holes at the end, forwarded appends that race them, missed deletes, failing calls, ends of the process and of
 * the power.
 *
 * The model holds what each extent must read as, up to its watermark. Promises: what was acknowledged reads back; acknowledged pieces lie one behind the other without a gap, whoever sent them; what
 * was synced outlives the power. After each end the model takes over what the disk has.
 */
import fc from 'fast-check';
import t from 'tap';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import { MISSED_RANGE_BYTES, writeMissedRange } from '../../src/partition/internalRecords.js';
import { PAGE_BYTES, roundUpToPage } from '../../src/storage/layout.js';
import { FOLDER, follower, send, storeOf } from './internalRig.js';
import type { SimRig } from './simRig.js';
import { pattern, type Sent } from './storeRig.js';

const EXTENTS = 3;

type Piece = { kind: 'data' | 'hole' | 'forwarded'; extent: number; bytes: number };
type Step =
  | Piece
  | { kind: 'burst'; pieces: Piece[] }
  | { kind: 'delete'; extent: number; page: number; bytes: number }
  | { kind: 'sync'; extent: number }
  | { kind: 'fault'; call: 'pwrite' | 'truncate' | 'fallocate' }
  | { kind: 'end' | 'power'; seed: number };

const extent = fc.nat(EXTENTS - 1);
const bytes = fc.integer({ min: 1, max: 20_000 });
const piece = fc.record({
  kind: fc.constantFrom('data' as const, 'hole' as const, 'forwarded' as const),
  extent,
  bytes,
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: piece },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('burst' as const),
      pieces: fc.array(piece, { minLength: 2, maxLength: 5 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('delete' as const), extent, page: fc.nat(20), bytes }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('sync' as const), extent }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('fault' as const),
      call: fc.constantFrom('pwrite' as const, 'truncate' as const, 'fallocate' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('end' as const, 'power' as const), seed: fc.nat(1e6) }),
  },
);

/** What the rest of a page behind a piece has: nobody reads it, and a failed append may have left something there. */
const ANYTHING = -1;

/** One tiny extent: its bytes up to the watermark, or ANYTHING, and those that the last sync covers. */
interface Extent {
  id: number;
  content: Int16Array;
  synced: Int16Array;
}

/** Whether the bytes are those that are expected, where anything in particular is. */
function fits(found: Uint8Array, expected: Int16Array): boolean {
  return expected.every((byte, at) => byte === ANYTHING || byte === found[at]);
}

class World {
  rig: SimRig = follower();
  readonly extents: Extent[] = Array.from({ length: EXTENTS }, (_, i) => {
    return { id: i + 1, content: new Int16Array(0), synced: new Int16Array(0) };
  });
  acknowledged = 0;
  private seeds = 0;

  apply(step: Step): void {
    switch (step.kind) {
      case 'burst':
        return this.send(step.pieces);
      case 'delete':
        return this.delete(this.extents[step.extent]!, step.page * PAGE_BYTES, step.bytes);
      case 'sync':
        return this.sync(this.extents[step.extent]!);
      case 'fault':
        // EDQUOT: it says nothing of the disk as a whole.
        return this.rig.sim.addFault({
          ...{ call: step.call, path: /\/[123]$/, count: 1 },
          ...(step.call === 'pwrite' ? { shortBytes: 5000 } : { errno: 122 }),
        });
      case 'end':
      case 'power':
        return this.next(step.kind, step.seed);
      default:
        this.send([step]);
    }
  }

  check(): void {
    for (const one of this.extents) {
      const row = storeOf(this.rig).table.find(one.id);
      const watermark = storeOf(this.rig).table.sizes[row]!;
      if (watermark !== one.content.length)
        throw new Error(`extent ${one.id} ends at ${watermark}, not at ${one.content.length}`);
      const found = this.read(one.id, watermark);
      if (!fits(found, one.content)) throw new Error(`extent ${one.id} reads back otherwise`);
    }
    if (this.rig.unanswered > 0 || this.rig.stores.parkedOperations > 0) throw new Error('something waits');
  }

  /** All at once, each at the end as it would be if all before it go well, as their senders believe. */
  private send(pieces: readonly Piece[]): void {
    const ends = this.extents.map(({ content }) => content.length);
    const sent = pieces.map(({ kind, extent, bytes }) => {
      this.seeds += 1;
      const at = ends[extent]!;
      const body = kind === 'hole' ? new Uint8Array(bytes) : pattern(bytes, this.seeds);
      ends[extent] = roundUpToPage(at + bytes);
      return { sent: this.sendPiece(kind, extent + 1, at, body), extent, at, body };
    });
    this.rig.run();
    for (const { sent: one, extent, at, body } of sent) {
      if (one.ok) this.append(this.extents[extent]!, at, body);
    }
  }

  private sendPiece(kind: Piece['kind'], extentId: number, extentOffset: number, body: Uint8Array): Sent {
    const fields = { extentType: 0, extentId, extentOffset };
    if (kind === 'forwarded') return this.rig.sendTinyWrite(body, fields);
    if (kind === 'data') return this.rig.sendTinyWrite(body, { ...fields, internal: true });
    return send(this.rig, INTERNAL_OP.tinyHole, { ...fields, size: body.length });
  }

  private append(one: Extent, at: number, body: Uint8Array): void {
    if (at !== one.content.length) throw new Error(`a piece at ${at} of ${one.id} leaves a gap or overlaps`);
    this.acknowledged += 1;
    const content = new Int16Array(roundUpToPage(at + body.length)).fill(ANYTHING);
    content.set(one.content);
    content.set(body, at);
    one.content = content;
  }

  private delete(one: Extent, extentOffset: number, sizeBytes: number): void {
    const body = new Uint8Array(MISSED_RANGE_BYTES);
    writeMissedRange(new DataView(body.buffer), 0, { extentOffset, sizeBytes, recordAt: -1 });
    const sent = send(this.rig, INTERNAL_OP.missedDelete, { extentId: one.id }, body);
    this.rig.run();
    if (extentOffset + sizeBytes > one.content.length) return;
    const end = roundUpToPage(extentOffset + sizeBytes);
    if (sent.ok) one.content.fill(0, extentOffset, end);
    else one.content = Int16Array.from(this.read(one.id, one.content.length));
    // Its zeros are not synced: after the power was lost either may be there.
    one.synced = one.synced.subarray(0, Math.min(one.synced.length, extentOffset));
  }

  private sync(one: Extent): void {
    const sent = send(this.rig, INTERNAL_OP.syncExtent, { extentId: one.id });
    this.rig.run();
    if (!sent.ok) throw new Error(`a sync fails: ${sent.error}`);
    one.synced = one.content.slice();
  }

  private next(kind: 'end' | 'power', seed: number): void {
    const { sim } = this.rig;
    this.rig = this.rig.next(kind === 'power' ? sim.powerLoss(seed) : sim.processEnd(seed));
    for (const one of this.extents) {
      const row = storeOf(this.rig).table.find(one.id);
      const found = this.read(one.id, storeOf(this.rig).table.sizes[row]!);
      const promised = kind === 'power' ? one.synced : one.content;
      if (!fits(found, promised)) throw new Error(`extent ${one.id} has lost what was promised`);
      one.content = Int16Array.from(found);
      if (kind === 'power') one.synced = one.content.slice();
    }
  }

  /** The file's bytes, zeros behind its end. */
  private read(id: number, length: number): Uint8Array {
    const found = new Uint8Array(length);
    found.set(this.rig.sim.content(`${FOLDER}/${id}`).subarray(0, length));
    return found;
  }
}

const runs = Number(process.env['MODEL_RUNS'] ?? 150);

t.test('what repair brings is what is read back', { timeout: 60_000 + runs * 50 }, async (t) => {
  let acknowledged = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 40 }), fc.boolean(), (steps, threaded) => {
      const world = new World();
      for (const each of steps) {
        world.rig.threaded = threaded;
        world.apply(each);
        world.check();
      }
      acknowledged += world.acknowledged;
    }),
    { numRuns: runs, ...replayOptions() },
  );
  t.ok(acknowledged > runs, `${acknowledged} pieces were acknowledged`);
});

/** `MODEL_SEED=n` repeats a run. */
function replayOptions(): { seed?: number } {
  const seed = process.env['MODEL_SEED'];
  return seed === undefined ? {} : { seed: Number(seed) };
}
