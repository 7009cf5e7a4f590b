/** What a client may send wrongly, over a real socket to a real node: each packet gets exactly the reply that `wire.md` 5 and 6 promise, and harms nobody else. */
import t from 'tap';
import { HEADER_BYTES, HEADER_OFFSET } from '../../src/protocol/header.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeRequest } from '../../src/protocol/packet.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { Random } from '../sim/random.js';
import { startStandalone } from '../support/nodeProcess.js';
import { type Ask, PacketClient } from '../support/packetClient.js';
import { create, pattern, read, replyBytes, write } from '../support/requests.js';

const EXTENT_BYTES = 128 * 1024 * 1024;
const UNKNOWN_PARTITION = 99;
const UNKNOWN_EXTENT = 777_777;

const node = await startStandalone(t, { partitions: 2 });
const good = new PacketClient(node.port);
t.teardown(() => good.end());
/** An extent of partition 1 with 8 KiB. */
const extent = (await good.ask(create(1))).extentId;
for (const offset of [0, 4096]) await good.ask(write(1, extent, offset, pattern(extent, offset, 4096)));
const body = pattern(1, 0, 8);

/** The node answers other connections as before. */
async function servesOthers(): Promise<boolean> {
  const reply = await good.ask(read(1, extent, 0, 8192));
  return reply.resultCode === RESULT.ok && reply.body.equals(pattern(extent, 0, 8192));
}

/** One bad request on a connection of its own: the one reply, byte for byte, then FIN; other connections do not notice. */
function refused(name: string, ask: Ask, code: number, text: string, parts: { crc?: number } = {}): void {
  t.test(`${name}: ${text}`, async (t) => {
    const client = new PacketClient(node.port);
    const [reply] = await client.askAll(ask, 1);
    const expected = replyBytes(
      { ...ask, reqId: 2 },
      { resultCode: code, body: text, ...parts, ...(ask.arg === undefined ? {} : { arg: ask.arg }) },
    );
    t.equal(reply!.raw.toString('latin1'), expected.toString('latin1'));
    await client.until('the node ends the connection', () => client.ended);
    t.equal(client.replies.length, 1, 'nothing but the error');
    t.equal(client.fault, null);
    await client.end();
    t.ok(await servesOthers(), 'others are served');
  });
}

const { argMismatchErr, intraGroupNetErr, notExistErr, tryOtherAddr } = RESULT;

