/** Tasks of membership, 0x66 to 0x69, without raft: texts, codes and short cuts (`admin.md` 5.8). */
import t from 'tap';
import { answerMemberTask, hasMember } from '../../src/control/memberTasks.js';
import type { AdminReply } from '../../src/control/nodeView.js';
import { OP } from '../../src/protocol/opcodes.js';
import { resultCodeFor } from '../../src/protocol/resultCodes.js';
import { FakeView, partitionOf } from './fakeView.js';

const HERE = '10.0.0.1:17310';
const THERE = '10.0.0.2:17310';
const ELSEWHERE = '10.0.0.9:17310';
const PEERS = [
  { id: 1, addr: HERE },
  { id: 2, addr: THERE },
];
const MEMBER_OPS = [
  OP.decommissionDataPartition,
  OP.addDataPartitionRaftMember,
  OP.removeDataPartitionRaftMember,
] as const;

/** Partition 7 has two members, of which the master's list names one and a stranger; partition 8 is alone. */
function view(): FakeView {
  const fake = new FakeView();
  fake.partitionList = [
    partitionOf(7, { hosts: [HERE], peers: PEERS, replicas: [HERE, '10.0.0.8:17310'], isLeader: false }),
    partitionOf(8, { hosts: [HERE], peers: PEERS.slice(0, 1) }),
  ];
  return fake;
}

function body(Request: unknown, OpCode = 0): Buffer {
  return Buffer.from(JSON.stringify({ ID: 'x', OpCode, OperatorAddr: HERE, Request, Response: null }));
}

/** `0xf0` for OK, else code and text. */
function shown(reply: AdminReply): string {
  if (reply.ok) return '0xf0';
  return `0x${resultCodeFor(reply.action, reply.message).toString(16)} ${reply.action}_${reply.message}`;
}

const peer = (id: number, addr: string): object => ({ id, addr });

t.test('every row of the table', async (t) => {
  const noRaft = (action: string, id: number): string =>
    `0xf3 ${action}_partition ${id}: this version of the node runs no raft`;
  const cases: [string, (typeof MEMBER_OPS)[number], unknown, string][] = [
    [
      'decommission, unknown partition',
      OP.decommissionDataPartition,
      { PartitionId: 9 },
      '0xf3 ActionDecommissionPartition_partition 9 not exsit',
    ],
    [
      'add, unknown partition',
      OP.addDataPartitionRaftMember,
      { PartitionId: 9 },
      '0xfc ActionAddDataPartitionRaftMember_data partition not exists',
    ],
    [
      'remove, unknown partition',
      OP.removeDataPartitionRaftMember,
      { PartitionId: 9 },
      '0xf3 ActionRemoveDataPartitionRaftMember_partition 9 not exsit',
    ],
    [
      'add, there already',
      OP.addDataPartitionRaftMember,
      { PartitionId: 7, AddPeer: peer(3, THERE) },
      '0xf0',
    ],
    [
      'remove, gone already',
      OP.removeDataPartitionRaftMember,
      { PartitionId: 7, RemovePeer: peer(3, ELSEWHERE) },
      '0xf0',
    ],
    [
      'add, new',
      OP.addDataPartitionRaftMember,
      { PartitionId: 7, AddPeer: peer(9, ELSEWHERE) },
      noRaft('ActionAddDataPartitionRaftMember', 7),
    ],
    [
      'remove, there',
      OP.removeDataPartitionRaftMember,
      { PartitionId: 7, RemovePeer: peer(3, THERE) },
      noRaft('ActionRemoveDataPartitionRaftMember', 7),
    ],
    [
      'decommission',
      OP.decommissionDataPartition,
      { PartitionId: 7, AddPeer: peer(9, ELSEWHERE), RemovePeer: peer(3, THERE) },
      noRaft('ActionDecommissionPartition', 7),
    ],
    [
      'decommission, nobody added or removed: both ids are 0',
      OP.decommissionDataPartition,
      { PartitionId: 7 },
      '0xf3 ActionDecommissionPartition_[opOfflineDataPartition]: AddPeer({0 }) same withRemovePeer({0 })',
    ],
    [
      'decommission, has no short cut',
      OP.decommissionDataPartition,
      { PartitionId: 8, AddPeer: peer(2, HERE), RemovePeer: peer(3, ELSEWHERE) },
      noRaft('ActionDecommissionPartition', 8),
    ],
  ];
  for (const [name, opcode, request, expected] of cases)
    t.equal(shown(answerMemberTask(opcode, 1, body(request), view())), expected, name);
});

t.test(
  'the id of the Request is put into the reply, the opcode inside the task is not looked at',
  async (t) => {
    const request = { PartitionId: 7, AddPeer: peer(3, THERE) };
    const reply = answerMemberTask(OP.addDataPartitionRaftMember, 1, body(request, 99), view());
    t.match(reply, { ok: true, partitionId: 7 });
  },
);

t.test('0x69 goes by the packet header; its body is not read', async (t) => {
  const ask = (id: number, text: string): string =>
    shown(answerMemberTask(OP.dataPartitionTryToLeader, id, Buffer.from(text), view()));
  t.equal(ask(8, '{"Request":null}'), '0xf0', 'a lone replica leads');
  t.equal(ask(8, 'nonsense'), '0xf0');
  t.equal(ask(9, ''), '0xf3 ActionDataPartitionTryToLeader_partition 9 not exsit');
  t.equal(
    ask(7, ''),
    '0xf3 ActionDataPartitionTryToLeader_partition 7: this version of the node runs no raft',
  );
});

t.test('no body makes it throw, and what cannot be read is told in the words of the opcode', async (t) => {
  const bad = [
    '',
    'null',
    '[]',
    '5',
    '"x"',
    '{',
    '{"Request":5}',
    '{"Request":[]}',
    '{"Request":{"PartitionId":-1}}',
    '{"Request":{"PartitionId":"7"}}',
    '{"Request":{"PartitionId":18446744073709551615}}',
    '{"Request":{"PartitionId":7,"AddPeer":5}}',
    '{"Request":{"PartitionId":7,"RemovePeer":{"id":1.5}}}',
    `{"Request":{"PartitionId":7,"AddPeer":{"id":1,"addr":${'['.repeat(40)}${']'.repeat(40)}}}}`,
    `{"Request":${'{"a":'.repeat(50)}1${'}'.repeat(50)}}`,
    '\ufffd\ufffd',
  ];
  for (const opcode of MEMBER_OPS) {
    for (const text of bad) {
      const reply = answerMemberTask(opcode, 7, Buffer.from(text), view());
      t.notOk(reply.ok, text.slice(0, 60));
      t.match(shown(reply), /^0xf[3c] Action(Decommission|Add|Remove)\w+_./, text.slice(0, 60));
    }
  }
});

t.test('a task without a Request is about partition 0, as in the reference', async (t) => {
  t.equal(
    shown(answerMemberTask(OP.removeDataPartitionRaftMember, 7, Buffer.from('{}'), view())),
    '0xf3 ActionRemoveDataPartitionRaftMember_partition 0 not exsit',
  );
});

t.test('IsExsitReplica: the members of the group count, not the list of the master', async (t) => {
  const partition = partitionOf(7, { hosts: [HERE], peers: PEERS, replicas: [HERE, ELSEWHERE] });
  t.ok(hasMember(partition, THERE));
  t.notOk(hasMember(partition, ELSEWHERE), 'the list may be ten minutes old');
  t.notOk(hasMember(partition, THERE.slice(0, -1)), 'whole addresses');
});
