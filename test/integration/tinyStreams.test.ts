/** Streams of unknown length over a real socket: delete records and repair reads of tiny extents, alone, pipelined, and without any packet. */
import zlib from 'node:zlib';
import t from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeRequest } from '../../src/protocol/packet.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { encodeClientMarkDelete } from '../../src/protocol/tinyDelete.js';
import { readTinyRepairArg } from '../../src/protocol/tinyRepairArg.js';
import { startStandalone } from '../support/nodeProcess.js';
import { type Ask, PacketClient, type Reply } from '../support/packetClient.js';
import { pattern, write } from '../support/requests.js';

const KiB = 1024;
const BYTES = 1000 * KiB + 5;

/** A repair read of tiny extent 1, as a follower sends it. */
function repairRead(extentOffset: number, size: number): Ask {
  return { opcode: OP.tinyExtentRepairRead, extentType: 0, partitionId: 1, extentId: 1, extentOffset, size };
}

function readRecords(extentOffset: number): Ask {
  return { opcode: OP.readTinyDeleteRecord, extentType: 0, partitionId: 1, extentOffset };
}

function remove(extentOffset: number, size: number): Ask {
  const key = { fileOffset: 0, partitionId: 1, extentId: 1, extentOffset, size, crc: 0 };
  return {
    opcode: OP.markDelete,
    extentType: 0,
    partitionId: 1,
    extentId: 1,
    body: encodeClientMarkDelete(key),
  };
}

/** Puts an answer together as a repairing node does, with its checks. */
function assemble(replies: Reply[], start: number): Buffer {
  const pieces: Buffer[] = [];
  let at = start;
  for (const reply of replies) {
    const arg = readTinyRepairArg(reply.arg);
    if (arg === null || reply.arg.length !== 17) throw new Error(`Arg ${reply.arg.toString('hex')}`);
    if (reply.extentOffset !== at) throw new Error(`a packet for ${reply.extentOffset} instead of ${at}`);
    if (zlib.crc32(reply.body) !== reply.crc) throw new Error('a checksum is wrong');
    pieces.push(reply.body, Buffer.alloc(arg.holeBytes));
    at += reply.body.length + arg.holeBytes;
  }
  return Buffer.concat(pieces);
}

t.test('streams of unknown length', async (t) => {
  const node = await startStandalone(t, { partitions: 1 });
  const client = new PacketClient(node.port);
  t.teardown(() => client.end());
  const content = pattern(1, 0, BYTES);
  const written = await client.ask({ ...write(1, 0, 0, content), extentType: 0 });
  t.equal(written.extentId, 1);

  await t.test('without holes: full packets, each with the length of the whole', async (t) => {
    const replies = await client.askAll(repairRead(0, 0xffff_ffff), 8);
    t.ok(assemble(replies, 0).equals(content));
    for (const reply of replies) {
      t.same(
        [reply.resultCode, reply.opcode, reply.extentType, readTinyRepairArg(reply.arg)],
        [RESULT.ok, OP.tinyExtentRepairRead, 0, { holeBytes: 0, availableBytes: BYTES }],
      );
    }
    const part = await client.askAll(repairRead(128 * KiB, 256 * KiB), 2);
    t.ok(assemble(part, 128 * KiB).equals(content.subarray(128 * KiB, 384 * KiB)));
  });

  await t.test('nothing to send is no packet, and what is behind it is served', async (t) => {
    const before = client.replies.length;
    const size = { opcode: OP.getPartitionSize, partitionId: 1, extentId: 1 };
    client.send(Buffer.from(encodeRequest({ ...readRecords(0), reqId: 901 })));
    client.send(Buffer.from(encodeRequest({ ...repairRead(BYTES, 100), reqId: 902 })));
    client.send(Buffer.from(encodeRequest({ ...size, reqId: 903 })));
    await client.until('the last answer', () => client.replies.length > before);
    t.same([client.replies.length - before, client.replies.at(-1)!.reqId], [1, 903]);
  });

  await t.test('with a hole, while other requests are pipelined behind', async (t) => {
    t.equal((await client.ask(remove(200 * KiB, 400 * KiB))).resultCode, RESULT.ok);
    t.equal((await client.ask(remove(900 * KiB, 4096))).resultCode, RESULT.ok);
    const expected = Buffer.from(content);
    expected.fill(0, 200 * KiB, 600 * KiB);
    expected.fill(0, 900 * KiB, 904 * KiB);
    const stream = client.askAll(repairRead(0, BYTES), 11);
    const records = client.askAll(readRecords(0), 1);
    const one = client.ask({ opcode: OP.getPartitionSize, partitionId: 1, extentId: 1 });
    t.ok(assemble(await stream, 0).equals(expected));
    const [record] = await records;
    t.same(
      [record!.opcode, record!.extentType, record!.extentId, record!.extentOffset, record!.arg.length],
      [RESULT.ok, 1, 0, 0, 0],
    );
    t.equal(record!.crc, zlib.crc32(record!.body));
    // The one at the position itself is sent too (R10).
    t.same(
      [24, 32, 40].map((at) => Number(record!.body.readBigUInt64BE(at))),
      [1, 200 * KiB, 400 * KiB],
    );
    t.equal(record!.body.length, 72);
    t.equal((await one).resultCode, RESULT.ok);
  });

  await t.test('a stream that fails is one error, and the end of its connection', async (t) => {
    const other = new PacketClient(node.port);
    const reply = await other.ask({ ...repairRead(0, 100), extentId: 2000 });
    t.equal(reply.body.toString(), 'ActionStreamReadTinyExtentRepair_unavali extentID (2000)');
    await other.until('the node ends the connection', () => other.ended);
    await other.end();
  });

  await t.test('a peer that goes in the middle of a stream harms nobody', async (t) => {
    for (let i = 0; i < 5; i += 1) {
      const other = new PacketClient(node.port);
      other.send(Buffer.from(encodeRequest({ ...repairRead(0, BYTES), reqId: 1 })));
      await other.until('a first packet', () => other.replies.length > 0);
      await other.end();
    }
    t.ok(
      assemble(await client.askAll(repairRead(0, 100 * KiB), 1), 0).equals(content.subarray(0, 128 * KiB)),
    );
  });
});
