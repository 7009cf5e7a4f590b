/** A load task (0x62) through a whole node: the embedded master sends it, the node posts a full partition's files back. */
import { utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { restart, startStandalone } from '../support/nodeProcess.js';
import { PacketClient } from '../support/packetClient.js';
import { create, pattern, write } from '../support/requests.js';

/** Extents at which a partition turns read-only (`storage.md` 1). */
const EXTENTS = 20_000;
const FIRST = 1025;

interface Loaded {
  PartitionId: number;
  Used: number;
  PartitionSnapshot: { Name: string; Crc: number; Size: number; Modified: number }[];
  Status: number;
  PartitionStatus: number;
}

async function load(masterUrl: string, id: number): Promise<{ code: number; data: (Loaded | null)[] }> {
  const response = await fetch(`${masterUrl}/dataPartition/load?id=${id}`);
  return (await response.json()) as { code: number; data: (Loaded | null)[] };
}

t.test('a fresh partition answers with its tiny extents, and leaves out what was just written', async (t) => {
  const node = await startStandalone(t, { partitions: 2 });
  const client = new PacketClient(node.port);
  t.teardown(() => client.end());
  const { extentId } = await client.ask(create(2));
  await client.ask(write(2, extentId, 0, pattern(extentId, 0, 1000)));
  const { data } = await load(node.masterUrl, 2);
  t.equal(data.length, 1);
  t.match(data[0], { PartitionId: 2, Status: 1, PartitionStatus: 2 });
  t.same(
    data[0]?.PartitionSnapshot,
    Array.from({ length: 64 }, (_, i) => ({ Name: String(i + 1), Crc: 0, Size: 0, Modified: 0 })),
  );
  t.match(await load(node.masterUrl, 3), { code: 9 });
});

t.test(`the list of ${EXTENTS} extents comes whole, while the node serves`, async (t) => {
  const stopped = await startStandalone(t, { partitions: 2 });
  await stopped.process.terminate();
  const partition = join(stopped.folder, 'disk1', 'datapartition_1_128849018880');
  const modified = Math.floor(Date.now() / 1000) - 61;
  for (let id = FIRST; id < FIRST + EXTENTS; id += 1) {
    const path = join(partition, String(id));
    writeFileSync(path, 'x'.repeat(1 + (id % 7)));
    utimesSync(path, modified, modified);
  }
  const node = await restart(t, stopped, { partitions: 2 });
  const client = new PacketClient(node.port);
  t.teardown(() => client.end());
  const { extentId } = await client.ask(create(2));
  let loaded = false;
  const loading = Promise.all([1, 1, 1].map(() => load(node.masterUrl, 1))).finally(() => {
    loaded = true;
  });
  let appends = 0;
  for (let offset = 0; !loaded || appends === 0; offset += 1000, appends += 1) {
    const reply = await client.ask(write(2, extentId, offset, pattern(extentId, offset, 1000)));
    if (reply.resultCode !== RESULT.ok) throw new Error(reply.body.toString());
  }
  const wanted = Array.from({ length: EXTENTS }, (_, i) => ({
    Name: String(FIRST + i),
    Crc: 0,
    Size: 1 + ((FIRST + i) % 7),
    Modified: modified,
  }));
  for (const { data } of await loading) {
    t.match(data[0], { PartitionId: 1, Status: 1, PartitionStatus: 1 });
    const files = data[0]?.PartitionSnapshot ?? [];
    const normal = files.slice(0, EXTENTS).sort((a, b) => Number(a.Name) - Number(b.Name));
    t.ok(JSON.stringify(normal) === JSON.stringify(wanted), 'every extent, with its size and time');
    t.equal(files.length, EXTENTS + 64);
  }
});
