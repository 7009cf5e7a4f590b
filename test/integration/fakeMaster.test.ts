/** The fake master keeps to the description of the real one: when it sends a task again, when it gives one up, how it compares loads. */

import type { AddressInfo } from 'node:net';
import { createServer, type Socket } from 'node:net';
import t from 'tap';
import { FakeClock } from '../support/fakeMaster/clock.js';
import { compareLoads } from '../support/fakeMaster/compare.js';
import { NodeConnections } from '../support/fakeMaster/packets.js';
import { newTask, OPCODE, TaskList } from '../support/fakeMaster/tasks.js';

/** A node that answers every packet with `resultCode`, and the opcodes of the packets on each of its connections. */
async function startNode(
  test: { teardown(end: () => void): void },
  resultCode: number,
): Promise<{ addr: string; connections: number[][] }> {
  const connections: number[][] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    const opcodes: number[] = [];
    connections.push(opcodes);
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', (packet: Buffer) => {
      opcodes.push(packet[2]!);
      const reply = Buffer.from(packet.subarray(0, 57));
      reply[3] = resultCode;
      reply.writeUInt32BE(0, 9);
      socket.write(reply);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  test.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { addr: `127.0.0.1:${(server.address() as AddressInfo).port}`, connections };
}

/** A clock that a test moves. */
class HandClock extends FakeClock {
  now = 1_000_000;

  constructor() {
    super(1);
  }

  override seconds(): number {
    return this.now;
  }
}

t.test('a task without a response is sent five times, more than 5 s apart, and then given up', async (t) => {
  const node = await startNode(t, 0xf0);
  const connections = new NodeConnections(node.addr);
  t.teardown(() => connections.close());
  const clock = new HandClock();
  const tasks = new TaskList(clock, connections);
  tasks.add(newTask(clock, OPCODE.load, node.addr, 1, {}));
  const sentAt: number[] = [];
  for (; clock.now < 1_000_060; clock.now += 2) {
    const before = tasks.sent.length;
    await tasks.scan();
    if (tasks.sent.length > before) sentAt.push(clock.now - 1_000_000);
  }
  t.strictSame(sentAt, [0, 6, 12, 18, 24]);
  t.strictSame(tasks.dropped, [`addr[${node.addr}]_op[98]_DataPartitionID[1]`]);
  t.equal(tasks.pending.size, 0);
  t.equal(node.connections.length, 1, 'over one connection');
});

t.test('a task with the ID of a pending one is ignored; heartbeats go first, deletes last', async (t) => {
  const node = await startNode(t, 0xf0);
  const connections = new NodeConnections(node.addr);
  t.teardown(() => connections.close());
  const clock = new HandClock();
  const tasks = new TaskList(clock, connections);
  for (const opcode of [OPCODE.delete, OPCODE.load, OPCODE.load, OPCODE.heartbeat])
    tasks.add(newTask(clock, opcode, node.addr, opcode === OPCODE.heartbeat ? null : 1, {}));
  await tasks.scan();
  t.strictSame(node.connections, [[OPCODE.heartbeat, OPCODE.load, OPCODE.delete]]);
});

t.test('an asynchronous task does not mind the result code, a synchronous one does', async (t) => {
  const node = await startNode(t, 0xf3);
  const connections = new NodeConnections(node.addr);
  t.teardown(() => connections.close());
  const clock = new HandClock();
  const tasks = new TaskList(clock, connections);
  tasks.add(newTask(clock, OPCODE.heartbeat, node.addr, null, {}));
  await tasks.scan();
  t.match(tasks.sent, [{ resultCode: 0xf3 }]);
  await t.rejects(tasks.send(newTask(clock, OPCODE.create, node.addr, 1, {})), /result code\[0xf3\]/);
});

t.test('how the fake master compares', async (t) => {
  const now = 1_000_000;
  const file = (Name: string, Crc: number, Modified: number) => ({ Name, Crc, Size: 1, Modified });
  const old = now - 2_000;
  const loads = new Map([
    [
      'a',
      [
        file('1', 0, 0),
        file('1025', 5, old),
        file('1026', 0, old),
        file('1027', 7, now),
        file('1028', 9, old),
      ],
    ],
    ['b', [file('1', 0, 0), file('1025', 5, old), file('1026', 6, old), file('1027', 8, now)]],
    [
      'c',
      [
        file('1', 0, 0),
        file('1025', 4, old),
        file('1026', 6, old),
        file('1027', 8, now),
        file('1028', 9, old),
      ],
    ],
  ]);
  t.strictSame(compareLoads(loads, now), {
    differing: [{ name: '1025', minority: ['c'] }],
    missing: [{ name: '1028', addr: 'b' }],
    compared: ['1025', '1028'],
  });
});
