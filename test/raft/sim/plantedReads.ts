/**
 * Bugs planted in reads that have to be of the present (`plantedRaftBugs.ts`): all of them give an old value to somebody.
 */
import { RaftCore } from '../../../src/raft/core.js';
import type { PlantedRaftBug } from './plantedRaftBugs.js';

const STALE = { invariant: 'linearizability', finding: /not linearizable/ };
const ALWAYS = Number.MAX_SAFE_INTEGER;

export const READ_BUGS: readonly PlantedRaftBug[] = [
  {
    name: 'read-unasked',
    breaks: 'a leader that may be deposed answers reads without asking anybody',
    planted: '`RaftCore.confirmedRound`: every round is confirmed',
    ...STALE,
    seed: 66,
    patch(patches) {
      patches.getter(RaftCore.prototype, 'confirmedRound', () => () => ALWAYS);
    },
  },
  {
    name: 'read-under-lease',
    breaks: 'a leader answers reads because it has heard a majority lately',
    planted: '`RaftCore.confirmedRound`: every round is confirmed while the lease has ticks left',
    ...STALE,
    seed: 66,
    patch(patches) {
      patches.getter(
        RaftCore.prototype,
        'confirmedRound',
        (original) => (core) => (core.leaseTicksLeft() > 0 ? ALWAYS : original(core)),
      );
    },
  },
  {
    name: 'read-before-applied',
    breaks: 'a leader answers reads before it has applied what is committed',
    planted: '`RaftCore.askWhetherLeading`: nothing to be applied first',
    ...STALE,
    seed: 52,
    patch(patches) {
      patches.method(RaftCore.prototype, 'askWhetherLeading', (original) => {
        return function (this: RaftCore) {
          const round = original.call(this);
          return round && { ...round, index: 0 };
        };
      });
    },
  },
  {
    name: 'read-before-own-commit',
    breaks: 'a new leader answers reads before it knows what is committed',
    planted: '`RaftCore.askWhetherLeading`: the commit of now, whosever term it is of',
    ...STALE,
    seed: 52,
    patch(patches) {
      patches.method(RaftCore.prototype, 'askWhetherLeading', (original) => {
        return function (this: RaftCore) {
          const round = original.call(this);
          return round && { ...round, index: this.log.committed };
        };
      });
    },
  },
];
