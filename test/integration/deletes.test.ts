/** A real node deletes files of both kinds, from the socket to the disk, and remembers it after a restart. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { encodeClientMarkDelete } from '../../src/protocol/tinyDelete.js';
import { restart, startStandalone } from '../support/nodeProcess.js';
import { type Ask, PacketClient } from '../support/packetClient.js';
import { create, pattern, read, replyBytes, write } from '../support/requests.js';

const KiB = 1024;

/** OpMarkDelete of a normal extent. */
function normalDelete(extentId: number): Ask {
  return { opcode: OP.markDelete, extentType: 1, partitionId: 1, extentId };
}

/** OpMarkDelete of a range of a tiny extent, as a meta node sends it. */
function tinyDelete(extentId: number, extentOffset: number, size: number): Ask {
  const key = { fileOffset: 0, partitionId: 1, extentId, extentOffset, size, crc: 0 };
  return {
    opcode: OP.markDelete,
    extentType: 0,
    partitionId: 1,
    extentId,
    body: encodeClientMarkDelete(key),
  };
}

/** The one partition's folder below a node's folder. */
function partitionFolder(root: string): string {
  const name = readdirSync(root, { recursive: true }).find((path) =>
    /datapartition_1_\d+$/.test(String(path)),
  );
  if (name === undefined) throw new Error(`no partition under ${root}`);
  return join(root, String(name));
}

t.test('deletes reach the disk and survive a restart', async (t) => {
  const options = { disks: 1, partitions: 1 };
  const node = await startStandalone(t, options);
  const client = new PacketClient(node.port);
  const folder = partitionFolder(node.folder);
  const files: number[] = [];
  for (let i = 0; i < 100; i += 1) {
    const { extentId } = await client.ask(create(1));
    await client.ask(write(1, extentId, 0, pattern(extentId, 0, 64 * KiB)));
    files.push(extentId);
  }
  const small = pattern(1, 0, 50_000);
  const tiny = await client.ask({ ...write(1, 0, 0, small), extentType: 0 });
  t.same([tiny.resultCode, tiny.extentId], [RESULT.ok, 1]);

  await t.test('a normal extent: answered byte for byte, file gone, id recorded', async (t) => {
    const ask = normalDelete(files[0]!);
    for (let round = 0; round < 2; round += 1) {
      const reply = await client.ask(ask);
      const expected = replyBytes({ ...ask, reqId: reply.reqId }, { resultCode: RESULT.ok });
      t.equal(reply.raw.toString('hex'), expected.toString('hex'));
    }
    t.notOk(existsSync(join(folder, String(files[0]))));
    t.equal(readFileSync(join(folder, 'NORMALEXTENT_DELETE')).toString('hex'), '0000000000000401');
  });

  await t.test('a range of a tiny extent: punched, recorded at 24, read as zeros', async (t) => {
    const before = statSync(join(folder, '1')).blocks;
    const reply = await client.ask(tinyDelete(1, 0, 50_000));
    t.same([reply.resultCode, reply.body.length], [RESULT.ok, 0]);
    t.ok(statSync(join(folder, '1')).blocks < before);
    t.equal(statSync(join(folder, '1')).size, 50_000, 'the length stays');
    const record = readFileSync(join(folder, 'TINYEXTENT_DELETE')).subarray(24);
    t.same(
      [0, 8, 16].map((at) => Number(record.readBigUInt64BE(at))),
      [1, 0, 50_000],
    );
    const back = await client.ask(read(1, 1, 0, 50_000));
    t.ok(back.body.every((byte) => byte === 0));
  });

  await t.test('a storm, pipelined, with writes in between', async (t) => {
    const { extentId } = await client.ask(create(1));
    const replies = [];
    for (const [i, id] of files.slice(1).entries()) {
      replies.push(client.ask(normalDelete(id)), client.ask(write(1, extentId, i * 100, pattern(1, 0, 100))));
    }
    t.ok((await Promise.all(replies)).every(({ resultCode }) => resultCode === RESULT.ok));
    t.equal(readFileSync(join(folder, 'NORMALEXTENT_DELETE')).length, 800);
    t.notOk(files.some((id) => existsSync(join(folder, String(id)))));
  });

  await client.end();
  await node.process.terminate();
  const again = await restart(t, node, options);
  const next = new PacketClient(again.port);
  t.teardown(() => next.end());
  t.equal((await next.ask(normalDelete(files[3]!))).resultCode, RESULT.ok, 'success for ever');
  t.ok((await next.ask(create(1))).extentId > files.at(-1)! + 1);
});
