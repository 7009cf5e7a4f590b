/**
 * Random tiny appends and deletes of both kinds against a plain model, with ends of the process and of the power in between.
 *
 * Promises: what was acknowledged and not deleted is there (after a power loss: what was synced); what was deleted and acknowledged is gone and recorded (after a
 * power loss: a normal extent's id is recorded); nothing that was not deleted loses a byte to a delete of something else.
 */
import fc from 'fast-check';
import t from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeClientMarkDelete } from '../../src/protocol/tinyDelete.js';
import { ROOT, SimRig } from './simRig.js';
import { pattern, type Sent } from './storeRig.js';

const FOLDER = `${ROOT}/datapartition_7_1073741824`;

type Step =
  | { kind: 'tiny'; bytes: number; sync: boolean }
  | { kind: 'normal' }
  | { kind: 'delete'; file: number }
  | { kind: 'turns'; count: number }
  | { kind: 'settle' | 'tick' }
  | { kind: 'fault'; call: 'pwrite' | 'unlink' | 'fallocate' | 'seek' }
  | { kind: 'stop' | 'end' | 'power'; seed: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.record({
      kind: fc.constant('tiny' as const),
      bytes: fc.integer({ min: 1, max: 20_000 }),
      sync: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('normal' as const) }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('delete' as const), file: fc.nat(30) }) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('turns' as const), count: fc.integer({ min: 1, max: 5 }) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('settle' as const, 'tick' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('fault' as const),
      call: fc.constantFrom('pwrite' as const, 'unlink' as const, 'fallocate' as const, 'seek' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('stop' as const, 'end' as const, 'power' as const),
      seed: fc.nat(1_000_000),
    }),
  },
);

/** A small file in a tiny extent, or a normal extent that was created with one sync write. */
interface File {
  tiny: boolean;
  sync: boolean;
  body: Uint8Array;
  /** The append; for a normal extent the sync write. */
  written: Sent | null;
  create: Sent | null;
  deletes: Sent[];
  /** Outlived a process: where it lies. */
  extentId: number;
  extentOffset: number;
}

class World {
  rig = SimRig.start({ openExtentsMax: 4 });
  files: File[] = [];
  private seeds = 0;
  private readonly ids = new Set<number>();

  constructor() {
    this.rig.create(ROOT);
  }

  apply(step: Step): void {
    if (step.kind === 'tiny') this.append(step.bytes, step.sync);
    else if (step.kind === 'normal') this.create();
    else if (step.kind === 'delete') this.delete(step.file);
    else if (step.kind === 'turns') for (let i = 0; i < step.count; i += 1) this.turn();
    else if (step.kind === 'settle') this.settle();
    else if (step.kind === 'tick') this.tick();
    else if (step.kind === 'fault') {
      this.rig.sim.addFault({ call: step.call, path: /\/\d+$|_DELETE$/, errno: 28, count: 1 });
    } else if ('seed' in step) this.end(step.kind, step.seed);
  }

  settle(): void {
    this.rig.run();
    this.note();
  }

  private turn(): void {
    this.rig.turn();
    this.rig.sim.step();
    this.note();
  }

  private tick(): void {
    this.rig.simClock.advance(400_000);
    this.rig.partitions.get(7)!.tick(this.rig.clock.nowMs());
  }

  private append(bytes: number, sync: boolean): void {
    this.seeds += 1;
    const body = pattern(bytes, this.seeds);
    const written = this.rig.sendTinyWrite(body, { opcode: sync ? OP.syncWrite : OP.write });
    this.files.push({
      tiny: true,
      sync,
      body,
      written,
      create: null,
      deletes: [],
      extentId: 0,
      extentOffset: 0,
    });
  }

  private create(): void {
    this.seeds += 1;
    const body = pattern(3000, this.seeds);
    const create = this.rig.sendCreate();
    this.files.push({
      tiny: false,
      sync: true,
      body,
      written: null,
      create,
      deletes: [],
      extentId: 0,
      extentOffset: 0,
    });
  }

  private delete(index: number): void {
    const known = this.files.filter(({ extentId }) => extentId > 0);
    if (known.length === 0) return;
    const file = known[index % known.length]!;
    const { extentId, extentOffset } = file;
    const key = { fileOffset: 0, partitionId: 7, extentId, extentOffset, size: file.body.length, crc: 0 };
    const body = file.tiny ? encodeClientMarkDelete(key) : new Uint8Array(0);
    file.deletes.push(
      this.rig.send({ opcode: OP.markDelete, extentType: file.tiny ? 0 : 1, extentId }, body),
    );
  }

