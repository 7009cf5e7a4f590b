/** Bodies of extents, repair tasks, tiny deletes and small queries. */
import t from 'tap';
import {
  decodeExtentList,
  decodeTinyIds,
  EXTENT_LIST_MAX,
  encodeExtentList,
  encodeTinyIds,
  TINY_ID_LIST_MAX,
} from '../../src/protocol/extentInfo.js';
import { HEADER_BYTES, PacketHeader } from '../../src/protocol/header.js';
import { encodeRequest, hasRequestId, RequestIds, setRequestId } from '../../src/protocol/packet.js';
import {
  decodeMaxExtentIdAndSize,
  decodeUint64Body,
  encodeMaxExtentIdAndSize,
  encodeUint64Body,
  newPacketToBroadcastMinAppliedId,
  newPacketToGetAppliedId,
  newPacketToGetMaxExtentIdAndPartitionSize,
  newPacketToGetPartitionSize,
} from '../../src/protocol/queries.js';
import { decodeRepairTask, encodeRepairTask } from '../../src/protocol/repairTask.js';
import {
  decodeMarkDelete,
  encodeClientMarkDelete,
  encodeMarkDelete,
  readTinyDeleteRecord,
  TINY_DELETE_RECORD_BYTES,
  writeTinyDeleteRecord,
} from '../../src/protocol/tinyDelete.js';
import { hex, unhex, utf8, viewOf, wireVector } from './vectors.js';

const bytes = (text: string): Uint8Array => Buffer.from(text);

t.test('watermarks are spelt as in the reference, with the capital C of Crc', async (t) => {
  const extent = { fileId: 1025, size: 5, crc: 7, deleted: false, modTime: 1573600000, source: '' };
  const body = '[{"fileId":1025,"size":5,"Crc":7,"deleted":false,"modTime":1573600000,"src":""}]';
  t.equal(utf8(encodeExtentList([extent])), body);
  t.same(decodeExtentList(bytes(body)), { ok: true, value: [extent] });
  t.equal(utf8(encodeExtentList([])), '[]');
  t.same(decodeExtentList(bytes('null')), { ok: true, value: [] });
  t.equal(utf8(unhex(wireVector('RA3').body)).length, 85);
  t.ok(decodeExtentList(unhex(wireVector('RA3').body)).ok);
});

t.test('tiny ids are a plain array', async (t) => {
  t.equal(hex(encodeTinyIds([1, 2, 3])), wireVector('RA2').body);
  t.same(decodeTinyIds(bytes('[1,2,3]')), { ok: true, value: [1, 2, 3] });
  t.same(decodeTinyIds(bytes('')), { ok: false, message: 'unexpected end of JSON input' });
});

t.test('lists are bounded', async (t) => {
  const many = `[${'{},'.repeat(EXTENT_LIST_MAX)}{}]`;
  t.same(decodeExtentList(bytes(many)), {
    ok: false,
    message: `body: must be an array of at most ${EXTENT_LIST_MAX}`,
  });
  t.notOk(decodeTinyIds(bytes(`[${'1,'.repeat(TINY_ID_LIST_MAX)}1]`)).ok);
});

