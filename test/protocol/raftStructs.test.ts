/** The structures of raft: every recorded one both ways, what is refused, and lists of heartbeats of any ids (`raft.md` 3). */
import fc from 'fast-check';
import t from 'tap';
import {
  decodeHeartbeatContext,
  encodeHeartbeatContext,
  HEARTBEAT_GROUPS_MAX,
  readHeartbeatContext,
} from '../../src/protocol/heartbeatContext.js';
import type { Decoded } from '../../src/protocol/jsonText.js';
import { decodeMemberChange, encodeMemberChange } from '../../src/protocol/memberChange.js';
import {
  decodeConfigurationChange,
  decodeEntry,
  decodeHardState,
  decodePeer,
  decodeSnapshotMeta,
  ENTRY_HEAD_BYTES,
  encodeConfigurationChange,
  encodeEntry,
  encodeHardState,
  encodePeer,
  encodeSnapshotMeta,
  HARD_STATE_BYTES,
  readConfigurationChange,
  readEntry,
  readHardState,
  readPeer,
  readSnapshotMeta,
  writeEntry,
} from '../../src/protocol/raftStructs.js';
import { Uint64Reader } from '../../src/protocol/uint64Form.js';
import { maskedCrc } from '../../src/raft/records.js';
import { BIGINTS, type EntryFields, type PeerFields, type RaftVector, raftVectors } from './raftVectors.js';
import { hex, unhex, utf8, viewOf } from './vectors.js';

const vectors = raftVectors<unknown>('structs');

/** Vectors whose name starts so; there must be some. */
function named<Fields>(prefix: string): RaftVector<Fields>[] {
  const found = vectors.filter(({ name }) => name.startsWith(prefix));
  if (found.length === 0) throw new Error(`no vector ${prefix}`);
  return found as RaftVector<Fields>[];
}

function reader(raw: string): Uint64Reader<bigint> {
  return new Uint64Reader(unhex(raw), BIGINTS);
}

function taken<T>(decoded: Decoded<T>): T {
  if (!decoded.ok) throw new Error(decoded.message);
  return decoded.value;
}

function peerOf({ type, priority, id }: PeerFields): { type: number; priority: number; nodeId: bigint } {
  return { type, priority, nodeId: BigInt(id) };
}

t.test('every recorded structure is of a kind that is tested here', async (t) => {
  const kinds =
    /^(peer|hardstate|confchange_\w+|dn_(add|remove|decommission)\w+|entry|snapshot_meta|heartbeat_context|wal_crc)$/;
  for (const { name } of vectors) t.match(name, kinds);
});

t.test('members, both ways', async (t) => {
  for (const { hex: raw, fields } of named<PeerFields>('peer')) {
    t.same(taken(readPeer(reader(raw))), peerOf(fields));
    t.equal(hex(encodePeer(peerOf(fields), BIGINTS)), raw);
  }
});

t.test('hard states, both ways', async (t) => {
  for (const { hex: raw, fields } of named<Record<'term' | 'commit' | 'vote', string>>('hardstate')) {
    const state = { term: BigInt(fields.term), commit: BigInt(fields.commit), vote: BigInt(fields.vote) };
    t.same(taken(readHardState(reader(raw))), state);
    t.equal(hex(encodeHardState(state, BIGINTS)), raw);
  }
});

t.test('configuration changes, both ways', async (t) => {
  for (const { name, hex: raw, fields } of named<{ type: number; peer: PeerFields; contextHex: string }>(
    'confchange_',
  )) {
    const change = { type: fields.type, peer: peerOf(fields.peer), context: unhex(fields.contextHex) };
    const decoded = taken(readConfigurationChange(reader(raw)));
    t.same({ ...decoded, context: hex(decoded.context) }, { ...change, context: fields.contextHex }, name);
    t.equal(hex(encodeConfigurationChange(change, BIGINTS)), raw, name);
  }
});

t.test('configuration changes as a data node proposes them, down to the JSON, both ways', async (t) => {
  for (const { name, hex: raw, fields } of named<{ type: number; peerId: string; context: string }>('dn_')) {
    const decoded = taken(decodeConfigurationChange(unhex(raw)));
    t.same(
      { type: decoded.type, peer: decoded.peer, context: utf8(decoded.context) },
      {
        type: fields.type,
        peer: { type: 0, priority: 0, nodeId: Number(fields.peerId) },
        context: fields.context,
      },
      name,
    );
    const change = taken(decodeMemberChange(decoded.context));
    t.equal(change.partitionId, 101);
    t.ok([change.addPeer.id, change.removePeer.id].includes(Number(fields.peerId)), name);
    t.equal(utf8(encodeMemberChange(change)), fields.context, name);
    t.equal(hex(encodeConfigurationChange(decoded)), raw, name);
  }
});

