/** Recorded repair traffic between v1.4.0 nodes, with this node in the place of either: its requests and replies are theirs, byte for byte but for ReqIDs, and it takes from their packets what they meant. */
import { readFileSync, statSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { PacketFramer } from '../../src/protocol/framer.js';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { readTinyRepairArg } from '../../src/protocol/tinyRepairArg.js';
import type { RepairView } from '../../src/repair/messages.js';
import { type RecordedPacket, type RecordedStream, recordedStreams } from '../protocol/vectors.js';
import { PacketClient } from '../support/packetClient.js';
import { create, type Member, notify, page, startMember } from '../support/repairRig.js';
import { pattern, write } from '../support/requests.js';

const REQ_ID_AT = 41;
const GiB = 1024 ** 3;
const streams = recordedStreams();

function ofOpcode(...opcodes: number[]): RecordedStream[] {
  return streams.filter(
    ({ packets, bytes }) =>
      packets[0]!.dir === 'c2s' &&
      opcodes.includes(packets[0]!.op) &&
      packets.filter(({ dir }) => dir === 'c2s').length === 1 &&
      packets.every(({ dir, result }) => dir === 'c2s' || result === 'Ok') &&
      bytes.s2c.length > 0,
  );
}

/** Without ReqID: senders count their own. */
function withoutReqId(packet: Uint8Array): Buffer {
  const copy = Buffer.from(packet);
  copy.fill(0, REQ_ID_AT, REQ_ID_AT + 8);
  return copy;
}

/** A server that answers one request with recorded bytes, under the request's ReqID. */
async function replaying(
  packets: RecordedPacket[],
  s2c: Uint8Array,
): Promise<{ server: Server; requests: Buffer[] }> {
  const requests: Buffer[] = [];
  const server = createServer((socket) => {
    const framer = new PacketFramer({ direction: 'request', argBytesMax: 1 << 16, bodyBytesMax: 1 << 26 });
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      framer.push(chunk, ({ raw }) => {
        requests.push(Buffer.from(raw));
        const answer = Buffer.from(s2c);
        for (const { offset } of packets.filter(({ dir }) => dir === 's2c'))
          Buffer.from(raw).copy(answer, offset + REQ_ID_AT, REQ_ID_AT, REQ_ID_AT + 8);
        socket.write(answer);
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, requests };
}

/** What a recorded answer brings: bodies and holes in order. */
function contentOf({ packets, bytes: { s2c } }: RecordedStream): Buffer {
  const parts = packets
    .filter(({ dir }) => dir === 's2c')
    .map(({ offset, argLen, size }) => {
      const arg = s2c.subarray(offset + 57, offset + 57 + argLen);
      const hole = argLen === 0 ? 0 : readTinyRepairArg(arg)!.holeBytes;
      return hole > 0
        ? Buffer.alloc(hole)
        : Buffer.from(s2c.subarray(offset + 57 + argLen, offset + 57 + argLen + size));
    });
  return Buffer.concat(parts);
}

async function partitionOf(member: Member, id: number): Promise<void> {
  const reply = await member.client.ask(create(id, ['127.0.0.1:1', member.node.address]));
  if (reply.resultCode !== RESULT.ok) throw new Error(reply.body.toString());
}

t.test('as a member: recorded notifications are answered as they were', async (t) => {
  const member = await startMember(t, ['127.0.0.1:1']);
  const recorded = ofOpcode(OP.notifyReplicasToRepair);
  t.ok(recorded.length >= 3, `${recorded.length} of them`);
  for (const { phase, stream, packets, bytes } of recorded) {
    await partitionOf(member, packets[0]!.partition);
    const client = new PacketClient(member.node.port);
    const answer = client.take(1);
    client.send(bytes.c2s);
    t.equal(
      (await answer)[0]!.raw.toString('hex'),
      Buffer.from(bytes.s2c).toString('hex'),
      `${phase} ${stream}`,
    );
    await client.end();
  }
});

t.test('as a member: extents are asked for as they were, and recorded answers are taken', async (t) => {
  const member = await startMember(t, ['127.0.0.1:1']);
  const { client } = member;
  const recorded = ofOpcode(OP.extentRepairRead, OP.tinyExtentRepairRead);
  t.ok(recorded.length >= 5, `${recorded.length} of them`);
  const seen = new Set<string>();
  for (const one of recorded) {
    const [{ partition, extent, extentOffset, size, op } = one.packets[0]!] = one.packets;
    const name = `${one.phase} ${one.stream}: ${partition}_${extent} from ${extentOffset}`;
    if (seen.has(`${partition}_${extent}`)) continue;
    seen.add(`${partition}_${extent}`);
    await partitionOf(member, partition);
    const tiny = op === OP.tinyExtentRepairRead;
    if (!tiny) {
      const made = { opcode: OP.createExtent, extentType: 1, partitionId: partition, extentId: extent };
      t.equal((await client.ask({ ...made, body: new Uint8Array(8) })).resultCode, RESULT.ok);
    }
    const before = pattern(extent, 0, extentOffset);
    for (let at = 0; at < before.length; at += 1 << 20) {
      const ask = {
        ...write(partition, extent, at, before.subarray(at, at + (1 << 20))),
        extentType: tiny ? 0 : 1,
      };
      t.equal((await client.ask(ask)).resultCode, RESULT.ok);
    }
    const { server, requests } = await replaying(one.packets, one.bytes.s2c);
    const source = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const entry = { fileId: extent, size: extentOffset + size, crc: 0, deleted: false, modTime: 0, source };
    t.equal((await notify(client, { repair: [entry], partitionId: partition })).resultCode, RESULT.ok);
    server.close();
    const view = await page<RepairView>(member.node, `/repair?id=${partition}`);
    t.same(view.partitions[0]!.lastTask!.failed, [], name);
    t.equal(requests.length, 1, `${name}: asked once`);
    t.equal(
      withoutReqId(requests[0]!).toString('hex'),
      withoutReqId(one.bytes.c2s).toString('hex'),
      `${name}: the request`,
    );
    const path = join(member.node.folder, 'disk1', `datapartition_${partition}_${GiB}`, String(extent));
    const brought = contentOf(one);
    t.ok(readFileSync(path).equals(Buffer.concat([before, brought])), `${name}: ${brought.length} bytes`);
    t.equal(statSync(path).size, extentOffset + brought.length);
  }
});
