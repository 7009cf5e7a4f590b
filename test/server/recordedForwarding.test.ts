/**
 * Recorded client connections, replayed to the network thread with fake followers: what it forwards, and what it answers, is what the reference did, byte for byte. Only the addresses of the
 * followers are others. The worker's part is played from the recording; real workers are compared with it elsewhere.
 */
import t from 'tap';
import { formatFollowers } from '../../src/protocol/followers.js';
import { HEADER_BYTES } from '../../src/protocol/header.js';
import { isPrimaryPacket, OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { type RecordedPacket, type RecordedStream, recordedStreams } from '../protocol/vectors.js';
import { PacketClient } from '../support/packetClient.js';
import { until } from '../support/until.js';
import { FakeFollower } from './fakeFollower.js';
import { FakeNode, type Seen } from './fakeNode.js';

const streams = recordedStreams();

function bytesOf({ bytes }: RecordedStream, { dir, offset, len }: RecordedPacket): Buffer {
  return Buffer.from(bytes[dir].subarray(offset, offset + len));
}

function isWhole({ bytes }: RecordedStream, { dir, offset, len }: RecordedPacket): boolean {
  return offset + len <= bytes[dir].length;
}

function replyIn(stream: RecordedStream, asked: RecordedPacket): Buffer | null {
  const found = stream.packets.find(({ dir, reqId }) => dir === 's2c' && reqId === asked.reqId);
  return found === undefined || !isWhole(stream, found) ? null : bytesOf(stream, found);
}

/** A packet of a client with what the reference did with it. */
interface Case {
  sent: Buffer;
  /** As each follower that was recorded got it, and answered. */
  forwarded: Buffer;
  followerReply: Buffer;
  reply: Buffer;
}

/** The packet that followers got for `asked`, if one of their connections was recorded. */
function forwardedFor(phase: string, asked: RecordedPacket): [RecordedStream, RecordedPacket] | undefined {
  for (const stream of streams.filter((one) => one.phase === phase)) {
    const found = stream.packets.find(
      (one) =>
        one.dir === 'c2s' &&
        one.remainingFollowers === 0 &&
        one.argLen === 0 &&
        isWhole(stream, one) &&
        one.op === asked.op &&
        one.reqId === asked.reqId &&
        one.crc === asked.crc &&
        one.partition === asked.partition &&
        one.extentType === asked.extentType,
    );
    if (found !== undefined) return [stream, found];
  }
  return undefined;
}

function casesOf(stream: RecordedStream): Case[] {
  return stream.packets.flatMap((asked) => {
    if (asked.dir !== 'c2s' || !isPrimaryPacket(asked.op, asked.remainingFollowers)) return [];
    const twin = forwardedFor(stream.phase, asked);
    const reply = replyIn(stream, asked);
    const followerReply = twin === undefined ? null : replyIn(...twin);
    if (twin === undefined || reply === null || followerReply === null || !isWhole(stream, asked)) return [];
    return [{ sent: bytesOf(stream, asked), forwarded: bytesOf(...twin), followerReply, reply }];
  });
}

/** The packet with another Arg, of which Size does not speak. */
function withArg(packet: Buffer, arg: Uint8Array): Buffer {
  const argBytes = packet.readUInt32BE(13);
  const header = Buffer.from(packet.subarray(0, HEADER_BYTES));
  header.writeUInt32BE(arg.length, 13);
  return Buffer.concat([header, arg, packet.subarray(HEADER_BYTES + argBytes)]);
}

/** A worker that gives out what the reference's has given out. */
function assign(node: FakeNode, request: Seen, { sent, forwarded }: Case): void {
  if (request.opcode !== OP.createExtent && sent[1] !== 0) return;
  const body = forwarded.subarray(HEADER_BYTES);
  if (request.opcode === OP.markDelete) request.slot.set(body);
  const [extent, offset] = [forwarded.readBigUInt64BE(25), forwarded.readBigUInt64BE(33)].map(Number);
  node.assign(request, extent!, offset!, request.opcode === OP.write ? 1 : 0, body.length);
}

function textOf(reply: Buffer): string {
  return reply.subarray(HEADER_BYTES + reply.readUInt32BE(13)).toString();
}

/** The reference's primary has failed it itself. Then it does not matter what its followers say, nor when. */
function failsHere({ reply }: Case): boolean {
  return reply[3] !== RESULT.ok && !textOf(reply).startsWith('ActionReceiveFromFollower');
}

/** The end that it has come to there. */
function end(node: FakeNode, request: Seen, one: Case): void {
  const { sent, reply } = one;
  const text = textOf(reply);
  const crc = sent.readUInt32BE(5);
  if (!failsHere(one)) node.answer(request, { code: RESULT.ok, bodyBytes: 0, crc });
  else node.answer(request, { code: reply[3]!, bodyBytes: text.length, text, crc });
}

let compared = 0;
for (const stream of streams) {
  const cases = casesOf(stream);
  if (cases.length === 0) continue;
  t.test(`recorded connection ${stream.phase} ${stream.stream}: ${cases.length} packets`, async (t) => {
    let current = cases[0]!;
    const node: FakeNode = new FakeNode({
      work: (request) => {
        void playWhenForwarded(request);
        return null;
      },
    });
    /** The reference forwards first; what fails here before its followers are reached is not forwarded any more. */
    const playWhenForwarded = async (request: Seen): Promise<void> => {
      assign(node, request, current);
      const named = followers.slice(0, current.sent[4]);
      const at = cases.indexOf(current);
      await until('it was forwarded', () => named.every(({ seen }) => seen.length > at));
      end(node, request, current);
    };
    await node.start(20);
    const followers = await Promise.all(
      [0, 1].map(() => new FakeFollower(() => (failsHere(current) ? null : current.followerReply)).start()),
    );
    const client = new PacketClient(node.port);
    for (const one of cases) {
      current = one;
      const arg = formatFollowers(followers.slice(0, one.sent[4]).map(({ address }) => address));
      client.send(withArg(one.sent, arg));
      const [got] = await client.take(1);
      const expected = one.reply.readUInt32BE(13) === 0 ? one.reply : withArg(one.reply, arg);
      t.equal(got!.raw.toString('hex'), expected.toString('hex'), 'the answer');
      for (const follower of followers.slice(0, one.sent[4])) {
        t.equal(follower.seen.length, cases.indexOf(one) + 1);
        t.equal(follower.seen.at(-1)!.raw.toString('hex'), one.forwarded.toString('hex'), 'as forwarded');
      }
      compared += 1;
    }
    client.socket.destroy();
    for (const follower of followers) follower.stop();
    node.stop();
  });
}

t.test('they are not few', async (t) => {
  t.ok(compared >= 20, `${compared} packets`);
});
