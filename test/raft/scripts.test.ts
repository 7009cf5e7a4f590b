/** The scripts of `test/golden/raft`: each prints what it printed before. `REGENERATE=1 node dist/test/raft/scripts.test.js` writes what they print now. */
import t from 'tap';
import { testScripts } from '../support/goldenScripts.js';
import { RaftScript } from './script.js';

testScripts(t, 'raft', () => new RaftScript());
