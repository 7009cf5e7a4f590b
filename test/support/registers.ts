/**
 * Clients of one replicated partition that write and read blocks of an extent as registers, each through whoever leads, and remember who was told what when: whether that can be explained is then
 * for `test/raft/sim/linearizability.ts`.
 *
 * A client has one question under way and asks the hosts in turn, as clients of v1.4.0 do. What was not answered with success has an unknown outcome: even `raft is not the leader.` may come for a write
 * that the next leader carries out.
 */
import { formatFollowers } from '../../src/protocol/followers.js';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { checkHistory, History } from '../raft/sim/linearizability.js';
import type { Random } from '../sim/random.js';
import type { Teardown } from './nodeProcess.js';
import type { PacketClient } from './packetClient.js';
import type { RaftTrio } from './raftTrio.js';
import { create, pattern, randomWrite, read, write } from './requests.js';
import { until } from './until.js';

const BLOCK_BYTES = 4096;
const REGISTERS = 8;
const CLIENTS = 6;
const WRITE_SHARE = 0.5;
/** How long a client waits for an answer, and after a refusal. */
const ANSWER_MS_MAX = 2_000;
const AGAIN_MS = 50;
/** Value of a block that holds no content of ours. */
const GARBAGE = -1;

export class Registers {
  readonly partitionId: number;
  /** Writes that were answered with success. */
  acknowledged = 0;
  readonly #trio: RaftTrio;
  readonly #random: Random;
  readonly #history = new History();
  #extentId = 0;
  #written = 0;
  /** Number of the host that answered last. */
  #leader = 0;
  #running: Promise<void>[] = [];
  #stopped = false;

  constructor(t: Teardown, trio: RaftTrio, partitionId: number, random: Random) {
    t.teardown(() => this.stop());
    this.#trio = trio;
    this.partitionId = partitionId;
    this.#random = random;
  }

  /** Creates the extent through the first host and gives every register the value 0. */
  async prepare(): Promise<void> {
    const { hosts } = this.#trio;
    const first = (this.partitionId - 1) % hosts.length;
    const followers = [1, 2].map((turn) => hosts[(first + turn) % hosts.length]!);
    const arg = { arg: formatFollowers(followers), remainingFollowers: followers.length };
    const client = this.#trio.client(first);
    const made = await client.ask({ ...create(this.partitionId), ...arg });
    if (made.resultCode !== RESULT.ok) throw new Error(made.body.toString());
    this.#extentId = made.extentId;
    const blocks = Buffer.concat(Array.from({ length: REGISTERS }, (_, at) => contentOf(at, 0)));
    const filled = await client.ask({ ...write(this.partitionId, made.extentId, 0, blocks, true), ...arg });
    if (filled.resultCode !== RESULT.ok) throw new Error(filled.body.toString());
    await client.end();
  }

  start(): void {
    this.#stopped = false;
    this.#running = Array.from({ length: CLIENTS }, (_, index) => this.#client(index % 3));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  /** So many writes more are acknowledged. */
  async progress(writes: number, timeoutMs = 30_000): Promise<void> {
    const wanted = this.acknowledged + writes;
    await until(`${writes} more writes are acknowledged`, () => this.acknowledged >= wanted, timeoutMs);
  }

  /** Reads every register of the leader, now; then what cannot be explained of all that was told, or null. */
  async verdict(): Promise<string | null> {
    for (let register = 0; register < REGISTERS; register++) {
      const done = await this.#untilRead(register);
      if (!done) return `register ${register} cannot be read`;
    }
    return checkHistory(this.#history.operations(), 0);
  }

  /** Asks one node for every register by 0x05, over a connection of each. What it answers with success has to be explained, too; resolves with the number of such answers. */
  async askEach(node: number): Promise<() => Promise<number>> {
    const clients = Array.from({ length: REGISTERS }, () => this.#trio.client(node));
    await until('the connections are open', () => clients.every(({ socket }) => !socket.connecting));
    return async () => {
      const answers = await Promise.all(clients.map((client, at) => this.#read(client, at)));
      for (const client of clients) await client.end();
      return answers.filter((good) => good).length;
    };
  }

  async #client(first: number): Promise<void> {
    let host = first;
    let client: PacketClient | null = null;
    while (!this.#stopped) {
      client ??= this.#trio.client(host);
      const register = this.#random.below(REGISTERS);
      const good = this.#random.chance(WRITE_SHARE)
        ? await this.#write(client, register)
        : await this.#read(client, register);
      if (good) {
        this.#leader = host;
        continue;
      }
      client.socket.destroy();
      client = null;
      host = host === this.#leader ? (host + 1) % this.#trio.hosts.length : this.#leader;
      this.#leader = host;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
    await client?.end();
  }

  async #write(client: PacketClient, register: number): Promise<boolean> {
    this.#written += 1;
    const value = this.#written;
    const operation = this.#history.call(register, 'write', value);
    const at = register * BLOCK_BYTES;
    const body = contentOf(register, value);
    const reply = await answerOf(
      client.ask(randomWrite(this.partitionId, this.#extentId, at, body, this.#random.chance(0.3))),
    );
    if (reply?.resultCode !== RESULT.ok) return false;
    this.#history.answer(operation);
    this.acknowledged += 1;
    return true;
  }

  async #read(client: PacketClient, register: number): Promise<boolean> {
    const operation = this.#history.call(register, 'read');
    const ask = read(this.partitionId, this.#extentId, register * BLOCK_BYTES, BLOCK_BYTES, OP.streamRead);
    const reply = await answerOf(client.ask(ask));
    if (reply?.resultCode !== RESULT.ok) return false;
    this.#history.answer(operation, valueIn(register, reply.body));
    return true;
  }

  async #untilRead(register: number): Promise<boolean> {
    for (let attempt = 0; attempt < 60; attempt++) {
      const client = this.#trio.client(attempt % this.#trio.hosts.length);
      const good = await this.#read(client, register);
      await client.end();
      if (good) return true;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
    return false;
  }
}

/** A reply, or null when the connection ended or nothing came in time. */
async function answerOf<Reply>(asked: Promise<Reply>): Promise<Reply | null> {
  let timer: NodeJS.Timeout | null = null;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ANSWER_MS_MAX);
  });
  const answer = await Promise.race([asked.catch(() => null), late]);
  clearTimeout(timer!);
  return answer;
}

/** A block that holds a value: the value, then bytes that belong to it and to the register. */
function contentOf(register: number, value: number): Buffer {
  const block = pattern(register + 1, value * BLOCK_BYTES, BLOCK_BYTES);
  block.writeUInt32LE(value, 0);
  return block;
}

function valueIn(register: number, block: Buffer): number {
  const value = block.readUInt32LE(0);
  return contentOf(register, value).equals(block) ? value : GARBAGE;
}
