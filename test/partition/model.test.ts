/**
 * Random work on a partition against a plain model, with ends of the process and of the power in between.
 *
 * The model holds, for each extent: every byte value that each position may have, and the length that was promised. Promises: a plain acknowledgement
 * holds until the power goes; a sync acknowledgement for ever, and with `durability: "always"` each is one, that of a create too. An id that was handed out is never handed out again. A byte below an acknowledged end is never
 * one that nobody wrote.
 */
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { SLOT_TABLE_BYTES } from '../../src/storage/crcFile.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { Random } from '../sim/random.js';
import { ROOT, SimRig } from './simRig.js';
import { pattern, type Sent } from './storeRig.js';
import { checkTrustedSlots } from './trustedSlots.js';

const FOLDER = `${ROOT}/datapartition_7_1073741824`;

type Step =
  | { kind: 'create' }
  | { kind: 'append'; extent: number; bytes: number; sync: boolean }
  | { kind: 'rewrite'; extent: number; at: number; bytes: number; sync: boolean }
  | { kind: 'gap'; extent: number; by: number }
  | { kind: 'read'; extent: number; at: number; bytes: number }
  | { kind: 'turns'; count: number }
  | { kind: 'settle' }
  | { kind: 'rest'; turns: number }
  | { kind: 'fault'; call: 'pwrite' | 'fdatasync'; short: boolean }
  | { kind: 'room'; bytes: number }
  | { kind: 'stop' | 'end' | 'power'; seed: number };

