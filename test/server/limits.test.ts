/** What limits of a disk mean for the network thread: slots for clients while repair reads wait, and answers that say nothing about a disk. */
import t from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeRequest } from '../../src/protocol/packet.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { backgroundShare } from '../../src/server/workerPort.js';
import { PacketClient } from '../support/packetClient.js';
import { until } from '../support/until.js';
import { FakeNode, type Seen } from './fakeNode.js';
import { honest, read, withNode, write } from './honest.js';

const BLOCK = 131_072;

function repairRead(reqId: number, opcode: number, size: number): Uint8Array {
  const at = { partitionId: 1, extentId: opcode === OP.tinyExtentRepairRead ? 1 : 7, extentOffset: 0 };
  return encodeRequest({ opcode, reqId, extentType: 1, size, ...at });
}

t.test('repair reads that wait take a share of a worker only, and starve nobody', async (t) => {
  const held: Seen[] = [];
  const node = new FakeNode({
    slots128k: 64,
    work: (request) => {
      if (request.opcode === OP.streamRead) return honest(request);
      held.push(request);
      return null;
    },
  });
  await withNode(node, async () => {
    const peers = Array.from({ length: 10 }, () => new PacketClient(node.port));
    for (const peer of peers) peer.socket.write(repairRead(2, OP.extentRepairRead, 8 * BLOCK));
    await until('their share is at the worker', () => held.length === 16);
    const client = new PacketClient(node.port);
    client.socket.write(read(2, 0, 40 * BLOCK));
    await until('a client reads', () => client.replies.length === 40);
    t.equal(held.length, 16);
    t.notOk(node.network.starving, 'what waits for its own share hurries nobody');
    for (let answered = 0; answered < 80; answered++) {
      await until('the next chunk', () => held.length > answered);
      const request = held[answered]!;
      t.ok(held.length - answered <= 16);
      node.answer(request, { code: RESULT.ok, bodyBytes: request.size, crc: 0 });
    }
    await until('all replies', () => peers.every(({ replies }) => replies.length === 8));
    for (const one of [client, ...peers]) one.socket.destroy();
    await until('slots back', () => node.network.pending.inUse === 0);
    t.ok(node.ports[0]!.admits(2), 'and the share');
  });
});

t.test('the share fits a quarter of the slots, whatever the number of workers', async (t) => {
  t.equal(backgroundShare(256, 1), 16);
  t.equal(backgroundShare(256, 12), 5);
  t.equal(backgroundShare(16, 1), 4);
  t.equal(backgroundShare(16, 16), 1, 'one at least');
});

t.test('an answer to what waited for a limit in vain is no sign of life of a disk', async (t) => {
  let unserved = true;
  const node = new FakeNode({
    work: () => ({ code: RESULT.intraGroupNetErr, bodyBytes: 0, unserved }),
  });
  await withNode(node, async () => {
    const [port] = node.ports;
    const askOne = async (): Promise<void> => {
      const client = new PacketClient(node.port);
      node.hung = true;
      client.socket.write(write(2, 10));
      await until('dispatched', () => node.network.inFlight === 1);
      port!.silentMs = 1000;
      node.hung = false;
      await until('answered', () => client.replies.length === 1);
      client.socket.destroy();
    };
    await askOne();
    t.equal(port!.silentMs, 1000);
    unserved = false;
    await askOne();
    t.equal(port!.silentMs, 0);
  });
});
