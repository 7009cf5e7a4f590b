/** The opcode table against the lists of `wire.md` 4 and the rules made from it. */
import t from 'tap';
import { PacketHeader } from '../../src/protocol/header.js';
import {
  actionOf,
  bodyClassOf,
  isMasterOp,
  isPrimaryPacket,
  isRandomWriteOp,
  isReadOp,
  isSyncOp,
  isWriteOp,
  metricOf,
  nameOf,
  OP,
  OPCODES,
  opcodeRow,
  replyBodyBytes,
  requestBodyBytes,
} from '../../src/protocol/opcodes.js';

const ALL = Array.from({ length: 256 }, (_, opcode) => opcode);

function header(opcode: number, resultCode: number, size: number): PacketHeader {
  return Object.assign(new PacketHeader(), { opcode, resultCode, size });
}

t.test('the groups are those of the specification', async (t) => {
  t.same(ALL.filter(isWriteOp), [0x03, 0x13]);
  t.same(ALL.filter(isRandomWriteOp), [0x0f, 0x12]);
  t.same(ALL.filter(isSyncOp), [0x12, 0x13]);
  t.same(ALL.filter(isReadOp), [0x04, 0x05, 0x06, 0x09, 0x14, 0x15]);
  t.same(ALL.filter(isMasterOp), [0x60, 0x61, 0x62, 0x63, 0x66, 0x67, 0x68, 0x69]);
  t.same(
    ALL.filter((opcode) => isPrimaryPacket(opcode, 1)),
    [0x01, 0x02, 0x03, 0x13],
  );
  t.same(
    ALL.filter((opcode) => isPrimaryPacket(opcode, 0)),
    [],
  );
});

t.test('the table holds each opcode once, under its name in OP', async (t) => {
  const values = OPCODES.map((row) => row.value);
  t.equal(values.length, 29);
  t.same(
    values,
    [...new Set(values)].sort((a, b) => a - b),
  );
  t.same(
    [...Object.values(OP)].sort((a, b) => a - b),
    values,
  );
  for (const [name, value] of Object.entries(OP)) {
    t.equal(nameOf(value).toLowerCase(), `op${name}`.toLowerCase());
    t.equal(opcodeRow(value)?.value, value);
  }
  t.equal(opcodeRow(0x20), undefined, 'meta node opcodes are none');
});

t.test('the action names are those that error replies carry', async (t) => {
  t.equal(actionOf(OP.createExtent), 'ActionCreateExtent:');
  t.equal(actionOf(OP.markDelete), 'ActionMarkDelete:');
  for (const opcode of [OP.write, OP.syncWrite, OP.randomWrite, OP.syncRandomWrite]) {
    t.equal(actionOf(opcode), 'ActionWrite:');
  }
  for (const opcode of [OP.streamRead, OP.streamFollowerRead, OP.extentRepairRead]) {
    t.equal(actionOf(opcode), 'ActionStreamRead');
  }
  t.equal(actionOf(OP.tinyExtentRepairRead), 'ActionStreamReadTinyExtentRepair');
  t.equal(actionOf(OP.readTinyDeleteRecord), 'ActionStreamReadTinyDeleteRecord');
  t.equal(actionOf(OP.getAllWatermarks), 'ActionGetAllExtentWatermarks:');
  t.equal(actionOf(OP.notifyReplicasToRepair), 'ActionRepair:');
  t.equal(actionOf(OP.createDataPartition), 'ActionCreateDataPartition');
  t.equal(actionOf(OP.dataNodeHeartbeat), 'ActionCreateDataPartition');
  t.equal(actionOf(OP.loadDataPartition), 'ActionLoadDataPartition');
  t.equal(actionOf(OP.deleteDataPartition), 'ActionDeleteDataPartition');
  t.equal(actionOf(OP.decommissionDataPartition), 'ActionDecommissionPartition');
  t.equal(actionOf(OP.addDataPartitionRaftMember), 'ActionAddDataPartitionRaftMember');
  t.equal(actionOf(OP.removeDataPartitionRaftMember), 'ActionRemoveDataPartitionRaftMember');
  t.equal(actionOf(OP.dataPartitionTryToLeader), 'ActionDataPartitionTryToLeader');
});

t.test('opcodes that are not handled are unknown ones', async (t) => {
  for (const opcode of [OP.read, OP.replicateFile, OP.deleteFile, OP.ping, 0x55, 0x20, 0x00]) {
    t.equal(actionOf(opcode), 'unknown opcode');
  }
  t.equal(nameOf(0x55), 'Op0x55');
  t.equal(nameOf(0x00), 'Op0x00');
});

t.test('metric names are those of v1.4.0', async (t) => {
  t.equal(metricOf(OP.write), 'OpWrite');
  t.equal(metricOf(OP.read), 'Read');
  t.equal(metricOf(OP.broadcastMinAppliedId), 'OpBroadcastMinAppliedID');
  t.equal(metricOf(OP.getMaxExtentIdAndPartitionSize), 'OpGetMaxExtentIDAndPartitionSize');
  for (const opcode of [OP.ping, OP.replicateFile, OP.deleteFile, 0x55]) t.equal(metricOf(opcode), '');
  t.equal(OPCODES.filter((row) => row.metric !== '').length, 26);
});

t.test('a read request has no body, whatever its Size says', async (t) => {
  for (const opcode of ALL) {
    const read = isReadOp(opcode);
    t.equal(requestBodyBytes(header(opcode, 0, 8)), read ? 0 : 8, nameOf(opcode));
    t.equal(requestBodyBytes(header(opcode, 0xf0, 8)), 8, `${nameOf(opcode)} with a result code`);
    t.equal(bodyClassOf(opcode) === 'none', read);
  }
});

t.test('a reply has Size bytes of body; only four opcodes skip it, with result code 0', async (t) => {
  for (const opcode of ALL) {
    t.equal(replyBodyBytes(header(opcode, 0xf0, 8)), 8);
    const skipped = [0x04, 0x05, 0x06, 0x09].includes(opcode);
    t.equal(replyBodyBytes(header(opcode, 0, 8)), skipped ? 0 : 8);
  }
});

t.test('user data has a body class of its own', async (t) => {
  t.same(
    ALL.filter((opcode) => bodyClassOf(opcode) === 'write'),
    [0x03, 0x0f, 0x12, 0x13],
  );
  t.equal(bodyClassOf(0x55), 'other');
});
