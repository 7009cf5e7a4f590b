/**
 * The language of the scripts in `test/golden/raft`: nodes of one group, a network that delivers when told, a clock that ticks when told.
 *
 * A script is blocks with a blank line between them: comments (`#`), commands, `----`, and what was printed. `silently COMMAND` prints nothing.
 *
 * | command | what it does |
 * |---|---|
 * | `nodes 1 2 3 [limit=N ...]` | everything anew: nodes that are members of one group |
 * | `node 4 of 1 2 3 4` | starts a node with a list of members of its own |
 * | `draws 2 1` | what node 2 draws for its time-outs from its next role on |
 * | `tick 1 [N]` | N ticks of node 1; says at which of several something happens |
 * | `round [N]` | N times: every node ticks, leaders send heartbeats, everything is delivered |
 * | `heartbeat 1` | node 1 sends its heartbeats if it leads |
 * | `hears 1 2` | node 1 hears a heartbeat of 2, whoever that is |
 * | `beat 1 [N]` | N times: node 1 ticks, sends its heartbeats, and everything is delivered |
 * | `propose 1 a b` | a batch of commands |
 * | `change 1 add\|remove\|update 4` | a configuration change |
 * | `campaign 1 [forced]` | |
 * | `deliver [1 2 [N]]` | everything until nothing is under way; or what is under way from 1 to 2, the first N of it |
 * | `drop 1 2 [N]`, `repeat 1 2` | loses messages under way; doubles them |
 * | `block 1 2`, `heal` | messages from 1 to 2 are lost from now on; no more |
 * | `hold 1`, `persist 1 [N]`, `release 1` | the disk holds outputs back; N of them become durable; holds no more |
 * | `pause 1`, `resume 1` | the state machine takes nothing; goes on |
 * | `room 1 no\|yes` | the state machine lacks room, or has it again |
 * | `restart 1 [no-vote]`, `lose 1 5` | with what was durable; entries behind 5 are lost from the disk |
 * | `evict 1`, `load 1`, `compact 1 5` | entries leave memory; are read back; are cut |
 * | `sent 1 4 ok\|failed` | outcome of a snapshot's stream |
 * | `reconnected 1 2` | node 1 has a new connection to 2 |
 * | `send 1 2 TYPE [field=N ...]` | a message that no core made |
 * | `header 1 3 TERM INDEX INDEXTERM 1 2 3` | a snapshot header that no core made, with its members |
 * | `status 1 2`, `waits 1`, `down 1`, `lease 1` | prints |
 */

import { RAFT_MESSAGE, type RaftMessage } from '../../src/protocol/raftMessage.js';
import { CHANGE_TYPE, ENTRY_TYPE, encodeConfigurationChange } from '../../src/protocol/raftStructs.js';
import { CORE_LIMITS, type CoreLimits } from '../../src/raft/groupState.js';
import { heartbeatRequests, hostedGroups, onHeartbeat } from '../../src/raft/heartbeats.js';
import { emptyMessage } from '../../src/raft/outbox.js';
import type { ScriptPlayer } from '../support/goldenScripts.js';
import { GROUP, ScriptNode } from './scriptNode.js';
import { messageText, statusTexts } from './scriptText.js';

const DELIVERIES_MAX = 10_000;
const isLocal = (group: number): boolean => group === GROUP;
const NO_BYTES = new Uint8Array(0);

export class RaftScript implements ScriptPlayer {
  readonly #nodes = new Map<number, ScriptNode>();
  #underWay: RaftMessage[] = [];
  #blocked = new Set<string>();
  lines: string[] = [];

