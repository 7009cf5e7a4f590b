/** What the scripts cannot say: appends that make no sense, priorities, starts with numbers that do not fit, and whatever else a peer may send. */
import fc from 'fast-check';
import t from 'tap';
import { RAFT_MESSAGE, type RaftMessage } from '../../src/protocol/raftMessage.js';
import {
  CHANGE_TYPE,
  ENTRY_TYPE,
  encodeConfigurationChange,
  type RaftEntry,
  type RaftPeer,
} from '../../src/protocol/raftStructs.js';
import { RaftCore } from '../../src/raft/core.js';
import { leaseElection } from '../../src/raft/election.js';
import type { CoreOptions } from '../../src/raft/groupState.js';
import { RaftLog } from '../../src/raft/log.js';
import { emptyMessage } from '../../src/raft/outbox.js';

const GROUP = 5;
const NO_BYTES = new Uint8Array(0);

function peer(nodeId: number, priority = 0): RaftPeer {
  return { type: 0, priority, nodeId };
}

function entry(index: number, term: number): RaftEntry {
  return { type: ENTRY_TYPE.normal, term, index, data: NO_BYTES };
}

/** Node 1 of three with the entries 1/1 to 4/1 on disk, two of them committed and applied. */
function startCore(options: Partial<CoreOptions> = {}): RaftCore {
  return new RaftCore({
    nodeId: 1,
    group: GROUP,
    peers: [peer(1), peer(2), peer(3)],
    hardState: { term: 1, commit: 2, vote: 0 },
    log: new RaftLog({ cutIndex: 0, cutTerm: 0, lastIndex: 4, runs: [{ from: 1, term: 1 }] }),
    applied: 2,
    election: leaseElection,
    random: () => 0,
    mayVote: true,
    ...options,
  });
}

function message(type: number, from: number, fields: Partial<RaftMessage>): RaftMessage {
  return { ...emptyMessage(type, GROUP, from, 1, 1), ...fields };
}

function answersOf(core: RaftCore): RaftMessage[] {
  const output = core.takeOutput();
  core.persisted(output);
  return [...output.messages, ...output.messagesAfter];
}

t.test('an append with a gap, a falling term or one of the future is passed over', async (t) => {
  const core = startCore();
  const append = (entries: RaftEntry[]): RaftMessage =>
    message(RAFT_MESSAGE.appendRequest, 2, { term: 2, index: 4, logTerm: 1, entries });
  core.step(append([entry(5, 2)]));
  t.match(answersOf(core), [{ index: 5 }]);
  for (const entries of [
    [entry(6, 2)],
    [entry(5, 2), entry(7, 2)],
    [entry(5, 2), entry(6, 1)],
    [entry(5, 3)],
  ]) {
    core.step(append(entries));
    t.notOk(core.hasOutput, JSON.stringify(entries));
  }
  core.step(message(RAFT_MESSAGE.appendRequest, 2, { term: 2, index: 4, logTerm: 3 }));
  t.notOk(core.hasOutput, 'a previous entry of the future');
  t.equal(core.log.lastIndex, 5);
});

t.test('of an append only what is not there yet is stored', async (t) => {
  const core = startCore();
  core.step(
    message(RAFT_MESSAGE.appendRequest, 2, {
      ...{ term: 2, index: 2, logTerm: 1 },
      entries: [entry(3, 1), entry(4, 1), entry(5, 2)],
    }),
  );
  const output = core.takeOutput();
  t.strictSame(output.entries, [entry(5, 2)]);
  t.match(output.messagesAfter, [{ index: 5, reject: false }]);
});

t.test('with equal logs the vote depends on the priorities; a stranger has the highest', async (t) => {
  const ask = (from: number): RaftMessage =>
    message(RAFT_MESSAGE.voteRequest, from, { term: 2, index: 4, logTerm: 1 });
  const peers = [peer(1, 5), peer(2, 4), peer(3, 5)];
  for (const [from, reject] of [
    [2, true],
    [3, false],
    [9, false],
  ] as const) {
    const core = startCore({ peers });
    core.step(ask(from));
    t.match(answersOf(core), [{ type: RAFT_MESSAGE.voteResponse, to: from, reject }]);
  }
});

