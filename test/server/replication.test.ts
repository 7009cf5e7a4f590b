/** The scripts of `test/golden/replication`: each prints what it printed before. `REGENERATE=1 node dist/test/server/replication.test.js` writes what they print now. */
import t from 'tap';
import { testScripts } from '../support/goldenScripts.js';
import { ReplicationScript } from './replicationScript.js';

testScripts(t, 'replication', () => new ReplicationScript());
