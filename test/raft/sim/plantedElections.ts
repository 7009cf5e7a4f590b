/**
 * Bugs planted in elections and in what a node remembers of them (`plantedRaftBugs.ts`).
 */
import { RAFT_MESSAGE, type RaftMessage } from '../../../src/protocol/raftMessage.js';
import { leaseElection } from '../../../src/raft/election.js';
import { GroupPlan } from '../../../src/raft/journalReplay.js';
import { RaftLog } from '../../../src/raft/log.js';
import { Outbox } from '../../../src/raft/outbox.js';
import type { PlantedRaftBug } from './plantedRaftBugs.js';

const FORGOTTEN = {
  invariant: 'durability',
  finding: /durability: a node (in term \d+ comes back|that voted for \d+ in term)/,
};
/** Who wins too early leads before its own vote is durable. */
const TWO_LEADERS = {
  invariant: 'election safety, leader completeness, log matching, durability',
  finding:
    /election safety: nodes \d+ and \d+ both lead|leader completeness|log matching|durability: a node in term/,
};
const INCOMPLETE = {
  invariant: 'leader completeness, state machine safety',
  finding: /leader completeness|conflicts with the committed|others have one of term/,
};
/** Nobody has it. */
const PHANTOM = -1;

const isGrant = ({ type, reject }: RaftMessage): boolean => type === RAFT_MESSAGE.voteResponse && !reject;

export const ELECTION_BUGS: readonly PlantedRaftBug[] = [
  {
    name: 'vote-given-twice',
    breaks: 'a node votes in a term in which it has voted',
    planted: '`leaseElection.step`: looks at no vote that was given',
    invariant: 'election safety',
    finding: /election safety: a node votes for \d+ in term \d+, and voted for/,
    seed: 2,
    patch(patches) {
      patches.method(leaseElection, 'step', (original) => (group, message) => {
        const { vote } = group;
        if (message.type === RAFT_MESSAGE.voteRequest) group.vote = 0;
        original(group, message);
        if (group.vote === 0) group.vote = vote;
      });
    },
  },
  {
    name: 'vote-not-journaled',
    breaks: 'term and vote are told before they are in the journal',
    planted: '`Outbox.take`: never says that an output must be synced',
    ...FORGOTTEN,
    seed: 1,
    patch(patches) {
      patches.method(Outbox.prototype, 'take', (original) => {
        return function (this: Outbox, term, vote, log) {
          return { ...original.call(this, term, vote, log), mustSync: false };
        };
      });
    },
  },
  {
    name: 'vote-lost-at-restart',
    breaks: 'recovery brings the term back and not the vote',
    planted: '`GroupPlan.hardState`: the vote is 0',
    ...FORGOTTEN,
    seed: 1,
    patch(patches) {
      patches.getter(GroupPlan.prototype, 'hardState', (original) => (plan) => {
        const hardState = original(plan);
        return hardState && { ...hardState, vote: 0 };
      });
    },
  },
  {
    name: 'vote-counted-twice',
    breaks: 'one grant counts as two',
    planted: '`leaseElection.step`: each grant is put down under a second name',
    ...TWO_LEADERS,
    seed: 46,
    patch(patches) {
      patches.method(leaseElection, 'step', (original) => (group, message) => {
        if (isGrant(message)) group.votes.set(-message.from, true);
        original(group, message);
      });
    },
  },
  {
    name: 'vote-quorum-too-small',
    breaks: 'a candidate wins with one vote less than a majority, and leads with one ack less',
    planted: '`leaseElection.step`: a node that is not there votes for everybody',
    ...TWO_LEADERS,
    seed: 9,
    patch(patches) {
      patches.method(leaseElection, 'step', (original) => (group, message) => {
        if (group.state === 'candidate') group.votes.set(PHANTOM, true);
        if (group.state === 'electionAck') group.acks.add(PHANTOM);
        original(group, message);
      });
    },
  },
  {
    name: 'old-votes-kept',
    breaks: 'grants of earlier campaigns count in later ones',
    planted: '`GroupState.votes`: is never cleared',
    ...TWO_LEADERS,
    seed: 44,
    patch(patches) {
      patches.watchStates(({ votes }) => {
        votes.clear = () => undefined;
      });
    },
  },
  {
    name: 'log-not-compared',
    breaks: 'a candidate whose log is behind gets votes',
    planted: '`RaftLog.compareEnd`: every log is far enough',
    ...INCOMPLETE,
    seed: 1,
    patch(patches) {
      patches.method(RaftLog.prototype, 'compareEnd', () => () => 1);
    },
  },
];
