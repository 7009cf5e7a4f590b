/**
 * Load on a node, and the memory of what it acknowledged: for each extent how many bytes from its start, for each partition which ids. After the node was killed the
 * memory is compared with what a new process serves.
 *
 * Appends of one extent are pipelined on one connection and answered in order, so what is acknowledged is always a prefix.
 */
import { RESULT } from '../../src/protocol/resultCodes.js';
import type { Random } from '../sim/random.js';
import { PacketClient } from './packetClient.js';
import { create, pattern, read, write } from './requests.js';

const DEPTH = 8;
const BODY_BYTES_MAX = 20_000;
const EXTENT_BYTES_MAX = 1_500_000;
const CHUNK_BYTES = 128 * 1024;

/** One extent as its client knows it. */
export interface KnownExtent {
  partitionId: number;
  extentId: number;
  /** Bytes acknowledged, by any write, and up to the end of the last acknowledged sync write. */
  ackedBytes: number;
  syncedBytes: number;
  /** Where the next append goes. */
  end: number;
}

export interface LoadOptions {
  partitions: number[];
  /** Share of appends that are OpSyncWrite, on every second connection; the others send OpWrite alone. */
  syncShare: number;
  connections: number;
}

export class StoreLoad {
  readonly extents: KnownExtent[] = [];
  /** Replies with an error code: none is expected but for the end of the node. */
  readonly errors: string[] = [];
  appends = 0;
  syncs = 0;
  readonly #ids = new Set<string>();
  /** Extents that a connection is appending to: no second one may. */
  readonly #busy = new Set<KnownExtent>();
  readonly #random: Random;
  #stopping = false;
  #clients: PacketClient[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  /** Runs until every connection is lost, or `stop`. `onReply` is called for each acknowledgement. */
  async run(port: number, options: LoadOptions, onReply: () => void = () => {}): Promise<void> {
    this.#stopping = false;
    this.#clients = Array.from({ length: options.connections }, () => new PacketClient(port));
    const lanes = this.#clients.map(async (client, index) => {
      client.keepReplies = false;
      const lane = index % 2 === 0 ? options : { ...options, syncShare: 0 };
      try {
        while (!this.#stopping) await this.#fillExtent(client, lane, onReply);
      } catch {
        // The node has gone: the acknowledgements that came are what counts.
      } finally {
        client.socket.destroy();
      }
    });
    await Promise.all(lanes);
  }

  /** Lets every connection finish what it has in flight. */
  stop(): void {
    this.#stopping = true;
  }

  /** Reads everything acknowledged of `extents` back; returns what is wrong. */
  async verify(port: number, extents: readonly KnownExtent[]): Promise<string[]> {
    const client = new PacketClient(port);
    client.keepReplies = false;
    const wrong: string[] = [];
    for (const extent of extents) {
      const problem = await verifyExtent(client, extent);
      if (problem !== null) wrong.push(`${extent.partitionId}/${extent.extentId}: ${problem}`);
      if (client.ended) return [...wrong, 'the rest was not read'];
    }
    await client.end();
    return wrong;
  }

  async #fillExtent(client: PacketClient, options: LoadOptions, onReply: () => void): Promise<void> {
    const random = this.#random;
    const partitionId = options.partitions[random.below(options.partitions.length)]!;
    const old = this.extents[random.below(this.extents.length + 10)];
    const usable = old !== undefined && !this.#busy.has(old) && old.end < EXTENT_BYTES_MAX;
    const extent = usable ? old : await this.#newExtent(client, partitionId, onReply);
    this.#busy.add(extent);
    try {
      const inFlight: Promise<void>[] = [];
      for (let count = 5 + random.below(60); count > 0 && !this.#stopping; count--) {
        inFlight.push(this.#append(client, extent, random.chance(options.syncShare), onReply));
        if (inFlight.length >= DEPTH) await inFlight.shift();
      }
      await Promise.all(inFlight);
    } finally {
      this.#busy.delete(extent);
    }
  }

  async #newExtent(client: PacketClient, partitionId: number, onReply: () => void): Promise<KnownExtent> {
    const reply = await client.ask(create(partitionId));
    const { extentId } = reply;
    if (reply.resultCode !== RESULT.ok) this.#failed(`create: ${reply.body}`);
    const name = `${partitionId}/${extentId}`;
    if (this.#ids.has(name)) this.errors.push(`extent id ${name} was handed out twice`);
    this.#ids.add(name);
    onReply();
    const extent = { partitionId, extentId, ackedBytes: 0, syncedBytes: 0, end: 0 };
    this.extents.push(extent);
    return extent;
  }

  #append(client: PacketClient, extent: KnownExtent, sync: boolean, onReply: () => void): Promise<void> {
    const { partitionId, extentId } = extent;
    const offset = extent.end;
    const body = pattern(contentKey(extent), offset, 1 + this.#random.below(BODY_BYTES_MAX));
    extent.end += body.length;
    const replied = client.ask(write(partitionId, extentId, offset, body, sync)).then((reply) => {
      if (reply.resultCode !== RESULT.ok) this.#failed(`append: ${reply.body}`);
      extent.ackedBytes = offset + body.length;
      if (sync) extent.syncedBytes = extent.ackedBytes;
      this.appends++;
      if (sync) this.syncs++;
      onReply();
    });
    // A lost connection rejects all of them; the first one ends the lane.
    replied.catch(() => {});
    return replied;
  }

  #failed(text: string): never {
    this.errors.push(text);
    throw new Error(text);
  }
}

/** The content of an extent differs from the same id's in another partition. */
function contentKey({ partitionId, extentId }: KnownExtent): number {
  return partitionId * 100_003 + extentId;
}

async function verifyExtent(client: PacketClient, extent: KnownExtent): Promise<string | null> {
  const { partitionId, extentId, ackedBytes } = extent;
  if (ackedBytes === 0) return null;
  const chunks = Math.ceil(ackedBytes / CHUNK_BYTES);
  const replies = await client.askAll(read(partitionId, extentId, 0, ackedBytes), chunks).catch(() => null);
  if (replies === null) return 'an error in place of acknowledged bytes';
  const bad = replies.find(({ resultCode }) => resultCode !== RESULT.ok);
  if (bad !== undefined) return bad.body.toString();
  const content = Buffer.concat(replies.map(({ body }) => body));
  if (content.equals(pattern(contentKey(extent), 0, ackedBytes))) return null;
  return `wrong content among ${ackedBytes} acknowledged bytes`;
}

/** Whether the bytes that a file has beyond the acknowledged ones are what the client sent: `tail` from `ackedBytes` on. */
export function tailIsSent(extent: KnownExtent, tail: Buffer): boolean {
  return tail.equals(pattern(contentKey(extent), extent.ackedBytes, tail.length));
}
