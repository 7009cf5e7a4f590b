/**
 * Arbitrary bytes against raft's decoders: none throws, none hands out bytes that it was not given, none makes more objects than its input has room for, and what
 * is taken encodes to bytes that are taken again.
 *
 * Seeds are fixed; `FUZZ_RUNS` multiplies the work for a long run.
 */
import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import { decodeHeartbeatContext, encodeHeartbeatContext } from '../../src/protocol/heartbeatContext.js';
import type { Decoded } from '../../src/protocol/jsonText.js';
import { decodeMemberChange } from '../../src/protocol/memberChange.js';
import { RaftFramer } from '../../src/protocol/raftFramer.js';
import {
  decodeMessage,
  encodeMessage,
  FRAME_HEAD_BYTES,
  type RaftMessage,
} from '../../src/protocol/raftMessage.js';
import {
  decodeConfigurationChange,
  decodeEntry,
  decodeHardState,
  decodePeer,
  decodeSnapshotMeta,
  encodeConfigurationChange,
  encodeEntry,
  encodeSnapshotMeta,
} from '../../src/protocol/raftStructs.js';
import { Random } from '../sim/random.js';
import { raftVectors } from './raftVectors.js';
import { hex, unhex, viewOf } from './vectors.js';

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 1);
const originals = raftVectors('messages').map((vector) => unhex(vector.hex).subarray(FRAME_HEAD_BYTES));
/** With a member and a hard state of small numbers: most recorded ones are beyond 2^53. */
const structs = [
  ...raftVectors('structs').map((vector) => unhex(vector.hex)),
  ...[11, 24].map((length) => new Uint8Array(length)),
];

function randomBytes(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.below(256));
}

/** A recorded piece with some bytes changed, perhaps cut or longer. */
function damaged(random: Random, pieces: readonly Uint8Array[]): Uint8Array {
  const piece = pieces[random.below(pieces.length)]!;
  const grown = new Uint8Array(Math.max(0, piece.length + (random.chance(0.2) ? random.below(40) - 20 : 0)));
  grown.set(piece.subarray(0, grown.length));
  for (let flips = random.below(4); flips > 0 && grown.length > 0; flips -= 1) {
    // Lengths, counts and upper bytes of numbers are where damage bites: mostly small changes near the front.
    const at = random.below(random.chance(0.5) ? Math.min(grown.length, 90) : grown.length);
    grown[at] = random.chance(0.5) ? random.below(256) : grown[at]! ^ (1 << random.below(8));
  }
  return grown;
}

/** What a message claims to be made of, in bytes. */
function claimedBytes({ entries, context, snapshot }: RaftMessage): number {
  const data = entries.reduce((sum, entry) => sum + 21 + entry.data.byteLength, 0);
  return data + context.byteLength + 11 * (snapshot?.peers.length ?? 0);
}

t.test('no bytes make a message throw or claim more than there is', async (t) => {
  const random = new Random(0x5eed);
  let taken = 0;
  const runs = 20_000 * RUNS;
  for (let run = 0; run < runs; run += 1) {
    const body = random.chance(0.1) ? randomBytes(random, random.below(300)) : damaged(random, originals);
    if (random.chance(0.5) && body.length > 1) body.set([1, random.below(16)]);
    const decoded = decodeMessage(body);
    if (!decoded.ok) continue;
    taken += 1;
    if (claimedBytes(decoded.value) > body.length) t.fail(`${hex(body)} claims more than it has`);
    const again = decodeMessage(encodeMessage(decoded.value).subarray(FRAME_HEAD_BYTES));
    if (!again.ok || hex(encodeMessage(again.value)) !== hex(encodeMessage(decoded.value)))
      t.fail(`${hex(body)} does not come back`);
  }
  t.ok(taken > runs / 10 && taken < runs, `${taken} of ${runs} were messages`);
});

t.test('no bytes make a structure throw; what is taken comes back', async (t) => {
  const random = new Random(0xface);
  const kinds: readonly [(bytes: Uint8Array) => Decoded<unknown>, ((value: never) => Uint8Array) | null][] = [
    [decodeEntry, encodeEntry],
    [decodeConfigurationChange, encodeConfigurationChange],
    [decodeSnapshotMeta, encodeSnapshotMeta],
    [decodeHeartbeatContext, encodeHeartbeatContext],
    [decodePeer, null],
    [decodeHardState, null],
    [decodeMemberChange, null],
  ];
  const taken = kinds.map(() => 0);
  for (let run = 0; run < 5000 * RUNS; run += 1) {
    const bytes = random.chance(0.3) ? randomBytes(random, random.below(60)) : damaged(random, structs);
    for (const [i, [decode, encode]] of kinds.entries()) {
      const decoded = decode(bytes);
      if (!decoded.ok) continue;
      taken[i]! += 1;
      if (encode === null) continue;
      const again = decode(encode(decoded.value as never));
      if (!isDeepStrictEqual(again, decoded)) t.fail(`${hex(bytes)} does not come back from decoder ${i}`);
    }
  }
  // A member change needs JSON, which flipped bytes of other structures are not.
  for (const [i, count] of taken.slice(0, 6).entries()) t.ok(count > 50, `decoder ${i} took ${count}`);
});

t.test('JSON of a member change with flipped bytes never throws', async (t) => {
  const random = new Random(0xc0de);
  const contexts = raftVectors<{ context?: string }>('structs').flatMap(({ fields }) =>
    fields.context === undefined ? [] : [new Uint8Array(Buffer.from(fields.context))],
  );
  let taken = 0;
  for (let run = 0; run < 3000 * RUNS; run += 1) {
    if (decodeMemberChange(damaged(random, contexts)).ok) taken += 1;
  }
  t.ok(taken > 100 && taken < 3000 * RUNS, `${taken} were taken`);
});

t.test('the framer holds no more than what came, whatever lengths are announced', async (t) => {
  const random = new Random(0xbeef);
  const bodyBytesMax = 500;
  let bodies = 0;
  let faults = 0;
  for (let run = 0; run < 3000 * RUNS; run += 1) {
    const framer = new RaftFramer(bodyBytesMax);
    const stream = randomBytes(random, random.below(2000));
    for (let at = 0; at + 4 < stream.length; at += 4 + random.below(500))
      viewOf(stream).setUint32(at, random.chance(0.02) ? 2 ** 32 - 1 - random.below(9) : random.below(500));
    let came = 0;
    let given = 0;
    while (came < stream.length) {
      const to = Math.min(stream.length, came + 1 + random.below(300));
      const fault = framer.push(stream.subarray(came, to), (body) => {
        bodies += 1;
        given += FRAME_HEAD_BYTES + body.length;
      });
      came = to;
      if (given > came || framer.heldBytes > bodyBytesMax) t.fail('more than came');
      if (fault === null) continue;
      faults += 1;
      break;
    }
  }
  t.ok(bodies > 1000 && faults > 100, `${bodies} bodies, ${faults} faults`);
});
