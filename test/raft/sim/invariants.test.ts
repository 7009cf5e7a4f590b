/** The invariants of raft: runs that keep them pass, and each way to break one is told by its name. */
import t, { type Test } from 'tap';
import { RAFT_MESSAGE, type RaftMessage } from '../../../src/protocol/raftMessage.js';
import type { RaftEntry } from '../../../src/protocol/raftStructs.js';
import { RaftLog } from '../../../src/raft/log.js';
import { type CoreView, Invariants } from './invariants.js';
import { InvariantBroken, type LogView } from './ledger.js';

function entry(index: number, term: number, text = `${index}`): RaftEntry {
  return { type: 0, term, index, data: Buffer.from(text) };
}

interface Place {
  committed?: number;
  cut?: { index: number; term: number };
  /** Entries below are on the disk only. */
  inMemoryFrom?: number;
}

/** A log of these entries, whatever they are. */
function logOf(entries: readonly RaftEntry[], place: Place = {}): LogView {
  const { committed = 0, cut = { index: 0, term: 0 }, inMemoryFrom = 0 } = place;
  const at = (index: number): RaftEntry | undefined => entries[index - cut.index - 1];
  return {
    ...{ cutIndex: cut.index, cutTerm: cut.term, lastIndex: cut.index + entries.length, committed },
    term: (index) => (index === cut.index ? cut.term : (at(index)?.term ?? -1)),
    inMemory: (index) => (index < inMemoryFrom ? undefined : at(index)),
  };
}

function core(term: number, log: LogView, more: { vote?: number; isLeader?: boolean } = {}): CoreView {
  return { term, vote: more.vote ?? 0, isLeader: more.isLeader ?? false, log };
}

function message(type: number, fields: Partial<RaftMessage>): RaftMessage {
  return {
    ...{ type, forceVote: false, reject: false, rejectIndex: 0, group: 1, from: 1, to: 2, term: 1 },
    ...{ logTerm: 0, index: 0, commit: 0, entries: [], context: new Uint8Array(0), snapshot: null },
    ...fields,
  };
}

const ack = (term: number, index: number): RaftMessage =>
  message(RAFT_MESSAGE.appendResponse, { term, index });
const grant = (term: number, to: number): RaftMessage => message(RAFT_MESSAGE.voteResponse, { term, to });

const ONE_TO_THREE = [entry(1, 1), entry(2, 1), entry(3, 1)];

/** Three nodes with the same three entries of term 1, which node 1 leads and has committed; all have applied them. */
function settled(): Invariants {
  const invariants = new Invariants();
  for (const node of [1, 2, 3]) restart(invariants, node, core(0, logOf([])));
  const log = logOf(ONE_TO_THREE, { committed: 3 });
  for (const node of [1, 2, 3]) {
    invariants.sent(node, node === 1 ? message(RAFT_MESSAGE.voteRequest, { term: 1 }) : grant(1, 1));
    for (const each of ONE_TO_THREE) invariants.handedOver(node, each);
    invariants.observe(node, core(1, log, { vote: 1, isLeader: node === 1 }));
    if (node !== 1) invariants.sent(node, ack(1, 3));
  }
  return invariants;
}

/** The next life of a node, whose state machine goes on behind `appliedTo`. */
function restart(invariants: Invariants, node: number, found: CoreView, appliedTo = 0): void {
  invariants.resumed(node, appliedTo);
  invariants.started(node, found);
}

function breaks(t: Test, invariant: string, what: RegExp, act: () => void): void {
  try {
    act();
    t.fail(`nothing was broken: ${what}`);
  } catch (error) {
    if (!(error instanceof InvariantBroken)) throw error;
    t.equal(error.invariant, invariant);
    t.match(error.message, what);
  }
}

