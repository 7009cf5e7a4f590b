/** What only raft leaders answer, in replicated runs: the compiled generator finds them as clients do, and what it wrote anew is read back from every replica. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { RunResult } from '../../bench/result.js';
import type { Misbehaviour } from '../../bench/sink.js';
import type { PacketHeader } from '../../src/protocol/header.js';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { failures, folder, load } from './driver.js';
import { type FakeCluster, startFakeCluster } from './fakeCluster.js';

const LEADER_OPS: readonly number[] = [OP.randomWrite, OP.syncRandomWrite, OP.streamRead];
const NOT_LEADER = { error: RESULT.tryOtherAddr, text: 'ActionWrite:_raft is not the leader.' } as const;

let files = 0;

interface Group {
  /** Whether a node leads a partition now. */
  leads(node: number, partitionId: number): boolean;
  /** Whom the master names. */
  leaderOf?: (partitionId: number) => number;
  asFollower?(node: number, header: PacketHeader): Misbehaviour | null;
}

/** Three nodes with six partitions whose leaders are told; and what leaders answer comes to the right one, without followers. */
function clusterOf(t: Test, group: Group): Promise<FakeCluster> {
  const optionsOf = (index: number) => ({
    misbehave(header: PacketHeader): Misbehaviour | null {
      if (!LEADER_OPS.includes(header.opcode)) return null;
      if (header.argBytes > 0 || header.remainingFollowers > 0) t.fail('a leader knows its followers');
      return group.leads(index, header.partitionId) ? null : NOT_LEADER;
    },
    misbehaveAsFollower: (header: PacketHeader) => group.asFollower?.(index, header) ?? null,
  });
  const { leaderOf } = group;
  return startFakeCluster(t, {
    ...{ nodes: 3, partitions: 6, optionsOf },
    ...(leaderOf === undefined ? {} : { leaderOf }),
  });
}

async function run(cluster: FakeCluster, ...args: string[]) {
  const file = join(folder, `leaders${++files}.json`);
  const common = ['--replicated', '--master', cluster.master, '--json', file, '--quiet', '--verify'];
  const ended = await load(...common, '--fill', '64k', ...args);
  return {
    ...ended,
    result: (JSON.parse(readFileSync(file, 'utf8')) as { results: [RunResult] }).results[0],
  };
}

const third = (partitionId: number): number => (partitionId + 1) % 3;

for (const op of ['randwrite', 'syncrandwrite', 'read']) {
  t.test(`${op}: the leader that the master names is asked, and every replica is read back`, async (t) => {
    const cluster = await clusterOf(t, { leads: (node, id) => node === third(id), leaderOf: third });
    const { code, result, out } = await run(cluster, '--op', op, '--count', '1200', '--extents', '2');
    t.equal(code, 0, out);
    t.match(result, { errorCount: 0, mismatches: 0, total: { ops: 1200 }, redirections: 0 });
    const sizes = result.replicas.map(({ verifiedBytes }) => verifiedBytes);
    t.ok(sizes[0]! > 0 && new Set(sizes).size === 1, `the same of each replica: ${sizes}`);
    for (const sink of cluster.sinks)
      t.ok(
        LEADER_OPS.some((opcode) => (sink.packets.get(opcode) ?? 0) > 0),
        'every node leads some',
      );
  });
}

t.test(
  'a leader that nobody names, or another than is named, is found among the hosts, and kept',
  async (t) => {
    for (const named of [{}, { leaderOf: (id: number) => (third(id) + 1) % 3 }]) {
      const cluster = await clusterOf(t, { leads: (node, id) => node === third(id), ...named });
      const { code, result, out } = await run(cluster, '--op', 'randwrite', '--count', '1200');
      t.equal(code, 0, out);
      t.match(result, { errorCount: 0, mismatches: 0, total: { ops: 1200 } }, 'a redirection is no error');
      t.ok(
        result.redirections > 0 && result.redirections <= 12,
        `${result.redirections} for six connections`,
      );
      t.match(out, `redirected ${result.redirections} times by nodes that do not lead, `);
    }
  },
);

t.test('a leader that changes in the middle is followed, and all of the count is done', async (t) => {
  let answered = 0;
  const leads = (node: number, id: number): boolean => {
    const now = answered > 500 ? third(id) : (third(id) + 1) % 3;
    if (node === now) answered += 1;
    return node === now;
  };
  const cluster = await clusterOf(t, { leads });
  const { code, result, out } = await run(cluster, '--op', 'randwrite', '--count', '1500');
  t.equal(code, 0, out);
  t.match(result, { errorCount: 0, mismatches: 0, total: { ops: 1500 } });
  t.ok(result.redirectedPackets > 0);
});

t.test(
  'without --keep-going any other refusal ends the connection, and a leader that hangs up does',
  async (t) => {
    for (const fault of [
      { hangUp: true },
      { error: RESULT.tryOtherAddr, text: 'partition not exists' },
    ] as const) {
      let writes = 0;
      const optionsOf = () => ({
        misbehave: ({ opcode }: PacketHeader) =>
          opcode === OP.randomWrite && ++writes % 50 === 0 ? fault : null,
      });
      const cluster = await startFakeCluster(t, { nodes: 3, partitions: 6, optionsOf });
      const args = ['--op', 'randwrite', '--count', '100000', '--timeout', '2'];
      const { code, result } = await run(cluster, ...args);
      t.equal(code, 1);
      t.equal(result.redirections, 0);
      t.ok(result.total.ops < 1000 && result.errorCount > 0, 'told, and over');
      writes = 0;
      const on = await run(cluster, '--op', 'randwrite', '--count', '600', '--keep-going');
      t.ok(on.result.total.ops > 400, 'with --keep-going the next host is asked');
      t.equal(on.result.mismatches, 0);
    }
  },
);

t.test('a random write that one replica has lost, however long one waits, is found and named', async (t) => {
  // The last one of its block: later ones would hide it.
  const args = [
    '--op',
    'randwrite',
    '--count',
    '200',
    '--conns',
    '1',
    '--depth',
    '1',
    '--order',
    'sequential',
  ];
  let writes = 0;
  const cluster = await clusterOf(t, {
    leads: (node) => node === 0,
    leaderOf: () => 0,
    asFollower: (node, { opcode }) =>
      node === 2 && opcode === OP.randomWrite && ++writes === 195 ? { ignored: true } : null,
  });
  const { code, result } = await run(cluster, ...args, '--partition', '1');
  t.equal(code, 1);
  t.match(result, { errorCount: 0, replicas: [{ mismatches: 0 }, { mismatches: 0 }, { mismatches: 1 }] });
  t.match(result.mismatchTexts[0], /the stamp of this run.* version 163, where version 195 is due/);
});

t.test('a replica that carries out later is waited for', async (t) => {
  const cluster = await clusterOf(t, {
    leads: (node, id) => node === third(id),
    leaderOf: third,
    asFollower: (node, { opcode }) => (node === 1 && opcode === OP.randomWrite ? { laterMs: 700 } : null),
  });
  const { code, result } = await run(cluster, '--op', 'randwrite', '--count', '600');
  t.equal(code, 0, JSON.stringify(failures(result)));
  t.equal(result.mismatches, 0);
});
