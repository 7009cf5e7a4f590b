/** The metrics of repair, as the repair thread counts them in shared memory. Part of the metrics page. */
import { oldestRoundAt, REPAIR_COUNTER } from '../repair/messages.js';
import { Counters } from '../shm/counters.js';
import type { MetricsSource } from './metricsSource.js';
import type { MetricsText } from './metricsText.js';
import { METRICS } from './metricTable.js';

/** Adds them to the page. */
export function repairOf(page: MetricsText, { repair, diskPaths }: MetricsSource): void {
  const counters = new Counters(repair);
  const value = (counter: keyof typeof REPAIR_COUNTER): number => counters.value(REPAIR_COUNTER[counter]);
  page
    .family(METRICS.repairRounds)
    .sample(value('normalRounds'), 'normal')
    .sample(value('tinyRounds'), 'tiny');
  page.family(METRICS.repairTasks).sample(value('tasks'));
  page.family(METRICS.repairExtents).sample(value('extents'));
  page.family(METRICS.repairBytes).sample(value('bytes'));
  page
    .family(METRICS.repairFailures)
    .sample(value('failedRounds'), 'round')
    .sample(value('failedNotifications'), 'notification')
    .sample(value('failedFetches'), 'fetch')
    .sample(value('failedDeletes'), 'tinyDeletes')
    .sample(value('undecidedBlocks'), 'verdict');
  page
    .family(METRICS.repairHealed)
    .sample(value('healedBlocks'), 'block')
    .sample(value('correctedChecksums'), 'checksum');
  page.family(METRICS.repairAbsent).sample(value('absentMembers'));
  page
    .family(METRICS.repairTiny)
    .sample(value('tinyAvailable'), 'available')
    .sample(value('tinyBroken'), 'broken');
  page.family(METRICS.repairJoining).sample(value('joining'));
  page.family(METRICS.raftOldestExchange).sample(value('oldestExchangeSeconds'));
  page.family(METRICS.raftMissing).sample(value('missingRanges'));
  page
    .family(METRICS.raftMissingBytes)
    .sample(value('missingComparedBytes'), 'compared')
    .sample(value('missingWrittenBytes'), 'written');
  page.family(METRICS.repairOldest);
  for (const [disk, path] of diskPaths.entries()) page.sample(counters.value(oldestRoundAt(disk)), path);
}
