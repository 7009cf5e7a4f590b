/** The checker of client histories: known good and bad ones, a slow twin that tries every order, and histories as long as the simulation's. */
import fc from 'fast-check';
import t from 'tap';
import { Random } from '../../sim/random.js';
import { checkHistory, checkRegister, History, type Operation } from './linearizability.js';

/**
 * Operations of one register drawn as lines: the place of `[` is the call, the place of `]` the answer, `>` at the end: no answer. The name in front is w or r
 * with the value.
 */
function drawn(...lines: string[]): Operation[] {
  return lines.map((line, i) => {
    const name = /^([wr])(\d+) /.exec(line);
    if (name === null) throw new Error(`no operation in ${line}`);
    const called = line.indexOf('[');
    const end = line.indexOf(']');
    // Moments of one column happen in the order of the lines.
    const answered = end < 0 ? Infinity : end * 100 + i;
    const kind = name[1] === 'w' ? 'write' : 'read';
    return { register: 1, kind, value: Number(name[2]), called: called * 100 + i, answered };
  });
}

const GOOD: Record<string, Operation[]> = {
  'nothing happened': [],
  'a read of the initial value': drawn('r0 [---]'),
  'a read of the initial value beside a write': drawn(
    'w1 [---]', //
    'r0   [-]',
  ),
  'two concurrent writes, read in the order of their calls': drawn(
    'w1 [-----]',
    'w2 [-----]',
    'r1         [-]',
    'r1             [-]',
  ),
  'a read sees a write that is under way, and so does every later one': drawn(
    'w1 [-----------]',
    'r1  [-]',
    'r1      [-]',
  ),
  'an unanswered write that takes effect late': drawn(
    'w1 [>',
    'w2     [-]',
    'r2          [-]',
    'r1               [-]',
  ),
  'an unanswered write that never happened': drawn(
    'w1 [>',
    'r0     [-]',
    'w2          [-]',
    'r2               [-]',
  ),
  'an unanswered write and an answered one of the same value': drawn(
    'w1 [>',
    'w1   [-]',
    'w2        [-]',
    'r1             [-]',
  ),
  'an unanswered write of the initial value is no proof that it happened': drawn(
    'w0 [>',
    'r0     [-]',
    'w1          [-]',
    'r0               [-]',
  ),
  'two writes of one value, one of another in between': drawn(
    'w1 [-]',
    'w2      [-]',
    'w1           [-]',
    'r1                [-]',
  ),
};

const BAD: Record<string, Operation[]> = {
  'a stale read': drawn(
    'w1 [-]', //
    'w2      [-]',
    'r1           [-]',
  ),
  'a lost write': drawn(
    'w1 [-]', //
    'r0      [-]',
  ),
  'a write that comes back after another one': drawn(
    'w1 [-]',
    'r1      [-]',
    'w2           [-]',
    'r2                [-]',
    'r1                     [-]',
  ),
  'an unanswered write that happens twice, with another in between': drawn(
    'w1 [>',
    'r1     [-]',
    'w2          [-]',
    'r2               [-]',
    'r1                    [-]',
  ),
  'a value that nobody wrote': drawn('r7 [-]'),
  'a value before it was written': drawn(
    'r1 [-]', //
    'w1      [-]',
  ),
  'a value before an unanswered write was called': drawn(
    'r1 [-]', //
    'w1      [>',
  ),
  'two readers that saw two writes in different orders': drawn(
    'w1 [-------------------]',
    'w2 [-------------------]',
    'r1  [-]',
    'r2       [-]',
    'r1            [-]',
  ),
  'a write under way that was seen and then not': drawn('w1 [-----------]', 'r1  [-]', 'r0       [-]'),
  'the initial value after an unanswered write was seen': drawn(
    'w1 [>', //
    'r1   [-]',
    'r0        [-]',
  ),
};

t.test('known good histories have an order', async (t) => {
  for (const [name, history] of Object.entries(GOOD)) t.equal(checkRegister(history, 0), null, name);
});

t.test('known bad histories have none, and the complaint says where it ends', async (t) => {
  for (const [name, history] of Object.entries(BAD)) t.type(checkRegister(history, 0), 'string', name);
  t.equal(
    checkRegister(BAD['a stale read']!, 0),
    'after 0 of 3 operations the value is 0, and next may come: a write of 1, called at 300, answered at 500 (a write of 1 would leave 1 of its readers behind)',
  );
  t.equal(
    checkRegister(BAD['a value that nobody wrote']!, 0),
    'a read of 7, called at 300, answered at 500, which nobody had written',
  );
});

t.test('registers are told apart', async (t) => {
  const other = GOOD['an unanswered write that takes effect late']!;
  const both = [...other, ...BAD['a lost write']!.map((operation) => ({ ...operation, register: 2 }))];
  t.equal(checkHistory(other, 0), null);
  t.match(checkHistory(both, 0), /^register 2: /);
  t.equal(checkHistory([], 0), null);
});

t.test('a history collects what has to be explained', async (t) => {
  const history = new History();
  const write = history.call(1, 'write', 5);
  const read = history.call(2, 'read');
  const refused = history.call(1, 'write', 6);
  const lost = history.call(1, 'read');
  const unknown = history.call(1, 'write', 7);
  history.answer(read, 9);
  history.refuse(refused);
  history.answer(write);
  t.same(history.operations(), [
    { register: 1, kind: 'write', value: 5, called: 1, answered: 8, known: true },
    { register: 2, kind: 'read', value: 9, called: 2, answered: 6, known: true },
    { register: 1, kind: 'write', value: 7, called: 5, answered: Infinity, known: true },
  ]);
  t.throws(() => history.answer(write), { code: 'ERR_ASSERTION' }, 'an answer comes once');
  t.throws(() => history.answer(lost), { code: 'ERR_ASSERTION' }, 'a read returns a value');
  t.throws(() => history.answer(unknown, 3), { code: 'ERR_ASSERTION' }, 'a write returns none');
});

