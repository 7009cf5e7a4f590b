/** What a master's answer means for a replicated run. */
import t from 'tap';
import {
  type HostList,
  hostListsOf,
  hostsOf,
  nextList,
  type PartitionView,
  parsePartitionView,
} from '../../bench/hostLists.js';
import { Leaders } from '../../bench/leaders.js';

const [A, B, C] = ['10.0.0.1:17310', '10.0.0.2:17310', '10.0.0.3:17310'] as const;

function view(partitionId: number, hosts: readonly string[], status = 2, leader = ''): PartitionView {
  return { partitionId, status, hosts, leader };
}

function lists(views: readonly PartitionView[], wanted: readonly number[] = []): readonly HostList[] {
  const outcome = hostListsOf(views, wanted);
  if (!outcome.ok) throw new Error(outcome.message);
  return outcome.value;
}

t.test('the answer of a master, as v1.4.0 gives it', async (t) => {
  const text =
    '{"code":0,"msg":"success","data":{"DataPartitions":[{"PartitionID":7,"Status":2,"ReplicaNum":3,' +
    `"Hosts":["${A}","${B}","${C}"],"LeaderAddr":"${B}","Epoch":0},` +
    `{"PartitionID":3,"Status":1,"ReplicaNum":3,"Hosts":["${C}","${A}","${B}"],"LeaderAddr":"","Epoch":0}]}}`;
  t.strictSame(parsePartitionView(text), {
    ok: true,
    value: [view(7, [A, B, C], 2, B), view(3, [C, A, B], 1)],
  });
});

t.test('an answer that cannot be used is one clear line', async (t) => {
  const around = (partition: unknown): string =>
    JSON.stringify({ code: 0, msg: 'success', data: { DataPartitions: [partition] } });
  const good = { PartitionID: 1, Status: 2, Hosts: [A] };
  const cases: [string, RegExp][] = [
    ['<html>', /^its answer is no JSON: "<html>"$/],
    ['null', /^it refuses: code undefined/],
    ['{"code":7,"msg":"vol not exists","data":null}', /^it refuses: code 7, vol not exists$/],
    ['{"code":0,"msg":"success","data":null}', /^its answer holds no DataPartitions$/],
    [around(null), /^it tells of a partition null$/],
    [around({ ...good, PartitionID: 0 }), /^it tells of a partition/],
    [around({ ...good, PartitionID: 1.5 }), /^it tells of a partition/],
    [around({ ...good, Status: '2' }), /^it tells of a partition/],
    [around({ ...good, LeaderAddr: 7 }), /^it tells of a partition/],
    [around({ ...good, Hosts: [] }), /^it tells of a partition/],
    [around({ ...good, Hosts: ['nowhere'] }), /^it tells of a partition/],
    [around({ ...good, Hosts: Array(257).fill(A) }), /^it tells of a partition/],
  ];
  for (const [text, expected] of cases)
    t.match(parsePartitionView(text), { ok: false, message: expected }, text.slice(0, 60));
  t.equal(parsePartitionView(around(good)).ok, true);
});

t.test('partitions with the same hosts in the same order share a list; primaries take turns', async (t) => {
  const views = [
    view(6, [C, A, B]),
    view(1, [A, B, C]),
    view(2, [A, C, B]),
    view(3, [B, C, A], 2, 'elsewhere:1'),
    view(4, [A, B, C], 2, C),
    view(5, [C, A, B], 1),
  ];
  t.strictSame(lists(views), [
    { hosts: [A, B, C], partitions: [1, 4], leaders: [0, 2] },
    { hosts: [B, C, A], partitions: [3], leaders: [0] },
    { hosts: [C, A, B], partitions: [6], leaders: [0] },
    { hosts: [A, C, B], partitions: [2], leaders: [0] },
  ]);
  t.strictSame(
    lists(views, [5]),
    [{ hosts: [C, A, B], partitions: [5], leaders: [0] }],
    'what is asked for by its id',
  );
  t.strictSame(hostsOf(lists(views)), [A, B, C]);
  t.strictSame(hostListsOf(views, [1, 9]), { ok: false, message: 'there is no partition 9 in the volume' });
  t.strictSame(hostListsOf([view(1, [A], 1)], []), {
    ok: false,
    message: 'none of 1 partitions is read-write',
  });
});

t.test('after a failure another primary is next, if there is one', async (t) => {
  const some = lists([view(1, [A, B]), view(2, [A, C]), view(3, [B, C])]);
  t.strictSame(
    some.map(({ hosts }) => hosts[0]),
    [A, B, A],
  );
  t.equal(nextList(some, 0), 1);
  t.equal(nextList(some, 1), 2);
  t.equal(nextList(some, 2), 1, 'the list between has the same primary');
  t.equal(nextList(lists([view(1, [A, B]), view(2, [A, C])]), 0), 1, 'the same primary for all');
  t.equal(nextList(lists([view(1, [A, B])]), 0), 0);
});

t.test(
  'leaders: begun with what the master says, then one further for all when a host is not the one',
  async (t) => {
    const leaders = new Leaders(lists([view(1, [A, B, C], 2, C), view(2, [B, C, A])]));
    t.equal(leaders.of(1), 2);
    t.equal(leaders.of(2), 0, 'the first host where nobody knows');
    t.equal(leaders.after(1, 2), 0);
    t.equal(leaders.after(1, 2), 0, 'another connection has gone on already');
    t.equal(leaders.after(1, 0), 1);
    t.equal(leaders.of(1), 1);
    t.equal(leaders.of(2), 0, 'partitions are apart');
  },
);
