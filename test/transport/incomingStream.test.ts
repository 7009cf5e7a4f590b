/** What the bytes of an accepted raft connection are taken for, however they are cut; recorded bytes of v1.4.0 included. */
import fc from 'fast-check';
import t from 'tap';
import { readRaftHead } from '../../src/protocol/raftHead.js';
import { encodeSnapshotBlock, RAFT_MESSAGE } from '../../src/protocol/raftMessage.js';
import { IncomingStream, type StreamState, TAKE } from '../../src/transport/incomingStream.js';
import { isSafe, type MessageFields, raftVectors } from '../protocol/raftVectors.js';
import { hex, unhex } from '../protocol/vectors.js';
import { append, bodyOf, plain, snapshotHeader } from './rig.js';

interface Taken {
  bodies: string[];
  heads: string[];
  state: StreamState;
  fault: string | null;
}

/** Pushes bytes cut into pieces of `sizes`, in turn. A snapshot waits unless `onSnapshot` says otherwise. */
function take(bytes: Uint8Array, sizes: readonly number[], onSnapshot: 1 | 2 = TAKE.verdict): Taken {
  const bodies: string[] = [];
  const heads: string[] = [];
  const stream = new IncomingStream(1 << 20, (body, { type, group, from, to }) => {
    bodies.push(hex(body));
    heads.push(`${type} ${group} ${from} ${to}`);
    return type === RAFT_MESSAGE.snapshot ? onSnapshot : TAKE.nextMessage;
  });
  for (let at = 0, i = 0; at < bytes.byteLength; i += 1) {
    const size = sizes[i % sizes.length]!;
    stream.push(bytes.subarray(at, at + size));
    at += size;
  }
  return { bodies, heads, state: stream.state, fault: stream.fault };
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

const END = encodeSnapshotBlock(new Uint8Array(0));
const BLOCK = encodeSnapshotBlock(Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 0xf4));

t.test('messages come out whole and in order, however they are cut', async () => {
  const frames = [append(101, 1, 2, 5, 3000), plain(RAFT_MESSAGE.voteRequest, 7, 3, 2), append(101, 1, 2, 6)];
  const whole = joined(...frames, snapshotHeader(101, 1, 2), BLOCK, BLOCK);
  const expected = take(whole, [whole.byteLength]);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1, maxLength: 20 }), (sizes) => {
      const taken = take(whole, sizes);
      return JSON.stringify(taken) === JSON.stringify(expected) && taken.bodies.length === 4;
    }),
  );
});

t.test(
  'every recorded message of a v1.4.0 node is taken as it is, or refused for numbers beyond 2^53',
  async (t) => {
    let count = 0;
    for (const { name, hex: raw, fields } of raftVectors<MessageFields>('messages')) {
      const { id, from, to, type } = fields;
      const taken = take(unhex(raw), [1]);
      if ([id, from, to].every(isSafe)) {
        t.same(taken.heads, [`${type} ${id} ${from} ${to}`], name);
        t.same(taken.bodies, [raw.slice(8)], name);
        count += 1;
      } else t.match(taken, { bodies: [], state: 'closed', fault: /larger than 2\^53/ }, name);
    }
    t.ok(count >= 10, `${count} of them`);
  },
);

t.test('a recorded snapshot: header, blocks, end', async (t) => {
  const recorded = raftVectors('snapshot_stream');
  const raw = (name: string): Uint8Array => unhex(recorded.find((each) => each.name === name)!.hex);
  t.match(take(raw('header'), [1]), { heads: ['3 101 2 3'], state: 'blocks', fault: null });
  t.match(take(raw('stream_header_two_blocks_end'), [7]), {
    heads: ['3 101 2 3'],
    state: 'ended',
    fault: null,
  });
  const endless = joined(raw('header'), ...Array.from({ length: 1000 }, () => raw('data_node_block')));
  t.match(take(endless, [4096]), { heads: ['3 101 2 3'], state: 'blocks', fault: null });
});

