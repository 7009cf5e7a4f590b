/** Open client connections are counted on accept and on close, over real sockets (the reference never takes one off). */
import t from 'tap';
import { FakeNode } from '../server/fakeNode.js';
import { PacketClient } from '../support/packetClient.js';
import { until } from '../support/until.js';

t.test('the connection count follows accept and close', async (t) => {
  const node = new FakeNode({ work: () => null });
  await node.start();
  t.teardown(() => node.stop());
  t.equal(node.listener.connectionCount, 0);
  const clients = [new PacketClient(node.port), new PacketClient(node.port), new PacketClient(node.port)];
  await until('three connections', () => node.listener.connectionCount === 3);
  clients[0]!.socket.destroy();
  await until('two connections', () => node.listener.connectionCount === 2);
  for (const client of clients) client.socket.destroy();
  await until('no connection', () => node.listener.connectionCount === 0);
});
