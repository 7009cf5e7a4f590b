/**
 * Access lists on real connections, from several addresses of loopback: who is closed at once, whose packets are refused, and what a change of the lists does to
 * connections that are open.
 */
import { networkInterfaces } from 'node:os';
import t from 'tap';
import type { AdminHandler } from '../../src/control/nodeView.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeRequest } from '../../src/protocol/packet.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { type AccessSettings, PortAccess } from '../../src/server/portAccess.js';
import { PacketClient } from '../support/packetClient.js';
import { until } from '../support/until.js';
import { FakeNode } from './fakeNode.js';
import { honest, read, withNode, write } from './honest.js';

const CLIENT = '127.0.0.5';
const PEER = '127.0.0.6';
const MASTER = '127.0.0.7';
const STRANGER = '127.0.0.8';
const LISTS: AccessSettings = { accessClients: [CLIENT], accessPeers: [PEER], accessMasters: [MASTER] };
const NOBODY_ELSE: AccessSettings = { ...LISTS, accessClients: ['127.0.0.9'] };

/** Counts the admin tasks that it is handed. */
class Control implements AdminHandler {
  handled = 0;
  async handle(): Promise<{ ok: true; body: Uint8Array }> {
    this.handled++;
    return { ok: true, body: new Uint8Array(0) };
  }
}

function packet(opcode: number, remainingFollowers = 0, bytes = 8): Uint8Array {
  const size = opcode === OP.extentRepairRead ? { size: bytes } : { body: new Uint8Array(bytes) };
  return encodeRequest({ opcode, reqId: 7, partitionId: 1, extentType: 1, remainingFollowers, ...size });
}

/** Sends `bytes` from `address` with a good packet behind them, and waits until the node ends the connection. */
async function sendFrom(node: FakeNode, address: string, bytes: Uint8Array): Promise<PacketClient> {
  const client = new PacketClient(node.port, '127.0.0.1', address);
  client.send(Buffer.concat([bytes, write(8, 4)]));
  await until(`the end of a connection from ${address}`, () => client.ended || client.closed);
  client.socket.destroy();
  return client;
}

t.test('pains 27: an address in no list is closed at once, and nothing of it is executed', async (t) => {
  for (const useOnread of [true, false]) {
    const control = new Control();
    await withNode(new FakeNode({ work: honest, access: LISTS, admin: control, useOnread }), async (node) => {
      const packets = [
        write(1, 8),
        read(1, 0, 8),
        packet(OP.deleteDataPartition),
        packet(OP.getAllWatermarks),
      ];
      for (const bytes of packets) {
        const client = await sendFrom(node, STRANGER, bytes);
        t.equal(client.replies.length, 0, 'no reply');
      }
      t.strictSame(
        node.notAdmitted.map(({ remote, opcode, count }) => [remote.split(':')[0], opcode, count]),
        packets.map((_, index) => [STRANGER, undefined, index + 1]),
        'each was told to the log and counted',
      );
      t.equal(node.listener.connectionCount, 0, 'no connection was taken on');
      t.equal(node.seen.length + control.handled, 0);
    });
  }
});

