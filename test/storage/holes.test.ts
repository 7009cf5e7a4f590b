/** Holes in extents at a start: found and named, and nothing is made worse; on the simulated disk and on a real one. */
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { HoleSearch } from '../../src/storage/holes.js';
import { NativeRig, temporaryFolder } from '../partition/nativeRig.js';
import { ROOT, run, SimRig } from '../partition/simRig.js';
import { pattern } from '../partition/storeRig.js';
import { SimDisk, type SimDiskOptions } from '../sim/simDisk.js';
import type { SimFolder } from '../sim/simFolder.js';

const FOLDER = `${ROOT}/datapartition_7_1073741824`;
const IDS = [1025, 1026, 1027, 1028];
const WARNING = `${FOLDER}: 3 extents have a hole, which reads as zeros: 1026 at 143360 of 300000, 1027 at 200704 of 300000, 1028 at 4096 of 300000`;
const LONE = ['10.0.0.1:17310'];
const THREE = ['10.0.0.1:17310', '10.0.0.2:17310', '10.0.0.3:17310'];

/** A disk whose file system turns written zeros into holes, as zfs does. */
class ZeroEatingDisk extends SimDisk {
  override write(fd: number, from: Uint8Array, fileOffset: number): number {
    if (from.some((byte) => byte !== 0)) return super.write(fd, from, fileOffset);
    return this.truncate(fd, fileOffset + from.byteLength) < 0 ? -5 : from.byteLength;
  }

  protected override successor(options: SimDiskOptions, root: SimFolder): SimDisk {
    return new ZeroEatingDisk(options, root);
  }
}

/**
 * A partition with extents of 300,000 bytes: 1025 whole, 1026 with the page at 143,360 missing, 1027 with nothing behind 200,000, 1028 with a hole in its first
 * block; and a tiny extent with a hole. Found by the next process.
 */
function holed(hosts: string[], makeDisk?: (options: SimDiskOptions) => SimDisk): SimRig {
  const rig = SimRig.start({}, 1, makeDisk);
  rig.create(ROOT, { hosts });
  for (let id = 1025; id <= 1028; id += 1) {
    const sent = rig.sendCreate(hosts.length > 1 ? { extentId: id } : {});
    rig.run();
    if (!sent.ok) throw new Error(sent.error);
    change(rig, id, (fd) => {
      rig.sim.write(fd, pattern(300_000, id), 0);
    });
  }
  change(rig, 1026, (fd) => rig.sim.fallocate(fd, true, 143_360, 4096));
  change(rig, 1027, (fd) => {
    rig.sim.truncate(fd, 200_000);
    rig.sim.truncate(fd, 300_000);
  });
  change(rig, 1028, (fd) => rig.sim.fallocate(fd, true, 4096, 8192));
  change(rig, 1, (fd) => {
    rig.sim.write(fd, pattern(4096, 1), 8192);
  });
  return rig;
}

function change(rig: SimRig, id: number, how: (fd: number) => void): void {
  const fd = rig.sim.open(`${FOLDER}/${id}`, 2, 0);
  how(fd);
  rig.sim.fdatasync(fd);
  rig.sim.close(fd);
}

function restarted(rig: SimRig): SimRig {
  rig.run();
  return rig.next(rig.sim.processEnd(3));
}

function sizes(rig: SimRig): number[] {
  const { table } = rig.partitions.get(7)!.store;
  return [...IDS, 1].map((id) => table.sizes[table.find(id)]!);
}