  run(line: string): void {
    const words = line.split(' ');
    if (words[0] === 'silently') {
      const before = this.lines;
      this.lines = [];
      this.run(words.slice(1).join(' '));
      this.lines = before;
      return;
    }
    const [name = '', ...args] = words;
    const command = Object.hasOwn(this.#commands, name) ? this.#commands[name] : undefined;
    if (command === undefined) throw new Error(`no such command: ${line}`);
    try {
      command(args);
    } catch (error) {
      if (!(error instanceof Error) || error.name !== 'AssertionError') throw error;
      this.lines.push(`assertion failed: ${error.message}`);
    }
  }

  readonly #commands: Readonly<Record<string, (args: readonly string[]) => void>> = {
    nodes: (args) => this.#start(args),
    node: ([id, , ...peers]) => this.#add(Number(id), peers.map(Number), {}),
    draws: ([id, value]) => {
      this.#node(id).draws = Number(value);
    },
    tick: ([id, count = '1']) => this.#tick(id, Number(count)),
    round: ([count = '1']) => times(count, () => this.#round()),
    heartbeat: ([id]) => this.#heartbeat(this.#node(id)),
    hears: ([id, from]) => this.#do(id, (node) => node.core.heartbeatRequest(Number(from))),
    beat: ([id, count = '1']) =>
      times(count, () => {
        this.#do(id, (node) => node.tick());
        this.#heartbeat(this.#node(id));
        this.#deliverAll();
      }),
    propose: ([id, ...data]) =>
      this.#do(id, (node) => {
        this.#tellRefusal(
          node.core.propose(
            ENTRY_TYPE.normal,
            data.map((word) => Buffer.from(word)),
          ),
        );
      }),
    change: ([id, word, peer]) => this.#change(id, word as keyof typeof CHANGE_TYPE, Number(peer)),
    campaign: ([id, forced]) => this.#do(id, (node) => node.core.campaign(forced === 'forced')),
    deliver: (args) => (args.length === 0 ? this.#deliverAll() : this.#deliver(this.#take(args))),
    drop: (args) => {
      for (const message of this.#take(args)) this.lines.push(`lost: ${messageText(message)}`);
    },
    repeat: ([from, to]) => this.#underWay.push(...this.#between(Number(from), Number(to))),
    block: ([from, to]) => this.#blocked.add(`${from} ${to}`),
    heal: () => this.#blocked.clear(),
    hold: ([id]) => this.#do(id, (node) => (node.holds = true)),
    persist: ([id, count]) =>
      this.#do(id, (node) => node.persist(count === undefined ? undefined : Number(count))),
    release: ([id]) =>
      this.#do(id, (node) => {
        node.holds = false;
        node.persist();
      }),
    pause: ([id]) => this.#do(id, (node) => (node.pauses = true)),
    resume: ([id]) => this.#do(id, (node) => (node.pauses = false)),
    room: ([id, has]) => {
      this.#node(id).lacksRoom = has === 'no';
    },
    restart: ([id, vote]) => this.#node(id).restart(vote !== 'no-vote'),
    lose: ([id, index]) => this.#node(id).loseBehind(Number(index)),
    evict: ([id]) => this.#node(id).evict(),
    load: ([id]) => this.#node(id).load(),
    compact: ([id, index]) => this.#do(id, (node) => this.lines.push(node.compact(Number(index)))),
    sent: ([id, to, how]) => this.#do(id, (node) => node.core.snapshotSent(Number(to), how === 'ok')),
    reconnected: ([id, to]) => this.#do(id, (node) => node.core.reconnected(Number(to))),
    send: ([from, to, type, ...fields]) => this.#send(Number(from), Number(to), type, fields),
    header: ([from, to, ...numbers]) => this.#header(Number(from), Number(to), numbers.map(Number)),
    status: (ids) => {
      for (const id of ids) this.lines.push(...statusTexts(this.#node(id).core));
    },
    waits: ([id]) => {
      const range = this.#node(id).core.wantsLog;
      this.lines.push(range === null ? 'nobody waits' : `waits for ${range.from} to ${range.to}`);
    },
    down: ([id]) => {
      const down = this.#node(id).core.downReplicas();
      this.lines.push(
        `down: ${down.map(({ nodeId, downTicks }) => `${nodeId} for ${downTicks} ticks`).join(', ')}`,
      );
    },
    lease: ([id]) => this.lines.push(`${this.#node(id).core.leaseTicksLeft()} ticks of the lease are left`),
  };

  #start(args: readonly string[]): void {
    const ids = args.filter((arg) => !arg.includes('=')).map(Number);
    const limits = Object.fromEntries(fieldsOf(args.filter((arg) => arg.includes('='))));
    for (const name of Object.keys(limits)) if (!(name in CORE_LIMITS)) throw new Error(`no limit ${name}`);
    this.#nodes.clear();
    this.#blocked.clear();
    this.#underWay = [];
    for (const id of ids) this.#add(id, ids, limits);
  }

  #add(id: number, peers: readonly number[], limits: Partial<CoreLimits>): void {
    const events = {
      say: (line: string) => this.lines.push(line),
      send: (message: RaftMessage) => this.#post(message),
    };
    this.#nodes.set(id, new ScriptNode(id, peers, limits, events));
  }

  #node(id: string | undefined): ScriptNode {
    const node = this.#nodes.get(Number(id));
    if (node === undefined) throw new Error(`no node ${id}`);
    return node;
  }

  #do(id: string | undefined, act: (node: ScriptNode) => void): void {
    const node = this.#node(id);
    act(node);
    node.settle();
  }

  #post(message: RaftMessage): void {
    if (!this.#blocked.has(`${message.from} ${message.to}`)) this.#underWay.push(message);
  }

  #between(from: number, to: number): RaftMessage[] {
    return this.#underWay.filter((message) => message.from === from && message.to === to);
  }

  #take([from, to, count]: readonly string[]): RaftMessage[] {
    const taken = this.#between(Number(from), Number(to)).slice(
      0,
      count === undefined ? undefined : Number(count),
    );
    this.#underWay = this.#underWay.filter((message) => !taken.includes(message));
    return taken;
  }

  #deliverAll(): void {
    for (let count = 0; this.#underWay.length > 0; count += 1) {
      if (count > DELIVERIES_MAX) throw new Error('the network never comes to rest');
      this.#deliver([this.#underWay.shift()!]);
    }
  }

  #deliver(messages: readonly RaftMessage[]): void {
    for (const message of messages) {
      const node = this.#nodes.get(message.to);
      if (node === undefined) continue;
      if (message.type === RAFT_MESSAGE.heartbeatRequest) this.#hearHeartbeat(node, message);
      else if (message.type === RAFT_MESSAGE.heartbeatResponse) this.#hearAnswer(node, message);
      else node.core.step(message);
      node.settle();
    }
  }

  #hearHeartbeat(node: ScriptNode, message: RaftMessage): void {
    const heard = onHeartbeat(node.id, message, isLocal);
    if (!heard.ok) throw new Error(heard.message);
    for (const _group of heard.value.groups) node.core.heartbeatRequest(message.from);
    this.#post(heard.value.answer);
  }

  #hearAnswer(node: ScriptNode, message: RaftMessage): void {
    const hosted = hostedGroups(message, isLocal);
    if (!hosted.ok) throw new Error(hosted.message);
    for (const _group of hosted.value) node.core.heartbeatResponse(message.from);
  }

  #heartbeat(node: ScriptNode): void {
    if (!node.core.isLeader) return;
    for (const request of heartbeatRequests(node.id, [node.core])) this.#post(request);
  }

  /** Of several ticks, says at which something happened. */
  #tick(id: string | undefined, count: number): void {
    for (let tick = 1; tick <= count; tick += 1) {
      const before = this.lines.length;
      this.#do(id, (node) => node.tick());
      if (count > 1 && this.lines.length > before) this.lines.splice(before, 0, `at tick ${tick}:`);
    }
  }

  #round(): void {
    for (const node of this.#nodes.values()) {
      node.tick();
      node.settle();
    }
    for (const node of this.#nodes.values()) this.#heartbeat(node);
    this.#deliverAll();
  }

  #change(id: string | undefined, word: keyof typeof CHANGE_TYPE, peer: number): void {
    const change = {
      type: CHANGE_TYPE[word],
      peer: { type: 0, priority: 0, nodeId: peer },
      context: NO_BYTES,
    };
    this.#do(id, (node) => {
      this.#tellRefusal(
        node.core.propose(ENTRY_TYPE.configurationChange, [encodeConfigurationChange(change)]),
      );
    });
  }

  #tellRefusal(proposed: { ok: true } | { ok: false; message: string }): void {
    if (!proposed.ok) this.lines.push(`refused: ${proposed.message}`);
  }

  #send(from: number, to: number, type: string | undefined, fields: readonly string[]): void {
    const code = RAFT_MESSAGE[type as keyof typeof RAFT_MESSAGE];
    if (code === undefined) throw new Error(`no message type ${type}`);
    const message = emptyMessage(code, GROUP, from, to, 0);
    Object.assign(message, Object.fromEntries(fieldsOf(fields)));
    this.#underWay.push(message);
  }

  #header(from: number, to: number, [term, index, indexTerm, ...peers]: readonly number[]): void {
    const header = emptyMessage(RAFT_MESSAGE.snapshot, GROUP, from, to, term!);
    header.snapshot = {
      index: index!,
      term: indexTerm!,
      peers: peers.map((nodeId) => ({ type: 0, priority: 0, nodeId })),
    };
    this.#underWay.push(header);
  }
}

function fieldsOf(words: readonly string[]): [string, number | boolean][] {
  return words.map((word) => {
    const [name = '', value = ''] = word.split('=');
    return [name, value === 'true' || value === 'false' ? value === 'true' : Number(value)];
  });
}

function times(count: string, act: () => void): void {
  for (let i = 0; i < Number(count); i += 1) act();
}
