/** Three real nodes under random writes while the disk of one is full, or fails: its group goes on with the others, and it comes back as an equal. */
import t from 'tap';
import { IO } from '../../src/native/addon.js';
import { Random } from '../sim/random.js';
import { RaftTrio } from '../support/raftTrio.js';
import { Registers } from '../support/registers.js';

const ENOSPC = 28;
const EIO = 5;
const WRITES = 20;

/** Who loses its disk, and to what. A disk without room for its journal ends raft there until a restart, as a failing one does. */
const CASES = [
  { name: 'a follower whose disk is full', isLeader: false, fault: `value=${ENOSPC}&codes=${IO.pwrite}` },
  {
    name: 'a leader whose disk fails',
    isLeader: true,
    fault: `value=${EIO}&codes=${IO.pwrite},${IO.fdatasync}`,
  },
];

t.test('the group goes on without a full or failing disk, and is whole when it is back', async (t) => {
  const trio = await RaftTrio.start(t, 1, ['faultInjection=true']);
  const registers = new Registers(t, trio, 1, new Random(8));
  await registers.prepare();
  await trio.leader(1);
  registers.start();
  await registers.progress(WRITES);
  for (const { name, isLeader, fault } of CASES) {
    const leader = await trio.leader(1);
    const victim = isLeader ? leader : (leader + 1) % 3;
    await trio.fault(victim, `kind=errno&${fault}`);
    await trio.stopped(victim, 1);
    await registers.progress(WRITES);
    await trio.kill(victim);
    await trio.bringBack(victim);
    await trio.appliesWith(1, victim);
    await registers.progress(WRITES);
    t.pass(name);
  }
  await registers.stop();
  t.equal(await registers.verdict(), null, `${registers.acknowledged} acknowledged`);
  t.same(await trio.differences(1), []);
});
