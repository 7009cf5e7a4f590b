/** Where contents differ: against a twin that looks at each byte. */
import fc from 'fast-check';
import t from 'tap';
import { type Content, runsOf } from '../../src/repair/differences.js';

const PAGE = 4096;
const MAX = 2 * PAGE;

/** Content of pages: 0 is a hole, others are bytes of that value; of the last page `last` bytes. */
function contentOf(from: number, pages: readonly number[], last: number): Content {
  const bytes = Buffer.concat(pages.map((value) => Buffer.alloc(PAGE, value)));
  const holes = pages.flatMap((value, page) =>
    value === 0 ? [{ from: from + page * PAGE, to: from + (page + 1) * PAGE }] : [],
  );
  return { bytes: bytes.subarray(0, Math.max(0, (pages.length - 1) * PAGE + last)), holes };
}

t.test(
  'each byte is in one run, equal where it is, or a hole on one side; what differs in pieces',
  async () => {
    const pages = fc.array(fc.nat(3), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(pages, pages, fc.nat(5), fc.integer({ min: 1, max: PAGE }), (own, theirs, page, last) => {
        const from = page * PAGE;
        const [a, b] = [contentOf(from, own, PAGE), contentOf(from, theirs, last)];
        let at = from;
        for (const run of runsOf(from, a, b, MAX)) {
          if (run.from !== at || run.to <= run.from) return false;
          if (!run.isEqual && run.to - run.from > MAX) return false;
          for (let byte = run.from; byte < run.to; byte += 512) {
            const number = Math.floor((byte - from) / PAGE);
            const [mine, other] = [own[number], theirs[number]];
            if (run.isEqual !== (mine === 0 || other === 0 || mine === other)) return false;
          }
          at = run.to;
        }
        return at === from + b.bytes.length;
      }),
      { numRuns: 500 },
    );
  },
);