t.test('entries, both ways', async (t) => {
  for (const { hex: raw, fields } of named<EntryFields>('entry')) {
    const { type, dataHex } = fields;
    const entry = {
      type,
      term: BigInt(fields.term),
      index: BigInt(fields.index),
      data: unhex(dataHex),
    };
    const decoded = taken(readEntry(reader(raw)));
    t.same({ ...decoded, data: hex(decoded.data) }, { ...entry, data: dataHex });
    t.equal(hex(encodeEntry(entry, BIGINTS)), raw);
  }
});

t.test('snapshot metas, both ways', async (t) => {
  for (const { hex: raw, fields } of named<{ index: string; term: string; peers: PeerFields[] }>(
    'snapshot_meta',
  )) {
    const meta = {
      index: BigInt(fields.index),
      term: BigInt(fields.term),
      peers: fields.peers.map(peerOf),
    };
    t.same(taken(readSnapshotMeta(reader(raw))), meta);
    t.equal(hex(encodeSnapshotMeta(meta, BIGINTS)), raw);
  }
});

t.test('lists of heartbeats, both ways', async (t) => {
  for (const { hex: raw, fields } of named<{ input: string[]; decoded: string[] }>('heartbeat_context')) {
    t.equal(hex(encodeHeartbeatContext(fields.input.map(BigInt), BIGINTS)), raw);
    t.same(taken(readHeartbeatContext(unhex(raw), BIGINTS)), fields.decoded.map(BigInt));
  }
});

t.test('masked checksums', async (t) => {
  for (const { hex: raw, fields } of named<{ crc32c: number; masked: number }>('wal_crc')) {
    t.equal(maskedCrc(fields.crc32c), fields.masked);
    t.equal(fields.masked, viewOf(unhex(raw)).getUint32(0));
  }
});

t.test('numbers beyond 2^53 - 1 are refused by the name of their field, never rounded', async (t) => {
  const large = '0020000000000000';
  const largest = '001fffffffffffff';
  const one = '0000000000000001';
  const refused = (decoded: Decoded<unknown>, name: string): void => {
    t.same(decoded, { ok: false, message: `${name} is larger than 2^53 - 1` });
  };
  refused(decodePeer(unhex(`000000${large}`)), 'node id of a member');
  refused(decodeEntry(unhex(`00${large}${one}`)), 'term of an entry');
  refused(decodeEntry(unhex(`00${one}${large}`)), 'index of an entry');
  refused(decodeHardState(unhex(large + one + one)), 'term of the hard state');
  refused(decodeHardState(unhex(one + large + one)), 'commit of the hard state');
  refused(decodeHardState(unhex(one + one + large)), 'vote of the hard state');
  refused(decodeSnapshotMeta(unhex(`${large}${one}00000000`)), 'index of a snapshot');
  refused(decodeSnapshotMeta(unhex(`${one}${large}00000000`)), 'term of a snapshot');
  refused(decodeSnapshotMeta(unhex(`${one}${one}00000001000000${large}`)), 'node id of a member');
  refused(decodeConfigurationChange(unhex(`00000000${large}`)), 'node id of a member');
  t.equal(taken(decodeHardState(unhex(largest + one + one))).term, Number.MAX_SAFE_INTEGER);
  t.throws(() => encodeHardState({ term: 2 ** 53, commit: 0, vote: 0 }), { code: 'ERR_ASSERTION' });
  t.throws(() => encodeHardState({ term: 0, commit: -1, vote: 0 }), { code: 'ERR_ASSERTION' });
  t.throws(() => encodeHardState({ term: 0, commit: 0, vote: 1n }), { code: 'ERR_ASSERTION' });
});

t.test('what is too short, too long or unknown is refused with its size', async (t) => {
  const cases: readonly (readonly [Decoded<unknown>, string])[] = [
    [decodeEntry(new Uint8Array(16)), 'entry of 16 bytes, at least 17 are needed'],
    [decodeEntry(new Uint8Array(20).fill(2)), 'entry of unknown type 2'],
    [decodePeer(new Uint8Array(12)), 'member of 12 bytes, not 11'],
    [
      decodeConfigurationChange(new Uint8Array(11)),
      'configuration change of 11 bytes, at least 12 are needed',
    ],
    [decodeConfigurationChange(new Uint8Array(12).fill(3)), 'configuration change of unknown type 3'],
    [decodeHardState(new Uint8Array(23)), 'hard state of 23 bytes, not 24'],
    [decodeSnapshotMeta(new Uint8Array(19)), 'snapshot meta of 19 bytes, at least 20 are needed'],
    [decodeSnapshotMeta(new Uint8Array(21)), 'snapshot meta with 0 members in 1 bytes'],
    [
      decodeSnapshotMeta(unhex(`${'00'.repeat(16)}00000002${'00'.repeat(11)}`)),
      'snapshot meta with 2 members in 11 bytes',
    ],
    [
      decodeSnapshotMeta(unhex(`${'00'.repeat(16)}ffffffff`)),
      'snapshot meta with 4294967295 members, at most 64 are taken',
    ],
  ];
  for (const [decoded, message] of cases) t.same(decoded, { ok: false, message });
});

