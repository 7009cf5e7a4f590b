/** What the network thread tells of operations: figures in shared memory, each operation once; debug lines while the level asks for them; time entries. */
import { type Logger, pino } from 'pino';
import t from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { OPERATION_NAMES } from '../../src/protocol/operationNames.js';
import { encodeRequest } from '../../src/protocol/packet.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { OperationTable } from '../../src/shm/operationTable.js';
import { PacketClient } from '../support/packetClient.js';
import { read, write } from '../support/requests.js';
import { until } from '../support/until.js';
import { type Answer, FakeNode, type FakeOptions, type Seen } from './fakeNode.js';
import { honest, withNode } from './honest.js';

const CHUNK = 131_072;

/** What the table of `node` says of one kind, result codes by name of the low four bits. */
function told(node: FakeNode, operation: string): Record<string, unknown> {
  const table = new OperationTable(node.operations);
  const row = OPERATION_NAMES.indexOf(operation);
  const results: Record<string, number> = {};
  for (let result = 0; result < 16; result++) {
    if (table.count(row, result) > 0) results[`0xf${result.toString(16)}`] = table.count(row, result);
  }
  return {
    results,
    in: table.bytesIn(row),
    out: table.bytesOut(row),
    durations: table.durations(row).count,
  };
}

/** A node whose clock stands until the test moves it. */
class Stopped {
  nowMs = 1_000;
  readonly held: Seen[] = [];
  readonly node: FakeNode;

  constructor(options: Partial<FakeOptions> = {}) {
    this.node = new FakeNode({
      clock: () => this.nowMs,
      work: (request) => {
        this.held.push(request);
        return null;
      },
      ...options,
    });
  }

  /** Waits for `count` requests at the workers and answers them, in order. */
  async answer(count: number, answer: (request: Seen) => Answer): Promise<void> {
    await until('requests at the workers', () => this.held.length >= count);
    for (const request of this.held.splice(0, count)) this.node.answer(request, answer(request));
  }
}

t.test('an operation lasts from its complete request to its reply, and is counted once', async (t) => {
  const stopped = new Stopped();
  await withNode(stopped.node, async (node) => {
    const client = new PacketClient(node.port);
    const asked = client.ask(write(1, 1025, 0, Buffer.alloc(5_000)));
    await until('at the worker', () => stopped.held.length === 1);
    stopped.nowMs = 1_250;
    await stopped.answer(1, ({ size }) => ({ code: RESULT.ok, bodyBytes: 0, crc: size }));
    await asked;
    t.strictSame(told(node, 'OpWrite'), { results: { '0xf0': 1 }, in: 5_000, out: 0, durations: 1 });
    const table = new OperationTable(node.operations);
    const row = OPERATION_NAMES.indexOf('OpWrite');
    t.equal(table.lastUs(row), 250_000);
    t.strictSame([table.durations(row).sumUs, table.durations(row).maxUs], [250_000, 250_000]);
    client.socket.destroy();
  });
});

t.test('a read of several chunks is one operation, from its request to the last chunk', async (t) => {
  const stopped = new Stopped();
  await withNode(stopped.node, async (node) => {
    const client = new PacketClient(node.port);
    const asked = client.askAll(read(1, 1025, 0, 2 * CHUNK + 100), 3);
    await until('chunks at the worker', () => stopped.held.length === 3);
    stopped.nowMs = 1_100;
    await stopped.answer(2, ({ size }) => ({ code: RESULT.ok, bodyBytes: size }));
    await until('two chunks are there', () => client.replies.length === 2);
    t.strictSame(told(node, 'OpStreamRead'), { results: {}, in: 0, out: 2 * CHUNK, durations: 0 });
    stopped.nowMs = 1_300;
    await stopped.answer(1, ({ size }) => ({ code: RESULT.ok, bodyBytes: size }));
    await asked;
    t.strictSame(told(node, 'OpStreamRead'), {
      results: { '0xf0': 1 },
      in: 0,
      out: 2 * CHUNK + 100,
      durations: 1,
    });
    t.equal(new OperationTable(node.operations).lastUs(OPERATION_NAMES.indexOf('OpStreamRead')), 300_000);
    client.socket.destroy();
  });
});

t.test('a stream of unknown length is one operation, whatever the number of its packets', async (t) => {
  const stopped = new Stopped();
  await withNode(stopped.node, async (node) => {
    const client = new PacketClient(node.port);
    const ask = { ...read(1, 5, 0, 3_000, OP.tinyExtentRepairRead), extentType: 0 };
    const asked = client.askAll(ask, 3);
    for (const remainingBytes of [3_000, 2_000, 1_000]) {
      t.match(told(node, 'OpTinyExtentRepairRead'), { results: {}, durations: 0 });
      await until('at the worker', () => stopped.held.length === 1);
      stopped.nowMs += 10;
      await stopped.answer(1, () => ({ code: RESULT.ok, bodyBytes: 1_000, remainingBytes }));
    }
    await asked;
    t.match(told(node, 'OpTinyExtentRepairRead'), { results: { '0xf0': 1 }, out: 3_000, durations: 1 });
    const row = OPERATION_NAMES.indexOf('OpTinyExtentRepairRead');
    t.equal(new OperationTable(node.operations).lastUs(row), 30_000);
    client.socket.destroy();
  });
});

