/**
 * Every call of the storage code on its disk, by name (`failpointDisk.ts`): what it is for, and what the node does when it fails.
 *
 * `docs/failpoints.md` is this table. A run passes all of them and no others, and holds the second column: `unavailable`, the disk is out of service until
 * a restart when the errno is EIO; `told`, the one who asked is answered with an error, or the log says so; `nothing`, nobody needs to know.
 */

export type Effect = 'unavailable' | 'told' | 'nothing';

export interface Failpoint {
  name: string;
  /** What the call is for. */
  use: string;
  onEio: Effect;
  /** What the node does when it fails. */
  then: string;
  /** It is passed only when these others fail. */
  behind?: readonly string[];
}

function all(
  names: readonly string[],
  use: string,
  onEio: Effect,
  then: string,
  behind?: readonly string[],
): Failpoint[] {
  return names.map((name) =>
    behind === undefined ? { name, use, onEio, then } : { name, use, onEio, then, behind },
  );
}

function one(name: string, use: string, onEio: Effect, then: string): Failpoint {
  return { name, use, onEio, then };
}

const OWN = ['EXTENT_META', 'EXTENT_CRC', 'NORMALEXTENT_DELETE', 'TINYEXTENT_DELETE'];

function of(call: string, files: readonly string[]): string[] {
  return files.map((file) => `${call}:${file}`);
}

/** Entries of the batch. */
const BATCH: readonly Failpoint[] = [
  one(
    'batch.pwrite:extent',
    'data of an append',
    'unavailable',
    'the append and those behind it in the batch fail; the size is what was written',
  ),
  one(
    'batch.pwrite:tiny',
    'data of a tiny append',
    'unavailable',
    'the append fails; a primary gives it no other place in this extent before a repair round',
  ),
  one(
    'batch.pwrite:EXTENT_CRC (zeros)',
    'old checksums go before their data',
    'unavailable',
    'the data is not written, the append fails',
  ),
  one(
    'batch.pwrite:EXTENT_CRC (checksums)',
    'new checksums after their data',
    'nothing',
    'the slot stays 0: not known',
  ),
  one(
    'batch.pwrite:EXTENT_META',
    'ids reserved ahead',
    'unavailable',
    'creates that wait for an id fail; the next one reserves again',
  ),
  one(
    'batch.pwrite:NORMALEXTENT_DELETE',
    'ids of deleted extents',
    'unavailable',
    'the deletes of the group fail, the extents stay; the next group is written in its place',
  ),
  one(
    'batch.pwrite:TINYEXTENT_DELETE',
    'record of a tiny delete',
    'unavailable',
    'the delete fails, nothing is punched',
  ),
  one(
    'batch.pread:extent',
    'read that may not wait',
    'unavailable',
    'the read fails; one that comes short goes to an I/O thread',
  ),
  one('batch.pread:tiny', 'the same of a tiny extent', 'unavailable', 'as above'),
];

