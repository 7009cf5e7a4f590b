/** A whole disk worker on a real folder: what it answers, refuses and skips, and how it ends. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { EVENT, RESULT_SKIPPED } from '../../src/partition/messages.js';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { AGE_MS_MAX, EXTENT, newRoot, type Request, runWorker } from './workerRig.js';

const body = Buffer.alloc(3000, 'abcdefg');
const create: Request = { opcode: OP.createExtent, connection: 0 };
const write = (connection: number, extentOffset = 0): Request => {
  return { opcode: OP.write, connection, extentId: 1025, extentOffset, body };
};

/** A folder with a partition and its extent 1025, left by a worker before. */
function rootWithExtent(test: { teardown(handler: () => void): void }): string {
  const root = newRoot(test);
  runWorker([create], { root, writes: 'always' });
  return root;
}

for (const writes of ['always', 'never'] as const) {
  t.test(`a worker loads, creates, serves, syncs and ends (inline writes: ${writes})`, async (t) => {
    const root = newRoot(t);
    const sync: Request = { ...write(0, 3000), opcode: OP.syncWrite };
    const read: Request = { opcode: OP.streamRead, connection: 2, extentId: 1025, size: 6000 };
    const first = runWorker([create], { root, writes });
    t.match(first.replies.get(0), { resultCode: RESULT.ok, extentId: 1025 });
    t.same(
      first.events.map(({ kind }) => kind),
      [EVENT.loaded, EVENT.attached, EVENT.answer, EVENT.stopped],
    );
    t.same(first.events.at(-1)?.value, { clean: true });
    const { space } = first;
    t.ok(space.totalBytes(0) >= space.availableBytes(0) && Number.isFinite(space.availableBytes(0)));
    t.equal(space.usedBytes(0), space.totalBytes(0) - space.availableBytes(0));
    const second = runWorker([write(0), sync, create], { root, writes });
    t.same(
      [0, 1, 2].map((tag) => second.replies.get(tag)?.resultCode),
      [RESULT.ok, RESULT.ok, RESULT.ok],
    );
    t.equal(second.replies.get(2)?.extentId, 1026);
    t.same(readFileSync(join(root, EXTENT)), Buffer.concat([body, body]));
    const third = runWorker([read], { root, writes });
    t.equal(third.replies.get(0)?.text, Buffer.concat([body, body]).toString());
  });
}

t.test('a request that waited too long is refused, and what stands behind it skipped', async (t) => {
  const late = { ...write(1), ageMs: AGE_MS_MAX + 1_000 };
  const root = rootWithExtent(t);
  const { replies } = runWorker([late, write(1), write(2)], { root, writes: 'always' });
  t.match(replies.get(0), {
    resultCode: RESULT.intraGroupNetErr,
    text: 'ActionWrite:_request waited too long for its disk',
  });
  t.equal(replies.get(1)?.resultCode, RESULT_SKIPPED);
  t.equal(replies.get(2)?.resultCode, RESULT.ok, 'another connection');
});

t.test('a request of a connection that main has given up is skipped and changes nothing', async (t) => {
  const root = rootWithExtent(t);
  const requests = [write(3), { ...create, connection: 3 }];
  const { replies } = runWorker(requests, { root, writes: 'always', poisoned: [3] });
  t.equal(replies.get(0)?.resultCode, RESULT_SKIPPED);
  t.equal(replies.get(1)?.resultCode, RESULT_SKIPPED);
  t.equal(readFileSync(join(root, EXTENT)).length, 0);
  t.equal(runWorker([create], { root, writes: 'always' }).replies.get(0)?.extentId, 1026);
});

t.test('each wrong request is told to its own connection, and others are served', async (t) => {
  const requests: Request[] = [
    { ...write(1), crc: 1 },
    { ...write(2), partitionId: 8 },
    { opcode: OP.read, connection: 4, extentId: 1025, body },
    write(5),
  ];
  const { replies } = runWorker(requests, { root: rootWithExtent(t), writes: 'always' });
  t.equal(replies.get(0)?.text, 'ActionPreparePkt_packet Crc is incorrect');
  t.match(replies.get(1), { resultCode: RESULT.tryOtherAddr, text: /data partition not exists/ });
  t.equal(replies.get(2)?.text, 'unknown opcode_unknown opcode4');
  t.equal(replies.get(3)?.resultCode, RESULT.ok);
});

t.test('a disk that is not there is a failure of its worker, which still ends when told', async (t) => {
  const root = join(newRoot(t), 'nowhere');
  const { events, space } = runWorker([], { root, writes: 'always' });
  t.equal(space.availableBytes(0), 0, 'a disk without numbers has no space');
  t.match(events[0], { kind: EVENT.failed, value: { reason: /no such file or directory/ } });
  t.equal(events.at(-1)?.kind, EVENT.stopped);
});
