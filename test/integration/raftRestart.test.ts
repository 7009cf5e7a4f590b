/** Three real nodes that all end at once, by kill -9 under random writes, and come back: everything acknowledged is there, on each of them. */
import t from 'tap';
import { Random } from '../sim/random.js';
import { RaftTrio } from '../support/raftTrio.js';
import { Registers } from '../support/registers.js';

t.test('kill -9 of all three at once, twice', async (t) => {
  const random = new Random(5);
  const trio = await RaftTrio.start(t, 2);
  const groups = [1, 2].map((id) => new Registers(t, trio, id, random));
  for (const registers of groups) {
    await registers.prepare();
    await trio.leader(registers.partitionId);
  }
  for (let round = 0; round < 2; round++) {
    for (const registers of groups) registers.start();
    await Promise.all(groups.map((registers) => registers.progress(40)));
    await trio.kill(0, 1, 2);
    await Promise.all(groups.map((registers) => registers.stop()));
    await Promise.all([0, 1, 2].map((node) => trio.bringBack(node)));
    for (const registers of groups) {
      await trio.leader(registers.partitionId);
      t.equal(await registers.verdict(), null, `partition ${registers.partitionId}, after kill ${round + 1}`);
    }
  }
  for (const { partitionId } of groups) t.same(await trio.differences(partitionId), []);
});
