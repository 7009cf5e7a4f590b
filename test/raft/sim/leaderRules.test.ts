/** The rules by which leaders commit and change members: what keeps them passes, and each way to break them is told. */
import t from 'tap';
import { RAFT_MESSAGE, type RaftMessage } from '../../../src/protocol/raftMessage.js';
import { ENTRY_TYPE, type RaftEntry } from '../../../src/protocol/raftStructs.js';
import { emptyMessage } from '../../../src/raft/outbox.js';
import { LeaderRules, type LeadingCore } from './leaderRules.js';

const TERM = 3;
/** Entries up to here are of term 2. */
const OLD_TO = 4;
const LAST = 9;

function ack(from: number, index: number, fields: Partial<RaftMessage> = {}): RaftMessage {
  return { ...emptyMessage(RAFT_MESSAGE.appendResponse, 1, from, 1, TERM), index, ...fields };
}

/** Node 1, which leads unless told otherwise. */
function core(
  committed: number,
  { durable = committed, nodes = [1, 2, 3], isLeader = true, changes = [] as readonly number[] } = {},
): LeadingCore {
  const term = (index: number): number => (index <= OLD_TO ? 2 : TERM);
  const type = (index: number): number =>
    changes.includes(index) ? ENTRY_TYPE.configurationChange : ENTRY_TYPE.normal;
  const inMemory = (index: number): RaftEntry => ({
    ...{ type: type(index), term: term(index), index, data: new Uint8Array(0) },
  });
  return {
    ...{ term: TERM, isLeader, members: () => nodes.map((nodeId) => ({ nodeId })) },
    log: { lastIndex: LAST, committed, durable, term, inMemory },
  };
}

/** A leader that has committed nothing by itself, with these answers on their way. */
function led(...answers: readonly RaftMessage[]): LeaderRules {
  const rule = new LeaderRules();
  rule.observe(1, core(3));
  for (const answer of answers) rule.sent(answer.from, answer);
  return rule;
}

t.test('what a majority has may be committed', async (t) => {
  t.doesNotThrow(() => led(ack(2, 5)).observe(1, core(5)));
  t.doesNotThrow(() => led(ack(2, 6), ack(3, 5)).observe(1, core(5, { durable: 4 })), 'without the leader');
  const nodes = [1, 2, 3, 4];
  t.doesNotThrow(() => led(ack(2, 5)).observe(1, core(5, { nodes })), 'a member is added by this entry');
  const removing = new LeaderRules();
  removing.observe(1, core(3, { nodes }));
  removing.sent(2, ack(2, 5));
  t.doesNotThrow(() => removing.observe(1, core(5)), 'a member is removed, so that fewer are a majority');
});

t.test('who does not lead is told what is committed', async (t) => {
  const rule = new LeaderRules();
  rule.observe(1, core(3, { isLeader: false }));
  t.doesNotThrow(() => rule.observe(1, core(5, { isLeader: false })));
  t.doesNotThrow(() => rule.observe(1, core(5)), 'a new leader has it from before');
});

t.test('what no majority has is not', async (t) => {
  const wrong = /commit rule: node 1 commits entry 5, which no majority has/;
  t.throws(() => led().observe(1, core(5)), wrong);
  t.throws(() => led(ack(2, 5)).observe(1, core(5, { durable: 4 })), wrong, 'it is not durable here');
  t.throws(() => led(ack(2, 4)).observe(1, core(5)), wrong, 'less was acknowledged');
  t.throws(
    () => led(ack(2, 5), ack(2, 5)).observe(1, core(5, { durable: 4 })),
    wrong,
    'one node counts once',
  );
  t.throws(() => led(ack(2, 5, { reject: true })).observe(1, core(5)), wrong, 'a refusal');
  t.throws(() => led(ack(2, 5, { term: 2 })).observe(1, core(5)), wrong, 'an answer of an earlier term');
  t.throws(() => led(ack(4, 5)).observe(1, core(5)), wrong, 'of a stranger');
});

t.test('an entry of an earlier term is not', async (t) => {
  const wrong = /commit rule: node 1 of term 3 commits entry 4 of term 2/;
  t.throws(() => led(ack(2, 4), ack(3, 4)).observe(1, core(4)), wrong);
});

t.test('members are changed when the change before is committed', async (t) => {
  const changing = (committed: number, ...changes: number[]): void => {
    const rules = new LeaderRules();
    rules.observe(1, core(committed));
    rules.observe(1, core(committed, { changes }));
  };
  t.doesNotThrow(() => changing(5, 7));
  t.doesNotThrow(() => changing(6, 6, 8), 'the one before is committed');
  t.doesNotThrow(() => changing(3, 4), 'one of an earlier leader');
  const wrong = /one change at a time: node 1 changes members at 8, and has committed [35] only/;
  t.throws(() => changing(5, 7, 8), wrong);
  t.throws(() => changing(3, 4, 8), wrong, 'that of an earlier leader is pending');
  t.throws(() => changing(3, 8), wrong, 'nothing of its term is committed');
});