t.test('a run as it should be', async (t) => {
  const invariants = settled();
  t.equal(invariants.elections, 1);
  t.equal(invariants.ledger.committedIndex, 3);
  invariants.acknowledged(1, entry(9, 9, '2'));
  invariants.observe(1, core(1, logOf(ONE_TO_THREE, { committed: 3 }), { isLeader: true }));
  // Node 2 leads in term 2; node 1 has one more entry of term 1, which is replaced.
  const longer = [...ONE_TO_THREE, entry(4, 1, 'lost')];
  invariants.observe(1, core(1, logOf(longer, { committed: 3 }), { isLeader: true }));
  const next = [...ONE_TO_THREE, entry(4, 2)];
  invariants.observe(2, core(2, logOf(next, { committed: 3 }), { isLeader: true }));
  invariants.observe(1, core(2, logOf(next, { committed: 3 })));
  invariants.observe(2, core(2, logOf(next, { committed: 4 }), { isLeader: true }));
  // Node 3 gets a snapshot, cuts, and restarts with less in memory.
  invariants.restored(3, 4, 2);
  const cut = { index: 4, term: 2 };
  invariants.observe(3, core(2, logOf([], { committed: 4, cut })));
  invariants.handedOver(2, entry(4, 2));
  invariants.observe(2, core(2, logOf(next, { committed: 4 }), { isLeader: true }));
  invariants.observe(2, core(2, logOf(next.slice(2), { committed: 4, cut: { index: 2, term: 1 } })));
  restart(invariants, 2, core(2, logOf(next, { committed: 3, inMemoryFrom: 9 }), { vote: 2 }), 1);
  for (const each of next.slice(1)) invariants.handedOver(2, each);
  invariants.observe(2, core(2, logOf(next, { committed: 4 })));
  t.equal(invariants.elections, 2);
});

t.test('a core of the production code is a view', async (t) => {
  const invariants = settled();
  const log = new RaftLog({ cutIndex: 0, cutTerm: 0, lastIndex: 3, runs: [{ from: 1, term: 1 }] });
  log.append([entry(4, 2)]);
  log.commitTo(3);
  restart(invariants, 1, core(2, log, { vote: 1 }));
  log.commitTo(4);
  invariants.observe(1, core(2, log, { isLeader: true }));
  t.equal(invariants.ledger.committedIndex, 4);
});

t.test('election safety', async (t) => {
  const name = 'election safety';
  breaks(t, name, /nodes 1 and 2 both lead in term 1/, () => {
    settled().observe(2, core(1, logOf(ONE_TO_THREE, { committed: 3 }), { isLeader: true }));
  });
  breaks(t, name, /votes for 3 in term 1, and voted for 1/, () => settled().sent(2, grant(1, 3)));
  breaks(t, name, /votes for 2 in term 1, and voted for 1/, () => {
    settled().sent(2, message(RAFT_MESSAGE.voteRequest, { term: 1 }));
  });
  breaks(t, name, /votes for 3 in term 1/, () => {
    const invariants = settled();
    invariants.forgive(2);
    restart(invariants, 2, core(0, logOf([])));
    invariants.sent(2, grant(1, 3));
  });
  breaks(t, name, /goes back from term 1 to 0/, () => settled().observe(2, core(0, logOf(ONE_TO_THREE))));
  const refusal = message(RAFT_MESSAGE.voteResponse, { term: 1, to: 3, reject: true });
  settled().sent(2, refusal);
});

t.test('log matching', async (t) => {
  const name = 'log matching';
  breaks(t, name, /node 3 has another entry 2 of term 1 than others/, () => {
    const invariants = new Invariants();
    invariants.observe(1, core(1, logOf([entry(1, 1), entry(2, 1)])));
    invariants.observe(3, core(1, logOf([entry(1, 1), entry(2, 1, 'else')])));
  });
  breaks(t, name, /node 3 has entry 2 of term 2 behind other entries/, () => {
    const invariants = new Invariants();
    invariants.observe(1, core(2, logOf([entry(1, 1), entry(2, 2)])));
    invariants.observe(3, core(2, logOf([entry(1, 2), entry(2, 2)])));
  });
  breaks(t, name, /an entry 2 of term 1 that nobody ever had/, () => {
    const invariants = new Invariants();
    invariants.observe(1, core(1, logOf([entry(1, 1)])));
    restart(invariants, 2, core(1, logOf([entry(1, 1), entry(2, 1)], { inMemoryFrom: 9 })));
  });
  breaks(t, name, /another entry in place of 2/, () => {
    new Invariants().observe(1, core(1, logOf([entry(1, 1), entry(3, 1)])));
  });
});

