/**
 * Bugs planted in the log and in what is committed of it (`plantedRaftBugs.ts`).
 */
import { RAFT_MESSAGE, type RaftMessage } from '../../../src/protocol/raftMessage.js';
import { RaftCore } from '../../../src/raft/core.js';
import { GroupState } from '../../../src/raft/groupState.js';
import { Outbox } from '../../../src/raft/outbox.js';
import { quorumOf } from '../../../src/raft/quorum.js';
import type { PlantedRaftBug } from './plantedRaftBugs.js';

const NO_MAJORITY = { invariant: 'commit rule', finding: /commit rule: .* which no majority has/ };
const LOGS_DIFFER = {
  invariant: 'log matching, state machine safety',
  finding: /log matching|conflicts with the committed|others have one of term/,
};

const isAppend = ({ type }: RaftMessage): boolean => type === RAFT_MESSAGE.appendRequest;
const isAck = ({ type, reject }: RaftMessage): boolean => type === RAFT_MESSAGE.appendResponse && !reject;

/** Commits the highest index that a majority of the members has, or would have with `more` matches. */
function commitReached({ members, log }: GroupState, more: readonly number[] = []): void {
  const matches = [...members.map(({ match }) => match), ...more].sort((a, b) => b - a);
  const reached = matches[quorumOf(members.length) - 1]!;
  if (reached > log.committed) log.commitTo(reached);
}

