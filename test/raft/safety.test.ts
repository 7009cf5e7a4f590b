/**
 * What raft promises, of the bare core under a network that loses, repeats and reorders, disks that are late, restarts and changes of members: one leader a term, and every
 * node applies the same entries. Quick and without files; the simulation of the whole node stands on this.
 */
import t from 'tap';
import { RAFT_MESSAGE, type RaftMessage } from '../../src/protocol/raftMessage.js';
import { CHANGE_TYPE, ENTRY_TYPE, encodeConfigurationChange } from '../../src/protocol/raftStructs.js';
import { heartbeatRequests, hostedGroups, onHeartbeat } from '../../src/raft/heartbeats.js';
import { Random } from '../sim/random.js';
import { GROUP, ScriptNode } from './scriptNode.js';

const SEEDS = 150;
const STEPS = 2000;
const QUIET_ROUNDS = 60;
const UNDER_WAY_MAX = 200;
const NO_BYTES = new Uint8Array(0);
const isLocal = (group: number): boolean => group === GROUP;

class Cluster {
  readonly nodes = new Map<number, ScriptNode>();
  readonly random: Random;
  readonly counts = { leaders: 0, applied: 0, snapshots: 0, changes: 0, restarts: 0 };
  #underWay: RaftMessage[] = [];
  readonly #leaderOf = new Map<number, number>();
  readonly #appliedAt = new Map<number, string>();
  #proposed = 0;

  constructor(seed: number) {
    this.random = new Random(seed);
    for (const id of [1, 2, 3]) this.#start(id, [1, 2, 3], true);
  }

