/** Simulated replicas with repair, slice 14 of the seeds (`slice.ts`). */
import t from 'tap';
import { runSlice } from './slice.js';

t.test('no seed shows a bug', async (t) => runSlice(t, 14));
