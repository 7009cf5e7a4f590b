/** Splitting a stream into packets: any cut of the bytes gives the same packets, bad input ends the stream with a reason. */
import fc from 'fast-check';
import t from 'tap';
import { type FramedPacket, type FramerFault, PacketFramer } from '../../src/protocol/framer.js';
import { HEADER_OFFSET } from '../../src/protocol/header.js';
import { encodeRequest } from '../../src/protocol/packet.js';
import { hex, unhex, viewOf, wireVectors } from './vectors.js';

interface Seen {
  raw: string;
  arg: string;
  body: string;
  opcode: number;
}

function seen(packet: FramedPacket): Seen {
  const { opcode } = packet.header;
  return { raw: hex(packet.raw), arg: hex(packet.arg), body: hex(packet.body), opcode };
}

function framer(direction: 'request' | 'reply', argBytesMax = 65_536, bodyBytesMax = 1 << 24): PacketFramer {
  return new PacketFramer({ direction, argBytesMax, bodyBytesMax });
}

/** Pushes `stream` cut at these positions. */
function run(
  target: PacketFramer,
  stream: Uint8Array,
  cuts: number[],
): { packets: Seen[]; fault: FramerFault | null } {
  const packets: Seen[] = [];
  let fault: FramerFault | null = null;
  let from = 0;
  for (const cut of [...cuts, stream.length]) {
    fault = target.push(stream.subarray(from, cut), (packet) => packets.push(seen(packet)));
    from = cut;
  }
  return { packets, fault };
}

const complete = wireVectors().filter((vector) => vector.bodyOmitted !== true);
const requests = complete.filter((vector) => vector.header.resultCode === 0);
const replies = complete.filter((vector) => vector.header.resultCode !== 0);

for (const [direction, vectors] of [
  ['request', requests],
  ['reply', replies],
] as const) {
  t.test(`any cut of a ${direction} stream gives the same packets`, async (t) => {
    const stream = unhex(vectors.map((vector) => vector.hex).join(''));
    const expected = vectors.map((vector) => ({
      raw: vector.hex,
      arg: vector.arg,
      body: vector.body,
      opcode: vector.header.opcode,
    }));
    const cutsOf = fc
      .array(fc.nat(stream.length), { maxLength: 40 })
      .map((cuts) => cuts.sort((a, b) => a - b));
    fc.assert(
      fc.property(cutsOf, (cuts) => {
        const target = framer(direction);
        t.same(run(target, stream, cuts), { packets: expected, fault: null });
        t.equal(target.pendingBytes, 0);
      }),
      { seed: 1, numRuns: 150 },
    );
    const everyByte = Array.from({ length: stream.length }, (_, i) => i);
    t.same(run(framer(direction), stream, everyByte).packets, expected, 'one byte at a time');
  });
}

t.test('bytes of an incomplete packet are kept and counted', async (t) => {
  const target = framer('request');
  const packet = encodeRequest({ opcode: 3, reqId: 2, body: new Uint8Array(100_000).fill(7) });
  const first = run(target, packet.subarray(0, 70_000), []);
  t.same(first, { packets: [], fault: null });
  t.equal(target.pendingBytes, 70_000);
  const second = run(target, packet.subarray(70_000), []);
  t.equal(second.packets[0]?.raw, hex(packet));
  t.equal(target.pendingBytes, 0);
});

t.test('a wrong first byte is a fault at once, and for ever', async (t) => {
  const target = framer('request');
  const { packets, fault } = run(target, unhex(`${requests[0]?.hex}47`), []);
  t.equal(packets.length, 1, 'packets before it are handed out');
  t.same(fault, { kind: 'badMagic', message: 'Bad Magic 71' });
  t.same(run(target, unhex(requests[0]?.hex ?? ''), []), { packets: [], fault });
});

t.test('lengths over the caps are faults before anything is kept', async (t) => {
  const packet = encodeRequest({ opcode: 3, reqId: 2, body: new Uint8Array(10) });
  viewOf(packet).setUint32(HEADER_OFFSET.size, 0xffff_ffff);
  const body = framer('request', 10, 1000);
  t.match(run(body, packet, [20]).fault, { kind: 'bodyTooLong', message: /4294967295 bytes, at most 1000/ });
  t.equal(body.pendingBytes, 0);
  viewOf(packet).setUint32(HEADER_OFFSET.argBytes, 11);
  const arg = framer('request', 10, 1000);
  t.match(run(arg, packet, []).fault, { kind: 'argTooLong', message: /11 bytes, at most 10/ });
  t.equal(arg.pendingBytes, 0);
});

t.test('a body exactly as long as the cap is taken', async (t) => {
  const packet = encodeRequest({ opcode: 3, reqId: 2, arg: new Uint8Array(10), body: new Uint8Array(1000) });
  t.equal(run(framer('request', 10, 1000), packet, [500]).packets.length, 1);
});

t.test('the same read packet has a body in a reply and none in a request', async (t) => {
  const read = encodeRequest({ opcode: 5, reqId: 2, size: 8 });
  const next = encodeRequest({ opcode: 3, reqId: 3 });
  const both = Uint8Array.from([...read, ...next]);
  t.equal(run(framer('request'), both, []).packets.length, 2);
  viewOf(both).setUint8(HEADER_OFFSET.resultCode, 0xf0);
  t.equal(run(framer('reply'), both, []).packets[0]?.body, hex(next.subarray(0, 8)));
});