t.test('a read that waits for a slot is timed from its arrival', async (t) => {
  const stopped = new Stopped({ slots4k: 4 });
  stopped.node.slab.setDiskQuota(0, 4 * 2_097_152);
  await withNode(stopped.node, async (node) => {
    const client = new PacketClient(node.port);
    const asked = Array.from({ length: 60 }, () => client.ask(read(1, 1025, 0, CHUNK)));
    await until('no more fit', () => node.network.starving);
    t.ok(node.network.inFlight < 60, 'not all are at the worker');
    stopped.nowMs = 1_500;
    for (let answered = 0; answered < 60; ) {
      await until('some more', () => stopped.held.length > 0);
      const count = stopped.held.length;
      await stopped.answer(count, ({ size }) => ({ code: RESULT.ok, bodyBytes: size }));
      answered += count;
    }
    await Promise.all(asked);
    const durations = new OperationTable(node.operations).durations(OPERATION_NAMES.indexOf('OpStreamRead'));
    t.strictSame([durations.count, durations.sumUs], [60, 60 * 500_000]);
    client.socket.destroy();
  });
});

t.test('failures, refusals on this thread and admin tasks are counted, by result', async (t) => {
  const stopped = new Stopped({
    admin: {
      handle: async (opcode) =>
        opcode === OP.dataNodeHeartbeat
          ? { ok: true, body: Buffer.from('abc') }
          : { ok: false, action: 'ActionLoadDataPartition', message: 'not today' },
    },
  });
  await withNode(stopped.node, async (node) => {
    const ask = async (fields: Parameters<PacketClient['ask']>[0]): Promise<number> => {
      const client = new PacketClient(node.port);
      const { resultCode } = await client.ask(fields);
      await client.end();
      return resultCode;
    };
    const failing = ask(write(1, 1025, 0, Buffer.alloc(10)));
    await stopped.answer(1, () => ({ code: RESULT.notExistErr, bodyBytes: 20 }));
    t.equal(await failing, RESULT.notExistErr);
    t.equal(await ask(write(99, 1025, 0, Buffer.alloc(30))), RESULT.tryOtherAddr);
    t.strictSame(told(node, 'OpWrite'), {
      results: { '0xf5': 1, '0xfc': 1 },
      in: 40,
      out: 20 + 'ActionPreparePkt_data partition not exists'.length,
      durations: 2,
    });
    t.equal(await ask({ opcode: OP.dataNodeHeartbeat, body: Buffer.alloc(7) }), RESULT.ok);
    t.strictSame(told(node, 'OpDataNodeHeartbeat'), { results: { '0xf0': 1 }, in: 7, out: 3, durations: 1 });
    await ask({ opcode: OP.loadDataPartition, body: Buffer.alloc(7) });
    t.match(told(node, 'OpLoadDataPartition'), { results: { '0xf3': 1 }, durations: 1 });
    await ask({ opcode: 0x7e, partitionId: 1, body: Buffer.alloc(1) });
    t.match(told(node, 'other'), { results: { '0xf4': 1 }, in: 1, durations: 1 });
  });
});

t.test('what stands behind a failure, or whose connection goes, is abandoned and not counted', async (t) => {
  const stopped = new Stopped();
  await withNode(stopped.node, async (node) => {
    const client = new PacketClient(node.port);
    const first = client.askAll(read(1, 1025, 0, 2 * CHUNK), 1);
    const second = client.ask(write(1, 1025, 0, Buffer.alloc(1))).catch(() => 'no reply');
    await until('all at the worker', () => stopped.held.length === 3);
    const [chunk, rest, behind] = stopped.held.splice(0);
    node.answer(chunk!, { code: RESULT.notExistErr, bodyBytes: 0 });
    t.equal((await first)[0]!.resultCode, RESULT.notExistErr);
    t.equal(await second, 'no reply');
    t.strictSame(told(node, 'OpStreamRead'), { results: { '0xf5': 1 }, in: 0, out: 0, durations: 1 });
    t.match(told(node, 'OpWrite'), { results: {}, durations: 0 });
    t.equal(
      node.network.operations.abandoned,
      1,
      'the write; the rest of the read is no operation of its own',
    );
    for (const request of [rest!, behind!]) node.answer(request, { code: RESULT.ok, bodyBytes: 0 });

    const gone = new PacketClient(node.port);
    const never = gone.ask(write(2, 1025, 0, Buffer.alloc(1))).catch(() => 'no reply');
    await until('at the worker', () => stopped.held.length === 1);
    gone.socket.resetAndDestroy();
    t.equal(await never, 'no reply');
    await until('seen', () => node.network.operations.abandoned === 2);
    await stopped.answer(1, () => ({ code: RESULT.ok, bodyBytes: 0 }));
    t.match(told(node, 'OpWrite'), { results: {}, durations: 0 });
  });
});

