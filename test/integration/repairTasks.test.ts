/** Notifications to a real node, from fake nodes that hold what it lacks: what is fetched, when it is answered, and what peers can do wrong. */
import { EventEmitter, once } from 'node:events';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { writeTinyDeleteRecord } from '../../src/protocol/tinyDelete.js';
import type { RepairView } from '../../src/repair/messages.js';
import { FakePeer, type Piece } from '../support/fakePeer.js';
import { PacketClient } from '../support/packetClient.js';
import {
  type Member,
  notification,
  notify,
  PARTITION,
  page,
  roomOf,
  startMember,
} from '../support/repairRig.js';
import { pattern, write } from '../support/requests.js';
import { until, untilAnswer } from '../support/until.js';

const KiB = 1024;

/** Bytes with holes: some of its pages are zeros. */
function withHoles(id: number, bytes: number): Buffer {
  const content = pattern(id, 0, bytes);
  content.fill(0, 16 * KiB, 200 * KiB);
  content.fill(0, 300 * KiB, 304 * KiB);
  return content;
}

async function viewOf({ node }: Member): Promise<RepairView> {
  return page<RepairView>(node, `/repair?id=${PARTITION}`);
}

t.test(
  'a missing extent, a truncated one, a lost tiny tail with holes, and missed tiny deletes',
  async (t) => {
    const peer = await FakePeer.start(t);
    const member = await startMember(t, [peer.address]);
    const { client } = member;
    peer.extents.set(1025, pattern(1025, 0, 300 * KiB + 17));
    peer.extents.set(1026, pattern(1026, 0, 200 * KiB));
    peer.extents.set(5, withHoles(5, 400 * KiB + 100));
    peer.deletes = Buffer.alloc(72);
    writeTinyDeleteRecord(new DataView(peer.deletes.buffer, peer.deletes.byteOffset), 48, {
      ...{ extentId: 5, extentOffset: 8 * KiB, sizeBytes: 5000 },
    });
    t.equal(
      (
        await client.ask({
          opcode: OP.createExtent,
          extentType: 1,
          partitionId: PARTITION,
          extentId: 1026,
          body: new Uint8Array(8),
        })
      ).resultCode,
      RESULT.ok,
    );
    t.equal(
      (await client.ask(write(PARTITION, 1026, 0, peer.extents.get(1026)!.subarray(0, 70_001)))).resultCode,
      RESULT.ok,
    );
    const repair = [peer.entry(1025), peer.entry(1026), peer.entry(5, 404 * KiB)];
    const fields = { create: [peer.entry(1025)], repair, leader: peer.address, deleteBytes: 72 };
    const reply = await notify(client, fields);
    t.match(reply, { resultCode: RESULT.ok, opcode: OP.notifyReplicasToRepair });
    t.equal(reply.body.length, 0);
    t.ok(member.extent(1025).equals(peer.extents.get(1025)!), 'the missing one');
    t.ok(member.extent(1026).equals(peer.extents.get(1026)!), 'the truncated one');
    const tiny = Buffer.from(peer.extents.get(5)!);
    tiny.fill(0, 8 * KiB, 16 * KiB);
    t.ok(member.extent(5).equals(tiny), 'the tiny one, with the range that was deleted at the first host');
    t.ok(roomOf(join(member.folder(), '5')) < 220 * KiB, 'holes take no room');
    t.equal(
      statSync(join(member.folder(), 'TINYEXTENT_DELETE')).size,
      72,
      'the record lies in the slot of the first host',
    );
    const streams = peer.asked.filter(({ opcode }) => opcode === OP.extentRepairRead);
    t.same(streams.map(({ extentId, extentOffset, size }) => [extentId, extentOffset, size]).sort(), [
      [1025, 0, 300 * KiB + 17],
      [1026, 70_001, 200 * KiB - 70_001],
    ]);
    t.equal(
      peer.asked.filter(({ opcode }) => opcode === OP.tinyExtentRepairRead).length,
      1,
      'asked once, holes or not',
    );
    t.match(await viewOf(member), {
      partitions: [
        {
          role: 'unknown',
          lastTask: { leader: peer.address, fetched: 3, failedCount: 0, deletesFailed: null },
        },
      ],
    });
    const asked = peer.asked.length;
    t.equal((await notify(client, fields)).resultCode, RESULT.ok);
    t.equal(peer.asked.length, asked, 'nothing is asked for twice, the deletes neither');
    peer.deletes = Buffer.concat([peer.deletes, Buffer.alloc(24)]);
    t.equal((await notify(client, { ...fields, deleteBytes: 96 })).resultCode, RESULT.ok);
    t.equal(peer.asked.length, asked + 1, 'new records only');
    t.match(peer.asked.at(-1), { opcode: OP.readTinyDeleteRecord, extentOffset: 72 });
    t.equal((await member.node.process.terminate()).code, 0);
  },
);

