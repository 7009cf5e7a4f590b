/**
 * pains.md 16: a leader that clients cannot reach is worse than none. Before its node serves, a replica follows, votes and answers, and does not campaign.
 */
import t from 'tap';
import { GROUP, HostRig, nodeDisk, RigNode } from './hostRig.js';

/** More than any time-out of an election. */
const TICKS = 30;

t.test('pains 16: nobody leads before a data port serves, and soon after', async (t) => {
  const rig = new HostRig(3, { serving: false });
  for (let tick = 0; tick < TICKS; tick++) rig.tick();
  t.notOk(
    rig.nodes.some(({ host }) => host.group(GROUP)!.core.isLeader),
    'no leader',
  );
  t.same(
    rig.nodes.map(({ host }) => host.status(GROUP)!.term),
    [0, 0, 0],
    'no campaign either, which would only raise the term',
  );
  const [first] = rig.nodes;
  first!.host.serve();
  for (let tick = 0; tick < TICKS && !first!.host.group(GROUP)!.core.isLeader; tick++) rig.tick();
  t.ok(
    first!.host.group(GROUP)!.core.isLeader,
    'the one that serves leads, with the votes of those that do not yet',
  );
});

t.test('pains 16: a node that is told to lead before it serves does not', async (t) => {
  const rig = new HostRig(3, { serving: false });
  const [first] = rig.nodes;
  first!.host.campaign(GROUP);
  rig.run();
  t.notOk(first!.host.group(GROUP)!.core.isLeader);
  first!.host.serve();
  first!.host.campaign(GROUP);
  rig.run();
  t.ok(first!.host.group(GROUP)!.core.isLeader);
});

t.test(
  'the only member of a group leads as soon as its node serves; a group that starts later needs no word',
  async (t) => {
    const alone = new RigNode(1, [1], nodeDisk(1), { serving: false });
    for (let tick = 0; tick < TICKS; tick++) {
      alone.host.tick();
      alone.settle();
    }
    t.notOk(alone.host.group(GROUP)!.core.isLeader);
    alone.host.serve();
    alone.settle();
    t.ok(alone.host.group(GROUP)!.core.isLeader);
    t.equal(
      alone.host.start({
        ...{ group: GROUP + 1, path: `/d/wal_${GROUP + 1}`, machine: alone.machine, lost: false },
        peers: [{ type: 0, priority: 0, nodeId: 1 }],
      }),
      null,
    );
    for (let tick = 0; tick < TICKS; tick++) {
      alone.host.tick();
      alone.settle();
    }
    t.ok(alone.host.group(GROUP + 1)!.core.isLeader);
  },
);