t.test(
  'pains 27: an address sends the packets of its classes; others are refused and nothing is executed',
  async (t) => {
    const control = new Control();
    await withNode(new FakeNode({ work: honest, access: LISTS, admin: control }), async (node) => {
      const refused: [address: string, bytes: Uint8Array, code: number, text: string][] = [
        [
          PEER,
          read(7, 0, 8),
          RESULT.tryOtherAddr,
          'by this replica: OpStreamRead wants an address of access.clients',
        ],
        [PEER, packet(OP.write, 2), RESULT.notPerm, ': OpWrite wants an address of access.clients'],
        [PEER, packet(OP.randomWrite), RESULT.notPerm, ': OpRandomWrite wants an address of access.clients'],
        [
          PEER,
          packet(OP.dataNodeHeartbeat),
          RESULT.notPerm,
          ': OpDataNodeHeartbeat wants an address of access.masters',
        ],
        [
          CLIENT,
          packet(OP.extentRepairRead),
          RESULT.notPerm,
          ': OpExtentRepairRead wants an address of access.peers',
        ],
        [
          CLIENT,
          packet(OP.deleteDataPartition),
          RESULT.notPerm,
          ': OpDeleteDataPartition wants an address of access.masters',
        ],
        [MASTER, write(7, 8), RESULT.notPerm, ': OpWrite wants an address of access.clients or access.peers'],
        // Larger than one read of the socket, and than any memory that was kept for it.
        [
          MASTER,
          write(7, 2_000_000),
          RESULT.notPerm,
          ': OpWrite wants an address of access.clients or access.peers',
        ],
        [
          MASTER,
          packet(OP.notifyReplicasToRepair, 0, 10_000_000),
          RESULT.notPerm,
          ': OpNotifyReplicasToRepair wants an address of access.peers',
        ],
      ];
      for (const [address, bytes, code, text] of refused) {
        const client = await sendFrom(node, address, bytes);
        t.equal(client.replies.length, 1, 'one reply: nothing behind it is executed');
        const reply = client.replies[0]!;
        t.equal(reply.resultCode, code, text);
        t.equal(reply.reqId, 7, 'it belongs to the packet');
        t.equal(
          reply.body.toString(),
          `ActionPreparePkt_address not admitted${text.startsWith(':') ? '' : ' '}${text}`,
        );
      }
      t.equal(node.seen.length + control.handled, 0, 'nothing was executed');
      t.strictSame(
        node.notAdmitted.map(({ remote, opcode, count }) => [remote.split(':')[0], opcode, count]),
        refused.map(([address, bytes], index) => [address, bytes[2], index + 1]),
        'each was told to the log with address and opcode, and counted',
      );
      t.equal(node.failures.length, 0, 'and not as another failure');

      const served: [address: string, bytes: Uint8Array][] = [
        [CLIENT, write(7, 8)],
        [CLIENT, packet(OP.createExtent, 2)],
        [CLIENT, packet(OP.markDelete, 2)],
        [CLIENT, read(7, 0, 8)],
        [PEER, write(7, 8)],
        [PEER, packet(OP.extentRepairRead)],
        [PEER, packet(OP.getPartitionSize)],
        [MASTER, packet(OP.dataNodeHeartbeat)],
      ];
      for (const [address, bytes] of served) {
        const client = new PacketClient(node.port, '127.0.0.1', address);
        client.send(bytes);
        await until('a reply', () => client.replies.length === 1);
        t.equal(client.replies[0]!.resultCode, RESULT.ok, `opcode ${bytes[2]} from ${address}`);
        await client.end();
      }
      t.equal(node.seen.length + control.handled, served.length);
    });
  },
);

t.test('an opcode that nobody knows is answered as one', async (t) => {
  await withNode(new FakeNode({ work: honest, access: LISTS }), async (node) => {
    const client = await sendFrom(node, MASTER, packet(85));
    t.equal(client.replies[0]!.body.toString(), 'unknown opcode_unknown opcode85');
  });
});

t.test('without lists every address may send everything', async (t) => {
  const control = new Control();
  await withNode(new FakeNode({ work: honest, admin: control }), async (node) => {
    const client = new PacketClient(node.port, '127.0.0.1', STRANGER);
    const packets = [write(1, 8), read(2, 0, 8), packet(OP.getAllWatermarks), packet(OP.dataNodeHeartbeat)];
    client.send(Buffer.concat(packets));
    await until('all replies', () => client.replies.length === packets.length);
    t.ok(client.replies.every(({ resultCode }) => resultCode === RESULT.ok));
    t.equal(node.notAdmitted.length, 0);
    await client.end();
  });
});

