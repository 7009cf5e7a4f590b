/** Bugs planted where raft meets replication and repair (`plantedRepairBugs.ts`). */
import { ApplySave } from '../../../src/partition/applySave.js';
import type { Operation } from '../../../src/partition/operation.js';
import { Partition } from '../../../src/partition/partition.js';
import { AppliedPeers } from '../../../src/repair/appliedPeers.js';
import { OwnReplica } from '../../../src/repair/ownReplica.js';
import { WorkerGroup } from '../../../src/workers/raftGroup.js';
import { RaftGroups } from '../../../src/workers/raftGroups.js';
import type { PlantedRepairBug } from './plantedParts.js';

/** What random writes have left is not there, or not everywhere. */
const WRITES_LOST =
  /random writes are not linearizable|has lost cell \d+|cell \d+ of extent \d+ differs|differs at \d+ on/;

export const GROUP_BUGS: readonly PlantedRepairBug[] = [
  {
    name: 'log-cut-without-slowest',
    breaks: 'logs are cut although a replica has not said what it has applied',
    planted: '`AppliedPeers.appliedId`: who does not answer, or has applied nothing, needs nothing',
    finding: /has cut its log up to \d+, and n\d has applied/,
    seed: 3,
    patch(patches) {
      patches.method(AppliedPeers.prototype, 'appliedId', (original) => {
        return async function (this: AppliedPeers, address, partitionId) {
          const index = await original.call(this, address, partitionId).catch(() => 0);
          return index === 0 ? Number.MAX_SAFE_INTEGER : index;
        };
      });
      patches.method(AppliedPeers.prototype, 'tellLeast', (original) => {
        return function (this: AppliedPeers, address, partitionId, leastId) {
          return original.call(this, address, partitionId, leastId).catch(() => {});
        };
      });
    },
  },
  {
    name: 'group-begun-while-joining',
    breaks: 'a new replica takes part in its group before it is complete',
    planted: '`RaftGroups.begin`: whatever the create type is',
    finding: /takes part in its group, and is not complete/,
    seed: 1,
    patch(patches) {
      patches.method(RaftGroups.prototype, 'begin', (original) => {
        return function (this: RaftGroups, partition) {
          const { createType } = partition;
          partition.createType = 0;
          original.call(this, partition);
          partition.createType = createType;
        };
      });
    },
  },
  {
    name: 'applied-index-before-data',
    breaks: 'APPLY is saved before what it stands for is durable',
    planted: '`ApplySave.written`: does not know which extents were changed',
    finding: WRITES_LOST,
    seed: 55,
    patch(patches) {
      patches.method(ApplySave.prototype, 'written', () => () => {});
    },
  },
  {
    name: 'members-not-in-meta',
    breaks: 'a change of members is not there any more after a restart',
    planted: '`Partition.setMembers`: changes what is in memory only',
    finding:
      /META of n\d has the members|the group of n\d has the members|still joins|is no member of its group/,
    seed: 6,
    patch(patches) {
      patches.method(Partition.prototype, 'setMembers', () => {
        return function (this: Partition, peers, hosts) {
          Object.assign(this, { peers, hosts, createType: 0 });
          return 0;
        };
      });
    },
  },
  {
    name: 'equal-bytes-stay-missing',
    breaks: 'what is missing here and was found to be as on the others stays missing',
    planted: '`OwnReplica.notMissing`: asks for nothing',
    finding: /n\d misses \d+ ranges/,
    seed: 6,
    patch(patches) {
      patches.method(OwnReplica.prototype, 'notMissing', () => () => Promise.resolve());
    },
  },
  {
    name: 'comparison-never-begun',
    breaks: 'the comparison that a snapshot asks for is not begun',
    planted: '`OwnReplica.compareAll`: asks for nothing',
    finding: /n\d misses \d+ ranges, and compares from/,
    seed: 1,
    patch(patches) {
      patches.method(OwnReplica.prototype, 'compareAll', () => () => Promise.resolve());
    },
  },
  {
    name: 'group-not-begun-when-joined',
    breaks: 'a new replica that is complete does not take part in its group before a restart',
    planted: '`RaftGroups.joined`: does nothing',
    finding: /n\d has no group yet/,
    seed: 1,
    patch(patches) {
      patches.method(RaftGroups.prototype, 'joined', () => () => {});
    },
  },
  {
    name: 'reads-of-any-node',
    breaks: 'a read of the leader is answered by whoever is asked',
    planted: '`Partition.readNewest`: reads what is here',
    finding: WRITES_LOST,
    seed: 13,
    patch(patches) {
      const partition = Partition.prototype as unknown as { readNewest(op: Operation): void };
      patches.method(partition, 'readNewest', () => {
        return function (this: Partition, op) {
          this.readConfirmed(op);
        };
      });
    },
  },
  {
    name: 'write-answered-when-proposed',
    breaks: 'a random write is acknowledged as soon as it is proposed',
    planted: '`WorkerGroup.propose`: done at once',
    finding: WRITES_LOST,
    seed: 5,
    patch(patches) {
      patches.method(WorkerGroup.prototype, 'propose', (original) => {
        return function (this: WorkerGroup, command, done) {
          original.call(this, command, () => {});
          done(null);
        };
      });
    },
  },
];
