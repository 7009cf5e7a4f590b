/** What happens to three nodes under load when one of them is killed and comes back, told once for all tests of it: what differs is what else happens to its disk. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { Ledger } from './ledger.js';
import { testFolder } from './nodeProcess.js';
import { sums, Trio } from './trio.js';
import { until, untilAnswer } from './until.js';

/** The node that is killed: a follower in both partitions, whose first hosts are the other two. */
export const VICTIM = 2;
export const PARTITIONS = [1, 2];

export interface Scene {
  readonly t: Test;
  readonly trio: Trio;
  readonly ledgers: readonly Ledger[];
}

/** What happens beside the kill. */
export interface Story {
  /** Under load. */
  before?(scene: Scene): Promise<void>;
  /** To the victim's disk, while it is down. */
  damage?(scene: Scene): void;
  /** When it is back. */
  back?(scene: Scene): Promise<void>;
  /** When rounds have run. */
  repaired?(scene: Scene): Promise<void>;
}

/** More of everything is acknowledged in each partition. */
export async function moreIsAcknowledged(
  ledgers: readonly Ledger[],
  kinds: readonly ('normal' | 'tiny')[],
): Promise<void> {
  const before = ledgers.map(({ acknowledged }) => ({ ...acknowledged }));
  for (const ledger of ledgers) ledger.allowMore();
  await until(
    `more is acknowledged: ${kinds}`,
    () =>
      ledgers.every(({ acknowledged }, i) =>
        kinds.every((kind) => acknowledged[kind] > before[i]![kind] + 20),
      ),
    30_000,
  );
}

/** A test that fails in the middle does not wait for its loads for ever. */
export function stopWith(t: Test, loads: readonly { stop(): Promise<void> }[]): void {
  t.teardown(() => Promise.all(loads.map((load) => load.stop())));
}

/** Both kinds of load have failed since `before` was taken. */
export async function clientsHaveNoticed(
  ledgers: readonly Ledger[],
  before: readonly Ledger['failed'][],
): Promise<void> {
  for (const ledger of ledgers) ledger.allowMore();
  await until('clients have noticed', () =>
    ledgers.every(({ failed }, i) => failed.normal > before[i]!.normal && failed.tiny > before[i]!.tiny),
  );
}

/** Deletes some of what was acknowledged, of each kind. */
export async function deleteSome(t: Test, ledger: Ledger): Promise<void> {
  t.ok(await ledger.deleteExtent(ledger.nextExtentWith(1)), 'an extent is deleted');
  const left = ledger.tiny.filter(({ deleted }) => deleted === 'no');
  for (const append of left.slice(0, 5)) t.ok(await ledger.deleteTiny(append), 'a tiny append is deleted');
}

/** The extent of such a delete, and the delete again. */
interface DeleteInVain {
  readonly extentId: number;
  again(): Promise<void>;
}

/** A delete that not all replicas can carry out, as long as one of them is down. */
export async function deleteInVain(t: Test, ledger: Ledger): Promise<DeleteInVain> {
  const id = ledger.nextExtentWith(1);
  t.notOk(await ledger.deleteExtent(id), 'no delete is acknowledged');
  const append = ledger.tiny.find(({ deleted }) => deleted === 'no')!;
  t.notOk(await ledger.deleteTiny(append));
  // Whoever deletes asks until it is done.
  const again = async (): Promise<void> => {
    await untilAnswer('the deletes', async () => {
      const isDone = (await ledger.deleteExtent(id)) && (await ledger.deleteTiny(append));
      return isDone ? true : null;
    });
  };
  return { extentId: id, again };
}

/** Equal sizes and content on all replicas, and everything that the ledgers have. */
export async function expectEqual({ t, trio, ledgers }: Scene, when: string): Promise<void> {
  for (const ledger of ledgers) {
    const { partitionId } = ledger;
    const nodes = trio.nodesOf(partitionId);
    const isGone = (): boolean =>
      nodes.every((node) => [...ledger.deleted].every((id) => !trio.extents(node, partitionId).has(id)));
    await until('files of deleted extents are gone', isGone);
    const replicas = nodes.map((node) => trio.extents(node, partitionId));
    const [first, ...others] = replicas.map(sums);
    for (const [i, other] of others.entries())
      t.strictSame(
        other,
        first,
        `${when}: partition ${partitionId}, replica ${i + 1} is that of its first host`,
      );
    for (const [i, replica] of replicas.entries())
      t.equal(ledger.faultOf(replica), null, `${when}: partition ${partitionId}, replica ${i}`);
    const [records, ...otherRecords] = nodes.map((node) => tinyDeletes(trio, node, partitionId));
    for (const other of otherRecords) t.strictSame(other, records, `${when}: the same tiny deletes`);
    t.strictSame(ledger.givenTwice(), [], `${when}: nothing is given out twice`);
  }
}

