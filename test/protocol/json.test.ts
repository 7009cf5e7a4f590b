/** JSON as the Go side reads and writes it: escapes, bounds, key matching, numbers. */
import fc from 'fast-check';
import t from 'tap';
import {
  anything,
  bool,
  decodeBody,
  encodeBody,
  i8,
  type JsonCodec,
  list,
  struct,
  text,
  u8,
  u64,
} from '../../src/protocol/jsonCodec.js';
import { JSON_LIMITS, jsonString, jsonText, parseJson } from '../../src/protocol/jsonText.js';
import { utf8 } from './vectors.js';

const bytes = (value: string): Uint8Array => Buffer.from(value);

interface Sample {
  partitionId: number;
  name: string;
  flag: boolean;
  small: number;
  ids: number[];
}

const sample: JsonCodec<Sample> = struct<Sample>({
  partitionId: ['PartitionId', u64],
  name: ['Name', text(8)],
  flag: ['Flag', bool],
  small: ['Small', i8],
  ids: ['Ids', list(u8, 3)],
});

const ZERO: Sample = { partitionId: 0, name: '', flag: false, small: 0, ids: [] };

function decoded(source: string): unknown {
  const outcome = decodeBody(sample, bytes(source));
  return outcome.ok ? outcome.value : outcome.message;
}

t.test('strings are escaped as Go escapes them', async (t) => {
  t.equal(jsonString('plain é 😀'), '"plain é 😀"');
  t.equal(jsonString('<a href="x">&</a>'), '"\\u003ca href=\\"x\\"\\u003e\\u0026\\u003c/a\\u003e"');
  t.equal(jsonString('\n\r\t\b\f\u0000\u001f\\'), '"\\n\\r\\t\\u0008\\u000c\\u0000\\u001f\\\\"');
  t.equal(jsonString('\u2028\u2029\u007f'), '"\\u2028\\u2029\u007f"');
  t.equal(jsonString('\ud800x\udc00'), '"\\ufffdx\\ufffd"');
});

t.test('an escaped string parses back to itself', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 30 }), (value) => {
      t.equal(JSON.parse(jsonString(value)), value);
    }),
    { seed: 4, numRuns: 200 },
  );
});

t.test('any value is printed compactly, keys in their order', async (t) => {
  const source = '{"b":[1,-2.5,true,null,"<"],"a":{}}';
  const parsed = parseJson(bytes(source));
  t.ok(parsed.ok);
  if (parsed.ok) t.equal(jsonText(parsed.value), source.replace('<', '\\u003c'));
});

t.test('keys match in any case, unknown ones are skipped, the last one wins', async (t) => {
  t.same(decoded('{"partitionid":7,"NAME":"v","Other":{"x":[1]}}'), { ...ZERO, partitionId: 7, name: 'v' });
  t.same(decoded('{"PartitionId":7,"partitionid":8}'), { ...ZERO, partitionId: 8 });
  t.same(decoded('{"__proto__":1,"constructor":2}'), ZERO);
});

t.test('missing keys and null leave the zero value', async (t) => {
  t.same(decoded('{}'), ZERO);
  t.same(decoded('{"PartitionId":null,"Name":null,"Flag":null,"Small":null,"Ids":null}'), ZERO);
  t.same(decoded('null'), ZERO);
});

t.test('numbers that a double cannot hold exactly are refused', async (t) => {
  t.same(decoded('{"PartitionId":9007199254740991}'), { ...ZERO, partitionId: 9007199254740991 });
  const refusal = 'PartitionId: must be an integer from 0 to 9007199254740991';
  for (const value of [
    '9007199254740992',
    '9007199254740993',
    '18446744073709551615',
    '-1',
    '1.5',
    '"7"',
    '1e400',
  ]) {
    t.equal(decoded(`{"PartitionId":${value}}`), refusal, value);
  }
  t.equal(decoded('{"Small":128}'), 'Small: must be an integer from -128 to 127');
});

t.test('wrong types, long strings and long arrays are refused, with the place', async (t) => {
  t.equal(decoded('[]'), 'body: must be an object');
  t.equal(decoded('{"Name":"123456789"}'), 'Name: must be a string of at most 8 characters');
  t.equal(decoded('{"Flag":1}'), 'Flag: must be true or false');
  t.equal(decoded('{"Ids":[1,2,3,4]}'), 'Ids: must be an array of at most 3');
  t.equal(decoded('{"Ids":[1,300]}'), 'Ids[1]: must be an integer from 0 to 255');
});

t.test('encoding gives the keys in order and round-trips', async (t) => {
  const value: Sample = { partitionId: 42, name: 'a<b', flag: true, small: -1, ids: [1, 2] };
  const body = encodeBody(sample, value);
  t.equal(utf8(body), '{"PartitionId":42,"Name":"a\\u003cb","Flag":true,"Small":-1,"Ids":[1,2]}');
  t.same(decodeBody(sample, body), { ok: true, value });
});

t.test('encoding a number out of its range is a broken invariant', async (t) => {
  t.throws(() => encodeBody(u64, 1.5), /out of its range/);
  t.throws(() => encodeBody(u8, 256), /out of its range/);
});

t.test('syntax errors are told in the words of Go where it matters', async (t) => {
  const message = (source: string): string => {
    const parsed = parseJson(bytes(source));
    return parsed.ok ? 'parsed' : parsed.message;
  };
  t.equal(message(''), 'unexpected end of JSON input');
  t.equal(message('   '), 'unexpected end of JSON input');
  t.equal(message('{"a":1'), 'unexpected end of JSON input');
  t.equal(message('{"a":"b'), 'unexpected end of JSON input');
  t.equal(message('nonsense'.replace('n', 'x')), "invalid character 'x' looking for beginning of value");
  t.equal(message('\u0000\u0000'), "invalid character '\\x00' looking for beginning of value");
  t.equal(message('{nope}'), "invalid character 'n' looking for beginning of object key string");
  t.match(message('{"a":1}x'), /^invalid/);
  t.match(message('\ufeff{}'), /^invalid character/, 'a byte order mark is no JSON');
});

t.test('invalid UTF-8 becomes U+FFFD', async (t) => {
  t.same(parseJson(Uint8Array.from([0x22, 0xff, 0x22])), { ok: true, value: '\ufffd' });
});

t.test('depth and number of values are bounded before parsing', async (t) => {
  const nested = (depth: number): Uint8Array => bytes('['.repeat(depth) + ']'.repeat(depth));
  t.ok(parseJson(nested(JSON_LIMITS.depthMax)).ok);
  t.match(parseJson(nested(JSON_LIMITS.depthMax + 1)), { ok: false, message: /deeper than 32/ });
  t.match(parseJson(Buffer.alloc(1 << 20, '[')), { ok: false });
  t.match(parseJson(Buffer.alloc(JSON_LIMITS.marksMax + 1, ',')), {
    ok: false,
    message: /more than 2000000/,
  });
  t.ok(parseJson(bytes(`"${'[,:'.repeat(100)}"`)).ok, 'inside strings nothing counts');
  t.ok(parseJson(bytes(String.raw`["\"[[[[", "\\"]`)).ok, 'escaped quotes do not end a string');
});

t.test('values kept as they came are bounded and re-encodable', async (t) => {
  const value = decodeBody(anything, bytes('{"x":[{"y":null}]}'));
  t.ok(value.ok);
  if (value.ok) t.equal(utf8(encodeBody(anything, value.value)), '{"x":[{"y":null}]}');
});
