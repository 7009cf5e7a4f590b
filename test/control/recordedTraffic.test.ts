/**
 * Everything that was recorded between v1.4.0 masters and nodes, through our code: requests, replies, tasks, responses. What the recordings hold, and which test has it:
 *
 * | recorded | test |
 * |---|---|
 * | HTTP requests of a node's start and of the replica list | here, `our requests are the recorded ones` |
 * | the master's replies to them | here, `the recorded replies of the master are understood` |
 * | POST /dataNode/response: 3 heartbeats, 4 loads | `test/protocol/adminTask.test.ts`, `loadTasks.test.ts`, `adminTasks.test.ts` |
 * | 170 admin packets on 26 connections, and the replies | here, `every recorded task gets the recorded reply` |
 * | admin packets with mistakes | there as well, and as probes in `adminTasks.test.ts` |
 */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { AdminTasks } from '../../src/control/adminTasks.js';
import { readEnvelope } from '../../src/control/masterCall.js';
import { type MasterCaller, MasterClient, type MasterRequest } from '../../src/control/masterClient.js';
import { checkPartitions, register } from '../../src/control/registration.js';
import { fetchReplicas } from '../../src/control/replicaLists.js';
import { ResponsePoster } from '../../src/control/responsePoster.js';
import { createRequest, deleteRequest, loadRequest } from '../../src/protocol/adminBodies.js';
import { decodeAdminTask, encodeAdminTask } from '../../src/protocol/adminTask.js';
import { heartbeatRequest } from '../../src/protocol/heartbeat.js';
import { decodeValue, type JsonCodec } from '../../src/protocol/jsonCodec.js';
import { decodeMemberRequest } from '../../src/protocol/memberChange.js';
import { actionOf, isMasterOp, OP } from '../../src/protocol/opcodes.js';
import { RESULT, resultCodeFor } from '../../src/protocol/resultCodes.js';
import { type RecordedPacket, recordedStreams } from '../protocol/vectors.js';
import { FakeMaster } from './fakeMaster.js';
import { diskOf, FakeView, partitionOf } from './fakeView.js';
import { recordedHttpBody, recordedHttpHead } from './recorded.js';

const never = new AbortController().signal;
const log = { debug() {}, info() {}, warn() {}, error() {} };
const HEADER_BYTES = 57;

/** Answers every call with the recorded reply of its path. */
const recordedMaster: MasterCaller = {
  async call({ path }) {
    const name = path === '/admin/getIp' ? 'getIp' : path.slice(1).replace('/', '-');
    return readEnvelope(recordedHttpBody(`http-${name}.s2c.bin`));
  },
};

t.test('the recorded replies of the master are understood', async (t) => {
  const registration = await register(
    { master: recordedMaster, localIP: '127.0.0.12', port: 17312, zoneName: '', log },
    never,
  );
  t.match(registration, { cluster: 'peer01', address: '127.0.0.12:17312' });
  t.ok((registration?.nodeId ?? 0) > 0);
  const check = {
    master: recordedMaster,
    address: 'x',
    isLoaded: () => false,
    allowLostPartitions: false,
    log,
  };
  t.strictSame(await checkPartitions(check, never), { ok: true, value: null }, 'an empty list');
  const { PartitionID, Hosts } = JSON.parse(recordedHttpBody('http-dataPartition-get.s2c.bin')).data;
  t.equal(Hosts.length, 3);
  t.strictSame(await fetchReplicas(recordedMaster, PartitionID, 'vol1', never), { ok: true, value: Hosts });
});

/** Head of the request that our client sends. */
async function ourRequest(request: MasterRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const server = createServer((incoming, reply) => {
      incoming.resume();
      incoming.on('end', () => {
        reply.end('{"code":0,"msg":"success","data":null}');
        server.close();
        resolve(incoming);
      });
    });
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      void new MasterClient({ masters: [`127.0.0.1:${port}`] }).call(request, never);
    });
  });
}

t.test('our requests are the recorded ones', async (t) => {
  const cases: [file: string, request: MasterRequest][] = [
    ['http-getIp', { method: 'GET', path: '/admin/getIp' }],
    ['http-dataNode-add', { method: 'POST', path: '/dataNode/add', query: { addr: '127.0.0.12:17312' } }],
    ['http-dataNode-get', { method: 'GET', path: '/dataNode/get', query: { addr: '127.0.0.12:17312' } }],
    [
      'http-dataPartition-get',
      { method: 'GET', path: '/dataPartition/get', query: { id: '1', name: 'vol1' } },
    ],
    [
      'http-response',
      { method: 'POST', path: '/dataNode/response', body: recordedHttpBody('http-response.c2s.bin') },
    ],
  ];
  for (const [file, request] of cases) {
    const [line = '', ...headers] = recordedHttpHead(`${file}.c2s.bin`);
    const ours = await ourRequest(request);
    t.equal(`${ours.method} ${decodeURIComponent(ours.url!)} HTTP/${ours.httpVersion}`, line, file);
    const recorded = new Map(
      headers.map((text) => [text.split(': ')[0]!.toLowerCase(), text.split(': ')[1]]),
    );
    for (const name of ['connection', 'content-type', 'content-length'])
      t.equal(ours.headers[name], recorded.get(name), `${file} ${name}`);
  }
});

