/** Three real nodes under random writes while the disk of one is full, or fails: its group goes on with the others, and it comes back as an equal. */
import t, { type Test } from 'tap';
import { IO } from '../../src/native/addon.js';
import { Random } from '../sim/random.js';
import { RaftTrio } from '../support/raftTrio.js';
import { Registers } from '../support/registers.js';

const ENOSPC = 28;
const EIO = 5;
const WRITES = 20;

/** Whose disk fails. Raft ends there until a restart. */
const FAILING = `value=${EIO}&codes=${IO.pwrite},${IO.fdatasync}`;
/** Whose disk has no room, not even for what is there. */
const FULL = `value=${ENOSPC}&codes=${IO.pwrite}`;

async function scene(t: Test, seed: number): Promise<{ trio: RaftTrio; registers: Registers }> {
  const trio = await RaftTrio.start(t, 1, ['faultInjection=true']);
  const registers = new Registers(t, trio, 1, new Random(seed));
  await registers.prepare();
  await trio.leader(1);
  registers.start();
  await registers.progress(WRITES);
  return { trio, registers };
}

async function end(t: Test, { trio, registers }: { trio: RaftTrio; registers: Registers }): Promise<void> {
  await registers.progress(WRITES);
  await registers.stop();
  t.equal(await registers.verdict(), null, `${registers.acknowledged} acknowledged`);
  t.same(await trio.differences(1), []);
}

t.test('the group goes on without a failing disk, and is whole when it is back', async (t) => {
  const { trio, registers } = await scene(t, 8);
  const victim = await trio.leader(1);
  await trio.fault(victim, `kind=errno&${FAILING}`);
  await trio.stopped(victim, 1);
  await registers.progress(WRITES);
  await trio.kill(victim);
  await trio.bringBack(victim);
  await trio.appliesWith(1, victim);
  await end(t, { trio, registers });
});

t.test(
  'a full follower, a full leader: writes go on through the others, and it goes on when there is room',
  async (t) => {
    const { trio, registers } = await scene(t, 9);
    for (const isLeader of [false, true]) {
      const leader = await trio.leader(1);
      const victim = isLeader ? leader : (leader + 1) % 3;
      const others = [0, 1, 2].filter((node) => node !== victim);
      await trio.fault(victim, `kind=errno&${FULL}`);
      await trio.leader(1, others);
      await registers.progress(WRITES);
      await trio.fault(victim, 'kind=clear');
      await trio.appliesWith(1, victim);
      t.equal((await trio.status(victim, 1)).Stopped, false, 'its group has not ended');
    }
    await end(t, { trio, registers });
  },
);
