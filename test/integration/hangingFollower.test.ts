/** Real nodes and a follower that takes packets and answers nothing: what the clients of other followers get done meanwhile. */
import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { formatFollowers } from '../../src/protocol/followers.js';
import { encodeRequest } from '../../src/protocol/packet.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { OpLoad } from '../support/opLoad.js';
import { PacketClient } from '../support/packetClient.js';
import { startReplicas } from '../support/replicas.js';
import { create, pattern, write } from '../support/requests.js';
import { until } from '../support/until.js';

/** More than primary work may have in flight: 16 MiB of a disk, by default. */
const VICTIMS = 4;
const PACKETS = 64;
const PACKET_BYTES = 128 * 1024;
/** A busy machine does these in a fraction of the 5 s after which the victims' packets fail. */
const OPERATIONS = 500;

/** A follower that reads what it gets and answers nothing. */
async function silentFollower(t: Test): Promise<{ address: string; receivedBytes: () => number }> {
  let received = 0;
  const sockets: Socket[] = [];
  const server = net.createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', ({ length }) => {
      received += length;
    });
  });
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  return { address: `127.0.0.1:${port}`, receivedBytes: () => received };
}

t.test('pains 18: clients of other followers go on while a follower holds all that it may', async (t) => {
  const nodes = await startReplicas(t, { count: 2 });
  const { port, ip } = nodes[0]!;
  const well = { remainingFollowers: 1, arg: formatFollowers([nodes[1]!.address]) };
  const load = await OpLoad.prepare(port, 1, 'append', 4, 16, well);
  t.teardown(() => load.close());
  await load.run(OPERATIONS);
  const client = new PacketClient(port, ip);
  const follower = await silentFollower(t);
  const hanging = { remainingFollowers: 1, arg: formatFollowers([follower.address]) };
  const victims: PacketClient[] = [];
  for (let i = 0; i < VICTIMS; i++) {
    const { extentId } = await client.ask({ ...create(1), ...well });
    const body = pattern(extentId, 0, PACKET_BYTES);
    const victim = new PacketClient(port, ip);
    for (let at = 0; at < PACKETS; at++) {
      const fields = { ...write(1, extentId, at * PACKET_BYTES, body), ...hanging };
      victim.send(encodeRequest({ ...fields, reqId: victim.reqId() }));
    }
    victims.push(victim);
  }
  await until('the follower has much of it', () => follower.receivedBytes() > 8 * 1024 * 1024);
  await load.run(OPERATIONS);
  t.strictSame(load.errors, []);
  t.ok(
    victims.every(({ replies, ended }) => replies.length === 0 && !ended),
    `${OPERATIONS} operations are done before a victim hears anything`,
  );
  for (const victim of victims) {
    // One whose packets have waited for those of others has its own 5 s.
    await until('an error', () => victim.replies.length === 1, 30_000);
    t.equal(victim.replies[0]!.resultCode, RESULT.intraGroupNetErr);
    t.match(victim.replies[0]!.body.toString(), /^ActionReceiveFromFollower_read tcp .*: i\/o timeout$/);
  }
  await client.end();
});
