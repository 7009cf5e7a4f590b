/** A real node serves clients and peers: create, append, sync append, reads of every kind, queries; and finds everything again after a restart. */
import zlib from 'node:zlib';
import t from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { restart, startStandalone } from '../support/nodeProcess.js';
import { PacketClient, type Reply } from '../support/packetClient.js';
import { create, pattern, read, replyBytes, write } from '../support/requests.js';

const KiB = 1024;
const MiB = 1024 * KiB;
const CHUNK = 128 * KiB;
const TINY_EXTENTS = 64;

/** Creates an extent; its id. */
async function newExtent(client: PacketClient, partitionId: number): Promise<number> {
  const reply = await client.ask(create(partitionId));
  if (reply.resultCode !== RESULT.ok) throw new Error(reply.body.toString());
  return reply.extentId;
}

/** Appends `body` in packets of `step` bytes, pipelined; the replies. */
async function append(
  client: PacketClient,
  partitionId: number,
  extentId: number,
  body: Buffer,
  step: number,
): Promise<Reply[]> {
  const replies: Promise<Reply>[] = [];
  for (let at = 0; at < body.length; at += step) {
    const sync = (at / step) % 4 === 3;
    replies.push(client.ask(write(partitionId, extentId, at, body.subarray(at, at + step), sync)));
  }
  return Promise.all(replies);
}

/** Reads a range by stream read and puts it together; throws on any reply that is not as `wire.md` 8.1 says. */
async function readBack(
  client: PacketClient,
  partitionId: number,
  extentId: number,
  offset: number,
  size: number,
  opcode: number = OP.streamRead,
): Promise<Buffer> {
  const chunks = Math.ceil(size / CHUNK);
  const replies = await client.askAll(read(partitionId, extentId, offset, size, opcode), chunks);
  let at = offset;
  for (const reply of replies) {
    const wanted = Math.min(CHUNK, offset + size - at);
    const expected = replyBytes(
      { opcode, reqId: reply.reqId, partitionId, extentId },
      {
        resultCode: RESULT.ok,
        extentType: 1,
        extentOffset: at,
        crc: zlib.crc32(reply.body),
        body: reply.body,
      },
    );
    if (reply.body.length !== wanted || !reply.raw.equals(expected)) {
      throw new Error(`chunk at ${at}: ${reply.raw.subarray(0, 200).toString('latin1')}`);
    }
    at += wanted;
  }
  return Buffer.concat(replies.map((reply) => reply.body));
}

