/** The header codec against the worked examples, at the edges of its numbers, and its in-place patches. */
import fc from 'fast-check';
import t from 'tap';
import {
  HEADER_BYTES,
  HEADER_OFFSET,
  headerV1,
  PacketHeader,
  readInt64,
  readUint64,
  writeExtent,
  writeInt64,
  writePartitionId,
  writeRemainingFollowers,
  writeReplyFields,
  writeStreamReadHeader,
  writeStreamReadHeaderOf,
} from '../../src/protocol/header.js';
import { encodePacket } from '../../src/protocol/packet.js';
import { fieldsOf, headerOf, hex, unhex, viewOf, wireVector, wireVectors } from './vectors.js';

t.test('every worked example decodes to its fields and encodes to its bytes', async (t) => {
  for (const vector of wireVectors()) {
    const bytes = unhex(vector.hex);
    const header = new PacketHeader();
    t.equal(headerV1.decode(viewOf(bytes), 0, header), 'ok');
    t.same(fieldsOf(header), vector.header, `${vector.name} decoded`);
    t.ok(header.exact);
    const encoded = encodePacket(headerOf(vector.header), unhex(vector.arg), unhex(vector.body));
    t.equal(hex(encoded), vector.hex, `${vector.name} encoded`);
  }
});

t.test('a header is decoded and encoded at any offset', async (t) => {
  const { hex: packet } = wireVector('W3');
  const bytes = unhex(`aabbcc${packet}dd`);
  const header = new PacketHeader();
  headerV1.decode(viewOf(bytes), 3, header);
  const target = new Uint8Array(bytes.length).fill(0xee);
  headerV1.encode(viewOf(target), 3, header);
  t.equal(hex(target), `eeeeee${packet}ee`);
});

t.test('headers round-trip for every field value that is exact', async (t) => {
  const safe = fc.maxSafeNat();
  const word = fc.integer({ min: 0, max: 0xffff_ffff });
  const byte = fc.integer({ min: 0, max: 0xff });
  const fields = fc.record({
    extentType: byte,
    opcode: byte,
    resultCode: byte,
    remainingFollowers: byte,
    crc: word,
    size: word,
    argBytes: word,
    partitionId: safe,
    extentId: safe,
    extentOffset: fc.maxSafeInteger(),
    reqIdHigh: word,
    reqIdLow: word,
    kernelOffsetHigh: word,
    kernelOffsetLow: word,
  });
  const decoded = new PacketHeader();
  fc.assert(
    fc.property(fields, (values) => {
      const header = Object.assign(new PacketHeader(), values);
      const bytes = new Uint8Array(HEADER_BYTES);
      headerV1.encode(viewOf(bytes), 0, header);
      headerV1.decode(viewOf(bytes), 0, decoded);
      t.same({ ...decoded }, { ...header });
    }),
    { seed: 57, numRuns: 300 },
  );
});

t.test('numbers beyond 2^53 - 1 are marked inexact, each field by itself', async (t) => {
  const base = unhex(wireVector('W3').hex);
  const cases: [number, string, boolean][] = [
    [HEADER_OFFSET.partitionId, '001fffffffffffff', true],
    [HEADER_OFFSET.partitionId, '0020000000000000', false],
    [HEADER_OFFSET.extentId, 'ffffffffffffffff', false],
    [HEADER_OFFSET.extentOffset, 'ffffffffffffffff', true],
    [HEADER_OFFSET.extentOffset, 'ffe0000000000001', true],
    [HEADER_OFFSET.extentOffset, 'ffe0000000000000', false],
    [HEADER_OFFSET.extentOffset, '7fffffffffffffff', false],
    [HEADER_OFFSET.reqId, 'ffffffffffffffff', true],
    [HEADER_OFFSET.kernelOffset, 'ffffffffffffffff', true],
  ];
  for (const [offset, value, exact] of cases) {
    const bytes = base.slice();
    bytes.set(unhex(value), offset);
    const header = new PacketHeader();
    headerV1.decode(viewOf(bytes), 0, header);
    t.equal(header.exact, exact, `${value} at ${offset}`);
  }
  const negative = base.slice();
  negative.set(unhex('fffffffffffffffe'), HEADER_OFFSET.extentOffset);
  const header = new PacketHeader();
  headerV1.decode(viewOf(negative), 0, header);
  t.equal(header.extentOffset, -2, 'ExtentOffset is signed');
});

