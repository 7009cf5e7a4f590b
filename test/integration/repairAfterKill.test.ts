/** Three real nodes under load, one of which is killed and comes back, with its disk as it was or with less on it: after repair the replicas are equal, and what was acknowledged is on all of them. */
import { truncateSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { killUnderLoad, VICTIM } from '../support/killStory.js';

t.test('a follower is killed under load and comes back: replicas are equal, tiny extents are writable', (t) =>
  killUnderLoad(t, {}),
);

t.test('a follower comes back with extents that have lost their ends', (t) =>
  killUnderLoad(t, {
    damage({ trio, ledgers }) {
      for (const ledger of ledgers) {
        const folder = trio.folder(VICTIM, ledger.partitionId);
        const [normal] = [...ledger.extents].find(
          ([id, bytes]) => bytes > 500_000 && !ledger.deleted.has(id),
        )!;
        truncateSync(join(folder, String(normal)), 200_001);
        const { extentId, offset } = ledger.tiny.find((one) => one.deleted === 'no' && one.offset > 0)!;
        truncateSync(join(folder, String(extentId)), offset);
      }
    },
  }),
);
