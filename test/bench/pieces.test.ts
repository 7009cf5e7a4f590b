/** What is written piece by piece and deleted again: pure, so every rule is checked without a socket. */
import t from 'tap';
import { KIND } from '../../bench/kinds.js';
import {
  DeletePlan,
  ExtentFillPlan,
  PIECE,
  Pieces,
  PieceVerifyPlan,
  TinyWritePlan,
} from '../../bench/pieces.js';
import { Lanes, type Plan, PlannedOp } from '../../bench/plan.js';

const KiB = 1024;

/** Everything a plan sends until it is done or waits, each answered at once as a node would. */
function drain(plan: Plan, answer: (op: PlannedOp) => void): PlannedOp[] {
  const sent: PlannedOp[] = [];
  for (let op = new PlannedOp(); plan.next(op) === 'send'; op = new PlannedOp()) {
    sent.push(op);
    answer(op);
  }
  return sent;
}

function lanes(...lanePartitions: number[]): Lanes {
  return new Lanes({ lanePartitions, ids: { by: 'server' }, extentBytesMax: 128 * KiB * KiB });
}

/** Tiny writes as a node places them: extents in turn. */
function place(): (op: PlannedOp) => void {
  let count = 0;
  return (op) => {
    const piece = op.piece!;
    piece.extentId = (count % 64) + 1;
    piece.offset = Math.floor(count / 64) * 4 * KiB;
    piece.state = PIECE.written;
    count += 1;
  };
}

t.test('tiny writes name no place, and no two have the same stamps', async (t) => {
  const pieces = new Pieces(3, false);
  const sent = drain(new TinyWritePlan(lanes(1, 2), 4 * KiB, pieces, true, 100), place());
  t.equal(sent.length, 100);
  t.ok(sent.every((op) => op.kind === KIND.tinywrite && op.extentId === 0 && op.offset === 0));
  t.equal(new Set(sent.map((op) => op.stampOffset)).size, 100);
  const other = new Pieces(4, false);
  const [op] = drain(new TinyWritePlan(lanes(1), 4 * KiB, other, true, 1), place());
  t.not(op!.stampExtentId, sent[0]!.stampExtentId, 'connections differ');
  t.ok(sent.slice(0, 4).every((op, index) => op.partitionId === [1, 2, 1, 2][index]));
});

t.test('kept pieces lie in every tiny extent, are not counted, and are not deleted', async (t) => {
  const pieces = new Pieces(0, true);
  drain(new TinyWritePlan(lanes(1), 4 * KiB, pieces, true, 700), place());
  t.equal(pieces.list.filter((piece) => !piece.kept).length, 700);
  const kept = pieces.list.filter((piece) => piece.kept);
  t.equal(new Set(kept.map((piece) => piece.extentId)).size, 64);
  const deletes = drain(new DeletePlan(pieces, KIND.tinydelete), (op) => {
    op.piece!.state = PIECE.deleted;
  });
  t.equal(deletes.length, 700);
  t.ok(kept.every((piece) => piece.state === PIECE.written));
});

t.test('extents are created and filled before the next ones, and each is deleted once', async (t) => {
  const lanes = new Lanes({ lanePartitions: [1, 2], ids: { by: 'server' }, extentBytesMax: 64 * KiB });
  const pieces = new Pieces(0, false);
  const plan = new ExtentFillPlan(lanes, pieces, 4 * KiB, 12 * KiB, 50);
  let id = 1024;
  const sent = drain(plan, (op) => {
    if (op.kind === KIND.create) plan.created(op.lane, ++id);
    else if (op.piece !== null) op.piece.state = PIECE.written;
  });
  t.equal(sent.filter((op) => op.kind === KIND.create).length, 50);
  const writes = sent.filter((op) => op.kind === KIND.write);
  t.same(
    writes.slice(0, 4).map((op) => [op.extentId, op.offset, op.stampOffset, op.piece !== null]),
    [
      [1025, 0, 0, false],
      [1025, 4 * KiB, 4 * KiB, false],
      [1025, 8 * KiB, 8 * KiB, true],
      [1026, 0, 0, false],
    ],
  );
  const deletes = drain(new DeletePlan(pieces, KIND.delete), () => {});
  t.same(
    deletes.map((op) => op.extentId),
    Array.from({ length: 50 }, (_, index) => 1025 + index),
  );
});

t.test('while creates are under way the filling waits for them', async (t) => {
  const lanes = new Lanes({ lanePartitions: [1], ids: { by: 'server' }, extentBytesMax: 64 * KiB });
  const plan = new ExtentFillPlan(lanes, new Pieces(0, false), 4 * KiB, 4 * KiB, 2);
  const op = new PlannedOp();
  t.same([plan.next(op), plan.next(op), plan.next(op)], ['send', 'send', 'wait']);
  plan.created(0, 1025);
  t.same([plan.next(op), op.kind, plan.next(op)], ['send', KIND.write, 'wait']);
});

t.test(
  'verifying reads what is written, zeros where tiny ranges were deleted, and nothing unknown',
  async (t) => {
    const pieces = new Pieces(0, false);
    drain(new TinyWritePlan(lanes(1), 200 * KiB, pieces, true, 4), place());
    pieces.list[1]!.state = PIECE.deleted;
    pieces.list[2]!.state = PIECE.deleting;
    const normal = pieces.add(1, 4 * KiB, 1025, 0);
    normal.extentId = 1025;
    normal.state = PIECE.deleted;
    const reads = drain(new PieceVerifyPlan(pieces, KIND.followerread, 128 * KiB), () => {});
    t.same(
      reads.map((op) => [op.extentId, op.offset, op.bytes, op.zeros]),
      [
        [1, 0, 128 * KiB, false],
        [1, 128 * KiB, 72 * KiB, false],
        [2, 0, 128 * KiB, true],
        [2, 128 * KiB, 72 * KiB, true],
        [4, 0, 128 * KiB, false],
        [4, 128 * KiB, 72 * KiB, false],
      ],
    );
  },
);

t.test('a node is asked only for what it has', async (t) => {
  const pieces = new Pieces(0, false);
  drain(new TinyWritePlan(lanes(1, 2), 4 * KiB, pieces, true, 6), place());
  const reads = drain(
    new PieceVerifyPlan(pieces, KIND.followerread, 128 * KiB, (partitionId) => partitionId === 2),
    () => {},
  );
  t.same(
    reads.map((op) => op.partitionId),
    [2, 2, 2],
  );
});

t.test('tiny writes follow lanes that move to other partitions', async (t) => {
  const moving = lanes(1, 2);
  const plan = new TinyWritePlan(moving, 4 * KiB, new Pieces(0, false), false, Number.POSITIVE_INFINITY);
  const op = new PlannedOp();
  const next = (): number => {
    plan.next(op);
    return op.partitionId;
  };
  t.same([next(), next()], [1, 2]);
  moving.move([5, 6]);
  t.same([next(), next(), next()], [5, 6, 5]);
});
