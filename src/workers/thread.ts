/**
 * Entry of a disk worker's thread. What it is made of comes as workerData from main; it returns when a stop command was carried out.
 */
import { workerData } from 'node:worker_threads';
import { DiskWorker } from './diskWorker.js';
import type { DiskWorkerData } from './workerData.js';

new DiskWorker(workerData as DiskWorkerData).run();
