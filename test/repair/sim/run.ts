/**
 * One simulated run of three to five replicas: a seed in, what happened out. First clients and faults together; then the faults stop, and all replicas have to become equal within a bound of simulated time, with everything that was
 * acknowledged and nothing that was deleted.
 */
import { PeerConnection } from '../../../src/repair/peerConnection.js';
import { Clients } from './clients.js';
import { Faults } from './faults.js';
import { Ledger } from './ledger.js';
import { dialIn, SimNode } from './simNode.js';
import { Broken, type Hits, World, withTimersOf } from './world.js';

const STORM_MS = 40_000;
/** Repair has ten rounds of each kind. */
const REST_MS_MAX = 1_500_000;
const LOOK_MS = 20_000;

export interface RunReport {
  readonly seed: number;
  readonly nodes: number;
  readonly hits: Hits;
  readonly events: number;
  readonly simulatedMs: number;
  /** A checksum of what happened, in its order. */
  readonly digest: number;
}

/** A run that has shown a bug. */
export class RunFailed extends Error {
  readonly lines: readonly string[];

  constructor(seed: number, cause: Error, lines: readonly string[]) {
    super(`seed ${seed}: ${cause.message}\nreplay: node dist/test/long/repairSim.js --seed ${seed}`, {
      cause,
    });
    this.lines = lines;
  }
}

/** Runs one seed; one at a time. Rejects with a `RunFailed` when something that must hold does not. */
export async function runSeed(seed: number): Promise<RunReport> {
  const world = new World(seed);
  const run = new Run(world);
  const { dial } = PeerConnection;
  PeerConnection.dial = dialIn(world, () => run.nodes);
  try {
    await withTimersOf(world, () => run.toItsEnd());
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new RunFailed(seed, error, world.trace);
  } finally {
    PeerConnection.dial = dial;
  }
  const { hits, events, nowMs: simulatedMs, digest } = world;
  return { seed, nodes: run.nodes.length, hits, events: events.happened, simulatedMs, digest };
}

class Run {
  readonly nodes: readonly SimNode[];
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
    const count = world.random.chance(0.8) ? 3 : world.between(4, 5);
    const hosts = Array.from({ length: count }, (_, i) => `10.0.0.${i + 1}:17310`);
    this.nodes = hosts.map((_, i) => new SimNode(world, i, hosts));
  }

  async toItsEnd(): Promise<void> {
    const world = this.#world;
    const { nodes } = this;
    for (const node of nodes) node.start();
    const keeper = nodes[world.random.below(nodes.length)]!;
    const ledger = new Ledger(world, nodes, keeper);
    const clients = new Clients(world, ledger, nodes, world.between(2, 4));
    new Faults(world, ledger, nodes, keeper);
    await world.runUntil(STORM_MS);
    world.stormy = false;
    world.note('the faults stop');
    for (const node of nodes) {
      node.pausedUntilMs = 0;
      if (node.life === null) node.comeBack();
    }
    await this.#rest(ledger, clients);
    ledger.checkAll();
    for (const node of nodes) node.life?.end();
  }

  async #rest(ledger: Ledger, clients: Clients): Promise<void> {
    const world = this.#world;
    const until = world.nowMs + REST_MS_MAX;
    // Extents that were written last must have been left alone for a minute.
    await world.runUntil(world.nowMs + 60_000);
    for (;;) {
      const problem = this.#unrest(ledger, clients);
      if (problem === null) return;
      if (world.nowMs >= until) throw new Broken(`the replicas do not become equal: ${problem}`);
      await world.runUntil(world.nowMs + LOOK_MS);
    }
  }

  #unrest(ledger: Ledger, clients: Clients): string | null {
    if (clients.toRemove.size > 0) return `${clients.toRemove.size} deletes are not acknowledged`;
    const lengths = ledger.unequalLengths();
    if (lengths !== null) return lengths;
    for (const { life, name } of this.nodes) {
      if (life === null) return `${name} is down`;
      if (life.joining !== '') return `${name} still joins: ${life.joining}`;
    }
    return null;
  }
}
