/** The simulated network: what each fault does, that links go one way, and that a seed gives one run. */
import t from 'tap';
import { RAFT_MESSAGE, type RaftMessage } from '../../../src/protocol/raftMessage.js';
import { Random } from '../../sim/random.js';
import { EventQueue } from './events.js';
import { CALM, type LinkFaults, RaftWire, SimNetwork } from './network.js';

interface Rig {
  events: EventQueue;
  network: SimNetwork<number>;
  /** Messages as they came on each link, by `from>to`. */
  came: Map<string, number[]>;
  /** Everything that came, with its moment. */
  trace: string[];
}

function rig(seed: number, faults: Partial<LinkFaults> = {}): Rig {
  const events = new EventQueue();
  const came = new Map<string, number[]>();
  const trace: string[] = [];
  const network = new SimNetwork<number>(
    events,
    new Random(seed),
    (from, to, message) => {
      const link = `${from}>${to}`;
      came.set(link, [...(came.get(link) ?? []), message]);
      trace.push(`${events.nowMs} ${link} ${message}`);
    },
    null,
  );
  network.faults = { ...CALM, ...faults };
  return { events, network, came, trace };
}

/** Sends 0, 1, 2 .. from 1 to 2, one a ms. */
function sendMany({ events, network }: Rig, count: number): void {
  for (let i = 0; i < count; i += 1) events.at(events.nowMs + i, () => network.send(1, 2, i));
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

t.test('a healthy link delivers everything, in order, within its delay', async (t) => {
  const it = rig(1, { delayMinMs: 5, delayMaxMs: 50 });
  sendMany(it, 500);
  it.events.runUntil(600);
  t.same(it.came.get('1>2'), upTo(500));
  for (const line of it.trace) {
    const [at, , message] = line.split(' ').map(Number);
    t.ok(at! - message! >= 5 && at! - message! <= 50, line);
  }
  t.match(it.network.counts, { sent: 500, delivered: 500, lost: 0, straggled: 0 });
});

t.test('a lossy link loses its share and keeps the order of the rest', async (t) => {
  const it = rig(2, { lossShare: 0.3 });
  sendMany(it, 1000);
  it.events.runUntil(2000);
  const came = it.came.get('1>2') ?? [];
  t.same(
    came,
    [...came].sort((a, b) => a - b),
  );
  const { lost, delivered, sent } = it.network.counts;
  t.equal(lost + delivered, sent);
  t.ok(lost > 250 && lost < 350, `${lost} lost`);
});

t.test('a link that duplicates brings some twice, and all at least once', async (t) => {
  const it = rig(3, { duplicateShare: 0.2, straggleMs: 40 });
  sendMany(it, 1000);
  it.events.runUntil(2000);
  const came = it.came.get('1>2') ?? [];
  t.equal(new Set(came).size, 1000);
  t.equal(came.length, 1000 + it.network.counts.duplicated);
  t.ok(it.network.counts.duplicated > 150);
});

t.test('messages that straggle are overtaken, none is lost', async (t) => {
  const it = rig(4, { straggleShare: 0.2, straggleMs: 40 });
  sendMany(it, 1000);
  it.events.runUntil(2000);
  const came = it.came.get('1>2') ?? [];
  t.same(
    [...came].sort((a, b) => a - b),
    upTo(1000),
  );
  const overtaken = came.filter((message, i) => came.slice(0, i).some((other) => other > message)).length;
  t.ok(overtaken > 100 && overtaken <= it.network.counts.straggled, `${overtaken} overtaken`);
});

t.test('a cut goes one way and takes what is on the way', async (t) => {
  const it = rig(5, { delayMinMs: 10, delayMaxMs: 10 });
  const { events, network } = it;
  network.send(1, 2, 1);
  events.runUntil(5);
  network.cut(1, 2);
  t.ok(network.isCut(1, 2) && !network.isCut(2, 1));
  network.send(1, 2, 2);
  network.send(2, 1, 3);
  events.runUntil(20);
  network.heal(1, 2);
  network.send(1, 2, 4);
  events.runUntil(40);
  t.same(
    [...it.came],
    [
      ['2>1', [3]],
      ['1>2', [4]],
    ],
  );
  t.match(network.counts, { sent: 4, delivered: 2, cut: 2 });
});

t.test('a connection that breaks loses what is on the way and takes what follows', async (t) => {
  const it = rig(6, { delayMinMs: 10, delayMaxMs: 10 });
  const { events, network } = it;
  network.send(1, 2, 1);
  network.breakConnection(1, 2);
  network.send(1, 2, 2);
  events.runUntil(20);
  t.same(it.came.get('1>2'), [2]);
  t.match(network.counts, { delivered: 1, broken: 1 });
});

t.test('a link may have faults of its own, until all is healed', async (t) => {
  const it = rig(7);
  const { events, network } = it;
  network.setLink(1, 2, { ...CALM, lossShare: 1 });
  network.cut(3, 1);
  for (const [from, to] of [
    [1, 2],
    [2, 1],
    [3, 1],
  ] as const)
    network.send(from, to, 1);
  events.runUntil(10);
  t.same([...it.came.keys()], ['2>1']);
  network.healAll();
  network.send(1, 2, 2);
  network.send(3, 1, 2);
  events.runUntil(20);
  t.same([...it.came.keys()].sort(), ['1>2', '2>1', '3>1']);
  t.throws(() => network.send(1, 1 << 16, 0), { code: 'ERR_ASSERTION' }, 'a node id that is none');
});

t.test('the same seed gives the same run, another seed another one', async (t) => {
  const run = (seed: number): string[] => {
    const it = rig(seed, {
      ...{ delayMinMs: 0, delayMaxMs: 30, lossShare: 0.1, duplicateShare: 0.1 },
      ...{ straggleShare: 0.1, straggleMs: 100 },
    });
    sendMany(it, 300);
    it.events.runUntil(1000);
    return it.trace;
  };
  t.same(run(8), run(8));
  t.not(run(8).join(), run(9).join());
});

t.test(
  'raft messages travel as bytes: what arrives is equal, and shares nothing with what was sent',
  async (t) => {
    const events = new EventQueue();
    const came: RaftMessage[] = [];
    const network = new SimNetwork<RaftMessage>(
      events,
      new Random(1),
      (_from, _to, message) => came.push(message),
      new RaftWire(),
    );
    const data = new Uint8Array([1, 2, 3]);
    const append: RaftMessage = {
      ...{ type: RAFT_MESSAGE.appendRequest, forceVote: false, reject: false, rejectIndex: 0, group: 9 },
      ...{ from: 1, to: 2, term: 3, logTerm: 2, index: 40, commit: 39, context: new Uint8Array(0) },
      entries: [{ type: 0, term: 3, index: 41, data }],
      snapshot: null,
    };
    const header: RaftMessage = {
      ...append,
      ...{ type: RAFT_MESSAGE.snapshot, entries: [] },
      snapshot: { index: 7, term: 2, peers: [{ type: 0, priority: 0, nodeId: 1 }] },
    };
    network.send(1, 2, append);
    network.send(1, 2, header);
    data.fill(0xee);
    events.runUntil(10);
    t.same(came, [
      { ...append, entries: [{ ...append.entries[0], data: new Uint8Array([1, 2, 3]) }] },
      header,
    ]);
  },
);
