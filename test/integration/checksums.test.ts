/**
 * Checksums of a real node on a real disk: trusted over a clean stop, silent damage found by a scrub and by a read, and told over HTTP.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readSync, statSync, utimesSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { mainPath, type RunningNode, restart, startStandalone } from '../support/nodeProcess.js';
import { PacketClient } from '../support/packetClient.js';
import { create, pattern, read, write } from '../support/requests.js';
import { untilAnswer } from '../support/until.js';

interface WorkerChecksums {
  scrub: { running: boolean; endedMs: number; extents: number; bytes: number; totalBytes: number };
  extents: { normal: number; trusted: number; clean: number };
  damagedBlocks: number;
  findings: { partitionId: number; extentId: number; kind: string; blocks: number[] }[];
}

async function checksums(node: RunningNode, path = '/checksums'): Promise<WorkerChecksums> {
  const answer = (await (await fetch(`${node.httpUrl}${path}`)).json()) as {
    code: number;
    data: { disks: { path: string; workers: WorkerChecksums[] }[] };
  };
  t.equal(answer.code, 200);
  return answer.data.disks[0]!.workers[0]!;
}

/** One bit of a file changes and nothing tells of it, as on a disk that rots. */
function rot(path: string, at: number): void {
  const { atime, mtimeMs } = statSync(path);
  const fd = openSync(path, 'r+');
  const byte = new Uint8Array(1);
  readSync(fd, byte, 0, 1, at);
  byte[0]! ^= 16;
  writeSync(fd, byte, 0, 1, at);
  closeSync(fd);
  // Half a ms more: the same ms whatever rounding does.
  utimesSync(path, atime, (Math.floor(mtimeMs) + 0.5) / 1000);
}

t.test(
  'silent damage behind a clean stop: found by a scrub, not served, listed, and still known after a restart',
  async (t) => {
    const options = { partitions: 1 };
    const first = await startStandalone(t, options);
    let client = new PacketClient(first.port);
    const { extentId } = await client.ask(create(1));
    for (let block = 0; block < 4; block += 1) {
      await client.ask(
        write(1, extentId, block * BLOCK_BYTES, pattern(extentId, block * BLOCK_BYTES, BLOCK_BYTES)),
      );
    }
    t.match(await checksums(first), { extents: { normal: 1, trusted: 1, clean: 0 }, damagedBlocks: 0 });
    client.socket.destroy();
    await first.process.terminate();
    const folder = (name: string): string => join(first.folder, 'disk1', name);
    const partition = readdirSync(folder('')).find((name) => name.startsWith('datapartition_1_'))!;
    rot(join(folder(partition), String(extentId)), 2 * BLOCK_BYTES + 77);

    const verifyDisk = () => {
      const { status, stdout } = spawnSync(process.execPath, [mainPath, 'verify', folder(''), '--json'], {
        encoding: 'utf8',
      });
      return { status, ...(JSON.parse(stdout) as { damage: { block: number; checksum: string }[] }) };
    };
    t.match(verifyDisk(), { status: 1, damage: [{ block: 2, checksum: 'clean' }] });

    const second = await restart(t, first, options);
    t.match(await checksums(second), { extents: { normal: 1, trusted: 1, clean: 1 }, damagedBlocks: 0 });
    await checksums(second, '/checksums/scrub?disk=0');
    await untilAnswer('the scrub has ended', async () => {
      const { scrub } = await checksums(second);
      return scrub.endedMs > 0 ? scrub : null;
    });
    const found = await checksums(second);
    t.match(found.scrub, { running: false, extents: 1, bytes: 4 * BLOCK_BYTES, totalBytes: 4 * BLOCK_BYTES });
    t.match(found.findings, [{ partitionId: 1, extentId, kind: 'damaged', blocks: [2] }]);
    client = new PacketClient(second.port);
    for (const block of [0, 1, 3]) {
      const reply = await client.ask(
        read(1, extentId, block * BLOCK_BYTES, BLOCK_BYTES, OP.streamFollowerRead),
      );
      t.same(reply.body, pattern(extentId, block * BLOCK_BYTES, BLOCK_BYTES));
    }
    const bad = await client.ask(read(1, extentId, 2 * BLOCK_BYTES, BLOCK_BYTES, OP.streamFollowerRead));
    t.not(bad.resultCode, RESULT.ok);
    t.match(Buffer.from(bad.body).toString(), /block 2 is damaged: its checksum does not fit/);
    t.ok(second.process.logLines.some((line) => line.includes('a block is not what its checksum says')));
    client.socket.destroy();
    await second.process.terminate();
    t.match(verifyDisk(), { status: 1, damage: [{ block: 2, checksum: 'damaged' }] });

    const third = await restart(t, second, options);
    t.match((await checksums(third)).findings, [{ partitionId: 1, extentId, kind: 'damaged' }]);
    await third.process.terminate();
  },
);
