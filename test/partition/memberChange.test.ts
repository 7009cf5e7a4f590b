/**
 * What a committed member change makes of the members: the table, and changes that cannot be read.
 */
import t from 'tap';
import {
  type Members,
  type MembersAfter,
  membersAfter,
  membersOfSnapshot,
} from '../../src/partition/memberChange.js';
import { encodeMemberChange } from '../../src/protocol/memberChange.js';
import { CHANGE_TYPE, encodeConfigurationChange } from '../../src/protocol/raftStructs.js';

const NOBODY = { id: 0, addr: '' };
const peer = (id: number): { id: number; addr: string } => ({ id, addr: `10.0.0.${id}:6000` });

const MEMBERS: Members = {
  peers: [peer(2), peer(3), peer(4)],
  hosts: [peer(3).addr, peer(2).addr, peer(4).addr],
};

function change(type: number, add: number, remove: number): Uint8Array {
  const context = encodeMemberChange({
    addPeer: add === 0 ? NOBODY : peer(add),
    partitionId: 101,
    removePeer: remove === 0 ? NOBODY : peer(remove),
  });
  return withContext(type, context);
}

function withContext(type: number, context: Uint8Array): Uint8Array {
  return encodeConfigurationChange({ type, peer: { type: 0, priority: 0, nodeId: 9 }, context });
}

const SAME: MembersAfter = { kind: 'same', problem: null };
const { add, remove, update } = CHANGE_TYPE;

const ROWS: [what: string, data: Uint8Array, after: MembersAfter][] = [
  [
    'a new member comes last among the hosts',
    change(add, 5, 0),
    {
      kind: 'changed',
      peers: [...MEMBERS.peers, peer(5)],
      hosts: [...MEMBERS.hosts, peer(5).addr],
    },
  ],
  ['one that is a member already', change(add, 3, 0), SAME],
  [
    'one goes, by its id and its address',
    change(remove, 0, 4),
    { kind: 'changed', peers: [peer(2), peer(3)], hosts: [peer(3).addr, peer(2).addr] },
  ],
  ['one that is no member', change(remove, 0, 5), SAME],
  ['this node goes', change(remove, 0, 2), { kind: 'removedHere' }],
  [
    'the first step of a decommission adds',
    change(add, 5, 4),
    { kind: 'changed', peers: [...MEMBERS.peers, peer(5)], hosts: [...MEMBERS.hosts, peer(5).addr] },
  ],
  [
    'its second step removes, with the same words',
    change(remove, 5, 4),
    { kind: 'changed', peers: [peer(2), peer(3)], hosts: [peer(3).addr, peer(2).addr] },
  ],
  ['an update is not supported', change(update, 5, 4), SAME],
  ['an addition of nobody', change(add, 0, 0), SAME],
  ['a removal of nobody', change(remove, 0, 0), SAME],
];

t.test('every row of the table', async (t) => {
  for (const [what, data, after] of ROWS) t.same(membersAfter(data, MEMBERS, 2), after, what);
});

t.test('a removal takes the host of exactly this address', async (t) => {
  const members: Members = { peers: [peer(2), peer(4)], hosts: [peer(2).addr, 'elsewhere:6000'] };
  t.same(membersAfter(change(remove, 0, 4), members, 2), {
    kind: 'changed',
    peers: [peer(2)],
    hosts: [peer(2).addr, 'elsewhere:6000'],
  });
});

t.test('what cannot be read changes nothing, and says why', async (t) => {
  const unreadable: [string, Uint8Array][] = [
    ['no change at all', new Uint8Array(0)],
    ['a kind that does not exist', change(77, 5, 4)],
    ['cut short', change(add, 5, 0).subarray(0, 11)],
    ['no context', withContext(add, new Uint8Array(0))],
    ['no JSON', withContext(add, Buffer.from('{"AddPeer":'))],
    ['an array', withContext(add, Buffer.from('[1]'))],
    ['an id that is no number', withContext(add, Buffer.from('{"AddPeer":{"id":"5","addr":"a"}}'))],
    ['an id beyond 2^53', withContext(add, Buffer.from('{"AddPeer":{"id":9007199254740993,"addr":"a"}}'))],
  ];
  for (const [what, data] of unreadable) {
    const after = membersAfter(data, MEMBERS, 2);
    t.ok(after.kind === 'same' && after.problem !== null && after.problem.length > 0, what);
  }
});

t.test('a snapshot tells who the members are, by id', async (t) => {
  const { peers, hosts } = MEMBERS;
  t.equal(membersOfSnapshot([4, 3, 2], MEMBERS), null, 'the same ones, in any order');
  t.same(membersOfSnapshot([2, 3], MEMBERS), { peers: [peer(2), peer(3)], hosts: hosts.slice(0, 2) });
  const unknown = { id: 5, addr: '' };
  t.same(
    membersOfSnapshot([2, 3, 5], MEMBERS),
    { peers: [peer(2), peer(3), unknown], hosts },
    'no address is made up, and the hosts wait for it',
  );
  const after = { peers: [...peers, unknown], hosts };
  t.same(
    membersAfter(change(add, 5, 0), after, 2),
    { kind: 'changed', peers: [...peers, peer(5)], hosts: [...hosts, peer(5).addr] },
    'its own change tells the address',
  );
});
