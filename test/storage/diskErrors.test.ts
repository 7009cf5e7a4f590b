/** Which errnos mean a failing disk: the reference's two, the extension with its reasons, and what operators read about it. */
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ERRNO_MEANINGS, isDiskError } from '../../src/storage/diskErrors.js';
import { packageRoot } from '../packageRoot.js';

const numbers: Record<string, number> = os.constants.errno;

t.test('EIO and EROFS mean a failing disk, as in the reference; a full disk does not', async (t) => {
  t.ok(isDiskError(numbers['EIO']!));
  t.ok(isDiskError(-numbers['EROFS']!), 'negated too');
  t.notOk(isDiskError(numbers['ENOSPC']!));
  t.notOk(isDiskError(0));
  t.notOk(isDiskError(numbers['EINVAL']!), 'what is not in the table is none');
});

t.test('what one file or a busy host can cause is no disk error', async (t) => {
  for (const name of [
    'ENOENT',
    'EACCES',
    'EPERM',
    'EAGAIN',
    'EMFILE',
    'ENFILE',
    'ENOMEM',
    'ENXIO',
    'EDQUOT',
  ]) {
    t.notOk(isDiskError(numbers[name]!), name);
  }
  for (const name of ['ENODEV', 'EBADMSG', 'ESTALE', 'ETIMEDOUT', 'ENOLINK', 'ENODATA']) {
    t.ok(isDiskError(numbers[name]!), name);
  }
});

t.test('each errno is in the table once, under its own number', async (t) => {
  t.equal(new Set(ERRNO_MEANINGS.map(({ errno }) => errno)).size, ERRNO_MEANINGS.length);
  for (const { errno, name } of ERRNO_MEANINGS) {
    // Node does not name the ones that only Linux has.
    if (name in numbers) t.equal(numbers[name], errno, name);
  }
});

t.test('the table that operators read is that of the code', async (t) => {
  const rows = readFileSync(join(packageRoot, 'docs', 'operations.md'), 'utf8')
    .split('\n')
    .filter((line) => /^\| E[A-Z]+ \|/.test(line));
  const expected = ERRNO_MEANINGS.map(
    ({ name, failingDisk, why }) => `| ${name} | ${failingDisk ? 'yes' : 'no'} | ${why} |`,
  );
  t.strictSame(rows, expected);
});
