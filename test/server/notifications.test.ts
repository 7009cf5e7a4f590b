/** Bodies of notifications on the network thread: bounded in number and bytes, given back when they are answered or dropped. */
import t from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { LocalAnswers } from '../../src/server/localAnswers.js';
import type { NetworkThread } from '../../src/server/networkThread.js';
import { notified, type Repairer } from '../../src/server/repairer.js';

const MiB = 1024 * 1024;
const answers = (): LocalAnswers =>
  new LocalAnswers({} as NetworkThread, { handle: async () => ({ ok: true, body: new Uint8Array(0) }) });

t.test('bytes and number of notifications are bounded; the master’s tasks are not counted', async (t) => {
  const bytes = answers();
  const large = Array.from({ length: 4 }, () => bytes.takeBody(OP.notifyReplicasToRepair, 16 * MiB)!);
  t.ok(large.every((body) => body.length === 16 * MiB));
  t.equal(bytes.takeBody(OP.notifyReplicasToRepair, 1), null);
  t.not(bytes.takeBody(OP.dataNodeHeartbeat, 100), null);
  t.equal(bytes.dropBody(large[0]!), null);
  t.not(bytes.takeBody(OP.notifyReplicasToRepair, 16 * MiB), null, 'what was given back is there again');
  const number = answers();
  const small = Array.from({ length: 512 }, () => number.takeBody(OP.notifyReplicasToRepair, 0)!);
  t.equal(number.takeBody(OP.notifyReplicasToRepair, 0), null);
  number.dropBody(small[7]!);
  number.dropBody(small[7]!);
  t.not(number.takeBody(OP.notifyReplicasToRepair, 0), null);
  t.equal(number.takeBody(OP.notifyReplicasToRepair, 0), null, 'given back twice counts once');
});

t.test(
  'a notification is answered by whoever repairs, and with an error as long as there is nobody',
  async (t) => {
    const body = Buffer.from('{}');
    t.match(await notified(null, 7, body), {
      ok: false,
      action: 'ActionRepair:',
      message: 'the node is starting',
      partitionId: 7,
    });
    const repairer = (failure: string | null) => ({ task: async () => failure }) as unknown as Repairer;
    t.match(await notified(repairer('no'), 7, body), { ok: false, action: 'ActionRepair:', message: 'no' });
    t.match(await notified(repairer(null), 7, body), { ok: true, partitionId: 7 });
  },
);
