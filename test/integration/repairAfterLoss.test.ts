/** Three real nodes under load, one of which is killed, comes back, loses its replicas and is given them anew, as after a decommission: it has all that was acknowledged, and knows it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { killUnderLoad, PARTITIONS, VICTIM } from '../support/killStory.js';
import { create as createOn } from '../support/repairRig.js';
import { deletePartition } from '../support/requests.js';
import { untilAnswer } from '../support/until.js';

t.test('pains 9: a follower that has lost its replicas is given the partitions anew', (t) =>
  killUnderLoad(t, {
    async back({ t, trio }) {
      const host = trio.hosts[VICTIM]!;
      const client = trio.client(host);
      for (const id of PARTITIONS) {
        t.equal((await client.ask(deletePartition(host, id))).resultCode, RESULT.ok);
        const { resultCode } = await client.ask(createOn(id, trio.hostsOf(id), 1, host));
        t.equal(resultCode, RESULT.ok);
      }
      await client.end();
    },
    async repaired({ t, trio }) {
      let missing = '';
      // The first host counts extents for ten minutes after their deletes.
      trio.passTime(660_000);
      for (const id of PARTITIONS) {
        const isComplete = async (): Promise<true | null> => {
          const { role, joining } = await trio.repairOf(VICTIM, id);
          missing = joining;
          return role === 'member' ? true : null;
        };
        await untilAnswer('the new replica is complete', isComplete, 20_000).catch((error: Error) => {
          throw new Error(`${error.message}: ${missing}`);
        });
        const meta = readFileSync(join(trio.folder(VICTIM, id), 'META'), 'utf8');
        t.match(meta, /"DataPartitionCreateType":0/);
      }
    },
  }),
);
