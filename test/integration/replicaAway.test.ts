/** Four real nodes and a partition on three of them: one is away when its replica is removed, and misses the deletion. The master asks again when it reports the replica. */
import { readdirSync } from 'node:fs';
import t from 'tap';
import { testFolder } from '../support/nodeProcess.js';
import { Trio } from '../support/trio.js';
import { untilAnswer } from '../support/until.js';

const PARTITION = 1;
const NODES = 4;
const AWAY = 2;

t.test('a node that was away when its replica was removed deletes it when it is back', async (t) => {
  const trio = await Trio.start(t, testFolder(t), 1, NODES);
  const [a, b, c] = trio.hosts as [string, string, string];
  t.same(await trio.learnHosts(PARTITION), [a, b, c]);
  await trio.kill(AWAY);
  const deleted = await untilAnswer(
    'its group removes it',
    () => trio.askMaster<string>(`/dataReplica/delete?id=${PARTITION}&addr=${c}`).catch(() => null),
    20_000,
  );
  t.match(deleted, /successfully/);
  t.same(await trio.learnHosts(PARTITION), [a, b]);
  await trio.bringBack(AWAY);
  const hasFolder = (): boolean =>
    readdirSync(trio.disk(AWAY)).some((name) => name.startsWith(`datapartition_${PARTITION}_`));
  await untilAnswer('the folder has gone', async () => !hasFolder() || null, 20_000);
  const { partitions } = await trio.page<{ partitions: { id: number }[] }>(AWAY, '/partitions');
  t.same(partitions, [], 'main has forgotten it');
});