/** The twin: tries every order of every choice of unanswered writes. */
function hasAnOrder(left: readonly Operation[], value: number): boolean {
  if (left.every(({ kind, answered }) => kind === 'write' && answered === Infinity)) return true;
  return left.some((operation, i) => {
    if (left.some((other) => other.answered < operation.called)) return false;
    if (operation.kind === 'read' && operation.value !== value) return false;
    return hasAnOrder(
      left.filter((_, j) => j !== i),
      operation.kind === 'write' ? operation.value : value,
    );
  });
}

t.test('the twin agrees on the known histories', async (t) => {
  for (const [name, history] of Object.entries(GOOD)) t.ok(hasAnOrder(history, 0), name);
  for (const [name, history] of Object.entries(BAD)) t.notOk(hasAnOrder(history, 0), name);
});

/** Histories of up to seven operations with moments at random: half of the time values are few and come from several writes. */
const tiny = fc
  .record({
    valueMax: fc.constantFrom(1, 2, 4),
    parts: fc.array(
      fc.record({
        kind: fc.constantFrom('read' as const, 'write' as const),
        value: fc.nat(4),
        called: fc.nat(1000),
        lasts: fc.oneof(fc.nat(60), fc.nat(1000)),
        unanswered: fc.nat(9).map((chance) => chance < 3),
      }),
      { maxLength: 7 },
    ),
  })
  .map(({ valueMax, parts }) =>
    parts.map(({ kind, value, called, lasts, unanswered }, i): Operation => {
      const ended = kind === 'read' || !unanswered;
      return {
        ...{ register: 1, kind, value: Math.min(value, valueMax), called: called * 16 + i },
        answered: ended ? (called + lasts + 1) * 16 + 8 + i : Infinity,
      };
    }),
  );

t.test('the search and the twin say the same of any tiny history', async (t) => {
  let good = 0;
  let bad = 0;
  fc.assert(
    fc.property(tiny, (operations) => {
      const expected = hasAnOrder(operations, 0);
      if (expected) good += 1;
      else bad += 1;
      return (checkRegister(operations, 0) === null) === expected;
    }),
    { seed: 7, numRuns: 20_000 },
  );
  t.ok(good > 2000 && bad > 2000, `${good} good, ${bad} bad`);
});

/**
 * A history that a real register gave: clients call one operation after the other, each takes effect at one moment in between; some writes are never answered,
 * and take effect late or not at all.
 */
function played(random: Random, clients: number, count: number, unansweredShare: number): Operation[] {
  interface Step {
    at: number;
    run: () => void;
  }
  const steps: Step[] = [];
  const operations: Operation[] = [];
  let value = 0;
  let written = 0;
  const free = new Array<number>(clients).fill(0);
  for (let i = 0; i < count; i += 1) {
    const client = random.below(clients);
    const called = free[client]! + 1 + random.below(20);
    const answered = called + 2 + random.below(60);
    free[client] = answered;
    const lost = random.chance(unansweredShare);
    const kind = random.chance(0.5) || lost ? 'write' : 'read';
    if (kind === 'write') written += 1;
    const unique = i / (2 * count);
    const operation: Operation = {
      ...{ register: 1, kind, value: kind === 'write' ? written : 0, called: called + unique },
      answered: lost ? Infinity : answered + unique + 0.5,
    };
    operations.push(operation);
    if (lost && random.chance(0.3)) continue;
    const at = lost ? called + random.below(2000) + 1 : called + 1 + random.below(answered - called - 1);
    const run =
      kind === 'write'
        ? () => {
            value = operation.value;
          }
        : () => {
            operation.value = value;
          };
    steps.push({ at: at + unique, run });
  }
  steps.sort((a, b) => a.at - b.at);
  for (const { run } of steps) run();
  return operations;
}

t.test('long histories of a real register are accepted, and refused when one read is changed', async (t) => {
  const random = new Random(11);
  let changed = 0;
  for (let run = 0; run < 60; run += 1) {
    const operations = played(random, 2 + random.below(8), 400, run % 3 === 0 ? 0.2 : 0.03);
    const complaint = checkRegister(operations, 0);
    if (complaint !== null) t.fail(`run ${run}: ${complaint}`);
    // The oldest value that cannot be there any more: two of its readers were done before this read was called, with another value in between.
    const reads = operations.filter(({ kind }) => kind === 'read').sort((a, b) => a.called - b.called);
    const last = reads.at(-1)!;
    const before = reads.filter(({ answered }) => answered < last.called);
    const stale = before.find(
      ({ value, answered }) =>
        value !== last.value && before.some((other) => other.value !== value && other.called > answered),
    );
    if (stale === undefined) continue;
    changed += 1;
    const damaged = operations.map((each) => (each === last ? { ...each, value: stale.value } : each));
    if (checkRegister(damaged, 0) === null) t.fail(`run ${run}: a stale read was not seen`);
  }
  t.ok(changed > 40, `${changed} stale reads`);
});
