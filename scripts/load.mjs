/**
 * `npm run load -- ...`: prepares what is missing, then becomes the packet generator (`bench/load.ts`).
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { prepare, root } from './prepare.mjs';

prepare();
const program = join(root, 'dist', 'bench', 'load.js');
process.argv = [process.execPath, program, ...process.argv.slice(2)];
await import(pathToFileURL(program).href);
