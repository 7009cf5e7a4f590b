/** Bugs planted in replication, and in what the stores do for it (`plantedRepairBugs.ts`). */
import { AppendPath } from '../../../src/partition/appendPath.js';
import { ExtentStore } from '../../../src/partition/extentStore.js';
import { EFFECT, OUTCOME, Replication } from '../../../src/server/replication.js';
import { IdBase } from '../../../src/storage/extentMeta.js';
import { LOST, type PlantedRepairBug } from './plantedParts.js';

export const REPLICA_BUGS: readonly PlantedRepairBug[] = [
  {
    name: 'answered-before-last-follower',
    breaks: 'a packet is acknowledged when all followers but one have answered',
    planted: '`Replication.begin`: one follower less is awaited',
    finding: LOST,
    seed: 1,
    patch(patches) {
      const answers = new WeakMap<Replication, Map<number, number>>();
      patches.method(Replication.prototype, 'begin', (original) => {
        return function (this: Replication, tag, followers, assigns) {
          if (!answers.has(this)) answers.set(this, new Map());
          answers.get(this)!.set(tag, followers - 1);
          return original.call(this, tag, followers - 1, assigns);
        };
      });
      for (const name of ['answered', 'failedThere'] as const)
        patches.method(Replication.prototype, name, (original) => {
          return function (this: Replication, tag) {
            const left = answers.get(this)!.get(tag)!;
            answers.get(this)!.set(tag, left - 1);
            return left > 0 && this.outcome(tag) === OUTCOME.open ? original.call(this, tag) : EFFECT.none;
          };
        });
    },
  },
  {
    name: 'follower-failure-ignored',
    breaks: 'a follower that has failed a packet, or is lost, counts as one that has done it',
    planted: '`Replication.failedThere`: the same as `answered`',
    finding: LOST,
    seed: 1,
    patch(patches) {
      patches.method(Replication.prototype, 'failedThere', () => {
        return function (this: Replication, tag) {
          return this.answered(tag);
        };
      });
    },
  },
  {
    name: 'answered-before-done-here',
    breaks: 'a packet is acknowledged when all followers have answered, done here or not',
    planted: '`Replication.answered`: the second one is the outcome',
    finding: /is acknowledged, and not|a packet ends once, and is assigned before it is done/,
    seed: 1,
    patch(patches) {
      patches.method(Replication.prototype, 'answered', (original) => {
        return function (this: Replication, tag) {
          const effect = original.call(this, tag);
          if (effect !== EFFECT.none || this.outcome(tag) !== OUTCOME.open) return effect;
          const counted = this as unknown as { left?: Map<number, number> };
          counted.left ??= new Map();
          const answered = (counted.left.get(tag) ?? 0) + 1;
          counted.left.set(tag, answered);
          return answered === 2 ? this.endedHere(tag, true) : effect;
        };
      });
      patches.method(Replication.prototype, 'endedHere', (original) => {
        return function (this: Replication, tag, ok) {
          return this.outcome(tag) === OUTCOME.open ? original.call(this, tag, ok) : EFFECT.none;
        };
      });
    },
  },
  {
    name: 'ids-of-primary-not-counted',
    breaks: 'a follower that becomes first host gives out ids that another one has given',
    planted: '`IdBase.take`: an id that a primary has told counts for nothing',
    finding: /was given out twice|has a record already/,
    seed: 1,
    patch(patches) {
      patches.method(IdBase.prototype, 'take', () => () => undefined);
    },
  },
  {
    name: 'deleted-extent-made-again',
    breaks: 'an extent that was deleted is planned again, and made again',
    planted: '`ExtentStore.isDeletedForGood`: nothing is',
    finding: /was deleted, and is on|do not become equal: extent/,
    seed: 944,
    patch(patches) {
      patches.method(ExtentStore.prototype, 'isDeletedForGood', () => () => false);
    },
  },
  {
    name: 'cut-page-kept',
    breaks: 'a tiny append that was cut short looks complete after a restart',
    planted: '`AppendPath.cutBack`: does nothing',
    finding: LOST,
    seed: 580,
    patch(patches) {
      patches.method(AppendPath.prototype as unknown as { cutBack(): void }, 'cutBack', () => () => {});
    },
  },
];
