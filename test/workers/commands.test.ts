/** Commands of the control plane as a worker executes them. */
import t from 'tap';
import { COMMAND, EVENT } from '../../src/partition/messages.js';
import type { Partition } from '../../src/partition/partition.js';
import { ByteRingProducer, createByteRing } from '../../src/shm/byteRing.js';
import { CommandReader } from '../../src/workers/commands.js';
import type { EventQueue } from '../../src/workers/eventQueue.js';
import type { PartitionSet } from '../../src/workers/partitionSet.js';

t.test("the master's list of replicas reaches the partition, and nothing of META", async (t) => {
  const ring = createByteRing(4096);
  const partition = { hosts: ['a:1'], replicas: ['a:1'], isLeader: true };
  const answers: unknown[] = [];
  const reader = new CommandReader(
    ring,
    { get: (id: number) => (id === 7 ? (partition as unknown as Partition) : undefined) } as PartitionSet,
    {
      json: (kind: number, number: number, value: unknown) => void answers.push({ kind, number, value }),
    } as EventQueue,
    {
      setLimits() {},
      setPaces() {},
      serve() {},
      raftStatus: () => null,
      changeMembers() {},
      tryToLead: () => ({ ok: true, value: null }),
      stop() {},
    },
  );
  const commands = new ByteRingProducer(ring);
  for (const [number, partitionId] of [
    [1, 7],
    [2, 8],
  ] as const) {
    const payload = new TextEncoder().encode(JSON.stringify({ partitionId, replicas: ['b:1', 'a:1'] }));
    commands.tryWrite(COMMAND.setReplicas, number, 0, payload);
  }
  t.equal(reader.read(), 1, 'one command at a time');
  t.equal(reader.read(), 1);
  t.strictSame(partition, { hosts: ['a:1'], replicas: ['b:1', 'a:1'], isLeader: true });
  t.strictSame(
    answers,
    [1, 2].map((number) => ({ kind: EVENT.answer, number, value: { ok: true, value: null } })),
    'a partition that is gone is no error',
  );
});
