/** The generator end to end: the compiled program as a process of its own, against the sink and a sink that misbehaves. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { KINDS } from '../../bench/kinds.js';
import type { RunResult } from '../../bench/result.js';
import { type Misbehaviour, Sink, type SinkOptions } from '../../bench/sink.js';
import type { PacketHeader } from '../../src/protocol/header.js';
import { isReadOp, OP } from '../../src/protocol/opcodes.js';

const LOAD = fileURLToPath(new URL('../../bench/load.js', import.meta.url));

const folder = mkdtempSync(join(tmpdir(), 'extentd-load-'));
t.teardown(() => rmSync(folder, { recursive: true }));

interface Ended {
  code: number | null;
  out: string;
  err: string;
}

async function load(...args: string[]): Promise<Ended> {
  const child = spawn(process.execPath, [LOAD, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, err };
}

let files = 0;

/** Runs against a new sink; the first result of the JSON file with the exit code and the text. */
async function drive(
  t: Test,
  options: SinkOptions,
  ...args: string[]
): Promise<Ended & { result: RunResult; sink: Sink }> {
  const sink = await Sink.listen(0, options);
  t.teardown(() => sink.close());
  const file = join(folder, `${++files}.json`);
  const ended = await load('--addr', `127.0.0.1:${sink.port}`, '--json', file, '--quiet', ...args);
  const parsed = JSON.parse(readFileSync(file, 'utf8')) as { results: RunResult[] };
  return { ...ended, result: parsed.results[0]!, sink };
}

/** Does `fault` to the packet of this opcode that comes at this place, counted from 1. */
function faultAt(opcode: number, place: number, fault: Misbehaviour): SinkOptions {
  let seen = 0;
  const misbehave = (header: PacketHeader) => (header.opcode === opcode && ++seen === place ? fault : null);
  return { keepData: true, misbehave };
}

function failures(result: RunResult): Record<string, number> {
  return Object.fromEntries(result.failures.map(({ code, count }) => [code, count]));
}

for (const { name, opcode } of KINDS) {
  t.test(`${name}: every operation is done and counted once`, async (t) => {
    const { code, result, sink } = await drive(
      t,
      { keepData: true },
      '--op',
      name,
      '--count',
      '500',
      '--verify',
      '--fill',
      '1m',
    );
    t.equal(code, 0);
    t.match(result, { errorCount: 0, mismatches: 0, total: { ops: 500 }, kinds: [{ name, ops: 500 }] });
    if (name === 'create') t.equal(result.verifiedBytes, null, 'nothing to read back');
    else t.ok(result.verifiedBytes! >= 500 * 4096 || isReadOp(opcode));
    t.ok(sink.packets.get(opcode)! >= 500);
  });
}

t.test('sizes: 128 KiB, several packets a read, odd ones', async (t) => {
  for (const size of ['128k', '300000', '1000']) {
    for (const op of ['write', 'read']) {
      const { code, result } = await drive(
        t,
        { keepData: true },
        '--op',
        op,
        '--size',
        size,
        '--count',
        '60',
        '--fill',
        '1m',
        '--verify',
      );
      t.equal(code, 0, `${op} ${size}`);
      t.match(result, { errorCount: 0, mismatches: 0, total: { ops: 60 } }, `${op} ${size}`);
    }
  }
});

t.test('extents are rolled over, several a connection, and all are read back', async (t) => {
  const { code, result, sink } = await drive(
    t,
    { keepData: true },
    '--count',
    '1000',
    '--extents',
    '3',
    '--extent-size',
    '64k',
    '--verify',
  );
  t.equal(code, 0);
  t.equal(result.verifiedBytes, 1000 * 4096);
  t.ok(sink.packets.get(OP.createExtent)! >= 1000 / 16, 'sixteen writes an extent');
});

t.test('threads share the count and the counters', async (t) => {
  const { code, result } = await drive(
    t,
    { keepData: true },
    '--count',
    '1001',
    '--threads',
    '3',
    '--conns',
    '7',
    '--verify',
  );
  t.equal(code, 0);
  t.match(result, { total: { ops: 1001 }, generator: { threads: 3 }, verifiedBytes: 1001 * 4096 });
});

t.test('--ids self asks for the highest id and numbers on from there', async (t) => {
  const seen = new Set<number>();
  const remaining = new Set<number>();
  const misbehave = (header: PacketHeader) => {
    if (header.opcode === OP.createExtent) {
      t.notOk(seen.has(header.extentId), 'no id twice');
      seen.add(header.extentId);
    }
    remaining.add(header.remainingFollowers);
    return null;
  };
  const { code, sink } = await drive(
    t,
    { keepData: true, misbehave },
    '--ids',
    'self',
    '--count',
    '300',
    '--extent-size',
    '64k',
    '--verify',
  );
  t.equal(code, 0);
  t.ok(Math.min(...seen) >= 1025);
  t.ok(sink.packets.has(OP.getMaxExtentIdAndPartitionSize));
  t.same([...remaining], [0], 'RemainingFollowers 0 everywhere');
});

