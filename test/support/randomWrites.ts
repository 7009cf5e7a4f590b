/**
 * Random writes into one extent of a partition whose hosts and leader change meanwhile: each goes to a host after the other until one takes it, as a client's do. Remembers what was acknowledged, block by block: what is read later is that, or
 * something that was sent after it.
 */
import { formatFollowers } from '../../src/protocol/followers.js';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { Random } from '../sim/random.js';
import type { Hosts } from './ledger.js';
import type { Ask, PacketClient } from './packetClient.js';
import { create, pattern, randomWrite, read, write } from './requests.js';

const BLOCK_BYTES = 4096;
const BLOCKS = 16;
const PAUSE_MS = 5;
const REPLY_MS = 5_000;

interface Known {
  acked: number;
  sent: number[];
}

export class RandomWrites {
  acknowledged = 0;
  extentId = 0;
  readonly #nodes: Hosts;
  readonly #partitionId: number;
  readonly #random = new Random(11);
  readonly #blocks: Known[] = Array.from({ length: BLOCKS }, () => ({ acked: 0, sent: [] }));
  #version = 0;
  #stopping = false;
  #running: Promise<void> = Promise.resolve();

  constructor(nodes: Hosts, partitionId: number) {
    this.#nodes = nodes;
    this.#partitionId = partitionId;
  }

  /** Creates and fills the extent on all hosts. */
  async fill(): Promise<void> {
    const id = this.#partitionId;
    const [first, ...followers] = this.#nodes.hostsOf(id);
    const client = this.#nodes.client(first!);
    const replicated = (ask: Ask): Ask => ({
      ...ask,
      remainingFollowers: followers.length,
      arg: formatFollowers(followers),
    });
    this.extentId = (await client.ask(replicated(create(id)))).extentId;
    const bytes = Buffer.concat(this.#blocks.map((_, at) => contentOf(at, 0)));
    const reply = await client.ask(replicated(write(id, this.extentId, 0, bytes)));
    if (reply.resultCode !== RESULT.ok) throw new Error(`${reply.body}`);
    await client.end();
  }

  start(): void {
    this.#stopping = false;
    this.#running = this.#writeOn();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
  }

  /** Blocks of a host that are neither what was acknowledged nor what was sent later. */
  async wrongOn(host: string): Promise<string[]> {
    const client = this.#nodes.client(host);
    const ask = read(this.#partitionId, this.extentId, 0, BLOCKS * BLOCK_BYTES, OP.streamFollowerRead);
    const [reply] = await client.askAll(ask, 1);
    await client.end();
    if (reply!.resultCode !== RESULT.ok) return [`${host}: ${reply!.body}`];
    return this.#blocks.flatMap(({ acked, sent }, at) => {
      const there = reply!.body.subarray(at * BLOCK_BYTES, (at + 1) * BLOCK_BYTES);
      const isKnown = [acked, ...sent].some((version) => contentOf(at, version).equals(there));
      return isKnown ? [] : [`${host}: block ${at} is not version ${acked}`];
    });
  }

  async #writeOn(): Promise<void> {
    let client: PacketClient | null = null;
    let turn = 0;
    while (!this.#stopping) {
      const hosts = this.#nodes.hostsOf(this.#partitionId);
      client ??= this.#nodes.client(hosts[turn % hosts.length]!);
      if (!(await this.#writeOne(client))) {
        client.socket.destroy();
        client = null;
        turn += 1;
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    await client?.end();
  }

  async #writeOne(client: PacketClient): Promise<boolean> {
    const at = this.#random.below(BLOCKS);
    const block = this.#blocks[at]!;
    const version = ++this.#version;
    block.sent.push(version);
    const ask = randomWrite(this.#partitionId, this.extentId, at * BLOCK_BYTES, contentOf(at, version));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), REPLY_MS);
    });
    const reply = await Promise.race([client.ask(ask).catch(() => null), late]);
    clearTimeout(timer);
    if (reply?.resultCode !== RESULT.ok) return false;
    Object.assign(block, { acked: version, sent: [] });
    this.acknowledged += 1;
    return true;
  }
}

function contentOf(block: number, version: number): Buffer {
  return pattern(77, block * BLOCK_BYTES + version * BLOCKS * BLOCK_BYTES, BLOCK_BYTES);
}