refused(
  'unknown partition',
  {
    ...write(UNKNOWN_PARTITION, 1025, 0, body),
    remainingFollowers: 2,
    arg: Buffer.from('10.0.0.2:17310/10.0.0.3:17310/'),
  },
  tryOtherAddr,
  'ActionPreparePkt_data partition not exists',
);
refused(
  'unknown partition, create',
  create(UNKNOWN_PARTITION),
  tryOtherAddr,
  'ActionPreparePkt_data partition not exists',
);
for (const opcode of [OP.streamRead, OP.streamFollowerRead, OP.extentRepairRead, OP.readTinyDeleteRecord]) {
  refused(
    `read 0x${opcode.toString(16)} of an unknown partition is answered`,
    read(UNKNOWN_PARTITION, 1025, 0, 4096, opcode),
    tryOtherAddr,
    'ActionPreparePkt_data partition not exists',
  );
}
refused(
  'unknown opcode',
  { opcode: 0x55, extentType: 1, partitionId: 1, body },
  argMismatchErr,
  'unknown opcode_unknown opcode85',
);
refused(
  'unknown opcode without body',
  { opcode: 0xee, partitionId: 1 },
  argMismatchErr,
  'unknown opcode_unknown opcode238',
);
refused(
  'unknown opcode of an unknown partition',
  { opcode: 0x55, partitionId: UNKNOWN_PARTITION, body },
  tryOtherAddr,
  'ActionPreparePkt_data partition not exists',
);
refused(
  'OpRead, which nobody serves, is answered',
  read(1, extent, 0, 10, OP.read),
  argMismatchErr,
  'unknown opcode_unknown opcode4',
);
refused('OpPing', { opcode: OP.ping, partitionId: 1 }, argMismatchErr, 'unknown opcode_unknown opcode255');
refused(
  'a meta node opcode',
  { opcode: 0x20, partitionId: 1, body },
  argMismatchErr,
  'unknown opcode_unknown opcode32',
);
refused(
  'OpCreateExtent with a wrong extent type',
  { ...create(1), extentType: 2 },
  intraGroupNetErr,
  'ActionPreparePkt_Incorrect store type',
);
refused(
  'OpWrite with a wrong extent type',
  { ...write(1, extent, 8192, body), extentType: 255 },
  intraGroupNetErr,
  'ActionPreparePkt_Incorrect store type',
);
refused(
  'a read with a wrong extent type is answered',
  { ...read(1, extent, 0, 10), extentType: 7 },
  intraGroupNetErr,
  'ActionPreparePkt_Incorrect store type',
);
refused(
  'a wrong CRC',
  { ...write(1, extent, 8192, body), crc: 1 },
  intraGroupNetErr,
  'ActionPreparePkt_packet Crc is incorrect',
);
refused(
  'a wrong CRC of a sync write',
  { ...write(1, extent, 8192, body, true), crc: 0 },
  intraGroupNetErr,
  'ActionPreparePkt_packet Crc is incorrect',
);
refused(
  'the CRC is looked at before the partition',
  { ...write(UNKNOWN_PARTITION, 5, 0, body), crc: 5 },
  intraGroupNetErr,
  'ActionPreparePkt_packet Crc is incorrect',
);
refused(
  'a write past 128 MiB',
  write(1, extent, EXTENT_BYTES - 4, body),
  argMismatchErr,
  `ActionWrite:_parameter mismatch error: offset=${EXTENT_BYTES - 4} size=8`,
);
refused(
  'a write at 128 MiB',
  write(1, extent, EXTENT_BYTES, body),
  argMismatchErr,
  `ActionWrite:_parameter mismatch error: offset=${EXTENT_BYTES} size=8`,
);
refused(
  'a write at a far offset',
  write(1, extent, 2 ** 52, body),
  argMismatchErr,
  `ActionWrite:_parameter mismatch error: offset=${2 ** 52} size=8`,
);
refused(
  'a write of nothing',
  write(1, extent, 8192, new Uint8Array(0)),
  argMismatchErr,
  'ActionWrite:_parameter mismatch error: offset=8192 size=0',
);
refused(
  'a write at a negative offset',
  write(1, extent, -1, body),
  argMismatchErr,
  'ActionWrite:_parameter mismatch error: offset=-1 size=8',
);
refused(
  'a write at a far negative offset',
  write(1, extent, -(2 ** 52), body),
  argMismatchErr,
  `ActionWrite:_parameter mismatch error: offset=${-(2 ** 52)} size=8`,
);
refused(
  'a write that would leave a gap',
  write(1, extent, 8193, body),
  argMismatchErr,
  'ActionWrite:_parameter mismatch error: offset=8193 size=8',
);
refused(
  'a sync write that would leave a gap',
  write(1, extent, 100_000, body, true),
  argMismatchErr,
  'ActionWrite:_parameter mismatch error: offset=100000 size=8',
);
refused(
  'a write to an unknown extent',
  write(1, UNKNOWN_EXTENT, 0, body),
  notExistErr,
  'ActionWrite:_extent does not exist',
);
refused('a write to extent 0', write(1, 0, 0, body), notExistErr, 'ActionWrite:_extent does not exist');
refused(
  'a normal write to a tiny extent',
  write(1, 5, 0, body),
  argMismatchErr,
  'ActionWrite:_parameter mismatch error',
);
refused(
  'a tiny write: none is available yet',
  { ...write(1, 0, 0, body), extentType: 0 },
  intraGroupNetErr,
  'ActionPreparePkt_addExtentInfo partition 1 GetAvailableTinyExtent error no available extent',
);
refused(
  'a read of an unknown extent',
  read(1, UNKNOWN_EXTENT, 0, 10),
  notExistErr,
  'ActionStreamRead_extent does not exist',
);
refused('a read past the end', read(1, extent, 8000, 1000), intraGroupNetErr, 'ActionStreamRead_EOF');
refused('a read behind the end', read(1, extent, 9000, 10), intraGroupNetErr, 'ActionStreamRead_EOF');
refused(
  'a repair read past the end',
  read(1, extent, 0, 8193, OP.extentRepairRead),
  intraGroupNetErr,
  'ActionStreamRead_EOF',
);
refused(
  'a read of nothing is answered',
  read(1, extent, 0, 0),
  argMismatchErr,
  'ActionStreamRead_parameter mismatch error: offset=0 size=0',
);
refused(
  'a read at a negative offset',
  read(1, extent, -5, 10),
  argMismatchErr,
  'ActionStreamRead_parameter mismatch error: offset=-5 size=10',
);
refused(
  'a read past 128 MiB',
  read(1, extent, EXTENT_BYTES - 4, 8),
  argMismatchErr,
  `ActionStreamRead_parameter mismatch error: offset=${EXTENT_BYTES - 4} size=8`,
);
refused('a read of 4 GiB - 1', read(1, extent, 0, 0xffff_ffff), intraGroupNetErr, 'ActionStreamRead_EOF');
refused(
  'followers, which this version does not serve',
  { ...create(1), remainingFollowers: 1, arg: Buffer.from('127.0.0.1:1/') },
  intraGroupNetErr,
  'ActionSendToFollowers_replication to followers is not served by this version',
);
refused(
  'a tiny watermark list that is no JSON',
  { opcode: OP.getAllWatermarks, partitionId: 1 },
  intraGroupNetErr,
  'ActionGetAllExtentWatermarks:_unexpected end of JSON input',
);
refused(
  'an admin task that is no JSON',
  { opcode: OP.createDataPartition, body },
  intraGroupNetErr,
  'ActionCreateDataPartition_cannnot unmashal adminTask',
);
for (const opcode of [0x62, 0x66, 0x67, 0x68, 0x69]) {
  refused(
    'a master op that is not served yet',
    { opcode, partitionId: 1, body },
    argMismatchErr,
    `unknown opcode_unknown opcode${opcode}`,
  );
}
for (const opcode of [0x02, 0x08, 0x0a, 0x0f, 0x10, 0x12]) {
  refused(
    'an op that is not served yet',
    { opcode, extentType: 1, partitionId: 1, extentId: extent, body },
    argMismatchErr,
    `unknown opcode_unknown opcode${opcode}`,
  );
}

