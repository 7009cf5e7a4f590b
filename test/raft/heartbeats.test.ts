/** Heartbeats of a node: one message to each other node, and answers that list what lives here. */
import t from 'tap';
import { decodeHeartbeatContext, encodeHeartbeatContext } from '../../src/protocol/heartbeatContext.js';
import { RAFT_MESSAGE, type RaftMessage } from '../../src/protocol/raftMessage.js';
import { heartbeatRequests, hostedGroups, type LedGroup, onHeartbeat } from '../../src/raft/heartbeats.js';
import { emptyMessage } from '../../src/raft/outbox.js';

function led(group: number, ...ids: number[]): LedGroup {
  return { group, members: () => ids.map((nodeId) => ({ type: 0, priority: 0, nodeId })) };
}

function groupsOf({ context }: RaftMessage): readonly number[] {
  const decoded = decodeHeartbeatContext(context);
  return decoded.ok ? decoded.value : [];
}

function heartbeat(context: Uint8Array): RaftMessage {
  return { ...emptyMessage(RAFT_MESSAGE.heartbeatRequest, 0, 2, 1, 0), context };
}

t.test('each node gets one message with the groups that it is a member of; this node none', async (t) => {
  const requests = heartbeatRequests(1, [led(300, 1, 2, 3), led(7, 1, 3, 4), led(9, 1)]);
  t.strictSame(
    requests.map((request) => [request.to, groupsOf(request)]),
    [
      [2, [300]],
      [3, [7, 300]],
      [4, [7]],
    ],
  );
  for (const { type, from, group, term } of requests)
    t.strictSame([type, from, group, term], [RAFT_MESSAGE.heartbeatRequest, 1, 0, 0]);
  t.strictSame(heartbeatRequests(1, []), []);
});

t.test('an answer lists those of the groups that live here, and is given even if none does', async (t) => {
  const request = heartbeat(encodeHeartbeatContext([1, 2, 300]));
  const heard = onHeartbeat(1, request, (group) => group !== 2);
  if (!heard.ok) throw new Error(heard.message);
  t.strictSame(heard.value.groups, [1, 300]);
  const { answer } = heard.value;
  t.strictSame([answer.type, answer.from, answer.to], [RAFT_MESSAGE.heartbeatResponse, 1, 2]);
  t.strictSame(groupsOf(answer), [1, 300]);
  const none = onHeartbeat(1, request, () => false);
  t.strictSame(none.ok && groupsOf(none.value.answer), []);
});

t.test('a group that is listed twice is heard once', async (t) => {
  const hosted = hostedGroups(heartbeat(encodeHeartbeatContext([5, 5, 6])), () => true);
  t.strictSame(hosted, { ok: true, value: [5, 6] });
});

t.test('a list that is cut off is refused', async (t) => {
  t.match(
    onHeartbeat(1, heartbeat(Uint8Array.of(0x80)), () => true),
    { ok: false, message: /cut off/ },
  );
});
