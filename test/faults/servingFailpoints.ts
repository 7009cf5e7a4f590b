/**
 * Failpoints of a node that serves: entries of the batch, and work of the I/O threads. A part of the table of `failpoints.ts`.
 */
import { all, type Failpoint, OWN, of, one } from './failpointRows.js';

/** Entries of the batch. */
export const BATCH: readonly Failpoint[] = [
  one(
    'batch.pwrite:extent',
    'data of an append, or of a block that is healed',
    'unavailable',
    'the append and those behind it in the batch fail, the size is what was written; a block that was being healed is damaged until it is healed again',
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
    'new checksums after their data, or computed later; that of a block before it is healed',
    'unavailable',
    'the slots count as wrong until they are compared; the write stands',
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
    'batch.pwrite:EXTENT_CLEAN (zeros)',
    'an extent is not clean any more, before its data changes',
    'unavailable',
    'the writes that wait for it fail, the extent is as it was',
  ),
  one(
    'batch.pwrite:EXTENT_CLEAN (entries)',
    'an extent is clean, damaged or broken, or a block is being healed',
    'unavailable',
    'it is compared, or healed, again later',
  ),
  one(
    'batch.pread:EXTENT_CRC',
    'checksum of a whole block that is read',
    'nothing',
    'both are read again, on an I/O thread',
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
export const SUBMITTED: readonly Failpoint[] = [
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
    'which checksums an opened extent has; checksum of a whole block; the checksum job',
    'unavailable',
    'the operations that wait for the extent fail; the file of a new one is removed',
  ),
  one(
    'submitPread:extent',
    'read that the page cache did not have; the checksum job; a block before it is healed',
    'unavailable',
    'the read, or the heal, fails; the job looks at the extent again later',
  ),
  one('submitPread:tiny', 'repair read of a tiny extent', 'unavailable', 'the packet fails'),
  one('submitPread:TINYEXTENT_DELETE', 'records for a peer', 'unavailable', 'the packet fails'),
  one(
    'submitFdatasync:extent',
    'sync write; before a file is closed to make room; before an extent is clean',
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
    'submitFdatasync:EXTENT_CRC',
    'checksums are durable before their extent is clean',
    'unavailable',
    'no extent of this partition becomes clean any more in this life',
  ),
  one(
    'submitFdatasync:EXTENT_CLEAN',
    'as the entries: gone before data changes, or there',
    'unavailable',
    'the writes that wait fail; an entry that was not synced may be missing',
  ),
  ...all(
    ['submitOpen:EXTENT_CLEAN', 'submitPwrite:EXTENT_CLEAN', 'submitPwrite:EXTENT_META'],
    'EXTENT_CLEAN of a folder that has none that counts',
    'unavailable',
    'no extent is clean; begun again later',
  ),
  one(
    'submitFstat:extent',
    'size and time of an extent that is clean',
    'unavailable',
    'it is compared again later',
  ),
  ...['APPLY', 'RAFT_MISSING'].flatMap((file) => [
    ...all(
      ['submitOpen', 'submitPwrite', 'submitFdatasync', 'submitRename'].map(
        (call) => `${call}:temporary ${file}`,
      ),
      'the applied index, and what is missing, every 10 s',
      'unavailable',
      'the old file stands, and is right; tried again 10 s later',
    ),
    one(`submitClose:temporary ${file}`, 'the same', 'nothing', 'the kernel has closed it'),
  ]),
  ...all(
    ['submitOpen', 'submitPwrite', 'submitFdatasync'].map((call) => `${call}:RAFT_MISSING`),
    'a committed write to what is not here',
    'unavailable',
    'the entry and all behind it wait; tried again each second, unless the disk is out of service',
  ),
  one('submitClose:RAFT_MISSING', 'the same', 'nothing', 'the kernel has closed it'),
  one('submitPwrite:.extentd.scrub', 'how far the scrub has come', 'nothing', 'a restart reads more again'),
  ...all(
    ['submitPwrite:tiny'],
    'zeros over a tiny delete that cannot be punched',
    'unavailable',
    'as for the punch',
    ['submitPunch:tiny'],
    'EOPNOTSUPP',
  ),
  ...all(
    ['submitPwrite:EXTENT_CRC'],
    'zeros over slots that cannot be punched',
    'nothing',
    'as for the punch',
    ['submitPunch:tiny'],
    'EOPNOTSUPP',
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
    'submitTruncate:tiny',
    'a hole that repair copies',
    'unavailable',
    'the hole is not made; the next round asks for it again',
  ),
  one(
    'submitPunch:tiny',
    'tiny delete; a hole that repair copies',
    'unavailable',
    'the delete fails, its record stays, which does no harm; or the hole is not made',
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