t.test('many extents of one source share its connections', async (t) => {
  const peer = await FakePeer.start(t);
  const { client } = await startMember(t, [peer.address], { settings: ['repair.fetchesPerRound=1'] });
  for (let id = 2000; id < 2020; id += 1) peer.extents.set(id, pattern(id, 0, 9000));
  const create = [...peer.extents.keys()].map((id) => peer.entry(id));
  t.equal((await notify(client, { create, repair: create })).resultCode, RESULT.ok);
  t.equal(peer.asked.length, 20, 'what is named twice is fetched once');
  t.equal(peer.connections, 1);
});

t.test(
  'pains 10: garbage from a peer ends its fetch, writes nothing, and touches nothing else',
  async (t) => {
    const peer = await FakePeer.start(t);
    const member = await startMember(t, [peer.address]);
    const { client } = member;
    const bad: [name: string, change: (pieces: Piece[]) => Piece[], why: RegExp][] = [
      ['a wrong checksum', (p) => [{ ...p[0]!, header: { ...p[0]!.header, crc: 1 } }], /Crc is incorrect/],
      [
        'a piece somewhere else',
        (p) => [{ ...p[0]!, header: { ...p[0]!.header, extentOffset: 5 } }],
        /a piece at 5/,
      ],
      [
        'another extent',
        (p) => [{ ...p[0]!, header: { ...p[0]!.header, extentId: 4711 } }],
        /another answer/,
      ],
      ['another request', (p) => [{ ...p[0]!, header: { ...p[0]!.header, reqIdLow: 1 } }], /another answer/],
      [
        'more than was asked for',
        (p) => [{ ...p[0]!, body: Buffer.concat([p[0]!.body, Buffer.alloc(1)]) }],
        /where 9000 are/,
      ],
      ['nothing', (p) => [{ ...p[0]!, body: Buffer.alloc(0) }], /a piece of 0 bytes/],
      [
        'an error',
        () => [
          { header: { resultCode: 0xf3 }, arg: Buffer.alloc(0), body: Buffer.from('ActionStreamRead_EOF') },
        ],
        /ActionStreamRead_EOF/,
      ],
    ];
    const create = bad.map((_, i) => {
      peer.extents.set(3000 + i, pattern(3000 + i, 0, 9000));
      return peer.entry(3000 + i);
    });
    peer.extents.set(3100, pattern(3100, 0, 9000));
    peer.answer = ({ opcode, extentId }, socket, ordinary) => {
      if (opcode !== OP.extentRepairRead) return undefined;
      if (extentId === 3101) {
        socket.write('no packet at all');
        return [];
      }
      return bad[extentId - 3000]?.[1](ordinary());
    };
    const entries = [...create, peer.entry(3100), { ...peer.entry(3100), fileId: 3101 }];
    const self = { ...peer.entry(3100), fileId: 3102, source: member.node.address };
    const nowhere = { ...peer.entry(3100), fileId: 3103, source: 'no address' };
    const huge = { ...peer.entry(3100), fileId: 3104, size: 2 ** 40 };
    const all = [...entries, self, nowhere, huge];
    t.equal(
      (await notify(client, { create: all, repair: all })).resultCode,
      RESULT.ok,
      'answered all the same',
    );
    const { lastTask } = (await viewOf(member)).partitions[0]!;
    const reasons = new Map(lastTask!.failed.map(({ extentId, reason }) => [extentId, reason]));
    for (const [i, [name, , why]] of bad.entries()) {
      t.match(reasons.get(3000 + i), why, name);
      t.equal(member.extent(3000 + i).length, 0, `${name}: nothing was written`);
    }
    t.match(reasons.get(3000), `extent 3000 from ${peer.address}: `, 'source and extent are named');
    t.match(reasons.get(3101), /magic/i);
    t.match(reasons.get(3102), /this node itself/);
    t.match(reasons.get(3103), /is no address/);
    t.match(reasons.get(3104), /of 1099511627776 bytes/);
    t.match(lastTask, { fetched: 1, failedCount: all.length - 1 });
    t.ok(member.extent(3100).equals(peer.extents.get(3100)!), 'the good one is there');
  },
);

