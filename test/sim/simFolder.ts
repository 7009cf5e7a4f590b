/**
 * A folder of the simulated disk: its entries now, and which of their changes are durable.
 */
import type { Random } from './random.js';
import type { SimFile } from './simFile.js';

export type SimNode = SimFile | SimFolder;

type Change =
  | { kind: 'link'; name: string; node: SimNode }
  | { kind: 'unlink'; name: string }
  | { kind: 'rename'; from: string; to: string; node: SimNode };

export class SimFolder {
  readonly kind = 'folder';
  readonly entries = new Map<string, SimNode>();
  private readonly durable = new Map<string, SimNode>();
  /** Changes that no fsync of the folder covers, in their order. */
  private changes: Change[] = [];

  link(name: string, node: SimNode): void {
    this.change({ kind: 'link', name, node });
  }

  unlink(name: string): void {
    this.change({ kind: 'unlink', name });
  }

  rename(from: string, to: string): void {
    this.change({ kind: 'rename', from, to, node: this.entries.get(from)! });
  }

  /** How many changes an fsync that begins now covers. */
  syncPoint(): Change[] {
    return [...this.changes];
  }

  makeDurable(point: readonly Change[]): void {
    for (const change of point) apply(this.durable, change);
    this.changes = this.changes.filter((change) => !point.includes(change));
  }

  /** Any subset of the changes that are not durable may have happened; a rename happens as a whole. */
  afterPowerLoss(random: Random): SimFolder {
    const kept = new Map(this.durable);
    for (const change of this.changes) if (random.chance(0.5)) apply(kept, change);
    const folder = new SimFolder();
    // A node under two names (a rename undone beside a kept link) becomes two nodes.
    for (const [name, node] of kept) folder.link(name, node.afterPowerLoss(random));
    folder.makeDurable(folder.syncPoint());
    return folder;
  }

  /** How many changes no fsync of the folder covers. */
  get unsyncedChanges(): number {
    return this.changes.length;
  }

  /** Every node that some power loss may leave in the folder. */
  possibleNodes(): Set<SimNode> {
    const nodes = new Set(this.durable.values());
    for (const change of this.changes) if (change.kind !== 'unlink') nodes.add(change.node);
    return nodes;
  }

  /** The folder with those of its unsynced changes that `kept` names by number, all durable; `image` gives the image of a node. */
  imageWith(kept: (change: number) => boolean, image: (node: SimNode) => SimNode): SimFolder {
    const entries = new Map(this.durable);
    for (const [number, change] of this.changes.entries()) if (kept(number)) apply(entries, change);
    const folder = new SimFolder();
    for (const [name, node] of entries) {
      const imaged = image(node);
      folder.entries.set(name, imaged);
      folder.durable.set(name, imaged);
    }
    return folder;
  }

  private change(change: Change): void {
    apply(this.entries, change);
    this.changes.push(change);
  }
}

function apply(entries: Map<string, SimNode>, change: Change): void {
  if (change.kind === 'link') entries.set(change.name, change.node);
  else if (change.kind === 'unlink') entries.delete(change.name);
  else {
    entries.delete(change.from);
    entries.set(change.to, change.node);
  }
}
