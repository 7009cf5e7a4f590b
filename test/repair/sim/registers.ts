/**
 * Clients of a simulated run that write into the middle of extents, and read through whoever leads (docs/raftNode.md, "What clients meet"). Each has one question under way, asks one node after the other, and asks again what was not
 * acknowledged: then it is two writes of the same bytes, each of which may have happened at any later moment, or never. What all of them were told must be explained by one order (`test/raft/sim/linearizability.ts`), and in the end every
 * replica must hold it.
 */
import { OP } from '../../../src/protocol/opcodes.js';
import { checkHistory, History } from '../../raft/sim/linearizability.js';
import { CELL_BYTES, type Cells, contentOf, GARBAGE, UNWRITTEN } from './cells.js';
import type { Ledger } from './ledger.js';
import type { Master } from './master.js';
import type { SimNode } from './simNode.js';
import { Broken, type World } from './world.js';

const EXTENTS_MAX = 3;
/** Cells of one write or read, at most. */
const WIDTH_MAX = 3;
const ANSWER_MS_MAX = 4_000;
/** Between two questions of a client: they go on while a new replica comes into its own. */
const THINK_MS = { stormy: 2_200, unserved: 4_000, joining: 10_000, served: 120_000 };
/** Somebody writes or reads while something is fetched. */
const FETCH_MS_MAX = 30;
const TRIES_MAX = 6;
const AGAIN_MS_MAX = 600;
/** Extents may have so many cells, for the numbers of registers. */
const REGISTERS_PER_EXTENT = 64;
const NO_BYTES = new Uint8Array(0);

interface Span {
  readonly cells: Cells;
  readonly from: number;
  readonly count: number;
}

/** Who has answered it well last. */
interface Client {
  leader: SimNode | null;
}

type Ended = (body: Uint8Array | null) => void;

export class Registers {
  /** Since the faults have stopped a random write was acknowledged, and a read was answered. */
  readonly served = { write: false, read: false };
  readonly #world: World;
  readonly #ledger: Ledger;
  readonly #master: Master;
  readonly #history = new History();
  #lastValue = 0;
  #isStopped = false;
  #open = 0;
  /** Who has answered well last. */
  #led: SimNode | null = null;

