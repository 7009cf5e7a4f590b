/** The exchange of applied indexes: when whose turn is, who is told what, peers that are silent. */
import fc from 'fast-check';
import t from 'tap';
import {
  EXCHANGE_FIRST_MS,
  EXCHANGE_INTERVAL_MS,
  type Exchange,
  ExchangeSchedule,
  exchangeAppliedIds,
} from '../../src/repair/appliedIds.js';
import { PeerSilence } from '../../src/repair/peerSilence.js';

const OWN = 'a:1';
const HOSTS = [OWN, 'b:1', 'c:1'];

interface Case {
  durable: number | null;
  isLeader: boolean;
  /** By host; null: no answer. */
  ids: readonly (number | null)[];
  /** Who cannot be told. */
  deaf: number;
}

/** What the exchange of a case comes to, and who was told what, in order. */
async function run({ durable, isLeader, ids, deaf }: Case): Promise<{ end: Exchange; told: string[] }> {
  const told: string[] = [];
  const tell = async (host: string, leastId: number): Promise<void> => {
    if (HOSTS.indexOf(host) === deaf) throw new Error(`${host} is deaf`);
    told.push(`${host} ${leastId}`);
  };
  const end = await exchangeAppliedIds(HOSTS, OWN, {
    own: async () => ({ durable, isLeader }),
    tellOwn: (leastId) => tell(OWN, leastId),
    ask: async (host) => {
      const id = ids[HOSTS.indexOf(host)];
      if (id === null || id === undefined) throw new Error(`${host} is silent`);
      return id;
    },
    tell,
  });
  return { end, told };
}

/** The same, said as plainly as `raft.md` 5.7 does. */
function twin({ durable, isLeader, ids, deaf }: Case): { kind: string; told: string[] } {
  if (!isLeader || durable === null) return { kind: 'notLeading', told: [] };
  if (durable === 0) return { kind: 'nothing', told: [] };
  const answers = [durable, ids[1]!, ids[2]!];
  if (answers.includes(null as never)) return { kind: 'failed', told: [] };
  const least = answers.toSorted((a, b) => a - b)[0]!;
  if (least === 0) return { kind: 'nothing', told: [] };
  const reached = deaf === -1 ? HOSTS : HOSTS.slice(0, deaf);
  return { kind: deaf === -1 ? 'told' : 'failed', told: reached.map((host) => `${host} ${least}`) };
}

t.test(
  'the least of all answers goes to all, up to the first that cannot be told: as its twin says',
  async () => {
    const id = fc.oneof(fc.constantFrom(0, 1), fc.nat(1000), fc.constant(null));
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          ...{ durable: id, isLeader: fc.boolean() },
          ...{ ids: fc.tuple(fc.constant(null), id, id), deaf: fc.integer({ min: -1, max: 2 }) },
        }),
        async (each) => {
          const { end, told } = await run(each);
          const expected = twin(each);
          return end.kind === expected.kind && told.join() === expected.told.join();
        },
      ),
      { numRuns: 500 },
    );
  },
);

t.test('a node that is not among the hosts tells nothing', async (t) => {
  const end = await exchangeAppliedIds(HOSTS.slice(1), OWN, {
    own: async () => ({ durable: 5, isLeader: true }),
    tellOwn: () => Promise.reject(new Error('told')),
    ask: async () => 5,
    tell: () => Promise.reject(new Error('told')),
  });
  t.same(end, { kind: 'failed', reason: 'this node is not among the hosts' });
});

t.test(
  'a second after its beginning, and each minute: thousands have their turns a few at a time',
  async (t) => {
    const schedule = new ExchangeSchedule();
    for (let id = 1; id <= 5000; id += 1) schedule.add(id, 0);
    t.equal(schedule.next(EXCHANGE_FIRST_MS - 1), null);
    const turns = new Map<number, number[]>();
    let most = 0;
    for (let now = EXCHANGE_FIRST_MS; now < 3 * EXCHANGE_INTERVAL_MS; now += 10) {
      const running: number[] = [];
      for (let id = schedule.next(now); id !== null; id = schedule.next(now)) running.push(id);
      most = Math.max(most, running.length);
      for (const id of running) {
        turns.set(id, [...(turns.get(id) ?? []), now]);
        schedule.left();
        schedule.ended(id, now + 5);
      }
    }
    t.same([turns.size, most], [5000, 8]);
    const pauses = [...turns.values()].map(([first, second]) => second! - first!);
    t.ok(Math.min(...pauses) >= EXCHANGE_INTERVAL_MS);
    t.ok(Math.max(...pauses) <= EXCHANGE_INTERVAL_MS + 20);
  },
);

t.test(
  'an exchange that takes long gives its place to another one; one of a partition that is gone leaves nothing',
  async (t) => {
    const schedule = new ExchangeSchedule();
    for (let id = 1; id <= 9; id += 1) schedule.add(id, 0);
    const begun = Array.from({ length: 9 }, () => schedule.next(2000));
    t.same(begun, [1, 2, 3, 4, 5, 6, 7, 8, null]);
    schedule.left();
    t.equal(schedule.next(2000), 9);
    schedule.left();
    schedule.remove(3);
    schedule.add(3, 2000);
    schedule.ended(3, 2500);
    t.equal(schedule.next(2999), null, 'the end is that of the partition which is gone');
    t.equal(schedule.next(3000), 3);
    schedule.ended(1, 70_000);
    schedule.left();
    t.equal(schedule.next(70_000), 1, 'one that took longer than a minute is due at once');
  },
);

t.test(
  'a peer that does not answer is left alone for a while, one whose answer is late is not asked again',
  async (t) => {
    const silence = new PeerSilence();
    t.equal(silence.mayAsk('b:1', 0), true);
    const first = silence.asked('b:1', 0);
    const second = silence.asked('b:1', 2_000);
    t.equal(silence.mayAsk('b:1', 3_000), true);
    t.equal(silence.mayAsk('b:1', 3_001), false, 'the first question has been open for too long');
    t.equal(silence.mayAsk('c:1', 3_001), true);
    first(false, 60_000);
    t.equal(silence.mayAsk('b:1', 60_001), false, 'it was not answered');
    second(true, 61_000);
    t.equal(silence.mayAsk('b:1', 61_000), true, 'another one was');
    silence.asked('b:1', 62_000)(false, 62_000);
    t.equal(silence.mayAsk('b:1', 91_999), false);
    t.equal(silence.mayAsk('b:1', 92_000), true);
  },
);