const extent = fc.nat(3);
const size = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 9000 }) },
  { weight: 2, arbitrary: fc.constant(BLOCK_BYTES) },
  { weight: 1, arbitrary: fc.integer({ min: BLOCK_BYTES, max: 2 * BLOCK_BYTES }) },
);
const sync = fc.boolean();
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('create' as const) }) },
  { weight: 9, arbitrary: fc.record({ kind: fc.constant('append' as const), extent, bytes: size, sync }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('rewrite' as const),
      extent,
      at: fc.nat(200_000),
      bytes: size,
      sync,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('gap' as const),
      extent,
      by: fc.integer({ min: 1, max: 5000 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('read' as const),
      extent,
      at: fc.nat(200_000),
      bytes: fc.integer({ min: 1, max: BLOCK_BYTES }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('turns' as const), count: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('settle' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('rest' as const), turns: fc.integer({ min: 1, max: 60 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('fault' as const),
      call: fc.constantFrom('pwrite' as const, 'fdatasync' as const),
      short: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('room' as const), bytes: fc.nat(20_000) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('stop' as const, 'end' as const, 'power' as const),
      seed: fc.nat(1_000_000),
    }),
  },
);

/** A write that was sent: where, what, and what is known of its fate. */
interface Write {
  sent: Sent;
  at: number;
  body: Uint8Array;
  sync: boolean;
}

class ExtentModel {
  /** In the order in which they were sent. Executed in this order, or not at all. */
  readonly writes: Write[] = [];
  /** Blocks that a power loss found: it may have kept a checksum and lost its data. */
  suspectBlocks = 0;

  /** End that a client would append at: as far as it knows. */
  get end(): number {
    return this.writes.reduce(
      (end, { at, body, sent }) => (sent.ended && !sent.ok ? end : Math.max(end, at + body.length)),
      0,
    );
  }
}

class World {
  rig: SimRig;
  readonly extents = new Map<number, ExtentModel>();
  private readonly creates: Sent[] = [];
  private readonly idsSeen = new Set<number>();
  private seeds = 0;
  /** An fdatasync may have failed: what it should have covered can be lost although later ones succeed in the next process. */
  private syncFaults = false;
  /** Every acknowledgement is one of a sync write, and creates are durable too. */
  private readonly always: boolean;

  constructor(always: boolean) {
    this.always = always;
    this.rig = SimRig.start({ openExtentsMax: 3, syncEverything: always });
    this.rig.create(ROOT);
  }

  apply(step: Step): void {
    const ids = [...this.extents.keys()];
    const id = 'extent' in step ? ids[step.extent % Math.max(1, ids.length)] : undefined;
    const model = id === undefined ? undefined : this.extents.get(id)!;
    // A look at the disk's space between two steps finds some, or the disk would take nothing more after its first ENOSPC.
    this.rig.health.space.endLook(Number.POSITIVE_INFINITY);
    switch (step.kind) {
      case 'create':
        this.creates.push(this.rig.sendCreate());
        break;
      case 'append':
        if (id !== undefined) this.write(id, model!, model!.end, step.bytes, step.sync);
        break;
      case 'rewrite':
        if (id !== undefined) this.write(id, model!, Math.min(step.at, model!.end), step.bytes, step.sync);
        break;
      case 'gap':
        if (id !== undefined) this.gap(id, step.by);
        break;
      case 'read':
        if (id !== undefined) this.rig.sendRead(id, step.at, step.bytes);
        break;
      case 'turns':
        for (let i = 0; i < step.count; i += 1) {
          this.rig.turn();
          this.rig.sim.step();
        }
        break;
      case 'settle':
        this.rig.run();
        break;
      case 'rest':
        this.rest(step.turns);
        break;
      case 'fault':
        this.fault(step.call, step.short);
        break;
      case 'room':
        // Every other time there is room again.
        this.rig.sim.freeBytes =
          this.rig.sim.freeBytes < Number.POSITIVE_INFINITY ? Number.POSITIVE_INFINITY : step.bytes;
        break;
      case 'stop':
        this.stop(step.seed);
        break;
      default:
        this.die(step.kind, step.seed);
    }
    this.noteCreated();
  }

  /** Checks all promises on what can be read now. */
  check(afterPowerLoss: boolean): void {
    this.rig.run();
    this.noteCreated();
    checkTrustedSlots(this.rig);
    for (const [id, model] of this.extents) this.checkExtent(id, model, afterPowerLoss);
  }

  /** Time passes, and the checksum job comes as far as `turns` take it: the next step meets it in the middle of something. */
  private rest(turns: number): void {
    this.rig.run();
    this.rig.simClock.advance(601_000);
    for (let i = 0; i < turns; i += 1) {
      this.rig.stores.tick();
      this.rig.turn();
      this.rig.sim.step();
    }
  }

  private write(id: number, model: ExtentModel, at: number, bytes: number, sync: boolean): void {
    if (this.rig.unanswered > 12) this.rig.run();
    this.seeds += 1;
    const body = pattern(bytes, this.seeds);
    const sent = sync ? this.rig.sendSyncWrite(id, at, body) : this.rig.sendWrite(id, at, body);
    model.writes.push({ sent, at, body, sync: sync || this.always });
  }

  /** An append past everything that was ever sent: always refused. */
  private gap(id: number, by: number): void {
    const { writes } = this.extents.get(id)!;
    const most = writes.reduce((end, { at, body }) => Math.max(end, at + body.length), 0);
    const sent = this.rig.sendWrite(id, most + by, pattern(10, 1));
    this.rig.run();
    if (sent.ok)
      throw new Error(`an append at ${most + by} behind the end ${most} of extent ${id} was acknowledged`);
  }

  private fault(call: 'pwrite' | 'fdatasync', short: boolean): void {
    if (call === 'fdatasync') this.syncFaults = true;
    const how = call === 'pwrite' && short ? { shortBytes: 700 } : { errno: 28 };
    this.rig.sim.addFault({ call, path: /\/1\d\d\d$/, ...how, count: 1 });
  }

  private stop(seed: number): void {
    this.rig.run();
    this.noteCreated();
    const problems = this.rig.stop();
    if (problems.length > 0 && !this.syncFaults) throw new Error(`an unclean stop: ${problems}`);
    this.rig = this.rig.next(this.rig.sim.processEnd(seed));
    this.check(false);
  }

  private die(kind: 'end' | 'power', seed: number): void {
    const power = kind === 'power';
    this.noteCreated();
    this.rig = this.rig.next(power ? this.rig.sim.powerLoss(seed) : this.rig.sim.processEnd(seed));
    this.dropUncreated();
    this.check(power);
  }

  /** Creates that were not answered may have happened; their ids are still nobody else's. */
  private dropUncreated(): void {
    this.creates.length = 0;
  }

  private noteCreated(): void {
    for (const sent of this.creates.splice(0)) {
      if (!sent.ended) this.creates.push(sent);
      else if (sent.ok) {
        if (this.idsSeen.has(sent.extentId))
          throw new Error(`extent id ${sent.extentId} was handed out twice`);
        this.idsSeen.add(sent.extentId);
        this.extents.set(sent.extentId, new ExtentModel());
      }
    }
  }

  private checkExtent(id: number, model: ExtentModel, afterPowerLoss: boolean): void {
    const node = this.rig.sim.node(`${FOLDER}/${id}`);
    const promised = this.promisedWrites(model, afterPowerLoss);
    if (node?.kind !== 'file') {
      if (promised.length > 0 || !afterPowerLoss || this.always) throw new Error(`extent ${id} is gone`);
      this.extents.delete(id);
      return;
    }
    const bytes = this.rig.sim.content(`${FOLDER}/${id}`);
    const end = promised.reduce((most, { at, body }) => Math.max(most, at + body.length), 0);
    if (bytes.length < end)
      throw new Error(`extent ${id} has ${bytes.length} bytes, ${end} were acknowledged`);
    this.checkBytes(id, model, bytes.subarray(0, end), promised);
    if (afterPowerLoss) model.suspectBlocks = Math.ceil(bytes.length / BLOCK_BYTES);
    this.checkSlots(id, bytes, model.suspectBlocks);
    this.checkReads(id, bytes);
    this.checkBlocks(id, bytes);
    // What is on disk now is all that is left of the past.
    model.writes.length = 0;
    const past: Sent = {
      op: null as never,
      ended: true,
      ok: true,
      error: '',
      extentId: id,
      extentOffset: 0,
      crc: 0,
      body: bytes,
      assigned: null,
    };
    model.writes.push({ sent: past, at: 0, body: bytes, sync: afterPowerLoss });
  }

  /** Acknowledged writes; after a power loss sync writes, and what was acknowledged before them, since an fdatasync covers the whole file. */
  private promisedWrites({ writes }: ExtentModel, afterPowerLoss: boolean): Write[] {
    const lastSync = writes.findLastIndex(({ sent, sync }) => sync && sent.ok);
    const covered = (write: Write, i: number): boolean => write.sync || (i < lastSync && !this.syncFaults);
    return writes.filter((write, i) => write.sent.ok && (!afterPowerLoss || covered(write, i)));
  }

  /** Each byte is that of the last promised write there, or of a later write that may have happened; where none was promised, zero may be left. */
  private checkBytes(id: number, model: ExtentModel, bytes: Uint8Array, promised: Write[]): void {
    const isPromised = new Set(promised);
    for (let at = 0; at < bytes.length; at += 1) {
      let found = false;
      let promisedHere = false;
      for (let i = model.writes.length - 1; i >= 0 && !found; i -= 1) {
        const write = model.writes[i]!;
        if (at < write.at || at >= write.at + write.body.length) continue;
        found = write.body[at - write.at] === bytes[at];
        if (!isPromised.has(write)) continue;
        promisedHere = true;
        break;
      }
      // Without faults of fdatasync everything below an acknowledged end is covered by an acknowledgement, so nothing but written bytes is there.
      if (!found && (promisedHere || !this.syncFaults)) {
        throw new Error(`byte ${at} of extent ${id} is ${bytes[at]}, which nobody wrote there last`);
      }
    }
  }

  /** A checksum that is stored is that of its block, from block `first` on. */
  private checkSlots(id: number, bytes: Uint8Array, first: number): void {
    const crcFile = this.rig.sim.content(`${FOLDER}/EXTENT_CRC`);
    const table = new Uint8Array(SLOT_TABLE_BYTES);
    table.set(crcFile.subarray(id * SLOT_TABLE_BYTES, (id + 1) * SLOT_TABLE_BYTES));
    const view = new DataView(table.buffer);
    for (let block = first; block * BLOCK_BYTES < bytes.length; block += 1) {
      const slot = view.getUint32(block * 4);
      const actual = crc32(bytes.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES));
      if (slot !== 0 && slot !== actual) throw new Error(`slot ${block} of extent ${id} is wrong`);
    }
  }

  /** Whole blocks are compared with their checksums: none may be refused, unless an fdatasync failed, after which the disk may have dropped its data. */
  private checkBlocks(id: number, bytes: Uint8Array): void {
    for (let at = 0; at + BLOCK_BYTES <= bytes.length; at += BLOCK_BYTES) {
      const sent = this.rig.sendRead(id, at, BLOCK_BYTES);
      this.rig.run();
      if (!sent.ok && this.syncFaults && sent.error.includes('is damaged')) continue;
      if (!sent.ok || sent.crc !== crc32(sent.body))
        throw new Error(`block at ${at} of extent ${id}: ${sent.error}`);
    }
  }

  private checkReads(id: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const length = Math.min(bytes.length, BLOCK_BYTES);
    const sent = this.rig.sendRead(id, bytes.length - length, length);
    this.rig.run();
    const same =
      Buffer.compare(Buffer.from(sent.body), Buffer.from(bytes.subarray(bytes.length - length))) === 0;
    if (!sent.ok || !same || sent.crc !== crc32(sent.body))
      throw new Error(`extent ${id} is not read back: ${sent.error}`);
  }
}

const runs = Number(process.env['MODEL_RUNS'] ?? 120);

t.test('no promise is broken, whatever happens in between', { timeout: 30_000 + runs * 50 }, async (t) => {
  let checked = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 60 }), fc.nat(1000), (steps, seed) => {
      const random = new Random(seed);
      const world = new World(random.chance(0.3));
      world.rig.threaded = random.chance(0.3);
      world.rig.sim.coldReads = random.chance(0.5) ? 0.5 : 0;
      world.apply({ kind: 'create' });
      world.apply({ kind: 'settle' });
      for (const each of steps) world.apply(each);
      world.check(false);
      checked += 1;
    }),
    { numRuns: runs, ...replayOptions() },
  );
  t.ok(checked > 0);
});

/** `MODEL_SEED=n` repeats a run. */
function replayOptions(): { seed?: number } {
  const seed = process.env['MODEL_SEED'];
  return seed === undefined ? {} : { seed: Number(seed) };
}
