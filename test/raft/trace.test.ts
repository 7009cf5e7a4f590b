/**
 * A node of ours in the place of each node of the recorded trace, through all roles: whatever the recorded node sent, ours sends, to the same nodes in the same order.
 */

import type { Test } from 'tap';
import t from 'tap';
import { RAFT_MESSAGE } from '../../src/protocol/raftMessage.js';
import { ENTRY_TYPE } from '../../src/protocol/raftStructs.js';
import { emptyMessage } from '../../src/raft/outbox.js';
import { meaningOf, readTrace, TRACE_GROUP, TraceNode } from './trace.js';

const trace = readTrace();
/** The trace leaves out the appends between this message and the one before it: entries 7 to 206, term 4, `d0` to `d199`. */
const AFTER_THE_GAP = 93;
const GAP = { term: 4, first: 7, last: 206 };
/** Where node 2's log was cut before node 4 came. */
const CUT = 190;
/** Node 3 is away in between. */
const AWAY = 72;
const BACK = 89;
/** Node 2 proposes two changes in one batch. */
const LAST_CHANGE = 109;

/** What happens inside the node before a message of the trace. */
type Inside = Readonly<Record<number, (node: TraceNode) => void>>;

/** Plays [from, to) of the trace to a node. Returns how many of its messages were compared. */
function play(t: Test, node: TraceNode, from: number, to: number, inside: Inside = {}): number {
  let compared = 0;
  for (const { seq, message } of trace) {
    if (seq < from || seq >= to) continue;
    inside[seq]?.(node);
    node.settle();
    if (message.to === node.id) node.receive(message);
    if (message.from !== node.id) continue;
    const ours = node.nextTo(message.to);
    t.strictSame(ours && meaningOf(ours), meaningOf(message), `message ${seq}`);
    compared += 1;
  }
  return compared;
}

const campaign = ({ core }: TraceNode): void => core.campaign(false);
const heartbeat = (node: TraceNode): void => node.heartbeat();

function propose(type: number, ...data: Uint8Array[]): (node: TraceNode) => void {
  return ({ core }) => {
    const proposed = core.propose(type, data);
    if (!proposed.ok) throw new Error(proposed.message);
  };
}

const command = (text: string): ((node: TraceNode) => void) => propose(ENTRY_TYPE.normal, Buffer.from(text));

const GAP_DATA = Array.from({ length: GAP.last - GAP.first + 1 }, (_, i) => Buffer.from(`d${i}`));

/** The entries that the trace leaves out reach a follower. */
function followThroughGap(node: TraceNode): void {
  const append = emptyMessage(RAFT_MESSAGE.appendRequest, TRACE_GROUP, 2, node.id, GAP.term);
  append.index = GAP.first - 1;
  append.logTerm = GAP.term;
  append.commit = GAP.last;
  append.entries = GAP_DATA.map((data, i) => {
    return { type: ENTRY_TYPE.normal, term: GAP.term, index: GAP.first + i, data };
  });
  node.receive(append);
  node.forget();
}

/** They are proposed by the leader and acknowledged; then the log is cut, and a member added. */
function leadThroughGap(node: TraceNode): void {
  propose(ENTRY_TYPE.normal, ...GAP_DATA)(node);
  for (const from of [1, 3]) {
    const answer = emptyMessage(RAFT_MESSAGE.appendResponse, TRACE_GROUP, from, node.id, GAP.term);
    answer.index = GAP.last;
    answer.commit = GAP.last;
    node.receive(answer);
  }
  node.forget();
  node.core.compact(CUT);
  propose(ENTRY_TYPE.configurationChange, trace[AFTER_THE_GAP]!.message.entries[0]!.data)(node);
}

t.test('node 1: follower, candidate, follower of others', async (t) => {
  const node = new TraceNode(1, [1, 2, 3]);
  const before = play(t, node, 0, AFTER_THE_GAP, { 72: campaign });
  t.strictSame(node.left(), [], 'and nothing else');
  followThroughGap(node);
  const after = play(t, node, AFTER_THE_GAP, trace.length);
  t.strictSame(node.left(), [], 'and nothing else');
  t.equal(before + after, 29);
});

t.test('node 2: leader, follower, candidate, leader with a new member and a snapshot', async (t) => {
  const node = new TraceNode(2, [1, 2, 3]);
  const compared = play(t, node, 0, LAST_CHANGE, {
    ...{ 0: campaign, 20: heartbeat, 24: heartbeat, 28: command('c0'), 33: command('c1'), 37: command('c2') },
    ...{ 52: heartbeat, 72: campaign, 78: campaign },
    89({ core }) {
      // The first answer after a lost append only says that it may be asked again.
      core.tick();
      core.heartbeatResponse(3);
      core.heartbeatResponse(3);
    },
    [AFTER_THE_GAP]: leadThroughGap,
    101: ({ core }) => core.heartbeatResponse(4),
  });
  t.equal(compared, 51);
  // Here the recorded leader takes two configuration changes at once, and makes the second an empty entry. Ours refuses the second.
  propose(ENTRY_TYPE.configurationChange, trace[LAST_CHANGE]!.message.entries[0]!.data)(node);
  const second = node.core.propose(ENTRY_TYPE.configurationChange, [Buffer.alloc(12)]);
  t.match(second, { ok: false, message: /pending/ });
});

t.test('node 3: candidate, follower, forced to lead, away, follower again', async (t) => {
  const node = new TraceNode(3, [1, 2, 3]);
  const led = play(t, node, 0, AWAY, { 0: campaign, 56: ({ core }) => core.campaign(true) });
  t.strictSame(node.left(), [], 'and nothing else');
  node.restart();
  const followed = play(t, node, BACK, AFTER_THE_GAP);
  followThroughGap(node);
  const after = play(t, node, AFTER_THE_GAP, trace.length);
  t.strictSame(node.left(), [], 'and nothing else');
  t.equal(led + followed + after, 29);
});

t.test('node 4: a new member takes a snapshot, and is removed again', async (t) => {
  const node = new TraceNode(4, [1, 2, 3, 4]);
  t.equal(play(t, node, 0, trace.length), 6);
  t.strictSame(node.left(), [], 'and nothing else');
  t.strictSame(
    node.core.members().map(({ nodeId }) => nodeId),
    [1, 2, 3],
  );
});
