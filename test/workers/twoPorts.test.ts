/**
 * A worker with two ports: the network thread's and that of the node's own work. What each may ask, what comes back where, and who is woken.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { UNLIMITED } from '../../src/config/diskLimits.js';
import { INTERNAL_OP, LIST } from '../../src/partition/internalOps.js';
import { readExtentRecords, readPartitionInfo } from '../../src/partition/internalRecords.js';
import { RESULT_SKIPPED } from '../../src/partition/messages.js';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { AGE_MS_MAX, EXTENT, newRoot, type Request, runWorker } from './workerRig.js';

const HOSTS = ['127.0.0.1:17310', '127.0.0.2:17310', '127.0.0.3:17310'];
const body = Buffer.alloc(3000, 'abcdefg');
const create: Request = { opcode: OP.createExtent, connection: 0, extentId: 1025 };
const own = (opcode: number, fields: Partial<Request> = {}): Request => {
  return { opcode, connection: 0, internal: true, ...fields };
};
const piece = (extentOffset = 0): Request => own(OP.write, { extentId: 1025, extentOffset, body });

/** A folder whose partition has three hosts, this one a follower, with extent 1025, left by a worker before. */
function rootWithExtent(test: { teardown(handler: () => void): void }): string {
  const root = newRoot(test);
  runWorker([create], { root, writes: 'always', hosts: HOSTS });
  return root;
}

const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

for (const writes of ['always', 'never'] as const) {
  t.test(`both ports are served, each in its own ring (inline writes: ${writes})`, async (t) => {
    const root = rootWithExtent(t);
    const first = runWorker(
      [
        { opcode: OP.write, connection: 1, extentId: 1025, body },
        piece(3000),
        own(INTERNAL_OP.createExtent, { extentId: 2000 }),
        own(INTERNAL_OP.tinyHole, { extentId: 7, size: 10_000, extentType: 0 }),
        own(INTERNAL_OP.syncExtent, { extentId: 1025 }),
        own(INTERNAL_OP.syncExtent, { extentId: 7 }),
      ],
      { root, writes },
    );
    t.same(
      [...first.replies.values()].map(({ resultCode, text }) => [resultCode, text]),
      Array.from({ length: 6 }, () => [RESULT.ok, '']),
    );
    t.same(readFileSync(join(root, EXTENT)), Buffer.concat([body, body]));
    t.equal(readFileSync(join(root, 'datapartition_7_1073741824/7')).length, 10_000);
    const second = runWorker(
      [
        own(INTERNAL_OP.listExtents, { extentType: LIST.all }),
        own(INTERNAL_OP.describe),
        own(INTERNAL_OP.extentSize, { extentId: 7 }),
        own(INTERNAL_OP.readBlock, { extentId: 1025, size: 8000 }),
      ],
      { root, writes },
    );
    const extents = readExtentRecords(bytesOf(second.replies.get(0)!.text));
    t.equal(extents.length, 66);
    t.match(
      extents.find(({ fileId }) => fileId === 1025),
      { size: 6000 },
    );
    t.match(readPartitionInfo(bytesOf(second.replies.get(1)!.text)), { hosts: 3, extents: 66 });
    t.equal(second.replies.get(2)!.extentOffset, 12_288);
    t.equal(second.replies.get(3)!.text, Buffer.concat([body, body]).toString());
  });
}

t.test('what only the own port may bring is an unknown opcode from the other', async (t) => {
  const root = rootWithExtent(t);
  const requests = Object.values(INTERNAL_OP).map((opcode, i) => ({
    ...{ opcode, connection: i, extentId: 1025, extentType: 1 },
  }));
  const { replies } = runWorker(requests, { root, writes: 'always' });
  for (const [i, { opcode }] of requests.entries()) {
    t.match(replies.get(i), {
      resultCode: RESULT.argMismatchErr,
      text: `unknown opcode_unknown opcode${opcode}`,
    });
  }
});

