/** What a packet of a repair stream means: the worked examples of `repair.md` 7, and every packet that is not what was asked for. */
import t from 'tap';
import { HEADER_BYTES, headerV1, PacketHeader } from '../../src/protocol/header.js';
import { OP } from '../../src/protocol/opcodes.js';
import { setRequestId } from '../../src/protocol/packet.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { writeTinyRepairArg } from '../../src/protocol/tinyRepairArg.js';
import { ExtentFetch, FETCH_BYTES_MAX, type FetchJob, type Piece } from '../../src/repair/fetch.js';

const KiB = 1024;
const NORMAL: FetchJob = { partitionId: 7, extentId: 1027, localBytes: 0, targetBytes: 200_000, reqId: 20 };
const TINY: FetchJob = { partitionId: 7, extentId: 1, localBytes: 0, targetBytes: 143_360, reqId: 21 };
const NO_ARG = new Uint8Array(0);

function headerOf(job: FetchJob, extentOffset: number, size: number): PacketHeader {
  const header = new PacketHeader();
  header.opcode = job.extentId <= 64 ? OP.tinyExtentRepairRead : OP.extentRepairRead;
  header.extentType = job.extentId <= 64 ? 0 : 1;
  header.resultCode = RESULT.ok;
  header.partitionId = job.partitionId;
  header.extentId = job.extentId;
  header.extentOffset = extentOffset;
  header.size = size;
  setRequestId(header, job.reqId);
  return header;
}

function argOf(holeBytes: number, availableBytes: number): Uint8Array {
  const arg = new Uint8Array(17);
  writeTinyRepairArg(new DataView(arg.buffer), 0, holeBytes, availableBytes);
  return arg;
}

const noText = (): string => {
  throw new Error('a good packet has no error text');
};

function judge(fetch: ExtentFetch, header: PacketHeader, arg: Uint8Array = NO_ARG): Piece {
  return fetch.judge(header, arg, noText);
}

t.test('the requests of the specification, byte for byte', async (t) => {
  const normal = new ExtentFetch(NORMAL).request();
  t.equal(
    Buffer.from(normal).toString('hex'),
    'ff01090000000000000003' +
      '0d4000000000000000000000000700000000000004030000000000000000000000000000001400' +
      '00000000000000',
  );
  const tiny = new ExtentFetch(TINY).request();
  const header = new PacketHeader();
  headerV1.decode(new DataView(tiny.buffer, tiny.byteOffset), 0, header);
  t.match(header, {
    opcode: 0x15,
    extentType: 0,
    size: 0x23000,
    extentId: 1,
    extentOffset: 0,
    partitionId: 7,
  });
  t.equal(tiny.byteLength, HEADER_BYTES);
});

t.test('a normal stream: contiguous pieces up to the target', async (t) => {
  const fetch = new ExtentFetch({ ...NORMAL, localBytes: 500 });
  t.same(judge(fetch, headerOf(NORMAL, 500, 128 * KiB)), {
    kind: 'data',
    offset: 500,
    bytes: 128 * KiB,
    isLast: false,
  });
  t.equal(fetch.ended, false);
  const rest = 200_000 - 500 - 128 * KiB;
  t.same(judge(fetch, headerOf(NORMAL, 500 + 128 * KiB, rest)), {
    kind: 'data',
    offset: 500 + 128 * KiB,
    bytes: rest,
    isLast: true,
  });
  t.same([fetch.ended, fetch.position], [true, 200_000]);
});

t.test('the worked example of a tiny stream: a hole, a block, a page', async (t) => {
  const fetch = new ExtentFetch(TINY);
  const available = argOf(0, 143_360);
  t.same(judge(fetch, headerOf(TINY, 0, 0), argOf(8192, 143_360)), {
    kind: 'hole',
    offset: 0,
    bytes: 8192,
    isLast: false,
  });
  t.same(judge(fetch, headerOf(TINY, 8192, 128 * KiB), available), {
    kind: 'data',
    offset: 8192,
    bytes: 128 * KiB,
    isLast: false,
  });
  t.same(judge(fetch, headerOf(TINY, 139_264, 4096), available), {
    kind: 'data',
    offset: 139_264,
    bytes: 4096,
    isLast: true,
  });
  t.equal(fetch.position, 143_360);
});

