/** Every recorded connection to a v1.4.0 data node: decoded packet by packet, compared with the record, encoded again. */
import * as zlib from 'node:zlib';
import t from 'tap';
import {
  createRequest,
  decodeCreateRequest,
  decodeDeleteRequest,
  decodeLoadRequest,
  deleteRequest,
  loadRequest,
} from '../../src/protocol/adminBodies.js';
import { decodeAdminTask, encodeAdminTask } from '../../src/protocol/adminTask.js';
import {
  decodeExtentList,
  decodeTinyIds,
  encodeExtentList,
  encodeTinyIds,
} from '../../src/protocol/extentInfo.js';
import { formatFollowers, parseFollowers } from '../../src/protocol/followers.js';
import { type FramedPacket, PacketFramer } from '../../src/protocol/framer.js';
import { headerV1, PacketHeader } from '../../src/protocol/header.js';
import { decodeHeartbeatRequest, heartbeatRequest } from '../../src/protocol/heartbeat.js';
import type { JsonCodec } from '../../src/protocol/jsonCodec.js';
import type { Decoded, JsonValue } from '../../src/protocol/jsonText.js';
import { isMasterOp, isRandomWriteOp, isReadOp, isWriteOp, nameOf, OP } from '../../src/protocol/opcodes.js';
import { encodePacket } from '../../src/protocol/packet.js';
import { decodeUint64Body } from '../../src/protocol/queries.js';
import { decodeRepairTask, encodeRepairTask } from '../../src/protocol/repairTask.js';
import { RESULT, resultCodeFor } from '../../src/protocol/resultCodes.js';
import { decodeMarkDelete, encodeClientMarkDelete, encodeMarkDelete } from '../../src/protocol/tinyDelete.js';
import { crc32Slow } from './crc32.js';
import {
  fieldsOf,
  hex,
  type RecordedPacket,
  type RecordedStream,
  recordedStreams,
  utf8,
  viewOf,
} from './vectors.js';

type Direction = 'c2s' | 's2c';

interface Packet {
  header: PacketHeader;
  arg: Uint8Array;
  body: Uint8Array;
  raw: Uint8Array;
}

/** Missing before Node 20.15. */
const crc32 = (zlib as { crc32?: (bytes: Uint8Array) => number }).crc32 ?? crc32Slow;
const streams = recordedStreams();

function split(stream: RecordedStream, direction: Direction): { packets: Packet[]; rest: number } {
  const packets: Packet[] = [];
  const framer = new PacketFramer({
    direction: direction === 'c2s' ? 'request' : 'reply',
    argBytesMax: 65_536,
    bodyBytesMax: 16 << 20,
  });
  const take = ({ header, arg, body, raw }: FramedPacket): void => {
    packets.push({ header: Object.assign(new PacketHeader(), header), arg, body, raw });
  };
  const fault = framer.push(stream.bytes[direction], take);
  if (fault !== null) throw new Error(`${stream.phase} ${stream.stream} ${direction}: ${fault.message}`);
  return { packets, rest: framer.pendingBytes };
}

/** The record lists more packets than the cut files hold. */
function recorded(stream: RecordedStream, direction: Direction): RecordedPacket[] {
  const held = stream.bytes[direction].length;
  return stream.packets.filter((packet) => packet.dir === direction && packet.offset + packet.len <= held);
}

function every(visit: (packet: Packet, direction: Direction, stream: RecordedStream) => void): number {
  let count = 0;
  for (const stream of streams) {
    for (const direction of ['c2s', 's2c'] as const) {
      for (const packet of split(stream, direction).packets) {
        visit(packet, direction, stream);
        count += 1;
      }
    }
  }
  return count;
}

const RESULT_OF: Record<string, number> = {
  init: RESULT.none,
  Ok: RESULT.ok,
  IntraGroupNetErr: RESULT.intraGroupNetErr,
  TryOtherAddr: RESULT.tryOtherAddr,
  ArgMismatch: RESULT.argMismatchErr,
  NotExist: RESULT.notExistErr,
};

t.test('recorded streams split completely and every header is as recorded', async (t) => {
  t.equal(streams.length, 138);
  for (const stream of streams) {
    for (const direction of ['c2s', 's2c'] as const) {
      const { packets, rest } = split(stream, direction);
      const expected = recorded(stream, direction).map((packet) => ({
        extentType: packet.extentType,
        opcode: packet.op,
        resultCode: RESULT_OF[packet.result],
        remainingFollowers: packet.remainingFollowers,
        crc: packet.crc,
        size: packet.size,
        argBytes: packet.argLen,
        partitionId: packet.partition,
        extentId: packet.extent,
        extentOffset: packet.extentOffset,
        reqId: packet.reqId,
        kernelOffset: packet.kernelOffset,
      }));
      const title = `${stream.phase} ${stream.stream} ${direction}`;
      t.equal(rest, 0, `${title}: nothing is left over`);
      t.same(
        packets.map((packet) => fieldsOf(packet.header)),
        expected,
        title,
      );
    }
  }
});

t.test('recorded packets encode to the same bytes again', async (t) => {
  const count = every(({ header, arg, body, raw }) => {
    t.ok(Buffer.from(raw).equals(encodePacket(header, arg, body)));
  });
  t.ok(count > 700, `${count} packets`);
});