t.test(
  'other lists hold at once: for new connections, and for open ones, which end when they are in none',
  async (t) => {
    await withNode(new FakeNode({ work: honest }), async (node) => {
      const connect = (address: string): PacketClient => new PacketClient(node.port, '127.0.0.1', address);
      const client = connect(CLIENT);
      const more = connect(CLIENT);
      const peer = connect(PEER);
      const stranger = connect(STRANGER);
      for (const one of [client, more, peer, stranger]) {
        t.equal(
          (await one.ask({ opcode: OP.write, partitionId: 1, extentType: 1, body: Buffer.alloc(0) }))
            .resultCode,
          RESULT.ok,
        );
      }
      node.listener.setAccess(new PortAccess(LISTS));
      await until('the stranger is closed', () => stranger.closed);
      t.strictSame(node.closed, ['its address is in no access list any more']);
      t.equal((await sendFrom(node, STRANGER, write(1, 8))).replies.length, 0, 'and cannot come back');
      client.send(read(9, 0, 8));
      await until('the client is served', () => client.replies.length === 2);
      t.equal(client.replies[1]!.resultCode, RESULT.ok);
      peer.send(read(9, 0, 8));
      await until('the peer is refused', () => peer.replies.length === 2 && peer.ended);
      t.equal(peer.replies[1]!.resultCode, RESULT.tryOtherAddr);

      node.listener.setAccess(new PortAccess(NOBODY_ELSE));
      await until('both of the client are closed', () => client.closed && more.closed);

      node.listener.setAccess(new PortAccess({ accessClients: [], accessPeers: [], accessMasters: [] }));
      const again = connect(STRANGER);
      again.send(read(9, 0, 8));
      await until('everybody is served', () => again.replies.length === 1);
      t.equal(again.replies[0]!.resultCode, RESULT.ok);
      for (const one of [peer, again]) await one.end();
    });
  },
);

t.test(
  'a packet that was begun before the lists changed: admitted ones are executed, refused ones stay refused',
  async (t) => {
    await withNode(new FakeNode({ work: honest }), async (node) => {
      const { listener } = node;
      // Its header was admitted; a slot waits for the rest of its body.
      const begun = write(7, 100_000);
      const client = new PacketClient(node.port, '127.0.0.1', PEER);
      client.send(begun.subarray(0, 60_000));
      await until('the first half is here', () => node.slab.classFreeSlots(2) < 16);
      listener.setAccess(new PortAccess({ ...LISTS, accessPeers: ['127.0.0.9'], accessMasters: [PEER] }));
      client.send(begun.subarray(60_000));
      await until('its reply', () => client.replies.length === 1);
      t.equal(client.replies[0]!.resultCode, RESULT.ok);
      // The next one was not, and its body passes by while the lists open again: it has to be sent once more.
      client.send(begun.subarray(0, 60_000));
      await until('the half is on its way', () => client.socket.writableLength === 0);
      // What is answered now came to the node later.
      const other = new PacketClient(node.port, '127.0.0.1', CLIENT);
      t.equal((await other.ask({ opcode: OP.write, partitionId: 1, extentType: 1 })).resultCode, RESULT.ok);
      await other.end();
      listener.setAccess(new PortAccess({ accessClients: [], accessPeers: [], accessMasters: [] }));
      client.send(begun.subarray(60_000));
      await until('its refusal', () => client.ended);
      t.equal(client.replies[1]!.body.toString(), 'ActionPreparePkt_try again');
      t.equal(node.seen.length, 2, 'the first, and the other connection’s');
      client.socket.destroy();
    });
  },
);

const hasIpv6 = Object.values(networkInterfaces()).some((each) =>
  each?.some(({ address }) => address === '::1'),
);
t.test(
  'on an IPv6 socket an IPv4 address is the address that it is',
  { skip: hasIpv6 ? false : 'this host has no IPv6 loopback' },
  async (t) => {
    const access = { ...LISTS, accessMasters: ['::1'] };
    await withNode(
      new FakeNode({ work: honest, access }),
      async (node) => {
        const client = new PacketClient(node.port, '127.0.0.1', CLIENT);
        client.send(read(1, 0, 8));
        await until('a reply', () => client.replies.length === 1);
        t.equal(client.replies[0]!.resultCode, RESULT.ok);
        await client.end();
        t.equal((await sendFrom(node, STRANGER, read(1, 0, 8))).replies.length, 0);
        t.match(node.notAdmitted[0]!.remote, `::ffff:${STRANGER}:`);
        const master = new PacketClient(node.port, '::1');
        master.send(read(1, 0, 8));
        await until('a refusal', () => master.ended);
        t.equal(master.replies[0]!.resultCode, RESULT.tryOtherAddr, 'the IPv6 address is a master only');
        master.socket.destroy();
      },
      '::',
    );
  },
);
