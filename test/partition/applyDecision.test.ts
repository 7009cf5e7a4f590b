/**
 * What becomes of a committed random write, and of a proposed one: the table, and a twin that counts bytes.
 */
import fc from 'fast-check';
import t from 'tap';
import {
  type ApplyDecision,
  afterFailure,
  applyError,
  checkProposal,
  decideApply,
  decodeCommand,
  type ExtentView,
  type ProposalView,
} from '../../src/partition/applyDecision.js';
import { OP } from '../../src/protocol/opcodes.js';
import { marshalRandWriteRaftLog, type RandWriteCommand } from '../../src/protocol/randWrite.js';
import { RESULT, resultCodeFor } from '../../src/protocol/resultCodes.js';

const BLOCK = 131_072;
const EXTENT = 134_217_728;

function there(sizeBytes: number): ExtentView {
  return { state: 'there', sizeBytes };
}

function command(extentId: number, extentOffset: number, sizeBytes: number, exact = true): RandWriteCommand {
  return { opcode: 0x0f, extentId, extentOffset, sizeBytes, crc: 0, data: new Uint8Array(0), exact };
}

const NOT_HERE: ExtentView = { state: 'unknown', sizeBytes: 0 };
const DELETED: ExtentView = { state: 'deleted', sizeBytes: 5000 };
const BROKEN: ExtentView = { state: 'broken', sizeBytes: 5000 };

const ROWS: [what: string, command: RandWriteCommand, extent: ExtentView, decision: ApplyDecision][] = [
  ['inside', command(1025, 0, 5000), there(5000), { kind: 'write' }],
  ['the last byte', command(1025, 4999, 1), there(5000), { kind: 'write' }],
  ['one byte behind the end', command(1025, 4999, 2), there(5000), { kind: 'missing', cause: 'try again' }],
  ['unknown here', command(1025, 0, 1), NOT_HERE, { kind: 'missing', cause: 'extent does not exist' }],
  ['deleted here', command(1025, 0, 1), DELETED, { kind: 'deleted', cause: 'extent does not exist' }],
  ['broken here', command(1025, 0, 1), BROKEN, { kind: 'missing', cause: 'extent has been broken' }],
  ['a whole block', command(1025, EXTENT - BLOCK, BLOCK), there(EXTENT), { kind: 'write' }],
  [
    'more than a block',
    command(1025, 0, BLOCK + 1),
    there(EXTENT),
    { kind: 'rejected', cause: `parameter mismatch error: offset=0 size=${BLOCK + 1}` },
  ],
  [
    'no bytes',
    command(1025, 7, 0),
    there(EXTENT),
    { kind: 'rejected', cause: 'parameter mismatch error: offset=7 size=0' },
  ],
  [
    'past what an extent can have',
    command(1025, EXTENT - 1, 2),
    there(EXTENT),
    { kind: 'rejected', cause: `parameter mismatch error: offset=${EXTENT - 1} size=2` },
  ],
  [
    'a bad range of an extent that is not here is no missing one',
    command(1025, EXTENT, 1),
    NOT_HERE,
    { kind: 'rejected', cause: `parameter mismatch error: offset=${EXTENT} size=1` },
  ],
  [
    'a negative offset',
    command(1025, -1, 10),
    there(EXTENT),
    { kind: 'rejected', cause: 'writeat 1025: negative offset' },
  ],
  [
    'an id beyond 2^53',
    command(-1, 0, 10, false),
    NOT_HERE,
    { kind: 'rejected', cause: 'extent does not exist' },
  ],
  [
    'an id beyond all that are given out',
    command(2 ** 40 + 1, 0, 10),
    NOT_HERE,
    { kind: 'rejected', cause: 'extent does not exist' },
  ],
  ['a tiny extent, more than a block', command(5, 3, 2 * BLOCK), there(4 * BLOCK), { kind: 'write' }],
  ['a tiny extent, no bytes', command(5, 3, 0), there(8192), { kind: 'write' }],
  [
    'a tiny extent, behind its watermark',
    command(5, 8192, 1),
    there(8192),
    { kind: 'missing', cause: 'try again' },
  ],
  [
    'a tiny extent, at its limit',
    command(5, 2 ** 32 - 2, 1),
    there(8192),
    { kind: 'rejected', cause: 'extent is full' },
  ],
];

t.test('every row of the decision table', async (t) => {
  for (const [what, given, extent, decision] of ROWS) t.same(decideApply(given, extent), decision, what);
});

/** Looks at the bytes at both ends of the range, without the code's arithmetic. */
function twin(offset: bigint, size: bigint, sizeBytes: bigint): string {
  if (size === 0n || size > 131072n) return 'rejected';
  const ends = [offset, offset + size - 1n];
  if (ends.some((byte) => byte < 0n || byte >= 1024n * 131072n)) return 'rejected';
  return ends.every((byte) => byte < sizeBytes) ? 'write' : 'missing';
}

