/**
 * One run of a simulated cluster: a seed and a setting in, what happened out. First clients, faults and changes of members together; then the faults stop, and the cluster has
 * to come to rest within a bound: a leader, all members in one state, a fresh write carried out by all. At last the history of the clients has to be linearizable.
 */
import { crc32 } from 'node:zlib';
import { Random } from '../../sim/random.js';
import { type ClientCounts, type ClientPlan, Clients } from './clients.js';
import { Cluster, ClusterBroken, type ClusterCounts, type PlantedParts } from './cluster.js';
import type { ClusterNode } from './clusterNode.js';
import { type MemberView, notConverged } from './convergence.js';
import { type FaultCounts, Storm, type StormPlan } from './faults.js';
import { checkHistory } from './linearizability.js';
import { Operator, type OperatorPlan } from './operator.js';
import { bytesOf, Repair } from './repair.js';
import { EXTENT_BYTES, EXTENT_IDS } from './template.js';
import { Trace } from './trace.js';

/** What a run is made of. */
export interface Setting {
  name: string;
  /** Of simulated time, before the faults stop. */
  durationMs: number;
  /** Share of runs with five members, and of those whose messages travel as bytes. */
  fiveShare: number;
  wireShare: number;
  storm: StormPlan;
  operator: OperatorPlan;
  clients: ClientPlan;
}

export interface RunOptions {
  setting: Setting;
  planted?: PlantedParts;
  /** Gets each line of the trace. */
  print?: (line: string) => void;
}

export interface RunReport {
  seed: number;
  /** Of everything that happened (`trace.ts`). */
  hash: string;
  simulatedMs: number;
  events: number;
  members: number;
  elections: number;
  committed: number;
  cluster: ClusterCounts;
  clients: ClientCounts;
  faults: FaultCounts;
  /** Pieces of extents that were fetched, and comparisons after snapshots. */
  fetched: number;
  compared: number;
}

/** A run that has shown a bug. */
export class RunFailed extends Error {
  readonly seed: number;
  readonly #lines: string[];

  constructor(seed: number, setting: Setting, cause: Error, lines: string[]) {
    const replay = `node dist/test/long/raftSim.js --setting ${setting.name} --seed ${seed}`;
    super(`seed ${seed}: ${cause.message}\nreplay: ${replay}`, { cause });
    this.seed = seed;
    this.#lines = lines;
  }

  /** The last lines of the trace. */
  get lines(): readonly string[] {
    return this.#lines;
  }
}

/** Simulated time in which a cluster without faults comes to rest. */
const REST_MS_MAX = 180_000;
const LOOK_MS = 1000;

/** Runs one seed. The same seed and setting give the same report. Throws a `RunFailed` when something that must hold does not. */
export function runSeed(seed: number, { setting, planted, print }: RunOptions): RunReport {
  const trace = new Trace(print);
  try {
    return new Run(seed, setting, trace, planted).toItsEnd();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new RunFailed(seed, setting, error, trace.lines());
  }
}

class Run {
  private readonly seed: number;
  private readonly cluster: Cluster;
  private readonly operator: Operator;
  private readonly clients: Clients;
  private readonly storm: Storm;
  private readonly members: number;
  private readonly durationMs: number;

  constructor(seed: number, setting: Setting, trace: Trace, planted: PlantedParts = {}) {
    const random = new Random(seed);
    this.seed = seed;
    this.durationMs = setting.durationMs;
    this.members = random.chance(setting.fiveShare) ? 5 : 3;
    const wire = random.chance(setting.wireShare);
    this.cluster = new Cluster({ random, trace, members: this.members, wire, planted });
    this.operator = new Operator(this.cluster, setting.operator);
    this.clients = new Clients(this.cluster, setting.clients);
    this.storm = new Storm(this.cluster, setting.storm);
  }

  toItsEnd(): RunReport {
    const { cluster, clients } = this;
    cluster.events.runUntil(this.durationMs);
    this.calmDown();
    this.until('does not come to rest', () => this.unrest());
    this.writeOnce();
    const complaint = checkHistory(clients.history.operations(), clients.initial);
    if (complaint !== null) throw new ClusterBroken(`not linearizable: ${complaint}`);
    cluster.close();
    return this.report();
  }

  private calmDown(): void {
    const { cluster, operator } = this;
    cluster.note(null, 'the faults stop');
    this.clients.stop();
    this.storm.stop();
    operator.plan = { changeEveryMs: 0, compactEveryMs: 0 };
    operator.repair.makeShare = 1;
    cluster.patienceMs = 0;
    for (const node of cluster.nodes.values()) node.idleUntilMs = cluster.nowMs;
  }

  /** Null when all members are in one state, and none of them lacks anything. */
  private unrest(): string | null {
    const { cluster } = this;
    const lacking = cluster.memberNodes.find((node) => node.serves && !Repair.isWhole(node));
    const views = [...cluster.nodes.values()].map((node) => viewOf(node));
    return notConverged(views) ?? (lacking === undefined ? null : `node ${lacking.id} still lacks contents`);
  }

  private writeOnce(): void {
    let outcome: string | null = 'not answered';
    this.until('a fresh write fails', () => {
      const { leader } = this.cluster;
      if (outcome !== null && leader !== undefined)
        this.clients.writeOnce(leader, (error) => {
          outcome = error;
        });
      return outcome;
    });
    this.until('does not come to rest again', () => this.unrest());
  }

  private until(what: string, ask: () => string | null): void {
    const { events } = this.cluster;
    const endMs = events.nowMs + REST_MS_MAX;
    for (;;) {
      const problem = ask();
      if (problem === null) return;
      if (events.nowMs >= endMs) throw new ClusterBroken(`${what}: ${problem}`);
      events.runUntil(events.nowMs + LOOK_MS);
    }
  }

  private report(): RunReport {
    const { cluster, clients, operator, storm, seed, members } = this;
    return {
      ...{ seed, members, hash: cluster.trace.hash, simulatedMs: cluster.nowMs },
      ...{ events: cluster.events.happened, elections: cluster.invariants.elections },
      ...{ committed: cluster.invariants.ledger.committedIndex, cluster: cluster.counts },
      ...{ clients: clients.counts, faults: storm.total() },
      ...{ fetched: operator.repair.fetched, compared: operator.repair.compared },
    };
  }
}

function viewOf(node: ClusterNode): MemberView {
  const { group } = node.sim;
  const isUp = node.serves && group !== undefined;
  if (!isUp) {
    const nothing = { isLeader: false, term: 0, lastIndex: 0, committed: 0, applied: 0 };
    return { node: node.id, isUp, ...nothing, members: [], stateDigest: '' };
  }
  const { isLeader, term, log } = group.core;
  const { lastIndex, committed, applied } = log;
  return {
    ...{ node: node.id, isUp, isLeader, term, lastIndex, committed, applied },
    members: group.core.members().map(({ nodeId }) => nodeId),
    // Only looked at when all else is the same.
    get stateDigest(): string {
      return digest(node);
    },
  };
}

/** A checksum of the contents of all extents. */
function digest({ sim }: ClusterNode): string {
  let crc = 0;
  for (const extentId of EXTENT_IDS) crc = crc32(bytesOf(sim, extentId, 0, EXTENT_BYTES), crc);
  return String(crc);
}
