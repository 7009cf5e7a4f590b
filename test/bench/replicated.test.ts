/** Replicated runs end to end: the compiled generator against sinks that replicate, and a master that names them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { KINDS } from '../../bench/kinds.js';
import type { RunResult } from '../../bench/result.js';
import type { PacketHeader } from '../../src/protocol/header.js';
import { OP } from '../../src/protocol/opcodes.js';
import { type Ended, failures, folder, load } from './driver.js';
import { type FakeCluster, type FakeClusterOptions, startFakeCluster } from './fakeCluster.js';

let files = 0;

interface Outcome extends Ended {
  result: RunResult;
  cluster: FakeCluster;
}

async function run(cluster: FakeCluster, ...args: string[]): Promise<Outcome> {
  const file = join(folder, `replicated${++files}.json`);
  const common = ['--replicated', '--master', cluster.master, '--json', file, '--quiet'];
  const ended = await load(...common, ...args);
  const parsed = JSON.parse(readFileSync(file, 'utf8')) as { results: RunResult[] };
  return { ...ended, result: parsed.results[0]!, cluster };
}

/** A run against three nodes with six partitions, or others. */
async function drive(t: Test, options: Partial<FakeClusterOptions>, ...args: string[]): Promise<Outcome> {
  return run(await startFakeCluster(t, { nodes: 3, partitions: 6, ...options }), ...args);
}

for (const { name, opcode } of KINDS.filter((row) => row.name !== 'read' && !row.name.includes('rand'))) {
  t.test(`${name}: every node is a primary, and every replica is read back`, async (t) => {
    const seen = new Map<string, Set<number>>();
    const optionsOf = (index: number) => ({
      misbehave({ opcode, partitionId, remainingFollowers, argBytes }: PacketHeader) {
        const partitions = seen.get(`${index} ${opcode}`) ?? new Set();
        seen.set(`${index} ${opcode}`, partitions.add(partitionId));
        const followed = opcode !== OP.streamFollowerRead;
        if (followed && (remainingFollowers !== 2 || argBytes === 0))
          t.fail('a packet without its followers');
        if (followed && (partitionId - 1) % 3 !== index) t.fail('a packet that did not go to the primary');
        return null;
      },
    });
    const args = ['--op', name, '--count', '600', '--fill', '64k', '--verify'];
    const { code, result, cluster } = await drive(t, { optionsOf }, ...args);
    t.equal(code, 0);
    t.match(result, { errorCount: 0, mismatches: 0, total: { ops: 600 }, kinds: [{ name, ops: 600 }] });
    t.strictSame(
      result.replicas.map(({ address, primaryOf }) => [address, primaryOf]),
      cluster.hosts.map((host) => [host, 2]),
    );
    for (const sink of cluster.sinks) t.ok((sink.packets.get(opcode) ?? 0) > 0, 'work of this kind');
    if (name === 'create') return;
    const sizes = result.replicas.map(({ verifiedBytes }) => verifiedBytes);
    t.ok(sizes[0]! > 0 && new Set(sizes).size === 1, `the same of each replica: ${sizes}`);
    t.equal(
      result.verifiedBytes,
      sizes.reduce((sum, one) => sum! + one!, 0),
    );
    if (name === 'followerread') return;
    for (const [index, ids] of [
      [1, 4],
      [2, 5],
      [3, 6],
    ].entries())
      t.strictSame([...seen.get(`${index} ${opcode}`)!].sort(), ids, 'all of its partitions');
  });
}

t.test('the report names the replicas, in the table, the JSON file and the page', async (t) => {
  const page = join(folder, 'replicated.html');
  const args = ['--count', '90', '--conns', '3', '--verify', '--report', page];
  const { out, result, cluster } = await drive(t, { partitions: 2 }, ...args);
  const [a, b, c] = cluster.hosts as [string, string, string];
  t.match(out, /write 4 KiB, 3 connections × 16 in flight, 90 operations, replicated, volume demo/);
  t.match(out, `replica    ${a}: primary of 2 connections, 360 KiB read back`);
  t.match(out, `replica    ${b}: primary of 1 connection, 360 KiB read back`);
  t.match(out, `replica    ${c}: follower only, 360 KiB read back`);
  t.match(result.replicas[2], { address: c, primaryOf: 0, verifiedBytes: 360 * 1024, mismatches: 0 });
  t.match(readFileSync(page, 'utf8'), `${c}: follower only, 360 KiB read back`);
});

t.test('one replica that differs is found and named, whatever the others have', async (t) => {
  for (const fault of [{ ignored: true } as const, { wrongBody: true } as const]) {
    let writes = 0;
    const ignore = ({ opcode }: PacketHeader) => (opcode === OP.write && ++writes === 20 ? fault : null);
    let reads = 0;
    const spoil = ({ opcode }: PacketHeader) =>
      opcode === OP.streamFollowerRead && ++reads === 1 ? fault : null;
    const options = 'ignored' in fault ? { misbehaveAsFollower: ignore } : { misbehave: spoil };
    const optionsOf = (index: number) => (index === 2 ? options : {});
    const { code, result, cluster } = await drive(t, { optionsOf }, '--count', '600', '--verify');
    t.equal(code, 1);
    const found = { mismatches: 1, errorCount: 0, replicas: [{}, {}, { mismatches: 1 }] };
    t.match(result, found, JSON.stringify(result.failures));
    t.match(result.mismatchTexts[0], new RegExp(`^${cluster.hosts[2]}: partition \\d+ extent \\d+: byte`));
  }
});