  #start(id: number, peers: readonly number[], mayCampaign: boolean): void {
    const limits = { inflightMax: 3, appendBytesMax: 80, retainedEntries: 2 };
    const events = {
      say: (line: string) => this.#hear(line),
      send: (message: RaftMessage) => this.#underWay.push(message),
    };
    this.nodes.set(id, new ScriptNode(id, peers, limits, events, mayCampaign));
  }

  /** Checks what a node tells of itself. */
  #hear(line: string): void {
    const leads = /^(\d+) is leader in term (\d+)/.exec(line);
    if (leads !== null) {
      const [, id, term] = leads.map(Number);
      const known = this.#leaderOf.get(term!);
      if (known !== undefined && known !== id) throw new Error(`${known} and ${id} lead in term ${term}`);
      this.#leaderOf.set(term!, id!);
      this.counts.leaders += 1;
    }
    const applies = /^\d+ applies (\d+)\/(.*)$/.exec(line);
    if (applies !== null) {
      const index = Number(applies[1]);
      const known = this.#appliedAt.get(index);
      if (known !== undefined && known !== applies[2]) throw new Error(`${line}, elsewhere ${known}`);
      this.#appliedAt.set(index, applies[2]!);
      this.counts.applied += 1;
    }
    if (line.includes('empties its log')) this.counts.snapshots += 1;
  }

  /** One thing happens somewhere. */
  step(): void {
    const { random } = this;
    const node = this.#anyNode();
    const dice = random.below(1000);
    if (dice < 700) this.#deliverOne();
    else if (dice < 740) node.tick();
    else if (dice < 810) this.#heartbeat(node);
    else if (dice < 910) this.#propose(node);
    else if (dice < 930) this.#change(node);
    else if (dice < 940) node.holds = random.chance(0.3);
    else if (dice < 960) node.persist(1 + random.below(3));
    else if (dice < 963) this.#restart(node);
    else if (dice < 970) node.evict();
    else if (dice < 975) node.load();
    else if (dice < 985) node.compact(node.core.log.applied);
    else if (dice < 988) node.core.snapshotSent(1 + random.below(5), random.chance(0.5));
    else if (dice < 990) node.pauses = random.chance(0.3);
    else if (dice < 993) node.lacksRoom = random.chance(0.5);
    else if (dice < 997) node.core.campaign(random.chance(0.3));
    node.draws = random.below(3);
    node.settle();
  }

  /** Everything works again, for as long as it takes to agree. */
  settle(): void {
    for (const node of this.nodes.values()) {
      node.holds = false;
      node.pauses = false;
      node.lacksRoom = false;
      node.persist();
      node.settle();
    }
    for (let round = 0; round < QUIET_ROUNDS; round += 1) {
      for (const node of this.nodes.values()) {
        node.draws = this.random.below(3);
        node.tick();
        node.settle();
        node.load();
        this.#heartbeat(node);
      }
      while (this.#underWay.length > 0) this.#deliver(this.#underWay.shift()!);
      for (const node of this.nodes.values()) {
        for (const { nodeId } of node.core.members()) node.core.snapshotSent(nodeId, false);
        node.settle();
      }
    }
  }

  /** Nodes that were removed are switched off, as their operator would; they may not have heard of it. */
  stopRemoved(): void {
    const [newest] = [...this.nodes.values()].toSorted((a, b) => b.core.log.applied - a.core.log.applied);
    const members = new Set(newest!.core.members().map(({ nodeId }) => nodeId));
    for (const id of this.nodes.keys()) if (!members.has(id)) this.nodes.delete(id);
  }

  leader(): ScriptNode | undefined {
    const leaders = [...this.nodes.values()].filter(({ core }) => core.isLeader);
    return leaders.toSorted((a, b) => b.core.term - a.core.term)[0];
  }

  propose(node: ScriptNode): void {
    this.#propose(node);
    node.settle();
  }

  #anyNode(): ScriptNode {
    const nodes = [...this.nodes.values()];
    return nodes[this.random.below(nodes.length)]!;
  }

  #deliverOne(): void {
    const { random } = this;
    if (this.#underWay.length > UNDER_WAY_MAX)
      this.#underWay.splice(0, this.#underWay.length - UNDER_WAY_MAX);
    if (this.#underWay.length === 0) return;
    const at = random.chance(0.8) ? 0 : random.below(this.#underWay.length);
    const message = this.#underWay[at]!;
    if (!random.chance(0.05)) this.#underWay.splice(at, 1);
    if (!random.chance(0.1)) this.#deliver(message);
  }

  #deliver(message: RaftMessage): void {
    const node = this.nodes.get(message.to);
    if (node === undefined) return;
    const { core } = node;
    if (message.type === RAFT_MESSAGE.heartbeatRequest) {
      const heard = onHeartbeat(node.id, message, isLocal);
      if (!heard.ok) throw new Error(heard.message);
      core.heartbeatRequest(message.from);
      this.#underWay.push(heard.value.answer);
    } else if (message.type === RAFT_MESSAGE.heartbeatResponse) {
      const hosted = hostedGroups(message, isLocal);
      if (hosted.ok && hosted.value.length > 0) core.heartbeatResponse(message.from);
    } else {
      core.step(message);
    }
    node.settle();
  }

  #heartbeat(node: ScriptNode): void {
    if (node.core.isLeader) this.#underWay.push(...heartbeatRequests(node.id, [node.core]));
  }

  #propose({ core }: ScriptNode): void {
    this.#proposed += 1;
    core.propose(ENTRY_TYPE.normal, [Buffer.from(`c${this.#proposed}`)]);
  }

  #change({ core }: ScriptNode): void {
    const members = core.members();
    const nodeId = 1 + this.random.below(5);
    const isMember = members.some((member) => member.nodeId === nodeId);
    if (isMember && members.length < 3) return;
    if (!this.nodes.has(nodeId))
      this.#start(nodeId, [...members.map((member) => member.nodeId), nodeId], false);
    const change = {
      type: isMember ? CHANGE_TYPE.remove : CHANGE_TYPE.add,
      peer: { type: 0, priority: 0, nodeId },
      context: NO_BYTES,
    };
    if (core.propose(ENTRY_TYPE.configurationChange, [encodeConfigurationChange(change)]).ok)
      this.counts.changes += 1;
  }

  #restart(node: ScriptNode): void {
    node.restart(true);
    this.counts.restarts += 1;
  }
}

t.test('one leader a term, the same entries everywhere, and agreement once things work', async (t) => {
  const sum = { leaders: 0, applied: 0, snapshots: 0, changes: 0, restarts: 0 };
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const cluster = new Cluster(seed);
    try {
      for (let step = 0; step < STEPS; step += 1) cluster.step();
      cluster.settle();
      cluster.stopRemoved();
      cluster.settle();
      const leader = cluster.leader();
      if (leader === undefined) throw new Error('nobody leads');
      cluster.propose(leader);
      cluster.settle();
      const { log } = leader.core;
      if (log.applied !== log.lastIndex) throw new Error(`applied ${log.applied} of ${log.lastIndex}`);
      for (const { nodeId } of leader.core.members()) {
        const member = cluster.nodes.get(nodeId)?.core.log;
        if (member !== undefined && member.applied !== log.applied)
          throw new Error(`${nodeId} has applied ${member.applied}`);
      }
    } catch (error) {
      t.fail(`seed ${seed}: ${error instanceof Error ? error.stack : error}`);
    }
    for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += cluster.counts[name];
  }
  t.comment(JSON.stringify(sum));
  t.ok(sum.leaders > 3 * SEEDS, 'leaders were elected again and again');
  t.ok(sum.applied > 40 * SEEDS, 'entries were applied');
  t.ok(sum.snapshots > SEEDS / 3, 'snapshots were taken');
  t.ok(sum.changes > SEEDS / 2, 'members were changed');
});
