/** Raft messages and their frames: every recorded one both ways, any cut of the stream, and what is refused (`raft.md` 2). */
import fc from 'fast-check';
import t from 'tap';
import { RAFT_FRAME_BYTES_MAX, RaftFramer } from '../../src/protocol/raftFramer.js';
import {
  decodeMessage,
  encodeMessage,
  encodeSnapshotBlock,
  FRAME_HEAD_BYTES,
  RAFT_MESSAGE,
  type RaftMessage,
  readMessage,
  SNAPSHOT_ACK,
} from '../../src/protocol/raftMessage.js';
import { Uint64Reader } from '../../src/protocol/uint64Form.js';
import { BIGINTS, isSafe, type MessageFields, raftVectors } from './raftVectors.js';
import { hex, unhex, viewOf } from './vectors.js';

const vectors = raftVectors<MessageFields>('messages');

/** The message that the fields of a vector describe. */
function messageOf(fields: MessageFields): RaftMessage<bigint> {
  const { type, forceVote, reject, snapshotMeta: meta } = fields;
  return {
    ...{ type, forceVote, reject },
    rejectIndex: BigInt(fields.rejectIndex),
    group: BigInt(fields.id),
    from: BigInt(fields.from),
    to: BigInt(fields.to),
    term: BigInt(fields.term),
    logTerm: BigInt(fields.logTerm),
    index: BigInt(fields.index),
    commit: BigInt(fields.commit),
    entries: (fields.entries ?? []).map((entry) => ({
      type: entry.type,
      term: BigInt(entry.term),
      index: BigInt(entry.index),
      data: unhex(entry.dataHex),
    })),
    context: unhex(fields.contextHex ?? ''),
    snapshot:
      meta === undefined
        ? null
        : {
            index: BigInt(meta.index),
            term: BigInt(meta.term),
            peers: meta.peers.map(({ id, ...peer }) => ({ ...peer, nodeId: BigInt(id) })),
          },
  };
}

/** Bytes in hex, so that views and copies compare alike. */
function plain(message: RaftMessage<number | bigint>): object {
  return {
    ...message,
    entries: message.entries.map((entry) => ({ ...entry, data: hex(entry.data) })),
    context: hex(message.context),
  };
}

function bodyOf(raw: string): Uint8Array {
  return unhex(raw).subarray(FRAME_HEAD_BYTES);
}

/** A message of the node itself. */
function message(fields: Partial<RaftMessage>): RaftMessage {
  return {
    ...{ type: 0, forceVote: false, reject: false, rejectIndex: 0, group: 101, from: 2, to: 3, term: 7 },
    ...{ logTerm: 0, index: 0, commit: 0, entries: [], context: new Uint8Array(0), snapshot: null },
    ...fields,
  };
}

function complaint(body: Uint8Array): string {
  const decoded = decodeMessage(body);
  return decoded.ok ? 'none' : decoded.message;
}

/** Pushes `stream` cut at these positions. */
function split(
  framer: RaftFramer,
  stream: Uint8Array,
  cuts: number[],
): { bodies: string[]; fault: string | null } {
  const bodies: string[] = [];
  let fault: string | null = null;
  let from = 0;
  for (const cut of [...cuts, stream.length]) {
    fault = framer.push(stream.subarray(from, cut), (body) => bodies.push(hex(body)));
    from = cut;
  }
  return { bodies, fault };
}

t.test('every recorded message, both ways', async (t) => {
  for (const { name, hex: raw, fields } of vectors) {
    const expected = messageOf(fields);
    const decoded = readMessage(new Uint64Reader(bodyOf(raw), BIGINTS));
    t.same(decoded.ok ? plain(decoded.value) : decoded, plain(expected), name);
    t.equal(hex(encodeMessage(expected, BIGINTS)), raw, name);
  }
  const types = new Set(vectors.map(({ fields }) => fields.type));
  const recorded = Object.values(RAFT_MESSAGE).filter((type) => type !== 10 && type !== 11);
  t.same([...types].sort(), recorded.sort(), 'every type that travels is among them');
});

t.test('the node takes every recorded message whose numbers it can hold, and no other', async (t) => {
  let taken = 0;
  for (const { name, hex: raw, fields } of vectors) {
    const numbers =
      JSON.stringify(fields)
        .match(/"\d+"/g)
        ?.map((text) => text.slice(1, -1)) ?? [];
    const decoded = decodeMessage(bodyOf(raw));
    t.equal(decoded.ok, numbers.every(isSafe), name);
    if (!decoded.ok) {
      t.match(decoded.message, /is larger than 2\^53 - 1$/, name);
      continue;
    }
    t.equal(hex(encodeMessage(decoded.value)), raw, name);
    taken += 1;
  }
  t.equal(taken, 19);
});

t.test('each head field that is too large is refused by its name', async (t) => {
  const names = ['rejectIndex', 'group', 'from', 'to', 'term', 'logTerm', 'index', 'commit'];
  for (const [i, name] of names.entries()) {
    const body = encodeMessage(message({})).subarray(FRAME_HEAD_BYTES);
    body[4 + 8 * i + 1] = 0x20;
    t.equal(complaint(body), `raft message of type 0: ${name} is larger than 2^53 - 1`);
  }
});

