/**
 * `docs/configuration.md` has one row a key, and what it says of extentd's settings is what the program does.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RANGES_MAX } from '../../src/config/accessList.js';
import { EXTENTD_DEFAULTS } from '../../src/config/config.js';
import { openFileBudget } from '../../src/config/limits.js';
import { FILE_KEYS } from '../../src/config/schema.js';
import { SETTINGS, type Setting } from '../../src/config/settingRows.js';
import { checkSetting } from '../../src/config/settings.js';
import { packageRoot } from '../packageRoot.js';

const rows = readFileSync(join(packageRoot, 'docs', 'configuration.md'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| `'));

function type(setting: Setting): string {
  if (setting.kind === 'cidrs') return 'array of strings';
  return setting.kind === 'integer' || setting.kind === 'boolean' ? setting.kind : 'string';
}

function range(setting: Setting): string {
  switch (setting.kind) {
    case 'integer':
      return `${setting.min} to ${setting.max}${setting.powerOfTwo ? ', a power of two' : ''}`;
    case 'boolean':
      return '`true`, `false`';
    case 'address':
      return setting.mayBeEmpty === undefined
        ? 'an IP address'
        : `an IP address, or empty for ${setting.mayBeEmpty}`;
    case 'path':
      return 'a path, or empty for none';
    case 'cidrs':
      return `up to ${RANGES_MAX} addresses or CIDR ranges`;
    case 'choice':
      return setting.choices.map((choice) => `\`${choice}\``).join(', ');
  }
}

t.test(
  'each setting of extentd has its row, in order, with its type, default, unit, effect and range',
  async (t) => {
    const expected = SETTINGS.map((setting) => {
      const standard = EXTENTD_DEFAULTS[setting.field];
      const cells = [
        `\`${setting.key}\``,
        type(setting),
        standard === ''
          ? 'none'
          : `\`${typeof standard === 'object' ? JSON.stringify(standard) : standard}\``,
        setting.unit,
        setting.effect,
        range(setting),
      ];
      return `| ${cells.join(' | ')} |`;
    });
    t.strictSame(rows.slice(FILE_KEYS.length), expected);
  },
);

t.test('each top-level key has one row', async (t) => {
  const keys = rows.slice(0, FILE_KEYS.length).map((row) => /^\| `(\w+)`/.exec(row)?.[1] ?? row);
  t.strictSame([...keys].sort(), [...FILE_KEYS].sort());
});

t.test('each setting has a field of its own, and its default is within its range', async (t) => {
  t.equal(new Set(SETTINGS.map((setting) => setting.field)).size, Object.keys(EXTENTD_DEFAULTS).length);
  for (const setting of SETTINGS) {
    const result = checkSetting(setting, setting.key, EXTENTD_DEFAULTS[setting.field]);
    t.equal(result.ok, true, setting.key);
  }
});

t.test('open files: what is wanted, or half of what the system allows', async (t) => {
  t.equal(openFileBudget(20_000, 1_048_576), 20_000);
  t.equal(openFileBudget(20_000, 1_024), 512);
  t.equal(openFileBudget(20_000, 20), 64);
});
