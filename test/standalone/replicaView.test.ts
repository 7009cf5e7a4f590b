/** How the embedded master judges a partition by its replicas. */
import t from 'tap';
import { leaderOf, type ReplicaView, statusOf } from '../../src/standalone/replicaView.js';

function replica(
  last: number,
  changes: Partial<ReplicaView> = {},
  status = 2,
  isLeader = false,
): ReplicaView {
  const report = { status, isLeader } as ReplicaView['report'];
  const addr = `127.0.0.${last}:17310`;
  return { addr, diskPath: '/d', isLive: true, reportedAtMs: 1, report, ...changes };
}

t.test('read-write needs every replica, live and writable', async (t) => {
  t.equal(statusOf([replica(1), replica(2), replica(3)]), 2);
  t.equal(statusOf([replica(1), replica(2, { report: null })]), 2, 'just created, not reported yet');
  t.equal(statusOf([replica(1), replica(2, { isLive: false })]), 1);
  t.equal(statusOf([replica(1), replica(2, { diskPath: '' })]), 1);
  t.equal(statusOf([replica(1), replica(2, {}, 1)]), 1);
  t.equal(statusOf([replica(1), replica(2, {}, -1)]), 1);
});

t.test('the leader is a live replica that says so', async (t) => {
  t.equal(leaderOf([replica(1), replica(2)]), '');
  t.equal(leaderOf([replica(1), replica(2, {}, 2, true)]), '127.0.0.2:17310');
  t.equal(leaderOf([replica(1, { isLive: false }, 2, true), replica(2, {}, 2, true)]), '127.0.0.2:17310');
});
