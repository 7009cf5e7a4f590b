/**
 * Clients of a cluster: each writes and reads registers, one operation at a time, through the node that it believes to lead. What they asked and what they were told is
 * the history that must be linearizable.
 *
 * A register is 16 bytes of an extent, its value written twice, so that a torn one is noticed. A wide write sets all registers of an extent at once. A refused
 * operation certainly did not happen; of one that failed, or was not answered in time, nobody knows.
 */
import { crc32 } from 'node:zlib';
import { OP } from '../../../src/protocol/opcodes.js';
import { ENTRY_TYPE } from '../../../src/protocol/raftStructs.js';
import { marshalRandWriteRaftLog } from '../../../src/protocol/randWrite.js';
import { TRY_AGAIN } from '../../../src/raft/host.js';
import type { Cluster } from './cluster.js';
import { ClusterBroken } from './cluster.js';
import type { ClusterNode } from './clusterNode.js';
import { History } from './linearizability.js';
import { bytesOf, holds } from './repair.js';
import { GROUP, type SimNode } from './simNode.js';
import { EXTENT_BYTES, EXTENT_IDS } from './template.js';

const REGISTER_BYTES = 16;
/** In each extent: at its start, across two sectors, across two pages, at its end. */
const OFFSETS: readonly number[] = [0, 504, 4088, EXTENT_BYTES - REGISTER_BYTES];
/** Registers are numbered extent by extent. */
const REGISTERS = EXTENT_IDS.length * OFFSETS.length;
const WAY_MS_MAX = 3;
const TIMEOUT_MS = 3000;
const INITIAL_VALUE = 0;
/** Of operations. */
const RUMOUR_SHARE = 0.5;

/** What clients do. */
export interface ClientPlan {
  clients: number;
  /** Between an answer and the next operation, on average. */
  thinkMs: number;
  readShare: number;
  /** Of writes. */
  wideShare: number;
  /** Of writes that are synced one by one. */
  syncShare: number;
}

export interface ClientCounts {
  writes: number;
  reads: number;
  /** Of all of them. */
  answered: number;
  refused: number;
  /** Without an answer, or with one that leaves the outcome open. */
  unknown: number;
}

/** One write of one or more registers next to each other. */
interface Write {
  extentId: number;
  at: number;
  body: Uint8Array;
  /** One for each register, in the history. */
  operations: number[];
}

export class Clients {
  readonly history = new History();
  readonly initial = INITIAL_VALUE;
  readonly counts: ClientCounts = { writes: 0, reads: 0, answered: 0, refused: 0, unknown: 0 };
  private readonly cluster: Cluster;
  private readonly plan: ClientPlan;
  /** Each client's belief, by client. */
  private readonly believed: number[] = [];
  private lastValue = INITIAL_VALUE;
  private stopped = false;

  constructor(cluster: Cluster, plan: ClientPlan) {
    this.cluster = cluster;
    this.plan = plan;
    for (let client = 0; client < plan.clients; client += 1) {
      this.believed.push(1);
      this.think(client);
    }
  }

  /** No client begins anything more. */
  stop(): void {
    this.stopped = true;
  }

  /** Writes a register through a node; `done` hears how it ended. */
  writeOnce(node: ClusterNode, done: (error: string | null) => void): void {
    const write = this.makeWrite(this.cluster.random.below(OFFSETS.length), false);
    node.act((sim) => this.propose(node, sim, write, OP.randomWrite, done));
  }

  private think(client: number): void {
    const { events, random } = this.cluster;
    events.after(1 + random.below(2 * this.plan.thinkMs), () => {
      if (!this.stopped) this.begin(client);
    });
  }

  private begin(client: number): void {
    const { random } = this.cluster;
    const register = random.below(REGISTERS);
    if (random.chance(this.plan.readShare)) this.read(client, register);
    else this.write(client, register);
  }

  private write(client: number, register: number): void {
    const { random } = this.cluster;
    const { wideShare, syncShare } = this.plan;
    const write = this.makeWrite(register, random.chance(wideShare));
    const opcode = random.chance(syncShare) ? OP.syncRandomWrite : OP.randomWrite;
    this.counts.writes += 1;
    const ended = this.begun(client);
    const refused = (): void => ended('refused', () => this.refuse(write));
    this.ask(client, refused, (node, sim) => {
      const { extentId, at, body } = write;
      const range = { extentId, extentOffset: at, sizeBytes: body.byteLength, crc: 0, bodyCrc: 0 };
      if (sim.apply.proposalRefusal(range) !== null) return refused();
      this.propose(node, sim, write, opcode, (error) => {
        if (error === null) ended('answered', () => this.answer(write));
        else if (error === TRY_AGAIN) refused();
        else ended('unknown', ignore);
      });
    });
  }

