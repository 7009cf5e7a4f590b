/**
 * RAFT_MISSING on a simulated disk: what a replacement may leave out, and what comes while it is under way.
 */
import t from 'tap';
import { MISSING_RANGES_MAX, MissingFile } from '../../src/partition/missingFile.js';
import { MISSING_RECORD_BYTES } from '../../src/partition/missingRanges.js';
import { ROOT, SimRig } from './simRig.js';

const PATH = `${ROOT}/RAFT_MISSING`;

class FileRig {
  readonly rig = SimRig.start();
  file = new MissingFile(this.rig.sim, ROOT, 0);

  /** Begins to save; whether it has ended well is told by `ended`. */
  begin(mayReplace: boolean): { ended: boolean } {
    const saving = { ended: false };
    const lane = this.rig.stores.applies.takeLane()!;
    this.file.save({ host: this.rig, isGone: () => false }, lane, mayReplace, (result) => {
      this.rig.stores.applies.giveLane(lane);
      if (result < 0) throw new Error(`errno ${result}`);
      saving.ended = true;
    });
    return saving;
  }

  save(mayReplace: boolean): void {
    const saving = this.begin(mayReplace);
    this.rig.run();
    if (!saving.ended) throw new Error('the save did not end');
  }

  /** What a start finds that loses all that is not durable. */
  found(): Set<number> {
    const disk = this.rig.sim.withRoot(this.rig.sim.rootFolder, 1).powerLoss(1);
    return new Set(new MissingFile(disk, ROOT, 0).ranges.extentIds);
  }

  get records(): number {
    return this.rig.sim.content(PATH).length / MISSING_RECORD_BYTES;
  }
}

/** One range in each of the extents [from, to). */
function add(file: MissingFile, from: number, to: number): void {
  for (let extentId = from; extentId < to; extentId += 1)
    file.add(extentId, { from: 0, to: 10, index: extentId });
}

function cut(file: MissingFile, from: number, to: number): void {
  for (let extentId = from; extentId < to; extentId += 1) file.cut(extentId, 0, 10, 10_000);
}

t.test('a replacement keeps what was taken away after its save had begun', async (t) => {
  const rig = new FileRig();
  add(rig.file, 2000, 2200);
  rig.save(false);
  cut(rig.file, 2000, 2150);
  rig.file.beginSave();
  cut(rig.file, 2150, 2190);
  add(rig.file, 2300, 2310);
  rig.save(true);
  t.equal(rig.records, 60, 'the file was replaced');
  const found = rig.found();
  t.notOk(found.has(2149));
  for (const extentId of [2150, 2189, 2190, 2199, 2300, 2309]) t.ok(found.has(extentId), `${extentId}`);
});

t.test('what comes while the file is being replaced is saved by the next one', async (t) => {
  const rig = new FileRig();
  add(rig.file, 2000, 2200);
  rig.save(false);
  cut(rig.file, 2000, 2200);
  rig.file.beginSave();
  const saving = rig.begin(true);
  rig.rig.sim.step();
  add(rig.file, 2400, 2405);
  rig.rig.run();
  t.ok(saving.ended);
  t.ok(rig.file.isUnsaved);
  t.equal(rig.found().size, 0);
  rig.save(false);
  t.same([...rig.found()], [2400, 2401, 2402, 2403, 2404]);
});

t.test('what a start finds is written anew before APPLY goes on: its sync may have failed', async (t) => {
  const rig = new FileRig();
  add(rig.file, 2000, 2010);
  rig.rig.sim.addFault({ call: 'fdatasync', path: /RAFT_MISSING$/, errno: 5, count: 1 });
  t.throws(() => rig.save(false), /errno -5/);
  t.equal(rig.found().size, 0, 'the page cache has it, the medium does not');
  rig.file = new MissingFile(rig.rig.sim, ROOT, 0);
  t.equal(rig.file.ranges.count, 10);
  t.ok(rig.file.needsSave);
  rig.file.beginSave();
  rig.save(true);
  t.equal(rig.found().size, 10);
  t.notOk(rig.file.needsSave);
});

t.test('a file that is far from spent is left alone, and grows', async (t) => {
  const rig = new FileRig();
  add(rig.file, 2000, 2050);
  rig.save(false);
  cut(rig.file, 2000, 2020);
  rig.file.beginSave();
  rig.save(true);
  t.equal(rig.records, 50);
  t.notOk(rig.file.needsSave);
});

t.test('more ranges than are kept: a comparison of everything is asked for instead', async (t) => {
  const rig = new FileRig();
  add(rig.file, 2000, 2000 + MISSING_RANGES_MAX);
  t.equal(rig.file.compareFrom, 0);
  add(rig.file, 1_000_000, 1_000_001);
  t.same([rig.file.ranges.count, rig.file.compareFrom], [0, 1_000_000]);
});
