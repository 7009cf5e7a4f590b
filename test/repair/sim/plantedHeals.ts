/** Bugs planted in healing (`plantedRepairBugs.ts`). */
import { ChecksumFindings } from '../../../src/partition/checksumFindings.js';
import { Healer } from '../../../src/repair/healer.js';
import { OwnReplica } from '../../../src/repair/ownReplica.js';
import { PeerBlocks } from '../../../src/repair/peerBlocks.js';
import type { PlantedRepairBug } from './plantedParts.js';

export const HEAL_BUGS: readonly PlantedRepairBug[] = [
  {
    name: 'findings-not-asked-for',
    breaks: 'blocks that reads and the scrub have found are not looked at',
    planted: '`OwnReplica.findings`: there are none',
    finding: /nobody has healed block/,
    seed: 4,
    patch(patches) {
      patches.method(OwnReplica.prototype, 'findings', () => () => Promise.resolve([]));
    },
  },
  {
    name: 'no-verdict-not-told',
    breaks: 'nobody is told of a block of which nobody can say what is right',
    planted: '`Healer.healExtent`: its report names none',
    finding: /and nobody is told/,
    seed: 6,
    patch(patches) {
      patches.method(Healer.prototype, 'healExtent', (original) => {
        return async function (this: Healer, extentId, blocks, hosts) {
          return { ...(await original.call(this, extentId, blocks, hosts)), noVerdict: [] };
        };
      });
    },
  },
  {
    name: 'damaged-block-served',
    breaks: 'a block that is not what its trusted checksum says is served',
    planted: '`ChecksumFindings.mismatch`: no extent is trusted',
    finding: /serves block \d+ of extent \d+, which is damaged/,
    seed: 45,
    patch(patches) {
      patches.method(ChecksumFindings.prototype, 'mismatch', (original) => {
        return function (this: ChecksumFindings, store, row, block) {
          original.call(this, store, row, block);
          return false;
        };
      });
    },
  },
  {
    name: 'healed-without-majority',
    breaks: 'a block is replaced by what one other replica has',
    planted: '`PeerBlocks.readBlock`: all hosts answer what the first one does',
    finding: /was changed on n\d, and nobody knew how|nobody has healed block/,
    seed: 6,
    patch(patches) {
      const first = new WeakMap<PeerBlocks, string>();
      patches.method(PeerBlocks.prototype, 'readBlock', (original) => {
        return function (this: PeerBlocks, address, extentId, offset, bytes) {
          if (!first.has(this)) first.set(this, address);
          return original.call(this, first.get(this)!, extentId, offset, bytes);
        };
      });
    },
  },
  {
    name: 'content-of-loser-written',
    breaks: 'a block that has lost its vote is written again as it was',
    planted: '`OwnReplica.healBlock`: is told done, and nothing is written',
    finding: /nobody has healed block/,
    seed: 4,
    patch(patches) {
      patches.method(OwnReplica.prototype, 'healBlock', () => () => Promise.resolve());
    },
  },
];
