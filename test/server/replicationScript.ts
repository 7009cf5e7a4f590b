/**
 * The language of the scripts in `test/golden/replication`: one client connection at its primary, whose worker and followers answer when told.
 *
 * A script is blocks with a blank line between them: comments (`#`), commands, `----`, and what was printed. The production code decides what becomes of a packet (`replication.ts`) and keeps the order and the
 * deadlines of each link (`followerQueue.ts`); the reply queue and the sockets are played here.
 *
 * | command | what it does |
 * |---|---|
 * | `followers a b` | everything anew: a connection whose packets go to these, over links that are not up yet |
 * | `up a` | the link is dialled |
 * | `write 1`, `create 2`, `tiny 3`, `delete 4`, `tinydelete 5` | packets of the client, in this order |
 * | `local 6` | a packet without followers |
 * | `assigned 2 [loan 7]` | the worker says what it has given out |
 * | `here 1 ok`, `here 1 failed` | the worker has ended it |
 * | `skipped 1` | the worker passes it over: it stands behind a failure |
 * | `a ok`, `a failed TEXT` | the next reply of follower a |
 * | `undialled a TEXT`, `lost a TEXT` | the link could not be made; is lost |
 * | `wait 5000` | the clock goes on, and late followers are looked for |
 * | `gone` | the client connection is gone |
 */
import { FollowerQueue } from '../../src/server/followerQueue.js';
import { EFFECT, OUTCOME, Replication } from '../../src/server/replication.js';
import type { ScriptPlayer } from '../support/goldenScripts.js';

const REPLY_MS = 5_000;
const TAGS = 64;
const ASSIGNS = ['create', 'tiny', 'tinydelete'];

interface Link {
  name: string;
  queue: FollowerQueue;
  up: boolean;
  /** Why it is lost, as its packets are answered; empty: it is not. */
  loss: string;
}

/** A packet in the order of the connection, until it was answered. */
interface Packet {
  tag: number;
  replicated: boolean;
  /** What it is answered, when that is known. */
  reply: string;
  /** It has failed, though its answer may be still to come; and with which text of a follower. */
  failed: boolean;
  failure: string;
}

export class ReplicationScript implements ScriptPlayer {
  #replication = new Replication(TAGS);
  #links: Link[] = [];
  #queue: Packet[] = [];
  #ended = false;
  #nowMs = 0;
  lines: string[] = [];

  run(line: string): void {
    try {
      this.#command(line.split(' '));
    } catch (error) {
      if (!(error instanceof Error) || error.name !== 'AssertionError') throw error;
      this.lines.push(`assertion failed: ${error.message}`);
    }
    this.#answer();
  }

