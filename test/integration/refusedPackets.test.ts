/** What a client may send wrongly, over a real socket to a real node: each packet gets exactly the reply that `wire.md` 5 and 6 promise, and harms nobody else. */
import t from 'tap';
import { HEADER_OFFSET } from '../../src/protocol/header.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeRequest } from '../../src/protocol/packet.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { startStandalone } from '../support/nodeProcess.js';
import { type Ask, PacketClient } from '../support/packetClient.js';
import { create, pattern, randomWrite, read, replyBytes, write } from '../support/requests.js';

const EXTENT_BYTES = 128 * 1024 * 1024;
const UNKNOWN_PARTITION = 99;
const UNKNOWN_EXTENT = 777_777;

const node = await startStandalone(t, { partitions: 2 });
const good = new PacketClient(node.port);
t.teardown(() => good.end());
/** An extent of partition 1 with 8 KiB. */
const extent = (await good.ask(create(1))).extentId;
for (const offset of [0, 4096]) await good.ask(write(1, extent, offset, pattern(extent, offset, 4096)));
const body = pattern(1, 0, 8);

/** The node answers other connections as before. */
async function servesOthers(): Promise<boolean> {
  const reply = await good.ask(read(1, extent, 0, 8192));
  return reply.resultCode === RESULT.ok && reply.body.equals(pattern(extent, 0, 8192));
}

/** One bad request on a connection of its own: the one reply, byte for byte, then FIN; other connections do not notice. */
function refused(name: string, ask: Ask, code: number, text: string): void {
  t.test(`${name}: ${text}`, async (t) => {
    const client = new PacketClient(node.port);
    const [reply] = await client.askAll(ask, 1);
    const expected = replyBytes(
      { ...ask, reqId: 2 },
      { resultCode: code, body: text, ...(ask.arg === undefined ? {} : { arg: ask.arg }) },
    );
    t.equal(reply!.raw.toString('latin1'), expected.toString('latin1'));
    await client.until('the node ends the connection', () => client.ended);
    t.equal(client.replies.length, 1, 'nothing but the error');
    t.equal(client.fault, null);
    await client.end();
    t.ok(await servesOthers(), 'others are served');
  });
}

const { argMismatchErr, intraGroupNetErr, notExistErr, tryOtherAddr } = RESULT;

