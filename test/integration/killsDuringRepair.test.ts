/**
 * Three real nodes, one of which has lost much of its data: while repair brings it back, slowly, the first host, the member or the source is killed, or several of them one after another. Each comes back, and in the end
 * replicas are equal and have everything that was acknowledged. What is waited for is progress that the nodes tell of.
 */
import { readdirSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Random } from '../sim/random.js';
import {
  expectEqual,
  loadAgain,
  moreIsAcknowledged,
  roundsMakeEqual,
  stopWith,
} from '../support/killStory.js';
import { Ledger } from '../support/ledger.js';
import { testFolder } from '../support/nodeProcess.js';
import { Trio } from '../support/trio.js';
import { until, untilAnswer } from '../support/until.js';

const PARTITION = 1;
/** By what they are to the partition: who runs rounds, who serves the member, who lacks data. */
const FIRST = 0;
const SOURCE = 1;
const MEMBER = 2;
/** Slow enough that what the member lacks takes many seconds. */
const SLOW_BYTES_PER_SECOND = 1 << 19;
/** What the member is to lack at least when the next kill is prepared, and how much of it may come before. */
const LACK_BYTES = 1 << 20;
const PROGRESS_BYTES_MAX = 400_000;
/** Of any of the nodes, beside one of each. */
const MORE_KILLS = 2;
const SEED = 20;

/** Bytes of normal extents that a node has. */
function bytesOf(trio: Trio, node: number): number {
  const folder = trio.folder(node, PARTITION);
  const sizes = readdirSync(folder)
    .filter((name) => Number(name) > 64)
    .map((name) => statSync(join(folder, name)).size);
  return sizes.reduce((sum, bytes) => sum + bytes, 0);
}

/** The member is down, loses the ends of all its normal extents, and comes back to a repair that is slow. */
async function damageMember(trio: Trio, random: Random): Promise<void> {
  await trio.setRepair(MEMBER, { bytesPerSecond: SLOW_BYTES_PER_SECOND });
  await trio.kill(MEMBER);
  const folder = trio.folder(MEMBER, PARTITION);
  for (const name of readdirSync(folder).filter((one) => Number(one) > 64)) {
    const path = join(folder, name);
    truncateSync(path, random.below(1 + statSync(path).size / 2));
  }
  await trio.bringBack(MEMBER);
}

/** The member fetches: some of an extent has come since somebody looks, and some has not. */
async function isFetching(trio: Trio, from: string | null): Promise<void> {
  const seen = new Map<number, number>();
  await untilAnswer(
    `the member fetches from ${from ?? 'anybody'}`,
    async () => {
      const { fetches } = await trio.repairOf(MEMBER, PARTITION);
      const wanted = fetches.filter(({ source }) => from === null || source === from);
      for (const { extentId, bytes, targetBytes } of wanted) {
        if (!seen.has(extentId)) seen.set(extentId, bytes);
        if (bytes > seen.get(extentId)! && bytes < targetBytes) return true;
      }
      return null;
    },
    30_000,
  );
}

/** The first host runs no round, and begins one then. */
async function beginRounds(trio: Trio): Promise<void> {
  await untilAnswer(
    'the first host has time for a round',
    async () => {
      const { role, running } = await trio.repairOf(FIRST, PARTITION);
      return role === 'primary' && running === null ? true : null;
    },
    20_000,
  );
  await trio.beginRounds(FIRST);
}

t.test(
  'kills in the middle of repair: the source, the member, the first host, and any of them',
  async (t) => {
    const random = new Random(SEED);
    const trio = await Trio.start(t, testFolder(t), 1);
    const ledger = new Ledger(trio, PARTITION);
    const scene = { t, trio, ledgers: [ledger] };
    stopWith(t, [ledger]);
    ledger.start();
    for (let times = 0; times < 3; times += 1) await moreIsAcknowledged([ledger], ['normal', 'tiny']);
    await ledger.stop();
    trio.passTime();

    await sourceIsKilled(t, trio, random);
    await memberIsKilled(t, trio, random);
    await firstHostIsKilled(t, trio);
    ledger.start();
    await anyIsKilled(trio, random);
    await trio.setRepair(MEMBER, { bytesPerSecond: 0 });
    await moreIsAcknowledged([ledger], ['normal']);
    await ledger.stop();

    trio.passTime();
    await roundsMakeEqual(scene, PARTITION);
    await expectEqual(scene, 'after repair');
    await loadAgain(scene);
    t.strictSame(await trio.stop(), [0, 0, 0, 0], 'all end well');
  },
);

