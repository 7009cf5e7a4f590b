/** Three real nodes under load, one of which is killed and comes back with a bit turned on its disk: it serves no wrong bytes, and has the right ones again. */
import { readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { killUnderLoad, moreIsAcknowledged, PARTITIONS, VICTIM } from '../support/killStory.js';
import { read } from '../support/requests.js';
import { until } from '../support/until.js';

/** Longer than extents must have been left alone for their checksums to be computed. */
const LEFT_ALONE_MS = 660_000;

t.test('pains 11: a bit turns on the disk of a follower while it is down', (t) => {
  const partitionId = PARTITIONS[0]!;
  let damaged = 0;
  return killUnderLoad(t, {
    async before({ trio, ledgers }) {
      await Promise.all(ledgers.map((ledger) => ledger.stop()));
      damaged = ledgers[0]!.nextExtentWith(200_000);
      trio.passTime(LEFT_ALONE_MS);
      await until('it is known to be unchanged', () => trio.isClean(VICTIM, partitionId, damaged), 30_000);
      for (const ledger of ledgers) ledger.start();
      await moreIsAcknowledged(ledgers, ['normal']);
    },
    damage({ trio }) {
      const path = join(trio.folder(VICTIM, partitionId), String(damaged));
      const bytes = readFileSync(path);
      bytes[70_000]! ^= 4;
      // The disk does it: the file's time stays, of which milliseconds count.
      const seconds = (Math.floor(statSync(path).mtimeMs) + 0.5) / 1000;
      writeFileSync(path, bytes);
      utimesSync(path, seconds, seconds);
    },
    async back({ t, trio }) {
      const client = trio.client(trio.hosts[VICTIM]!);
      const served = await client.ask(read(partitionId, damaged, 0, 131_072, OP.streamFollowerRead));
      await client.end();
      const right = trio.extents(0, partitionId).get(damaged)!.subarray(0, 131_072);
      // It waits for the heal, unless the node does not know its hosts yet.
      if (served.resultCode === RESULT.ok) t.ok(right.equals(served.body), 'nobody is given wrong bytes');
      else t.match(served.body.toString(), /is damaged/);
      await until(
        'the block is healed',
        () => {
          const [victim, ...well] = [VICTIM, 0, 1].map(
            (node) => trio.extents(node, partitionId).get(damaged)!,
          );
          return well.every((one) => one.equals(victim!));
        },
        60_000,
      );
    },
  });
});