/** Ranges by their place, in no order: a replica that has missed some has them behind those that it got. */
function tinyDeletes(trio: Trio, node: number, partitionId: number): string[] {
  const bytes = readFileSync(join(trio.folder(node, partitionId), 'TINYEXTENT_DELETE'));
  const records = Array.from({ length: bytes.length / 24 }, (_, i) =>
    [0, 8, 16].map((at) => bytes.readBigUInt64BE(i * 24 + at)).join(' '),
  );
  return [...new Set(records)].sort();
}

/** A round that has found and left nothing wrong. */
const NOTHING_FAILED = { absent: [], failedTasks: [], failedFetches: [], nonsense: 0 };

/** Has rounds of a partition run until its replicas are equal and tiny extents are writable. */
export async function roundsMakeEqual(
  { t, trio }: Pick<Scene, 't' | 'trio'>,
  partitionId: number,
): Promise<void> {
  const view = await trio.runRoundsUntil(
    'replicas are equal',
    partitionId,
    ({ lastTiny }) => trio.areEqual(partitionId) && lastTiny!.report!.good > 0,
  );
  t.match(view, {
    lastNormal: { failure: '', report: NOTHING_FAILED },
    lastTiny: { failure: '', report: NOTHING_FAILED },
  });
}

/** All kinds of load again, of which nothing fails any more, on replicas that are equal afterwards too. */
export async function loadAgain(scene: Scene): Promise<void> {
  const { t, ledgers } = scene;
  const failedBefore = ledgers.map(({ failed }) => ({ ...failed }));
  for (const ledger of ledgers) ledger.start();
  await moreIsAcknowledged(ledgers, ['normal', 'tiny']);
  for (const ledger of ledgers) await deleteSome(t, ledger);
  await Promise.all(ledgers.map((ledger) => ledger.stop()));
  t.strictSame(
    ledgers.map(({ failed }) => failed),
    failedBefore,
    'nothing fails any more',
  );
  await expectEqual(scene, 'at the end');
}

/** Load, a kill, a return, repair, load again; in the end everything that was acknowledged is on every replica, and all are equal. */
export async function killUnderLoad(t: Test, story: Story): Promise<void> {
  const trio = await Trio.start(t, testFolder(t), PARTITIONS.length);
  const ledgers = PARTITIONS.map((id) => new Ledger(trio, id));
  const scene = { t, trio, ledgers };
  stopWith(t, ledgers);
  for (const ledger of ledgers) ledger.start();
  await moreIsAcknowledged(ledgers, ['normal', 'tiny']);
  for (const ledger of ledgers) await deleteSome(t, ledger);
  await moreIsAcknowledged(ledgers, ['normal', 'tiny']);

  await story.before?.(scene);
  await trio.kill(VICTIM);
  const failed = ledgers.map((ledger) => ({ ...ledger.failed }));
  await clientsHaveNoticed(ledgers, failed);
  const deletes = await Promise.all(ledgers.map((ledger) => deleteInVain(t, ledger)));
  story.damage?.(scene);
  await trio.bringBack(VICTIM);
  await story.back?.(scene);
  // Nobody waits for repair to write to new extents.
  await moreIsAcknowledged(ledgers, ['normal']);
  await Promise.all(ledgers.map((ledger) => ledger.stop()));
  for (const { again } of deletes) await again();

  trio.passTime();
  for (const { partitionId } of ledgers) {
    // One round is enough for tiny extents, however many have failed meanwhile.
    t.match(await trio.runRounds(partitionId), {
      lastTiny: { failure: '', report: { ...NOTHING_FAILED, bad: 0 } },
      tiny: { available: 64, broken: 0 },
    });
    await roundsMakeEqual(scene, partitionId);
  }
  await story.repaired?.(scene);
  await expectEqual(scene, 'after repair');
  await loadAgain(scene);
  t.strictSame(await trio.stop(), [0, 0], 'all end well');
}