t.test('leader completeness', async (t) => {
  const invariant = 'leader completeness';
  breaks(t, invariant, /node 4 leads in term 2 without entry 3, which is committed/, () => {
    settled().observe(4, core(2, logOf(ONE_TO_THREE.slice(0, 2)), { isLeader: true }));
  });
  breaks(t, invariant, /node 4 leads in term 3 without entry 3/, () => {
    const other = [...ONE_TO_THREE.slice(0, 2), entry(3, 2, 'else')];
    settled().observe(4, core(3, logOf(other), { isLeader: true }));
  });
  const behind = settled();
  behind.observe(2, core(5, logOf([...ONE_TO_THREE, entry(4, 5)], { committed: 4 }), { isLeader: true }));
  behind.observe(4, core(4, logOf(ONE_TO_THREE), { isLeader: true }));
  t.equal(behind.elections, 3, 'a leader of an older term that is seen late need not have what came after');
});

t.test('state machine safety: what is committed', async (t) => {
  const name = 'state machine safety';
  const elsewhere = [...ONE_TO_THREE.slice(0, 2), entry(3, 2, 'else')];
  breaks(t, name, /node 4 has committed entry 3 of term 2, others have one of term 1/, () => {
    settled().observe(4, core(2, logOf(elsewhere, { committed: 3 })));
  });
  breaks(t, name, /node 2 replaces entry 3, its commit is 3/, () => {
    settled().observe(2, core(2, logOf(elsewhere, { committed: 3 })));
  });
  breaks(t, name, /node 2 takes back its commit, from 3 to 2/, () => {
    settled().observe(2, core(1, logOf(ONE_TO_THREE, { committed: 2 })));
  });
  breaks(t, name, /node 2 commits 4, behind its log/, () => {
    settled().observe(2, core(1, logOf(ONE_TO_THREE, { committed: 4 })));
  });
  breaks(t, name, /node 4 has cut its log at 4 of term 1, which is not committed/, () => {
    const invariants = settled();
    invariants.observe(1, core(1, logOf([...ONE_TO_THREE, entry(4, 1)], { committed: 3 })));
    invariants.observe(4, core(1, logOf([], { committed: 4, cut: { index: 4, term: 1 } })));
  });
  breaks(t, name, /node 4 has cut its log at 3 of term 2/, () => {
    settled().observe(4, core(2, logOf([], { committed: 3, cut: { index: 3, term: 2 } })));
  });
});

t.test('state machine safety: what is applied', async (t) => {
  const name = 'state machine safety';
  const log = logOf(ONE_TO_THREE, { committed: 3 });
  const applies = (act: (invariants: Invariants) => void) => () => {
    const invariants = settled();
    restart(invariants, 3, core(1, log, { vote: 1 }), 1);
    act(invariants);
    invariants.observe(3, core(1, log));
  };
  applies((invariants) => {
    invariants.handedOver(3, entry(2, 1));
    invariants.handedOver(3, entry(3, 1));
  })();
  breaks(
    t,
    name,
    /node 3 applies entry 3 after 1/,
    applies((it) => it.handedOver(3, entry(3, 1))),
  );
  breaks(
    t,
    name,
    /node 3 applies entry 2 after 2/,
    applies((it) => {
      it.handedOver(3, entry(2, 1));
      it.handedOver(3, entry(2, 1));
    }),
  );
  breaks(
    t,
    name,
    /node 3 applies entry 2, and it is not what was committed/,
    applies((it) => it.handedOver(3, entry(2, 1, 'else'))),
  );
  breaks(
    t,
    name,
    /node 3 applies entry 2, and it is not/,
    applies((it) => it.handedOver(3, entry(2, 2))),
  );
  breaks(
    t,
    name,
    /node 3 applies entry 4, which is not committed/,
    applies((it) => {
      it.handedOver(3, entry(2, 1));
      it.handedOver(3, entry(3, 1));
      it.handedOver(3, entry(4, 1));
    }),
  );
  breaks(
    t,
    name,
    /node 3 takes a snapshot at 4, which is not committed/,
    applies((it) => it.restored(3, 4, 1)),
  );
  breaks(
    t,
    name,
    /node 3 takes a snapshot at 1 after 1/,
    applies((it) => it.restored(3, 1, 1)),
  );
  breaks(t, name, /node 3 says that it applied 4/, () => {
    restart(settled(), 3, core(1, log, { vote: 1 }), 4);
  });
});

