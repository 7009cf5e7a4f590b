/** The random-write command in its two formats (`storage.md` 16, `raft.md` 5.1). */
import t from 'tap';
import {
  BINARY_MARSHAL_MAGIC_VERSION,
  marshalRandWriteRaftLog,
  RAND_WRITE_HEADER_BYTES,
  unmarshalOldVersionRaftLog,
  unmarshalOldVersionRandWriteOpItem,
  unmarshalRandWriteRaftLog,
} from '../../src/protocol/randWrite.js';
import { hex, randomWriteVectors, unhex } from './vectors.js';

const bytes = (text: string): Uint8Array => Buffer.from(text);

/** The reference fills the missing bytes with zeros; here such a command is damaged. */
const REFUSED_HERE = 'short_data_accepted';

t.test('recorded commands decode to their fields, bad ones to the error of the reference', async (t) => {
  for (const { name, hex: raw, fields } of randomWriteVectors()) {
    const decoded = unmarshalRandWriteRaftLog(unhex(raw));
    if (name === REFUSED_HERE) {
      t.same(decoded, { ok: false, message: 'unexpected EOF' }, name);
    } else if ('error' in fields) {
      t.same(decoded, { ok: false, message: fields['error'] }, name);
    } else if (!decoded.ok) {
      t.fail(`${name}: ${decoded.message}`);
    } else {
      const { opcode, extentId, extentOffset, sizeBytes, crc, data, exact } = decoded.value;
      t.same(
        { opcode, offset: String(extentOffset), size: String(sizeBytes), crc, dataHex: hex(data) },
        {
          opcode: fields['opcode'],
          offset: fields['offset'],
          size: fields['size'],
          crc: fields['crc'],
          dataHex: fields['dataHex'],
        },
        name,
      );
      const fits = BigInt(fields['extentID'] ?? 0) < 2n ** 53n;
      t.equal(exact, fits, `${name}: ids beyond 2^53 - 1 are marked`);
      if (fits) t.equal(String(extentId), fields['extentID']);
    }
  }
});

t.test('marshalling gives the recorded bytes', async (t) => {
  let compared = 0;
  for (const { name, hex: raw, fields } of randomWriteVectors()) {
    if (!name.startsWith('new_') || BigInt(fields['extentID'] ?? 0) >= 2n ** 53n) continue;
    const data = unhex(String(fields['dataHex']));
    const command = marshalRandWriteRaftLog(
      Number(fields['opcode']),
      Number(fields['extentID']),
      Number(fields['offset']),
      data,
      Number(fields['crc']),
    );
    t.equal(hex(command), raw, name);
    compared += 1;
  }
  t.equal(compared, 2);
});

t.test('the example of the storage chapter, in both formats', async (t) => {
  const raw = '000000ff0f0000000000000401000000000001ffce00000000000000053610a68668656c6c6f';
  t.equal(hex(marshalRandWriteRaftLog(0x0f, 1025, 131022, bytes('hello'), 0x3610a686)), raw);
  const old = '{"op":15,"k":null,"v":"AAAAAAAABAEAAAAAAAH/zgAAAAAAAAAFNhCmhmhlbGxv"}';
  t.same(unmarshalRandWriteRaftLog(bytes(old)), unmarshalRandWriteRaftLog(unhex(raw)));
  t.same(unmarshalOldVersionRaftLog(bytes(old)), unmarshalRandWriteRaftLog(unhex(raw)));
});

t.test('the recorded values of old commands are what the whole commands hold', async (t) => {
  const old = randomWriteVectors().filter(({ fields }) => 'valueHex' in fields);
  t.equal(old.length, 2);
  for (const { name, hex: raw, fields } of old) {
    t.equal(Buffer.from(raw, 'hex').toString(), fields['json'], name);
    const value = unhex(String(fields['valueHex']));
    const opcode = Number(fields['op']) & 0xff;
    t.equal(opcode, fields['opcode'], name);
    t.same(unmarshalOldVersionRandWriteOpItem(value, opcode), unmarshalOldVersionRaftLog(unhex(raw)), name);
  }
});

t.test('the value of an old command is the fields from the extent id on', async (t) => {
  const raw = '000000ff120000000000000401000000000001ffce00000000000000053610a68668656c6c6f';
  const value = unhex(raw).slice(5);
  t.same(unmarshalOldVersionRandWriteOpItem(value, 0x12), unmarshalRandWriteRaftLog(unhex(raw)));
});

t.test('every cut of a command is told as the reference tells it', async (t) => {
  const raw = marshalRandWriteRaftLog(0x0f, 1025, 0, bytes('hello'), 1);
  const fieldStarts = [0, 4, 5, 13, 21, 29, RAND_WRITE_HEADER_BYTES];
  for (let length = 0; length < raw.length; length += 1) {
    const message = fieldStarts.includes(length) ? 'EOF' : 'unexpected EOF';
    t.same(unmarshalRandWriteRaftLog(raw.subarray(0, length)), { ok: false, message }, `${length} bytes`);
  }
  t.ok(unmarshalRandWriteRaftLog(raw).ok);
});

t.test('surplus bytes are ignored, absurd sizes refused', async (t) => {
  const raw = marshalRandWriteRaftLog(0x0f, 1025, 0, bytes('hello'), 1);
  const longer = Uint8Array.from([...raw, 1, 2, 3]);
  const decoded = unmarshalRandWriteRaftLog(longer);
  t.equal(decoded.ok && hex(decoded.value.data), hex(bytes('hello')));
  longer.set(unhex('ffffffffffffffff'), 21);
  t.same(unmarshalRandWriteRaftLog(longer), { ok: false, message: 'negative size -1' });
  longer.set(unhex('7fffffffffffffff'), 21);
  t.same(unmarshalRandWriteRaftLog(longer), { ok: false, message: 'unexpected EOF' });
});

t.test('old commands with bad base64 or bad JSON are refused', async (t) => {
  for (const value of ['"v":"%%%%"', '"v":"AAA"', '"v":7', '"op":"x"']) {
    t.notOk(unmarshalOldVersionRaftLog(bytes(`{${value}}`)).ok, value);
  }
  t.same(unmarshalOldVersionRaftLog(bytes('{}')), { ok: false, message: 'EOF' });
});

t.test('the version word is 255', async (t) => {
  t.equal(BINARY_MARSHAL_MAGIC_VERSION, 0xff);
});
