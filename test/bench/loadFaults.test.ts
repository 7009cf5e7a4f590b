/** The generator end to end against a sink that misbehaves: nothing wrong goes unnoticed, and every operation has one outcome. */
import t from 'tap';
import type { Misbehaviour } from '../../bench/sink.js';
import { OP } from '../../src/protocol/opcodes.js';
import { drive, failures, faultAt, load } from './driver.js';

t.test(
  'an error reply is counted by its code, what was behind it as unanswered, and the run goes on',
  async (t) => {
    const fault = { error: 0xf6, text: 'ActionPreparePkt_no space left on the device' };
    const { code, out, result } = await drive(
      t,
      faultAt(OP.write, 20, fault),
      '--count',
      '200',
      '--conns',
      '1',
      '--verify',
    );
    t.equal(code, 1);
    const counts = failures(result);
    t.equal(counts['0xF6 OpDiskNoSpaceErr'], 1);
    t.equal(result.errorCount, 1 + (counts['unanswered'] ?? 0));
    t.equal(result.total.ops + result.errorCount, 200, 'every operation has one outcome');
    t.equal(result.mismatches, 0, 'what was acknowledged reads back');
    t.match(out, /error +1 × 0xF6 OpDiskNoSpaceErr: ActionPreparePkt_no space left on the device/);
  },
);

t.test('a node that hangs up, falls silent or answers nonsense', async (t) => {
  const cases: [string, Misbehaviour, string[]][] = [
    ['closed', { hangUp: true }, []],
    ['timeout', { silent: true }, ['--timeout', '0.3', '--depth', '1']],
    ['protocol', { silent: true }, []],
  ];
  for (const [expected, fault, args] of cases) {
    const { code, result } = await drive(
      t,
      faultAt(OP.write, 20, fault),
      '--count',
      '100',
      '--conns',
      '1',
      ...args,
    );
    t.equal(code, 1, expected);
    t.ok(failures(result)[expected]! >= 1, `${expected}: ${JSON.stringify(failures(result))}`);
    t.equal(result.total.ops + result.errorCount, 100, `${expected}: every operation has one outcome`);
  }
});

t.test('wrong content and wrong checksums are found', async (t) => {
  const read = await drive(
    t,
    faultAt(OP.streamRead, 50, { wrongBody: true }),
    '--op',
    'read',
    '--count',
    '200',
    '--fill',
    '1m',
    '--verify',
  );
  t.match(read, { code: 1, result: { mismatches: 1, errorCount: 0 } });
  t.match(
    read.result.mismatchTexts[0],
    /partition \d+ extent \d+: byte \d+ is not what was written; .*right stamp/,
  );

  const verified = await drive(
    t,
    faultAt(OP.streamFollowerRead, 3, { wrongBody: true }),
    '--count',
    '500',
    '--verify',
  );
  t.match(verified, { code: 1, result: { mismatches: 1, errorCount: 0 } });

  const checksum = await drive(
    t,
    faultAt(OP.streamRead, 50, { wrongCrc: true }),
    '--op',
    'read',
    '--count',
    '200',
    '--fill',
    '1m',
  );
  t.equal(checksum.code, 1);
  t.same(failures(checksum.result), { checksum: 1 });
});

t.test('deletes and tiny writes that a node says it did and did not', async (t) => {
  const counts = ['--count', '200', '--conns', '2', '--verify'];
  const tiny = await drive(t, faultAt(OP.markDelete, 7, { ignored: true }), '--op', 'tinydelete', ...counts);
  t.match(tiny, { code: 1, result: { mismatches: 1, errorCount: 0, total: { ops: 200 } } });
  t.match(tiny.result.mismatchTexts[0], /partition \d+ extent \d+ offset \d+: a deleted range is not zeros/);

  const whole = await drive(t, faultAt(OP.markDelete, 7, { ignored: true }), '--op', 'delete', ...counts);
  t.match(whole, { code: 1, result: { mismatches: 1, errorCount: 0, total: { ops: 200 } } });
  t.match(whole.result.mismatchTexts[0], /partition \d+ extent \d+: it was deleted and can be read/);

  const write = await drive(t, faultAt(OP.write, 7, { ignored: true }), '--op', 'tinywrite', ...counts);
  t.match(write, { code: 1, result: { total: { ops: 200 } } });
  t.equal(write.result.mismatches + write.result.errorCount, 1);
});

t.test('a delete that takes its neighbour along is found', async (t) => {
  const args = ['--conns', '1', '--partition', '1', '--depth', '1', '--count', '100', '--verify'];
  // The eighth extent is one that is kept.
  const whole = await drive(t, faultAt(OP.markDelete, 7, { neighbour: true }), '--op', 'delete', ...args);
  t.equal(whole.code, 1);
  t.equal(failures(whole.result)['0xF5 OpNotExistErr'], 1);
  // So is the 71st range, which lies behind the seventh in the same extent.
  const range = await drive(t, faultAt(OP.markDelete, 7, { neighbour: true }), '--op', 'tinydelete', ...args);
  t.match(range, { code: 1, result: { mismatches: 1, errorCount: 0 } });
  t.match(range.result.mismatchTexts[0], /in tiny extent 7 from 4096: .* its cell holds zeros/);
});

t.test('in an open loop a stall is charged to every operation that was due in it', async (t) => {
  const stallMs = 400;
  const { code, result } = await drive(
    t,
    faultAt(OP.write, 300, { delayMs: stallMs }),
    '--rate',
    '1000',
    '--count',
    '1500',
    '--conns',
    '1',
    '--depth',
    '4',
  );
  t.equal(code, 0);
  const late = result.total.buckets.filter(([floorMs]) => floorMs >= stallMs / 4);
  const count = late.reduce((sum, [, operations]) => sum + operations, 0);
  // Due in the first three quarters of the stall: 300 of them. A closed loop would have seen 4.
  t.ok(count >= 290, `${count} operations waited a quarter of the stall or longer`);
  t.ok(result.total.latencyMs.max >= stallMs);
});

t.test('a partition that is not there, and a node that is not there, end the run at once', async (t) => {
  const fault = { error: 0xfc, text: 'ActionPreparePkt_data partition not exists' };
  const refused = await drive(t, { misbehave: () => fault }, '--seconds', '60');
  t.equal(refused.code, 1);
  t.match(refused.out, /0xFC OpTryOtherAddr: ActionPreparePkt_data partition not exists/);
  t.equal(refused.result.total.ops, 0);
  const { port } = refused.sink;
  await refused.sink.close();
  const away = await load('--addr', `127.0.0.1:${port}`, '--quiet');
  t.equal(away.code, 1);
  t.match(away.out, /connect: connect ECONNREFUSED/);
});