for (const [field, value] of [
  ['partition id', 0xffff_ffff_ffff_fff0n],
  ['partition id of a known one above 2^53', 2n ** 53n + 1n],
] as const) {
  t.test(
    `every field of an error reply is the request's, also those nobody understands: ${field}`,
    async (t) => {
      const client = new PacketClient(node.port);
      const request = Buffer.from(encodeRequest({ ...read(1, 5, 9, 100), reqId: 2 }));
      request.writeBigUInt64BE(value, HEADER_OFFSET.partitionId);
      request.writeBigUInt64BE(0xfedc_ba98_7654_3210n, HEADER_OFFSET.reqId);
      request.writeBigUInt64BE(0x8899_aabb_ccdd_eeffn, HEADER_OFFSET.kernelOffset);
      request.writeBigUInt64BE(0xffff_ffff_ffff_fff0n, HEADER_OFFSET.extentId);
      request.writeBigInt64BE(-(2n ** 63n), HEADER_OFFSET.extentOffset);
      client.send(request);
      await client.until('a reply', () => client.replies.length === 1);
      const text = 'ActionPreparePkt_data partition not exists';
      const expected = Buffer.concat([request, Buffer.from(text)]);
      expected[HEADER_OFFSET.resultCode] = tryOtherAddr;
      expected.writeUInt32BE(text.length, HEADER_OFFSET.size);
      t.equal(client.replies[0]!.raw.toString('hex'), expected.toString('hex'));
      await client.end();
    },
  );
}

/** Bytes after which nothing sensible can follow: the connection is closed without a reply. */
function closed(name: string, bytes: Uint8Array, logged: string): void {
  t.test(`${name}: the connection is closed`, async (t) => {
    const client = new PacketClient(node.port);
    client.send(bytes);
    await client.until('the node closes the connection', () => client.closed);
    t.equal(client.replies.length, 0, 'no reply');
    t.ok(await servesOthers(), 'others are served');
    // Of many closes in one second the log tells ten and counts the rest.
    const { process: child } = node;
    const told = (): boolean =>
      child.stderr.includes(logged) || child.stderr.includes('more messages: closed');
    await client.until(`the log says why: ${logged}`, told);
  });
}