t.test('a tiny stream ends where the source says, within a page, and short of the target', async (t) => {
  const fetch = new ExtentFetch({ ...TINY, targetBytes: 16_384 });
  t.match(judge(fetch, headerOf(TINY, 0, 5000), argOf(0, 5000)), { kind: 'data', bytes: 5000, isLast: true });
  t.equal(fetch.position, 8192, 'the watermark is the page behind it');
});

t.test('what a source sends beyond the target is dropped', async (t) => {
  const data = new ExtentFetch({ ...TINY, targetBytes: 4096 });
  t.match(judge(data, headerOf(TINY, 0, 12_000), argOf(0, 4096)), {
    kind: 'data',
    bytes: 4096,
    isLast: true,
  });
  const hole = new ExtentFetch({ ...TINY, targetBytes: 4096 });
  t.match(judge(hole, headerOf(TINY, 0, 0), argOf(1 << 20, 4096)), {
    kind: 'hole',
    bytes: 4096,
    isLast: true,
  });
  t.equal(hole.position, 4096);
});

t.test('an older node sends no Arg: its stream is one packet', async (t) => {
  const fetch = new ExtentFetch(TINY);
  t.match(judge(fetch, headerOf(TINY, 0, 8192)), { kind: 'data', bytes: 8192, isLast: true });
});

t.test('a large lag is fetched in parts', async (t) => {
  const job = { ...TINY, targetBytes: FETCH_BYTES_MAX * 3 };
  const header = new PacketHeader();
  headerV1.decode(new DataView(new ExtentFetch(job).request().buffer), 0, header);
  t.equal(header.size, FETCH_BYTES_MAX);
});

t.test('pains 10: a packet that is not what was asked for ends the stream, and is not written', async (t) => {
  const cases: [job: FetchJob, change: (header: PacketHeader) => void, arg: Uint8Array, reason: RegExp][] = [
    [NORMAL, (h) => (h.partitionId = 8), NO_ARG, /another answer/],
    [NORMAL, (h) => (h.extentId = 1028), NO_ARG, /another answer/],
    [NORMAL, (h) => (h.reqIdLow += 1), NO_ARG, /another answer/],
    [NORMAL, (h) => (h.reqIdHigh = 1), NO_ARG, /another answer/],
    [NORMAL, (h) => (h.exact = false), NO_ARG, /another answer/],
    [NORMAL, (h) => (h.extentOffset = 1), NO_ARG, /a piece at 1, expected at 0/],
    [NORMAL, (h) => (h.extentOffset = -1), NO_ARG, /a piece at -1/],
    [NORMAL, (h) => (h.size = 0), NO_ARG, /a piece of 0 bytes/],
    [NORMAL, (h) => (h.size = 128 * KiB + 1), NO_ARG, /a piece of 131073 bytes/],
    [{ ...NORMAL, targetBytes: 4000 }, (h) => (h.size = 4001), NO_ARG, /a piece of 4001 bytes where 4000/],
    [NORMAL, (h) => (h.size = 4096), argOf(0, 4096), /a piece of 4096 bytes/],
    [TINY, (h) => (h.size = 0), argOf(0, 4096), /neither a hole nor data/],
    [TINY, (h) => (h.size = 4096), argOf(4096, 4096), /neither a hole nor data/],
    [TINY, (h) => (h.size = 4096), new Uint8Array(16), /an Arg of 16 bytes/],
    [TINY, (h) => (h.size = 5000), argOf(0, 143_360), /a piece of 5000 bytes in the middle/],
    [TINY, (h) => (h.size = 0), argOf(5000, 143_360), /a piece of 5000 bytes in the middle/],
    [TINY, (h) => (h.extentOffset = 4096), argOf(0, 143_360), /a piece at 4096/],
  ];
  for (const [job, change, arg, reason] of cases) {
    const fetch = new ExtentFetch(job);
    const header = headerOf(job, 0, 4096);
    change(header);
    const piece = judge(fetch, header, arg);
    t.equal(piece.kind, 'failed', String(reason));
    if (piece.kind === 'failed') t.match(piece.reason, reason);
    t.same([fetch.ended, fetch.position], [true, 0]);
  }
});

t.test('an error packet is told in the words of the source', async (t) => {
  const fetch = new ExtentFetch(NORMAL);
  const header = headerOf(NORMAL, 0, 20);
  header.resultCode = 0xf3;
  t.same(
    fetch.judge(header, NO_ARG, () => 'ActionStreamRead_EOF'),
    { kind: 'failed', reason: 'ActionStreamRead_EOF' },
  );
});
