/** Questions to other nodes over real sockets: good answers, and every way in which a peer can go wrong (pains.md 10). */

import type { AddressInfo } from 'node:net';
import { createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { type ExtentInfo, encodeExtentList } from '../../src/protocol/extentInfo.js';
import { type FramedPacket, PacketFramer } from '../../src/protocol/framer.js';
import { PacketHeader } from '../../src/protocol/header.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodePacket } from '../../src/protocol/packet.js';
import { parsePeerAddress } from '../../src/protocol/peerAddress.js';
import { encodeMaxExtentIdAndSize, encodeUint64Body } from '../../src/protocol/queries.js';
import { decodeRepairTask } from '../../src/protocol/repairTask.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { PEER_LIMITS, PeerConnection } from '../../src/repair/peerConnection.js';
import { PeerReplicas } from '../../src/repair/peerReplica.js';
import { until } from '../support/until.js';

const NO_BYTES = new Uint8Array(0);
const LIMITS = { ...PEER_LIMITS, packetMs: 5_000 };

/** A server on a free port of loopback whose answer to each request packet is up to the test. */
async function peer(
  t: Test,
  answer: (socket: Socket, header: PacketHeader, body: Buffer) => void,
): Promise<{ address: string; open: () => number }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    const framer = new PacketFramer({ direction: 'request', argBytesMax: 1 << 16, bodyBytesMax: 1 << 26 });
    socket.on('data', (chunk) => {
      framer.push(chunk, ({ header, body }: FramedPacket) =>
        answer(socket, { ...header }, Buffer.from(body)),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, open: () => sockets.size };
}

function reply(
  header: PacketHeader,
  body: Uint8Array = NO_BYTES,
  changes: Partial<PacketHeader> = {},
): Uint8Array {
  const answer = Object.assign(
    new PacketHeader(),
    header,
    { resultCode: RESULT.ok, size: body.byteLength },
    changes,
  );
  return encodePacket(answer, NO_BYTES, body);
}

const EXTENT: ExtentInfo = { fileId: 1027, size: 200_000, crc: 5, deleted: false, modTime: 1, source: '' };

t.test('lists, sizes and notifications, as the specification has them', async (t) => {
  const asked: [opcode: number, extentType: number, extentId: number, body: string][] = [];
  const { address, open } = await peer(t, (socket, header, body) => {
    asked.push([header.opcode, header.extentType, header.extentId, body.toString()]);
    const bodies: Record<number, Uint8Array> = {
      [OP.getAllWatermarks]: encodeExtentList([EXTENT]),
      [OP.getPartitionSize]: encodeUint64Body(563_940),
      [OP.getMaxExtentIdAndPartitionSize]: encodeMaxExtentIdAndSize(1031, 563_940),
    };
    socket.write(reply(header, bodies[header.opcode] ?? NO_BYTES));
  });
  const peers = new PeerReplicas(new AbortController().signal, LIMITS);
  t.same(await peers.list(address, 7, null), [EXTENT]);
  t.same(await peers.list(address, 7, [1, 2, 3]), [EXTENT]);
  t.equal(await peers.sizeUpTo(address, 7, 1031), 563_940);
  t.same(await peers.maxIdAndSize(address, 7), { extentIdMax: 1031, sizeBytes: 563_940 });
  const task = {
    ...{ taskType: 0, extentsToBeCreated: [EXTENT], extentsToBeRepaired: [EXTENT] },
    ...{ leaderTinyDeleteRecordFileSize: 72, leaderAddr: '192.168.0.31:17030' },
  };
  await peers.notify(address, 7, task);
  t.same(
    asked.map(([opcode, extentType, extentId]) => [opcode, extentType, extentId]),
    [
      [0x07, 1, 0],
      [0x07, 0, 0],
      [0x11, 0, 1031],
      [0x16, 0, 0],
      [0x08, 1, 0],
    ],
  );
  t.same(
    asked.slice(0, 4).map(([, , , body]) => body),
    ['', '[1,2,3]', '', ''],
  );
  t.same(decodeRepairTask(Buffer.from(asked[4]![3])), { ok: true, value: task });
  await until('every question closes its connection', () => open() === 0);
});

t.test('whether an extent is there is asked by its first byte, as v1.4.0 nodes answer it', async (t) => {
  const failed = (header: PacketHeader, text: string): Uint8Array =>
    reply(header, Buffer.from(text), { resultCode: RESULT.notExistErr });
  const asked: number[] = [];
  const { address } = await peer(t, (socket, header) => {
    const { opcode, extentType, extentId, extentOffset, size } = header;
    asked.push(opcode, extentType, extentOffset, size);
    if (extentId === 1025) socket.write(reply(header, Uint8Array.of(9), { crc: 1 }));
    else if (extentId === 1026) socket.write(failed(header, 'ActionStreamRead_extent does not exist'));
    else socket.write(failed(header, 'ActionStreamRead_EOF'));
  });
  const peers = new PeerReplicas(new AbortController().signal, LIMITS);
  t.equal(await peers.hasExtent(address, 7, 1025), true);
  t.equal(await peers.hasExtent(address, 7, 1026), false);
  await t.rejects(peers.hasExtent(address, 7, 1027), /EOF/);
  t.same(asked.slice(0, 4), [OP.extentRepairRead, 1, 0, 1]);
});

t.test('pains 10: an answer that is none is an error, and the connection is closed', async (t) => {
  const cases: [name: string, answer: (socket: Socket, header: PacketHeader) => void, message: RegExp][] = [
    [
      'an error packet',
      (s, h) => s.write(reply(h, Buffer.from('ActionX_no'), { resultCode: 0xf3 })),
      /ActionX_no$/,
    ],
    [
      'an error without a text',
      (s, h) => s.write(reply(h, NO_BYTES, { resultCode: 0xfc })),
      /result code 252/,
    ],
    ['another partition', (s, h) => s.write(reply(h, NO_BYTES, { partitionId: 8 })), /another answer/],
    [
      'another request',
      (s, h) => s.write(reply(h, NO_BYTES, { reqIdLow: h.reqIdLow + 1 })),
      /another answer/,
    ],
    ['no JSON', (s, h) => s.write(reply(h, Buffer.from('{"a":'))), /127.0.0.1/],
    ['no array', (s, h) => s.write(reply(h, Buffer.from('{}'))), /127.0.0.1/],
    ['no packet', (s) => s.write('HTTP/1.1 400 Bad Request\r\n\r\n'), /Bad Magic 72/],
    [
      'a body of 4 GiB',
      (s, h) => s.write(reply(h, NO_BYTES, { size: 0xffff_ffff }).subarray(0, 57)),
      /body of 4294967295 bytes/,
    ],
    ['half a packet', (s, h) => s.end(reply(h, Buffer.from('[]')).subarray(0, 30)), /connection closed/],
    ['a closed connection', (s) => s.destroy(), /closed|ECONNRESET/],
  ];
  for (const [name, answer, message] of cases) {
    const { address, open } = await peer(t, answer);
    await t.rejects(
      new PeerReplicas(new AbortController().signal, LIMITS).list(address, 7, null),
      message,
      name,
    );
    await until('the connection is closed', () => open() === 0);
  }
});

t.test('a size that is too short is an error, not a crash', async (t) => {
  const { address } = await peer(t, (socket, header) => void socket.write(reply(header, Buffer.alloc(7))));
  const peers = new PeerReplicas(new AbortController().signal, LIMITS);
  await t.rejects(peers.sizeUpTo(address, 7, 5), /a size of 7 bytes/);
  await t.rejects(peers.maxIdAndSize(address, 7), /sizes of 7 bytes/);
});

t.test('a peer that is silent, one that is not there, a stop in the middle', async (t) => {
  const silent = await peer(t, () => {});
  const short = new PeerReplicas(new AbortController().signal, { ...LIMITS, packetMs: 50 });
  await t.rejects(short.list(silent.address, 7, null), /no packet within 50 ms/);
  await t.rejects(short.list('127.0.0.1:1', 7, null), /ECONNREFUSED/);
  await t.rejects(short.list('nonsense', 7, null), /no address/);
  const stopping = new AbortController();
  const asking = new PeerReplicas(stopping.signal, LIMITS).list(silent.address, 7, null);
  await until('it has asked', () => silent.open() > 0);
  stopping.abort();
  await t.rejects(asking, /the node is stopping/);
  await t.rejects(new PeerReplicas(stopping.signal, LIMITS).list(silent.address, 7, null), /stopping/);
  await until('the connection is closed', () => silent.open() === 0);
});

t.test(
  'a source that is faster than who takes its packets waits; none is lost, and they keep their order',
  async (t) => {
    const count = 200;
    const body = Buffer.alloc(64 * 1024);
    let written = 0;
    const { address } = await peer(t, (socket, header) => {
      const more = (): void => {
        while (written < count) {
          written += 1;
          if (
            !socket.write(reply(header, body, { opcode: OP.extentRepairRead, extentOffset: written })) &&
            written < count
          ) {
            socket.once('drain', more);
            return;
          }
        }
      };
      more();
    });
    const peers = new PeerReplicas(new AbortController().signal, LIMITS);
    const connection = await peers.dial(address);
    connection.send(reply(new PacketHeader(), NO_BYTES, { opcode: OP.getAllWatermarks, resultCode: 0 }));
    const offsets: number[] = [(await connection.next()).header.extentOffset];
    // Until the kernel's buffers are full too, and the source stands still.
    let before = -1;
    await until('the source waits', () => {
      const stands = written === before;
      before = written;
      return stands;
    });
    t.ok(written < count, `${written} of ${count} were sent`);
    while (offsets.length < count) offsets.push((await connection.next()).header.extentOffset);
    t.same(
      offsets,
      Array.from({ length: count }, (_, i) => i + 1),
    );
    connection.close();
    await t.rejects(connection.next(), /closed/);
  },
);

t.test('addresses: names, IPv4, IPv6 in brackets; anything else is none', async (t) => {
  t.same(parsePeerAddress('10.0.0.1:17310'), { host: '10.0.0.1', port: 17_310 });
  t.same(parsePeerAddress('node-1:1'), { host: 'node-1', port: 1 });
  t.same(parsePeerAddress('[::1]:17310'), { host: '::1', port: 17_310 });
  for (const text of ['', 'a', 'a:', ':5', 'a:0', 'a:65536', '::1:5', 'a b:5', 'a:5/', 'http://a:5'])
    t.equal(parsePeerAddress(text), null, text);
  await t.rejects(PeerConnection.dial('a:0', new AbortController().signal), /no address/);
});

t.test('many questions at one time are no warning on stderr', async (t) => {
  const warnings: string[] = [];
  const onWarning = ({ message }: Error): void => void warnings.push(message);
  process.on('warning', onWarning);
  t.teardown(() => process.off('warning', onWarning));
  const body = encodeUint64Body(5);
  const { address } = await peer(t, (socket, header) => socket.write(reply(header, body)));
  const peers = new PeerReplicas(new AbortController().signal, LIMITS);
  const sizes = await Promise.all(Array.from({ length: 20 }, () => peers.sizeUpTo(address, 7, 2_000)));
  t.same(new Set(sizes), new Set([5]));
  // Warnings are told in a later turn.
  await new Promise((resolve) => setImmediate(resolve));
  t.same(warnings, []);
});