function withLength(ask: Ask, at: number, value: number): Buffer {
  const bytes = Buffer.from(encodeRequest({ ...ask, reqId: 2 }));
  bytes.writeUInt32BE(value, at);
  return bytes;
}

closed('an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'), 'bad magic 71');
closed('a TLS hello', Buffer.from('16030102000100', 'hex'), 'bad magic 22');
closed('a GIOP probe', Buffer.from('GIOP\x01\x00\x01\x00', 'latin1'), 'bad magic 71');
closed('one zero byte', Buffer.alloc(1), 'bad magic 0');
closed(
  'a write of 4 GiB - 1',
  withLength(write(1, extent, 0, body), HEADER_OFFSET.size, 0xffff_ffff),
  'body of 4294967295 bytes',
);
closed(
  'a write above the cap',
  withLength(write(1, extent, 0, body), HEADER_OFFSET.size, 2 * 1024 * 1024 + 1),
  'body of 2097153 bytes',
);
closed(
  'a create of 4 GiB - 1',
  withLength(create(1), HEADER_OFFSET.size, 0xffff_ffff),
  'body of 4294967295 bytes',
);
closed(
  'an admin task of 4 GiB - 1',
  withLength({ opcode: OP.createDataPartition }, HEADER_OFFSET.size, 0xffff_ffff),
  'body of 4294967295 bytes',
);
closed(
  'an unknown opcode with 4 GiB - 1',
  withLength({ opcode: 0x77 }, HEADER_OFFSET.size, 0xffff_ffff),
  'body of 4294967295 bytes',
);
closed(
  'an Arg of 4 GiB - 1',
  withLength(create(1), HEADER_OFFSET.argBytes, 0xffff_ffff),
  'Arg of 4294967295 bytes',
);
closed(
  'an Arg above the cap',
  withLength(create(1), HEADER_OFFSET.argBytes, 64 * 1024 + 1),
  'Arg of 65537 bytes',
);
closed('both lengths at their most', Buffer.alloc(HEADER_BYTES, 0xff), 'Arg of 4294967295 bytes');

t.test('a packet one byte at a time is served', async (t) => {
  const client = new PacketClient(node.port);
  const ask = { ...write(2, (await good.ask(create(2))).extentId, 0, body), arg: Buffer.from('/') };
  const bytes = encodeRequest({ ...ask, reqId: 2 });
  const [answered] = await Promise.all([
    client.take(1),
    (async () => {
      for (const byte of bytes) {
        client.send(Uint8Array.of(byte));
        await new Promise((resolve) => setImmediate(resolve));
      }
    })(),
  ]);
  t.equal(
    answered[0]!.raw.toString('hex'),
    replyBytes({ ...ask, reqId: 2 }, { resultCode: RESULT.ok }).toString('hex'),
  );
  await client.end();
});

t.test('a connection that ends in the middle of a body leaves nothing behind', async (t) => {
  for (const size of [4096, 128 * 1024, 1024 * 1024]) {
    const bytes = encodeRequest({ ...write(1, extent, 8192, pattern(1, 0, size)), reqId: 2 });
    const clients = Array.from({ length: 20 }, () => new PacketClient(node.port));
    for (const client of clients) client.send(bytes.subarray(0, Math.floor(bytes.length / 2)));
    await Promise.all(
      clients.map((client) => client.until('sent', () => client.socket.writableLength === 0)),
    );
    await Promise.all(clients.map((client) => client.end()));
  }
  t.ok(await servesOthers());
  const end = await good.ask(read(1, extent, 0, 8192));
  t.equal(end.resultCode, RESULT.ok);
});