t.test('an entry is written in the middle of a larger buffer and nowhere else', async (t) => {
  const entry = { type: 1, term: 3, index: 2 ** 40, data: unhex('aabb') };
  const bytes = new Uint8Array(40).fill(0x77);
  writeEntry(viewOf(bytes.subarray(4)), 6, entry);
  const written = hex(encodeEntry(entry));
  t.equal(written.length / 2, ENTRY_HEAD_BYTES + 2);
  t.equal(hex(bytes), '77'.repeat(10) + written + '77'.repeat(11));
  t.same(taken(decodeEntry(bytes.subarray(10, 29))), { ...entry, data: bytes.subarray(27, 29) });
  t.throws(() => encodeEntry({ ...entry, type: 2 }), { code: 'ERR_ASSERTION' });
  t.equal(encodeHardState({ term: 1, commit: 2, vote: 3 }).length, HARD_STATE_BYTES);
});

t.test('lists of any ids come back ascending, in as few bytes as the ids need', async (t) => {
  const id = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  const ascending = (a: bigint, b: bigint): number => (a < b ? -1 : Number(a > b));
  fc.assert(
    fc.property(fc.array(id, { maxLength: 20 }), (ids) => {
      const sorted = [...ids].sort(ascending);
      const context = encodeHeartbeatContext(ids, BIGINTS);
      t.same(taken(readHeartbeatContext(context, BIGINTS)), sorted);
      const deltas = sorted.map((each, i) => each - (sorted[i - 1] ?? 0n));
      const bytes = deltas.map((delta) => Math.max(1, Math.ceil(delta.toString(2).length / 7)));
      t.equal(
        context.length,
        bytes.reduce((sum, count) => sum + count, 0),
      );
      if (sorted.every((each) => each < 2n ** 53n))
        t.same(taken(decodeHeartbeatContext(context)), sorted.map(Number));
      else t.match(decodeHeartbeatContext(context), { ok: false, message: /its id is too large/ });
    }),
    { seed: 3, numRuns: 300 },
  );
  fc.assert(
    fc.property(fc.array(fc.maxSafeNat(), { maxLength: 20 }), (ids) => {
      t.same(
        taken(decodeHeartbeatContext(encodeHeartbeatContext(ids))),
        ids.sort((a, b) => a - b),
      );
    }),
    { seed: 4, numRuns: 300 },
  );
});

t.test('lists that are cut off, run over, or too long are refused', async (t) => {
  const message = (raw: string): unknown => readHeartbeatContext(unhex(raw), BIGINTS);
  t.same(message('80'), { ok: false, message: 'group 0 of the heartbeat: its number is cut off' });
  t.same(message('05ff'), { ok: false, message: 'group 1 of the heartbeat: its number is cut off' });
  const tooLong = { ok: false, message: 'group 0 of the heartbeat: its number has more than 64 bits' };
  t.same(message('ffffffffffffffffff02'), tooLong);
  t.same(message('8080808080808080808000'), tooLong);
  t.same(message('ffffffffffffffffff0101'), {
    ok: false,
    message: 'group 1 of the heartbeat: its id is too large',
  });
  t.same(message('8000'), { ok: true, value: [0n] }, 'more bytes than needed');
  const full = new Uint8Array(HEARTBEAT_GROUPS_MAX);
  t.equal(taken(decodeHeartbeatContext(full)).length, HEARTBEAT_GROUPS_MAX);
  t.match(decodeHeartbeatContext(new Uint8Array(HEARTBEAT_GROUPS_MAX + 1)), { ok: false });
});

t.test('a member change as JSON: sorted keys, missing members are zero', async (t) => {
  const nobody = { id: 0, addr: '' };
  const decode = (text: string): unknown => decodeMemberChange(Buffer.from(text));
  t.same(decode('{}'), { ok: true, value: { addPeer: nobody, partitionId: 0, removePeer: nobody } });
  t.same(decode('{"addpeer":{"ID":7},"Extra":[1],"RemovePeer":null}'), {
    ok: true,
    value: { addPeer: { id: 7, addr: '' }, partitionId: 0, removePeer: nobody },
  });
  t.equal(
    utf8(encodeMemberChange({ addPeer: nobody, partitionId: 3, removePeer: nobody })),
    '{"PartitionId":3}',
  );
  for (const bad of ['', '{', '[]', '{"AddPeer":7}', '{"AddPeer":{"id":-1}}', '{"AddPeer":{"id":1.5}}'])
    t.match(decode(bad), { ok: false }, bad);
  t.same(decode('{"AddPeer":{"id":9007199254740992}}'), {
    ok: false,
    message: 'AddPeer.id: must be an integer from 0 to 9007199254740991',
  });
  t.match(decode(`{"AddPeer":{"addr":"${'a'.repeat(2000)}"}}`), { ok: false });
  t.match(decode(`{"x":"${'a'.repeat(70_000)}"}`), { ok: false, message: 'member change of 70008 bytes' });
});