interface Exchange {
  request: RecordedPacket;
  body: string;
  reply: RecordedPacket;
  replyBody: string;
}

/** The admin packets of a connection, each with its reply; connections are cut at a packet's border, so a last request may have none. */
function exchangesOf({ packets, bytes }: ReturnType<typeof recordedStreams>[number]): Exchange[] {
  const bodyOf = (packet: RecordedPacket): string => {
    const from = packet.offset + HEADER_BYTES + packet.argLen;
    return Buffer.from(bytes[packet.dir].subarray(from, from + packet.size)).toString();
  };
  const admin = packets.filter(({ op }) => isMasterOp(op));
  const replies = admin.filter(({ dir }) => dir === 's2c');
  return admin
    .filter(({ dir }) => dir === 'c2s')
    .flatMap((request) => {
      const reply = replies.find(({ reqId, op }) => reqId === request.reqId && op === request.op);
      return reply === undefined ? [] : [{ request, body: bodyOf(request), reply, replyBody: bodyOf(reply) }];
    });
}

const exchanges = recordedStreams().map(exchangesOf);

t.test('every recorded task is decoded, and encoded as it came', async (t) => {
  const codecs = new Map<number, JsonCodec<unknown>>([
    [OP.createDataPartition, createRequest as JsonCodec<unknown>],
    [OP.deleteDataPartition, deleteRequest as JsonCodec<unknown>],
    [OP.loadDataPartition, loadRequest as JsonCodec<unknown>],
    [OP.dataNodeHeartbeat, heartbeatRequest as JsonCodec<unknown>],
  ]);
  const seen = new Map<number, number>();
  for (const { request, body } of exchanges.flat()) {
    const task = decodeAdminTask(Buffer.from(body));
    // Probes are hand-made: with mistakes, or with blanks.
    if (!task.ok || Buffer.from(encodeAdminTask(task.value)).toString() !== body) {
      t.ok(/^\{nope|^\{"ID": ?"[xyz]"|^$/.test(body), `a probe: ${body.slice(0, 80)}`);
      continue;
    }
    seen.set(request.op, (seen.get(request.op) ?? 0) + 1);
    const codec = codecs.get(request.op);
    const { request: inner } = task.value;
    if (codec === undefined) {
      t.ok(decodeMemberRequest(inner).ok, body.slice(0, 80));
      continue;
    }
    const decoded = decodeValue(codec, inner);
    if (!decoded.ok) t.fail(`${decoded.message}: ${body.slice(0, 200)}`);
    else if (codec.encode(decoded.value) !== JSON.stringify(inner)) t.fail(body.slice(0, 300));
  }
  for (const [opcode, count] of [
    [OP.createDataPartition, 40],
    [OP.deleteDataPartition, 2],
    [OP.loadDataPartition, 60],
    [OP.dataNodeHeartbeat, 15],
    [OP.addDataPartitionRaftMember, 1],
    [OP.removeDataPartitionRaftMember, 1],
  ] as const)
    t.ok((seen.get(opcode) ?? 0) >= count, `${seen.get(opcode)} of ${actionOf(opcode)}`);
});

t.test('every recorded task gets the recorded reply', async (t) => {
  let count = 0;
  for (const stream of exchanges.filter(({ length }) => length > 0)) {
    const view = new FakeView();
    const created = stream.find(
      ({ request, reply }) => request.op === OP.createDataPartition && reply.size > 0,
    );
    const path = created?.replyBody ?? '/d1';
    view.diskList = [diskOf(path)];
    view.partitionList = [partitionOf(5, { diskPath: path })];
    const poster = new ResponsePoster({ master: new FakeMaster(), log });
    const labels = { rack: '', cell: '', zoneName: '' };
    const tasks = new AdminTasks({
      nodeView: view,
      address: '10.0.0.1:17310',
      poster,
      labels: () => labels,
      log,
    });
    for (const { request, body, reply, replyBody } of stream) {
      count += 1;
      const ours = await tasks.handle(request.op, request.partition, Buffer.from(body));
      if (!ours.ok && 'resultCode' in ours) throw new Error('nothing is passed on');
      const code = ours.ok ? RESULT.ok : resultCodeFor(ours.action, ours.message);
      const text = ours.ok ? Buffer.from(ours.body).toString() : `${ours.action}_${ours.message}`;
      const needsRaft = request.op >= OP.decommissionDataPartition && reply.result === 'Ok';
      if (needsRaft && !ours.ok) {
        // Of partitions that are not here.
        t.match(text, /_partition \d+ not exsit$|data partition not exists$/, body.slice(0, 80));
        continue;
      }
      t.equal(code === RESULT.ok, reply.result === 'Ok', `${request.opName} ${body.slice(0, 120)}`);
      const expected = replyBody
        .replace('Request[map[]]', 'Request[{}]')
        .replace('[wrap_operator.go 800] ', '');
      t.equal(text, expected, request.opName);
      t.equal(ours.partitionId ?? request.partition, reply.partition, `${request.opName}: id in the header`);
    }
    await poster.stop();
  }
  t.equal(count, 170, 'exchanges');
  t.equal(exchanges.filter(({ length }) => length > 0).length, 26, 'connections');
});
