/** What a worker shows main of requests that wait: those for limits, and reads that are held for another reason, so that neither is taken for a silent disk. */
import t from 'tap';
import { UNLIMITED } from '../../src/config/diskLimits.js';
import { DiskLimits } from '../../src/partition/diskLimits.js';
import { createLimitTable, LimitTable } from '../../src/shm/limitTable.js';
import { LimitGate } from '../../src/workers/limitGate.js';

t.test('reads that are held show as owed nothing, also where no limit has changed', async (t) => {
  const memory = createLimitTable(2);
  const limits = new DiskLimits(UNLIMITED, 1, 0);
  let held = 0;
  const gate = new LimitGate(limits, memory, 1, {
    nowMs: () => 0,
    isOver: () => false,
    execute: () => t.fail('nothing waits for a limit'),
    heldReads: () => held,
  });
  const table = new LimitTable(memory);
  for (held of [0, 5, 3, 0]) {
    gate.publish();
    t.same([table.waitingFromNetwork(1), table.waiting(1), table.waitingFromNetwork(0)], [held, 0, 0]);
    t.notOk(limits.changed);
  }
});