t.test(
  'pains 6: a source that dies in the middle: what came stays, and another source goes on behind it',
  async (t) => {
    const [first, second] = [await FakePeer.start(t), await FakePeer.start(t)];
    const member = await startMember(t, [first.address, second.address]);
    const content = pattern(1030, 0, 500 * KiB);
    first.extents.set(1030, content);
    second.extents.set(1030, content);
    first.answer = ({ opcode }, socket, ordinary) => {
      if (opcode !== OP.extentRepairRead) return undefined;
      setTimeout(() => socket.destroy(), 100);
      return ordinary().slice(0, 2);
    };
    const entry = first.entry(1030);
    t.equal((await notify(member.client, { create: [entry], repair: [entry] })).resultCode, RESULT.ok);
    t.equal(member.extent(1030).length, 256 * KiB);
    t.match(await viewOf(member), {
      partitions: [{ lastTask: { failed: [{ extentId: 1030, reason: /connection closed/ }] } }],
    });
    t.equal((await notify(member.client, { repair: [second.entry(1030)] })).resultCode, RESULT.ok);
    t.ok(member.extent(1030).equals(content));
    t.match(second.asked, [{ extentOffset: 256 * KiB, size: 244 * KiB }]);
  },
);

t.test('overlapping tasks fetch an extent once; both are answered when it is there', async (t) => {
  const peer = await FakePeer.start(t);
  const member = await startMember(t, [peer.address]);
  peer.extents.set(1040, pattern(1040, 0, 300 * KiB));
  const gate = new EventEmitter();
  peer.answer = ({ opcode }, _socket, ordinary) =>
    opcode === OP.extentRepairRead ? haltingAfterOne(ordinary(), gate) : undefined;
  const task = { create: [peer.entry(1040)], repair: [peer.entry(1040)] };
  const other = new PacketClient(member.node.port);
  t.teardown(() => other.end());
  const answered: string[] = [];
  const first = notify(member.client, task).then(() => answered.push('first'));
  await until('the stream has begun', () => peer.asked.length > 0);
  const second = notify(other, task).then(() => answered.push('second'));
  await untilAnswer('both tasks run', async () => ((await viewOf(member)).tasksRunning === 2 ? true : null));
  t.match((await viewOf(member)).partitions[0]!.fetches, [
    { extentId: 1040, source: peer.address, targetBytes: 300 * KiB },
  ]);
  t.same(answered, [], 'nobody is answered before the work is done');
  gate.emit('go');
  await Promise.all([first, second]);
  t.equal(peer.asked.length, 1);
  t.ok(member.extent(1040).equals(peer.extents.get(1040)!));
});

