/** Checksums by table, and the content of extents: stamped, checksummed without a pass over it, and told apart when it is wrong. */
import t from 'tap';
import {
  CRC_START,
  crcOfBytes,
  crcOfRegister,
  crcOfWord,
  loadBodyCrc,
  tableCrc,
  ZeroRun,
} from '../../bench/crc.js';
import { CELL_BYTES, Payload } from '../../bench/payload.js';

const RUN = 0xdeadbeef;

t.test('the tables give the known CRC-32 values', async (t) => {
  t.equal(tableCrc(Buffer.from('123456789'), 0), 0xcbf43926);
  t.equal(tableCrc(new Uint8Array(0), 0), 0);
  t.equal(tableCrc(Buffer.from('CubeFS!\n'), 0), 0xd441d872, 'wire.md 12');
  const split = tableCrc(Buffer.from('6789'), tableCrc(Buffer.from('12345'), 0));
  t.equal(split, 0xcbf43926, 'continued from a seed');
});

t.test('whatever implementation is loaded agrees with the tables', async (t) => {
  const { crc32, name } = await loadBodyCrc();
  const data = Buffer.from(Array.from({ length: 5001 }, (_, index) => (index * 131) & 255));
  for (const length of [0, 1, 7, 64, 5001]) {
    t.equal(
      crc32(data.subarray(0, length), 0),
      tableCrc(data.subarray(0, length), 0),
      `${name}, ${length} bytes`,
    );
  }
});

t.test('a word equals its four bytes, a run of zeros its zero bytes', async (t) => {
  const bytes = Buffer.from([0x12, 0x34, 0x56, 0xf8]);
  t.equal(crcOfWord(CRC_START, bytes.readInt32LE(0)), crcOfBytes(CRC_START, bytes, 0, 4));
  const register = crcOfBytes(CRC_START, bytes, 0, 4);
  for (const length of [0, 1, 33, 4064]) {
    const zeros = new Uint8Array(length);
    t.equal(new ZeroRun(length).apply(register), crcOfBytes(register, zeros, 0, length), `${length} zeros`);
  }
  t.equal(crcOfRegister(CRC_START), 0);
});

t.test('stamping a filled slot gives the content and its checksum', async (t) => {
  for (const unit of [64, 1000, 4096, 4100, 5000, 128 * 1024]) {
    const payload = new Payload(RUN, unit);
    const packet = unit * (unit < 5000 ? 3 : 1);
    const slot = new Uint8Array(packet + 9);
    const view = new DataView(slot.buffer);
    payload.fillPattern(slot, 9, packet);
    // The slot is used twice, as in a run: nothing of the first packet may stay.
    payload.stamp(7, 2 ** 40 + 5, 0, packet, view, 9);
    const crc = payload.stamp(3, 1025, packet * 5, packet, view, 9);
    const body = slot.subarray(9);
    t.same(body, payload.make(3, 1025, packet * 5, packet), `unit ${unit}: content`);
    t.equal(crc, tableCrc(body, 0), `unit ${unit}: checksum`);
    t.equal(payload.crcOf(3, 1025, packet * 5, packet), crc, `unit ${unit}: checksum without a slot`);
  }
});

t.test('content depends on run, partition, extent and offset', async (t) => {
  const payload = new Payload(RUN, 4096);
  const crcs = new Set([
    payload.crcOf(1, 1025, 0, 4096),
    payload.crcOf(2, 1025, 0, 4096),
    payload.crcOf(1, 1026, 0, 4096),
    payload.crcOf(1, 1025, 4096, 4096),
    new Payload(RUN + 1, 4096).crcOf(1, 1025, 0, 4096),
    new Payload(RUN, 64).crcOf(1, 1025, 0, 4096),
  ]);
  t.equal(crcs.size, 6);
});

t.test('a fill packet of several units is the same as the units one by one', async (t) => {
  const payload = new Payload(RUN, 5000);
  const together = payload.make(1, 1025, 10_000, 15_000);
  const singly = [10_000, 15_000, 20_000].map((offset) => payload.make(1, 1025, offset, 5000));
  t.same(together, new Uint8Array(Buffer.concat(singly)));
});

t.test('wrong content is explained by the cell it is in', async (t) => {
  const payload = new Payload(RUN, 2 * CELL_BYTES);
  const good = payload.make(4, 1030, 8192, 8192);
  t.equal(payload.explain(4, 1030, 8192, good), null);

  const zeros = good.slice().fill(0, CELL_BYTES);
  t.match(payload.explain(4, 1030, 8192, zeros), /partition 4 extent 1030: byte 12288 .*zeros/);

  const elsewhere = good.slice();
  elsewhere.set(payload.make(4, 1031, 0, 8192).subarray(0, CELL_BYTES), CELL_BYTES);
  t.match(payload.explain(4, 1030, 8192, elsewhere), /this run, partition 4 extent 1031 offset 0 version 0/);

  const older = new Payload(77, 2 * CELL_BYTES).make(4, 1030, 8192, 8192);
  t.match(payload.explain(4, 1030, 8192, older), /the stamp of run 77,/);

  const garbage = good.slice().fill(9, 0, 32);
  t.match(payload.explain(4, 1030, 8192, garbage), /no stamp/);

  const flipped = good.slice();
  flipped[5000]! ^= 1;
  t.match(payload.explain(4, 1030, 8192, flipped), /byte 13192 .*the right stamp and other bytes/);
});