t.test('bytes that are 1 are true, all others false', async (t) => {
  const body = encodeMessage(message({ forceVote: true, reject: true })).subarray(FRAME_HEAD_BYTES);
  t.match(decodeMessage(body), { ok: true, value: { forceVote: true, reject: true } });
  body[2] = 2;
  body[3] = 0xff;
  t.match(decodeMessage(body), { ok: true, value: { forceVote: false, reject: false } });
});

t.test('every cut of a message is refused, except where only the context gets shorter', async (t) => {
  for (const { name, hex: raw, fields } of vectors.filter((vector) => decodeMessage(bodyOf(vector.hex)).ok)) {
    const body = bodyOf(raw);
    const contextBytes = (fields.contextHex ?? '').length / 2;
    for (let length = 0; length < body.length; length += 1) {
      const whole = decodeMessage(body.subarray(0, length)).ok;
      if (whole !== length >= body.length - contextBytes) t.fail(`${name}: ${length} of ${body.length}`);
    }
  }
  t.equal(complaint(new Uint8Array(67)), 'raft message: 67 bytes, at least 68 are needed');
  t.equal(complaint(new Uint8Array(0)), 'raft message: 0 bytes, at least 68 are needed');
});

t.test('versions, types and tables that are wrong are named', async (t) => {
  const entries = [
    { type: 0, term: 7, index: 1, data: unhex('aa') },
    { type: 0, term: 7, index: 2, data: unhex('') },
  ];
  const whole = encodeMessage(message({ entries, context: unhex('c0ffee') })).subarray(FRAME_HEAD_BYTES);
  const changed = (change: (view: DataView) => void): string => {
    const body = Uint8Array.from(whole);
    change(viewOf(body));
    return complaint(body);
  };
  t.equal(complaint(whole), 'none');
  t.equal(
    changed((view) => view.setUint8(0, 2)),
    'raft message: version 2, not 1',
  );
  t.equal(
    changed((view) => view.setUint8(1, 16)),
    'raft message: unknown type 16',
  );
  t.equal(
    changed((view) => view.setUint32(68, 3)),
    'raft message of type 0: 3 entries in 46 bytes',
  );
  t.equal(
    changed((view) => view.setUint32(68, 0xffff_ffff)),
    'raft message of type 0: 4294967295 entries in 46 bytes',
  );
  t.equal(
    changed((view) => view.setUint32(72, 16)),
    'raft message of type 0: entry 0 of 2: entry of 16 bytes, at least 17 are needed',
  );
  t.equal(
    changed((view) => view.setUint32(72, 0xffff_ffff)),
    'raft message of type 0: entry 0 of 2: 4294967295 bytes, 42 are left',
  );
  t.equal(
    changed((view) => view.setUint32(72, 41)),
    'raft message of type 0: entry 1 of 2: its size is cut off',
  );
  t.equal(
    changed((view) => view.setUint8(76, 9)),
    'raft message of type 0: entry 0 of 2: entry of unknown type 9',
  );
  t.equal(
    changed((view) => view.setUint8(76 + 18 + 4 + 10, 0x20)),
    'raft message of type 0: entry 1 of 2: index of an entry is larger than 2^53 - 1',
  );
  t.equal(
    changed((view) => {
      view.setUint8(1, RAFT_MESSAGE.snapshot);
      view.setUint32(84, 1);
    }),
    'raft message of type 3: snapshot meta with 1 members in 30 bytes',
  );
});

t.test('what no peer may be sent is a broken invariant', async (t) => {
  const meta = { index: 5, term: 1, peers: [] };
  const assertion = { code: 'ERR_ASSERTION' };
  t.throws(() => encodeMessage(message({ type: 16 })), assertion);
  t.throws(() => encodeMessage(message({ type: RAFT_MESSAGE.snapshot })), assertion);
  t.throws(() => encodeMessage(message({ snapshot: meta })), assertion);
  t.throws(() => encodeMessage(message({ term: 2 ** 53 })), assertion);
  t.throws(
    () => encodeMessage(message({ type: RAFT_MESSAGE.snapshot, snapshot: meta, context: unhex('00') })),
    assertion,
  );
});

