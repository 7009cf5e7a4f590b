/**
 * Holds the package to its own habits: every rule of `tidy/rules.ts` over every file, and each rule over a text that breaks it and one that keeps it.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { packageRoot } from './packageRoot.js';
import { ALLOWED_IMPORTS } from './tidy/imports.js';
import { check, checkSample, RULES } from './tidy/rules.js';
import { packageFiles } from './tidy/sources.js';

const files = packageFiles(packageRoot);

t.test('each rule finds what breaks it, and nothing else', async (t) => {
  for (const rule of RULES) {
    t.equal(checkSample(rule, rule.bad).length, 1, `${rule.name}: the bad sample`);
    t.strictSame(checkSample(rule, rule.good), [], `${rule.name}: the good sample`);
  }
});

t.test('each rule has a name of its own and a reason', async (t) => {
  t.equal(new Set(RULES.map((rule) => rule.name)).size, RULES.length);
  t.ok(RULES.every((rule) => rule.reason.length > 10));
});

t.test('the table of rooms names rooms that exist or are planned', async (t) => {
  const planned = ['src/raft', 'src/repair'];
  for (const entry of Object.entries(ALLOWED_IMPORTS).flatMap(([room, allowed]) => [room, ...allowed])) {
    t.ok(planned.includes(entry) || existsSync(join(packageRoot, entry)), entry);
  }
});

t.test(
  'the package keeps every rule',
  { skip: files === null && 'no git here: the files are not known' },
  async (t) => {
    for (const rule of RULES) {
      const findings = (files ?? []).flatMap((file) => check(rule, file));
      t.strictSame(findings, [], `${rule.name} (${rule.reason})`);
    }
  },
);
