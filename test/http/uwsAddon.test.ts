/** uWebSockets.js is loaded only where its native file is the one that was tested; everything else has a reason that can be read. */
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { HTTP_LIMITS } from '../../src/http/httpServer.js';
import { loadUws, UWS_HASHES } from '../../src/http/uwsAddon.js';
import { packageRoot } from '../packageRoot.js';
import { WHY_NO_UWS } from './servers.js';

const headerBytesMax = HTTP_LIMITS.headerBytesMax;
const folder = join(packageRoot, 'node_modules', 'uwebsockets');
const installed = existsSync(folder);
const own = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`;

t.test(
  'every native file of the table is the one that the lock file installs',
  { skip: !installed && 'uWebSockets.js is optional and not installed' },
  async (t) => {
    for (const [name, hash] of Object.entries(UWS_HASHES)) {
      t.equal(
        createHash('sha256')
          .update(readFileSync(join(folder, name)))
          .digest('hex'),
        hash,
        name,
      );
    }
    const lock = JSON.parse(readFileSync(join(packageRoot, 'package-lock.json'), 'utf8'));
    t.match(lock.packages['node_modules/uwebsockets'], { version: '3.0.6', optional: true });
  },
);

t.test(
  'it loads where the package is installed and the table has this Node',
  { skip: !installed && 'uWebSockets.js is optional and not installed' },
  async (t) => {
    // The builds for Node 22 and newer want a newer C library than some systems have.
    if (own in UWS_HASHES) t.match(WHY_NO_UWS, /^$|version `GLIBC_[\d.]+' not found/);
    else t.match(WHY_NO_UWS, /no tested build/);
  },
);

t.test(
  'a native file with one byte changed is not loaded',
  { skip: !installed && 'uWebSockets.js is optional and not installed' },
  async (t) => {
    const copy = t.testdir();
    copyFileSync(join(folder, own), join(copy, own));
    const bytes = readFileSync(join(copy, own));
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(join(copy, own), bytes);
    t.match(loadUws({ headerBytesMax, folder: copy }), {
      ok: false,
      reason: /has SHA-256 [0-9a-f]{64}, not/,
    });
  },
);

t.test('no file, and a Node without a tested build, are reasons too', async (t) => {
  t.match(loadUws({ headerBytesMax, folder: t.testdir() }), { ok: false, reason: /ENOENT/ });
  const strange = loadUws({ headerBytesMax, abi: '999' });
  t.match(strange, { ok: false, reason: /no tested build for \w+ \w+ and Node ABI 999/ });
});

t.test('loading leaves the environment as it was', async (t) => {
  t.equal(process.env['UWS_HTTP_MAX_HEADERS_SIZE'], undefined);
});