  #command([name = '', ...args]: string[]): void {
    const link = this.#links.find((one) => one.name === name);
    if (link !== undefined) return this.#replied(link, args[0] === 'ok' ? null : args.slice(1).join(' '));
    const tag = Number(args[0]);
    switch (name) {
      case 'followers':
        return this.#begin(args);
      case 'up':
        return this.#up(this.#link(args[0]));
      case 'write':
      case 'create':
      case 'tiny':
      case 'delete':
      case 'tinydelete':
        return this.#packet(tag, true, ASSIGNS.includes(name));
      case 'local':
        return this.#packet(tag, false, false);
      case 'assigned':
        return this.#assigned(tag, Number(args[2] ?? 0));
      case 'here':
        return this.#here(tag, args[1] === 'ok');
      case 'skipped':
        return this.#apply(tag, this.#replication.skipped(tag));
      case 'undialled':
        return this.#lose(this.#link(args[0]), `ActionSendToFollowers_${args.slice(1).join(' ')}`);
      case 'lost':
        return this.#lose(this.#link(args[0]), `ActionReceiveFromFollower_${args.slice(1).join(' ')}`);
      case 'wait':
        return this.#wait(Number(args[0]));
      case 'gone':
        return this.#end('the connection is gone');
      default:
        throw new Error(`no such command: ${name}`);
    }
  }

  #begin(names: string[]): void {
    this.#replication = new Replication(TAGS);
    this.#links = names.map((name) => ({ name, queue: new FollowerQueue(), up: false, loss: '' }));
    this.#queue = [];
    this.#ended = false;
    this.#nowMs = 0;
  }

  #link(name: string | undefined): Link {
    const link = this.#links.find((one) => one.name === name);
    if (link === undefined) throw new Error(`no follower ${name}`);
    return link;
  }

  #up(link: Link): void {
    link.up = true;
    this.#send(link);
  }

  #packet(tag: number, replicated: boolean, assigns: boolean): void {
    if (this.#ended || this.#queue.some(({ failed }) => failed)) return this.#say(`${tag} is not taken`);
    this.#queue.push({ tag, replicated, reply: '', failed: false, failure: '' });
    if (replicated) this.#apply(tag, this.#replication.begin(tag, this.#links.length, assigns));
  }

  #isBehindFailure(tag: number): boolean {
    for (const packet of this.#queue) {
      if (packet.tag === tag) return false;
      if (packet.failed) return true;
    }
    return true;
  }

  #assigned(tag: number, loan: number): void {
    this.#apply(tag, this.#replication.assigned(tag, loan, this.#isBehindFailure(tag)));
  }

  #here(tag: number, ok: boolean): void {
    const packet = this.#queue.find((one) => one.tag === tag);
    if (packet !== undefined && !packet.replicated) {
      packet.failed = !ok;
      packet.reply = ok ? 'OK' : 'the worker’s error';
      return;
    }
    this.#apply(tag, this.#replication.endedHere(tag, ok));
  }

  #replied({ queue, loss, name }: Link, text: string | null): void {
    if (loss !== '') return this.#say(`${name} is lost`);
    if (!queue.oldestHasLeft) return this.#say(`${name} has nothing to answer`);
    const tag = queue.shift(this.#nowMs);
    if (text === null) this.#apply(tag, this.#replication.answered(tag));
    else this.#apply(tag, this.#replication.failedThere(tag), `ActionReceiveFromFollower_${text}`);
  }

  #lose(link: Link, reply: string): void {
    link.loss = reply;
    while (link.queue.length > 0) {
      const tag = link.queue.shift(this.#nowMs);
      this.#apply(tag, this.#replication.failedThere(tag), reply);
    }
  }

  #wait(ms: number): void {
    this.#nowMs += ms;
    for (const link of this.#links) {
      if (link.loss !== '' || !link.queue.isOverdue(this.#nowMs, REPLY_MS)) continue;
      this.#say(`${link.name} is late`);
      this.#lose(link, 'ActionReceiveFromFollower_i/o timeout');
    }
  }

  #send(link: Link): void {
    const { queue, name } = link;
    while (link.up && queue.waits) {
      const tag = queue.waiting;
      if (this.#replication.outcome(tag) !== OUTCOME.open || this.#isBehindFailure(tag)) {
        queue.passOver();
        continue;
      }
      queue.handOver(this.#nowMs);
      queue.left(queue.handed);
      this.#say(`to ${name}: ${tag}`);
    }
  }

  #apply(tag: number, effects: number, failure = ''): void {
    if ((effects & EFFECT.settleWhole) !== 0) this.#say(`loan ${this.#replication.loan(tag)}: whole`);
    if ((effects & EFFECT.settleBroken) !== 0) this.#say(`loan ${this.#replication.loan(tag)}: broken`);
    const packet = this.#queue.find((one) => one.tag === tag);
    if ((effects & EFFECT.fail) !== 0) Object.assign(packet!, { failed: true, failure });
    if ((effects & EFFECT.answer) !== 0) packet!.reply = this.#reply(packet!);
    if ((effects & EFFECT.forward) === 0) return;
    for (const link of this.#links) {
      link.queue.push(tag);
      if (link.loss === '') this.#send(link);
      else this.#lose(link, link.loss);
    }
  }

  #reply({ tag, failure }: Packet): string {
    const outcome = this.#replication.outcome(tag);
    if (outcome === OUTCOME.failedHere) return 'the worker’s error';
    return outcome === OUTCOME.acknowledged ? 'OK' : failure;
  }

  /** What is known at the head of the queue is answered; an error ends it. */
  #answer(): void {
    while (!this.#ended && (this.#queue[0]?.reply ?? '') !== '') {
      const { tag, reply, failed } = this.#queue.shift()!;
      this.#say(`answer ${tag}: ${reply}`);
      if (failed) this.#end('the connection ends');
    }
  }

  #end(why: string): void {
    this.#ended = true;
    const rest = this.#queue.map(({ tag }) => tag);
    this.#say(rest.length === 0 ? why : `${why}, without an answer to ${rest.join(' ')}`);
    for (const { tag, replicated } of this.#queue) {
      if (replicated) this.#apply(tag, this.#replication.abandoned(tag));
    }
    this.#queue = [];
    for (const link of this.#links) link.loss = 'closed';
    this.#say(`${this.#replication.open} open`);
  }

  #say(line: string): void {
    this.lines.push(line);
  }
}
