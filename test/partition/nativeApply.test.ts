/**
 * Committed entries on the real disk: on a partition of our own, and on a folder that a v1.4.0 node wrote.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RaftApply } from '../../src/partition/raftApply.js';
import type { ApplyOutcome } from '../../src/raft/types.js';
import { packageRoot } from '../packageRoot.js';
import { commandOf, type Write } from './applyRig.js';
import { NativeRig, temporaryFolder } from './nativeRig.js';
import { pattern } from './storeRig.js';

const KiB = 1024;

/** The state machine of a partition, and what its entries came to. */
function openApply(rig: NativeRig, partitionId: number): { apply: RaftApply; outcomes: ApplyOutcome[] } {
  const ignored = { changed: () => undefined, removedHere: () => undefined, halted: () => undefined };
  const opened = RaftApply.open(rig.stores, rig.partitions.get(partitionId)!, 2, ignored);
  if (!opened.ok) throw new Error(opened.message);
  return { apply: opened.value, outcomes: [] };
}

function entry({ apply, outcomes }: ReturnType<typeof openApply>, index: number, write: Write): void {
  apply.apply({ type: 0, term: 1, index, data: commandOf(write) }, (outcome) => outcomes.push(outcome));
}

t.test('written, missing, saved by a snapshot and by a stop, found again', async (t) => {
  const root = temporaryFolder();
  const rig = NativeRig.start(root);
  t.teardown(() => rig.removeRoot());
  const { path } = rig.create(root);
  rig.sendCreate();
  rig.run();
  rig.sendWrite(1025, 0, pattern(200 * KiB, 1));
  rig.run();
  const expected = pattern(200 * KiB, 1).slice();
  const group = openApply(rig, 7);
  for (let index = 1; index <= 40; index += 1) {
    const body = pattern(1 + index * 97, index);
    const at = (index * 4801) % (200 * KiB - body.length);
    expected.set(body, at);
    entry(group, index, { extentId: 1025, at, body, sync: index % 4 === 0 });
  }
  entry(group, 41, { extentId: 2000, at: 10, body: pattern(20, 1) });
  group.apply.restore({ index: 60, term: 1, peers: [] }, (outcome) => group.outcomes.push(outcome));
  rig.run();
  t.equal(group.outcomes.length, 42);
  t.same(readFileSync(join(path, '1025')), Buffer.from(expected));
  t.equal(readFileSync(join(path, 'APPLY'), 'utf8'), '60');
  t.equal(statSync(join(path, 'APPLY')).mode & 0o777, 0o755 & ~process.umask());
  entry(group, 61, { extentId: 1025, at: 0, body: pattern(10, 99) });
  rig.run();
  t.same(rig.stop(), []);
  t.equal(readFileSync(join(path, 'APPLY'), 'utf8'), '61');

  const next = NativeRig.start(root);
  next.load(root);
  const { apply } = openApply(next, 7);
  t.same([apply.appliedIndex, apply.durableApplied, apply.missing.compareFrom], [61, 61, 60]);
  t.same(apply.missing.ranges.of(2000), [{ from: 10, to: 30, index: 61 }]);
  t.same(next.stop(), []);
  t.same(next.complaints, []);
});

t.test('a folder that a Go node wrote: its APPLY goes on, and the file is one that it reads', async (t) => {
  const root = temporaryFolder();
  mkdirSync(root, { recursive: true });
  const archive = join(packageRoot, 'test/vectors/disk/datanode1-partition5.tar.gz');
  execFileSync('tar', ['xzf', archive, '-C', root, '--strip-components=1']);
  const rig = NativeRig.start(root);
  t.teardown(() => rig.removeRoot());
  const [partition] = rig.load(root);
  const { path, id, appliedIndex } = partition!;
  t.equal(readFileSync(join(path, 'APPLY'), 'utf8'), String(appliedIndex));
  const group = openApply(rig, id);
  const { table } = partition!.store;
  const extentId = table.idsAbove(64).find((each) => table.sizes[table.find(each)]! >= 100)!;
  const body = pattern(100, 5);
  entry(group, appliedIndex + 1, { extentId, at: 0, body });
  rig.run();
  t.same(group.outcomes, [{ kind: 'applied', error: null }]);
  t.same(rig.stop(), []);
  t.equal(readFileSync(join(path, 'APPLY'), 'utf8'), String(appliedIndex + 1));
  t.same(readFileSync(join(path, String(extentId))).subarray(0, 100), Buffer.from(body));
});
