/** One extent's fetch and the sync of tiny deletes against a worker that answers as the test says: order, syncs, appends that come between. */

import { crc32 } from 'node:zlib';
import t, { type Test } from 'tap';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import { OP } from '../../src/protocol/opcodes.js';
import { DiskRoom } from '../../src/repair/diskRoom.js';
import { LocalReplica } from '../../src/repair/localReplica.js';
import { OwnReplica } from '../../src/repair/ownReplica.js';
import { Pace } from '../../src/repair/pace.js';
import { PeerReplicas } from '../../src/repair/peerReplica.js';
import { Sources } from '../../src/repair/sources.js';
import { FakePeer } from '../support/fakePeer.js';
import { pattern } from '../support/requests.js';
import { type FakeWorker, type Given, portsAndWorkers, repairMemory, type Taken } from './repairWorker.js';

const KiB = 1024;

/** A replica whose worker holds extents in memory, with everything that was asked of it. */
async function rig(t: Test, intercept: (taken: Taken) => Given | null = () => null, room = new DiskRoom()) {
  const { ports, workers } = portsAndWorkers(repairMemory(1, 16, 16));
  const stop = new AbortController();
  const peers = new PeerReplicas(stop.signal);
  const sources = new Sources((address) => peers.dial(address));
  const peer = await FakePeer.start(t);
  const contents = new Map<number, Buffer>();
  const asked: Taken[] = [];
  const counted = { bytes: 0, extents: 0 };
  const worker = workers[0]!;
  const timer = setInterval(() => serve(worker, contents, asked, intercept), 1);
  t.teardown(() => {
    clearInterval(timer);
    stop.abort();
    sources.close();
  });
  const replica = new LocalReplica(new OwnReplica(ports, 0, 7), room, {
    ...{ ownAddress: '10.0.0.1:1', sources, pace: new Pace(0, () => 0, stop.signal) },
    nextReqId: () => peers.nextReqId(),
    dial: (address) => peers.dial(address),
    crc32: (data) => crc32(data),
    nowMs: () => performance.now(),
    fetched: (bytes) => {
      counted.bytes += bytes;
    },
    fetchedExtent: () => {
      counted.extents += 1;
    },
  });
  return { replica, peer, contents, asked, counted };
}

function serve(
  worker: FakeWorker,
  contents: Map<number, Buffer>,
  asked: Taken[],
  intercept: (taken: Taken) => Given | null,
): void {
  for (const taken of [...worker.take()]) {
    asked.push(taken);
    worker.answer(taken, intercept(taken) ?? ordinary(taken, contents));
  }
}

function ordinary({ opcode, extentId, extentOffset, body }: Taken, contents: Map<number, Buffer>): Given {
  const held = contents.get(extentId);
  switch (opcode) {
    case INTERNAL_OP.extentSize:
      return { extentOffset: held?.length ?? -1 };
    case OP.write:
      if (held?.length !== extentOffset)
        return { text: `ActionWrite:_parameter mismatch error: offset=${extentOffset}` };
      contents.set(extentId, Buffer.concat([held, body]));
      return {};
    default:
      return {};
  }
}

const opcodes = (asked: Taken[]): number[] => asked.map(({ opcode }) => opcode);

t.test('an extent counts as fetched when it is synced', async (t) => {
  let failSync = true;
  const { replica, peer, contents, asked, counted } = await rig(t, ({ opcode }) =>
    opcode === INTERNAL_OP.syncExtent && failSync
      ? { text: 'ActionRepair:_fdatasync: input/output error' }
      : null,
  );
  const content = pattern(1025, 0, 300 * KiB);
  peer.extents.set(1025, content);
  contents.set(1025, content.subarray(0, 1000));
  await t.rejects(
    replica.fetch(peer.entry(1025)),
    /^extent 1025 from 127\.0\.0\.1:\d+: ActionRepair:_fdatasync/,
  );
  t.ok(contents.get(1025)!.equals(content));
  t.same(counted, { bytes: 300 * KiB - 1000, extents: 0 });
  failSync = false;
  asked.length = 0;
  await replica.fetch(peer.entry(1025));
  t.same(opcodes(asked).at(-1), INTERNAL_OP.syncExtent, 'it is as long, but no sync has covered it');
  asked.length = 0;
  await replica.fetch(peer.entry(1025));
  t.notOk(opcodes(asked).includes(INTERNAL_OP.syncExtent), 'nothing is left to sync');
});

t.test(
  'pains 8: on a disk that has room again an extent that exists does not take the try of the fetches',
  async (t) => {
    let full = true;
    const room = new DiskRoom();
    const { replica, peer, contents } = await rig(
      t,
      ({ opcode }) => {
        if (opcode === INTERNAL_OP.createExtent) return { text: 'ActionRepair:_extent already exists' };
        return full && opcode === OP.write ? { text: 'ActionWrite:_write: no space left on device' } : null;
      },
      room,
    );
    const content = pattern(1025, 0, 1000);
    peer.extents.set(1025, content);
    contents.set(1025, Buffer.alloc(0));
    await t.rejects(replica.fetch(peer.entry(1025)), /no space left on device/);
    full = false;
    room.untried(performance.now());
    await t.rejects(replica.create(1025), /already exists/);
    await replica.fetch(peer.entry(1025));
    t.ok(contents.get(1025)!.equals(content));
    room.full(performance.now());
    room.untried(performance.now());
    await t.rejects(
      replica.fetch({ ...peer.entry(1025), size: 2000, source: '127.0.0.1:1' }),
      /127\.0\.0\.1:1/,
    );
    t.ok(room.admits(performance.now()), 'a source that is gone does not take it either');
  },
);

