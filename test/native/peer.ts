/** The other thread of the waiting and worker tests: does what `workerData.role` says. */
import { parentPort, workerData } from 'node:worker_threads';
import { IO, native } from '../../src/native/addon.js';
import { DiskRig } from './diskRig.js';
import { waitForCount } from './waitForCount.js';

export type PeerData =
  | { role: 'echo'; there: Int32Array; back: Int32Array; counts: Int32Array; rounds: number }
  | { role: 'notify'; loop: number; times: number; counts: Int32Array }
  | { role: 'loop'; doorbell: Int32Array }
  | { role: 'end'; hang: boolean };

const data = workerData as PeerData;

/** Answers each of `rounds` increments of `counts[0]` with one of `counts[1]`, and rings for it. */
function echo(there: Int32Array, back: Int32Array, counts: Int32Array, rounds: number): void {
  for (let round = 1; round <= rounds; round++) {
    if (!waitForCount(there, counts, 0, round)) throw new Error(`wake-up ${round} was lost`);
    Atomics.add(counts, 1, 1);
    native.ringDoorbell(back);
  }
}

/** Leaves the thread with a disk that has queued and perhaps hanging work, and a registered loop. */
function leaveInTheMiddle(hang: boolean): void {
  const rig = new DiskRig(2);
  if (hang) native.setFault(rig.device, [IO.statfs], 'hang', 0, 1);
  const loop = native.registerLoop(() => {});
  for (let token = 0; token < 50; token++) rig.io.submitPath(IO.statfs, rig.folder, '', 0, 0, token);
  parentPort!.postMessage({ loop, folder: rig.folder });
}

switch (data.role) {
  case 'echo':
    echo(data.there, data.back, data.counts, data.rounds);
    break;
  case 'notify':
    for (let time = 0; time < data.times; time++) {
      Atomics.add(data.counts, 0, 1);
      native.notifyLoop(data.loop);
    }
    break;
  case 'loop': {
    const loop = native.registerLoop(() => native.ringDoorbell(data.doorbell));
    parentPort!.on('message', () => parentPort!.close());
    parentPort!.postMessage({ loop });
    break;
  }
  case 'end':
    leaveInTheMiddle(data.hang);
    break;
}
