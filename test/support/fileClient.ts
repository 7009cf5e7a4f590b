/**
 * Writes files as a v1.4.0 client does, and does what that one does when something fails (`wire.md` 10.2, 10.4): what is not acknowledged is sent again, to a new normal extent of a partition none of whose hosts refuses
 * connections; a read goes to the other hosts. It remembers the keys that a meta node would, and whatever has failed. Its list of partitions is never renewed: nobody tells it that a node is down.
 */
import zlib from 'node:zlib';
import { formatFollowers } from '../../src/protocol/followers.js';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { Random } from '../sim/random.js';
import type { Hosts } from './ledger.js';
import type { Ask, PacketClient, Reply } from './packetClient.js';
import { create, pattern, read, write } from './requests.js';

/** Partitions that are tried for one extent, and failures of one packet, until a file gets an error. */
const TRIES_MAX = 32;
const REPLY_MS = 5_000;
const CREATE_MS = 10_000;
/** A packet, and how many a file has: one makes a small file, which goes to a tiny extent. */
const PACKET_BYTES = 30_000;
const PACKETS_MAX = 12;
const READ_BYTES = 131_072;

interface Packet {
  readonly fileOffset: number;
  readonly body: Buffer;
  failures: number;
}

/** Where a part of a file is. */
export interface ExtentKey {
  readonly partitionId: number;
  readonly extentId: number;
  readonly extentOffset: number;
  readonly fileOffset: number;
  readonly body: Buffer;
}

/** Where packets go: a connection to the first host, and an extent; 0: a tiny one, of the node's choice. */
interface Target {
  readonly partitionId: number;
  readonly client: PacketClient;
  readonly extentId: number;
  readonly fileOffset: number;
}

export class FileClient {
  readonly keys: ExtentKey[] = [];
  /** What has failed, as the client saw it: `connection`, `time-out`, or code and text of an answer. */
  readonly failures: string[] = [];
  /** Files that got an I/O error. */
  givenUp = 0;
  files = 0;
  readonly #nodes: Hosts;
  readonly #partitions: readonly number[];
  readonly #random: Random;
  readonly #seed: number;
  #stopping = false;
  #running: Promise<void> = Promise.resolve();

  constructor(nodes: Hosts, partitions: readonly number[], seed: number) {
    this.#nodes = nodes;
    this.#partitions = partitions;
    this.#random = new Random(seed);
    this.#seed = seed;
  }

  /** Begins to write files, small ones and others, at a moderate rate. */
  start(): void {
    this.#stopping = false;
    this.#running = this.#writeFiles();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
  }

  /** Reads what a key names from the first host that answers. False: nobody has it as it was written. */
  async reads(key: ExtentKey): Promise<boolean> {
    for (const host of this.#nodes.hostsOf(key.partitionId)) {
      const client = this.#nodes.client(host);
      const bytes = await this.#readFrom(client, key);
      await client.end();
      if (bytes !== null) return bytes.equals(key.body);
    }
    return false;
  }