t.test('pieces are written in order, with the checksums of the packets', async (t) => {
  const { replica, peer, contents, asked } = await rig(t);
  const content = pattern(1025, 0, 1000 * KiB + 3);
  peer.extents.set(1025, content);
  contents.set(1025, Buffer.alloc(0));
  await replica.fetch(peer.entry(1025));
  const writes = asked.filter(({ opcode }) => opcode === OP.write);
  t.same(
    writes.map(({ extentOffset }) => extentOffset),
    [0, 1, 2, 3, 4, 5, 6, 7].map((i) => i * 128 * KiB),
  );
  t.ok(writes.every(({ body, crc }) => crc32(body) === crc));
  t.same(opcodes(asked).at(-1), INTERNAL_OP.syncExtent);
});

t.test(
  'an append that comes between: the length is asked for again, and the fetch goes on behind it',
  async (t) => {
    const content = pattern(1025, 0, 700 * KiB);
    let held: Map<number, Buffer> | null = null;
    let writes = 0;
    const { replica, peer, contents, asked } = await rig(t, ({ opcode }) => {
      // Before the third piece a forwarded packet brings 5000 bytes.
      if (opcode === OP.write && ++writes === 3) held!.set(1025, content.subarray(0, 256 * KiB + 5000));
      return null;
    });
    held = contents;
    peer.extents.set(1025, content);
    contents.set(1025, Buffer.alloc(0));
    await replica.fetch(peer.entry(1025));
    t.ok(contents.get(1025)!.equals(content));
    t.same(
      peer.asked.map(({ extentOffset }) => extentOffset),
      [0, 256 * KiB + 5000],
    );
    t.equal(peer.connections, 2, 'the rest of the first stream is not waited for');
    t.ok(asked.length > 0);
  },
);

t.test('an append that brings the end is a good end; a refusal that nothing explains is none', async (t) => {
  const content = pattern(1025, 0, 100 * KiB);
  let held: Map<number, Buffer> | null = null;
  const { replica, peer, contents } = await rig(t, ({ opcode, extentId }) => {
    if (opcode === OP.write && extentId === 1025) held!.set(1025, content);
    if (opcode === OP.write && extentId === 1026)
      return { text: 'ActionWrite:_parameter mismatch error: offset=0 size=1' };
    return null;
  });
  held = contents;
  for (const id of [1025, 1026]) {
    peer.extents.set(id, content);
    contents.set(id, Buffer.alloc(0));
  }
  await replica.fetch(peer.entry(1025));
  await t.rejects(replica.fetch(peer.entry(1026)), /appends of others come faster/);
});

t.test('a kept connection that the source has closed is followed by a new one', async (t) => {
  const { replica, peer, contents } = await rig(t);
  for (const id of [1025, 1026]) {
    peer.extents.set(id, pattern(id, 0, 9000));
    contents.set(id, Buffer.alloc(0));
  }
  let isFirst = true;
  peer.answer = (_asked, socket, ordinaryPieces) => {
    const pieces = ordinaryPieces();
    // It answers the first question, and closes when the second one comes on the same connection.
    if (!isFirst && _asked.connection === 1) socket.destroy();
    isFirst = false;
    return pieces;
  };
  await replica.fetch(peer.entry(1025));
  await replica.fetch(peer.entry(1026));
  t.ok(contents.get(1026)!.equals(pattern(1026, 0, 9000)));
  t.equal(peer.connections, 2);
});

t.test('tiny deletes: garbage of the first host carries out nothing, and is asked for again', async (t) => {
  const { replica, peer, asked } = await rig(t);
  peer.deletes = Buffer.alloc(48);
  const bad: [change: Record<string, unknown>, why: RegExp][] = [
    [
      { header: { opcode: 0xf0, extentId: 0, extentOffset: 24, crc: crc32(Buffer.alloc(48)) } },
      /tiny deletes at 24/,
    ],
    [{ header: { opcode: 0xf0, extentId: 0, extentOffset: 0, crc: 1 } }, /checksum/],
    [{ body: Buffer.alloc(25) }, /25 bytes of tiny deletes/],
    [{ header: { opcode: 0xf0, partitionId: 8, extentOffset: 0 } }, /another answer/],
  ];
  for (const [change, why] of bad) {
    peer.answer = (_asked, _socket, ordinaryPieces) => [{ ...ordinaryPieces()[0]!, ...change }];
    await t.rejects(replica.syncTinyDeletes(peer.address, 48), why);
  }
  t.equal(replica.deletes.upToDateWith, '');
  t.notOk(opcodes(asked).includes(INTERNAL_OP.finishDeletes));
  for (const bytes of [-24, 25, 2 ** 40])
    await t.rejects(replica.syncTinyDeletes(peer.address, bytes), /announces/);
  peer.answer = () => undefined;
  await replica.syncTinyDeletes(peer.address, 0);
  t.equal(replica.deletes.upToDateWith, peer.address, 'nothing to bring is up to date');
});
