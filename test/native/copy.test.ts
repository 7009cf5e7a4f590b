/** Copies of many ranges in one call. */
import fc from 'fast-check';
import t from 'tap';
import { native } from '../../src/native/addon.js';

const from = Uint8Array.from({ length: 5000 }, (_, index) => (index * 31) & 0xff);

t.test('many moves equal as many calls of set, whatever the alignments', async () => {
  const move = fc.tuple(fc.nat(2500), fc.nat(2500), fc.nat(2500));
  fc.assert(
    fc.property(fc.array(move, { maxLength: 20 }), (moves) => {
      const [to, expected] = [new Uint8Array(new SharedArrayBuffer(5000)), new Uint8Array(5000)];
      native.copyMany(from, to, Float64Array.from(moves.flat()), moves.length);
      for (const [source, target, length] of moves) {
        expected.set(from.subarray(source, source + length), target);
      }
      return Buffer.compare(to, expected) === 0;
    }),
  );
});

t.test('a move outside its buffers, or more moves than were given, throws', async (t) => {
  const to = new Uint8Array(100);
  const copy = (move: number[], count: number) => () =>
    native.copyMany(from, to, Float64Array.from(move), count);
  t.throws(copy([4901, 0, 100], 1), TypeError);
  t.throws(copy([0, 1, 100], 1), TypeError);
  t.throws(copy([-1, 0, 1], 1), TypeError);
  t.throws(copy([0, 0.5, 1], 1), TypeError);
  t.throws(copy([0, 0, Number.NaN], 1), TypeError);
  t.throws(copy([0, 0, Number.MAX_SAFE_INTEGER], 1), TypeError);
  t.throws(copy([0, 0, 1], 2), TypeError);
  t.ok(to.every((byte) => byte === 0));
});
