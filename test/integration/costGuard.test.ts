/**
 * What one operation costs the node, in units that do not depend on the machine's speed or on what else runs on it: system calls of the read and write class (from
 * /proc/<pid>/io: files, sockets, event counters), sleeps of its threads (a wake-up each), bytes allocated in V8 heaps (from --trace-gc). A change that adds a system
 * call, a wake-up or an object per packet fails here, wherever CI runs; wall time is for `docs/benchmarks.md`.
 *
 * The bounds are two to four times what a two-core machine shows (in brackets), because batches are smaller when the generator is starved. Instructions are counted
 * only where `perf` finds a hardware counter, which virtual machines often lack (so did the one on which the other bounds were measured): their bound is an estimate
 * from CPU time, three times 20,000.
 */
import t, { type Test } from 'tap';
import { allocatedBytes } from '../support/gcTrace.js';
import { countInstructions } from '../support/instructionCount.js';
import { startStandalone } from '../support/nodeProcess.js';
import { type OpKind, OpLoad } from '../support/opLoad.js';
import { procUsage } from '../support/procUsage.js';

interface Budget {
  kind: OpKind;
  connections: number;
  depth: number;
  operations: number;
  /** Most per operation. */
  readCalls: number;
  writeCalls: number;
  sleeps: number;
}

const BUDGETS: Budget[] = [
  // A read and a write for a batch of packets, not for a packet [0.14, 0.14, 0.05].
  {
    kind: 'append',
    connections: 4,
    depth: 16,
    operations: 60_000,
    readCalls: 0.4,
    writeCalls: 0.4,
    sleeps: 0.25,
  },
  // One pread each, the rest in batches [1.08, 0.08, 0.06].
  {
    kind: 'read',
    connections: 4,
    depth: 16,
    operations: 60_000,
    readCalls: 1.4,
    writeCalls: 0.4,
    sleeps: 0.25,
  },
  // The fdatasync is shared, and is none of these calls [0.17, 0.17, 0.5].
  {
    kind: 'syncAppend',
    connections: 4,
    depth: 16,
    operations: 4_000,
    readCalls: 0.6,
    writeCalls: 0.6,
    sleeps: 1.5,
  },
  // Nothing to share: socket read, pwrite, socket write, and the wake-ups [1.1 to 1.8, 2.1 to 2.8, 1.5 to 2.7].
  { kind: 'append', connections: 1, depth: 1, operations: 4_000, readCalls: 3, writeCalls: 4, sleeps: 5 },
];
/** Allocation of appends and reads at depth, both threads together [75 to 150]. */
const ALLOCATED_BYTES_MAX = 400;
const INSTRUCTIONS_MAX = 60_000;

const node = await startStandalone(t, { execArgv: ['--trace-gc'] });
const { pid } = node.process;

async function prepared(t: Test, { kind, connections, depth }: Budget): Promise<OpLoad> {
  const load = await OpLoad.prepare(node.port, 1, kind, connections, depth);
  t.teardown(() => load.close());
  // Compiled code, opened files, grown heaps.
  await load.run(2_000);
  return load;
}

for (const budget of BUDGETS) {
  const { kind, connections, depth, operations } = budget;
  t.test(
    `${kind}, ${connections} connections with ${depth} in flight: system calls and sleeps`,
    async (t) => {
      const load = await prepared(t, budget);
      const before = procUsage(pid);
      await load.run(operations);
      const after = procUsage(pid);
      for (const name of ['readCalls', 'writeCalls', 'sleeps'] as const) {
        const each = (after[name] - before[name]) / operations;
        t.ok(each <= budget[name], `${each.toFixed(3)} ${name} an operation, at most ${budget[name]}`);
        t.ok(each > 0, `${name} are counted`);
      }
    },
  );
}

for (const budget of BUDGETS.slice(0, 2)) {
  t.test(`${budget.kind}: bytes allocated`, async (t) => {
    const load = await prepared(t, budget);
    const from = node.process.stdout.length;
    // Enough for several collections of each heap, as what comes before the first and after the last is not seen.
    const operations = 150_000;
    await load.run(operations);
    const { bytes, collections } = allocatedBytes(node.process.stdout.slice(from));
    const each = bytes / operations;
    t.ok(collections > 0, 'collections are traced');
    t.ok(each <= ALLOCATED_BYTES_MAX, `${Math.round(each)} bytes an operation, ${collections} collections`);
  });

  t.test(`${budget.kind}: instructions`, async (t) => {
    const load = await prepared(t, budget);
    const operations = 30_000;
    const count = await countInstructions(pid, () => load.run(operations));
    if (count === null) {
      t.pass('not counted: no perf, or no hardware counter on this machine', { skip: true });
      return;
    }
    const each = count / operations;
    t.ok(each <= INSTRUCTIONS_MAX, `${Math.round(each)} instructions an operation`);
  });
}
