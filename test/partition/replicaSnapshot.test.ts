/** What a partition tells the master of its files (`admin.md` 5.6), on a simulated disk. */
import t from 'tap';
import { replicaSnapshot } from '../../src/partition/queries.js';
import { OP } from '../../src/protocol/opcodes.js';
import { ROOT, SimRig } from './simRig.js';
import { pattern } from './storeRig.js';

interface WireFile {
  Name: string;
  Crc: number;
  Size: number;
  Modified: number;
}

function filesOf(rig: SimRig): WireFile[] {
  const [partition] = rig.partitions.values();
  return JSON.parse(
    Buffer.from(replicaSnapshot(partition!.store, rig.clock.nowMs())).toString(),
  ) as WireFile[];
}

t.test('an empty partition tells its 64 tiny extents', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT);
  t.strictSame(
    filesOf(rig),
    Array.from({ length: 64 }, (_, i) => ({ Name: String(i + 1), Crc: 0, Size: 0, Modified: 0 })),
  );
});

t.test('normal extents that are written, alive and quiet, then the tiny ones', async (t) => {
  const rig = SimRig.start();
  const { table } = rig.create(ROOT).store;
  for (let i = 0; i < 5; i += 1) rig.sendCreate();
  rig.run();
  const append = (extentId: number, bytes: number): void => {
    rig.sendWrite(extentId, 0, pattern(bytes, extentId));
    rig.run();
  };
  append(1025, 5000);
  append(1026, 100);
  rig.sendTinyWrite(pattern(5000, 1));
  rig.run();
  const quietSince = Math.floor(rig.clock.nowMs() / 1000);
  rig.simClock.advance(60_000);
  append(1028, 7);
  t.notOk(
    filesOf(rig).some(({ Name }) => Number(Name) > 64),
    'none is quiet for more than 60 s',
  );
  rig.simClock.advance(1_000);
  rig.send({ opcode: OP.markDelete, extentId: 1026 });
  rig.run();
  table.crcs[table.find(1025)] = 0xfedc_ba98;
  const files = filesOf(rig);
  t.strictSame(files[0], { Name: '1025', Crc: 0xfedc_ba98, Size: 5000, Modified: quietSince });
  t.strictSame(files[1], { Name: '1', Crc: 0, Size: 8192, Modified: 0 });
  t.equal(files.length, 65, 'neither the empty, the deleted nor the recent ones');
});

t.test('the size of a tiny extent of 4 GiB does not fit in 32 bits', async (t) => {
  const rig = SimRig.start();
  const { table } = rig.create(ROOT).store;
  table.sizes[table.find(64)] = 2 ** 32;
  const [last]: (WireFile | undefined)[] = filesOf(rig).slice(-1);
  t.strictSame(last, { Name: '64', Crc: 0, Size: 0, Modified: 0 });
});