t.test('ranges of a normal extent: as a twin that looks at bytes', async (t) => {
  const around = (value: number): fc.Arbitrary<number> =>
    fc.integer({ min: -3, max: 3 }).map((by) => value + by);
  const offset = fc.oneof(fc.integer({ min: -5, max: EXTENT + 5 }), around(EXTENT), around(0));
  const size = fc.oneof(
    fc.nat(BLOCK + 5),
    around(BLOCK).filter((value) => value >= 0),
    fc.nat(3),
  );
  const sizeBytes = fc.oneof(fc.nat(EXTENT), fc.constant(EXTENT));
  const given = fc.record({ offset, size, sizeBytes, atEnd: fc.option(fc.integer({ min: -3, max: 3 })) });
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(given, ({ offset, size, sizeBytes, atEnd }) => {
      // Half of the ranges end around the end of the extent.
      const from = atEnd === null ? offset : sizeBytes - size + atEnd;
      const { kind } = decideApply(command(1025, from, size), there(sizeBytes));
      seen.set(kind, (seen.get(kind) ?? 0) + 1);
      return kind === twin(BigInt(from), BigInt(size), BigInt(sizeBytes));
    }),
    { numRuns: 3000 },
  );
  for (const kind of ['write', 'missing', 'rejected'])
    t.ok((seen.get(kind) ?? 0) > 100, `${kind} came often`);
});

t.test('bytes that are no command are told in the words of the reference', async (t) => {
  t.same(decodeCommand(new Uint8Array(0)), { cause: 'EOF' });
  t.same(decodeCommand(new Uint8Array([0, 0, 0, 0xff, 0x0f, 1])), { cause: 'unexpected EOF' });
  const whole = marshalRandWriteRaftLog(OP.randomWrite, 1025, 7, Buffer.from('hello'), 1);
  const decoded = decodeCommand(whole);
  t.ok('command' in decoded && decoded.command.extentId === 1025 && decoded.command.sizeBytes === 5);
  const odd = decodeCommand(marshalRandWriteRaftLog(OP.markDelete, 1025, 7, Buffer.from('hello'), 1));
  t.ok('command' in odd && odd.command.opcode === OP.randomWrite, 'the opcode says only whether to sync');
  t.equal(
    applyError(9, 7, command(1025, 3, 5), 'extent does not exist'),
    '[ApplyRandomWrite] ApplyID(9) Partition(7)_Extent(1025)_ExtentOffset(3)_Size(5) apply err(extent does not exist) retry[20]',
  );
});

t.test('what follows from a failed write', async (t) => {
  for (const errno of [5, 30, 19]) t.equal(afterFailure(-errno), 'stop', `errno ${errno}`);
  for (const errno of [28, 122, 24, 12]) t.equal(afterFailure(-errno), 'retry', `errno ${errno}`);
  t.equal(afterFailure(1), 'retry', 'a short write');
  for (const errno of [2, 13]) t.equal(afterFailure(-errno), 'missing', `errno ${errno}`);
  t.equal(afterFailure(0), 'missing', 'refused without a call');
});

t.test('what the leader refuses to propose, with the code that the client gets', async (t) => {
  const view: ProposalView = {
    ...{ partitionId: 7, diskPath: '/d', diskFailed: false, diskFull: false, extent: there(5000) },
  };
  const write = { extentId: 1025, extentOffset: 0, sizeBytes: 100, crc: 1, bodyCrc: 1 };
  const code = (text: string | null): number =>
    text === null ? RESULT.ok : resultCodeFor('ActionWrite:', text);
  const rows: [string, string | null, number][] = [
    ['fits', checkProposal(write, view), RESULT.ok],
    ['crc', checkProposal({ ...write, bodyCrc: 2 }, view), RESULT.intraGroupNetErr],
    ['unknown', checkProposal(write, { ...view, extent: NOT_HERE }), RESULT.notExistErr],
    ['deleted', checkProposal(write, { ...view, extent: DELETED }), RESULT.notExistErr],
    ['broken', checkProposal(write, { ...view, extent: BROKEN }), RESULT.intraGroupNetErr],
    ['behind the end', checkProposal({ ...write, extentOffset: 4950 }, view), RESULT.again],
    ['empty', checkProposal({ ...write, sizeBytes: 0 }, view), RESULT.argMismatchErr],
    ['full disk', checkProposal(write, { ...view, diskFull: true }), RESULT.intraGroupNetErr],
    ['failed disk', checkProposal(write, { ...view, diskFailed: true }), RESULT.intraGroupNetErr],
  ];
  for (const [what, text, expected] of rows) t.equal(code(text), expected, `${what}: ${text}`);
  t.equal(
    checkProposal(write, { ...view, diskFull: true }),
    'partition(7) disk(/d) err(no space left on device)',
  );
});