  constructor(world: World, ledger: Ledger, master: Master, clients: number) {
    this.#world = world;
    this.#ledger = ledger;
    this.#master = master;
    for (let i = 0; i < clients; i += 1) this.#think({ leader: null });
    world.fetches = () => {
      if (!this.#isStopped)
        world.after(world.between(0, FETCH_MS_MAX), () => this.#act({ leader: this.#led }));
    };
  }

  /** Nothing is asked any more that was not asked before. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Why this is not the time to compare. */
  get unrest(): string | null {
    if (this.#ledger.cells.every(({ extentId }) => !this.#ledger.isThere(extentId))) return null;
    if (!this.served.write) return 'random writes are not served';
    if (!this.served.read) return 'reads of the leader are not served';
    return this.#isStopped && this.#open > 0 ? 'random writes are on their way' : null;
  }

  /** Reads all that is there through the leader, at last. */
  async readAll(): Promise<void> {
    const world = this.#world;
    for (const cells of this.#ledger.cells) {
      if (!this.#ledger.isThere(cells.extentId)) continue;
      const span = { cells, from: 0, count: cells.count };
      let done = false;
      this.#read({ leader: null }, span, TRIES_MAX, () => {
        done = true;
      });
      const until = world.nowMs + TRIES_MAX * (ANSWER_MS_MAX + AGAIN_MS_MAX);
      while (!done && world.nowMs < until) await world.runUntil(world.nowMs + 100);
      if (!done) throw new Broken(`extent ${cells.extentId} cannot be read through the leader`);
    }
  }

  /** After the end of all faults and repairs: throws where what was told cannot be explained, or replicas differ. */
  check(): void {
    const complaint = checkHistory(this.#history.operations(), UNWRITTEN);
    if (complaint !== null) {
      const extent = complaint.replace(/^register (\d+)/, (_, register) => {
        const number = Number(register);
        return `extent ${Math.floor(number / REGISTERS_PER_EXTENT)} cell ${number % REGISTERS_PER_EXTENT}`;
      });
      throw new Broken(`random writes are not linearizable: ${extent}`);
    }
    for (const cells of this.#ledger.cells)
      if (this.#ledger.isThere(cells.extentId)) this.#mustBeEqual(cells);
  }

  #mustBeEqual(cells: Cells): void {
    const [first, ...others] = this.#master.members;
    for (const cell of cells.acknowledged) {
      const value = valueOn(first!, cells, cell);
      if (value <= UNWRITTEN) throw new Broken(`${first!.name} has lost ${nameOf(cells, cell)}: ${value}`);
      for (const other of others) {
        const there = valueOn(other, cells, cell);
        if (there !== value)
          throw new Broken(
            `${nameOf(cells, cell)} differs: ${value} on ${first!.name}, ${there} on ${other.name}`,
          );
      }
    }
  }

  #think(client: Client): void {
    const world = this.#world;
    world.after(world.between(50, this.#thinkMs), () => {
      if (!this.#isStopped) this.#act(client, () => this.#think(client));
    });
  }

  #act(client: Client, ended: () => void = () => {}): void {
    const span = this.#isStopped ? null : this.#chooseSpan();
    if (span === null) return ended();
    this.#open += 1;
    const closed = (): void => {
      this.#open -= 1;
      ended();
    };
    if (this.#world.random.chance(0.6)) this.#write(client, span, ++this.#lastValue, TRIES_MAX, closed);
    else this.#read(client, span, TRIES_MAX, closed);
  }

  get #thinkMs(): number {
    if (this.#world.stormy) return THINK_MS.stormy;
    if (!this.served.write || !this.served.read) return THINK_MS.unserved;
    const joins = this.#master.members.some(({ life }) => life === null || life.joining !== '');
    return joins ? THINK_MS.joining : THINK_MS.served;
  }

  #chooseSpan(): Span | null {
    const { random } = this.#world;
    let there = this.#ledger.cells.filter(({ extentId }) => this.#ledger.isThere(extentId));
    if (there.length < EXTENTS_MAX && this.#ledger.makeCells(random)) there = this.#ledger.cells.slice(-1);
    const cells = there[random.below(there.length)];
    if (cells === undefined) return null;
    const from = random.below(cells.count);
    return { cells, from, count: Math.min(cells.count - from, 1 + random.below(WIDTH_MAX)) };
  }

  #write(client: Client, span: Span, value: number, tries: number, ended: () => void): void {
    const { hits, random } = this.#world;
    const { cells, from, count } = span;
    const numbers = cellsOf(span);
    const called = numbers.map((cell) => {
      cells.written.add(cell);
      return this.#history.call(registerOf(cells, cell), 'write', value);
    });
    const body = new Uint8Array(count * CELL_BYTES);
    for (const [i, cell] of numbers.entries())
      body.set(contentOf(cells.extentId, cell, value), i * CELL_BYTES);
    const opcode = random.chance(0.3) ? OP.syncRandomWrite : OP.randomWrite;
    this.#ask(client, opcode, { cells, from, count }, body, (answer) => {
      if (answer === null) {
        hits.randomInDoubt += 1;
        return this.#again(span, tries, ended, () => this.#write(client, span, value, tries - 1, ended));
      }
      hits.randomWrites += 1;
      if (!this.#world.stormy) this.served.write = true;
      for (const cell of numbers) cells.acknowledged.add(cell);
      for (const number of called) this.#history.answer(number);
      ended();
    });
  }

  #read(client: Client, span: Span, tries: number, ended: () => void): void {
    const { cells } = span;
    const numbers = cellsOf(span);
    const known = numbers.map((cell) => cells.acknowledged.has(cell));
    const called = numbers.map((cell) => this.#history.call(registerOf(cells, cell), 'read'));
    this.#ask(client, OP.streamRead, span, NO_BYTES, (answer) => {
      if (answer === null)
        return this.#again(span, tries, ended, () => this.#read(client, span, tries - 1, ended));
      this.#world.hits.leaderReads += 1;
      if (!this.#world.stormy) this.served.read = true;
      for (const [i, cell] of numbers.entries()) {
        const value = cells.valueOf(cell, answer.slice(i * CELL_BYTES, (i + 1) * CELL_BYTES));
        // What was appended may be gone on a replica that was lost; a random write may not.
        const isLost = value === GARBAGE && !known[i] && this.#ledger.isInDoubt(cells.extentId, cell);
        if (!isLost) this.#history.answer(called[i]!, value);
      }
      ended();
    });
  }

  #again({ cells }: Span, tries: number, ended: () => void, go: () => void): void {
    const world = this.#world;
    if (tries <= 1 || !this.#ledger.isThere(cells.extentId)) return ended();
    world.after(world.between(10, AGAIN_MS_MAX), go);
  }

  /** Asks who seems to lead; null when that is not known to have been done. */
  #ask(client: Client, opcode: number, { cells, from, count }: Span, body: Uint8Array, ended: Ended): void {
    const world = this.#world;
    const { members } = this.#master;
    const node = client.leader ?? members[world.random.below(members.length)]!;
    let open = true;
    const end = (answer: Uint8Array | null): void => {
      if (!open) return;
      open = false;
      client.leader = answer === null ? null : node;
      if (answer !== null) this.#led = node;
      ended(answer);
    };
    world.after(ANSWER_MS_MAX, () => end(null));
    world.after(world.delayMs(), () => {
      const { life } = node;
      if (life === null) return world.after(world.delayMs(), () => end(null));
      const fields = { opcode, extentId: cells.extentId, extentOffset: from * CELL_BYTES };
      life.send({ ...fields, size: count * CELL_BYTES }, body, ({ ok, error, body: answer }) => {
        if (!ok) world.note(`${node.name} answers ${error}`);
        world.after(world.delayMs(), () => {
          // An answer of a process that has ended may be lost on its way.
          if (life.alive || world.random.chance(0.5)) end(ok ? answer : null);
        });
      });
    });
  }
}

function cellsOf({ from, count }: Span): number[] {
  return Array.from({ length: count }, (_, i) => from + i);
}

function registerOf({ extentId }: Cells, cell: number): number {
  return extentId * REGISTERS_PER_EXTENT + cell;
}

function nameOf({ extentId }: Cells, cell: number): string {
  return `cell ${cell} of extent ${extentId}`;
}

function valueOn(node: SimNode, cells: Cells, cell: number): number {
  const bytes = new Uint8Array(CELL_BYTES);
  node.file(cells.extentId)?.read(cell * CELL_BYTES, bytes);
  return cells.valueOf(cell, bytes);
}
