/** The command line: defaults, every kind of bad flag with its one line, scenario files, comparisons. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { type LoadOptions, parseFlags } from '../../bench/flags.js';
import { HELP } from '../../bench/help.js';
import { KIND } from '../../bench/kinds.js';

function options(...args: string[]): LoadOptions {
  const outcome = parseFlags(args);
  if (outcome.ok !== true) throw new Error(outcome.ok === 'help' ? 'help' : outcome.message);
  return outcome.options;
}

function message(...args: string[]): string {
  const outcome = parseFlags(args);
  return outcome.ok === false ? outcome.message : 'accepted';
}

t.test('the defaults fit the standalone node', async (t) => {
  const made = options();
  t.same(made.targets, [{ name: '127.0.0.1:17310', address: { host: '127.0.0.1', port: 17310 }, pids: [] }]);
  t.same(made.partitions, [1, 2, 3, 4, 5, 6, 7, 8]);
  t.same(made.mix, [[KIND.write, 100]]);
  t.match(made, {
    sizeBytes: 4096,
    conns: 4,
    depth: 16,
    seconds: 10,
    count: null,
    rate: null,
    ids: 'server',
  });
  t.match(made, {
    extentBytes: 128 * 1024 * 1024,
    warmupSeconds: 1,
    rounds: 1,
    verify: false,
    compare: false,
  });
});

t.test('deletes: how many are made first, and how much is in each', async (t) => {
  const made = options('--op', 'tiny-delete');
  t.same(made.mix, [[KIND.tinydelete, 100]]);
  t.match(made, { prepare: 20_000, pieceBytes: 4096, warmupSeconds: 0 });
  t.match(options('--op', 'delete', '--count', '70', '--fill', '1m'), { prepare: 70, pieceBytes: 1 << 20 });
  t.equal(options('--op', 'delete', '--prepare', '5').prepare, 5);
  t.match(message('--prepare', '5'), /^--prepare needs --op delete/);
  t.match(message('--op', 'mixed', '--mix', 'write=50,delete=50'), /^--mix cannot hold deletes/);
  t.match(message('--op', 'tinywrite', '--ids', 'self'), /^--ids self cannot be used with tiny extents/);
});

t.test('replicated runs take nodes and partitions from a master', async (t) => {
  t.match(options(), { volume: null, keepGoing: false });
  const made = options('--replicated');
  t.same(made.targets, [{ name: '127.0.0.1:17010', address: { host: '127.0.0.1', port: 17010 }, pids: [] }]);
  t.match(made, { volume: 'demo', partitions: [], conns: 6, keepGoing: false });
  const other = options(
    '--replicated',
    '--master',
    'h:1',
    '--volume',
    'v',
    '--partition',
    '2',
    '--keep-going',
  );
  t.match(other, { volume: 'v', partitions: [2], keepGoing: true, targets: [{ name: 'h:1' }] });
  const cases: [string, RegExp][] = [
    ['--master h:1', /^--master needs --replicated/],
    ['--volume v', /^--volume needs --replicated/],
    ['--keep-going', /^--keep-going needs --replicated/],
    ['--replicated --addr h:1', /leave out --addr/],
    ['--replicated --followers h:1', /leave out --followers/],
    ['--replicated --master nowhere', /^--master must be host:port, not "nowhere"/],
    ['--replicated --volume=', /^--volume must name a volume/],
    ['--replicated --ids self', /^--ids self cannot be used with --replicated/],
    ['--replicated --master h:1 --compare a=h:1 b=h:2', /leave out --master/],
  ];
  for (const [args, expected] of cases) t.match(message(...args.split(' ')), expected, args);
});

t.test('values are read as they are typed', async (t) => {
  t.equal(options('--size', '128k').sizeBytes, 131_072);
  t.equal(options('--size', '1M').sizeBytes, 1_048_576);
  t.equal(options('--size', '1000').sizeBytes, 1000);
  t.same(options('--partition', '3').partitions, [3]);
  t.same(options('--partition', '1,4..6,9').partitions, [1, 4, 5, 6, 9]);
  t.same(options('--partition', '2-4').partitions, [2, 3, 4]);
  t.same(options('--addr', '[::1]:17310').targets[0]!.address, { host: '::1', port: 17310 });
  t.same(options('--followers', '10.0.0.2:17310,10.0.0.3:17310').followers, [
    '10.0.0.2:17310',
    '10.0.0.3:17310',
  ]);
  t.same(
    options('--followers', '10.0.0.2:17310/10.0.0.3:17310/').followers.length,
    2,
    'as it stands in an Arg',
  );
  t.same(options('--op', 'mixed', '--mix', 'write=60,read=40').mix, [
    [KIND.write, 60],
    [KIND.read, 40],
  ]);
  t.match(options('--count', '5000'), { count: 5000, warmupSeconds: 0 });
  t.same(options('--server-pid', '12,34').targets[0]!.pids, [12, 34]);
  t.equal(options('--timeout', '0.5').timeoutMs, 500);
});

t.test('comparisons name several nodes', async (t) => {
  const made = options('--compare', 'go=127.0.0.1:1,77,78', 'ours=127.0.0.2:2', '--depth', '4');
  t.same(made.targets, [
    { name: 'go', address: { host: '127.0.0.1', port: 1 }, pids: [77, 78] },
    { name: 'ours', address: { host: '127.0.0.2', port: 2 }, pids: [] },
  ]);
  t.match(made, { compare: true, rounds: 3, depth: 4 });
  t.equal(options('--compare', 'a=h:1', '--compare', 'b=h:2', '--rounds', '5').rounds, 5);
});

t.test('every bad flag gives one line that names it', async (t) => {
  const cases: [string[], RegExp][] = [
    [['--sise', '4k'], /--sise/],
    [['write'], /unexpected argument "write"/],
    [['--size'], /--size/],
    [['--size', '4q'], /--size .*"4q"/],
    [['--size', '1'], /--size/],
    [['--size', '2m'], /--size must be at most 1m/],
    [['--size', '64k', '--extent-size', '32k'], /--size must not be larger than --extent-size/],
    [['--addr', 'localhost'], /--addr .*"localhost"/],
    [['--addr', 'localhost:99999'], /--addr/],
    [['--partition', '0'], /--partition/],
    [['--partition', '5..2'], /--partition/],
    [['--partition', 'a'], /--partition/],
    [
      ['--op', 'remove'],
      /--op .*create, write, syncwrite, read, followerread, tinywrite, delete, tinydelete, randwrite, syncrandwrite, mixed.*"remove"/,
    ],
    [['--op', 'mixed'], /--mix/],
    [['--mix', 'write=50,read=50'], /--mix needs --op mixed/],
    [['--op', 'mixed', '--mix', 'write=50,read=40'], /--mix must add up to 100, not 90/],
    [['--op', 'mixed', '--mix', 'write=50,write=50'], /--mix/],
    [['--op', 'mixed', '--mix', 'write=50,randwrite=50'], /--mix cannot hold random writes and other writes/],
    [['--op', 'randwrite', '--followers', 'h:1'], /random writes go to the raft leader.*use --replicated/],
    [
      ['--replicated', '--op', 'mixed', '--mix', 'read=50,followerread=50'],
      /--mix cannot hold read and followerread with --replicated/,
    ],
    [['--op', 'mixed', '--mix', 'write=50,read=50', '--conns', '1'], /--conns must be at least 2/],
    [['--conns', '0'], /--conns/],
    [['--depth', '1.5'], /--depth must be a whole number .*"1.5"/],
    [['--seconds', 'long'], /--seconds/],
    [['--count', '10', '--seconds', '5'], /--count and --seconds/],
    [['--count', '10', '--warmup', '5'], /--warmup/],
    [['--rate', '-1'], /--rate/],
    [['--ids', 'me'], /--ids must be server or self/],
    [['--ids', 'self', '--followers', 'h:1'], /--ids self/],
    [['--order', 'backwards'], /--order/],
    [['--followers', 'nobody'], /--followers/],
    [['--server-pid', 'init'], /--server-pid/],
    [['--compare', 'a=h:1'], /at least two/],
    [['--compare', 'a=h:1', 'a=h:2'], /same name/],
    [['--compare', 'a=h:1', 'b'], /--compare wants .*"b"/],
    [['--compare', 'a=h:1', 'b=h:2,x'], /--compare: "x" is not a process id/],
    [['--compare', 'a=h:1', 'b=h:2', '--addr', 'h:3'], /leave out --addr/],
    [['--rounds', '2'], /--rounds needs --compare/],
    [['--scenario', '/nonexistent/file.json'], /--scenario \/nonexistent\/file.json/],
  ];
  for (const [args, pattern] of cases) {
    const text = message(...args);
    t.match(text, pattern, args.join(' '));
    t.notMatch(text, /\n/, `${args.join(' ')}: one line`);
  }
});

t.test('a scenario file gives flags, and the command line wins', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'extentd-load-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'scenario.json');
  writeFileSync(file, JSON.stringify({ op: 'read', size: '128k', depth: 8, verify: true }));
  t.match(options('--scenario', file, '--depth', '2'), {
    op: 'read',
    sizeBytes: 131_072,
    depth: 2,
    verify: true,
  });
  for (const bad of ['[]', '{"unknown":1}', '{"verify":"yes"}', '{"scenario"', '{"size":[1]}']) {
    writeFileSync(file, bad);
    t.match(message('--scenario', file), /--scenario .*scenario.json: /, bad);
  }
});

t.test('help names the flags that exist, and no others', async (t) => {
  t.equal(parseFlags(['--help']).ok, 'help');
  const named = new Set<string>(HELP.match(/(?<=\s)--[a-z-]+/g) ?? []);
  for (const flag of named) t.notMatch(message(flag), /Unknown option/, flag);
  t.equal(named.size, 34, 'all but --help itself');
});
