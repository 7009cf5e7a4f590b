/** Packets that never reach a worker: answered in their place, or the end of their connection. */
import t from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeRequest } from '../../src/protocol/packet.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { PacketClient } from '../support/packetClient.js';
import { until } from '../support/until.js';
import { FakeNode } from './fakeNode.js';
import { honest, read, withNode, write } from './honest.js';

t.test('packets refused here are answered in their place', async (t) => {
  await withNode(new FakeNode({ work: honest }), async (node) => {
    const cases: { what: string; packet: Uint8Array; code: number; text: string }[] = [
      {
        what: 'unknown partition',
        packet: write(2, 10, 99),
        code: RESULT.tryOtherAddr,
        text: 'ActionPreparePkt_data partition not exists',
      },
      {
        what: 'unknown partition, wrong CRC',
        packet: encodeRequest({
          opcode: OP.write,
          reqId: 2,
          extentType: 1,
          partitionId: 99,
          crc: 1,
          body: new Uint8Array(4),
        }),
        code: RESULT.intraGroupNetErr,
        text: 'ActionPreparePkt_packet Crc is incorrect',
      },
      {
        what: 'read of an unknown partition',
        packet: read(2, 0, 10, 99),
        code: RESULT.tryOtherAddr,
        text: 'ActionPreparePkt_data partition not exists',
      },
      {
        what: 'read of nothing',
        packet: read(2, 5, 0),
        code: RESULT.argMismatchErr,
        text: 'ActionStreamRead_parameter mismatch error: offset=5 size=0',
      },
      {
        what: 'extent type 2',
        packet: encodeRequest({ opcode: OP.streamRead, reqId: 2, extentType: 2, partitionId: 1, size: 5 }),
        code: RESULT.intraGroupNetErr,
        text: 'ActionPreparePkt_Incorrect store type',
      },
      {
        what: 'unknown opcode',
        packet: encodeRequest({ opcode: 99 - 14, reqId: 2, partitionId: 1, body: new Uint8Array(9) }),
        code: RESULT.argMismatchErr,
        text: 'unknown opcode_unknown opcode85',
      },
      {
        what: 'unknown opcode, unknown partition',
        packet: encodeRequest({ opcode: 85, reqId: 2, partitionId: 99 }),
        code: RESULT.tryOtherAddr,
        text: 'ActionPreparePkt_data partition not exists',
      },
    ];
    for (const { what, packet, code, text } of cases) {
      const client = new PacketClient(node.port);
      client.socket.write(Buffer.concat([write(1, 5), packet, write(3, 5)]));
      await until(what, () => client.ended);
      t.equal(client.replies.length, 2, what);
      t.equal(client.replies[1]!.resultCode, code, what);
      t.equal(client.replies[1]!.body.toString(), text, what);
      client.socket.destroy();
    }
  });
});

t.test('ids and offsets beyond 2^53 name nothing, and are echoed as they came', async (t) => {
  await withNode(new FakeNode({ work: honest }), async (node) => {
    const cases = [
      { at: 17, code: RESULT.tryOtherAddr, text: 'ActionPreparePkt_data partition not exists' },
      { at: 25, code: RESULT.notExistErr, text: 'ActionStreamRead_extent does not exist' },
      {
        at: 33,
        code: RESULT.argMismatchErr,
        text: /^ActionStreamRead_parameter mismatch error: offset=4611686018427/,
      },
    ];
    for (const { at, code, text } of cases) {
      const packet = Buffer.from(read(2, 0, 10));
      packet.writeBigUInt64BE(0x4000_0000_0000_0001n, at);
      const client = new PacketClient(node.port);
      client.socket.write(packet);
      await until('error and FIN', () => client.ended);
      t.equal(client.replies[0]!.resultCode, code);
      t.match(client.replies[0]!.body.toString(), text);
      client.socket.destroy();
    }
    t.strictSame(
      node.failures.map(({ opcode, resultCode }) => [opcode, resultCode]),
      cases.map(({ code }) => [OP.streamRead, code]),
      'each was told to the log',
    );
    t.equal(node.failures[1]!.text, 'ActionStreamRead_extent does not exist');
    const ids = node.failures.map(({ partitionId, extentId }) => [partitionId, extentId]);
    t.strictSame(ids.slice(0, 2), [
      ['4611686018427387905', 7],
      [1, '4611686018427387905'],
    ]);
  });
});

t.test(
  'a packet answered with an error is told with its ids; the request id as clients log it',
  async (t) => {
    await withNode(new FakeNode({ work: honest }), async (node) => {
      const packet = Buffer.from(write(2, 5, 77));
      packet.writeBigInt64BE(-7_000_000_000_000_000_001n, 41);
      const client = new PacketClient(node.port);
      client.socket.write(packet);
      await until('error and FIN', () => client.ended);
      t.match(node.failures[0], {
        requestId: '-7000000000000000001',
        partitionId: 77,
        extentId: 1025,
        text: 'ActionPreparePkt_data partition not exists',
      });
      client.socket.destroy();
    });
  },
);

t.test('what cannot be a packet closes the connection', async (t) => {
  await withNode(new FakeNode({ work: honest }), async (node) => {
    const hugeBody = Buffer.from(write(2, 4));
    hugeBody.writeUInt32BE(0xffff_ffff, 9);
    const hugeArg = Buffer.from(write(2, 4));
    hugeArg.writeUInt32BE(0xffff_ffff, 13);
    for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from('GIOP'), hugeBody, hugeArg]) {
      const before = node.closed.length;
      const client = new PacketClient(node.port);
      client.socket.write(bytes);
      await until('closed', () => client.closed && node.closed.length === before + 1);
      t.equal(client.replies.length, 0);
    }
    t.strictSame(
      node.closed.map((reason) => reason.split(' ').slice(0, 2).join(' ')),
      ['bad magic', 'bad magic', 'body of', 'Arg of'],
    );
  });
});
