/**
 * Every call of the storage code on its disk, by name (`failpointDisk.ts`): what it is for, and what the node does when it fails.
 *
 * `docs/failpoints.md` is this table. A run passes all of them and no others, and holds the second column: `unavailable`, the disk is out of service until
 * a restart when the errno is EIO; `told`, the one who asked is answered with an error, or the log says so; `nothing`, nobody needs to know.
 */

import { AUXILIARY, all, type Failpoint, OWN, of, one } from './failpointRows.js';
import { BATCH, SUBMITTED } from './servingFailpoints.js';

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
    ['load.scan:partition', ...of('load.lstat', ['extent', 'tiny', ...AUXILIARY])],
    'extents, own files, their lengths',
    'told',
    REFUSED,
  ),
  ...all(of('load.open', ['META', ...AUXILIARY]), 'what the partition is; its own files', 'told', REFUSED),
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
    ['load.open:RAFT_MISSING', 'load.read:RAFT_MISSING'],
    'what raft has committed and is not here',
    'told',
    'the group is not served, with the reason; its partition is',
  ),
  one('load.close:RAFT_MISSING', 'after reading', 'nothing', 'the kernel has closed it'),
  ...all(
    ['load.open:EXTENT_CLEAN', 'load.read:EXTENT_CLEAN'],
    'which extents are clean, damaged or broken',
    'nothing',
    'none is known to be: all are compared again',
  ),
  ...all(
    ['load.open:.extentd.scrub', 'load.read:.extentd.scrub'],
    'how far the scrub has come',
    'nothing',
    'the next pass begins at the first extent',
  ),
  ...all(
    ['load.open:extent', 'load.seekHole:extent', 'load.close:extent'],
    'where an extent has a hole',
    'nothing',
    'a hole is not told',
  ),
  ...all(
    ['open', 'unlink', 'write', 'fdatasync', 'seekHole', 'close'].map((call) => `load.${call}:.holeTrial`),
    'whether zeros that are written stay data',
    'nothing',
    'no hole is told',
  ),
  ...all(
    of('load.close', ['META', 'APPLY', 'tiny', ...AUXILIARY]),
    'after reading or completing',
    'nothing',
    'the kernel has closed it',
  ),
  ...all(
    of('load.lstat', ['META', 'APPLY', 'EXTENT_CLEAN', 'RAFT_MISSING']),
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
  ...all(of('create.open', ['tiny', ...AUXILIARY]), 'the files of a store', 'told', CREATION),
  ...all(
    ['create.open:EXTENT_CLEAN', 'create.read:EXTENT_CLEAN'],
    'the stamp of a creation that failed; the file is made',
    'nothing',
    'a stamp is the time, which has gone on; where the file cannot be made the creation is refused',
  ),
  ...all(
    ['write', 'fdatasync', 'close'].map((call) => `create.${call}:EXTENT_CLEAN`),
    'every extent will be our own',
    'told',
    CREATION,
  ),
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
      ...of('create.lstat', ['tiny', ...AUXILIARY]),
    ],
    'the new folder is loaded',
    'told',
    CREATION,
  ),
  one('create.open:APPLY', 'the new folder is loaded', 'told', 'a warning; the index counts as 0'),
  ...all(
    of('create.close', ['temporary META', 'META', 'tiny', ...AUXILIARY]),
    'after writing or reading',
    'nothing',
    'the kernel has closed it',
  ),
  ...all(
    of('create.lstat', ['META', 'EXTENT_CLEAN']),
    'listed with the others',
    'nothing',
    'its length is not used',
  ),
];

const HELD_UP =
  'the entry and all behind it wait; tried again each second, unless the disk is out of service';

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
  ...['APPLY', 'RAFT_MISSING'].flatMap((file) => [
    ...all(
      ['open', 'truncate', 'write', 'fdatasync', 'rename'].map((call) => `stop.${call}:temporary ${file}`),
      'the applied index, and what is missing',
      'unavailable',
      `${UNCLEAN}; the old file stands, and is right`,
    ),
    one(`stop.close:temporary ${file}`, 'after writing', 'nothing', 'the kernel has closed it'),
    ...all(
      [`stop.unlink:temporary ${file}`],
      'a file that could not be saved',
      'nothing',
      'it stays, and no loader looks at it',
      [`stop.write:temporary ${file}`],
    ),
  ]),
  ...all(
    of('stop.fdatasync', ['extent', 'tiny', ...OWN]),
    'what is dirty becomes durable',
    'unavailable',
    UNCLEAN,
  ),
  ...all(
    ['stop.scan:partition', 'stop.open:EXTENT_CLEAN', 'stop.write:EXTENT_CLEAN'],
    'extents are clean at the next start',
    'unavailable',
    'a warning; what has no entry is compared again',
  ),
  ...all(
    of('stop.lstat', ['extent', 'tiny', 'META', 'APPLY', 'RAFT_MISSING', ...OWN]),
    'size and time of extents that are clean',
    'nothing',
    'an extent that cannot be looked at has no entry',
  ),
  ...all(['stop.lstat:temporary META'], 'listed with the others', 'nothing', 'its length is not used', [
    'create.write:temporary META',
    'create.unlink:temporary META',
  ]),
  ...all(['stop.lstat:temporary APPLY'], 'listed with the others', 'nothing', 'its length is not used', [
    'submitPwrite:temporary APPLY',
  ]),
  ...all(
    ['stop.lstat:temporary RAFT_MISSING'],
    'listed with the others',
    'nothing',
    'its length is not used',
    ['submitPwrite:temporary RAFT_MISSING'],
    'ENOSPC',
  ),
  ...all(
    ['stop.write:.extentd.scrub', 'stop.close:.extentd.scrub'],
    'how far the scrub has come',
    'nothing',
    'a restart reads more again',
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

/** Calls of a member change, and synchronous ones of a node that serves. */
const APPLY: readonly Failpoint[] = [
  ...all(
    ['open', 'truncate', 'write', 'fdatasync', 'rename'].map((call) => `apply.${call}:temporary META`),
    'a committed member change',
    'unavailable',
    HELD_UP,
  ),
  one('apply.fsyncFolder:partition', 'the same', 'unavailable', HELD_UP),
  one('apply.close:temporary META', 'after writing', 'nothing', 'the kernel has closed it'),
  ...all(
    ['apply.unlink:temporary META'],
    'a META that could not be saved',
    'nothing',
    'it stays, and no loader looks at it',
    ['apply.write:temporary META'],
  ),
  ...all(
    ['apply.truncate:tiny'],
    'what a tiny append that was cut short has left goes',
    'unavailable',
    'it stays; the next append overwrites it',
    ['batch.pwrite:tiny'],
    'short',
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
