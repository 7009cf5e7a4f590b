/**
 * The constants, variables and fixed texts of the v1.4.0 data node package, each under its Go name, with the value that operators, peers or disks know.
 * `docs/parity.md` names these tests.
 */
import t from 'tap';
import { REFERENCE_DEFAULTS } from '../../src/config/config.js';
import { FILE_KEYS } from '../../src/config/schema.js';
import { RESERVED_BYTES_MAX, RESERVED_BYTES_MIN, RESERVED_SHARE } from '../../src/partition/diskSpace.js';
import {
  BUFFER_WRITE,
  DISK_ERRORS_MAX,
  PARTITION_SIZE_INTERVAL_SECONDS,
  RAFT_DIR_DEFAULT,
  RAFT_LOGS_TO_RETAIN,
  REPAIR_FETCHES_MAX,
  REPLICA_LIST_INTERVAL_SECONDS,
  TINY_EXTENTS_TO_REPAIR,
} from '../../src/protocol/constants.js';
import { ACTION, ERROR_TEXT } from '../../src/protocol/errors.js';
import { actionOf, OP } from '../../src/protocol/opcodes.js';
import { BINARY_MARSHAL_MAGIC_VERSION } from '../../src/protocol/randWrite.js';
import { TINY_DELETE_FULL_SYNC_SECONDS, TINY_DELETE_REPLY_BYTES_MAX } from '../../src/protocol/tinyDelete.js';
import { EMPTY_RESPONSE, TINY_REPAIR_ARG_BYTES } from '../../src/protocol/tinyRepairArg.js';
import { FILE, partitionFolderName, SECTOR_BYTES } from '../../src/storage/layout.js';
import { formatCreateTime } from '../../src/storage/metaFile.js';
import { logFolder } from '../../src/telemetry/log.js';

const GiB = 1024 ** 3;