t.test('any message comes back as it was', async (t) => {
  const number = fc.oneof(fc.nat(300), fc.maxSafeNat());
  const bytes = fc.uint8Array({ maxLength: 40 });
  const entry = fc.record({ type: fc.nat(1), term: number, index: number, data: bytes });
  const head = {
    forceVote: fc.boolean(),
    reject: fc.boolean(),
    ...{ rejectIndex: number, group: number, from: number, to: number, term: number },
    ...{ logTerm: number, index: number, commit: number },
  };
  const peer = fc.record({ type: fc.nat(255), priority: fc.nat(65_535), nodeId: number });
  const normal = fc.record({
    type: fc.nat(15).filter((type) => type !== RAFT_MESSAGE.snapshot),
    ...head,
    entries: fc.array(entry, { maxLength: 6 }),
    context: bytes,
    snapshot: fc.constant(null),
  });
  const header = fc.record({
    type: fc.constant(RAFT_MESSAGE.snapshot),
    ...head,
    entries: fc.constant([]),
    context: fc.constant(new Uint8Array(0)),
    snapshot: fc.record({ index: number, term: number, peers: fc.array(peer, { maxLength: 6 }) }),
  });
  fc.assert(
    fc.property(fc.oneof(normal, header), (original: RaftMessage) => {
      const frame = encodeMessage(original);
      t.equal(viewOf(frame).getUint32(0), frame.length - FRAME_HEAD_BYTES);
      const decoded = decodeMessage(frame.subarray(FRAME_HEAD_BYTES));
      t.same(decoded.ok ? plain(decoded.value) : decoded, plain(original));
    }),
    { seed: 5, numRuns: 500 },
  );
});

t.test('any cut of a stream gives the same bodies', async (t) => {
  const stream = unhex(vectors.map((vector) => vector.hex).join(''));
  const expected = { bodies: vectors.map((vector) => vector.hex.slice(8)), fault: null };
  const cutsOf = fc.array(fc.nat(stream.length), { maxLength: 40 }).map((cuts) => cuts.sort((a, b) => a - b));
  fc.assert(
    fc.property(cutsOf, (cuts) => {
      const framer = new RaftFramer();
      t.same(split(framer, stream, cuts), expected);
      t.equal(framer.heldBytes, 0);
    }),
    { seed: 1, numRuns: 150 },
  );
  const everyByte = Array.from({ length: stream.length }, (_, i) => i);
  t.same(split(new RaftFramer(), stream, everyByte), expected, 'one byte at a time');
});

t.test('a body in one chunk is a part of it, one in pieces is not', async (t) => {
  const framer = new RaftFramer();
  const stream = encodeSnapshotBlock(unhex('010203'));
  const bodies: Uint8Array[] = [];
  framer.push(stream, (body) => bodies.push(body));
  framer.push(stream.subarray(0, 6), (body) => bodies.push(body));
  framer.push(stream.subarray(6), (body) => bodies.push(body));
  t.equal(bodies[0]!.buffer, stream.buffer);
  stream.fill(0xee);
  t.same(bodies.map(hex), ['eeeeee', '010203']);
});

t.test('the streams of snapshots, both ways', async (t) => {
  const stream = (name: string): string =>
    raftVectors<Record<string, string>>('snapshot_stream').find((vector) => vector.name === name)?.hex ?? '';
  const header = decodeMessage(bodyOf(stream('header')));
  t.match(header, {
    ok: true,
    value: { type: RAFT_MESSAGE.snapshot, term: 8, snapshot: { index: 500, term: 7 } },
  });
  const block = encodeSnapshotBlock(unhex('00000000000001f4'));
  t.equal(hex(block), stream('data_node_block'));
  const end = encodeSnapshotBlock(new Uint8Array(0));
  t.equal(hex(end), stream('terminator'));
  const encoded = header.ok ? hex(encodeMessage(header.value)) : '';
  t.equal(encoded, stream('header'));
  const whole = stream('stream_header_two_blocks_end');
  t.equal(encoded + hex(block) + hex(block) + hex(end), whole);
  t.same(split(new RaftFramer(), unhex(whole), [3, 50, 120]), {
    bodies: [stream('header').slice(8), '00000000000001f4', '00000000000001f4', ''],
    fault: null,
  });
  t.equal(SNAPSHOT_ACK, Number.parseInt(stream('ack'), 16));
});

t.test('a length over the bound ends the stream before anything is kept', async (t) => {
  t.equal(new RaftFramer().bodyBytesMax, RAFT_FRAME_BYTES_MAX);
  const framer = new RaftFramer(1000);
  const fits = `000003e8${'00'.repeat(1000)}`;
  t.same(split(framer, unhex(fits), [2, 700]).bodies, [fits.slice(8)], 'as long as the bound');
  const { bodies, fault } = split(framer, unhex(`0000000101000003e9${'00'.repeat(1001)}`), [7]);
  t.same({ bodies, fault }, { bodies: ['01'], fault: 'raft frame of 1001 bytes, at most 1000 are taken' });
  t.equal(framer.heldBytes, 0);
  t.same(split(framer, unhex(fits), []), { bodies: [], fault }, 'and for ever');
});

t.test('an announced length takes no memory before its bytes come', async (t) => {
  const framer = new RaftFramer();
  const head = new Uint8Array(FRAME_HEAD_BYTES);
  viewOf(head).setUint32(0, RAFT_FRAME_BYTES_MAX);
  const body = new Uint8Array(1 << 20);
  let taken = 0;
  t.equal(
    framer.push(head, () => t.fail('nothing came')),
    null,
  );
  for (; taken < 8 << 20; taken += body.length) {
    t.ok(framer.heldBytes <= 2 * taken, `${framer.heldBytes} bytes held for ${taken}`);
    framer.push(body, () => t.fail('not complete'));
  }
  t.ok(framer.heldBytes >= taken, 'and what came is held');
});