export const REPLICATION_BUGS: readonly PlantedRaftBug[] = [
  {
    name: 'acknowledged-before-durable',
    breaks: 'answers leave before what they promise is durable',
    planted: '`Outbox.sendAfter`: the same as `sendNow`',
    invariant: 'durability',
    finding: /durability: a node (acknowledged|in term|that voted)/,
    seed: 1,
    patch(patches) {
      patches.method(Outbox.prototype, 'sendAfter', () => Outbox.prototype.sendNow);
    },
  },
  {
    name: 'acknowledges-too-much',
    breaks: 'a follower acknowledges an entry that it does not have',
    planted: '`Outbox.sendAfter`: acknowledgements name the entry behind',
    invariant: 'durability',
    finding: /durability: node \d+ acknowledged entry/,
    seed: 1,
    patch(patches) {
      patches.method(Outbox.prototype, 'sendAfter', (original) => {
        return function (this: Outbox, message) {
          original.call(this, isAck(message) ? { ...message, index: message.index + 1 } : message);
        };
      });
    },
  },
  {
    name: 'own-match-before-durable',
    breaks: 'a leader counts its own entries before they are durable here',
    planted: "`GroupState.message`: the leader's own match is the end of its log",
    ...NO_MAJORITY,
    seed: 2,
    patch(patches) {
      patches.method(GroupState.prototype, 'message', (original) => {
        return function (this: GroupState, type, to) {
          if (this.isLeader && this.self !== null) this.self.match = this.log.lastIndex;
          return original.call(this, type, to);
        };
      });
    },
  },
  {
    name: 'match-counted-twice',
    breaks: 'an acknowledged entry counts for two members',
    planted: '`RaftCore.step`: the match of who answers is there twice when the commit is looked for',
    ...NO_MAJORITY,
    seed: 1,
    patch(patches) {
      const stateOf = patches.watchStates();
      patches.method(RaftCore.prototype, 'step', (original) => {
        return function (this: RaftCore, message) {
          original.call(this, message);
          const member = this.isLeader && isAck(message) ? stateOf(this).member(message.from) : null;
          const isOwn = member !== null && this.log.term(member.match) === this.term;
          if (isOwn) commitReached(stateOf(this), [member.match]);
        };
      });
    },
  },
  {
    name: 'old-term-committed-by-count',
    breaks: 'a leader commits an entry of an earlier term because a majority has it',
    planted: '`RaftCore.step`: the commit rule without its term',
    invariant: 'commit rule',
    finding: /commit rule: node \d+ of term \d+ commits entry/,
    seed: 10,
    patch(patches) {
      const stateOf = patches.watchStates();
      patches.method(RaftCore.prototype, 'step', (original) => {
        return function (this: RaftCore, message) {
          original.call(this, message);
          if (this.isLeader && isAck(message)) commitReached(stateOf(this));
        };
      });
    },
  },
  {
    name: 'stale-append-taken',
    breaks: 'a follower takes entries of a leader whose term is over',
    planted: '`RaftCore.step`: appends get the present term',
    ...LOGS_DIFFER,
    seed: 7,
    patch(patches) {
      patches.method(RaftCore.prototype, 'step', (original) => {
        return function (this: RaftCore, message) {
          const isOld = isAppend(message) && message.term < this.term;
          original.call(this, isOld ? { ...message, term: this.term } : message);
        };
      });
    },
  },
  {
    name: 'previous-entry-not-compared',
    breaks: 'a follower takes entries behind one that is not that of the leader',
    planted: '`RaftCore.step`: the previous entry of an append always has the right term',
    ...LOGS_DIFFER,
    seed: 3,
    patch(patches) {
      patches.method(RaftCore.prototype, 'step', (original) => {
        return function (this: RaftCore, message) {
          const term = this.log.term(message.index);
          const isBlind = isAppend(message) && term > 0;
          original.call(this, isBlind ? { ...message, logTerm: term } : message);
        };
      });
    },
  },
  {
    name: 'late-append-cuts-log',
    breaks: 'a late append cuts off the entries that came after it',
    planted: '`RaftCore.step`: the last entry of an append is put into the log again',
    invariant: 'durability, leader completeness',
    finding: /durability: node \d+ acknowledged entry|leader completeness/,
    seed: 4,
    patch(patches) {
      patches.method(RaftCore.prototype, 'step', (original) => {
        return function (this: RaftCore, message) {
          original.call(this, message);
          const last = isAppend(message) ? message.entries.at(-1) : undefined;
          const isTaken = last !== undefined && !this.isLeader && message.term === this.term;
          const isKnown = isTaken && this.log.term(last.index) === last.term;
          if (isKnown && last.index < this.log.lastIndex && last.index > this.log.committed)
            this.log.append([last]);
        };
      });
    },
  },
  {
    name: 'commit-beyond-append',
    breaks: "a follower commits what stands in its log up to the leader's commit, compared or not",
    planted: '`RaftCore.step`: the commit of an append goes up to the end of the log here',
    invariant: 'state machine safety',
    finding: /state machine safety: node \d+ has committed|conflicts with the committed/,
    seed: 3,
    patch(patches) {
      patches.method(RaftCore.prototype, 'step', (original) => {
        return function (this: RaftCore, message) {
          original.call(this, message);
          if (isAppend(message) && !this.isLeader && message.term === this.term)
            this.log.commitTo(Math.min(message.commit, this.log.lastIndex));
        };
      });
    },
  },
  {
    name: 'snapshot-behind-commit-taken',
    breaks: 'a snapshot takes the place of entries that were committed here',
    planted: '`RaftCore.step`: the log looks empty to a snapshot',
    invariant: 'state machine safety',
    finding:
      /state machine safety: node \d+ (takes back its commit|takes a snapshot at|replaces entry)|entries come in index order/,
    seed: 232,
    patch(patches) {
      patches.method(RaftCore.prototype, 'step', (original) => {
        return function (this: RaftCore, message) {
          const meta = message.snapshot;
          const { committed, generation } = this.log;
          const isBehind = meta !== null && meta.index > 0 && meta.index <= committed;
          if (!isBehind) return original.call(this, message);
          this.log.committed = meta.index - 1;
          Object.assign(this.log, { term: () => -1 });
          original.call(this, message);
          Reflect.deleteProperty(this.log, 'term');
          if (this.log.generation === generation) this.log.committed = committed;
        };
      });
    },
  },
];
