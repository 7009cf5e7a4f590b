/** Faults of a simulated run, one every few seconds: processes, power, pauses, disks. What befalls packets is in `peerWire.ts` and `primarySide.ts`. */
import type { Ledger } from './ledger.js';
import type { SimNode } from './simNode.js';
import type { World } from './world.js';

const BETWEEN_MS_MAX = 13_000;
const PAUSE_MS_MAX = 7_000;

export class Faults {
  readonly #world: World;
  readonly #ledger: Ledger;
  readonly #nodes: readonly SimNode[];
  readonly #keeper: SimNode;

  /** @param keeper never loses anything. */
  constructor(world: World, ledger: Ledger, nodes: readonly SimNode[], keeper: SimNode) {
    this.#world = world;
    this.#ledger = ledger;
    this.#nodes = nodes;
    this.#keeper = keeper;
    this.#next();
  }

  #next(): void {
    const world = this.#world;
    world.after(world.between(1_000, BETWEEN_MS_MAX), () => {
      if (!world.stormy) return;
      this.#hit();
      this.#next();
    });
  }

  #hit(): void {
    const world = this.#world;
    const { random } = world;
    const node = this.#nodes[random.below(this.#nodes.length)]!;
    const { life } = node;
    if (life === null) return;
    const kind = random.next();
    const isKeeper = node === this.#keeper;
    if (kind < 0.3 || (isKeeper && kind >= 0.5)) return node.killed(life, 'by chance');
    if (kind < 0.5) return this.#pause(node);
    if (kind < 0.7 && world.traits.losesPower) {
      this.#ledger.losesPower(node);
      return node.powerLost();
    }
    if (kind < 0.725 && world.replicasLost === 0 && node.mayLoseAll) {
      world.replicasLost += 1;
      return node.newDisk();
    }
    node.killed(life, 'by chance');
    this.#truncate(node);
  }

  #pause(node: SimNode): void {
    const world = this.#world;
    world.hits.pauses += 1;
    node.pausedUntilMs = world.nowMs + world.between(500, PAUSE_MS_MAX);
    world.note(`${node.name} pauses until ${node.pausedUntilMs}`);
  }

  /** Somebody cuts an extent while the node is down. */
  #truncate(node: SimNode): void {
    const { random, hits } = this.#world;
    const { folder } = node;
    if (folder === undefined) return;
    const files = [...folder.entries].filter(
      // What is committed and applied is not written again: nobody could know of it (docs/open.md, "cut-behind-raft").
      ([name, file]) =>
        Number(name) > 0 && file.kind === 'file' && file.size > 0 && this.#ledger.mayBeCut(Number(name)),
    );
    const chosen = files[random.below(files.length)];
    if (chosen === undefined || chosen[1].kind !== 'file') return;
    const [name, file] = chosen;
    const size = Math.floor(random.below(file.size) / 4096) * 4096;
    this.#world.note(`extent ${name} of ${node.name} is cut from ${file.size} to ${size} bytes`);
    file.truncate(size);
    this.#ledger.cut(node, Number(name), size);
    hits.truncated += 1;
  }
}
