/**
 * One simulated run of three to five replicas: a seed in, what happened out. First clients and faults together; then the faults stop, and all replicas have to become equal within a bound of simulated time, with everything that was
 * acknowledged and nothing that was deleted.
 */
import { ExchangeSchedule } from '../../../src/repair/appliedIds.js';
import { PeerConnection } from '../../../src/repair/peerConnection.js';
import { Bits } from './bits.js';
import { Clients } from './clients.js';
import { Faults } from './faults.js';
import { Ledger } from './ledger.js';
import { dialIn } from './life.js';
import { Master } from './master.js';
import { RaftNetwork } from './raftNetwork.js';
import { raftUnrest, watchCuts } from './raftRest.js';
import { Registers } from './registers.js';
import { SimNode } from './simNode.js';
import { Broken, type Hits, World, withTimersOf } from './world.js';

const STORM_MS = 40_000;
/** The storm goes on for so long when another first host has to come into its own. */
const LONGER_MS = 15_000;
/** All 64 tiny extents are looked at within 26 minutes: ten a round, two minutes apart. */
const REST_MS_MAX = 1_800_000;
const LOOK_MS = 20_000;
/** How much more time has passed than has passed. */
const EXCHANGES_SOONER = 5;

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
  const { next, ended } = ExchangeSchedule.prototype;
  exchangeSooner(world);
  try {
    await withTimersOf(world, () => run.toItsEnd());
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new RunFailed(seed, error, world.trace);
  } finally {
    PeerConnection.dial = dial;
    Object.assign(ExchangeSchedule.prototype, { next, ended });
  }
  const { hits, events, nowMs: simulatedMs, digest } = world;
  return { seed, nodes: run.nodes.length - 1, hits, events: events.happened, simulatedMs, digest };
}

/** While faults may happen, applied indexes are exchanged each ten seconds instead of each minute, so that logs are cut while replicas are lost. */
function exchangeSooner(world: World): void {
  const { next, ended } = ExchangeSchedule.prototype;
  const paced = (nowMs: number): number => nowMs + EXCHANGES_SOONER * Math.min(world.nowMs, world.calmFromMs);
  Object.assign(ExchangeSchedule.prototype, {
    next(this: ExchangeSchedule, nowMs: number) {
      return next.call(this, paced(nowMs));
    },
    ended(this: ExchangeSchedule, partitionId: number, nowMs: number) {
      ended.call(this, partitionId, paced(nowMs));
    },
  });
}

class Run {
  readonly nodes: readonly SimNode[];
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
    const count = world.random.chance(0.8) ? 3 : world.between(4, 5);
    // One more than there are hosts: it may take the place of one.
    this.nodes = Array.from({ length: count + 1 }, (_, i) => new SimNode(world, i));
  }

  async toItsEnd(): Promise<void> {
    const world = this.#world;
    const { nodes } = this;
    world.raft = new RaftNetwork(world, nodes);
    const hosts = nodes.slice(0, -1);
    const master = new Master(world, hosts, nodes.at(-1)!);
    const keeper = hosts[world.random.below(hosts.length)]!;
    for (const node of nodes) {
      node.mayLeave = node !== keeper;
      node.master = master;
    }
    for (const node of hosts) node.start();
    const ledger = new Ledger(world, master, keeper);
    const clients = new Clients(world, ledger, master, world.between(2, 4));
    const registers = new Registers(world, ledger, master, world.between(1, 3));
    watchCuts(world, master);
    new Faults(world, ledger, nodes, keeper);
    await world.runUntil(world.traits.changingHosts ? STORM_MS + LONGER_MS : STORM_MS);
    world.calmFromMs = world.nowMs;
    world.raft.calm();
    world.note('the faults stop');
    for (const node of nodes) {
      node.pausedUntilMs = 0;
      if (node.life === null && master.members.includes(node)) node.comeBack();
    }
    await this.#rest(master, ledger, clients, registers);
    await registers.readAll();
    ledger.checkAll();
    registers.check();
    if (world.traits.bits) {
      await new Bits(world, master, ledger).run();
      ledger.checkAll();
    }
    for (const node of nodes) node.life?.end(false);
  }

  async #rest(master: Master, ledger: Ledger, clients: Clients, registers: Registers): Promise<void> {
    const world = this.#world;
    const until = world.nowMs + REST_MS_MAX;
    // Extents that were written last must have been left alone for a minute.
    await world.runUntil(world.nowMs + 60_000);
    let isQuiet = false;
    for (;;) {
      const problem = this.#unrest(master, ledger, clients);
      const raft = registers.unrest ?? raftUnrest(master, ledger);
      if (problem === null && raft === null && isQuiet) return;
      // Random writes end when all else has come to rest.
      isQuiet = problem === null && registers.unrest === null;
      if (isQuiet) registers.stop();
      if (world.nowMs >= until)
        throw new Broken(
          problem === null
            ? `raft does not come to rest: ${raft}`
            : `the replicas do not become equal: ${problem}`,
        );
      await world.runUntil(world.nowMs + LOOK_MS);
    }
  }

  #unrest(master: Master, ledger: Ledger, clients: Clients): string | null {
    if (clients.toRemove.size > 0) return `${clients.toRemove.size} deletes are not acknowledged`;
    const { normal, tiny } = clients.served;
    if (!normal || !tiny) return 'appends are not served';
    const lengths = ledger.unequalLengths();
    if (lengths !== null) return lengths;
    for (const { life, name } of master.members) {
      if (life === null) return `${name} is down`;
      if (life.joining !== '') return `${name} still joins: ${life.joining}`;
    }
    return null;
  }
}