t.test('failures, poison and age of clients do not touch the own port, nor its failures them', async (t) => {
  const root = rootWithExtent(t);
  const requests: Request[] = [
    // Connection 0 fails, and is what a descriptor without a connection may name.
    { opcode: OP.write, connection: 0, extentId: 999, body },
    { opcode: OP.write, connection: 0, extentId: 1025, body },
    own(INTERNAL_OP.extentSize, { extentId: 1025 }),
    own(OP.write, { extentId: 999, body, connection: 2 }),
    own(OP.write, { extentId: 1025, body, connection: 2, ageMs: 20 * AGE_MS_MAX }),
    { opcode: OP.write, connection: 2, extentId: 1025, extentOffset: 0, body },
    own(INTERNAL_OP.extentSize, { extentId: 1025, connection: 3 }),
    { opcode: OP.write, connection: 3, extentId: 1025, extentOffset: 3000, body },
  ];
  const { replies } = runWorker(requests, { root, writes: 'always', poisoned: [3] });
  t.same(
    requests.map((_, tag) => replies.get(tag)!.resultCode),
    [
      ...[RESULT.notExistErr, RESULT_SKIPPED, RESULT.ok, RESULT.notExistErr],
      // The client's write comes first, for all that it came second: then the piece is not at the end.
      ...[RESULT.argMismatchErr, RESULT.ok, RESULT.ok, RESULT_SKIPPED],
    ],
  );
});

t.test('an old request of the own port is carried out', async (t) => {
  const root = rootWithExtent(t);
  const { replies } = runWorker([{ ...piece(), ageMs: 60 * 60_000 }], { root, writes: 'always' });
  t.equal(replies.get(0)!.resultCode, RESULT.ok);
});

t.test('the own port is never primary, however few hosts there are', async (t) => {
  const root = newRoot(t);
  const requests: Request[] = [
    own(OP.createExtent, { extentId: 3000 }),
    own(OP.write, { extentType: 0, extentId: 9, extentOffset: 0, body, forwarded: true }),
    { opcode: OP.createExtent, connection: 1, extentId: 4000 },
    own(OP.write, { extentId: 999, body, forwarded: true }),
  ];
  const { replies, assigned } = runWorker(requests, { root, writes: 'always' });
  t.match(replies.get(0), { resultCode: RESULT.ok, extentId: 3000 });
  t.match(replies.get(1), { resultCode: RESULT.ok, extentId: 9, extentOffset: 0 });
  t.match(replies.get(2), { resultCode: RESULT.ok, extentId: 1025 }, 'a client’s is, and is taken first');
  t.match(replies.get(3), { text: 'ActionWrite:_extent does not exist', large: false });
  t.equal(assigned.size, 0);
});

t.test('what waits for the limits of background work at a stop is carried out', async (t) => {
  const root = rootWithExtent(t);
  const background = { ...UNLIMITED.background, writesAtOnce: 1, writeBytesPerSecond: 2 ** 20 };
  const requests = [...Array.from({ length: 30 }, (_, i) => piece(i * 3000))];
  const limits = { clients: UNLIMITED.clients, background };
  const { replies } = runWorker(requests, { root, writes: 'always', limits });
  t.ok([...replies.values()].every(({ resultCode }) => resultCode === RESULT.ok));
  t.equal(replies.size, 30);
  t.equal(readFileSync(join(root, EXTENT)).length, 90_000);
});

t.test('a forwarded packet is assigned first, and its error text leaves its slot alone', async (t) => {
  const root = newRoot(t);
  const forwarded = { forwarded: true };
  const requests: Request[] = [
    { opcode: OP.createExtent, connection: 1, ...forwarded },
    { opcode: OP.write, connection: 2, extentType: 0, body, ...forwarded },
    { opcode: OP.write, connection: 3, extentId: 999, body, ...forwarded },
    { opcode: OP.write, connection: 3, extentId: 1025, body, ...forwarded },
    { opcode: OP.write, connection: 4, extentId: 999, body },
    { opcode: OP.write, connection: 5, extentType: 0, body },
  ];
  const { replies, assigned } = runWorker(requests, { root, writes: 'always' });
  t.match(assigned.get(0), { extentId: 1025, loan: 0 });
  t.match(assigned.get(1), { extentId: 1, extentOffset: 0, loan: 1, body: body.toString() });
  t.same([...assigned.keys()].sort(), [0, 1], 'nothing is assigned to the others');
  t.match(replies.get(0), { resultCode: RESULT.ok, extentId: 1025 });
  t.match(replies.get(1), { resultCode: RESULT.ok, extentId: 1 });
  const failed = replies.get(2)!;
  t.match(failed, {
    resultCode: RESULT.notExistErr,
    text: 'ActionWrite:_extent does not exist',
    large: true,
  });
  t.equal(failed.slot, body.toString().slice(0, failed.text.length), 'sockets may be sending it');
  t.equal(replies.get(3)!.resultCode, RESULT_SKIPPED);
  t.match(replies.get(4), { text: 'ActionWrite:_extent does not exist', large: false });
  t.match(replies.get(5), { resultCode: RESULT.ok, extentId: 2 }, 'extent 1 is lent');
});