t.test('a client creates an extent, appends and reads back', async (t) => {
  const node = await startStandalone(t, { disks: 2, partitions: 2 });
  const client = new PacketClient(node.port);
  t.teardown(() => client.end());

  await t.test('OpCreateExtent answers with the first id, byte for byte', async (t) => {
    const ask = create(1);
    const reply = await client.ask(ask);
    const expected = replyBytes({ ...ask, reqId: reply.reqId }, { resultCode: RESULT.ok, extentId: 1025 });
    t.strictSame(reply.raw.toString('hex'), expected.toString('hex'));
    t.equal((await client.ask(create(1))).extentId, 1026, 'the next id follows');
    t.equal((await client.ask(create(2))).extentId, 1025, 'another partition counts for itself');
  });

  await t.test('OpWrite and OpSyncWrite are acknowledged with their CRC, byte for byte', async (t) => {
    for (const [offset, sync] of [
      [0, false],
      [4096, true],
    ] as const) {
      const ask = write(1, 1025, offset, pattern(1025, offset, 4096), sync);
      const reply = await client.ask(ask);
      t.strictSame(
        reply.raw.toString('hex'),
        replyBytes({ ...ask, reqId: reply.reqId }, { resultCode: RESULT.ok }).toString('hex'),
      );
    }
  });

  await t.test('a tiny write is told where it went, byte for byte, and read back', async (t) => {
    for (const [id, sync] of [
      [1, false],
      [2, true],
    ] as const) {
      const body = pattern(id, 0, 300_000);
      const ask = { ...write(2, 0, 0, body, sync), extentType: 0 };
      const reply = await client.ask(ask);
      t.strictSame(
        reply.raw.toString('hex'),
        replyBytes({ ...ask, reqId: reply.reqId }, { resultCode: RESULT.ok, extentId: id }).toString('hex'),
      );
      t.ok((await readBack(client, 2, id, 0, body.length)).equals(body));
    }
  });

  await t.test('each kind of stream read gives back what was written', async (t) => {
    for (const opcode of [OP.streamRead, OP.streamFollowerRead, OP.extentRepairRead]) {
      const body = await readBack(client, 1, 1025, 0, 8192, opcode);
      t.ok(body.equals(pattern(1025, 0, 8192)), `opcode ${opcode}`);
    }
  });

  await t.test('RemainingFollowers 1 with an empty Arg is a primary without followers', async (t) => {
    const ask = { ...create(1), remainingFollowers: 1 };
    const reply = await client.ask(ask);
    t.equal(
      reply.raw.toString('hex'),
      replyBytes({ ...ask, reqId: reply.reqId }, { resultCode: RESULT.ok, extentId: 1027 }).toString('hex'),
    );
    const body = pattern(1027, 0, 100);
    const written = await client.ask({ ...write(1, 1027, 0, body), remainingFollowers: 1 });
    t.equal(written.resultCode, RESULT.ok);
    t.equal(written.remainingFollowers, 1, 'the count is echoed');
    t.ok((await readBack(client, 1, 1027, 0, 100)).equals(body));
  });

  await t.test('an Arg of one slash, as clients send for one host, changes nothing', async (t) => {
    const arg = Buffer.from('/');
    const reply = await client.ask({ ...create(1), arg });
    t.equal(reply.resultCode, RESULT.ok, reply.body.toString());
    t.equal(reply.arg.length, 0, 'an OK reply carries no Arg');
    t.equal(reply.extentId, 1028);
  });

  await t.test('appends of 128 KiB, 1 MiB and odd sizes read back over chunk borders', async (t) => {
    for (const [step, bytes] of [
      [CHUNK, 3 * MiB],
      [MiB, 8 * MiB],
      [77_777, 1_000_000],
    ] as const) {
      const id = await newExtent(client, 2);
      const content = pattern(id, 0, bytes);
      const replies = await append(client, 2, id, content, step);
      t.ok(
        replies.every(({ resultCode }) => resultCode === RESULT.ok),
        `appends of ${step} bytes`,
      );
      t.ok((await readBack(client, 2, id, 0, bytes)).equals(content), 'whole');
      const [from, size] = [CHUNK - 17, 3 * CHUNK + 1234];
      const part = await readBack(client, 2, id, from, Math.min(size, bytes - from));
      t.ok(part.equals(content.subarray(from, from + part.length)), 'unaligned, several chunks');
    }
  });

  await t.test('many connections at once get their own data', async (t) => {
    const clients = Array.from({ length: 16 }, () => new PacketClient(node.port));
    const verdicts = await Promise.all(
      clients.map(async (one, index) => {
        const partition = (index % 2) + 1;
        const id = await newExtent(one, partition);
        const content = pattern(id * 100 + partition, 0, 256 * KiB);
        await append(one, partition, id, content, 4096);
        return (await readBack(one, partition, id, 0, content.length)).equals(content);
      }),
    );
    t.ok(verdicts.every(Boolean));
    await Promise.all(clients.map((one) => one.end()));
  });

  await t.test('queries of peers', async (t) => {
    const sizes = await client.ask({ opcode: OP.getMaxExtentIdAndPartitionSize, partitionId: 1 });
    const maxId = Number(sizes.body.readBigUInt64BE(0));
    t.equal(sizes.body.length, 16);
    t.equal(maxId, 1036, 'eight connections created one extent each behind 1028');
    const total = Number(sizes.body.readBigUInt64BE(8));
    t.equal(total, 8192 + 100 + 8 * 256 * KiB);
    const upTo = await client.ask({ opcode: OP.getPartitionSize, partitionId: 1, extentId: 1027 });
    t.equal(Number(upTo.body.readBigUInt64BE(0)), 8292, 'extents up to 1027 only');
    const normal = await client.ask({ opcode: OP.getAllWatermarks, extentType: 1, partitionId: 1 });
    t.equal(normal.body.toString(), '[]', 'extents younger than a minute are not told');
    const ids = JSON.stringify(Array.from({ length: TINY_EXTENTS }, (_, index) => index + 1));
    const tiny = await client.ask({ opcode: OP.getAllWatermarks, partitionId: 1, body: Buffer.from(ids) });
    const list = JSON.parse(tiny.body.toString()) as Record<string, unknown>[];
    t.equal(list.length, TINY_EXTENTS);
    t.strictSame(
      list.find(({ fileId }) => fileId === 7),
      { fileId: 7, size: 0, Crc: 0, deleted: false, modTime: 0, src: '' },
    );
  });
});

for (const [how, stop] of [
  ['SIGTERM', 'terminate'],
  ['SIGKILL', 'kill'],
] as const) {
  t.test(`a restart after ${how} finds sizes and contents, and no id comes twice`, async (t) => {
    const options = { disks: 2, partitions: 4 };
    const node = await startStandalone(t, options);
    const before = new PacketClient(node.port);
    const bytes = 300_001;
    const written: { partition: number; id: number }[] = [];
    for (const partition of [1, 2, 3, 4]) {
      for (let count = 0; count < 3; count++) {
        const id = await newExtent(before, partition);
        await append(before, partition, id, pattern(id + partition * 7919, 0, bytes), 65_536);
        written.push({ partition, id });
      }
      // Empty extents count too.
      written.push({ partition, id: await newExtent(before, partition) });
    }
    const ended = await node.process[stop]();
    t.equal(ended.code, how === 'SIGTERM' ? 0 : null);
    const again = await restart(t, node, options);
    const after = new PacketClient(again.port);
    t.teardown(() => after.end());
    for (const { partition, id } of written) {
      if (id === 1028) continue;
      const content = pattern(id + partition * 7919, 0, bytes);
      t.ok((await readBack(after, partition, id, 0, bytes)).equals(content), `${partition}/${id}`);
      const past = write(partition, id, bytes, pattern(id, bytes, 10));
      t.equal((await after.ask(past)).resultCode, RESULT.ok, 'the end is where it was');
    }
    for (const partition of [1, 2, 3, 4]) {
      const id = await newExtent(after, partition);
      const used = written.filter((one) => one.partition === partition).map((one) => one.id);
      t.ok(id > Math.max(...used), `partition ${partition}: ${id} is new`);
    }
  });
}