t.test('what is no raft closes the stream, and nothing behind it is taken', async (t) => {
  const good = append(101, 1, 2, 5);
  const changed = (at: number, value: number): Uint8Array => {
    const frame = good.slice();
    frame[at] = value;
    return frame;
  };
  const cut = (bytes: number): Uint8Array => encodeSnapshotBlock(bodyOf(good).subarray(0, bytes));
  const rows: [string, Uint8Array, RegExp][] = [
    ['a port scan', Buffer.from('GIOP\x01\x00\x01\x00$\x00\x00\x00'), /1195986768 bytes, at most 67108864/],
    ['another version', changed(4, 2), /version 2, not 1/],
    ['an unknown type', changed(5, 16), /unknown type 16/],
    ['an empty frame', END, /0 bytes, at least 68/],
    ['a block without a header', BLOCK, /8 bytes, at least 68/],
    ['a head that is cut', cut(67), /67 bytes, at least 68/],
    ['no number of entries', cut(71), /71 bytes, type 0 has at least 72/],
    ['a group id beyond 2^53', changed(4 + 12, 0x01), /larger than 2\^53/],
    ['a sender beyond 2^53', changed(4 + 20, 0x01), /larger than 2\^53/],
    ['a receiver beyond 2^53', changed(4 + 28, 0x01), /larger than 2\^53/],
  ];
  for (const [what, bytes, fault] of rows) {
    t.match(take(joined(good, bytes, good), [4096]), { heads: ['0 101 1 2'], state: 'closed', fault }, what);
  }
  const header = bodyOf(snapshotHeader(101, 1, 2));
  const short = encodeSnapshotBlock(header.subarray(0, 87));
  t.match(
    take(short, [4096]),
    { state: 'closed', fault: /type 3 has at least 88/ },
    'a snapshot without its meta',
  );
});

t.test('whatever bytes come, a stream takes, waits or closes, and never throws', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 1, max: 50 }), (bytes, size) => {
      // Most of it would be a length that is too large: give half of them one that fits.
      if (bytes.length > 5 && bytes[5]! % 2 === 0) bytes.set([0, 0, 0, bytes[4]!, 1], 0);
      return take(bytes, [size]).state !== undefined;
    }),
  );
  const head = { type: 0, group: 0, from: 0, to: 0 };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (body) => readRaftHead(body, head) !== undefined));
});

t.test('a snapshot that nobody is to judge ends the stream without a fault', async (t) => {
  const bytes = joined(snapshotHeader(101, 1, 2), append(101, 1, 2, 5));
  t.match(take(bytes, [4096], TAKE.end), { heads: ['3 101 1 2'], state: 'closed', fault: null });
  const garbage = joined(snapshotHeader(101, 1, 2), Uint8Array.of(255, 255, 255, 255));
  t.match(take(garbage, [4096], TAKE.end), { state: 'closed', fault: null }, 'whatever comes behind it');
});

t.test('bytes behind the end of a snapshot close the stream', async (t) => {
  const bytes = joined(snapshotHeader(101, 1, 2), BLOCK, END, Uint8Array.of(0, 0, 0, 0));
  t.match(take(bytes, [4096]), { state: 'closed', fault: 'bytes behind the end of a snapshot' });
});

t.test('blocks without end are read up to a bound, and none is kept', async (t) => {
  const stream = new IncomingStream(10_000, () => TAKE.verdict);
  stream.push(snapshotHeader(101, 1, 2));
  const block = encodeSnapshotBlock(new Uint8Array(996));
  for (let i = 0; i < 9; i += 1) stream.push(block);
  t.notOk(stream.isFull);
  stream.push(block);
  t.ok(stream.isFull);
  t.equal(stream.heldBytes, 0);
  t.same(stream.judge(true), { isTaken: true, isQuiet: false });
  t.notOk(stream.isFull);
  t.throws(() => stream.judge(true), 'a verdict is given once');
  stream.push(block.subarray(0, 500));
  t.equal(stream.heldBytes, 0, 'nothing is taken behind it');
});

t.test('a verdict says whether more is to come', async (t) => {
  const rows: [string, Uint8Array[], boolean][] = [
    ['a header alone', [], true],
    ['its end has come', [BLOCK, END], true],
    ['blocks', [BLOCK], false],
    ['a part of a block', [BLOCK.subarray(0, 3)], false],
  ];
  for (const [what, chunks, isQuiet] of rows) {
    const stream = new IncomingStream(10_000, () => TAKE.verdict);
    for (const chunk of [snapshotHeader(101, 1, 2), ...chunks]) stream.push(chunk);
    t.same(stream.judge(false), { isTaken: false, isQuiet }, what);
  }
});
