/** What a leader makes of a change of members: the tables of `admin.md` 5.8 and `raft.md` 5.9, texts included. */
import t from 'tap';
import type { MemberCommand } from '../../src/partition/messages.js';
import type { MemberChangeKind } from '../../src/protocol/memberChange.js';
import { decideChange, type LedGroup, removalRefusal } from '../../src/workers/memberDecision.js';

const addr = (id: number): string => `10.0.0.${id}:17310`;
const peer = (id: number) => ({ id, addr: addr(id) });
const NOBODY = { id: 0, addr: '' };

/** Members 1 to `count`; those of `down` are down. */
function group(count: number, down: readonly number[] = []): LedGroup {
  const peers = Array.from({ length: count }, (_, index) => peer(index + 1));
  return { peers, down: down.map((id) => ({ id, downSeconds: id * 10 })) };
}

function command(kind: MemberChangeKind, add = NOBODY, remove = NOBODY): MemberCommand {
  return { kind, change: { partitionId: 7, addPeer: add, removePeer: remove } };
}

/** `add 4`, `remove 3`, in order; or the text of the refusal. */
function shown(asked: MemberCommand, led: LedGroup): string {
  const decision = decideChange(asked, led);
  if (!decision.ok) return decision.message;
  return decision.changes.map(({ type, peer }) => `${['add', 'remove'][type]} ${peer.nodeId}`).join(', ');
}

t.test('each kind of change', async (t) => {
  const three = group(3);
  for (const [asked, expected, why] of [
    [command('add', peer(4)), 'add 4', 'a new one'],
    [command('add', peer(3)), '', 'it is there already'],
    [command('add', { id: 9, addr: addr(3) }), '', 'by its address'],
    [command('add', { id: 0, addr: addr(9) }), '', 'node id 0: nobody'],
    [command('add', { id: 9, addr: 'x' }), 'parameter mismatch error: AddPeer({9 x}) has no address', ''],
    [command('remove', NOBODY, peer(3)), 'remove 3', 'one that is there'],
    [command('remove', NOBODY, peer(4)), '', 'it is gone already'],
    [
      command('remove', NOBODY, { id: 9, addr: addr(3) }),
      `peer({9 ${addr(3)}}) not exsit hasDownReplicasExcludePeer([])`,
      'another id at a known address',
    ],
    [
      command('remove', NOBODY, { id: 2, addr: addr(3) }),
      `peer({2 ${addr(3)}}) not exsit hasDownReplicasExcludePeer([])`,
      'the id of another member',
    ],
    [command('decommission', peer(4), peer(3)), 'add 4, remove 3', 'the new one first'],
    [command('decommission', NOBODY, peer(3)), 'remove 3', 'nobody is added'],
    [command('decommission', peer(4), NOBODY), 'add 4', 'nobody is removed'],
    [command('decommission', peer(3), peer(9)), 'add 3, remove 9', 'has no short cut'],
    [
      command('decommission', { id: 9, addr: '' }, peer(3)),
      'parameter mismatch error: AddPeer({9 }) has no address',
      'nowhere to be found',
    ],
  ] as const)
    t.equal(shown(asked, three), expected, why);
});

t.test('the context is the whole request, the same in both entries', async (t) => {
  const decision = decideChange(command('decommission', peer(4), peer(3)), group(3));
  const context = `{"AddPeer":{"addr":"${addr(4)}","id":4},"PartitionId":7,"RemovePeer":{"addr":"${addr(3)}","id":3}}`;
  t.ok(decision.ok);
  if (!decision.ok) return;
  t.strictSame(
    decision.changes.map((change) => Buffer.from(change.context).toString()),
    [context, context],
  );
});

t.test('how many may be down when one goes', async (t) => {
  // Members, down besides the one that goes, whether it may go.
  for (const [count, others, mayGo] of [
    [1, 0, false],
    [2, 0, true],
    [2, 1, false],
    [3, 0, true],
    [3, 1, false],
    [4, 0, true],
    [4, 1, true],
    [4, 2, false],
    [5, 0, true],
    [5, 1, true],
    [5, 2, false],
    [6, 2, true],
    [6, 3, false],
  ] as const) {
    const down = Array.from({ length: others }, (_, index) => index + 1);
    for (const withIt of [[], [count]]) {
      const refusal = removalRefusal(peer(count), group(count, [...down, ...withIt]));
      t.equal(refusal === null, mayGo, `${count} members, ${others} others down`);
    }
  }
});

t.test('the texts name all who are down, with the seconds, and who was to go', async (t) => {
  t.equal(
    removalRefusal(peer(3), group(3, [1, 3])),
    `hasDownReplicasExcludePeer([{1 10} {3 30}]) too much,so donnot offline ({3 ${addr(3)}})`,
  );
  t.equal(
    removalRefusal(peer(8), group(3, [2])),
    `peer({8 ${addr(8)}}) not exsit hasDownReplicasExcludePeer([{2 20}])`,
  );
});