t.test('encoding an inexact number is a broken invariant', async (t) => {
  const header = new PacketHeader();
  header.extentId = 2 ** 53;
  t.throws(() => headerV1.encode(viewOf(new Uint8Array(HEADER_BYTES)), 0, header), /safe integer/);
});

t.test('a wrong first byte is told without touching the header', async (t) => {
  const header = new PacketHeader();
  header.opcode = 3;
  const bytes = Buffer.from('GET / HTTP/1.1\r\nHost: somewhere.example\r\nAccept: */*\r\n\r\n    ');
  t.equal(headerV1.decode(viewOf(bytes), 0, header), 'badMagic');
  t.equal(header.opcode, 3);
});

t.test('the codec asks for the whole header before it tells its length', async (t) => {
  const view = viewOf(unhex(wireVector('W1').hex));
  t.equal(headerV1.bytesMin, 57);
  t.equal(headerV1.headerBytes(view, 0, 1), 0);
  t.equal(headerV1.headerBytes(view, 0, 56), 0);
  t.equal(headerV1.headerBytes(view, 0, 57), 57);
});

t.test('a request header becomes its reply in place', async (t) => {
  const bytes = unhex(wireVector('W1').hex).slice(0, HEADER_BYTES);
  writeReplyFields(viewOf(bytes), 0, 0xf0, 0xd441d872, 0, 0);
  t.equal(hex(bytes), wireVector('W4').hex);
  writeRemainingFollowers(viewOf(bytes), 0, 0);
  t.equal(hex(bytes), wireVector('W3').hex);
});

t.test('an assigned extent is put in place', async (t) => {
  const bytes = unhex(wireVector('C1').hex).slice(0, HEADER_BYTES);
  writeExtent(viewOf(bytes), 0, 1025, 0);
  writeReplyFields(viewOf(bytes), 0, 0xf0, 0, 0, 0);
  t.equal(hex(bytes), wireVector('C3').hex);
});

t.test('a partition id is put in place', async (t) => {
  const bytes = unhex(wireVector('W3').hex);
  writePartitionId(viewOf(bytes), 0, 99);
  const header = new PacketHeader();
  headerV1.decode(viewOf(bytes), 0, header);
  t.same(fieldsOf(header), { ...wireVector('W3').header, partitionId: 99 });
});

t.test('a data packet header is made from a read request, raw or decoded', async (t) => {
  const request = unhex(wireVector('R1').hex);
  const expected = wireVector('R2').hex.slice(0, 2 * HEADER_BYTES);
  const fromRaw = new Uint8Array(HEADER_BYTES).fill(0xaa);
  writeStreamReadHeader(viewOf(fromRaw), 0, viewOf(request), 0, 4096, 0xd441d872, 8);
  t.equal(hex(fromRaw), expected);
  const header = new PacketHeader();
  headerV1.decode(viewOf(request), 0, header);
  const fromDecoded = new Uint8Array(HEADER_BYTES).fill(0xaa);
  writeStreamReadHeaderOf(viewOf(fromDecoded), 0, header, 4096, 0xd441d872, 8);
  t.equal(hex(fromDecoded), expected);
});

t.test('ids of any size come back whole in a data packet made from the raw request', async (t) => {
  const request = unhex(wireVector('R1').hex);
  request.fill(0xff, HEADER_OFFSET.partitionId, HEADER_OFFSET.extentOffset);
  request.fill(0xff, HEADER_OFFSET.reqId, HEADER_OFFSET.kernelOffset);
  const reply = new Uint8Array(HEADER_BYTES);
  writeStreamReadHeader(viewOf(reply), 0, viewOf(request), 0, 4096, 0, 8);
  t.same(reply.subarray(17, 33), request.subarray(17, 33));
  t.same(reply.subarray(41, 49), request.subarray(41, 49));
});

t.test('64-bit numbers are read and written exactly, or told to be too large', async (t) => {
  const view = new DataView(new ArrayBuffer(8));
  for (const value of [0, 1, -1, 2 ** 32, -(2 ** 32), Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]) {
    writeInt64(view, 0, value);
    t.equal(view.getBigInt64(0), BigInt(value));
    t.equal(readInt64(view, 0), value);
    t.equal(readUint64(view, 0), value >= 0 ? value : -1);
  }
  view.setBigUint64(0, 2n ** 53n);
  t.equal(readUint64(view, 0), -1);
  t.ok(Number.isNaN(readInt64(view, 0)));
});
