/**
 * Arbitrary bytes against every decoder: none throws, none hands out bytes that it was not given, none keeps more than came.
 *
 * Seeds are fixed, so a failure is found again by running the file. `FUZZ_RUNS` multiplies the work for a long run.
 */
import fc from 'fast-check';
import t from 'tap';
import {
  decodeCreateRequest,
  decodeDeleteRequest,
  decodeLoadRequest,
} from '../../src/protocol/adminBodies.js';
import { decodeAdminTask, describeTask, encodeAdminTask } from '../../src/protocol/adminTask.js';
import { decodeExtentList, decodeTinyIds } from '../../src/protocol/extentInfo.js';
import { followerCount, parseFollowers } from '../../src/protocol/followers.js';
import { PacketFramer } from '../../src/protocol/framer.js';
import { HEADER_BYTES, headerV1, PacketHeader } from '../../src/protocol/header.js';
import { decodeHeartbeatRequest, decodeHeartbeatResponse } from '../../src/protocol/heartbeat.js';
import { parseJson } from '../../src/protocol/jsonText.js';
import { nameOf, replyBodyBytes, requestBodyBytes } from '../../src/protocol/opcodes.js';
import { decodeMaxExtentIdAndSize, decodeUint64Body } from '../../src/protocol/queries.js';
import { unmarshalOldVersionRaftLog, unmarshalRandWriteRaftLog } from '../../src/protocol/randWrite.js';
import { decodeRepairTask } from '../../src/protocol/repairTask.js';
import { decodeMarkDelete } from '../../src/protocol/tinyDelete.js';
import { recordedStreams, viewOf, wireVectors } from './vectors.js';

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 1);
const ARG_MAX = 1024;
const BODY_MAX = 8192;

/** Small, seeded, good enough (xorshift32). */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function randomBytes(random: (below: number) => number, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random(256));
}

/** Feeds a stream in random pieces; checks what comes out; returns the number of packets. */
function feed(
  t: { fail(message: string): unknown },
  stream: Uint8Array,
  direction: 'request' | 'reply',
  random: (n: number) => number,
): number {
  const framer = new PacketFramer({ direction, argBytesMax: ARG_MAX, bodyBytesMax: BODY_MAX });
  let packets = 0;
  let taken = 0;
  let bad = false;
  for (let from = 0; from < stream.length; ) {
    const to = Math.min(stream.length, from + 1 + random(300));
    const fault = framer.push(stream.subarray(from, to), (packet) => {
      packets += 1;
      taken += packet.totalBytes;
      const { header, raw, arg, body } = packet;
      bad ||= raw.length !== packet.totalBytes || arg.length !== header.argBytes || body.length > BODY_MAX;
      bad ||= arg.length > ARG_MAX || arg.length + body.length + HEADER_BYTES !== raw.length;
    });
    bad ||= framer.pendingBytes > HEADER_BYTES + ARG_MAX + BODY_MAX || taken + framer.pendingBytes > to;
    if (fault !== null) break;
    from = to;
  }
  if (bad) t.fail(`stream of ${stream.length} bytes gave what it did not hold`);
  return packets;
}

t.test('the framer survives random bytes', async (t) => {
  const random = randomFrom(0x5eed);
  for (let run = 0; run < 2000 * RUNS; run += 1) {
    const stream = randomBytes(random, random(400));
    if (random(2) === 0) stream[0] = 0xff;
    feed(t, stream, random(2) === 0 ? 'request' : 'reply', random);
  }
  t.pass('no throw');
});

t.test('the framer survives real packets with flipped bytes', async (t) => {
  const random = randomFrom(0xface);
  const originals = wireVectors().map((vector) => Buffer.from(vector.hex, 'hex'));
  for (const { bytes } of recordedStreams().slice(0, 40))
    originals.push(Buffer.from(bytes.c2s.subarray(0, 20_000)));
  let packets = 0;
  for (let run = 0; run < 1500 * RUNS; run += 1) {
    const stream = Uint8Array.from(originals[random(originals.length)]!);
    for (let flips = random(4); flips > 0 && stream.length > 0; flips -= 1) {
      stream[random(Math.min(stream.length, 200))] = random(256);
    }
    packets += feed(t, stream, random(2) === 0 ? 'request' : 'reply', random);
  }
  t.ok(packets > 500, `${packets} packets came through`);
});