t.test('a stop answers the tasks that run', async (t) => {
  const peer = await FakePeer.start(t);
  const member = await startMember(t, [peer.address]);
  peer.extents.set(1050, pattern(1050, 0, 300 * KiB));
  peer.answer = ({ opcode }, _socket, ordinary) =>
    opcode === OP.extentRepairRead ? haltingAfterOne(ordinary(), new EventEmitter()) : undefined;
  const answer = notify(member.client, { create: [peer.entry(1050)], repair: [peer.entry(1050)] });
  await until('the stream has begun', () => peer.asked.length > 0);
  const ended = member.node.process.terminate();
  const reply = await answer;
  t.equal(reply.body.toString(), 'ActionRepair:_the node is stopping');
  t.not(reply.resultCode, RESULT.ok);
  t.equal((await ended).code, 0);
});

t.test('what is no task is answered so; who is no partition, too', async (t) => {
  const member = await startMember(t, ['127.0.0.1:1']);
  const ask = async (change: Partial<ReturnType<typeof notification>>): Promise<string> => {
    const client = new PacketClient(member.node.port);
    const reply = await client.ask({ ...notification({}), ...change });
    await client.end();
    return `${reply.resultCode === RESULT.ok ? 'ok ' : ''}${reply.body.toString()}`;
  };
  t.match(await ask({ body: Buffer.from('{"TaskType":') }), /^ActionRepair:_/);
  t.match(await ask({ body: Buffer.from('[]') }), /^ActionRepair:_/);
  t.equal(await ask({ partitionId: 9 }), 'ActionPreparePkt_data partition not exists');
  const lists = Buffer.from('{"TaskType":0,"ExtentsToBeCreated":null,"ExtentsToBeRepaired":null}');
  t.equal(await ask({ body: lists }), 'ok ', 'null is an empty list');
});

t.test('pains 8: a full disk ends fetches until there is room, and asks nobody meanwhile', async (t) => {
  const peer = await FakePeer.start(t);
  const member = await startMember(t, [peer.address], { settings: ['faultInjection=true'] });
  for (const id of [1060, 1061]) peer.extents.set(id, pattern(id, 0, 9000));
  const fault = async (query: string): Promise<void> => {
    const response = await fetch(`${member.node.httpUrl}/debug/fault?disk=0&${query}`, { method: 'POST' });
    t.equal(response.status, 200);
  };
  const task = (id: number) => ({ create: [peer.entry(id)], repair: [peer.entry(id)] });
  await fault('kind=errno&value=28&codes=2');
  t.equal((await notify(member.client, task(1060))).resultCode, RESULT.ok);
  t.match(await viewOf(member), {
    disks: [{ full: true }],
    partitions: [{ lastTask: { failed: [{ reason: /no space left on device/ }] } }],
  });
  const asked = peer.asked.length;
  t.equal((await notify(member.client, task(1061))).resultCode, RESULT.ok);
  t.match(await viewOf(member), {
    partitions: [{ lastTask: { failed: [{ reason: /fetches wait until there is/ }] } }],
  });
  t.equal(peer.asked.length, asked, 'the peer is not asked');
  await fault('kind=clear');
  await untilAnswer(
    'there is room again',
    async () => {
      for (const id of [1060, 1061]) await notify(member.client, task(id));
      return member.extent(1060).equals(peer.extents.get(1060)!) ? true : null;
    },
    30_000,
  );
  t.equal((await notify(member.client, task(1061))).resultCode, RESULT.ok);
  t.ok(member.extent(1061).equals(peer.extents.get(1061)!));
  t.match(await viewOf(member), { disks: [{ full: false }] });
});

/** The first piece at once, the others when `go` is emitted. */
async function* haltingAfterOne([first, ...others]: Piece[], gate: EventEmitter): AsyncGenerator<Piece> {
  yield first!;
  await once(gate, 'go');
  yield* others;
}
