/** The 17-byte Arg of tiny repair replies (`wire.md` 8.3). */
import t from 'tap';
import {
  EMPTY_RESPONSE,
  readTinyRepairArg,
  TINY_REPAIR_ARG_BYTES,
  writeTinyRepairArg,
} from '../../src/protocol/tinyRepairArg.js';
import { hex, unhex, viewOf, wireVector } from './vectors.js';

t.test('holes and data are told apart by the first byte, both name what is available', async (t) => {
  const cases: [string, number, number][] = [
    ['T1', 4096, 4104],
    ['T2', 0, 4104],
    ['RT2', 8192, 143360],
    ['RT3', 0, 143360],
  ];
  for (const [name, holeBytes, availableBytes] of cases) {
    const { arg } = wireVector(name);
    const written = new Uint8Array(TINY_REPAIR_ARG_BYTES);
    writeTinyRepairArg(viewOf(written), 0, holeBytes, availableBytes);
    t.equal(hex(written), arg, name);
    t.same(readTinyRepairArg(unhex(arg)), { holeBytes, availableBytes }, name);
  }
  t.equal(EMPTY_RESPONSE, 'E'.charCodeAt(0));
});

t.test('an older node sends no Arg, which ends the answer', async (t) => {
  t.same(readTinyRepairArg(new Uint8Array(0)), { holeBytes: 0, availableBytes: 0 });
});

t.test('other lengths and absurd numbers are refused', async (t) => {
  t.equal(readTinyRepairArg(new Uint8Array(16)), null);
  t.equal(readTinyRepairArg(new Uint8Array(18)), null);
  t.equal(readTinyRepairArg(new Uint8Array(17).fill(0xff)), null);
});