/** The value is looked up inside its own test, so that a broken home fails that test alone. */
const VALUES: [name: string, found: () => unknown, wanted: unknown][] = [
  ['IntervalToUpdateReplica', () => REPLICA_LIST_INTERVAL_SECONDS, 600],
  ['IntervalToUpdatePartitionSize', () => PARTITION_SIZE_INTERVAL_SECONDS, 60],
  ['NumOfFilesToRecoverInParallel', () => REPAIR_FETCHES_MAX, 17],
  ['ActionNotifyFollowerToRepair', () => ACTION.notifyFollowerToRepair, 'ActionNotifyFollowerRepair'],
  ['ActionStreamRead', () => actionOf(OP.streamRead), 'ActionStreamRead'],
  ['ActionCreateExtent', () => actionOf(OP.createExtent), 'ActionCreateExtent:'],
  ['ActionMarkDelete', () => actionOf(OP.markDelete), 'ActionMarkDelete:'],
  ['ActionGetAllExtentWatermarks', () => actionOf(OP.getAllWatermarks), 'ActionGetAllExtentWatermarks:'],
  ['ActionWrite', () => actionOf(OP.write), 'ActionWrite:'],
  ['ActionRepair', () => actionOf(OP.notifyReplicasToRepair), 'ActionRepair:'],
  [
    'ActionDecommissionPartition',
    () => actionOf(OP.decommissionDataPartition),
    'ActionDecommissionPartition',
  ],
  [
    'ActionAddDataPartitionRaftMember',
    () => actionOf(OP.addDataPartitionRaftMember),
    'ActionAddDataPartitionRaftMember',
  ],
  [
    'ActionRemoveDataPartitionRaftMember',
    () => actionOf(OP.removeDataPartitionRaftMember),
    'ActionRemoveDataPartitionRaftMember',
  ],
  [
    'ActionDataPartitionTryToLeader',
    () => actionOf(OP.dataPartitionTryToLeader),
    'ActionDataPartitionTryToLeader',
  ],
  ['ActionCreateDataPartition', () => actionOf(OP.createDataPartition), 'ActionCreateDataPartition'],
  ['ActionLoadDataPartition', () => actionOf(OP.loadDataPartition), 'ActionLoadDataPartition'],
  ['ActionDeleteDataPartition', () => actionOf(OP.deleteDataPartition), 'ActionDeleteDataPartition'],
  [
    'ActionStreamReadTinyDeleteRecord',
    () => actionOf(OP.readTinyDeleteRecord),
    'ActionStreamReadTinyDeleteRecord',
  ],
  ['ActionSyncTinyDeleteRecord', () => ACTION.syncTinyDeleteRecord, 'ActionSyncTinyDeleteRecord'],
  [
    'ActionStreamReadTinyExtentRepair',
    () => actionOf(OP.tinyExtentRepairRead),
    'ActionStreamReadTinyExtentRepair',
  ],
  // The reference tells them by a flag, extentd by the opcode.
  ['RepairRead', () => OP.extentRepairRead, 0x09],
  ['StreamRead', () => OP.streamRead, 0x05],
  ['EmptyResponse', () => EMPTY_RESPONSE, 'E'.charCodeAt(0)],
  ['TinyExtentRepairReadResponseArgLen', () => TINY_REPAIR_ARG_BYTES, 17],
  ['MaxSyncTinyDeleteBufferSize', () => TINY_DELETE_REPLY_BYTES_MAX, 2_400_000],
  ['MaxFullSyncTinyDeleteTime', () => TINY_DELETE_FULL_SYNC_SECONDS, 86_400],
  ['DataPartitionPrefix', () => partitionFolderName(7, 5), 'datapartition_7_5'],
  ['DataPartitionMetadataFileName', () => FILE.meta, 'META'],
  ['ApplyIndexFile', () => FILE.apply, 'APPLY'],
  ['TimeLayout', () => formatCreateTime(new Date(2019, 10, 3, 9, 5, 7).getTime()), '2019-11-03 09:05:07'],
  ['DefaultRackName', () => REFERENCE_DEFAULTS.rack, 'cfs_rack1'],
  ['DefaultRaftDir', () => RAFT_DIR_DEFAULT, 'raft'],
  ['DefaultRaftLogsToRetain', () => RAFT_LOGS_TO_RETAIN, 10],
  ['DefaultDiskMaxErr', () => DISK_ERRORS_MAX, 1],
  ['DefaultDiskRetainMin', () => RESERVED_BYTES_MIN, 5 * GiB],
  ['DefaultDiskRetainMax', () => RESERVED_BYTES_MAX, 30 * GiB],
  ['BinaryMarshalMagicVersion', () => BINARY_MARSHAL_MAGIC_VERSION, 0xff],
  ['BufferWrite', () => BUFFER_WRITE, false],
  ['DiskSectorSize', () => SECTOR_BYTES, 512],
  ['MinTinyExtentsToRepair', () => TINY_EXTENTS_TO_REPAIR, 10],
  ['ModuleName', () => logFolder('/logs'), '/logs/dataNode'],
  ['RaftNotStarted', () => ERROR_TEXT.raftNotStarted, 'RaftNotStarted key=<nil>'],
  ['ReservedPersent', () => RESERVED_SHARE, 0.02],
  ['ErrIncorrectStoreType', () => ERROR_TEXT.incorrectStoreType, 'Incorrect store type'],
  [
    'ErrNoSpaceToCreatePartition',
    () => ERROR_TEXT.noDiskForPartition,
    'No disk space to create a data partition',
  ],
  ['ErrNewSpaceManagerFailed', () => ERROR_TEXT.newSpaceManagerFailed, 'Creater new space manager failed'],
];

for (const [name, found, wanted] of VALUES) {
  t.test(name, async (t) => {
    t.equal(found(), wanted);
  });
}

const CONFIG_KEYS: [name: string, key: (typeof FILE_KEYS)[number]][] = [
  ['ConfigKeyLocalIP', 'localIP'],
  ['ConfigKeyPort', 'port'],
  ['ConfigKeyMasterAddr', 'masterAddr'],
  ['ConfigKeyRack', 'rack'],
  ['ConfigKeyDisks', 'disks'],
  ['ConfigKeyRaftDir', 'raftDir'],
  ['ConfigKeyRaftHeartbeat', 'raftHeartbeat'],
  ['ConfigKeyRaftReplica', 'raftReplica'],
];

for (const [name, key] of CONFIG_KEYS) {
  t.test(name, async (t) => {
    t.ok(FILE_KEYS.includes(key), `the config file's key ${key} is read`);
  });
}