for (const hosts of [LONE, THREE]) {
  t.test(
    `extents with a hole are named; not a byte, size or end of them changes (${hosts.length} hosts)`,
    async (t) => {
      const before = holed(hosts);
      const bytes = IDS.map((id) => before.sim.content(`${FOLDER}/${id}`));
      const rig = restarted(before);
      t.same(rig.complaints, [WARNING]);
      t.same(sizes(rig), [300_000, 300_000, 300_000, 300_000, 12_288]);
      t.equal(rig.partitions.get(7)!.usedBytes, 4 * 300_000 + 4096);
      for (const [index, id] of IDS.entries()) {
        t.ok(Buffer.compare(rig.sim.content(`${FOLDER}/${id}`), bytes[index]!) === 0, `${id} as it was`);
        const read = run(rig, rig.sendRead(id, 250_000, 50_000));
        t.ok(
          read.ok && Buffer.compare(read.body, bytes[index]!.subarray(250_000)) === 0,
          `${id} behind its hole`,
        );
        t.ok(
          run(rig, rig.sendWrite(id, 300_000, pattern(100, 9))).ok,
          'the next append of its client goes on',
        );
      }
      t.equal(rig.sim.node(`${ROOT}/.holeTrial`), undefined, 'nothing stays behind');
    },
  );
}

t.test('where written zeros become holes, holes say nothing', async (t) => {
  const rig = restarted(holed(THREE, (options) => new ZeroEatingDisk(options)));
  t.same(rig.complaints, []);
});

for (const call of ['open', 'pwrite', 'fdatasync'] as const) {
  t.test(`where that cannot be tried, no hole is taken for a loss: ${call}`, async (t) => {
    const rig = holed(THREE);
    rig.run();
    const disk = rig.sim.processEnd(3);
    disk.addFault({ call, path: /holeTrial/, errno: 28, count: 1 });
    t.same(rig.next(disk).complaints, []);
  });
}

t.test('an extent that cannot be looked into is not named', async (t) => {
  const rig = holed(THREE);
  rig.run();
  const disk = rig.sim.processEnd(3);
  disk.addFault({ call: 'seek', path: /1026$/, errno: 22, count: 1 });
  t.match(rig.next(disk).complaints, [/: 2 extents have a hole, .*: 1027 at 200704 of 300000, 1028 at/]);
});

t.test('healthy extents cost no call', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT);
  for (let id = 1025; id < 1035; id += 1) {
    rig.sendCreate();
    rig.run();
    rig.sendWrite(id, 0, pattern(5000, id));
    rig.run();
  }
  const next = rig.bare(rig.sim.processEnd(3));
  let seeks = 0;
  next.sim.seekHole = () => {
    seeks += 1;
    return -5;
  };
  next.load(ROOT);
  t.equal(seeks, 0);
});

t.test('a thousand looks in vain end the looking', async (t) => {
  let looks = 0;
  const disk = {
    open: () => 3,
    close: () => 0,
    seekHole: () => {
      looks += 1;
      return 300_000;
    },
  } as unknown as SimDisk;
  const search = new HoleSearch(disk, '/d');
  const ends = Array.from({ length: 5000 }, () => search.firstHole('/d/x', 300_000, 8));
  t.ok(ends.every((end) => end === 300_000));
  t.equal(looks, 1000);
});

t.test(
  'real files: holes are found, data that is not on disk yet is none, and nothing stays behind',
  async (t) => {
    const root = temporaryFolder();
    const rig = NativeRig.start(root);
    t.teardown(() => rig.removeRoot());
    rig.create(root, { hosts: THREE });
    rig.stop();
    const folder = join(root, 'datapartition_7_1073741824');
    const sparse = pattern(300_000, 2);
    // Just written: as after a kill, the file system has not put the bytes on disk.
    writeFileSync(join(folder, '1025'), pattern(300_000, 1));
    const fd = openSync(join(folder, '1026'), 'w');
    writeSync(fd, sparse, 0, 150_000, 0);
    writeSync(fd, sparse, 200_000, 100_000, 200_000);
    closeSync(fd);
    writeFileSync(join(folder, '1027'), pattern(5000, 3));
    truncateSync(join(folder, '1027'), 300_000);
    const next = NativeRig.start(root);
    next.load(root);
    t.match(next.complaints, [
      /: 2 extents have a hole, which reads as zeros: 1026 at 151552 of 300000, 1027 at 8192 of 300000$/,
    ]);
    t.equal(
      Buffer.compare(readFileSync(join(folder, '1026')).subarray(200_000), sparse.subarray(200_000)),
      0,
    );
    t.same(
      readdirSync(root).filter((name) => name.includes('Trial')),
      [],
    );
    next.stop();
  },
);
