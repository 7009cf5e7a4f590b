/**
 * `npm start`: prepares what is missing, then becomes one node in standalone mode. The node runs in this process, so signals and the exit code
 * are its own.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { prepare, root } from './prepare.mjs';

prepare();
const program = join(root, 'dist', 'src', 'main.js');
process.argv = [process.execPath, program, 'standalone', ...process.argv.slice(2)];
await import(pathToFileURL(program).href);