t.test('durability: what was said over the network is there after a crash', async (t) => {
  const name = 'durability';
  const log = logOf(ONE_TO_THREE, { committed: 3 });
  restart(settled(), 2, core(1, log, { vote: 1 }));
  restart(settled(), 2, core(7, log));
  breaks(t, name, /in term 1 comes back in term 0/, () => restart(settled(), 2, core(0, log)));
  breaks(t, name, /voted for 1 in term 1 comes back with 0/, () => restart(settled(), 2, core(1, log)));
  breaks(t, name, /voted for 1 in term 1 comes back with 3/, () =>
    restart(settled(), 1, core(1, log, { vote: 3 })),
  );
  breaks(t, name, /acknowledged entry 3 of term 1 and comes back with a log that ends at 2/, () => {
    restart(settled(), 2, core(1, logOf(ONE_TO_THREE.slice(0, 2)), { vote: 1 }));
  });
  breaks(t, name, /acknowledged entry 3 of term 1 and comes back with one of term 2/, () => {
    const other = [...ONE_TO_THREE.slice(0, 2), entry(3, 2)];
    restart(settled(), 2, core(2, logOf(other)));
  });
  breaks(t, name, /in term 2 comes back in term 1/, () => {
    const invariants = settled();
    invariants.observe(2, core(2, log));
    invariants.sent(2, message(RAFT_MESSAGE.electionAckResponse, { term: 2 }));
    restart(invariants, 2, core(1, log, { vote: 1 }));
  });
  const forgiven = settled();
  forgiven.forgive(2);
  restart(forgiven, 2, core(0, logOf([])));
});

t.test('durability: what was not said, or was given up for a later leader, may be lost', async (t) => {
  const log = logOf(ONE_TO_THREE, { committed: 3 });
  const longer = [...ONE_TO_THREE, entry(4, 1), entry(5, 1)];
  const unsaid = settled();
  unsaid.observe(2, core(2, logOf(longer, { committed: 3 })));
  restart(unsaid, 2, core(1, log, { vote: 1 }));
  // Acknowledged up to 5, then 5 gives way: either log may be left by a crash, and 4 must be.
  const other = [...longer.slice(0, 4), entry(5, 2)];
  for (const left of [longer, other, longer.slice(0, 4)]) {
    const invariants = settled();
    invariants.observe(2, core(1, logOf(longer, { committed: 3 })));
    invariants.sent(2, ack(1, 5));
    invariants.observe(2, core(2, logOf(other, { committed: 3 })));
    restart(invariants, 2, core(2, logOf(left, { committed: 3 })));
  }
  breaks(t, 'durability', /acknowledged entry 4 of term 1 and comes back with a log that ends at 3/, () => {
    const invariants = settled();
    invariants.observe(2, core(1, logOf(longer, { committed: 3 })));
    invariants.sent(2, ack(1, 5));
    invariants.observe(2, core(2, logOf(other, { committed: 3 })));
    restart(invariants, 2, core(2, log));
  });
});

t.test('durability: an acknowledgement is of the log that the node has', async (t) => {
  const longer = logOf([...ONE_TO_THREE, entry(4, 1)], { committed: 3 });
  const early = settled();
  early.sent(2, ack(1, 4));
  early.observe(2, core(1, longer));
  breaks(t, 'durability', /acknowledged entry 4 of term 1/, () => {
    restart(early, 2, core(1, logOf(ONE_TO_THREE, { committed: 3 }), { vote: 1 }));
  });
  breaks(t, 'durability', /node 2 acknowledged entry 5, its log ends at 4/, () => {
    const invariants = settled();
    invariants.sent(2, ack(1, 5));
    invariants.observe(2, core(1, longer));
  });
});

t.test('durability: what a client was told is applied', async (t) => {
  breaks(t, 'durability', /node 1 tells a client of a command that nobody has applied/, () => {
    const invariants = settled();
    invariants.acknowledged(1, entry(4, 1, 'never'));
    invariants.observe(1, core(1, logOf(ONE_TO_THREE, { committed: 3 })));
  });
});
