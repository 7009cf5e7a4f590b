/**
 * A real node with access lists: the client, another data node and the master each have an address of loopback of their own, and everybody else is outside.
 */
import t from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { startStandalone } from '../support/nodeProcess.js';
import { type Ask, PacketClient, type Reply } from '../support/packetClient.js';
import { create, deletePartition, pattern, read, write } from '../support/requests.js';
import { until } from '../support/until.js';

const CLIENT = '127.0.0.5';
const PEER = '127.0.0.6';
const OUTSIDER = '127.0.0.9';
const OUTSIDERS = 300;
const LOG_LINES_MAX = 100;

// The embedded master connects from 127.0.0.1: that the node has a partition and is ready shows that it is admitted.
const settings = [`access.clients=${CLIENT}`, `access.peers=${PEER}`, 'access.masters=127.0.0.1,127.0.0.2'];
const node = await startStandalone(t, { partitions: 1, settings });

const body = pattern(1, 0, 4096);
const client = new PacketClient(node.port, '127.0.0.1', CLIENT);
t.teardown(() => client.end());
const extent = (await client.ask(create(1))).extentId;
const written = await client.ask(write(1, extent, 0, body));
if (written.resultCode !== RESULT.ok) throw new Error(written.body.toString());

/** The reply to one request from `address`, after which the node ends the connection. */
async function refusedFrom(address: string, ask: Ask): Promise<Reply> {
  const one = new PacketClient(node.port, '127.0.0.1', address);
  const reply = await one.ask(ask);
  await until('the connection ends', () => one.ended);
  await one.end();
  return reply;
}

async function served(): Promise<boolean> {
  const reply = await client.ask(read(1, extent, 0, 4096));
  return reply.resultCode === RESULT.ok && reply.body.equals(body);
}

t.test('pains 27: whoever reaches the port cannot delete a partition, nor read or write it', async (t) => {
  const cases: [from: string, ask: Ask, code: number][] = [
    [CLIENT, deletePartition(node.address, 1), RESULT.notPerm],
    [PEER, deletePartition(node.address, 1), RESULT.notPerm],
    [CLIENT, { opcode: OP.getAllWatermarks, partitionId: 1, extentType: 1 }, RESULT.notPerm],
    [PEER, read(1, extent, 0, 4096), RESULT.tryOtherAddr],
    ['127.0.0.1', read(1, extent, 0, 4096), RESULT.tryOtherAddr],
    ['127.0.0.1', write(1, extent, 4096, body), RESULT.notPerm],
    ['127.0.0.1', create(1), RESULT.notPerm],
  ];
  for (const [from, ask, code] of cases) {
    const reply = await refusedFrom(from, ask);
    t.equal(reply.resultCode, code, `opcode ${ask.opcode} from ${from}`);
    t.match(reply.body.toString(), /^ActionPreparePkt_address not admitted.* wants an address of access\./);
  }
  t.ok(await served(), 'the partition is as it was');
  const end = new PacketClient(node.port, '127.0.0.1', CLIENT);
  t.equal(
    (await end.ask(read(1, extent, 4096, 1))).body.toString(),
    'ActionStreamRead_EOF',
    'nothing was written',
  );
  await end.end();
  t.match(
    node.process.stderr,
    /packet not admitted .*127\.0\.0\.5.*OpDeleteDataPartition/s,
    'the log has who and what',
  );
});

t.test('a data node reads for its repair, and writes what was forwarded', async (t) => {
  const peer = new PacketClient(node.port, '127.0.0.1', PEER);
  const back = await peer.ask({ ...read(1, extent, 0, 4096), opcode: OP.extentRepairRead });
  t.ok(back.body.equals(body));
  t.equal((await peer.ask(write(1, extent, 4096, pattern(1, 4096, 4096)))).resultCode, RESULT.ok);
  await peer.end();
});

t.test(
  'pains 27: outsiders by the hundred are closed at once, and the log tells some and counts all',
  async (t) => {
    const outsiders = Array.from(
      { length: OUTSIDERS },
      () => new PacketClient(node.port, '127.0.0.1', OUTSIDER),
    );
    for (const one of outsiders) one.send(Buffer.from('GIOP'));
    await until('all are closed', () => outsiders.every(({ closed }) => closed));
    t.ok(outsiders.every(({ replies }) => replies.length === 0));
    t.ok(await served(), 'others are served');
    const told = /suppressed \d+ more messages: connection not admitted/;
    await until('the rest is counted', () => told.test(node.process.stderr));
    t.match(node.process.stderr, /connection not admitted .*127\.0\.0\.9/s);
    t.ok(node.process.logLines.length < LOG_LINES_MAX, `${node.process.logLines.length} lines`);
    t.notMatch(node.process.stderr, /FATAL|ERROR|invariant/, 'nothing broke');
  },
);
