/** The node's start time, which the Go API keeps in Stats, as the status page tells it. */
import t from 'tap';
import type { Overview } from '../../src/http/overview.js';
import { renderStatusPage } from '../../src/http/statusPage.js';

t.test('the status page tells since when the node runs', async (t) => {
  const overview: Overview = {
    address: '127.0.0.1:17310',
    cluster: 'parity',
    nodeId: 4,
    rack: 'rack-01',
    startedAtMs: 1_573_600_000_000,
    connections: 0,
    disks: [],
    partitions: [],
    partitionCount: 0,
  };
  const early = renderStatusPage(overview, overview.startedAtMs + 5_000);
  const late = renderStatusPage(overview, overview.startedAtMs + 3 * 24 * 3_600_000);
  t.match(early, /Up for/);
  t.not(early, late);
  t.equal(
    early,
    renderStatusPage({ ...overview, startedAtMs: 1_000_000 }, 1_005_000),
    'only the time since then counts',
  );
});