t.test('the follower list is sent with appends, and replicas are read back', async (t) => {
  const follower = await Sink.listen(0, { keepData: true });
  t.teardown(() => follower.close());
  const lengths = new Set<number>();
  const misbehave = (header: PacketHeader) => {
    if (header.opcode === OP.write) {
      lengths.add(header.argBytes);
      t.equal(header.remainingFollowers, 1);
    }
    return null;
  };
  const address = `127.0.0.1:${follower.port}`;
  const { code, result } = await drive(
    t,
    { keepData: true, misbehave },
    '--followers',
    address,
    '--count',
    '20',
    '--verify',
  );
  t.same([...lengths], [address.length + 1], 'address and slash');
  t.equal(code, 1, 'a sink does not replicate, and that is noticed');
  t.match(failures(result)['0xF3 OpIntraGroupNetErr'], Number);
});

t.test('a mix keeps its shares, and reads never share a connection with other operations', async (t) => {
  const readFrom = new Set<number>();
  const misbehave = (header: PacketHeader) => {
    if (isReadOp(header.opcode)) readFrom.add(header.reqIdHigh);
    else if (readFrom.has(header.reqIdHigh)) t.fail('a write on a connection that reads');
    return null;
  };
  const { code, result } = await drive(
    t,
    { keepData: true, misbehave },
    '--op',
    'mixed',
    '--mix',
    'write=50,syncwrite=10,read=30,followerread=10',
    '--count',
    '4000',
    '--fill',
    '256k',
  );
  t.equal(code, 0);
  t.equal(result.total.ops, 4000);
  const wanted = { write: 2000, syncwrite: 400, read: 1200, followerread: 400 };
  for (const kind of result.kinds) {
    const target = wanted[kind.name as keyof typeof wanted];
    t.ok(Math.abs(kind.ops - target) <= 130, `${kind.name}: ${kind.ops} for ${target}`);
  }
});

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

t.test('bad flags: one line and exit code 2', async (t) => {
  const ended = await load('--size', 'huge');
  t.same([ended.code, ended.out], [2, '']);
  t.match(ended.err, /^load: --size [^\n]*\n$/);
  const help = await load('--help');
  t.match(help, { code: 0, err: '', out: /--addr HOST:PORT/ });
});

t.test('a timed run is measured after its warm-up and writes its page', async (t) => {
  const page = join(folder, 'report.html');
  const { code, result } = await drive(
    t,
    { keepData: false },
    '--seconds',
    '0.5',
    '--warmup',
    '0.3',
    '--report',
    page,
    '--server-pid',
    String(process.pid),
  );
  t.equal(code, 0);
  t.ok(result.elapsedSeconds >= 0.5 - 0.05, `${result.elapsedSeconds} s`);
  t.ok(result.timeline.length >= 1);
  t.ok(result.server !== null && result.server.rssPeakBytes > 0);
  const rate = result.total.ops / result.elapsedSeconds;
  t.ok(Math.abs(result.total.opsPerSecond - rate) < 1e-6 * rate);
  t.match(readFileSync(page, 'utf8'), /^<!doctype html>.*<svg /s);
});

t.test('a comparison runs in turns and writes ratios', async (t) => {
  const order: string[] = [];
  const sinks: Sink[] = [];
  for (const name of ['a', 'b']) {
    const misbehave = () => {
      if (order.at(-1) !== name) order.push(name);
      return null;
    };
    const sink = await Sink.listen(0, { misbehave });
    t.teardown(() => sink.close());
    sinks.push(sink);
  }
  const file = join(folder, 'compare.json');
  const targets = sinks.map((sink, index) => `${'ab'[index]}=127.0.0.1:${sink.port}`);
  const { code, out } = await load(
    '--compare',
    ...targets,
    '--rounds',
    '2',
    '--count',
    '300',
    '--json',
    file,
    '--quiet',
  );
  t.equal(code, 0);
  t.same(order, ['a', 'b', 'a', 'b']);
  t.match(out, /\nb +[\d,]+ +×\d+\.\d\d /);
  const parsed = JSON.parse(readFileSync(file, 'utf8')) as {
    results: RunResult[];
    comparison: { baseline: string };
  };
  t.equal(parsed.results.length, 4);
  t.equal(parsed.comparison.baseline, 'a');
});

t.test('an interrupt ends the run early, with its results', async (t) => {
  const sink = await Sink.listen(0);
  t.teardown(() => sink.close());
  const file = join(folder, 'interrupted.json');
  const child = spawn(
    process.execPath,
    [
      LOAD,
      '--addr',
      `127.0.0.1:${sink.port}`,
      '--seconds',
      '600',
      '--warmup',
      '0',
      '--json',
      file,
      '--quiet',
    ],
    { stdio: 'ignore' },
  );
  const ended = once(child, 'close');
  while ((sink.packets.get(OP.write) ?? 0) < 100) await new Promise((resolve) => setTimeout(resolve, 5));
  child.kill('SIGINT');
  t.same(await ended, [0, null]);
  t.ok(existsSync(file), 'the results are written');
});