t.test('a disk that is given up: its requests count as failed, once', async (t) => {
  const stopped = new Stopped();
  await withNode(stopped.node, async (node) => {
    const client = new PacketClient(node.port);
    const asked = client.askAll(read(1, 1025, 0, 2 * CHUNK), 1);
    const behind = client.ask(write(1, 1025, 0, Buffer.alloc(1))).catch(() => 'no reply');
    await until('at the worker', () => stopped.held.length === 3);
    t.equal(node.network.failPort(node.ports[0]!, 'disk /disk0 does not answer'), 1);
    t.equal((await asked)[0]!.resultCode, RESULT.intraGroupNetErr);
    t.equal(await behind, 'no reply');
    t.match(told(node, 'OpStreamRead'), { results: { '0xf3': 1 }, durations: 1 });
    t.equal(node.network.operations.abandoned, 1);
    await stopped.answer(3, () => ({ code: RESULT.ok, bodyBytes: 0 }));
  });
});

/** A log that keeps its lines. */
function keptLog(level: string): { log: Logger; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const log = pino(
    { level, base: null, timestamp: false },
    { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  return { log, lines };
}

t.test(
  'at level debug there is a line for each operation, and only then, even if the level changes',
  async (t) => {
    const { log, lines } = keptLog('info');
    let nowMs = 0;
    const node = new FakeNode({ work: honest, log, clock: () => (nowMs += 0.5) });
    await withNode(node, async () => {
      const client = new PacketClient(node.port);
      await client.ask(write(3, 1025, 100, Buffer.alloc(4)));
      t.strictSame(lines, []);
      log.level = 'debug';
      await client.ask(write(3, 1025, 100, Buffer.alloc(4)));
      await client.askAll(read(3, 1026, 8, CHUNK + 1), 2);
      await client.ask({
        opcode: OP.write,
        extentType: 1,
        partitionId: 77,
        extentId: 5,
        body: Buffer.alloc(0),
      });
      const remote = `127.0.0.1:${client.socket.localPort}`;
      const shared = { level: 20, remote, msg: 'operation' };
      const wanted = [
        {
          ...{ operation: 'write', op: 'OpWrite', requestId: '3', partitionId: 3, extentId: 1025 },
          ...{ offset: 100, size: 4, result: 'OpOk' },
        },
        {
          ...{ operation: 'read', op: 'OpStreamRead', requestId: '4', partitionId: 3, extentId: 1026 },
          ...{ offset: 8, size: CHUNK + 1, result: 'OpOk' },
        },
        {
          ...{ operation: 'write', op: 'OpWrite', requestId: '5', partitionId: 77, extentId: 5 },
          ...{ offset: 0, size: 0, result: 'OpTryOtherAddr' },
        },
      ];
      t.strictSame(
        lines.map(({ us: _us, ...fields }) => fields),
        wanted.map((fields) => ({ ...shared, ...fields })),
      );
      for (const { us } of lines) t.ok(Number.isInteger(us) && (us as number) > 0, `${us} µs`);
      log.level = 'info';
      const other = new PacketClient(node.port);
      await other.ask(write(3, 1025, 100, Buffer.alloc(4)));
      t.equal(lines.length, 3);
      for (const { socket } of [client, other]) socket.destroy();
    });
  },
);

t.test('request ids are told whole', async (t) => {
  const { log, lines } = keptLog('debug');
  const node = new FakeNode({ work: honest, log });
  await withNode(node, async () => {
    const client = new PacketClient(node.port);
    const packet = Buffer.from(encodeRequest({ ...write(1, 1025, 0, Buffer.alloc(1)), reqId: 1 }));
    packet.writeBigUInt64BE(2n ** 64n - 2n, 41);
    client.send(packet);
    await until('the line', () => lines.length === 1);
    t.equal(lines[0]!['requestId'], '-2', 'as clients log it');
    client.socket.destroy();
  });
});

t.test('who wants time entries hears of each operation that has a metric name', async (t) => {
  const heard: [string, number, boolean][] = [];
  const stopped = new Stopped({ operationEnded: (...entry) => heard.push(entry) });
  await withNode(stopped.node, async (node) => {
    const client = new PacketClient(node.port);
    const asked = client.ask(write(1, 1025, 0, Buffer.alloc(5)));
    await until('at the worker', () => stopped.held.length === 1);
    stopped.nowMs += 7;
    await stopped.answer(1, () => ({ code: RESULT.ok, bodyBytes: 0 }));
    await asked;
    await client.ask({ opcode: OP.read, partitionId: 1, size: 1 });
    const other = new PacketClient(node.port);
    await other.ask({ opcode: 0x7e, partitionId: 1, body: Buffer.alloc(1) });
    t.strictSame(heard, [
      ['OpWrite', 7, false],
      ['Read', 0, true],
    ]);
    for (const { socket } of [client, other]) socket.destroy();
  });
});