/** Work of the I/O threads. A full queue (EAGAIN) is tried again everywhere. */
const SUBMITTED: readonly Failpoint[] = [
  one(
    'submitOpen:extent',
    'an extent is used',
    'unavailable',
    'the operations that wait for it fail; the next one opens again',
  ),
  one('submitOpen:tiny', 'a tiny extent is used', 'unavailable', 'as above'),
  one('submitCreate:extent', 'the file of a new extent', 'unavailable', 'the create fails, no record stays'),
  one(
    'submitPread:EXTENT_CRC',
    'which checksums an opened extent has',
    'unavailable',
    'the operations that wait for the extent fail; the file of a new one is removed',
  ),
  one('submitPread:extent', 'read that the page cache did not have', 'unavailable', 'the read fails'),
  one('submitPread:tiny', 'repair read of a tiny extent', 'unavailable', 'the packet fails'),
  one('submitPread:TINYEXTENT_DELETE', 'records for a peer', 'unavailable', 'the packet fails'),
  one(
    'submitFdatasync:extent',
    'sync write; before a file is closed to make room',
    'unavailable',
    'those who wait fail; the extent takes no more writes, its unsynced data counts as lost, a stop is not clean',
  ),
  one(
    'submitFdatasync:tiny',
    'the same of a tiny extent',
    'unavailable',
    'as above; a primary gives it no more appends',
  ),
  one(
    'submitFdatasync:EXTENT_META',
    'ids reserved ahead',
    'unavailable',
    'creates that wait for an id fail; the next one reserves again',
  ),
  one(
    'submitFdatasync:NORMALEXTENT_DELETE',
    'ids of deleted extents',
    'unavailable',
    'the deletes of the group fail, the extents stay; the next group is written in its place',
  ),
  one(
    'submitFsyncFolder:partition',
    'entry of a new extent in its folder',
    'unavailable',
    'those who wait fail; the next sync write tries again',
  ),
  one(
    'submitUnlink:extent',
    'delete; a create that failed',
    'unavailable',
    'the delete fails, the extent serves on',
  ),
  one(
    'submitPunch:EXTENT_CRC',
    'slots of a deleted extent',
    'nothing',
    'the slots stay; a create with this id looks at them',
  ),
  one(
    'submitPunch:tiny',
    'tiny delete',
    'unavailable',
    'the delete fails; its record stays, which does no harm',
  ),
  one('submitSeekData:tiny', 'whether a range has data', 'unavailable', 'the delete or the packet fails'),
  one('submitSeekHole:tiny', 'where data ends', 'unavailable', 'the packet fails'),
  one(
    'submitFstat:tiny',
    'length for a stream; blocks left after a punch',
    'nothing',
    'the packet fails, told as an error of the disk; after a punch the used bytes stay as they were',
  ),
  ...all(
    of('submitClose', ['extent', 'tiny']),
    'room for another file',
    'told',
    'a warning: the kernel has closed it all the same',
  ),
  ...all(
    of('submitClose', OWN),
    'a partition is deleted',
    'nothing',
    'the kernel has closed it all the same',
  ),
  one(
    'submitRemoveTree:deletedPartition',
    'files of a deleted partition',
    'told',
    'an error in the log; the next start tries again',
  ),
  one(
    'submitStatfs:root',
    'look at the space of the disk',
    'unavailable',
    'the numbers stay until the next look',
  ),
  one('submitOpen:.diskStatus', 'probe', 'unavailable', 'the probe is over, the next one is made'),
  one('submitPwrite:.diskStatus', 'probe', 'unavailable', 'as above; cut short it is said in the log'),
  one('submitFdatasync:.diskStatus', 'probe', 'unavailable', 'as above'),
  one('submitPread:.diskStatus', 'probe', 'unavailable', 'as above'),
  one('submitClose:.diskStatus', 'probe', 'nothing', 'the kernel has closed it all the same'),
];

const REFUSED = 'the partition is refused by name, the others are served';
const CREATION = 'the creation is refused; sent again it completes the folder';

/** Calls of a start. */
const LOAD: readonly Failpoint[] = [
  ...all(
    ['load.open:.extentd.lock', 'load.lock:.extentd.lock', 'load.statfs:root', 'load.scan:root'],
    'lock, space and partitions of the disk',
    'told',
    'the disk is not served, the others are',
  ),
  ...all(['load.close:.extentd.lock'], 'the lock is not to be had', 'nothing', 'the kernel has closed it', [
    'load.lock:.extentd.lock',
  ]),
  ...all(
    ['load.scan:partition', ...of('load.lstat', ['extent', 'tiny', ...OWN])],
    'extents, own files, their lengths',
    'told',
    REFUSED,
  ),
  ...all(of('load.open', ['META', ...OWN]), 'what the partition is; its own files', 'told', REFUSED),
  ...all(of('load.read', ['META', 'EXTENT_META', 'NORMALEXTENT_DELETE']), 'the same', 'told', REFUSED),
  ...all(
    ['load.open:tiny', 'load.write:EXTENT_META', 'load.fdatasync:EXTENT_META'],
    'an incomplete folder is completed',
    'told',
    REFUSED,
  ),
  ...all(
    ['load.open:APPLY', 'load.read:APPLY'],
    'applied raft index',
    'told',
    'a warning; the index counts as 0',
  ),
  ...all(
    of('load.close', ['META', 'APPLY', 'tiny', ...OWN]),
    'after reading or completing',
    'nothing',
    'the kernel has closed it',
  ),
  ...all(
    of('load.lstat', ['META', 'APPLY']),
    'listed with the others',
    'nothing',
    'their lengths are not used',
  ),
];

