/**
 * Raft's messages between the nodes of a simulated run, and streams of snapshots: the network of `test/raft/sim`, with processes of this run at its ends. What befalls messages and links is here too: they are late, lost, told twice or
 * overtaken, links are cut in one direction or in both, and nodes are told to lead.
 */
import { RAFT_MESSAGE, type RaftMessage } from '../../../src/protocol/raftMessage.js';
import type { SnapshotVerdict } from '../../../src/raft/types.js';
import { CALM, RaftWire, SimNetwork } from '../../raft/sim/network.js';
import type { Life } from './life.js';
import type { SimNode } from './simNode.js';
import type { World } from './world.js';

/** A word on a snapshot that does not come in this time will not. */
const VERDICT_MS_MAX = 20_000;
const UNEASY = {
  ...{ delayMinMs: 1, delayMaxMs: 6, lossShare: 0.02, duplicateShare: 0.02 },
  ...{ straggleShare: 0.03, straggleMs: 400 },
};
const FAULT_MS_MAX = 7_000;
const CUT_MS_MAX = 6_000;
const LATE_CUTS_MAX = 4;

interface Stream {
  readonly from: Life;
  readonly to: number;
  open: boolean;
}

/** From one node to another, by their ids. */
type Link = readonly [from: number, to: number];

export class RaftNetwork {
  readonly #world: World;
  readonly #nodes: readonly SimNode[];
  readonly #network: SimNetwork<RaftMessage>;
  /** Links on which something was lost since the last message that has arrived: `from>to`. */
  readonly #broken = new Set<string>();
  /** Cuts around first hosts that may come when the other faults have stopped. */
  #lateCuts = LATE_CUTS_MAX;
  readonly #arrived = new WeakMap<RaftMessage, Stream>();

  constructor(world: World, nodes: readonly SimNode[]) {
    this.#world = world;
    this.#nodes = nodes;
    const wire = world.traits.wire ? new RaftWire() : null;
    this.#network = new SimNetwork(world.events, world.random, (...sent) => this.#deliver(...sent), wire);
    this.#network.faults = { ...CALM, delayMinMs: 1, delayMaxMs: 2 };
    if (!world.traits.uneasyRaft) return;
    this.#network.faults = UNEASY;
    this.#nextFault();
  }

  send(from: Life, message: RaftMessage): void {
    if (message.type === RAFT_MESSAGE.snapshot) this.#stream(from, message);
    else this.#network.send(from.node.nodeId, message.to, message);
  }

  /** A follower has judged a snapshot. */
  verdict({ header, accepted }: SnapshotVerdict): void {
    const stream = this.#arrived.get(header);
    if (stream !== undefined) this.#world.after(this.#world.delayMs(), () => this.#ended(stream, accepted));
  }

  /** The process of a node has ended, and its connections with it. */
  ended(nodeId: number): void {
    for (const other of this.#nodes) {
      if (other.nodeId === nodeId) continue;
      this.#network.breakConnection(nodeId, other.nodeId);
      this.#network.breakConnection(other.nodeId, nodeId);
      this.#broken.add(`${other.nodeId}>${nodeId}`);
    }
  }

  /** A first host begins a round: what it gives to the others may be older than what they have. */
  roundBegins(first: SimNode): void {
    const { stormy, traits, random } = this.#world;
    if (!traits.uneasyRaft || (!stormy && this.#lateCuts === 0) || random.chance(0.4)) return;
    if (!stormy) this.#lateCuts -= 1;
    this.#cutAround(first);
  }

  /** The faults are over, but for a few. */
  calm(): void {
    this.#network.healAll();
    this.#network.faults = { ...CALM, delayMinMs: 1, delayMaxMs: 2 };
  }

  #deliver(from: number, to: number, message: RaftMessage): void {
    const life = this.#lifeOf(to);
    const link = `${from}>${to}`;
    if (life === null) {
      this.#broken.add(link);
      return;
    }
    const { pausedUntilMs } = life.node;
    if (pausedUntilMs > this.#world.nowMs) {
      this.#world.events.at(pausedUntilMs, () => {
        if (life.alive) this.#deliver(from, to, message);
      });
      return;
    }
    life.raft.receive(message);
    if (this.#broken.delete(link)) this.#lifeOf(from)?.raft.reconnected(to);
  }

  #stream(from: Life, header: RaftMessage): void {
    const world = this.#world;
    const stream = { from, to: header.to, open: true };
    world.after(VERDICT_MS_MAX, () => this.#ended(stream, false));
    world.after(world.delayMs(), () => {
      const life = this.#lifeOf(header.to);
      const breaks = world.stormy && world.random.chance(0.1);
      if (life === null || breaks || this.#network.isCut(from.node.nodeId, header.to))
        return this.#ended(stream, false);
      this.#arrived.set(header, stream);
      life.raft.receive(header);
    });
  }

  /** Once, to the process that has begun it. */
  #ended(stream: Stream, ok: boolean): void {
    if (!stream.open) return;
    stream.open = false;
    if (stream.from.alive) stream.from.raft.snapshotSent(stream.to, ok);
  }

  #lifeOf(nodeId: number): Life | null {
    return this.#nodes.find((node) => node.nodeId === nodeId)?.life ?? null;
  }

  #nextFault(): void {
    const world = this.#world;
    world.after(world.between(1_000, FAULT_MS_MAX), () => {
      if (!world.stormy) return;
      this.#fault();
      this.#nextFault();
    });
  }

  #fault(): void {
    const world = this.#world;
    const { random, hits } = world;
    const node = this.#nodes[random.below(this.#nodes.length)]!;
    const others = this.#nodes.filter((other) => other !== node);
    const kind = random.next();
    if (kind < 0.25) {
      hits.forcedElections += 1;
      world.note(`${node.name} is told to lead`);
      node.life?.raft.tryToLead();
      return;
    }
    const other = others[random.below(others.length)]!;
    if (kind < 0.4) return this.#network.breakConnection(node.nodeId, other.nodeId);
    if (kind >= 0.7) return this.#cutAround(node);
    world.note(`raft is cut from ${node.name} to ${other.name}`);
    this.#cut([[node.nodeId, other.nodeId]]);
  }

  #cutAround(node: SimNode): void {
    this.#world.note(`raft is cut around ${node.name}`);
    const others = this.#nodes.filter((other) => other !== node);
    this.#cut(
      others.flatMap(({ nodeId }): Link[] => [
        [node.nodeId, nodeId],
        [nodeId, node.nodeId],
      ]),
    );
  }

  #cut(links: readonly Link[]): void {
    const world = this.#world;
    world.hits.raftCuts += 1;
    for (const link of links) this.#network.cut(...link);
    world.after(world.between(500, CUT_MS_MAX), () => {
      for (const link of links) this.#network.heal(...link);
    });
  }
}
