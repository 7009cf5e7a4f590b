/** Bugs planted in rounds, tasks and fetches (`plantedRepairBugs.ts`). */
import { crc32 } from 'node:zlib';
import { TINY_DELETE_RECORD_BYTES } from '../../../src/protocol/tinyDelete.js';
import { DeleteSync } from '../../../src/repair/deleteSync.js';
import { ExtentFetch } from '../../../src/repair/fetch.js';
import { Joining } from '../../../src/repair/joining.js';
import { OwnReplica } from '../../../src/repair/ownReplica.js';
import { PeerReplicas } from '../../../src/repair/peerReplica.js';
import { ServedPartition } from '../../../src/repair/servedPartition.js';
import { LOST, type PlantedRepairBug } from './plantedParts.js';

export const ROUND_BUGS: readonly PlantedRepairBug[] = [
  {
    name: 'fetch-not-synced',
    breaks: 'an extent counts as fetched before it is durable',
    planted: '`OwnReplica.sync`: asks for nothing',
    finding: /repair is done with extent \d+ on n\d, and it is not durable/,
    seed: 2,
    patch(patches) {
      patches.method(OwnReplica.prototype, 'sync', () => () => Promise.resolve());
    },
  },
  {
    name: 'place-of-piece-not-compared',
    breaks: 'a piece is written wherever the fetch is, whatever it is a piece of',
    planted: '`ExtentFetch.judge`: each piece has the offset that is expected',
    finding: LOST,
    seed: 14,
    patch(patches) {
      patches.method(ExtentFetch.prototype, 'judge', (original) => {
        return function (this: ExtentFetch, header, arg, errorText) {
          return original.call(this, Object.assign(header, { extentOffset: this.position }), arg, errorText);
        };
      });
    },
  },
  {
    name: 'checksum-of-piece-not-compared',
    breaks: 'what a piece has become on its way is written',
    planted: '`OwnReplica.append`: tells the worker the checksum of what has come',
    finding: LOST,
    seed: 81,
    patch(patches) {
      patches.method(OwnReplica.prototype, 'append', (original) => {
        return function (this: OwnReplica, extentId, offset, body) {
          return original.call(this, extentId, offset, body, crc32(body));
        };
      });
    },
  },
  {
    name: 'notification-answered-early',
    breaks: 'a member answers a notification before it has carried it out',
    planted: '`ServedPartition.runTask`: answers when the task has begun',
    finding: /has answered a notification before its work was done/,
    seed: 2,
    patch(patches) {
      patches.method(ServedPartition.prototype, 'runTask', (original) => {
        return async function (this: ServedPartition, body) {
          const run = original.call(this, body);
          await Promise.race([run, new Promise((resolve) => setTimeout(resolve, 5))]);
          return null;
        };
      });
    },
  },
  {
    name: 'silent-member-waited-for',
    breaks: 'a round waits for a member that does not answer its question',
    planted: '`PeerReplicas.list`: a failure never ends',
    finding: /do not become equal|appends are not served/,
    seed: 1,
    patch(patches) {
      patches.method(PeerReplicas.prototype, 'list', (original) => {
        return function (this: PeerReplicas, address, id, tinyIds) {
          return original.call(this, address, id, tinyIds).catch(() => new Promise<never>(() => {}));
        };
      });
    },
  },
  {
    name: 'tiny-ids-not-given-back',
    breaks: 'tiny extents that were taken for a round stay taken',
    planted: '`OwnReplica.giveBackTiny`: asks for nothing',
    finding: /appends are not served/,
    seed: 1,
    patch(patches) {
      patches.method(OwnReplica.prototype, 'giveBackTiny', () => () => Promise.resolve());
    },
  },
  {
    name: 'missed-deletes-not-done',
    breaks: 'a tiny delete that a replica has missed is read and not carried out',
    planted: '`OwnReplica.missedDelete`: asks for nothing',
    finding: /were deleted, and are on|differs at/,
    seed: 3,
    patch(patches) {
      patches.method(OwnReplica.prototype, 'missedDelete', () => () => Promise.resolve(true));
    },
  },
  {
    name: 'last-delete-left-out',
    breaks: 'a sync of tiny deletes ends before the last record',
    planted: '`DeleteSync.run`: the end that is announced is one record less',
    finding: /were deleted, and are on|differs at/,
    seed: 5,
    patch(patches) {
      patches.method(DeleteSync.prototype, 'run', (original) => {
        return function (this: DeleteSync, leader, bytes) {
          return original.call(this, leader, Math.max(0, bytes - TINY_DELETE_RECORD_BYTES));
        };
      });
    },
  },
  {
    name: 'joined-too-early',
    breaks: 'a new replica calls itself complete when it has compared the sum of sizes only',
    planted: '`Joining.look`: nothing is missing',
    finding: /is missing in a replica that has joined/,
    seed: 1,
    patch(patches) {
      patches.method(Joining.prototype, 'look', () => () => Promise.resolve({ missing: '', pauseMs: 0 }));
    },
  },
];