t.test('a new priority counts from the change on', async (t) => {
  const core = startCore();
  const change = { type: CHANGE_TYPE.update, peer: peer(1, 7), context: NO_BYTES };
  const raised = { ...entry(5, 2), type: ENTRY_TYPE.configurationChange };
  raised.data = encodeConfigurationChange(change);
  const append = { term: 2, index: 4, logTerm: 1, commit: 5, entries: [raised] };
  core.log.put([1, 2, 3, 4].map((index) => entry(index, 1)));
  core.step(message(RAFT_MESSAGE.appendRequest, 2, append));
  answersOf(core);
  t.equal(core.handOver(1000)?.length, 3);
  t.strictSame(core.members(), [peer(1, 7), peer(2), peer(3)]);
  core.step(message(RAFT_MESSAGE.voteRequest, 3, { term: 3, index: 5, logTerm: 2, forceVote: true }));
  t.match(answersOf(core), [{ reject: true }]);
});

t.test('a change that cannot be read changes nothing, and is not proposed', async (t) => {
  const core = startCore({ peers: [peer(1)] });
  core.log.put([1, 2, 3, 4].map((index) => entry(index, 1)));
  core.tick();
  for (let ticks = 0; ticks < 3 && !core.isLeader; ticks += 1) core.tick();
  answersOf(core);
  t.equal(core.handOver(1000)?.length, 3);
  t.match(core.propose(ENTRY_TYPE.configurationChange, [Buffer.alloc(3)]), { ok: false, message: /pending/ });
  core.appliedTo(5);
  t.match(core.propose(ENTRY_TYPE.configurationChange, [Buffer.alloc(3)]), { ok: false, message: /3 bytes/ });
  const twice = [Buffer.alloc(12), Buffer.alloc(12)];
  t.match(core.propose(ENTRY_TYPE.configurationChange, twice), { ok: false, message: /one at a time/ });
  t.strictSame(core.propose(ENTRY_TYPE.normal, [NO_BYTES, NO_BYTES]), { ok: true, firstIndex: 6, term: 2 });
  const follower = startCore();
  const unreadable = { ...entry(5, 2), type: ENTRY_TYPE.configurationChange };
  follower.log.put([1, 2, 3, 4].map((index) => entry(index, 1)));
  const append = { term: 2, index: 4, logTerm: 1, commit: 5, entries: [unreadable] };
  follower.step(message(RAFT_MESSAGE.appendRequest, 2, append));
  answersOf(follower);
  t.equal(follower.handOver(1000)?.at(-1), unreadable);
  t.equal(follower.members().length, 3);
});

t.test('a start brings commit and applied index into the log', async (t) => {
  const indexes = (commit: number, applied: number, cutIndex = 0): number[] => {
    const runs = [{ from: cutIndex + 1, term: 1 }];
    const log = new RaftLog({ cutIndex, cutTerm: Number(cutIndex > 0), lastIndex: cutIndex + 4, runs });
    const core = startCore({ hardState: { term: 1, commit, vote: 0 }, applied, log });
    return [core.log.committed, core.log.applied, core.log.handedOver];
  };
  t.strictSame(indexes(2, 1), [2, 1, 1]);
  t.strictSame(indexes(9, 1), [4, 1, 1], 'a commit behind the end');
  t.strictSame(indexes(1, 3), [3, 3, 3], 'more is applied than was known to be committed');
  t.strictSame(indexes(1, 9), [4, 4, 4], 'more is applied than there is');
  t.strictSame(indexes(1, 0, 10), [10, 10, 10], 'less is applied than was cut');
  const core = startCore({ hardState: { term: 3, commit: 9, vote: 2 } });
  t.strictSame(core.takeOutput().hardState, { term: 3, commit: 4, vote: 2 }, 'and that is stored');
  t.notOk(startCore().hasOutput, 'nothing to say where all fits');
});

t.test('who is named twice is a member once', async (t) => {
  const core = startCore({ peers: [peer(3), peer(1), peer(3)] });
  t.strictSame(core.members(), [peer(1), peer(3)]);
});

t.test('the status of a leader and of a follower', async (t) => {
  const core = startCore();
  t.match(core.status(), {
    state: 'StateFollower',
    term: 1,
    lastIndex: 4,
    commit: 2,
    applied: 2,
    replicas: null,
  });
  t.strictSame([core.downReplicas(), core.leaseTicksLeft()], [[], 0]);
  core.log.put([1, 2, 3, 4].map((index) => entry(index, 1)));
  core.campaign(false);
  core.step(message(RAFT_MESSAGE.voteResponse, 2, { term: 2 }));
  t.equal(core.state, 'electionAck');
  core.step(message(RAFT_MESSAGE.electionAckResponse, 2, { term: 2 }));
  t.match(core.status(), {
    ...{ state: 'StateLeader', leader: 1, term: 2, vote: 1, lastIndex: 5 },
    replicas: [
      { nodeId: 1, match: 4, next: 5, heardTicksAgo: 0 },
      { nodeId: 2, match: 0, next: 5, state: 'ReplicaStateProbe', paused: true, inflight: 0 },
      { nodeId: 3, match: 0, next: 5, snapshotting: false },
    ],
  });
});

