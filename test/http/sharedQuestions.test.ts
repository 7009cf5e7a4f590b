/** Long answers are made once for all who wait, and never from before somebody asked. */
import t from 'tap';
import { SharedQuestions } from '../../src/http/sharedQuestions.js';

t.test(
  'pains 27: a hundred that ask the same cost two answers, and each gets one from after it asked',
  async (t) => {
    const shared = new SharedQuestions<number>();
    const release: ((answer: number) => void)[] = [];
    let version = 1;
    const put = (): Promise<number> => {
      const seen = version;
      return new Promise((resolve) => release.push(() => resolve(seen)));
    };
    const first = shared.ask('7', put);
    version = 2;
    const others = Array.from({ length: 99 }, () => shared.ask('7', put));
    const elsewhere = shared.ask('8', put);
    t.equal(release.length, 2, 'one for each key');
    release[0]!(0);
    t.equal(await first, 1);
    release[1]!(0);
    t.equal(await elsewhere, 2);
    t.equal(release.length, 3, 'one for the ninety-nine');
    version = 3;
    const late = shared.ask('7', put);
    release[2]!(0);
    t.strictSame(new Set(await Promise.all(others)), new Set([2]));
    await new Promise((resolve) => setImmediate(resolve));
    release[3]!(0);
    t.equal(await late, 3);
    await new Promise((resolve) => setImmediate(resolve));
    t.equal(shared.size, 0);
  },
);
