/**
 * Random writes on a node, and the memory of what it acknowledged, block by block. Each connection has extents of its own and one write a block at a time, so after a kill a block holds the last acknowledged
 * content or one that was sent after it, as a whole: 4 KiB lie in one page.
 */
import { RESULT } from '../../src/protocol/resultCodes.js';
import type { Random } from '../sim/random.js';
import { PacketClient } from './packetClient.js';
import { create, pattern, randomWrite, read, write } from './requests.js';

export const BLOCK_BYTES = 4096;
const BLOCKS = 64;
const DEPTH = 8;

interface KnownBlock {
  /** Version that was acknowledged last; those that were sent after it. */
  acked: number;
  sent: number[];
  busy: boolean;
}

interface FilledExtent {
  partitionId: number;
  extentId: number;
  blocks: KnownBlock[];
}

export class RandomLoad {
  readonly extents: FilledExtent[] = [];
  readonly errors: string[] = [];
  acknowledged = 0;
  private readonly random: Random;
  private versions = 0;

  constructor(random: Random) {
    this.random = random;
  }

  /** Creates and fills extents, one for each partition that is named. */
  async fill(port: number, partitions: readonly number[]): Promise<void> {
    const client = new PacketClient(port);
    for (const partitionId of partitions) {
      const { extentId } = await client.ask(create(partitionId));
      const blocks = Array.from({ length: BLOCKS }, () => ({ acked: 0, sent: [], busy: false }));
      const extent = { partitionId, extentId, blocks };
      const bytes = Buffer.concat(blocks.map((_, block) => contentOf(extent, block, 0)));
      const reply = await client.ask(write(partitionId, extentId, 0, bytes, true));
      if (reply.resultCode !== RESULT.ok) throw new Error(reply.body.toString());
      this.extents.push(extent);
    }
    await client.end();
  }

  /** Writes to all extents, one connection each, until every connection is lost. */
  async run(port: number, onReply: () => void): Promise<void> {
    await Promise.all(this.extents.map((extent) => this.writeTo(port, extent, onReply)));
  }

  /** Reads everything; what is neither acknowledged nor was sent later. The blocks that were read are known from then on. */
  async verify(port: number): Promise<string[]> {
    const client = new PacketClient(port);
    client.keepReplies = false;
    const wrong: string[] = [];
    for (const extent of this.extents) {
      const { partitionId, extentId, blocks } = extent;
      for (const [at, block] of blocks.entries()) {
        const ask = read(partitionId, extentId, at * BLOCK_BYTES, BLOCK_BYTES);
        const [reply] = await client.askAll(ask, 1);
        if (reply!.resultCode !== RESULT.ok) throw new Error(`read: ${reply!.body}`);
        const version = [block.acked, ...block.sent].find((one) =>
          contentOf(extent, at, one).equals(reply!.body),
        );
        if (version === undefined)
          wrong.push(`${partitionId}/${extentId} block ${at}: not version ${block.acked}`);
        else Object.assign(block, { acked: version, sent: [], busy: false });
      }
    }
    await client.end();
    return wrong;
  }

  private async writeTo(port: number, extent: FilledExtent, onReply: () => void): Promise<void> {
    const client = new PacketClient(port);
    client.keepReplies = false;
    const lane = async (): Promise<void> => {
      for (;;) await this.writeOne(client, extent, onReply);
    };
    try {
      await Promise.all(Array.from({ length: DEPTH }, lane));
    } catch {
      // The node has gone: the acknowledgements that came are what counts.
    } finally {
      client.socket.destroy();
    }
  }

  private async writeOne(client: PacketClient, extent: FilledExtent, onReply: () => void): Promise<void> {
    const { partitionId, extentId, blocks } = extent;
    let at = this.random.below(BLOCKS);
    while (blocks[at]!.busy) at = (at + 1) % BLOCKS;
    const block = blocks[at]!;
    this.versions += 1;
    const version = this.versions;
    block.busy = true;
    block.sent.push(version);
    const sync = this.random.chance(0.3);
    const body = contentOf(extent, at, version);
    const reply = await client.ask(randomWrite(partitionId, extentId, at * BLOCK_BYTES, body, sync));
    if (reply.resultCode !== RESULT.ok) {
      this.errors.push(`random write: ${reply.body}`);
      throw new Error('an error reply');
    }
    Object.assign(block, { acked: version, sent: [], busy: false });
    this.acknowledged += 1;
    onReply();
  }
}

function contentOf({ partitionId, extentId }: FilledExtent, block: number, version: number): Buffer {
  return pattern(
    partitionId * 100_003 + extentId,
    block * BLOCK_BYTES + version * BLOCKS * BLOCK_BYTES,
    BLOCK_BYTES,
  );
}
