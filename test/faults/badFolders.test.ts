/**
 * A disk with one folder that is not as it should be, as a worker starts over it: the log names it and what is wrong, and everything else is served.
 */
import t from 'tap';
import { SLOT_TABLE_BYTES } from '../../src/storage/crcFile.js';
import { ROOT, SimRig } from '../partition/simRig.js';
import { BATCH_CAPACITY, pattern, rigRegions } from '../partition/storeRig.js';
import { wholeImage } from '../sim/crashImages.js';
import { SimClock } from '../sim/simClock.js';
import { SimDisk } from '../sim/simDisk.js';
import { FaultRig } from './faultRig.js';
import { FOLDER } from './firstLife.js';

const BAD = `${ROOT}/${FOLDER(7)}`;
const O_CREATE = 0o102;
const EACCES = 13;
const DENIED = /permission denied/;
/** Without limit. */
const ALWAYS = Number.POSITIVE_INFINITY;

interface BadFolder {
  name: string;
  damage: (disk: SimDisk) => void;
  /** Lines of the log, of which one is said and no other; none: nothing is said. */
  says: RegExp[];
  /** Whether partition 7 is served all the same. */
  served: boolean;
  /** What a client of it is answered, if not success. */
  answer?: RegExp;
}

/** Partitions 7 and 8 with an extent each, stopped. */
const before = ((): SimRig => {
  const rig = SimRig.start();
  for (const partitionId of [7, 8]) {
    rig.create(ROOT, { partitionId });
    const created = rig.sendCreate({ partitionId });
    rig.run();
    rig.sendWrite(created.extentId, 0, pattern(5000, partitionId), { partitionId });
    rig.run();
  }
  if (rig.stop().length > 0) throw new Error('the first life does not stop');
  return rig;
})();
const meta = before.sim.content(`${BAD}/META`);

function file(disk: SimDisk, path: string, bytes = 0): void {
  const fd = disk.open(path, O_CREATE, 0o666);
  disk.truncate(fd, bytes);
  disk.close(fd);
}

function folder(disk: SimDisk, path: string): void {
  disk.unlink(path);
  disk.mkdir(path, 0o755);
}

function denied(disk: SimDisk, call: 'open' | 'scan', path: string): void {
  disk.addFault({ call, path: new RegExp(`^${BAD}${path}$`), errno: EACCES, count: ALWAYS });
}

const refused = (reason: string): RegExp => new RegExp(`^${BAD}: .*${reason}`);
const said = (line: string): RegExp => new RegExp(`^${BAD}${line}`);

