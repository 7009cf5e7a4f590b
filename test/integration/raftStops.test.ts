/** Real nodes that stand still or are cut off: the others go on, and a leader that was deposed meanwhile answers nothing old. */
import t from 'tap';
import { Random } from '../sim/random.js';
import { RaftTrio } from '../support/raftTrio.js';
import { Registers } from '../support/registers.js';

t.test('a leader that stands still for longer than its lease answers nothing that is old', async (t) => {
  const trio = await RaftTrio.start(t, 1);
  const registers = new Registers(t, trio, 1, new Random(3));
  await registers.prepare();
  const old = await trio.leader(1);
  registers.start();
  await registers.progress(20);
  const askOld = await registers.askEach(old);
  // Or the messages of its successor would come to it before the questions do.
  await trio.deafen(old, true);
  trio.signal(old, 'SIGSTOP');
  await trio.leader(
    1,
    [0, 1, 2].filter((node) => node !== old),
  );
  await registers.progress(20);
  // Asked now, after newer writes; it finds the questions when it wakes up.
  const answers = askOld();
  trio.signal(old, 'SIGCONT');
  t.equal(await answers, 0);
  await trio.deafen(old, false);
  await registers.progress(20);
  await registers.stop();
  t.equal(await registers.verdict(), null, `${registers.acknowledged} acknowledged`);
  t.same(await trio.differences(1), []);
});

t.test(
  'a leader that hears nobody, by its list of peers: the others go on without it, and it comes back',
  async (t) => {
    const trio = await RaftTrio.start(t, 1);
    const registers = new Registers(t, trio, 1, new Random(4));
    await registers.prepare();
    const old = await trio.leader(1);
    const others = [0, 1, 2].filter((node) => node !== old);
    registers.start();
    await registers.progress(20);
    await trio.deafen(old, true);
    const askOld = await registers.askEach(old);
    t.equal(await askOld(), 0, 'it cannot ask a majority, so it reads nothing');
    await trio.leader(1, others);
    await registers.progress(20);
    await trio.deafen(old, false);
    await registers.progress(20);
    await registers.stop();
    t.equal(await registers.verdict(), null, `${registers.acknowledged} acknowledged`);
    t.same(await trio.differences(1), []);
  },
);
