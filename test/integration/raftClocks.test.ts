/** Real nodes whose wall clocks jump while clients write and read: raft goes by clocks that do not jump, so nothing acknowledged is lost and no read is old. */
import t from 'tap';
import { Random } from '../sim/random.js';
import { RaftTrio } from '../support/raftTrio.js';
import { Registers } from '../support/registers.js';

const SECOND_MS = 1000;
const HOUR_MS = 3600 * SECOND_MS;
/** Small ones, which leases and deadlines would notice; and those of a clock that was never set. */
const JUMPS_MS = [-5, 2, 61, -61, 24 * 3600, -24 * 3600, 0, -3 * 365 * 24 * 3600].map(
  (seconds) => seconds * SECOND_MS,
);

t.test(
  'clocks that jump ahead and back, each by itself: writes go on, and reads are never old',
  async (t) => {
    const trio = await RaftTrio.start(t, 1, [], true);
    const random = new Random(11);
    const registers = new Registers(t, trio, 1, random);
    await registers.prepare();
    registers.start();
    await registers.progress(20);
    // The leader first: everything goes by it.
    const leader = await trio.leader(1);
    trio.setClock(leader, HOUR_MS);
    await registers.progress(20);
    const { Replicas } = await trio.status(leader, 1);
    const seenMs = Object.values(Replicas ?? {}).map(({ LastActive }) => Date.parse(LastActive) - Date.now());
    t.ok(Math.max(...seenMs) > HOUR_MS / 2, 'its clock has jumped, and it leads');
    trio.setClock(leader, -HOUR_MS);
    await registers.progress(20);
    for (const jumpMs of JUMPS_MS) {
      trio.setClock(random.below(3), jumpMs);
      await registers.progress(15);
    }
    await registers.stop();
    t.equal(await registers.verdict(), null, `${registers.acknowledged} acknowledged`);
    t.same(await trio.differences(1), []);
  },
);