t.test('a delete that one replica did not do', async (t) => {
  let deletes = 0;
  const misbehaveAsFollower = ({ opcode }: PacketHeader) =>
    opcode === OP.markDelete && ++deletes === 3 ? ({ ignored: true } as const) : null;
  const optionsOf = (index: number) => (index === 1 ? { misbehaveAsFollower } : {});
  const { code, result, cluster } = await drive(
    t,
    { optionsOf },
    '--op',
    'delete',
    '--count',
    '60',
    '--verify',
  );
  t.equal(code, 1);
  t.match(result.replicas, [{ mismatches: 0 }, { mismatches: 1 }, { mismatches: 0 }]);
  t.match(result.mismatchTexts, [new RegExp(`^${cluster.hosts[1]}: .*it was deleted and can be read`)]);
});

/** A cluster of which node 1 ends when its `place`-th write comes. */
async function dyingCluster(t: Test, nodes: number, place: number): Promise<FakeCluster> {
  let writes = 0;
  const optionsOf = (index: number) => ({
    misbehave({ opcode, partitionId }: PacketHeader) {
      if (opcode === OP.write && index === 1 && ++writes === place) void cluster.kill(1);
      if (opcode === OP.write && (partitionId - 1) % nodes !== index) t.fail('a packet for another primary');
      return null;
    },
    misbehaveAsFollower({ partitionId }: PacketHeader) {
      const holds = [1, 2].some((turn) => (partitionId - 1 + turn) % nodes === index);
      if (!holds) t.fail('forwarded to a node that is no follower');
      return null;
    },
  });
  const cluster = await startFakeCluster(t, { nodes, partitions: nodes * 2, optionsOf });
  return cluster;
}

t.test('a node that ends: told with its address, and the run is over for what needs it', async (t) => {
  const cluster = await dyingCluster(t, 3, 30);
  const { code, result, out } = await run(cluster, '--seconds', '60', '--verify', '--timeout', '2');
  t.equal(code, 1);
  t.ok(result.elapsedSeconds < 30, 'long before its time');
  t.ok(result.errorCount > 0);
  t.equal(result.mismatches, 0, 'what was acknowledged is on the replicas that are left');
  t.match(out, `${cluster.hosts[1]}: `);
  t.match(out, /ActionReceiveFromFollower_/);
  t.match(failures(result)['connect'], Number, 'the dead replica could not be read back');
});

t.test('--keep-going: work goes on in new extents of partitions that are whole', async (t) => {
  const cluster = await dyingCluster(t, 5, 30);
  const args = ['--count', '3000', '--conns', '5', '--verify', '--keep-going', '--timeout', '2'];
  const { code, result } = await run(cluster, ...args);
  t.equal(code, 1, 'failures are told');
  const counts = failures(result);
  t.ok(counts['connect']! > 0, 'the dead node can neither be written nor read');
  const { primaryOf } = result.replicas[1]!;
  t.equal(primaryOf, 1);
  t.ok(!('0xF5 OpNotExistErr' in counts), 'nothing is looked for where it never was');
  t.equal(result.mismatches, 0);
  t.ok(result.total.ops > 2500, `${result.total.ops} of 3,000 were done`);
  t.equal(result.replicas[1]!.verifiedBytes, 0);
  t.ok(result.replicas.every(({ verifiedBytes }, index) => index === 1 || verifiedBytes! > 0));
});

t.test('--keep-going: reads go on at the next replica', async (t) => {
  let reads = 0;
  const misbehave = ({ opcode }: PacketHeader) =>
    opcode === OP.streamFollowerRead && ++reads >= 20 ? ({ hangUp: true } as const) : null;
  const optionsOf = (index: number) => (index === 0 ? { misbehave } : {});
  const args = ['--op', 'followerread', '--count', '2000', '--fill', '64k', '--keep-going'];
  const { result, cluster } = await drive(t, { optionsOf }, ...args);
  t.ok(result.total.ops > 1900);
  t.ok(result.errorCount > 0);
  for (const sink of cluster.sinks.slice(1)) t.ok(sink.packets.get(OP.streamFollowerRead)! > 500);
});

t.test('two clusters are compared by their masters', async (t) => {
  const clusters = [];
  for (const _ of [0, 1]) clusters.push(await startFakeCluster(t, { nodes: 3, partitions: 3 }));
  const targets = clusters.map(({ master }, index) => `${'ab'[index]}=${master}`);
  const args = ['--compare', ...targets, '--rounds', '1', '--count', '90', '--verify', '--quiet'];
  const { code, out } = await load('--replicated', ...args);
  t.equal(code, 0);
  for (const { hosts } of clusters) t.match(out, `replica    ${hosts[2]}: primary of 2 connections`);
  t.match(out, /\nb +[\d,]+ +×\d+\.\d\d /);
});

t.test('a master that cannot be used: one clear line, and the run is over', async (t) => {
  const cluster = await startFakeCluster(t, { nodes: 3, partitions: 3 });
  const unknown = await run(cluster, '--volume', 'other');
  t.equal(unknown.code, 1);
  t.match(unknown.out, `master ${cluster.master}, volume other: it refuses: code 7, vol not exists`);
  const missing = await run(cluster, '--partition', '2,9');
  t.match(missing.out, 'volume demo: there is no partition 9 in the volume');
  const nonsense = await drive(t, { answer: 'hello' });
  t.match(nonsense.out, 'its answer is no JSON: "hello"');
  const away = await load('--replicated', '--master', '127.0.0.1:1', '--quiet');
  t.equal(away.code, 1);
  t.match(away.out, /master 127\.0\.0\.1:1, volume demo: connect ECONNREFUSED/);
});
