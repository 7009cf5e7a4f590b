/**
 * Streams that no sound client sends, over a real socket to a real node: bytes that are no packets, lengths beyond every cap, broken connections, packets behind an error.
 * Single packets that are refused are in `refusedPackets.test.ts`.
 */
import t from 'tap';
import { HEADER_BYTES, HEADER_OFFSET } from '../../src/protocol/header.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeRequest } from '../../src/protocol/packet.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { Random } from '../sim/random.js';
import { startStandalone } from '../support/nodeProcess.js';
import { type Ask, PacketClient } from '../support/packetClient.js';
import { create, pattern, read, replyBytes, write } from '../support/requests.js';

const node = await startStandalone(t, { partitions: 2 });
const good = new PacketClient(node.port);
t.teardown(() => good.end());
/** An extent of partition 1 with 8 KiB. */
const extent = (await good.ask(create(1))).extentId;
for (const offset of [0, 4096]) await good.ask(write(1, extent, offset, pattern(extent, offset, 4096)));
const body = pattern(1, 0, 8);
const { intraGroupNetErr } = RESULT;

/** The node answers other connections as before. */
async function servesOthers(): Promise<boolean> {
  const reply = await good.ask(read(1, extent, 0, 8192));
  return reply.resultCode === RESULT.ok && reply.body.equals(pattern(extent, 0, 8192));
}

/** Bytes after which nothing sensible can follow: the connection is closed without a reply. */
function closed(name: string, bytes: Uint8Array, logged: string): void {
  t.test(`pains 14, 27: ${name}: the connection is closed`, async (t) => {
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

t.test('pains 27: packets with random bytes in them break nothing', async (t) => {
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
