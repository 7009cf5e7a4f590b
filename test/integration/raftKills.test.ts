/** Three real nodes under random writes and reads while their processes are killed: what clients were told can be explained by one order, and all replicas end equal. */
import t from 'tap';
import { Random } from '../sim/random.js';
import { RaftTrio } from '../support/raftTrio.js';
import { Registers } from '../support/registers.js';

const SEED = Number(process.env['RAFT_SEED'] ?? 11);
const ROUND_WRITES = 30;

t.test('kill -9 of leaders and followers under random writes', async (t) => {
  const random = new Random(SEED);
  const trio = await RaftTrio.start(t, 1);
  const registers = new Registers(t, trio, 1, random);
  await registers.prepare();
  await trio.leader(1);
  registers.start();
  await registers.progress(ROUND_WRITES);
  // Both kinds twice, in any order.
  const leaderFirst = random.chance(0.5);
  for (const ofLeader of [leaderFirst, !leaderFirst, random.chance(0.5)]) {
    const leader = await trio.leader(1);
    const victim = ofLeader ? leader : (leader + 1 + random.below(2)) % 3;
    await trio.kill(victim);
    await registers.progress(ROUND_WRITES);
    await trio.bringBack(victim);
    await registers.progress(ROUND_WRITES);
  }
  await registers.stop();
  t.equal(await registers.verdict(), null, `seed ${SEED}, ${registers.acknowledged} acknowledged`);
  t.same(await trio.differences(1), []);
});
