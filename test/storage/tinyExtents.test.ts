/** The states of tiny extents against a plain model: one state an id, first in first out, and no id lost, whatever comes in which order. */
import fc from 'fast-check';
import t from 'tap';
import { TINY_STATE, TinyExtents } from '../../src/storage/tinyExtents.js';

type Step =
  | { kind: 'take' | 'takeForRepair' | 'forgetRounds' | 'repairAll' }
  | { kind: 'giveBack' | 'repaired'; pick: number; good: boolean };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'take' as const,
        'take' as const,
        'takeForRepair' as const,
        'takeForRepair' as const,
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('forgetRounds' as const, 'repairAll' as const) }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constantFrom('giveBack' as const, 'repaired' as const),
      pick: fc.nat(63),
      good: fc.boolean(),
    }),
  },
);

/** Four lists; an id is in one of them. */
class Model {
  readonly available: number[] = [];
  readonly broken = Array.from({ length: 64 }, (_, i) => i + 1);
  readonly writing: number[] = [];
  readonly repairing: number[] = [];

  takeForRepair(): number[] {
    if (this.broken.length === 0) this.broken.push(...this.available.splice(0, 10));
    const taken = this.broken.splice(0);
    this.repairing.push(...taken);
    return taken;
  }

  move(id: number, from: number[], good: boolean): void {
    from.splice(from.indexOf(id), 1);
    (good ? this.available : this.broken).push(id);
  }
}

function apply(step: Step, tiny: TinyExtents, model: Model): void {
  if (step.kind === 'take') {
    const id = tiny.take(() => true);
    const expected = model.available.shift() ?? 0;
    if (id !== expected) throw new Error(`took ${id}, not ${expected}`);
    if (id !== 0) model.writing.push(id);
  } else if (step.kind === 'takeForRepair') {
    const ids = tiny.takeForRepair();
    const expected = model.takeForRepair();
    if (String(ids) !== String(expected)) throw new Error(`took ${ids}, not ${expected}`);
  } else if (step.kind === 'forgetRounds') {
    tiny.forgetRounds();
    for (const id of [...model.repairing].sort((a, b) => a - b)) model.move(id, model.repairing, false);
  } else if (step.kind === 'repairAll') {
    tiny.repairAll((id) => id % 2 === 0);
    const even = model.broken.filter((id) => id % 2 === 0).sort((a, b) => a - b);
    for (const id of even) model.move(id, model.broken, true);
  } else if (step.kind === 'giveBack') {
    const id = model.writing[step.pick % Math.max(1, model.writing.length)];
    if (id === undefined) return;
    tiny.giveBack(id, step.good);
    model.move(id, model.writing, step.good);
  } else if (step.kind === 'repaired') {
    // Any id: one that no round has is passed over.
    const id = step.pick + 1;
    tiny.repaired(id, step.good);
    if (model.repairing.includes(id)) model.move(id, model.repairing, step.good);
  }
}

t.test('every id is in one state, and queues are first in, first out', async (t) => {
  let steps = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 200 }), (list) => {
      const tiny = new TinyExtents();
      const model = new Model();
      for (const each of list) {
        apply(each, tiny, model);
        steps += 1;
        const { available, broken, writing, repairing } = TINY_STATE;
        const counts = [available, broken, writing, repairing].map((state) => tiny.count(state));
        const expected = [model.available, model.broken, model.writing, model.repairing];
        if (String(counts) !== String(expected.map(({ length }) => length)))
          throw new Error(`states ${counts}`);
        for (const id of model.repairing)
          if (tiny.state(id) !== repairing) throw new Error(`extent ${id} is not being repaired`);
      }
    }),
    { numRuns: 300 },
  );
  t.ok(steps > 0);
});

t.test('an extent that is being written or repaired is moved by nobody else', async (t) => {
  const tiny = new TinyExtents();
  const [first] = tiny.takeForRepair();
  t.throws(() => tiny.move(first!, TINY_STATE.available), /tiny extent 1 is being written or repaired/);
  tiny.repaired(1, true);
  t.equal(
    tiny.take(() => true),
    1,
  );
  t.throws(() => tiny.move(1, TINY_STATE.broken), /is being written or repaired/);
  tiny.repaired(1, false);
  t.equal(tiny.state(1), TINY_STATE.writing, 'a round has no say in it');
  tiny.giveBack(1, true);
  t.throws(() => tiny.giveBack(1, true), /given back twice/);
});
