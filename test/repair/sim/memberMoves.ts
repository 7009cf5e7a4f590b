/**
 * What the master of a simulated run has the raft group do when a replica takes the place of another: the old one is removed, then the new one is added, each by whoever leads (`admin.md` 14.5; `src/standalone/replicaMoves.ts` does it for real
 * nodes). It asks again until it is done; only then is the new replica made.
 */
import type { MemberCommand, MemberOutcome } from '../../../src/partition/messages.js';
import type { Peer } from '../../../src/protocol/adminBodies.js';
import { PARTITION } from './place.js';
import type { SimNode } from './simNode.js';
import type { World } from './world.js';

const ANSWER_MS_MAX = 10_000;
const AGAIN_MS = { min: 500, max: 3_000 };
const NOBODY: Peer = { id: 0, addr: '' };

export class MemberMoves {
  /** Moves that are not done. */
  open = 0;
  readonly #world: World;
  readonly #nodes: readonly SimNode[];

  constructor(world: World, nodes: readonly SimNode[]) {
    this.#world = world;
    this.#nodes = nodes;
  }

  /** `added` takes the place of `gone`. */
  replace(gone: Peer, added: Peer, done: () => void): void {
    this.open += 1;
    const remove = { addPeer: NOBODY, partitionId: PARTITION, removePeer: gone };
    const add = { addPeer: added, partitionId: PARTITION, removePeer: NOBODY };
    this.#ask({ kind: 'remove', change: remove }, '', () =>
      this.#ask({ kind: 'add', change: add }, '', () => {
        this.open -= 1;
        done();
      }),
    );
  }

  /** Asks until it is done; `address`: of whom, empty: whoever seems to lead. */
  #ask(command: MemberCommand, address: string, done: () => void): void {
    const world = this.#world;
    let open = true;
    const again = (leader: string): void => {
      if (!open) return;
      open = false;
      world.after(world.between(AGAIN_MS.min, AGAIN_MS.max), () => this.#ask(command, leader, done));
    };
    world.after(ANSWER_MS_MAX, () => again(''));
    const node = this.#chosen(address);
    if (node === undefined) return again('');
    world.after(world.delayMs(), () => {
      const { life } = node;
      if (life === null || node.pausedUntilMs > world.nowMs) return again('');
      life.raft.changeMembers(command, (answer) => {
        if (!open || !life.alive) return;
        if (!answer.ok) {
          world.note(`${node.name} does not change members: ${answer.message}`);
          return again('');
        }
        const { leader } = answer.value as MemberOutcome;
        if (leader !== '') return again(leader);
        open = false;
        world.hits.memberChanges += 1;
        const { kind, change } = command;
        world.note(`${kind} ${JSON.stringify(change)}: done by ${node.name}`);
        world.after(world.delayMs(), done);
      });
    });
  }

  #chosen(address: string): SimNode | undefined {
    const { random } = this.#world;
    const live = this.#nodes.filter(({ life }) => life !== null);
    const chosen = live.find((node) =>
      address === '' ? node.life!.raft.isLeader : node.address === address,
    );
    return chosen ?? live[random.below(live.length)];
  }
}
