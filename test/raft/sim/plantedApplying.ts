/**
 * Bugs planted in what becomes of committed entries: applying, its durable side, proposers (`plantedRaftBugs.ts`).
 */
import { ApplySave } from '../../../src/partition/applySave.js';
import { MissingFile } from '../../../src/partition/missingFile.js';
import { Partition } from '../../../src/partition/partition.js';
import { ENTRY_TYPE } from '../../../src/protocol/raftStructs.js';
import { RaftCore } from '../../../src/raft/core.js';
import { GroupState } from '../../../src/raft/groupState.js';
import { RaftLog } from '../../../src/raft/log.js';
import { Waiters } from '../../../src/raft/waiters.js';
import { skipsFdatasync } from '../../crash/plantedBugs.js';
import type { PlantedRaftBug } from './plantedRaftBugs.js';

const CONTENTS_DIFFER = {
  invariant: 'convergence, linearizability',
  finding: /has another state than the leader|not linearizable|parts of two values/,
};

export const APPLY_BUGS: readonly PlantedRaftBug[] = [
  {
    name: 'applied-before-commit',
    breaks: 'entries are applied as soon as they are durable here',
    planted: '`RaftLog.handOver`: everything counts as committed',
    invariant: 'state machine safety',
    finding: /state machine safety: node \d+ applies entry \d+, which is not committed/,
    seed: 1,
    patch(patches) {
      patches.method(RaftLog.prototype, 'handOver', (original) => {
        return function (this: RaftLog, bytesMax) {
          const { committed } = this;
          this.committed = this.lastIndex;
          const entries = original.call(this, bytesMax);
          this.committed = committed;
          return entries;
        };
      });
    },
  },
  {
    name: 'applied-out-of-order',
    breaks: 'of entries that are committed together the last is applied first',
    planted: '`RaftLog.handOver`: gives them out backwards',
    invariant: 'an assertion of the state machine',
    finding: /has left its group: entries come in index order/,
    seed: 1,
    patch(patches) {
      patches.method(RaftLog.prototype, 'handOver', (original) => {
        return function (this: RaftLog, bytesMax) {
          return original.call(this, bytesMax)?.reverse() ?? null;
        };
      });
    },
  },
  {
    name: 'applied-index-ahead-of-data',
    breaks: 'APPLY is saved before what it stands for is durable',
    planted: '`ApplySave.written`: does not know which extents were changed',
    ...CONTENTS_DIFFER,
    seed: 4,
    patch(patches) {
      patches.method(ApplySave.prototype, 'written', () => () => undefined);
    },
  },
  {
    name: 'missing-ranges-not-synced',
    breaks: 'an entry that could not be carried out ends before RAFT_MISSING is durable',
    planted: 'disk: the fdatasync of RAFT_MISSING is left out',
    ...CONTENTS_DIFFER,
    seed: 70,
    disk: skipsFdatasync(/\/RAFT_MISSING$/),
  },
  {
    name: 'snapshot-not-compared',
    breaks: 'contents are not compared after a snapshot, which carries none',
    planted: '`MissingFile.wantComparison`: does nothing',
    ...CONTENTS_DIFFER,
    seed: 6,
    patch(patches) {
      patches.method(MissingFile.prototype, 'wantComparison', () => () => undefined);
    },
  },
  {
    name: 'waiter-matched-by-index',
    breaks: 'a proposal ends with whatever entry is applied at its index',
    planted: '`Waiters`: terms are not compared, and a lost leadership ends nobody',
    invariant: 'durability, linearizability',
    finding: /durability: node \d+ tells a client of a command that nobody has applied|not linearizable/,
    seed: 7,
    patch(patches) {
      patches.method(Waiters.prototype, 'leadership', () => () => undefined);
      patches.method(Waiters.prototype, 'wait', (original) => {
        return function (this: Waiters, batch, firstIndex) {
          original.call(this, batch, firstIndex, 0);
        };
      });
      patches.method(Waiters.prototype, 'applied', (original) => {
        return function (this: Waiters, index, _term, error) {
          original.call(this, index, 0, error);
        };
      });
    },
  },
  {
    name: 'removed-member-counted',
    breaks: 'a member that was removed goes on being counted and asked',
    planted: '`GroupState.removeMember`: does nothing',
    invariant: 'convergence',
    finding: /does not come to rest.*: (member|node) \d+/,
    seed: 7,
    patch(patches) {
      patches.method(GroupState.prototype, 'removeMember', () => () => undefined);
    },
  },
  {
    name: 'members-not-stored',
    breaks: 'a change of members is not there any more after a restart',
    planted: '`Partition.setMembers`: changes what is in memory only',
    invariant: 'convergence, leader completeness',
    finding: /does not come to rest.*: (member|node) \d+|election safety|leader completeness/,
    seed: 1,
    patch(patches) {
      patches.method(Partition.prototype, 'setMembers', () => {
        return function (this: Partition, peers, hosts) {
          Object.assign(this, { peers, hosts });
          return 0;
        };
      });
    },
  },
  {
    name: 'two-changes-at-once',
    breaks: 'members are changed while another change may be pending',
    planted: '`RaftCore.propose`: waits for nothing',
    invariant: 'one change at a time',
    finding: /one change at a time/,
    seed: 2,
    patch(patches) {
      const stateOf = patches.watchStates();
      patches.method(RaftCore.prototype, 'propose', (original) => {
        return function (this: RaftCore, type, data) {
          if (type === ENTRY_TYPE.configurationChange) stateOf(this).changesWaitFor = 0;
          return original.call(this, type, data);
        };
      });
    },
  },
];