t.test(
  'pipelining behind an error: what came before is executed and answered, nothing behind it',
  async (t) => {
    const id = (await good.ask(create(2))).extentId;
    const client = new PacketClient(node.port);
    const packets: Uint8Array[] = [];
    const append = (index: number, crc?: number): void => {
      const ask = write(2, id, index * 4096, pattern(id, index * 4096, 4096));
      packets.push(encodeRequest({ ...ask, ...(crc === undefined ? {} : { crc }), reqId: 100 + index }));
    };
    for (let index = 0; index < 30; index++) append(index);
    append(30, 12345);
    for (let index = 30; index < 60; index++) append(index);
    packets.push(encodeRequest({ ...create(2), reqId: 500 }));
    client.send(Buffer.concat(packets));
    await client.until('the node ends the connection', () => client.ended);
    const codes = client.replies.map(({ resultCode }) => resultCode);
    t.strictSame(codes, [...new Array<number>(30).fill(RESULT.ok), intraGroupNetErr]);
    t.strictSame(
      client.replies.map(({ reqId }) => reqId),
      Array.from({ length: 31 }, (_, index) => 100 + index),
    );
    t.equal(client.replies[30]!.body.toString(), 'ActionPreparePkt_packet Crc is incorrect');
    t.equal(client.replies[30]!.extentOffset, 30 * 4096, 'the error belongs to the bad packet');
    const whole = await good.ask(read(2, id, 0, 30 * 4096));
    t.ok(whole.body.equals(pattern(id, 0, 30 * 4096)), 'the thirty are there');
    const reader = new PacketClient(node.port);
    t.equal(
      (await reader.ask(read(2, id, 30 * 4096, 1))).body.toString(),
      'ActionStreamRead_EOF',
      'nothing more is',
    );
    t.equal((await good.ask(create(2))).extentId, id + 1, 'the create behind the error took no id');
    await Promise.all([client.end(), reader.end()]);
  },
);

t.test('an error on one connection does not touch what another has in flight', async (t) => {
  const id = (await good.ask(create(2))).extentId;
  const busy = new PacketClient(node.port);
  const replies = Promise.all(
    Array.from({ length: 200 }, (_, index) =>
      busy.ask(write(2, id, index * 4096, pattern(id, index * 4096, 4096), index % 10 === 0)),
    ),
  );
  const bad = Array.from({ length: 20 }, () => new PacketClient(node.port));
  const errors = await Promise.all(bad.map((client) => client.ask({ ...write(2, id, 0, body), crc: 9 })));
  t.ok(errors.every(({ resultCode }) => resultCode === intraGroupNetErr));
  t.ok((await replies).every(({ resultCode }) => resultCode === RESULT.ok));
  await Promise.all([busy, ...bad].map((client) => client.end()));
});

t.test('packets with random bytes in them break nothing', async (t) => {
  const seed = Number(process.env['EXTENTD_TEST_SEED'] ?? Date.now() % 1_000_000);
  const random = new Random(seed);
  const id = (await good.ask(create(2))).extentId;
  const asks = [create(2), write(2, id, 0, body), write(2, id, 0, body, true), read(2, id, 0, 8)];
  asks.push({ opcode: OP.getAllWatermarks, partitionId: 2, body }, { opcode: OP.dataNodeHeartbeat, body });
  for (let round = 0; round < 20; round++) {
    const clients = Array.from({ length: 25 }, () => new PacketClient(node.port));
    for (const client of clients) {
      const packets = Array.from({ length: 1 + random.below(4) }, () =>
        Buffer.from(encodeRequest({ ...asks[random.below(asks.length)]!, reqId: client.reqId() })),
      );
      const bytes = Buffer.concat(packets);
      for (let count = 1 + random.below(4); count > 0; count--) {
        // The first byte stays: a wrong magic ends the connection, which other tests show.
        bytes[1 + random.below(bytes.length - 1)] = random.below(256);
      }
      client.send(bytes);
    }
    await Promise.all(
      clients.map((client) => client.until('sent', () => client.socket.writableLength === 0)),
    );
    // Some wait for bytes that never come, some are answered, some are closed.
    await good.ask(create(2));
    t.strictSame(
      clients.map(({ fault }) => fault).filter((fault) => fault !== null),
      [],
      'replies are packets',
    );
    await Promise.all(clients.map((client) => client.end()));
  }
  t.equal((await good.ask(create(1))).resultCode, RESULT.ok, `seed ${seed}`);
  t.notMatch(node.process.stderr, /FATAL|invariant|worker died/, 'nothing broke');
});
