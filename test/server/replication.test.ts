/**
 * The scripts of `test/golden/replication`: each prints what it printed before. `REGENERATE=1 node dist/test/server/replication.test.js` writes what they print now; read the
 * difference before you keep it.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { packageRoot } from '../packageRoot.js';
import { runScript } from './replicationScript.js';

const FOLDER = join(packageRoot, 'test/golden/replication');
const REGENERATES = process.env['REGENERATE'] === '1';

const names = readdirSync(FOLDER).filter((name) => name.endsWith('.txt'));
t.ok(names.length > 0, 'there are scripts');
for (const name of names) {
  t.test(`script ${name}`, async (t) => {
    const path = join(FOLDER, name);
    const text = readFileSync(path, 'utf8');
    const printed = runScript(text);
    if (REGENERATES) writeFileSync(path, printed);
    t.equal(printed, REGENERATES ? readFileSync(path, 'utf8') : text, 'prints what it printed before');
    t.equal(runScript(printed), printed, 'and prints the same again');
  });
}
