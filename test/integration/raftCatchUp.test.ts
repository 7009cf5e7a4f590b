/** Three real nodes with a raft group: what all have applied is exchanged and logs are cut there; a follower whose disk has lost an extent has it again, with all that was written meanwhile. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { EXTENT_BYTES, PARTITION, RaftTrio } from '../support/raftNodes.js';
import { untilAnswer } from '../support/until.js';

const NODES = [0, 1, 2];

t.test(
  'what all have applied is exchanged, and logs are cut there; what an extent has lost with its disk comes back, with what was written meanwhile',
  async (t) => {
    const group = await RaftTrio.start(t);
    const { trio } = group;
    const lost = [...group.expected.keys()][1]!;
    await group.randomWrites(40, NODES);
    const leader = await group.leader(NODES);
    await untilAnswer(
      'logs are cut on all',
      async () => (NODES.every((node) => group.lastTruncate(node) > 20) ? true : null),
      50_000,
    );
    await untilAnswer('the exchange is told', async () => {
      const { exchange } = await trio.repairOf(leader, PARTITION);
      return exchange?.failure === '' && exchange.leastId > 20 ? true : null;
    });

    const victim = NODES.find((node) => node !== leader && node !== trio.nodesOf(PARTITION)[0])!;
    const others = NODES.filter((node) => node !== victim);
    const folder = trio.folder(victim, PARTITION);
    await trio.kill(victim);
    rmSync(join(folder, String(lost)));
    await group.randomWrites(20, others);
    await trio.bringBack(victim);
    await group.randomWrites(20, others);
    await untilAnswer(
      'it has heard of all',
      async () => ((await group.status(victim)).Applied >= 80 ? true : null),
      20_000,
    );
    trio.passTime();
    await trio.runRoundsUntil('the extent is back', PARTITION, () => {
      try {
        return group.content(victim, lost).length === EXTENT_BYTES;
      } catch {
        return false;
      }
    });
    await untilAnswer('the victim is whole', () => group.isWhole(victim), 40_000);
    for (const node of NODES) t.same(group.differing(node), [], `node ${node}`);
  },
);
