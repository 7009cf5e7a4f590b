/**
 * What one replicated append costs its primary and a follower, as `costGuard.test.ts` counts it: system calls of the read and write class, sleeps, bytes allocated. The bounds are two to four times what a
 * two-core machine shows with three nodes and the generator on it (in brackets).
 */
import t from 'tap';
import { formatFollowers } from '../../src/protocol/followers.js';
import { allocatedBytes } from '../support/gcTrace.js';
import { OpLoad } from '../support/opLoad.js';
import { procUsage } from '../support/procUsage.js';
import { startReplicas } from '../support/replicas.js';

const OPERATIONS = 30_000;
/** Most per operation: of the primary, which reads from the client and two followers and writes to all of them, and of a follower. */
const BUDGETS = [
  { name: 'the primary', readCalls: 0.8, writeCalls: 0.8, sleeps: 0.35 },
  { name: 'a follower', readCalls: 0.5, writeCalls: 0.5, sleeps: 0.35 },
] as const;
const ALLOCATED_BYTES_MAX = 800;

t.test('replicated appends, 4 connections with 16 in flight', async (t) => {
  const nodes = await startReplicas(t, { execArgv: ['--trace-gc'] });
  const followers = nodes.slice(1).map(({ address }) => address);
  const load = await OpLoad.prepare(nodes[0]!.port, 1, 'append', 4, 16, {
    remainingFollowers: 2,
    arg: formatFollowers(followers),
  });
  t.teardown(() => load.close());
  await load.run(5_000);
  const from = nodes[0]!.process.stdout.length;
  const before = nodes.map(({ process }) => procUsage(process.pid));
  await load.run(OPERATIONS);
  const after = nodes.map(({ process }) => procUsage(process.pid));
  for (const [index, budget] of BUDGETS.entries()) {
    for (const name of ['readCalls', 'writeCalls', 'sleeps'] as const) {
      const each = (after[index]![name] - before[index]![name]) / OPERATIONS;
      t.ok(
        each <= budget[name],
        `${budget.name}: ${each.toFixed(3)} ${name} an operation, at most ${budget[name]}`,
      );
      t.ok(each > 0, `${name} are counted`);
    }
  }
  // Enough for several collections of each heap.
  await load.run(3 * OPERATIONS);
  const { bytes, collections } = allocatedBytes(nodes[0]!.process.stdout.slice(from));
  const each = bytes / (4 * OPERATIONS);
  t.ok(collections > 0, 'collections are traced');
  t.ok(
    each <= ALLOCATED_BYTES_MAX,
    `${Math.round(each)} bytes an operation at the primary, ${collections} collections`,
  );
});
