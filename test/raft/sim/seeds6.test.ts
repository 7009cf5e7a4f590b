/** Simulated clusters in the storm, slice 6 of the seeds (`slice.ts`). */
import t from 'tap';
import { STORMY } from './settings.js';
import { runSlice } from './slice.js';

t.test('no seed shows a bug', async (t) => runSlice(t, 6, STORMY));
