/**
 * The master of a simulated run: the list of hosts in its order, and how nodes and clients learn of another one. It swaps members, so that another one is first, and gives the place of a member to a new node.
 *
 * Nodes learn late, and the one whose place is gone may never: it goes on as it was, with rounds of its own if it was first, until its list is too old. Clients leave the old first host at once and come to the new one when
 * nothing that was sent there can still be on its way: two first hosts at one time is what the master's clients never see.
 */
import type { Peer } from '../../../src/protocol/adminBodies.js';
import { MemberMoves } from './memberMoves.js';
import type { SimNode } from './simNode.js';
import type { World } from './world.js';

/** When the list changes, and for how long nodes do not know, ms. */
const CHANGE_MS = { min: 8_000, max: 36_000 };
const LATE_MS_MAX = 20_000;
/** Longer than any deadline of a link and any pause of a node. */
const CLIENTS_LEAVE_MS = 16_000;

export class Master {
  /** Hosts in their order, the first being the primary. */
  members: SimNode[];
  /** There was another list. */
  hasChanged = false;
  /** Clients find nobody before. */
  servedFromMs = 0;
  /** Clients learn that the list has changed. */
  changed: () => void = () => {};
  readonly #world: World;
  readonly #spare: SimNode;
  readonly moves: MemberMoves;

  constructor(world: World, members: SimNode[], spare: SimNode) {
    this.#world = world;
    this.#spare = spare;
    this.members = members;
    this.moves = new MemberMoves(world, [...members, spare]);
    for (const node of [...members, spare]) node.hosts = this.#list();
    if (world.traits.changingHosts)
      world.after(world.between(CHANGE_MS.min, CHANGE_MS.max), () => this.#change());
  }

  get first(): SimNode {
    return this.members[0]!;
  }

  /** Members of the group, as the master has them. */
  get peers(): Peer[] {
    return this.members.map(({ peer }) => peer);
  }

  /** What a node that asks is told; one that is no host any more is told nothing. */
  tell(node: SimNode): void {
    if (!this.members.includes(node)) return;
    node.hosts = this.#list();
    node.life?.learnHosts();
  }

  #list(): string[] {
    return this.members.map(({ address }) => address);
  }

  #change(): void {
    const world = this.#world;
    const leaver = this.members.find((node) => node.mayLeave && world.random.chance(0.4));
    if (leaver !== undefined && world.replicasLost === 0) this.#move(leaver);
    else this.#tellAll(() => this.#swap());
  }

  /** The group knows of it before anybody else does. */
  #move(leaver: SimNode): void {
    this.#world.replicasLost += 1;
    leaver.isLeaving = true;
    this.moves.replace(leaver.peer, this.#spare.peer, () => this.#tellAll(() => this.#replace(leaver)));
  }

  #tellAll(change: () => void): void {
    const world = this.#world;
    const before = this.first;
    this.hasChanged = true;
    change();
    world.note(`the master has another list: ${this.members.map(({ name }) => name).join(' ')}`);
    this.servedFromMs = world.nowMs + CLIENTS_LEAVE_MS;
    if (this.first !== before) world.hits.secondFirstHosts += 1;
    this.changed();
    for (const node of this.members)
      world.after(world.random.chance(0.5) ? 0 : world.between(0, LATE_MS_MAX), () => this.tell(node));
  }

  #swap(): void {
    const { random, hits } = this.#world;
    const able = this.members.slice(1).filter(({ mayLead }) => mayLead);
    const one = able[random.below(able.length)];
    if (one === undefined) return;
    const others = this.members.filter((node) => node !== one);
    const at = random.chance(0.7) ? 0 : others.length;
    this.members = [...others.slice(0, at), one, ...others.slice(at)];
    hits.swappedHosts += 1;
  }

  #replace(leaver: SimNode): void {
    const world = this.#world;
    const spare = this.#spare;
    world.hits.replacedHosts += 1;
    this.members = [...this.members.filter((node) => node !== leaver), spare];
    spare.hosts = this.#list();
    spare.joinsNow();
    if (world.random.chance(0.4)) leaver.leaves();
    world.note(`${spare.name} takes the place of ${leaver.name}`);
  }
}
