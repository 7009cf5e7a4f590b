/** The metrics of raft's transport, as main shows them in shared memory. Part of the metrics page. */
import { RAFT_MESSAGE } from '../protocol/raftMessage.js';
import { Counters } from '../shm/counters.js';
import { readFigures, type Traffic } from '../transport/figures.js';
import type { MetricsSource } from './metricsSource.js';
import type { MetricsText } from './metricsText.js';
import { METRICS } from './metricTable.js';

/** Types that a node makes for itself, and that nobody sends (`raft.md` 2.4). */
const LOCAL_TYPES: readonly string[] = ['snapshotResponse', 'campaign', 'proposal'];
const TYPES = Object.entries(RAFT_MESSAGE).filter(([name]) => !LOCAL_TYPES.includes(name));

/** Adds them to the page. `mainFull`: messages of the workers that main did not take. */
export function raftOf(page: MetricsText, { raft }: MetricsSource, mainFull: number): void {
  const { received, sent, drops, incoming, outgoing, snapshots } = readFigures(new Counters(raft));
  const traffic = (numbers: (of: Traffic) => readonly number[]): void => {
    for (const [name, type] of TYPES) page.sample(numbers(received)[type]!, 'in', name);
    for (const [name, type] of TYPES) page.sample(numbers(sent)[type]!, 'out', name);
  };
  page.family(METRICS.raftMessages);
  traffic(({ messages }) => messages);
  page.family(METRICS.raftBytes);
  traffic(({ bytes }) => bytes);
  page.family(METRICS.raftDropped);
  for (const [reason, count] of Object.entries({ ...drops, mainFull })) page.sample(count, reason);
  const { open: openIn, ...eventsIn } = incoming;
  const { open: openOut, ...eventsOut } = outgoing;
  page.family(METRICS.raftConnections).sample(openIn, 'in').sample(openOut, 'out');
  page.family(METRICS.raftConnectionEvents);
  for (const [event, count] of Object.entries(eventsIn)) page.sample(count, 'in', event);
  for (const [event, count] of Object.entries(eventsOut)) page.sample(count, 'out', event);
  const { running, taken, failed, tooMany, ...cameIn } = snapshots;
  page.family(METRICS.raftSnapshotsRunning).sample(running);
  page
    .family(METRICS.raftSnapshots)
    .sample(taken, 'out', 'taken')
    .sample(failed - tooMany, 'out', 'failed')
    .sample(tooMany, 'out', 'tooMany');
  for (const [event, count] of Object.entries(cameIn)) page.sample(count, 'in', event);
}
