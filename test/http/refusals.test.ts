/** However many peers are refused, one report an interval. */
import t from 'tap';
import { type RefusalReport, Refusals } from '../../src/http/refusals.js';

t.test('the first is told at once, a storm in one report after the interval', async (t) => {
  const reports: RefusalReport[] = [];
  let nowMs = 5_000;
  const refusals = new Refusals(
    (report) => reports.push(report),
    () => nowMs,
  );
  refusals.add('10.0.0.1');
  for (let last = 1; last <= 200; last++) refusals.add(`10.0.1.${last}`);
  t.strictSame(reports, [{ count: 1, peer: '10.0.0.1' }]);
  refusals.flush();
  t.strictSame(reports[1], { count: 200, peer: '10.0.1.200' });
  refusals.flush();
  nowMs += 1_000;
  refusals.add('10.0.0.2');
  t.strictSame(reports[2], { count: 1, peer: '10.0.0.2' });
  t.equal(reports.length, 3);
});