t.test('a repair task is spelt as in the reference', async (t) => {
  const extent = {
    fileId: 1027,
    size: 200000,
    crc: 0,
    deleted: false,
    modTime: 0,
    source: '192.168.0.31:17030',
  };
  const task = {
    taskType: 0,
    extentsToBeCreated: [extent],
    extentsToBeRepaired: [extent],
    leaderTinyDeleteRecordFileSize: 72,
    leaderAddr: '192.168.0.31:17030',
  };
  const body = encodeRepairTask(task);
  t.equal(body.byteLength, 317);
  t.match(utf8(body), /^\{"TaskType":0,"ExtentsToBeCreated":\[\{"fileId":1027,"size":200000,"Crc":0/);
  t.match(utf8(body), /"LeaderTinyDeleteRecordFileSize":72,"LeaderAddr":"192\.168\.0\.31:17030"\}$/);
  t.same(decodeRepairTask(body), { ok: true, value: task });
});

t.test('a repair task may have null lists', async (t) => {
  const body = '{"TaskType":0,"ExtentsToBeCreated":null,"ExtentsToBeRepaired":null,"LeaderAddr":"a:1"}';
  t.match(decodeRepairTask(bytes(body)), {
    ok: true,
    value: { extentsToBeCreated: [], extentsToBeRepaired: [], leaderTinyDeleteRecordFileSize: 0 },
  });
});

t.test('mark delete bodies are those of the meta node and of the primary', async (t) => {
  const request = {
    fileOffset: 0,
    partitionId: 42,
    extentId: 7,
    extentOffset: 12288,
    size: 5000,
    crc: 0,
    tinyDeleteFileOffset: 48,
  };
  t.equal(hex(encodeClientMarkDelete(request)), wireVector('D1').body);
  t.equal(hex(encodeMarkDelete(request)), wireVector('D2').body);
  t.same(decodeMarkDelete(unhex(wireVector('D2').body)), { ok: true, value: request });
  t.same(decodeMarkDelete(unhex(wireVector('D1').body)), {
    ok: true,
    value: { ...request, tinyDeleteFileOffset: 0 },
  });
  t.notOk(decodeMarkDelete(bytes('{"ExtentOffset":9007199254740993}')).ok, 'no number is rounded');
  t.notOk(decodeMarkDelete(bytes('{"Size":4294967296}')).ok);
});

t.test('tiny delete records are three big-endian numbers', async (t) => {
  const record = new Uint8Array(TINY_DELETE_RECORD_BYTES);
  writeTinyDeleteRecord(viewOf(record), 0, { extentId: 7, extentOffset: 12288, sizeBytes: 5000 });
  t.equal(hex(record), wireVector('X2').body);
  const slots = unhex(wireVector('RD2').body);
  t.same(
    [0, 24, 48].map((offset) => readTinyDeleteRecord(viewOf(slots), offset)),
    [
      { extentId: 0, extentOffset: 0, sizeBytes: 0 },
      { extentId: 1, extentOffset: 0, sizeBytes: 5000 },
      { extentId: 3, extentOffset: 8192, sizeBytes: 5000 },
    ],
  );
  t.equal(readTinyDeleteRecord(viewOf(new Uint8Array(24).fill(0xff)), 0), null);
});

t.test('query packets are those of the reference', async (t) => {
  t.equal(hex(newPacketToGetAppliedId(11, 42)), wireVector('G1').hex);
  const size = newPacketToGetPartitionSize(24, 7, 1031);
  t.equal(size.byteLength, HEADER_BYTES);
  t.equal(hex(size.subarray(25, 33)), '0000000000000407');
  t.equal(size[2], 0x11);
  const max = newPacketToGetMaxExtentIdAndPartitionSize(23, 7);
  t.equal(
    hex(max),
    wireVector('RS1')
      .hex.slice(0, 2 * HEADER_BYTES)
      .replace('16f0', '1600')
      .replace('0000000010', '0000000000'),
  );
  const minimum = newPacketToBroadcastMinAppliedId(9, 5, 123456);
  t.equal(minimum[2], 0x0a);
  t.equal(hex(minimum.subarray(HEADER_BYTES)), wireVector('G2').body);
});

t.test('bodies of queries are one or two numbers; short ones are none', async (t) => {
  t.equal(hex(encodeUint64Body(123456)), wireVector('G2').body);
  t.equal(decodeUint64Body(unhex(wireVector('G2').body)), 123456);
  t.equal(hex(encodeMaxExtentIdAndSize(1031, 563940)), wireVector('RS1').body);
  t.same(decodeMaxExtentIdAndSize(unhex(wireVector('RS1').body)), { extentIdMax: 1031, sizeBytes: 563940 });
  for (const length of [0, 1, 7]) t.equal(decodeUint64Body(new Uint8Array(length)), null);
  for (const length of [0, 8, 15]) t.equal(decodeMaxExtentIdAndSize(new Uint8Array(length)), null);
  t.equal(decodeUint64Body(new Uint8Array(8).fill(0xff)), null);
});

t.test('requests are built from their fields', async (t) => {
  const w1 = wireVector('W1');
  const fields = { ...w1.header, size: 8, arg: unhex(w1.arg), body: unhex(w1.body) };
  t.equal(hex(encodeRequest(fields)), w1.hex);
  t.equal(hex(encodeRequest(wireVector('R1').header)), wireVector('R1').hex);
});

t.test('request ids count from 2', async (t) => {
  const ids = new RequestIds();
  t.same([ids.next(), ids.next()], [2, 3]);
  const header = new PacketHeader();
  setRequestId(header, 2 ** 40 + 5);
  t.ok(hasRequestId(header, 2 ** 40 + 5));
  t.notOk(hasRequestId(header, 5));
});