  /** Clients learn of replies. */
  private note(): void {
    for (const file of this.files) {
      if (file.create?.ended === true && file.create.ok && file.written === null) {
        const { extentId } = file.create;
        if (this.ids.has(extentId)) throw new Error(`extent id ${extentId} was handed out twice`);
        this.ids.add(extentId);
        file.written = this.rig.sendSyncWrite(extentId, 0, file.body);
      }
      if (file.written?.ended === true && file.written.ok && file.extentId === 0) {
        file.extentId = file.written.extentId;
        file.extentOffset = file.tiny ? file.written.extentOffset : 0;
      }
    }
  }

  private end(kind: 'stop' | 'end' | 'power', seed: number): void {
    this.note();
    if (kind === 'stop') {
      this.settle();
      this.rig.run();
      const problems = this.rig.stop();
      if (problems.length > 0) throw new Error(`an unclean stop: ${problems}`);
    }
    this.note();
    const { sim } = this.rig;
    this.rig = this.rig.next(kind === 'power' ? sim.powerLoss(seed) : sim.processEnd(seed));
    this.check(kind === 'power');
  }

  check(afterPowerLoss: boolean): void {
    this.note();
    for (const file of this.files) {
      if (file.extentId === 0) continue;
      if (file.tiny) this.checkTiny(file, afterPowerLoss);
      else this.checkNormal(file, afterPowerLoss);
    }
    // Clients of a process that has ended get no more replies; what was lost with the power, or is being deleted, is forgotten.
    this.files = this.files.filter(
      (file) => file.extentId > 0 && file.deletes.length === 0 && (file.sync || !afterPowerLoss),
    );
  }

  private checkTiny(file: File, afterPowerLoss: boolean): void {
    const { extentId, extentOffset, body, deletes, sync } = file;
    const bytes = this.rig.sim.content(`${FOLDER}/${extentId}`);
    const there = Buffer.compare(bytes.subarray(extentOffset, extentOffset + body.length), body) === 0;
    const name = `file at ${extentId}/${extentOffset}`;
    if (deletes.length === 0 && !there && (sync || !afterPowerLoss)) throw new Error(`${name} is damaged`);
    if (afterPowerLoss) return;
    const gone = bytes.subarray(extentOffset, extentOffset + body.length).every((byte) => byte === 0);
    if (!there && !gone) throw new Error(`${name} is neither there nor gone`);
    if (deletes.some(({ ok }) => ok) && !gone) throw new Error(`${name} was deleted and is there`);
    if (gone && !there && !this.isRecorded(file)) throw new Error(`${name} is gone without a record`);
  }

  private isRecorded({ extentId, extentOffset, body }: File): boolean {
    const list = Buffer.from(this.rig.sim.content(`${FOLDER}/TINYEXTENT_DELETE`));
    for (let at = 24; at + 24 <= list.length; at += 24) {
      const [id, offset, size] = [0, 8, 16].map((field) => Number(list.readBigUInt64BE(at + field)));
      if (id === extentId && offset === extentOffset && size === body.length) return true;
    }
    return false;
  }

  private checkNormal({ extentId, body, deletes }: File, afterPowerLoss: boolean): void {
    const listed = this.rig.partitions.get(7)!.store.deletedIds.has(extentId);
    const there = this.rig.sim.node(`${FOLDER}/${extentId}`) !== undefined;
    const name = `extent ${extentId}`;
    if (deletes.some(({ ok }) => ok) && !listed) throw new Error(`${name} was deleted and is not listed`);
    if (deletes.length === 0 && listed) throw new Error(`${name} is listed and nobody deleted it`);
    if (!there && !listed) throw new Error(`${name} is gone and not listed`);
    if (!there) return;
    if (deletes.some(({ ok }) => ok) && !afterPowerLoss) throw new Error(`${name} was deleted and is there`);
    const bytes = this.rig.sim.content(`${FOLDER}/${extentId}`);
    if (Buffer.compare(bytes, body) !== 0) throw new Error(`${name} is damaged`);
  }
}

const runs = Number(process.env['MODEL_RUNS'] ?? 150);

t.test(
  'appends and deletes keep their promises, whatever happens in between',
  { timeout: 60_000 + runs * 50 },
  async (t) => {
    let checked = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 70 }), fc.boolean(), (steps, threaded) => {
        const world = new World();
        for (const each of steps) {
          world.rig.threaded = threaded;
          world.apply(each);
        }
        world.settle();
        world.settle();
        if (world.rig.unanswered > 0) throw new Error(`${world.rig.unanswered} operations have no answer`);
        world.check(false);
        checked += 1;
      }),
      { numRuns: runs, ...replayOptions() },
    );
    t.ok(checked > 0);
  },
);

/** `MODEL_SEED=n` repeats a run. */
function replayOptions(): { seed?: number } {
  const seed = process.env['MODEL_SEED'];
  return seed === undefined ? {} : { seed: Number(seed) };
}
