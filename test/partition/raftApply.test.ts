/**
 * Committed entries carried out on a real store: order, what is missing, a full and a failing disk, APPLY.
 */
import t from 'tap';
import { ApplyRig } from './applyRig.js';
import { pattern } from './storeRig.js';

const KiB = 1024;

t.test('a committed write changes its range and nothing else, and the entry ends', async (t) => {
  const rig = ApplyRig.start([300 * KiB]);
  const before = rig.content(1025);
  const body = pattern(5000, 1);
  const index = rig.write({ extentId: 1025, at: 130_000, body });
  rig.run();
  t.same(rig.ends, [{ index, outcome: { kind: 'applied', error: null } }]);
  const expected = before.slice();
  expected.set(body, 130_000);
  t.ok(Buffer.compare(rig.content(1025), expected) === 0);
  t.equal(rig.apply.appliedIndex, 1);
  t.equal(rig.apply.durableApplied, 0, 'nothing was saved yet');
});

t.test('APPLY is saved after ten seconds, behind the sync of what it stands for', async (t) => {
  const rig = ApplyRig.start([8 * KiB, 8 * KiB]);
  rig.write({ extentId: 1025, at: 0, body: pattern(100, 1) });
  rig.write({ extentId: 1026, at: 0, body: pattern(100, 2) });
  rig.run();
  rig.rig.sim.trace.length = 0;
  rig.pass(9);
  t.notOk(rig.has('APPLY'));
  rig.pass(1);
  t.equal(rig.file('APPLY'), '2');
  t.equal(rig.apply.durableApplied, 2);
  const { trace } = rig.rig.sim;
  const rename = trace.findIndex((line) => line.startsWith('rename') && line.endsWith('APPLY'));
  for (const extent of [1025, 1026]) {
    const synced = trace.indexOf(`fdatasync ${rig.partition.path}/${extent}`);
    t.ok(synced >= 0 && synced < rename, `${extent} is synced before`);
  }
  rig.rig.sim.trace.length = 0;
  rig.pass(30);
  t.same(rig.rig.sim.trace, [], 'nothing is saved again');
});
