/**
 * Four real nodes under load, the first host of a partition is killed and comes back: clients recover as those of the reference do, nothing acknowledged is lost, nothing is given out twice, and after repair replicas are equal.
 */
import t, { type Test } from 'tap';
import { FileClient } from '../support/fileClient.js';
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
import { until } from '../support/until.js';

/** First host of partition 1, follower in 3 and 4, and no host of 2. */
const VICTIM = 0;
const PARTITIONS = [1, 2, 3, 4];
const WITHOUT_VICTIM = 2;
/** What makes a client of v1.4.0 send again what it has not been acknowledged: any failure of the connection, and any answer but OK; these are what they may be here. */
const EXPECTED_FAILURE =
  /^(connection|time-out|0xf3 Action(ReceiveFromFollower|SendToFollowers)_.*|0xf3 .*no available extent.*)$/s;

t.test('the first host is killed under load and comes back', async (t) => {
  const trio = await Trio.start(t, testFolder(t), PARTITIONS.length, 4);
  const [killed, unharmed, follower] = [1, WITHOUT_VICTIM, 3].map((id) => new Ledger(trio, id));
  const ledgers = [killed!, unharmed!, follower!];
  const hit = [killed!, follower!];
  const scene = { t, trio, ledgers };
  const clients = [1, 2, 3].map((seed) => new FileClient(trio, PARTITIONS, seed));
  stopWith(t, [...ledgers, ...clients]);
  for (const one of [...ledgers, ...clients]) one.start();
  await moreIsAcknowledged(ledgers, ['normal', 'tiny']);
  for (const ledger of ledgers) await deleteSome(t, ledger);
  await moreFiles(clients);
  await moreIsAcknowledged(ledgers, ['normal', 'tiny']);

  const unharmedFailed = { ...unharmed!.failed };
  const failed = hit.map((ledger) => ({ ...ledger.failed }));
  await trio.kill(VICTIM);
  await clientsHaveNoticed(hit, failed);
  const deletes = await Promise.all(hit.map((ledger) => deleteInVain(t, ledger)));
  await moreFiles(clients);
  await moreIsAcknowledged([unharmed!], ['normal', 'tiny']);
  t.strictSame(unharmed!.failed, unharmedFailed, 'where the node is no host nothing fails');
  t.ok(
    clients.every(({ failures }) => failures.length > 0),
    'each client has met the failure',
  );
  await filesAreRead(t, clients, 'while the node is down');

  await trio.bringBack(VICTIM);
  await moreIsAcknowledged(ledgers, ['normal']);
  const before = clients.map(({ keys }) => keys.length);
  await until('clients use the partition again', () =>
    clients.every(({ keys }, i) => keys.slice(before[i]).some(({ partitionId }) => partitionId === 1)),
  );
  await Promise.all([...ledgers, ...clients].map((one) => one.stop()));
  t.strictSame(
    clients.map(({ givenUp }) => givenUp),
    [0, 0, 0],
    'no file got an error',
  );
  const strange = clients.flatMap(({ failures }) => failures).filter((text) => !EXPECTED_FAILURE.test(text));
  t.strictSame(strange, [], 'failures are of the kinds that clients expect');

  trio.passTime();
  await nothingComesBack(t, trio, follower!.partitionId, deletes[1]!.extentId);
  for (const { again } of deletes) await again();
  for (const id of PARTITIONS) await roundsMakeEqual(scene, id);
  await expectEqual(scene, 'after repair');
  for (const id of PARTITIONS) {
    const keys = clients.flatMap(({ keys }) => keys).filter(({ partitionId }) => partitionId === id);
    t.ok(keys.length > 0);
    for (const node of trio.nodesOf(id)) {
      const extents = trio.extents(node, id);
      const lost = keys.filter(({ extentId, extentOffset, body }) => {
        const bytes = extents.get(extentId)?.subarray(extentOffset, extentOffset + body.length);
        return bytes === undefined || !bytes.equals(body);
      });
      t.equal(lost.length, 0, `partition ${id} of node ${node + 1} has all that clients have written`);
    }
  }
  await loadAgain(scene);
  t.strictSame(await trio.stop(), [0, 0], 'all end well');
});

/** The first host has carried out a delete that the node which was killed has not heard of: rounds do not bring the extent back to it. */
async function nothingComesBack(t: Test, trio: Trio, partitionId: number, extentId: number): Promise<void> {
  await trio.runRounds(partitionId);
  const [first] = trio.nodesOf(partitionId);
  t.notOk(trio.extents(first!, partitionId).has(extentId), 'it stays deleted at the first host');
  t.ok(trio.extents(VICTIM, partitionId).has(extentId), 'and is still where nobody has deleted it');
}

/** Each client writes some more files. */
async function moreFiles(clients: readonly FileClient[]): Promise<void> {
  const before = clients.map(({ files }) => files);
  await until('more files', () => clients.every(({ files }, i) => files > before[i]! + 10), 30_000);
}

/** Some files of each client can be read. */
async function filesAreRead(t: Test, clients: readonly FileClient[], when: string): Promise<void> {
  for (const client of clients) {
    const step = Math.ceil(client.keys.length / 20);
    const some = client.keys.filter((_, i) => i % step === 0);
    for (const key of some) {
      if (!(await client.reads(key)))
        t.fail(`${when}: extent ${key.partitionId}/${key.extentId} is not read`);
    }
    t.ok(some.length > 0, `${when}: files are read`);
  }
}
