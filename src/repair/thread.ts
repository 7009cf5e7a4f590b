/** Entry of the repair thread, started by `startRepair.ts` only: joins `repairNode.ts` with this thread's event loop, rings and clocks. */
import assert from 'node:assert';
import { parentPort, workerData } from 'node:worker_threads';
import { native } from '../native/addon.js';
import { Counters } from '../shm/counters.js';
import { DoorbellSleeper } from '../shm/doorbell.js';
import type { RepairCommand, RepairThreadData } from './messages.js';
import { RepairNode } from './repairNode.js';
import { WorkerPorts } from './workerPorts.js';

assert(parentPort !== null, 'this module is the entry of a worker thread');
const port = parentPort;
const { memory, counters, diskPaths, address, settings } = workerData as RepairThreadData;

// In this order (docs/repair.md, "Waking it"): the loop has an id, workers know it, the rings are looked into, the doorbell is armed.
const loopId = native.registerLoop(() => ports.called());
Atomics.store(memory.loop, 0, loopId);
const ports = new WorkerPorts({
  memory,
  sleeper: new DoorbellSleeper(memory.doorbell, native.waitDoorbell),
  wake: native.ringDoorbell,
  wallMs: () => Date.now(),
});
ports.start();
const node = new RepairNode({
  ...{ ports, counters: new Counters(counters), diskPaths, address, settings },
  crc32: (data) => native.crc32(data, 0),
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  post: (event) => {
    port.postMessage(event);
    if (event.type === 'stopped') end();
  },
});
port.on('message', (command: RepairCommand) => node.take(command));

/** Nobody wakes this thread any more, and nothing keeps it. */
function end(): void {
  Atomics.store(memory.loop, 0, -1);
  native.unregisterLoop(loopId);
  port.close();
}
