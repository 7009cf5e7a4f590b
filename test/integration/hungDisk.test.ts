/** One hung disk of two: the other keeps its throughput, heartbeats arrive, requests for the hung one get errors in time, and it comes back. */
import t from 'tap';
import { hangOneDisk } from '../support/hungDisk.js';

/**
 * The promise is 90 %, which `test/long/hungDisk.ts` checks on a machine of its own. Here other tests run on the same two cores and have taken half of a
 * measurement (52 % was seen, 102 to 144 % alone), so this bound only tells a disk that serves from one that waits for the hung one, which serves next to nothing.
 */
const SHARE_MIN = 0.3;

t.test('one disk hangs', async (t) => {
  const report = await hangOneDisk(t, 7, 200);
  const share = report.hungRate / report.idleRate;
  t.ok(share >= SHARE_MIN, `${Math.round(report.hungRate)} of ${Math.round(report.idleRate)} operations/s`);
  t.ok(
    report.waitMsMax < report.stallMs + 1_000,
    `an error came after ${Math.round(report.waitMsMax)} ms at most`,
  );
  t.ok(report.refusals.size > 0, 'requests for the hung disk were refused');
  for (const text of report.refusals.keys()) t.match(text, /disk .* does not answer|request waited too long/);
  t.ok(
    report.heartbeatGapMs < 8_000,
    `heartbeats ${report.heartbeatGapMs} ms apart, five seconds are asked for`,
  );
  t.ok(report.recoveredAfterMs < 10_000, `served again after ${Math.round(report.recoveredAfterMs)} ms`);
});
