/** The generator end to end: the compiled program as a process of its own, against the sink. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { KINDS } from '../../bench/kinds.js';
import type { RunResult } from '../../bench/result.js';
import { Sink } from '../../bench/sink.js';
import type { PacketHeader } from '../../src/protocol/header.js';
import { isReadOp, OP } from '../../src/protocol/opcodes.js';
import { drive, failures, folder, LOAD, load } from './driver.js';

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
    else if (name === 'delete') t.ok(result.verifiedBytes! > 0, 'what was kept');
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
    '--verify',
  );
  t.equal(code, 0);
  t.equal(result.total.ops, 4000);
  const written = result.kinds.reduce((sum, kind) => sum + (kind.name.includes('write') ? kind.ops : 0), 0);
  t.equal(result.verifiedBytes, written * 4096 + 2 * 256 * 1024, 'every append and both fillings');
  const wanted = { write: 2000, syncwrite: 400, read: 1200, followerread: 400 };
  for (const kind of result.kinds) {
    const target = wanted[kind.name as keyof typeof wanted];
    t.ok(Math.abs(kind.ops - target) <= 130, `${kind.name}: ${kind.ops} for ${target}`);
  }
});

t.test('tiny writes in a mix, and of other sizes than pages', async (t) => {
  const { code, result } = await drive(
    t,
    { keepData: true },
    ...['--op', 'mixed', '--mix', 'write=40,tiny-write=60', '--size', '5000', '--count', '500', '--verify'],
  );
  t.equal(code, 0);
  const ops = Object.fromEntries(result.kinds.map((kind) => [kind.name, kind.ops]));
  t.equal(result.verifiedBytes, 500 * 5000);
  t.ok(Math.abs(ops['tinywrite']! - 300) <= 16, `${ops['tinywrite']} tiny writes`);
});

t.test('deletes end when nothing is left, and filled extents are deleted whole', async (t) => {
  const args = ['--op', 'delete', '--seconds', '60', '--prepare', '100', '--fill', '300k', '--verify'];
  const { code, result, sink } = await drive(t, { keepData: true }, ...args);
  t.equal(code, 0);
  t.match(result, { errorCount: 0, mismatches: 0, total: { ops: 100, bytes: 0 } });
  const created = sink.packets.get(OP.createExtent)!;
  t.equal(sink.packets.get(OP.write), created * 75, '75 packets of 4 KiB fill an extent');
  t.equal(result.verifiedBytes, (created - 100) * 300 * 1024, 'one of eight is kept and read back');
  t.ok(created > 100);
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