/** Calls of OpCreateDataPartition. */
const CREATE: readonly Failpoint[] = [
  ...all(
    ['create.scan:root', 'create.mkdir:partition'],
    'whether there is such a folder; the folder',
    'told',
    CREATION,
  ),
  ...all(of('create.open', ['tiny', ...OWN]), 'the files of a store', 'told', CREATION),
  ...all(
    ['create.read:EXTENT_META', 'create.write:EXTENT_META', 'create.fdatasync:EXTENT_META'],
    'the base id',
    'told',
    CREATION,
  ),
  ...all(
    ['create.fsyncFolder:partition', 'create.fsyncFolder:root'],
    'the entries are durable',
    'told',
    CREATION,
  ),
  ...all(
    ['open', 'truncate', 'write', 'fdatasync', 'rename'].map((call) => `create.${call}:temporary META`),
    'META, last of all',
    'told',
    CREATION,
  ),
  ...all(
    ['create.unlink:temporary META'],
    'a META that could not be saved',
    'nothing',
    'it stays, and no loader looks at it',
    ['create.write:temporary META'],
  ),
  ...all(['create.lstat:temporary META'], 'listed with the others', 'nothing', 'its length is not used', [
    'create.write:temporary META',
    'create.unlink:temporary META',
  ]),
  ...all(
    [
      'create.open:META',
      'create.read:META',
      'create.scan:partition',
      ...of('create.lstat', ['tiny', ...OWN]),
    ],
    'the new folder is loaded',
    'told',
    CREATION,
  ),
  one('create.open:APPLY', 'the new folder is loaded', 'told', 'a warning; the index counts as 0'),
  ...all(
    of('create.close', ['temporary META', 'META', 'tiny', ...OWN]),
    'after writing or reading',
    'nothing',
    'the kernel has closed it',
  ),
  one('create.lstat:META', 'listed with the others', 'nothing', 'its length is not used'),
];

/** Calls of OpDeleteDataPartition. */
const DELETE: readonly Failpoint[] = [
  one(
    'delete.rename:partition',
    'out of sight for every loader',
    'told',
    'the deletion is refused, the partition serves on',
  ),
  one(
    'delete.fsyncFolder:root',
    'the rename is durable',
    'told',
    'the deletion fails, the partition is out of service; sent again the root is fsynced again',
  ),
];

const UNCLEAN = 'the stop goes on and is not clean';

/** Calls of a stop. */
const STOP: readonly Failpoint[] = [
  ...all(
    of('stop.fdatasync', ['extent', 'tiny', ...OWN]),
    'what is dirty becomes durable',
    'unavailable',
    UNCLEAN,
  ),
  one(
    'stop.write:EXTENT_META',
    'the exact base id',
    'unavailable',
    `${UNCLEAN}; the next start burns the ids that were reserved`,
  ),
  one('stop.fsyncFolder:partition', 'entries of new extents', 'unavailable', UNCLEAN),
  ...all(of('stop.close', ['extent', 'tiny', ...OWN]), 'the files of a store', 'unavailable', UNCLEAN),
  one('stop.close:.extentd.lock', 'the disk is given back', 'nothing', 'the kernel has closed it'),
];

/** Calls of a save of APPLY, which nothing makes yet. */
const APPLY: readonly Failpoint[] = [
  ...all(
    ['open', 'truncate', 'write', 'fdatasync', 'rename'].map((call) => `apply.${call}:temporary APPLY`),
    'a save of APPLY',
    'told',
    'the save fails, the old APPLY stands',
  ),
  one(
    'apply.fsyncFolder:partition',
    'a save of APPLY',
    'told',
    'the save fails; the old or the new APPLY stands',
  ),
  one('apply.close:temporary APPLY', 'a save of APPLY', 'nothing', 'the kernel has closed it'),
  ...all(
    ['apply.unlink:temporary APPLY'],
    'an APPLY that could not be saved',
    'nothing',
    'it stays, and no loader looks at it',
    ['apply.write:temporary APPLY'],
  ),
];

export const FAILPOINTS: readonly Failpoint[] = [
  ...BATCH,
  ...SUBMITTED,
  ...LOAD,
  ...CREATE,
  ...DELETE,
  ...STOP,
  ...APPLY,
];