refused(
  'unknown partition',
  {
    ...write(UNKNOWN_PARTITION, 1025, 0, body),
    remainingFollowers: 2,
    arg: Buffer.from('10.0.0.2:17310/10.0.0.3:17310/'),
  },
  tryOtherAddr,
  'ActionPreparePkt_data partition not exists',
);
refused(
  'unknown partition, create',
  create(UNKNOWN_PARTITION),
  tryOtherAddr,
  'ActionPreparePkt_data partition not exists',
);
for (const opcode of [OP.streamRead, OP.streamFollowerRead, OP.extentRepairRead, OP.readTinyDeleteRecord]) {
  refused(
    `read 0x${opcode.toString(16)} of an unknown partition is answered`,
    read(UNKNOWN_PARTITION, 1025, 0, 4096, opcode),
    tryOtherAddr,
    'ActionPreparePkt_data partition not exists',
  );
}
refused(
  'unknown opcode',
  { opcode: 0x55, extentType: 1, partitionId: 1, body },
  argMismatchErr,
  'unknown opcode_unknown opcode85',
);
refused(
  'unknown opcode without body',
  { opcode: 0xee, partitionId: 1 },
  argMismatchErr,
  'unknown opcode_unknown opcode238',
);
refused(
  'unknown opcode of an unknown partition',
  { opcode: 0x55, partitionId: UNKNOWN_PARTITION, body },
  tryOtherAddr,
  'ActionPreparePkt_data partition not exists',
);
refused(
  'OpRead, which nobody serves, is answered',
  read(1, extent, 0, 10, OP.read),
  argMismatchErr,
  'unknown opcode_unknown opcode4',
);
refused('OpPing', { opcode: OP.ping, partitionId: 1 }, argMismatchErr, 'unknown opcode_unknown opcode255');
refused(
  'a meta node opcode',
  { opcode: 0x20, partitionId: 1, body },
  argMismatchErr,
  'unknown opcode_unknown opcode32',
);
refused(
  'OpCreateExtent with a wrong extent type',
  { ...create(1), extentType: 2 },
  intraGroupNetErr,
  'ActionPreparePkt_Incorrect store type',
);
refused(
  'OpWrite with a wrong extent type',
  { ...write(1, extent, 8192, body), extentType: 255 },
  intraGroupNetErr,
  'ActionPreparePkt_Incorrect store type',
);
refused(
  'a read with a wrong extent type is answered',
  { ...read(1, extent, 0, 10), extentType: 7 },
  intraGroupNetErr,
  'ActionPreparePkt_Incorrect store type',
);
refused(
  'a wrong CRC',
  { ...write(1, extent, 8192, body), crc: 1 },
  intraGroupNetErr,
  'ActionPreparePkt_packet Crc is incorrect',
);
refused(
  'a wrong CRC of a sync write',
  { ...write(1, extent, 8192, body, true), crc: 0 },
  intraGroupNetErr,
  'ActionPreparePkt_packet Crc is incorrect',
);
refused(
  'the CRC is looked at before the partition',
  { ...write(UNKNOWN_PARTITION, 5, 0, body), crc: 5 },
  intraGroupNetErr,
  'ActionPreparePkt_packet Crc is incorrect',
);
refused(
  'a write past 128 MiB',
  write(1, extent, EXTENT_BYTES - 4, body),
  argMismatchErr,
  `ActionWrite:_parameter mismatch error: offset=${EXTENT_BYTES - 4} size=8`,
);
refused(
  'a write at 128 MiB',
  write(1, extent, EXTENT_BYTES, body),
  argMismatchErr,
  `ActionWrite:_parameter mismatch error: offset=${EXTENT_BYTES} size=8`,
);
refused(
  'a write at a far offset',
  write(1, extent, 2 ** 52, body),
  argMismatchErr,
  `ActionWrite:_parameter mismatch error: offset=${2 ** 52} size=8`,
);
refused(
  'a write of nothing',
  write(1, extent, 8192, new Uint8Array(0)),
  argMismatchErr,
  'ActionWrite:_parameter mismatch error: offset=8192 size=0',
);
refused(
  'a write at a negative offset',
  write(1, extent, -1, body),
  argMismatchErr,
  'ActionWrite:_parameter mismatch error: offset=-1 size=8',
);
refused(
  'a write at a far negative offset',
  write(1, extent, -(2 ** 52), body),
  argMismatchErr,
  `ActionWrite:_parameter mismatch error: offset=${-(2 ** 52)} size=8`,
);
refused(
  'a write that would leave a gap',
  write(1, extent, 8193, body),
  argMismatchErr,
  'ActionWrite:_parameter mismatch error: offset=8193 size=8',
);
refused(
  'a sync write that would leave a gap',
  write(1, extent, 100_000, body, true),
  argMismatchErr,
  'ActionWrite:_parameter mismatch error: offset=100000 size=8',
);
refused(
  'a write to an unknown extent',
  write(1, UNKNOWN_EXTENT, 0, body),
  notExistErr,
  'ActionWrite:_extent does not exist',
);
refused('a write to extent 0', write(1, 0, 0, body), notExistErr, 'ActionWrite:_extent does not exist');
refused(
  'a normal write to a tiny extent',
  write(1, 5, 0, body),
  argMismatchErr,
  'ActionWrite:_parameter mismatch error',
);
refused(
  'a tiny write of nothing',
  { ...write(1, 0, 0, new Uint8Array(0)), extentType: 0 },
  argMismatchErr,
  'ActionWrite:_parameter mismatch error: offset=0 size=0',
);
refused(
  'a delete in a tiny extent whose body is no JSON',
  { opcode: OP.markDelete, extentType: 0, partitionId: 1, extentId: 5 },
  intraGroupNetErr,
  'ActionPreparePkt_addExtentInfo failed unexpected end of JSON input',
);
refused(
  'a read of an unknown extent',
  read(1, UNKNOWN_EXTENT, 0, 10),
  notExistErr,
  'ActionStreamRead_extent does not exist',
);
refused('a read past the end', read(1, extent, 8000, 1000), intraGroupNetErr, 'ActionStreamRead_EOF');
refused('a read behind the end', read(1, extent, 9000, 10), intraGroupNetErr, 'ActionStreamRead_EOF');
refused(
  'a repair read past the end',
  read(1, extent, 0, 8193, OP.extentRepairRead),
  intraGroupNetErr,
  'ActionStreamRead_EOF',
);
refused(
  'a read of nothing is answered',
  read(1, extent, 0, 0),
  argMismatchErr,
  'ActionStreamRead_parameter mismatch error: offset=0 size=0',
);
refused(
  'a read at a negative offset',
  read(1, extent, -5, 10),
  argMismatchErr,
  'ActionStreamRead_parameter mismatch error: offset=-5 size=10',
);
refused(
  'a read past 128 MiB',
  read(1, extent, EXTENT_BYTES - 4, 8),
  argMismatchErr,
  `ActionStreamRead_parameter mismatch error: offset=${EXTENT_BYTES - 4} size=8`,
);
refused('a read of 4 GiB - 1', read(1, extent, 0, 0xffff_ffff), intraGroupNetErr, 'ActionStreamRead_EOF');
const MISMATCH = 'ActionPreparePkt_parameter mismatch error: ';
for (const [name, ask, text] of [
  [
    'more followers than are named',
    { ...create(1), remainingFollowers: 2, arg: Buffer.from('127.0.0.1:1/') },
    '2 followers, 1 named',
  ],
  [
    'fewer followers than are named',
    { ...write(1, extent, 0, body), remainingFollowers: 1, arg: Buffer.from('127.0.0.1:1/127.0.0.1:2/') },
    '1 followers, 2 named',
  ],
  [
    'an Arg without an address',
    { ...create(1), remainingFollowers: 1, arg: Buffer.from('nobody') },
    '1 followers, 0 named',
  ],
  [
    'an empty address',
    { ...create(1), remainingFollowers: 2, arg: Buffer.from('127.0.0.1:1//') },
    'an empty follower address',
  ],
  [
    'one follower twice',
    { ...create(1), remainingFollowers: 2, arg: Buffer.from('127.0.0.1:1/127.0.0.1:1/') },
    'a follower is named twice',
  ],
  [
    'an address that is too long',
    { ...create(1), remainingFollowers: 1, arg: Buffer.from(`${'a'.repeat(300)}:1/`) },
    'follower address of 302 bytes',
  ],
  [
    'a read with followers',
    { ...read(1, extent, 0, 10), remainingFollowers: 1, arg: Buffer.from('127.0.0.1:1/') },
    'this operation is not replicated',
  ],
  [
    'a question with followers',
    { opcode: OP.getPartitionSize, partitionId: 1, remainingFollowers: 1, arg: Buffer.from('127.0.0.1:1/') },
    'this operation is not replicated',
  ],
] as const) {
  refused(name, ask, argMismatchErr, `${MISMATCH}${text}`);
}
refused(
  'a wrong checksum is found before a wrong list of followers',
  { ...write(1, extent, 0, body), crc: 1, remainingFollowers: 2, arg: Buffer.from('127.0.0.1:1/') },
  intraGroupNetErr,
  'ActionPreparePkt_packet Crc is incorrect',
);
// The delete of an extent that is not there is done, and nothing.
const unknownDelete = { opcode: OP.markDelete, extentType: 1, partitionId: 1, extentId: 99_999 };
refused(
  'a follower that cannot be reached',
  { ...unknownDelete, remainingFollowers: 1, arg: Buffer.from('127.0.0.1:1/') },
  intraGroupNetErr,
  'ActionSendToFollowers_dial tcp 127.0.0.1:1: connect: connection refused',
);
refused(
  'an address without a port',
  { ...unknownDelete, remainingFollowers: 1, arg: Buffer.from('nowhere/') },
  intraGroupNetErr,
  'ActionSendToFollowers_dial tcp: address nowhere: missing port in address',
);
refused(
  'a tiny watermark list that is no JSON',
  { opcode: OP.getAllWatermarks, partitionId: 1 },
  intraGroupNetErr,
  'ActionGetAllExtentWatermarks:_unexpected end of JSON input',
);
refused(
  'an admin task that is no JSON',
  { opcode: OP.createDataPartition, body },
  intraGroupNetErr,
  'ActionCreateDataPartition_cannnot unmashal adminTask',
);
for (const [opcode, action] of [
  [OP.decommissionDataPartition, 'ActionDecommissionPartition'],
  [OP.addDataPartitionRaftMember, 'ActionAddDataPartitionRaftMember'],
  [OP.removeDataPartitionRaftMember, 'ActionRemoveDataPartitionRaftMember'],
] as const) {
  refused(
    'a task of membership that is no JSON',
    { opcode, partitionId: 1, body: Buffer.from('{nope') },
    intraGroupNetErr,
    `${action}_invalid character 'n' looking for beginning of object key string`,
  );
}
refused(
  'leadership of an unknown partition',
  { opcode: OP.dataPartitionTryToLeader, partitionId: UNKNOWN_PARTITION, body },
  intraGroupNetErr,
  `ActionDataPartitionTryToLeader_partition ${UNKNOWN_PARTITION} not exsit`,
);
for (const sync of [false, true]) {
  refused(
    'a random write into an unknown extent',
    randomWrite(1, UNKNOWN_EXTENT, 0, body, sync),
    notExistErr,
    'ActionWrite:_extent does not exist',
  );
  refused(
    'a random write that is not what its checksum says',
    { ...randomWrite(1, extent, 0, body, sync), crc: 1 },
    intraGroupNetErr,
    'ActionWrite:_packet Crc is incorrect',
  );
}
refused(
  'an applied id that is none',
  { opcode: OP.broadcastMinAppliedId, extentType: 1, partitionId: 1, body: body.subarray(0, 7) },
  intraGroupNetErr,
  'ActionBroadcastMinAppliedID_ArgLenMismatchErr',
);