t.test('who waits for old entries and then turns out to have them holds up nobody else', async (t) => {
  const core = startCore();
  core.campaign(false);
  core.step(message(RAFT_MESSAGE.voteResponse, 2, { term: 2 }));
  core.step(message(RAFT_MESSAGE.electionAckResponse, 2, { term: 2 }));
  answersOf(core);
  const answer = (from: number, fields: Partial<RaftMessage>): void =>
    core.step(message(RAFT_MESSAGE.appendResponse, from, { term: 2, ...fields }));
  answer(2, { reject: true, index: 4, rejectIndex: 3 });
  t.strictSame(core.wantsLog, { from: 4, to: 4 }, 'nothing of the old log is in memory');
  answer(2, { index: 5 });
  t.equal(core.wantsLog, null, 'the answer to an earlier append says that it has all of it');
  answer(3, { reject: true, index: 4, rejectIndex: 1 });
  t.strictSame(core.wantsLog, { from: 2, to: 4 });
  core.log.put([2, 3, 4].map((index) => entry(index, 1)));
  core.logLoaded();
  t.match(
    answersOf(core).find(({ to, entries }) => to === 3 && entries.length > 0),
    { index: 1, entries: [{ index: 2 }, { index: 3 }, { index: 4 }, { index: 5 }] },
  );
});

const small = fc.nat({ max: 7 });
const anyNumber = fc.oneof(small, small, fc.maxSafeNat());
const anyMessage = fc.record({
  type: fc.nat({ max: 16 }),
  forceVote: fc.boolean(),
  reject: fc.boolean(),
  rejectIndex: anyNumber,
  group: fc.constant(GROUP),
  from: fc.nat({ max: 4 }),
  to: fc.constantFrom(1, 1, 1, 1, 2),
  term: anyNumber,
  logTerm: anyNumber,
  index: anyNumber,
  commit: anyNumber,
  entries: fc.array(
    fc.record({
      type: fc.nat({ max: 2 }),
      term: anyNumber,
      index: anyNumber,
      data: fc.uint8Array({ maxLength: 13 }),
    }),
    { maxLength: 3 },
  ),
  context: fc.constant(NO_BYTES),
  snapshot: fc.option(
    fc.record({
      index: anyNumber,
      term: anyNumber,
      peers: fc.array(
        fc.nat({ max: 4 }).map((nodeId) => peer(nodeId)),
        { maxLength: 4 },
      ),
    }),
  ),
});

const anyEvent = fc.oneof(
  { weight: 6, arbitrary: anyMessage.map((one) => (core: RaftCore) => core.step(one)) },
  fc.constant((core: RaftCore) => core.tick()),
  fc.constant((core: RaftCore) => core.campaign(true)),
  fc.constant((core: RaftCore) => void core.propose(ENTRY_TYPE.normal, [NO_BYTES])),
  fc.nat({ max: 4 }).map((from) => (core: RaftCore) => core.heartbeatResponse(from)),
  fc.nat({ max: 4 }).map((to) => (core: RaftCore) => core.snapshotSent(to, to % 2 === 0)),
  fc.constant((core: RaftCore) => core.restored(true)),
);

t.test('whatever a peer sends, the core goes on, or stops over a committed entry', async (t) => {
  let conflicts = 0;
  const { failed, counterexample, errorInstance } = fc.check(
    fc.property(fc.array(anyEvent, { maxLength: 40 }), (events) => {
      const core = startCore();
      core.log.put([1, 2, 3, 4].map((index) => entry(index, 1)));
      for (const act of events) {
        const { term } = core;
        try {
          act(core);
        } catch (error) {
          if (!/conflicts with the committed one/.test(String(error))) throw error;
          conflicts += 1;
          return true;
        }
        if (core.term < term || core.log.committed > core.log.lastIndex) return false;
        if (core.hasOutput) core.persisted(core.takeOutput());
        const entries = core.handOver(1000);
        if (entries !== null && entries.length > 0) core.appliedTo(entries.at(-1)!.index);
      }
      return true;
    }),
    { numRuns: 3000 },
  );
  t.notOk(failed, `${errorInstance}, after ${JSON.stringify(counterexample)}`);
  t.comment(`${conflicts} runs ended with a conflict`);
});
