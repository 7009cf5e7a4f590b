/** A node killed at random moments under load loses nothing that it acknowledged. `test/long/killUnderLoad.ts` does the same hundreds of times. */
import { closeSync, openSync, readdirSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Random } from '../sim/random.js';
import { crashRounds } from '../support/crashRounds.js';
import { restart, startStandalone } from '../support/nodeProcess.js';
import { StoreLoad } from '../support/storeLoad.js';

const ROUNDS = 3;
const seed = Number(process.env['EXTENTD_TEST_SEED'] ?? Date.now() % 1_000_000);

t.test(`${ROUNDS} kills under load`, async (t) => {
  const report = await crashRounds(t, ROUNDS, seed);
  t.strictSame(report.problems, [], `seed ${seed} (EXTENTD_TEST_SEED=${seed} runs it again)`);
  t.equal(report.rounds, ROUNDS);
  t.ok(report.appends > 0 && report.syncs > 0 && report.extents > 0, JSON.stringify(report));
});

t.test('the check notices lost bytes, foreign bytes and an id that comes twice', async (t) => {
  const node = await startStandalone(t);
  const load = new StoreLoad(new Random(seed));
  await load.run(node.port, { partitions: [1], syncShare: 0.1, connections: 3 }, () => {
    if (load.appends >= 300) load.stop();
  });
  t.strictSame(await load.verify(node.port, load.extents), [], 'nothing is wrong before');
  await node.process.kill();
  const root = join(node.folder, 'disk1');
  const folder = join(root, readdirSync(root).find((name) => name.startsWith('datapartition_'))!);
  const [first, second] = load.extents.filter(({ ackedBytes }) => ackedBytes > 10);
  truncateSync(join(folder, String(first!.extentId)), first!.ackedBytes - 1);
  const fd = openSync(join(folder, String(second!.extentId)), 'r+');
  writeSync(fd, Buffer.from([0]), 0, 1, second!.ackedBytes - 5);
  writeSync(fd, Buffer.from([1]), 0, 1, second!.ackedBytes - 4);
  closeSync(fd);
  const again = await restart(t, node, {});
  const wrong = await load.verify(again.port, [second!, first!]);
  t.match(wrong[0], /wrong content/);
  t.match(wrong[1], /an error in place of acknowledged bytes|EOF/);
});