t.test('recorded bodies have the CRC of the packet where the protocol says so', async (t) => {
  let checked = 0;
  const differing: string[] = [];
  every(({ header, body }, direction, stream) => {
    const write = direction === 'c2s' && (isWriteOp(header.opcode) || isRandomWriteOp(header.opcode));
    const data = direction === 's2c' && header.resultCode === RESULT.ok;
    const readData = data && (isReadOp(header.opcode) || header.opcode === RESULT.ok);
    if (!write && !readData) return;
    checked += 1;
    if (crc32(body) !== header.crc)
      differing.push(`${stream.phase} ${stream.stream} ${nameOf(header.opcode)}`);
  });
  t.same(
    differing,
    ['phaseC 190 OpWrite', 'phaseC 339 OpRandomWrite'],
    'only the probes sent with a wrong CRC',
  );
  t.ok(checked > 80, `${checked} bodies`);
});

t.test('recorded error replies have the code that their text maps to', async (t) => {
  let errors = 0;
  every(({ header, body }, direction) => {
    if (direction !== 's2c' || header.resultCode === RESULT.ok) return;
    const message = utf8(body);
    const at = message.indexOf('_');
    t.equal(header.resultCode, resultCodeFor(message.slice(0, at), message.slice(at + 1)), message);
    errors += 1;
  });
  t.ok(errors > 20, `${errors} error replies`);
});

t.test('recorded follower lists parse and format to the same bytes', async (t) => {
  let lists = 0;
  every(({ header, arg }, direction) => {
    if (direction !== 'c2s' || arg.length === 0) return;
    const parsed = parseFollowers(arg);
    if (!parsed.ok) {
      t.fail(parsed.message);
      return;
    }
    // One probe lacks the trailing slash and so names nobody.
    const named = arg.at(-1) === 0x2f;
    t.equal(hex(formatFollowers(parsed.addresses)), named ? hex(arg) : '');
    if (header.remainingFollowers > 1) t.equal(parsed.addresses.length, header.remainingFollowers);
    lists += 1;
  });
  t.ok(lists > 40, `${lists} lists`);
});

function roundTrip<T>(
  body: Uint8Array,
  decode: (b: Uint8Array) => Decoded<T>,
  encode: (v: T) => Uint8Array,
): string {
  const decoded = decode(body);
  return decoded.ok ? utf8(encode(decoded.value)) : decoded.message;
}

t.test('recorded JSON bodies decode and encode to the same text', async (t) => {
  const counts: Record<string, number> = {};
  every(({ header, body }, direction) => {
    if (body.length === 0) return;
    const { opcode } = header;
    let again: string | undefined;
    if (direction === 'c2s' && opcode === OP.notifyReplicasToRepair) {
      again = roundTrip(body, decodeRepairTask, encodeRepairTask);
    } else if (direction === 'c2s' && opcode === OP.getAllWatermarks) {
      again = roundTrip(body, decodeTinyIds, encodeTinyIds);
    } else if (opcode === OP.getAllWatermarks && header.resultCode === RESULT.ok) {
      again = roundTrip(body, decodeExtentList, encodeExtentList);
    } else if (direction === 'c2s' && opcode === OP.markDelete) {
      const encode = header.remainingFollowers > 0 ? encodeClientMarkDelete : encodeMarkDelete;
      again = roundTrip(body, decodeMarkDelete, encode);
    }
    if (again === undefined) return;
    t.equal(again, utf8(body));
    counts[nameOf(opcode)] = (counts[nameOf(opcode)] ?? 0) + 1;
  });
  t.strictSame(Object.keys(counts).sort(), [
    'OpGetAllWatermarks',
    'OpMarkDelete',
    'OpNotifyReplicasToRepair',
  ]);
});

/** Codec of the Request of each kind of task. */
const REQUEST_OF: Record<
  number,
  [decode: (request: JsonValue) => Decoded<unknown>, codec: JsonCodec<never>]
> = {
  [OP.createDataPartition]: [decodeCreateRequest, createRequest as JsonCodec<never>],
  [OP.deleteDataPartition]: [decodeDeleteRequest, deleteRequest as JsonCodec<never>],
  [OP.loadDataPartition]: [decodeLoadRequest, loadRequest as JsonCodec<never>],
  [OP.dataNodeHeartbeat]: [decodeHeartbeatRequest, heartbeatRequest as JsonCodec<never>],
};

t.test('recorded admin tasks decode and encode to the same text, their requests included', async (t) => {
  let tasks = 0;
  every(({ header, body }, direction, stream) => {
    // The probes of phase D carry tasks of their own making.
    if (
      direction !== 'c2s' ||
      !isMasterOp(header.opcode) ||
      (stream.phase === 'phaseD' && stream.stream >= 949)
    )
      return;
    const task = decodeAdminTask(body);
    if (!task.ok) {
      t.fail(task.message);
      return;
    }
    t.equal(utf8(encodeAdminTask(task.value)), utf8(body));
    t.equal(task.value.opcode, header.opcode);
    t.equal(task.value.partitionId, header.partitionId);
    const entry = REQUEST_OF[header.opcode];
    if (entry === undefined) return;
    const request = entry[0](task.value.request);
    if (!request.ok) {
      t.fail(request.message);
      return;
    }
    t.equal(entry[1].encode(request.value as never), JSON.stringify(task.value.request));
    tasks += 1;
  });
  t.ok(tasks > 150, `${tasks} tasks`);
});

t.test('recorded sizes and applied ids decode', async (t) => {
  let bodies = 0;
  every(({ header, body }, direction) => {
    const reply =
      direction === 's2c' && [OP.getAppliedId, OP.getPartitionSize].some((op) => op === header.opcode);
    if (!reply) return;
    t.type(decodeUint64Body(body), 'number');
    bodies += 1;
  });
  t.equal(bodies, 7);
});

t.test('a recorded header is exact', async (t) => {
  every(({ raw }) => {
    const header = new PacketHeader();
    headerV1.decode(viewOf(raw), 0, header);
    t.ok(header.exact);
  });
});
