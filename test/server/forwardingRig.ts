/** A primary with fake workers, followers and a client over real sockets, for tests of forwarding; and the packets that they send. */
import zlib from 'node:zlib';
import { formatFollowers } from '../../src/protocol/followers.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeRequest, type RequestFields } from '../../src/protocol/packet.js';
import { wireVector } from '../protocol/vectors.js';
import { PacketClient } from '../support/packetClient.js';
import { until } from '../support/until.js';
import { FakeFollower, type FollowerWork } from './fakeFollower.js';
import { FakeNode, type FakeOptions } from './fakeNode.js';
import { honest } from './honest.js';

export interface Rig {
  node: FakeNode;
  followers: FakeFollower[];
  client: PacketClient;
  /** The Arg that names the followers. */
  arg: Uint8Array;
}

/** A primary with `works.length` followers and a client, for the length of `run`; then nothing may be held any more. */
export async function withRig(
  options: Partial<FakeOptions>,
  works: FollowerWork[],
  run: (rig: Rig) => Promise<void>,
): Promise<void> {
  const node = new FakeNode({ work: honest, ...options });
  await node.start();
  const followers = await Promise.all(works.map((work) => new FakeFollower(work).start()));
  const client = new PacketClient(node.port);
  const arg = formatFollowers(followers.map(({ address }) => address));
  try {
    await run({ node, followers, client, arg });
    client.socket.destroy();
    await until('the links are closed', () => node.network.forwarding.links.open === 0);
    await until('everything is given back', () => node.network.pending.inUse === 0);
    const { network, slab } = node;
    if (slab.bytesInUse() + network.inFlight + network.forwarding.open !== 0)
      throw new Error('something is held');
    if (!node.ports[0]!.admits(1)) throw new Error('primary work is not admitted any more');
  } finally {
    client.socket.destroy();
    for (const follower of followers) follower.stop();
    node.stop();
  }
}

/** A write with a body that follows from its ReqID, to the followers that `arg` names. */
export function append(
  reqId: number,
  bytes: number,
  arg: Uint8Array,
  fields: Partial<RequestFields> = {},
): Uint8Array {
  const body = new Uint8Array(bytes).fill(reqId & 0xff);
  const place = { partitionId: 1, extentId: 1025, extentOffset: 4096 * reqId, kernelOffset: 99 };
  return encodeRequest({
    ...{ opcode: OP.write, extentType: 1, reqId, crc: zlib.crc32(body), body, arg, ...place },
    ...{ remainingFollowers: Buffer.from(arg).toString().split('/').length - 1, ...fields },
  });
}

/** A vector as bytes, its follower list replaced by `arg`. */
export function withArg(name: string, arg: Uint8Array): Buffer {
  const bytes = Buffer.from(wireVector(name).hex, 'hex');
  const argBytes = bytes.readUInt32BE(13);
  bytes.writeUInt32BE(arg.length, 13);
  return Buffer.concat([bytes.subarray(0, 57), arg, bytes.subarray(57 + argBytes)]);
}