const BAD_FOLDERS: readonly BadFolder[] = [
  { name: 'nothing is wrong', damage: () => undefined, says: [], served: true },
  {
    name: 'META is missing',
    damage: (disk) => disk.unlink(`${BAD}/META`),
    says: [refused('META: no such file')],
    served: false,
  },
  {
    name: 'META is a folder',
    damage: (disk) => folder(disk, `${BAD}/META`),
    says: [refused('META: is a directory')],
    served: false,
  },
  {
    name: 'META may not be read',
    damage: (disk) => denied(disk, 'open', '/META'),
    says: [refused(`META: permission denied`)],
    served: false,
  },
  ...[0, 1, 50, meta.length - 2, meta.length - 1].map((bytes) => ({
    name: `META has ${bytes === 0 ? 'zero' : `the first ${bytes}`} bytes`,
    damage: (disk: SimDisk) => file(disk, `${BAD}/META`, bytes),
    says: [refused('')],
    served: false,
  })),
  {
    name: 'META is of another partition',
    damage: (disk) =>
      disk.write(disk.open(`${BAD}/META`, 2, 0), before.sim.content(`${ROOT}/${FOLDER(8)}/META`), 0),
    says: [refused('names partition 8')],
    served: false,
  },
  {
    name: 'the folder may not be listed',
    damage: (disk) => denied(disk, 'scan', ''),
    says: [refused(`readdir ${BAD}: permission denied`)],
    served: false,
  },
  ...['EXTENT_META', 'EXTENT_CRC', 'NORMALEXTENT_DELETE', 'TINYEXTENT_DELETE'].map((name) => ({
    name: `${name} may not be opened`,
    damage: (disk: SimDisk) => denied(disk, 'open', `/${name}`),
    says: [refused(`${name}: permission denied`)],
    served: false,
  })),
  {
    name: 'an extent may not be opened',
    damage: (disk) => denied(disk, 'open', '/1025'),
    says: [],
    served: true,
  },
  {
    name: 'no file may be made in the folder',
    damage: (disk) => denied(disk, 'open', '/1026'),
    says: [],
    served: true,
    answer: DENIED,
  },
  {
    name: 'EXTENT_META has zero bytes',
    damage: (disk) => file(disk, `${BAD}/EXTENT_META`, 0),
    says: [said(' was incomplete: made EXTENT_META$')],
    served: true,
  },
  {
    name: 'EXTENT_CRC has zero bytes',
    damage: (disk) => file(disk, `${BAD}/EXTENT_CRC`, 0),
    says: [],
    served: true,
  },
  {
    name: 'delete lists are torn in the middle of a record',
    damage: (disk) => {
      file(disk, `${BAD}/NORMALEXTENT_DELETE`, 13);
      file(disk, `${BAD}/TINYEXTENT_DELETE`, 31);
    },
    says: [],
    served: true,
  },
  {
    name: 'APPLY has zero bytes',
    damage: (disk) => file(disk, `${BAD}/APPLY`, 0),
    says: [said(': .*ApplyIndex is empty')],
    served: true,
  },
  {
    name: 'files are missing',
    damage: (disk) => {
      for (const name of ['3', '64', 'EXTENT_CRC', 'TINYEXTENT_DELETE']) disk.unlink(`${BAD}/${name}`);
    },
    says: [said(' was incomplete: made EXTENT_CRC, TINYEXTENT_DELETE, 3, 64$')],
    served: true,
  },
  {
    name: 'no tiny extent is there',
    damage: (disk) => {
      for (let id = 1; id <= 64; id += 1) disk.unlink(`${BAD}/${id}`);
    },
    says: [said(' was incomplete: made 1, 2, 3, 4, 5, 6, 7, 8 and 56 more$')],
    served: true,
  },
  {
    name: 'foreign files and folders lie in it',
    damage: (disk) => {
      for (const name of ['notes.txt', 'META.bak', '-5', '1e3']) file(disk, `${BAD}/${name}`, 10);
      disk.mkdir(`${BAD}/lost`, 0o755);
      // What belongs there, or is left by a save that was cut short.
      for (const name of ['.meta', '.apply.3']) file(disk, `${BAD}/${name}`, 10);
      disk.mkdir(`${BAD}/wal_7`, 0o755);
    },
    says: [said(' holds foreign entries, which are left alone: .*notes.txt')],
    served: true,
  },
  {
    name: 'names are nearly those of extents',
    damage: (disk) => {
      for (const name of ['0099', '99999999999999999999']) file(disk, `${BAD}/${name}`, 10);
      disk.mkdir(`${BAD}/1500`, 0o755);
    },
    says: ['/0099', '/99999999999999999999', '/1500'].map((name) => said(`${name} is named like an extent`)),
    served: true,
  },
  {
    name: 'zero-length extents',
    damage: (disk) => {
      file(disk, `${BAD}/1025`, 0);
      file(disk, `${BAD}/3000`, 0);
    },
    says: [],
    served: true,
  },
  {
    name: 'an EXTENT_CRC that is longer than all ids',
    damage: (disk) => file(disk, `${BAD}/EXTENT_CRC`, 1 + 5000 * SLOT_TABLE_BYTES),
    says: [],
    served: true,
  },
  {
    name: 'names beside the partitions',
    damage: (disk) => {
      for (const name of [
        'datapartition_7',
        'datapartition_7_99999999999999999999',
        'notes.txt',
        '.diskStatus',
      ])
        file(disk, `${ROOT}/${name}`);
      for (const name of ['lost+found', 'datapartition_9_5.bak', `expired_${FOLDER(9)}`])
        disk.mkdir(`${ROOT}/${name}`, 0o755);
    },
    says: ['7', '7_99999999999999999999', '9_5.bak'].map(
      (name) => new RegExp(`^${ROOT}/datapartition_${name} is no partition folder`),
    ),
    served: true,
  },
  {
    name: 'a file named like a partition, and an empty folder',
    damage: (disk) => {
      file(disk, `${ROOT}/datapartition_9_5`);
      disk.mkdir(`${ROOT}/datapartition_10_5`, 0o755);
    },
    says: [/^\/d\/datapartition_9_5: /, /^\/d\/datapartition_10_5: .*META: no such file/],
    served: true,
  },
];

/** A worker that starts over the disk with this damage. */
function start(damage: (disk: SimDisk) => void): FaultRig {
  const regions = rigRegions();
  const options = { regions, seed: 1, batchCapacity: BATCH_CAPACITY };
  const sim = new SimDisk(options, wholeImage(before.sim.rootFolder));
  damage(sim);
  return FaultRig.on(sim, {
    ...{ root: ROOT, regions, threaded: false, clock: new SimClock() },
    step: () => sim.step(),
    onSyncFailed: () => undefined,
  });
}

/** What a client that creates, writes and reads an extent is answered. */
function use(rig: FaultRig, partitionId: number): { error: string; extentId: number } {
  const created = rig.sendCreate({ partitionId });
  rig.run();
  const written = rig.sendWrite(created.extentId, 0, pattern(100, 1), { partitionId });
  rig.run();
  const read = rig.sendRead(created.extentId, 0, 100, { partitionId });
  rig.run();
  return { error: created.error || written.error || read.error, extentId: created.extentId };
}

for (const { name, damage, says, served, answer } of BAD_FOLDERS) {
  t.test(`a bad folder is named, and the rest is served: ${name}`, async (t) => {
    const rig = start(damage);
    t.equal(rig.start(), null);
    rig.run();
    const lines = [...rig.told, ...rig.complaints];
    t.equal(lines.length, says.length, lines.join('\n'));
    for (const line of says) t.match(lines.join('\n'), new RegExp(line.source, 'm'));
    t.equal(use(rig, 8).error, '');
    t.equal(rig.partitions.has(7), served);
    if (served) {
      const { error, extentId } = use(rig, 7);
      t.match(error, answer ?? /^$/);
      t.ok(answer !== undefined || extentId > 1025, 'an id that was not used');
    }
    t.same(rig.diskErrors, [], 'a bad folder is no failing disk');
  });
}

t.test('an extent that may not be opened fails its operations and no others', async (t) => {
  const rig = start((disk) => denied(disk, 'open', '/1025'));
  t.equal(rig.start(), null);
  const read = rig.sendRead(1025, 0, 100);
  const written = rig.sendSyncWrite(1025, 5000, pattern(10, 1));
  const tiny = rig.sendTinyWrite(pattern(10, 2));
  rig.run();
  t.match([read.error, written.error], [DENIED, DENIED]);
  t.equal(tiny.error, '');
  t.equal(rig.health.status, 2);
});