/** While it serves: what came of it stays, the other source goes on, and the member says who has failed. */
async function sourceIsKilled(t: Test, trio: Trio, random: Random): Promise<void> {
  await damageMember(trio, random);
  // What stands in the buffers of a socket reaches the member, whatever becomes of the process.
  await trio.page(SOURCE, `/limits/set?background.readBytesPerSecond=${SLOW_BYTES_PER_SECOND}`);
  await beginRounds(trio);
  await isFetching(trio, trio.hosts[SOURCE]!);
  await trio.kill(SOURCE);
  await trio.setRepair(MEMBER, { bytesPerSecond: 0 });
  const failed = (): string[] => trio.linesOf(MEMBER).filter((line) => line.includes('extent not repaired'));
  await until('the member says what has failed', () => failed().length > 0, 20_000);
  const others = failed().filter((line) => !line.includes(`from ${trio.hosts[SOURCE]!}`));
  t.strictSame(others, [], 'what has failed is of the source that was killed');
  await untilAnswer('the task ends', async () =>
    (await trio.repairOf(MEMBER, PARTITION)).fetches.length === 0 ? true : null,
  );
  await trio.bringBack(SOURCE);
}

/** In the middle of its task: the first host says so, and its round has ended. */
async function memberIsKilled(t: Test, trio: Trio, random: Random): Promise<void> {
  await damageMember(trio, random);
  await beginRounds(trio);
  await isFetching(trio, null);
  await trio.kill(MEMBER);
  const { lastNormal } = await untilAnswer('the round ends', async () => {
    const view = await trio.repairOf(FIRST, PARTITION);
    const failed = view.lastNormal?.report?.failedTasks ?? [];
    return failed.some(({ address }) => address === trio.hosts[MEMBER]) ? view : null;
  });
  t.match(lastNormal!.report, { absent: [], failedTasks: { length: 1 } });
  await trio.bringBack(MEMBER);
}

/** In the middle of its round: the member goes on with what it was told, and the first host begins anew when it is back. */
async function firstHostIsKilled(t: Test, trio: Trio): Promise<void> {
  await beginRounds(trio);
  await isFetching(trio, null);
  t.equal((await trio.repairOf(FIRST, PARTITION)).running, 'normal');
  const before = bytesOf(trio, MEMBER);
  await trio.kill(FIRST);
  await untilAnswer('the member goes on', async () => (bytesOf(trio, MEMBER) > before ? true : null));
  await trio.bringBack(FIRST);
}

/** One after another, in an order of chance, whenever some more has come. */
async function anyIsKilled(trio: Trio, random: Random): Promise<void> {
  const nodes = [FIRST, SOURCE, MEMBER];
  const victims = [...nodes, ...Array.from({ length: MORE_KILLS }, () => random.below(nodes.length))];
  const places = victims.map((victim) => ({ victim, place: random.next() }));
  for (const { victim } of places.sort((a, b) => a.place - b.place)) {
    if (bytesOf(trio, FIRST) - bytesOf(trio, MEMBER) < LACK_BYTES) await damageMember(trio, random);
    const wanted = bytesOf(trio, MEMBER) + 1 + random.below(PROGRESS_BYTES_MAX);
    await untilAnswer(
      'some more has come',
      async () => {
        const { role, running } = await trio.repairOf(FIRST, PARTITION);
        if (role === 'primary' && running === null) await trio.beginRounds(FIRST);
        return bytesOf(trio, MEMBER) >= wanted ? true : null;
      },
      30_000,
    );
    await trio.kill(victim);
    await trio.bringBack(victim);
  }
}
