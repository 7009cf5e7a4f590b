/**
 * Three real nodes under a master that names another first host, as after one was lost: the new one runs the rounds, the old one stands back when it comes again, and where one has not heard of it yet, two of them run
 * rounds side by side. Clients go by the master's list; what they were acknowledged is on every replica in the end.
 */
import { readdirSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { RepairRole } from '../../src/repair/messages.js';
import { FakeCluster } from '../support/fakeMaster/cluster.js';
import {
  clientsHaveNoticed,
  deleteInVain,
  deleteSome,
  expectEqual,
  loadAgain,
  moreIsAcknowledged,
  roundsMakeEqual,
  stopWith,
} from '../support/killStory.js';
import { Ledger } from '../support/ledger.js';
import { testFolder } from '../support/nodeProcess.js';
import { Trio } from '../support/trio.js';
import { untilAnswer } from '../support/until.js';

const PARTITION = 1;
const ROUNDS_MAX = 24;

/** A node goes by a list of hosts, and is this by it. */
async function isBy(trio: Trio, node: number, role: RepairRole): Promise<void> {
  await untilAnswer(
    `node ${node + 1} is ${role}`,
    async () => ((await trio.repairOf(node, PARTITION)).role === role ? true : null),
    20_000,
  );
}

/** A node asks for its hosts when it starts. */
async function learns(trio: Trio, node: number, role: RepairRole): Promise<void> {
  await trio.kill(node, 'SIGTERM');
  await trio.bringBack(node);
  await isBy(trio, node, role);
}

/** A node loses the ends of its normal extents while it is down. */
async function cut(trio: Trio, node: number): Promise<void> {
  await trio.kill(node);
  const folder = trio.folder(node, PARTITION);
  for (const name of readdirSync(folder).filter((one) => Number(one) > 64))
    truncateSync(join(folder, name), Math.floor(statSync(join(folder, name)).size / 2));
  await trio.bringBack(node);
}

t.test('the master names another first host, twice', async (t) => {
  const cluster = await FakeCluster.start(t);
  const trio = await Trio.under(t, cluster, testFolder(t), [[0, 1, 2]]);
  const ledger = new Ledger(trio, PARTITION);
  const scene = { t, trio, ledgers: [ledger] };
  stopWith(t, [ledger]);
  ledger.start();
  await moreIsAcknowledged([ledger], ['normal', 'tiny']);
  await deleteSome(t, ledger);
  await moreIsAcknowledged([ledger], ['normal', 'tiny']);

  // The first host is lost under load, and the next one takes its place.
  const failed = { ...ledger.failed };
  await trio.kill(0);
  await clientsHaveNoticed([ledger], [failed]);
  const deleted = await deleteInVain(t, ledger);
  trio.reorder(cluster, PARTITION, [1, 2, 0]);
  await learns(trio, 1, 'primary');
  const alone = await trio.runRounds(PARTITION);
  const absent = [{ address: trio.hosts[0] }];
  t.match(alone, { lastNormal: { report: { absent } }, lastTiny: { report: { absent, good: 0 } } });

  await trio.bringBack(0);
  await moreIsAcknowledged([ledger], ['normal']);
  await ledger.stop();
  await deleted.again();
  await isBy(trio, 0, 'member');
  trio.passTime();
  await roundsMakeEqual(scene, PARTITION);
  await expectEqual(scene, 'after the rounds of the new first host');
  await loadAgain(scene);

  // Another one, and the one before has not heard of it: both run rounds, of a replica that lacks much, under load.
  trio.reorder(cluster, PARTITION, [2, 0, 1]);
  await learns(trio, 2, 'primary');
  await isBy(trio, 1, 'primary');
  trio.passTime();
  await cut(trio, 0);
  ledger.start();
  await moreIsAcknowledged([ledger], ['normal']);
  await Promise.all([trio.runRounds(PARTITION, 2), trio.runRounds(PARTITION, 1)]);
  await moreIsAcknowledged([ledger], ['normal']);
  await ledger.stop();
  trio.passTime();
  for (let left = ROUNDS_MAX; ; left -= 1) {
    if (left === 0) throw new Error('rounds of two first hosts do not make replicas equal');
    await Promise.all([trio.runRounds(PARTITION, 2), trio.runRounds(PARTITION, 1)]);
    if (trio.areEqual(PARTITION)) break;
  }
  await expectEqual(scene, 'after rounds of two first hosts');

  await loadAgain(scene);
  await isBy(trio, 0, 'member');
  await trio.beginRounds(0);
  const lost = await trio.repairOf(0, PARTITION);
  t.match(
    lost,
    { role: 'member', lastNormal: null, lastTiny: null },
    'the one that was lost has run no round',
  );
  t.strictSame(await trio.stop(), [0, 0, 0], 'all end well');
});
