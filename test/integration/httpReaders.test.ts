/** A real node whose HTTP clients take nothing of long answers: packets are answered meanwhile, with either server (`pains.md` 27). */
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { UWS_SERVER, WHY_NO_UWS } from '../http/servers.js';
import { type RunningNode, startStandalone } from '../support/nodeProcess.js';
import { PacketClient } from '../support/packetClient.js';
import { create, pattern, write } from '../support/requests.js';
import { until } from '../support/until.js';

/** Of about 90 bytes each in the answer. */
const EXTENTS = 26_000;
const ANSWER_BYTES_MIN = 2_000_000;
const READERS = 24;
const PACKETS = 400;

/** Times of writes one after the other, ms, sorted. */
async function writeTimes(client: PacketClient, extentId: number, firstOffset: number): Promise<number[]> {
  const body = pattern(extentId, 0, 4096);
  const times: number[] = [];
  for (let index = 0; index < PACKETS; index++) {
    const startedMs = performance.now();
    const reply = await client.ask(write(1, extentId, firstOffset + index * body.length, body));
    if (reply.resultCode !== RESULT.ok) throw new Error(reply.body.toString());
    times.push(performance.now() - startedMs);
  }
  return times.sort((a, b) => a - b);
}

/** Asks for the long answer and takes nothing of it. */
function deafReader(test: Test, node: RunningNode): Socket {
  const { hostname, port } = new URL(node.httpUrl);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  socket.pause();
  socket.write('GET /partition?id=1 HTTP/1.1\r\nHost: x\r\n\r\n');
  test.teardown(() => socket.destroy());
  return socket;
}

const summary = (times: number[]): string =>
  `p50 ${times[times.length >> 1]!.toFixed(2)} ms, max ${times.at(-1)!.toFixed(1)} ms`;

async function check(t: Test, server: 'node' | 'uws'): Promise<void> {
  const node = await startStandalone(t, { settings: [`httpServer=${server}`] });
  const client = new PacketClient(node.port);
  client.keepReplies = false;
  const { extentId } = await client.ask(create(1));
  for (let made = 1; made < EXTENTS; made += 500)
    await Promise.all(Array.from({ length: 500 }, () => client.ask(create(1))));
  const whole = await (await fetch(new URL('/partition?id=1', node.httpUrl))).text();
  t.ok(whole.length > ANSWER_BYTES_MIN, `the answer has ${whole.length} bytes`);
  const alone = await writeTimes(client, extentId, 0);
  const readers = Array.from({ length: READERS }, () => deafReader(t, node));
  const beside = await writeTimes(client, extentId, PACKETS * 4096);
  t.comment(
    `${server}: 4 KiB writes alone: ${summary(alone)}; beside ${READERS} deaf readers: ${summary(beside)}`,
  );
  t.ok(beside.at(-1)! < 5_000, 'no packet waited for a reader');
  t.equal((await fetch(new URL('/healthz', node.httpUrl))).status, 200, 'others are served');
  // Whoever takes it now gets it whole.
  let bytes = 0;
  readers[0]!.on('data', (chunk) => {
    bytes += chunk.length;
  });
  readers[0]!.resume();
  await until('the answer arrives', () => bytes > whole.length);
  for (const socket of readers) socket.destroy();
  await client.end();
  t.equal((await node.process.terminate()).code, 0);
}

t.test('pains 27: readers that take nothing of a 2 MB answer of node:http stall no packet', (t) =>
  check(t, 'node'),
);

t.test(
  'pains 27: readers that take nothing of a 2 MB answer of uWebSockets.js stall no packet',
  { skip: UWS_SERVER === null && WHY_NO_UWS },
  (t) => check(t, 'uws'),
);
