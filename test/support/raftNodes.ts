/** Three real nodes with one raft group, random writes through whoever leads, and what their partition is to hold. For tests of what replicas lack and get again. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { formatFollowers } from '../../src/protocol/followers.js';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { isTinyExtent } from '../../src/storage/layout.js';
import { Random } from '../sim/random.js';
import { testFolder } from './nodeProcess.js';
import type { Ask, PacketClient, Reply } from './packetClient.js';
import { create, pattern, randomWrite, write } from './requests.js';
import { Trio } from './trio.js';
import { untilAnswer } from './until.js';

const KiB = 1024;
/** Its id; the first node is its first host. */
export const PARTITION = 1;
const EXTENTS = 3;
/** Of each normal extent. */
export const EXTENT_BYTES = 300 * KiB;
const TINY_BYTES = 64 * KiB;
const MINUTES_MODULE = new URL('./raftMinutes.js', import.meta.url).href;

interface Status {
  State: string;
  Applied: number;
  Replicas: Record<string, { State: string; Match: number }> | null;
}

export class RaftTrio {
  /** Extents that all replicas had at the beginning, with what was written into them. */
  readonly expected = new Map<number, Buffer>();
  readonly trio: Trio;
  private readonly random = new Random(7);
  private readonly clients = new Map<string, PacketClient>();
  private writes = 0;

  private constructor(trio: Trio) {
    this.trio = trio;
  }

  static async start(t: Test): Promise<RaftTrio> {
    const trio = await Trio.start(t, testFolder(t), 1, 3, [MINUTES_MODULE]);
    const group = new RaftTrio(trio);
    t.teardown(() => Promise.all([...group.clients.values()].map((client) => client.end())));
    for (let left = EXTENTS; left > 0; left -= 1) await group.fill();
    await untilAnswer('a tiny extent takes an append', () => group.fillTiny(), 20_000);
    return group;
  }

  /** Makes an extent on all replicas. */
  private async fill(): Promise<void> {
    const { extentId } = await this.must(0, this.replicated(create(PARTITION)));
    const body = pattern(extentId, 0, EXTENT_BYTES);
    for (let at = 0; at < EXTENT_BYTES; at += 128 * KiB) {
      const piece = body.subarray(at, Math.min(EXTENT_BYTES, at + 128 * KiB));
      await this.must(0, this.replicated(write(PARTITION, extentId, at, piece, true)));
    }
    this.expected.set(extentId, body);
  }

  /** The same in a tiny one, which the first host chooses; null when it has none. */
  private async fillTiny(): Promise<true | null> {
    const body = pattern(1, 0, TINY_BYTES);
    const reply = await this.ask(0, this.replicated({ ...write(PARTITION, 0, 0, body), extentType: 0 }));
    if (reply?.resultCode !== RESULT.ok || reply.extentOffset !== 0) return null;
    this.expected.set(reply.extentId, body);
    return true;
  }

  private replicated(ask: Ask): Ask {
    const followers = this.trio.hostsOf(PARTITION).slice(1);
    return { ...ask, remainingFollowers: followers.length, arg: formatFollowers(followers) };
  }

  /** Another connection after an error. */
  async ask(node: number, ask: Ask): Promise<Reply | null> {
    const host = this.trio.hosts[node]!;
    const client = this.clients.get(host) ?? this.trio.client(host);
    this.clients.set(host, client);
    try {
      const reply = await client.ask(ask);
      if (reply.resultCode === RESULT.ok) return reply;
      this.clients.delete(host);
      await client.end();
      return reply;
    } catch {
      this.clients.delete(host);
      return null;
    }
  }

  async must(node: number, ask: Ask): Promise<Reply> {
    const reply = await this.ask(node, ask);
    if (reply?.resultCode !== RESULT.ok) throw new Error(String(reply?.body ?? 'no answer'));
    return reply;
  }

  status(node: number): Promise<Status> {
    return this.trio.page<Status>(node, `/raftStatus?raftID=${PARTITION}`);
  }

  /** Who leads, among those of `nodes`. */
  leader(nodes: readonly number[]): Promise<number> {
    return untilAnswer(
      'a leader',
      async () => {
        for (const node of nodes) {
          const status = await this.status(node).catch(() => null);
          if (status?.State === 'StateLeader') return node;
        }
        return null;
      },
      20_000,
    );
  }

  /** So many random writes are acknowledged by the leader among `nodes`. */
  async randomWrites(count: number, nodes: readonly number[]): Promise<void> {
    for (let left = count; left > 0; ) {
      this.writes += 1;
      const [extentId, content] = [...this.expected][this.random.below(this.expected.size)]!;
      const body = pattern(this.writes, 0, 1 + this.random.below(20 * KiB));
      const at = this.random.below(content.length - body.length);
      const leader = await this.leader(nodes);
      const ask = {
        ...randomWrite(PARTITION, extentId, at, body),
        extentType: isTinyExtent(extentId) ? 0 : 1,
      };
      const reply = await this.ask(leader, ask);
      // What was not acknowledged may be carried out: the same is written again.
      if (reply?.resultCode === RESULT.ok) left -= 1;
      body.copy(content, at);
    }
  }

  content(node: number, extentId: number): Buffer {
    return readFileSync(join(this.trio.folder(node, PARTITION), String(extentId)));
  }

  /** Extents of a node that hold something else than what was acknowledged. */
  differing(node: number): number[] {
    return [...this.expected]
      .filter(([id, bytes]) => !this.content(node, id).equals(bytes))
      .map(([id]) => id);
  }

  /** What a node has applied, to its disk. */
  async durable(node: number): Promise<number> {
    const { body } = await this.must(node, { opcode: OP.getAppliedId, partitionId: PARTITION });
    return Number(body.readBigUInt64BE());
  }

  lastTruncate(node: number): number {
    const meta = readFileSync(join(this.trio.folder(node, PARTITION), 'META'), 'utf8');
    return (JSON.parse(meta) as { LastTruncateID: number }).LastTruncateID;
  }

  /** A node lacks nothing any more. */
  async isWhole(node: number): Promise<true | null> {
    const { missing } = await this.trio.repairOf(node, PARTITION);
    return missing === null && this.differing(node).length === 0 ? true : null;
  }
}