  async #writeFiles(): Promise<void> {
    while (!this.#stopping) {
      const count = this.#random.chance(0.5) ? 1 : 2 + this.#random.below(PACKETS_MAX - 1);
      const name = this.#seed * 100_000 + this.files;
      const packets = Array.from({ length: count }, (_, i): Packet => {
        const fileOffset = i * PACKET_BYTES;
        const bytes = count === 1 ? 1 + this.#random.below(PACKET_BYTES) : PACKET_BYTES;
        return { fileOffset, body: pattern(name, fileOffset, bytes), failures: 0 };
      });
      if (!(await this.#writeFile(packets))) this.givenUp += 1;
      this.files += 1;
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  }

  async #writeFile(packets: readonly Packet[]): Promise<boolean> {
    let left = packets;
    let tiny = packets.length === 1;
    while (left.length > 0) {
      const target = await this.#allocate(tiny, left[0]!.fileOffset);
      if (target === null) return false;
      const done = await this.#send(target, left);
      await target.client.end();
      left = left.slice(done);
      if (left.length === 0) return true;
      if (++left[0]!.failures >= TRIES_MAX) return false;
      tiny = false;
    }
    return true;
  }

  /** Pipelines packets; the number of those that were acknowledged before anything else happened. */
  async #send(target: Target, packets: readonly Packet[]): Promise<number> {
    const { client, partitionId, extentId } = target;
    const answers = packets.map(({ fileOffset, body }) => {
      const ask: Ask =
        extentId === 0
          ? { opcode: OP.write, extentType: 0, partitionId, crc: zlib.crc32(body), body }
          : write(partitionId, extentId, fileOffset - target.fileOffset, body);
      return client.ask(this.#replicated(partitionId, ask)).catch(() => null);
    });
    for (const [at, answer] of answers.entries()) {
      const reply = await this.#judged(answer, REPLY_MS);
      if (reply === null) return at;
      const { fileOffset, body } = packets[at]!;
      if (reply.crc !== zlib.crc32(body) || reply.partitionId !== partitionId) {
        this.failures.push('a reply to something else');
        return at;
      }
      const place = extentId === 0 ? reply : { extentId, extentOffset: fileOffset - target.fileOffset };
      const { extentId: id, extentOffset } = place;
      this.keys.push({ partitionId, extentId: id, extentOffset, fileOffset, body });
    }
    return packets.length;
  }

  async #allocate(tiny: boolean, fileOffset: number): Promise<Target | null> {
    const excluded = new Set<string>();
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const open = this.#partitions.filter(
        (id) => !this.#nodes.hostsOf(id).some((host) => excluded.has(host)),
      );
      if (open.length === 0) return null;
      const partitionId = open[this.#random.below(open.length)]!;
      const [first] = this.#nodes.hostsOf(partitionId);
      const client = this.#nodes.client(first!);
      client.keepReplies = false;
      if (tiny) return { partitionId, client, extentId: 0, fileOffset };
      const answer = client.ask(this.#replicated(partitionId, create(partitionId))).catch(() => null);
      const reply = await this.#judged(answer, CREATE_MS);
      if (reply !== null) return { partitionId, client, extentId: reply.extentId, fileOffset };
      await client.end();
      for (const host of this.#nodes.hostsOf(partitionId)) if (await this.#refuses(host)) excluded.add(host);
    }
    return null;
  }

  /** Whether a host refuses connections. */
  async #refuses(host: string): Promise<boolean> {
    const { socket } = this.#nodes.client(host);
    const outcome = await new Promise<string>((resolve) => {
      socket.once('connect', () => resolve(''));
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
      socket.setTimeout(REPLY_MS, () => resolve(''));
    });
    socket.destroy();
    return outcome === 'ECONNREFUSED';
  }

  /** The answer, when it is good; null, and noted, otherwise. */
  async #judged(answer: Promise<Reply | null>, timeoutMs: number): Promise<Reply | null> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'time-out'>((resolve) => {
      timer = setTimeout(() => resolve('time-out'), timeoutMs);
    });
    const reply = await Promise.race([answer, late]);
    clearTimeout(timer);
    if (reply === 'time-out' || reply === null) {
      this.failures.push(reply ?? 'connection');
      return null;
    }
    if (reply.resultCode === RESULT.ok) return reply;
    this.failures.push(`0x${reply.resultCode.toString(16)} ${reply.body}`);
    return null;
  }

  async #readFrom(client: PacketClient, { partitionId, extentId, extentOffset, body }: ExtentKey) {
    const parts: Buffer[] = [];
    for (let at = 0; at < body.length; at += READ_BYTES) {
      const bytes = Math.min(READ_BYTES, body.length - at);
      const ask = read(partitionId, extentId, extentOffset + at, bytes, OP.streamFollowerRead);
      const reply = await this.#judged(
        client.ask(ask).catch(() => null),
        REPLY_MS,
      );
      if (reply === null) return null;
      parts.push(reply.body);
    }
    return Buffer.concat(parts);
  }

  #replicated(partitionId: number, ask: Ask): Ask {
    const followers = this.#nodes.hostsOf(partitionId).slice(1);
    return { ...ask, remainingFollowers: followers.length, arg: formatFollowers(followers) };
  }
}
