/** Tasks of membership, 0x66 to 0x69, on the main thread: what a packet asks for, texts and codes, and what is passed on to the leader (`admin.md` 5.8). */
import t, { type Test } from 'tap';
import { LEADER_LIMITS } from '../../src/control/leaderCall.js';
import {
  afterChange,
  answerMemberTask,
  type MemberTaskOptions,
  memberStep,
} from '../../src/control/memberTasks.js';
import type { AdminReply } from '../../src/control/nodeView.js';
import { forwardedBy } from '../../src/protocol/adminTask.js';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT, resultCodeFor } from '../../src/protocol/resultCodes.js';
import { FakeLeader } from './fakeLeader.js';
import { FakeView, partitionOf } from './fakeView.js';

const HERE = '10.0.0.1:17310';
const THERE = '10.0.0.2:17310';
const NOBODY = { id: 0, addr: '' };
const MEMBER_OPS = [
  OP.decommissionDataPartition,
  OP.addDataPartitionRaftMember,
  OP.removeDataPartitionRaftMember,
] as const;
const ADD = OP.addDataPartitionRaftMember;
const NOT_HERE = { ok: false, message: 'no raft leader' } as const;

/** Partition 7 is here. */
function view(): FakeView {
  const fake = new FakeView();
  fake.partitionList = [partitionOf(7)];
  return fake;
}

function options(change: Partial<MemberTaskOptions> = {}): MemberTaskOptions {
  return { nodeView: view(), address: HERE, ...change };
}

function body(Request: unknown, envelope: object = {}): Buffer {
  return Buffer.from(JSON.stringify({ ID: 'x', OpCode: 99, ...envelope, Request, Response: null }));
}

/** `0xf0` for OK, else code and text. */
function shown(reply: AdminReply): string {
  if (reply.ok) return '0xf0';
  if ('resultCode' in reply) return `0x${reply.resultCode.toString(16)} ${Buffer.from(reply.body)}`;
  return `0x${resultCodeFor(reply.action, reply.message).toString(16)} ${reply.action}_${reply.message}`;
}

t.test('a packet is a question to the worker, of its kind and with its members', async (t) => {
  const addPeer = { id: 9, addr: THERE };
  const removePeer = { id: 3, addr: HERE };
  const request = { PartitionId: 7, AddPeer: addPeer, RemovePeer: removePeer };
  for (const [opcode, what] of [
    [MEMBER_OPS[0], 'decommission'],
    [MEMBER_OPS[1], 'add'],
    [MEMBER_OPS[2], 'remove'],
  ] as const) {
    const change = { partitionId: 7, addPeer, removePeer };
    const expected = { kind: 'change', what, change, passedOn: false };
    t.strictSame(memberStep(opcode, body(request), view()), expected, 'the opcode inside is not looked at');
    const one = { PartitionId: 7, RemovePeer: removePeer };
    t.match(memberStep(opcode, body(one), view()), { change: { addPeer: NOBODY, removePeer } });
    const marked = body(request, { ForwardedBy: THERE });
    t.match(memberStep(opcode, marked, view()), { passedOn: true });
  }
});

t.test('an unknown partition has two texts, and with them two codes', async (t) => {
  for (const [opcode, expected] of [
    [MEMBER_OPS[0], '0xf3 ActionDecommissionPartition_partition 9 not exsit'],
    [MEMBER_OPS[1], '0xfc ActionAddDataPartitionRaftMember_data partition not exists'],
    [MEMBER_OPS[2], '0xf3 ActionRemoveDataPartitionRaftMember_partition 9 not exsit'],
  ] as const)
    t.equal(shown(await answerMemberTask(opcode, 1, body({ PartitionId: 9 }), options())), expected);
  t.equal(
    shown(await answerMemberTask(MEMBER_OPS[2], 7, Buffer.from('{}'), options())),
    '0xf3 ActionRemoveDataPartitionRaftMember_partition 0 not exsit',
    'a task without a Request is about partition 0, as in the reference',
  );
});

t.test('one for itself is refused, whoever leads; nobody for nobody too', async (t) => {
  const same = { PartitionId: 7, AddPeer: { id: 3, addr: THERE }, RemovePeer: { id: 3, addr: HERE } };
  const head = '0xf3 ActionDecommissionPartition_[opOfflineDataPartition]: ';
  for (const [request, expected] of [
    [same, `${head}AddPeer({3 ${THERE}}) same withRemovePeer({3 ${HERE}})`],
    [{ PartitionId: 7 }, `${head}AddPeer({0 }) same withRemovePeer({0 })`],
  ] as const) {
    const reply = await answerMemberTask(MEMBER_OPS[0], 1, body(request), options());
    t.equal(shown(reply), expected);
    t.equal(reply.partitionId, 7);
  }
});

t.test('what follows from the answer of the worker', async (t) => {
  const refused = { kind: 'refused', message: 'raft is not the leader.' };
  const led = (value: string) => ({ ok: true, value }) as const;
  for (const [outcome, passedOn, expected, why] of [
    [led(''), false, { kind: 'done' }, 'done here'],
    [led(''), true, { kind: 'done' }, 'done here for another node'],
    [led(THERE), false, { kind: 'passOn', to: THERE }, 'led elsewhere'],
    [led(THERE), true, refused, 'nothing is passed on twice'],
    [led(HERE), false, refused, 'nor to this node itself'],
    [NOT_HERE, false, { kind: 'refused', message: 'no raft leader' }, 'nobody leads'],
  ] as const)
    t.strictSame(afterChange(outcome, passedOn, HERE), expected, why);
});