  private read(client: number, register: number): void {
    const { history } = this;
    const { extentId, at } = placeOf(register);
    const operation = history.call(register, 'read');
    this.counts.reads += 1;
    const ended = this.begun(client);
    const refused = (): void => ended('refused', ignore);
    this.ask(client, refused, (_node, sim) => {
      sim.host.confirmRead(GROUP, (error) => {
        const end = at + REGISTER_BYTES;
        if (error !== null || !holds(sim, extentId, at, end)) return refused();
        const value = decodeValue(bytesOf(sim, extentId, at, end));
        ended('answered', () => {
          history.answer(operation, value);
          this.cluster.trace.answered(this.cluster.nowMs, operation, value);
        });
      });
    });
  }

  /** What a client hears ends its operation, once; when it hears nothing in time, its outcome is unknown. */
  private begun(client: number): Ended {
    let open = true;
    const end: Ended = (how, then) =>
      this.way(() => {
        if (!open) return;
        open = false;
        this.counts[how] += 1;
        then();
        if (how !== 'answered') this.believed[client] = this.anotherNode();
        this.think(client);
      });
    this.cluster.events.after(TIMEOUT_MS, () => end('unknown', ignore));
    return end;
  }

  /** The question goes to the node that is believed to lead. One that is down refuses the connection. */
  private ask(
    client: number,
    refused: () => void,
    question: (node: ClusterNode, sim: SimNode) => void,
  ): void {
    this.way(() => {
      const node = this.askedBy(client);
      if (node?.phase !== 'up') return refused();
      node.act((sim) => question(node, sim));
    });
  }

  /** Whom it believes to lead; sometimes it has heard of another one that says so. */
  private askedBy(client: number): ClusterNode | undefined {
    const { nodes, random } = this.cluster;
    const leaders = random.chance(RUMOUR_SHARE) ? [...nodes.values()].filter((node) => node.isLeader) : [];
    return leaders[random.below(leaders.length)] ?? nodes.get(this.believed[client]!);
  }

  private propose(
    node: ClusterNode,
    { host }: SimNode,
    { extentId, at, body }: Write,
    opcode: number,
    done: (error: string | null) => void,
  ): void {
    const data = marshalRandWriteRaftLog(opcode, extentId, at, body, crc32(body));
    host.propose(GROUP, data, (error) => {
      const { invariants } = this.cluster;
      if (error === null) invariants.acknowledged(node.id, { type: ENTRY_TYPE.normal, data });
      done(error);
    });
  }

  private makeWrite(register: number, wide: boolean): Write {
    const { extentId, at } = placeOf(register);
    const first = register - (register % OFFSETS.length);
    const registers = wide ? OFFSETS.map((_, place) => first + place) : [register];
    const from = wide ? 0 : at;
    const body = new Uint8Array(wide ? EXTENT_BYTES : REGISTER_BYTES);
    const operations = registers.map((each) => {
      this.lastValue += 1;
      encodeValue(body, placeOf(each).at - from, this.lastValue);
      return this.history.call(each, 'write', this.lastValue);
    });
    return { extentId, at: from, body, operations };
  }

  private answer({ operations }: Write): void {
    const { trace, nowMs } = this.cluster;
    for (const operation of operations) {
      this.history.answer(operation);
      trace.answered(nowMs, operation, 0);
    }
  }

  private refuse({ operations }: Write): void {
    for (const operation of operations) this.history.refuse(operation);
  }

  /** Where the last node points, or anybody. */
  private anotherNode(): number {
    const { nodes, random } = this.cluster;
    const ids = [...nodes.keys()];
    const id = ids[random.below(ids.length)]!;
    const hint = nodes.get(id)?.sim.group?.core.leader ?? 0;
    return hint === 0 ? id : hint;
  }

  private way(then: () => void): void {
    this.cluster.events.after(this.cluster.random.below(WAY_MS_MAX + 1), then);
  }
}

type Ended = (how: 'answered' | 'refused' | 'unknown', then: () => void) => void;

const ignore = (): void => undefined;

function placeOf(register: number): { extentId: number; at: number } {
  const extentId = EXTENT_IDS[Math.floor(register / OFFSETS.length)]!;
  return { extentId, at: OFFSETS[register % OFFSETS.length]! };
}

function encodeValue(into: Uint8Array, at: number, value: number): void {
  const view = new DataView(into.buffer);
  view.setFloat64(at, value);
  view.setFloat64(at + 8, value);
}

function decodeValue(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer);
  const value = view.getFloat64(0);
  if (view.getFloat64(8) !== value) throw new ClusterBroken('a register holds parts of two values');
  return value;
}