t.test('a header of any bytes decodes without reading past its end', async (t) => {
  const header = new PacketHeader();
  const random = randomFrom(0xbeef);
  for (let run = 0; run < 5000 * RUNS; run += 1) {
    const bytes = randomBytes(random, HEADER_BYTES);
    bytes[0] = 0xff;
    headerV1.decode(viewOf(bytes), 0, header);
    const whole = new Uint8Array(HEADER_BYTES);
    if (header.exact) headerV1.encode(viewOf(whole), 0, header);
    if (header.exact && !Buffer.from(whole).equals(bytes)) t.fail('an exact header must encode to its bytes');
    if (
      requestBodyBytes(header) > 0xffff_ffff ||
      replyBodyBytes(header) < 0 ||
      nameOf(header.opcode) === ''
    ) {
      t.fail('a rule gave nonsense');
    }
  }
  t.pass('no throw');
});

const BODY_DECODERS: Record<string, (bytes: Uint8Array) => { ok: boolean }> = {
  parseJson,
  decodeAdminTask,
  decodeExtentList,
  decodeTinyIds,
  decodeRepairTask,
  decodeMarkDelete,
  unmarshalRandWriteRaftLog,
  unmarshalOldVersionRaftLog,
  parseFollowers,
};

t.test('no body decoder throws on arbitrary bytes', async (t) => {
  const random = randomFrom(0xdead);
  const alphabet = Buffer.from('{}[]:,"\\0123456789-+.eE truefalsn\u0000\n"PartitionId""ID""v"');
  for (let run = 0; run < 3000 * RUNS; run += 1) {
    const length = random(80);
    const bytes =
      random(2) === 0
        ? randomBytes(random, length)
        : Uint8Array.from({ length }, () => alphabet[random(alphabet.length)]!);
    for (const [name, decode] of Object.entries(BODY_DECODERS)) {
      const outcome = decode(bytes);
      if (typeof outcome.ok !== 'boolean') t.fail(`${name} gave no outcome`);
    }
    decodeUint64Body(bytes);
    decodeMaxExtentIdAndSize(bytes);
    if (followerCount(bytes) > 255) t.fail('more followers than a byte counts');
  }
  t.pass('no throw');
});

t.test('no request decoder throws on arbitrary JSON, and what was decoded encodes again', async (t) => {
  const key = fc.constantFrom(
    'PartitionId',
    'partitionid',
    'Members',
    'Hosts',
    'id',
    'ID',
    'OpCode',
    'Request',
    'src',
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      fc.constant(null),
      fc.boolean(),
      fc.double(),
      fc.maxSafeInteger(),
      fc.string({ maxLength: 10 }),
      fc.array(tie('tree'), { maxLength: 4 }),
      fc.dictionary(key, tie('tree'), { maxKeys: 4 }),
    ),
  }));
  fc.assert(
    fc.property(tree, (value) => {
      const bytes = Buffer.from(JSON.stringify(value) ?? 'null');
      const parsed = parseJson(bytes);
      if (!parsed.ok) throw new Error(`JSON of the engine is refused: ${parsed.message}`);
      for (const decode of [
        decodeCreateRequest,
        decodeDeleteRequest,
        decodeLoadRequest,
        decodeHeartbeatRequest,
        decodeHeartbeatResponse,
      ]) {
        decode(parsed.value);
      }
      for (const decode of [decodeExtentList, decodeRepairTask, decodeMarkDelete]) decode(bytes);
      const task = decodeAdminTask(bytes);
      if (!task.ok) return;
      describeTask(task.value);
      const again = decodeAdminTask(encodeAdminTask(task.value));
      if (!again.ok) throw new Error(`an encoded task does not decode: ${again.message}`);
    }),
    { seed: 11, numRuns: 1500 * RUNS },
  );
  t.pass('no throw');
});