for (const [field, value] of [
  ['partition id', 0xffff_ffff_ffff_fff0n],
  ['partition id of a known one above 2^53', 2n ** 53n + 1n],
] as const) {
  t.test(
    `every field of an error reply is the request's, also those nobody understands: ${field}`,
    async (t) => {
      const client = new PacketClient(node.port);
      const request = Buffer.from(encodeRequest({ ...read(1, 5, 9, 100), reqId: 2 }));
      request.writeBigUInt64BE(value, HEADER_OFFSET.partitionId);
      request.writeBigUInt64BE(0xfedc_ba98_7654_3210n, HEADER_OFFSET.reqId);
      request.writeBigUInt64BE(0x8899_aabb_ccdd_eeffn, HEADER_OFFSET.kernelOffset);
      request.writeBigUInt64BE(0xffff_ffff_ffff_fff0n, HEADER_OFFSET.extentId);
      request.writeBigInt64BE(-(2n ** 63n), HEADER_OFFSET.extentOffset);
      client.send(request);
      await client.until('a reply', () => client.replies.length === 1);
      const text = 'ActionPreparePkt_data partition not exists';
      const expected = Buffer.concat([request, Buffer.from(text)]);
      expected[HEADER_OFFSET.resultCode] = tryOtherAddr;
      expected.writeUInt32BE(text.length, HEADER_OFFSET.size);
      t.equal(client.replies[0]!.raw.toString('hex'), expected.toString('hex'));
      await client.end();
    },
  );
}
