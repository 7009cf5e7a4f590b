/**
 * Four real nodes, one of which stands still (SIGSTOP) while it is a follower of one partition: clients of that partition get errors within the deadline, clients of another partition of the same first host, of which it is
 * no host, notice nothing, and neither do its rounds of repair; when it goes on, everything becomes equal.
 */
import t, { type Test } from 'tap';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { FakeCluster } from '../support/fakeMaster/cluster.js';
import {
  deleteSome,
  expectEqual,
  loadAgain,
  moreIsAcknowledged,
  roundsMakeEqual,
  stopWith,
} from '../support/killStory.js';
import { Ledger } from '../support/ledger.js';
import { testFolder } from '../support/nodeProcess.js';
import type { PacketClient } from '../support/packetClient.js';
import { procUsage } from '../support/procUsage.js';
import { create, pattern, write } from '../support/requests.js';
import { Trio } from '../support/trio.js';
import { until } from '../support/until.js';

const PRIMARY = 0;
const VICTIM = 3;
/** Partition 1 has the victim as a follower, partition 2 has not. */
const LISTS = [
  [PRIMARY, 1, VICTIM],
  [PRIMARY, 1, 2],
];
/** The primary waits for a follower for 5 s, and a busy machine adds to it. */
const DEADLINE_MS = 9_000;
/** A quarter of the primary's large slots; with all of its share (docs/open.md, hanging-follower-share) others would wait too. */
const WAITING = { connections: 8, packets: 8, bytes: 60_000 };
/** Of the other partition, while the first one's clients wait: one at a time, so each of them costs what a client notices. */
const DONE_MIN = 100;
/** What packets that wait, their links and their clients may take of the primary's own memory. */
const MEMORY_BYTES_MAX = 64 << 20;

/** A client with packets on their way to the victim. */
interface Waiting {
  readonly client: PacketClient;
  readonly answered: Promise<{ text: string; afterMs: number }>;
}

/** Extents on all replicas, so that what comes next is an append. */
async function prepare(ledger: Ledger): Promise<{ client: PacketClient; extentId: number }[]> {
  const prepared = Array.from({ length: WAITING.connections }, async () => {
    const client = ledger.connect();
    const { resultCode, extentId } = await client.ask(ledger.replicated(create(ledger.partitionId)));
    if (resultCode !== RESULT.ok) throw new Error('no extent');
    return { client, extentId };
  });
  return Promise.all(prepared);
}

/** Sends what cannot be acknowledged; the first answer of each connection, and when it came. */
function sendInVain(ledger: Ledger, prepared: Awaited<ReturnType<typeof prepare>>): Waiting[] {
  const sentMs = performance.now();
  return prepared.map(({ client, extentId }) => {
    const asked = Array.from({ length: WAITING.packets }, (_, i) => {
      const at = i * WAITING.bytes;
      const body = pattern(extentId, at, WAITING.bytes);
      return client.ask(ledger.replicated(write(ledger.partitionId, extentId, at, body)));
    });
    const answered = Promise.allSettled(asked).then(([first]) => {
      const text = first!.status === 'rejected' ? 'no answer' : first!.value.body.toString();
      return { text, afterMs: performance.now() - sentMs };
    });
    return { client, answered };
  });
}

/** Small appends, one at a time, until told to stop: how many were done, and how long one took at most. */
async function appendOneByOne(
  t: Test,
  ledger: Ledger,
  stop: () => boolean,
): Promise<{ done: number; longestMs: number }> {
  const client = ledger.connect();
  const { partitionId } = ledger;
  const { extentId } = await client.ask(ledger.replicated(create(partitionId)));
  let done = 0;
  let longestMs = 0;
  for (; !stop(); done += 1) {
    const at = done * 1000;
    const startMs = performance.now();
    const body = pattern(extentId, at, 1000);
    const { resultCode } = await client.ask(ledger.replicated(write(partitionId, extentId, at, body)));
    longestMs = Math.max(longestMs, performance.now() - startMs);
    if (resultCode !== RESULT.ok) t.fail(`append ${done} failed`);
  }
  await client.end();
  return { done, longestMs };
}

t.test('pains 18: a follower stands still: others notice nothing, and everything is repaired', async (t) => {
  const cluster = await FakeCluster.start(t);
  const trio = await Trio.under(t, cluster, testFolder(t), LISTS);
  const [hit, unharmed] = [1, 2].map((id) => new Ledger(trio, id)) as [Ledger, Ledger];
  const ledgers = [hit, unharmed];
  const scene = { t, trio, ledgers };
  stopWith(t, ledgers);
  for (const ledger of ledgers) ledger.start();
  await moreIsAcknowledged(ledgers, ['normal', 'tiny']);
  for (const ledger of ledgers) await deleteSome(t, ledger);
  const prepared = await prepare(hit);
  await moreIsAcknowledged(ledgers, ['normal', 'tiny']);
  const failedBefore = ledgers.map(({ failed }) => ({ ...failed }));
  const memoryBefore = procUsage(trio.pid(PRIMARY)).anonymousBytes;

  trio.signal(VICTIM, 'SIGSTOP');
  const waiting = sendInVain(hit, prepared);
  let answers = 0;
  for (const { answered } of waiting) answered.then(() => (answers += 1));
  let memoryMost = 0;
  const isOver = (): boolean => {
    memoryMost = Math.max(memoryMost, procUsage(trio.pid(PRIMARY)).anonymousBytes);
    return answers > 0;
  };
  const one = appendOneByOne(t, unharmed, isOver);
  await moreIsAcknowledged([unharmed], ['normal', 'tiny']);
  await trio.runRounds(unharmed.partitionId);
  t.equal(answers, 0, 'all of that while the clients of the other partition wait');
  const { done, longestMs } = await one;
  t.ok(done >= DONE_MIN, `${done} appends meanwhile`);
  for (const { answered, client } of waiting) {
    const { text, afterMs } = await answered;
    t.match(text, /^ActionReceiveFromFollower_read tcp .*: i\/o timeout$/);
    t.ok(afterMs < DEADLINE_MS, `after ${afterMs} ms`);
    t.ok(longestMs < afterMs / 2, `the longest of them took ${longestMs} ms`);
    await client.end();
  }
  await until(
    'its own clients have errors',
    () => hit.failed.normal > failedBefore[0]!.normal && hit.failed.tiny > failedBefore[0]!.tiny,
    20_000,
  );
  t.strictSame(unharmed.failed, failedBefore[1], 'nothing has failed in the other partition');
  const grown = memoryMost - memoryBefore;
  t.ok(grown < MEMORY_BYTES_MAX, `memory of the primary: ${grown} bytes more`);

  trio.signal(VICTIM, 'SIGCONT');
  await moreIsAcknowledged(ledgers, ['normal']);
  await Promise.all(ledgers.map((ledger) => ledger.stop()));
  trio.passTime();
  for (const { partitionId } of ledgers) await roundsMakeEqual(scene, partitionId);
  await expectEqual(scene, 'after repair');
  await loadAgain(scene);
  t.strictSame(await trio.stop(), [0, 0, 0, 0], 'all end well');
});
