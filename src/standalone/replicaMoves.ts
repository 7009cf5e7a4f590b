/**
 * What operators have the embedded master do with replicas: add one, delete one, move one to another node; in the real master's order (`admin.md` 14.5), with its texts where it has them. One at a time.
 *
 * Knows state and tasks only; sockets and files belong to `master.ts`.
 */
import { CREATE_TYPE, type Peer } from '../protocol/adminBodies.js';
import type { JsonValue } from '../protocol/jsonText.js';
import { OP } from '../protocol/opcodes.js';
import type { AdminResult } from './adminConnection.js';
import {
  addHost,
  type MasterNode,
  type MasterPartition,
  type MasterState,
  removeHost,
  replicaCreated,
} from './masterState.js';
import { creation, deletion } from './nodeLink.js';

/** What a move needs of the master. */
export interface MoveParts {
  readonly state: MasterState;
  /** Resolves when the state as it is now is on disk. */
  save(): Promise<void>;
  /** Address of the leader as the newest heartbeats tell; empty: none does. */
  leaderOf(partition: MasterPartition): string;
  /** The node has answered a heartbeat lately. */
  isLive(node: MasterNode): boolean;
  /** Sends a task and waits for its reply. */
  send(addr: string, opcode: number, partitionId: number, request: JsonValue): Promise<AdminResult>;
  /** Between two hosts that are asked to add a member, ms: the real master's 3 s. */
  readonly retryPauseMs: number;
}

/** `unknownNode`: no such node has registered. */
export type Moved = { ok: true } | { ok: false; message: string; unknownNode?: true };

const DONE: Moved = { ok: true };

export class ReplicaMoves {
  readonly #parts: MoveParts;
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: MoveParts) {
    this.#parts = parts;
  }

  /** A replica on one more node: it joins by repair. */
  add(partition: MasterPartition, addr: string): Promise<Moved> {
    return this.#inTurn(() => this.#add(partition, addr));
  }

  /** One replica less, when enough others are there. */
  delete(partition: MasterPartition, addr: string): Promise<Moved> {
    return this.#inTurn(async () => this.#refusal(partition, addr) ?? this.#remove(partition, addr));
  }

  /** A replica leaves its node, and one on another node takes its place. A node that has none is success. */
  decommission(partition: MasterPartition, addr: string): Promise<Moved> {
    return this.#inTurn(async () => {
      if (!partition.hosts.includes(addr)) return DONE;
      const refusal = this.#refusal(partition, addr);
      if (refusal !== null) return refusal;
      const target = this.#target(partition);
      if (target === null)
        return { ok: false, message: 'No enough data nodes for creating a data partition' };
      const removed = await this.#remove(partition, addr);
      return removed.ok ? this.#add(partition, target.addr) : removed;
    });
  }

  #inTurn(move: () => Promise<Moved>): Promise<Moved> {
    const moved = this.#last.then(move);
    this.#last = moved.catch(() => {});
    return moved;
  }

  /** Replicas that a partition is to have. */
  get #replicaCount(): number {
    return Math.min(3, this.#parts.state.nodes.length);
  }

  #refusal({ id, hosts }: MasterPartition, addr: string): Moved | null {
    if (hosts.length <= this.#replicaCount - 1) return { ok: false, message: 'has one missing replica' };
    const { state, isLive } = this.#parts;
    const others = state.nodes.filter((node) => node.addr !== addr && hosts.includes(node.addr));
    if (others.filter((node) => isLive(node)).length >= Math.floor(this.#replicaCount / 2)) return null;
    return { ok: false, message: `partition ${id} cannot be offline: too few of its other nodes are live` };
  }

  /** A live node without a replica, the one with the fewest partitions. */
  #target(partition: MasterPartition): MasterNode | null {
    const { state, isLive } = this.#parts;
    const countOf = ({ addr }: MasterNode): number =>
      state.partitions.filter(({ hosts }) => hosts.includes(addr)).length;
    const free = state.nodes.filter((node) => !partition.hosts.includes(node.addr) && isLive(node));
    return free.sort((a, b) => countOf(a) - countOf(b))[0] ?? null;
  }

  #peerAt(addr: string): Peer | null {
    const node = this.#parts.state.nodes.find((one) => one.addr === addr);
    return node === undefined ? null : { id: node.id, addr };
  }

  async #add(partition: MasterPartition, addr: string): Promise<Moved> {
    const peer = this.#peerAt(addr);
    if (peer === null) return UNKNOWN_NODE;
    if (partition.hosts.includes(addr)) {
      const { volume } = this.#parts.state;
      return {
        ok: false,
        message: `vol[${volume}],data partition[${partition.id}] has contains host[${addr}]`,
      };
    }
    const asked = await this.#askToAdd(partition, peer);
    if (!asked.ok) return asked;
    addHost(partition, peer);
    await this.#parts.save();
    const { state, send } = this.#parts;
    const request = creation(partition, state.volume, CREATE_TYPE.decommissioned);
    const created = await send(addr, OP.createDataPartition, partition.id, request);
    // It stays among those that the node has to create.
    if (!created.ok) return created;
    replicaCreated(partition, addr, created.body);
    await this.#parts.save();
    return DONE;
  }

  /** The leader first, then the others, until one has done it. */
  async #askToAdd(partition: MasterPartition, peer: Peer): Promise<AdminResult> {
    const { leaderOf, send, retryPauseMs } = this.#parts;
    const leader = leaderOf(partition);
    const order = [...partition.hosts].sort((a, b) => Number(b === leader) - Number(a === leader));
    let asked: AdminResult = { ok: false, message: 'the partition has no host' };
    for (const [at, host] of order.entries()) {
      if (at > 0) await new Promise((resolve) => setTimeout(resolve, retryPauseMs));
      const request = { PartitionId: partition.id, AddPeer: { ...peer } };
      asked = await send(host, OP.addDataPartitionRaftMember, partition.id, request);
      if (asked.ok) break;
    }
    return asked;
  }

  async #remove(partition: MasterPartition, addr: string): Promise<Moved> {
    const peer = this.#peerAt(addr);
    if (peer === null) return UNKNOWN_NODE;
    const { id } = partition;
    const { state, leaderOf, send, save } = this.#parts;
    const leader = leaderOf(partition);
    // Without a known leader any host will do, for it passes the task on.
    const asked = leader === '' ? partition.hosts.find((host) => host !== addr) : leader;
    if (asked === undefined) return { ok: false, message: 'the partition has no other host' };
    const request = { PartitionId: id, RemovePeer: { ...peer } };
    const removed = await send(asked, OP.removeDataPartitionRaftMember, id, request);
    if (!removed.ok) return removed;
    removeHost(partition, addr);
    await save();
    // The replica has gone by itself when it has heard of its removal; a node that is away is asked again when it reports the replica.
    await send(addr, OP.deleteDataPartition, id, deletion(partition));
    const [first] = partition.hosts;
    if (leader !== addr || first === undefined || !state.nodes.some((node) => node.addr === first))
      return DONE;
    const led = await send(first, OP.dataPartitionTryToLeader, id, null);
    return led.ok ? DONE : led;
  }
}

const UNKNOWN_NODE: Moved = { ok: false, message: 'data node not exists', unknownNode: true };