t.test('done here, or refused here: the id of the Request stands in the reply', async (t) => {
  const nodeView = view();
  const request = { PartitionId: 7, AddPeer: { id: 3, addr: THERE } };
  const reply = await answerMemberTask(ADD, 1, body(request), options({ nodeView }));
  t.match(reply, { ok: true, partitionId: 7 });
  t.match(nodeView.memberChanges, [
    { kind: 'add', change: { partitionId: 7, addPeer: { id: 3, addr: THERE } } },
  ]);
  nodeView.memberOutcome = async () => NOT_HERE;
  const refused = await answerMemberTask(ADD, 1, body(request), options({ nodeView }));
  t.equal(shown(refused), '0xf3 ActionAddDataPartitionRaftMember_no raft leader');
  t.equal(refused.partitionId, 7);
  nodeView.memberOutcome = () => new Promise(() => {});
  const leaderLimits = { dialMs: 10, totalMs: 10 };
  t.match(
    shown(await answerMemberTask(ADD, 1, body(request), options({ nodeView, leaderLimits }))),
    'the change was not applied within 10 ms',
    'a change without a majority is not waited for',
  );
});

async function leader(t: Test, nodeView: FakeView): Promise<FakeLeader> {
  const one = await FakeLeader.listen();
  t.teardown(() => one.close());
  nodeView.memberOutcome = async () => ({ ok: true, value: one.address });
  return one;
}

t.test('led elsewhere: the packet goes there, and its code and body come back', async (t) => {
  const nodeView = view();
  const there = await leader(t, nodeView);
  // Beyond what a number holds: what is passed on is what came.
  const text = `{"ID":"x","OpCode":103,"Request":{"PartitionId":7,"AddPeer":{"id":9,"addr":"${THERE}"},"New":18446744073709551615}}`;
  const packet = Buffer.from(text);
  const reply = await answerMemberTask(ADD, 5, packet, options({ nodeView }));
  t.match(reply, { ok: true, partitionId: 7 });
  t.match(there.packets, [{ opcode: ADD, partitionId: 5, extentType: 0 }]);
  const sent = there.packets[0]!.body;
  t.equal(forwardedBy(sent), HERE, 'with a mark');
  t.equal(sent.toString(), text.replace('{', `{"ForwardedBy":"${HERE}",`), 'and nothing else changed');
  there.answer = { resultCode: RESULT.tryOtherAddr, body: 'ActionX_raft is not the leader.' };
  const refused = await answerMemberTask(ADD, 5, packet, options({ nodeView }));
  t.equal(shown(refused), '0xfc ActionX_raft is not the leader.');
  t.equal(refused.partitionId, 7);
});

t.test('two nodes that each take the other for the leader end it', async (t) => {
  const nodeView = view();
  const there = await leader(t, nodeView);
  const request = { PartitionId: 7, AddPeer: { id: 9, addr: THERE } };
  await answerMemberTask(ADD, 7, body(request), options({ nodeView }));
  const [passedOn] = there.packets;
  const back = await answerMemberTask(ADD, 7, passedOn!.body, options({ nodeView }));
  t.equal(shown(back), '0xfc ActionAddDataPartitionRaftMember_raft is not the leader.');
  t.equal(there.packets.length, 1);
});

t.test('a leader that does not answer, or nonsense, is an error in time', async (t) => {
  const nodeView = view();
  const there = await leader(t, nodeView);
  const ask = async (totalMs = LEADER_LIMITS.totalMs): Promise<string> =>
    shown(
      await answerMemberTask(
        ADD,
        7,
        body({ PartitionId: 7 }),
        options({ nodeView, leaderLimits: { dialMs: 3_000, totalMs } }),
      ),
    );
  const head = `0xf3 ActionAddDataPartitionRaftMember_raft leader ${there.address}: `;
  there.answer = null;
  t.equal(await ask(50), `${head}no answer within 50 ms`);
  there.answer = Buffer.alloc(60);
  t.equal(await ask(), `${head}Bad Magic 0`);
  there.answer = { resultCode: RESULT.ok, body: '', reqId: 1 };
  t.equal(await ask(), `${head}an answer to another packet`);
  there.answer = 'close';
  t.match(await ask(), `${head}`);
  await there.close();
  t.match(await ask(), `${head}connect ECONNREFUSED`);
  nodeView.memberOutcome = async () => ({ ok: true, value: 'nowhere' });
  t.match(await ask(), 'nowhere: no address');
  t.strictSame(LEADER_LIMITS, { dialMs: 3_000, totalMs: 60_000 });
});

t.test('0x69 goes by the packet header; its body is not read', async (t) => {
  const nodeView = view();
  const asked: number[] = [];
  nodeView.leadOutcome = async (id) => {
    asked.push(id);
    return { ok: true, value: null };
  };
  const ask = async (id: number, text: string): Promise<string> =>
    shown(await answerMemberTask(OP.dataPartitionTryToLeader, id, Buffer.from(text), options({ nodeView })));
  t.equal(await ask(7, '{"Request":null}'), '0xf0');
  t.equal(await ask(7, 'nonsense'), '0xf0');
  t.equal(await ask(9, ''), '0xf3 ActionDataPartitionTryToLeader_partition 9 not exsit');
  t.same(asked, [7, 7]);
  nodeView.leadOutcome = async () => ({ ok: false, message: 'raft not exists.' });
  t.equal(await ask(7, ''), '0xf3 ActionDataPartitionTryToLeader_raft not exists.');
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
      const reply = await answerMemberTask(opcode, 7, Buffer.from(text), options());
      t.notOk(reply.ok, text.slice(0, 60));
      t.match(shown(reply), /^0xf[3c] Action(Decommission|Add|Remove)\w+_./, text.slice(0, 60));
    }
  }
});

t.test('a mark that is no address counts as one', async (t) => {
  t.match(memberStep(ADD, body({ PartitionId: 7 }, { ForwardedBy: 5 }), view()), { passedOn: true });
});
