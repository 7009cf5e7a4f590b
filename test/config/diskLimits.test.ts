/** Limits per disk as configuration: names, shapes, changes by text. */
import t from 'tap';
import { EXTENTD_DEFAULTS } from '../../src/config/config.js';
import { LIMIT_ROWS, limitsOf, UNLIMITED, withChangedLimits } from '../../src/config/diskLimits.js';
import { parseSettings } from '../../src/config/settings.js';

t.test('a limit has the same name in the file, in the shape for a disk, and as a change', async (t) => {
  for (const [i, row] of LIMIT_ROWS.entries()) {
    const file = { limits: { [row.class]: { [row.key]: i + 1 } } };
    const settings = parseSettings(file);
    if (!settings.ok) throw new Error(settings.message);
    const limits = limitsOf(settings.value);
    t.equal(limits[row.class][row.key], i + 1, row.name);
    const start = limitsOf(EXTENTD_DEFAULTS);
    const changed = withChangedLimits(start, [[row.name, String(i + 1)]]);
    t.same(changed, { ok: true, value: limits }, row.name);
    t.same(start, limitsOf(EXTENTD_DEFAULTS), 'the old limits are as they were');
  }
});

t.test('a change with anything wrong in it is refused whole', async (t) => {
  const refusal = (...changes: [string, string][]): string => {
    const result = withChangedLimits(UNLIMITED, changes);
    return result.ok ? '' : result.message;
  };
  t.equal(refusal(['clients.readsAtOnce', '65536'], ['background.writesAtOnce', '0']), '');
  for (const text of ['65537', '-1', '1.5', '', ' 1', '0x10', '1e2', '9'.repeat(400)]) {
    t.match(
      refusal(['clients.readsAtOnce', text]),
      /^clients\.readsAtOnce: must be a whole number from 0/,
      text,
    );
  }
  t.match(
    refusal(['clients.readsAtOnce', '1'], ['readsAtOnce', '1']),
    /^readsAtOnce: there is no such limit/,
  );
  t.notMatch(refusal(['a\nb', '1']), /\n/);
});
