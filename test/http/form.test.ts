/** Parameters as the reference parses them, with its error texts. */
import t from 'tap';
import { parseForm, parseInt64, parseUint } from '../../src/http/form.js';
import type { HttpRequest } from '../../src/http/httpServer.js';

function request(query: string, change: Partial<HttpRequest> = {}): HttpRequest {
  return {
    method: 'GET',
    path: '/x',
    query,
    contentType: '',
    peer: '127.0.0.1',
    body: Buffer.alloc(0),
    ...change,
  };
}

function parameterOf(query: string, key: string, change: Partial<HttpRequest> = {}): string | undefined {
  const form = parseForm(request(query, change));
  return form.ok ? form.value.get(key) : undefined;
}

const FORM = { method: 'POST', contentType: 'application/x-www-form-urlencoded' };

t.test('query and form body', async (t) => {
  t.equal(parameterOf('id=5&id=6', 'id'), '5', 'the first one counts');
  t.equal(parameterOf('a=1&&b', 'b'), '');
  t.equal(parameterOf('v=a+b%20c%3D', 'v'), 'a b c=');
  t.equal(
    parameterOf('id=1', 'id', { ...FORM, body: Buffer.from('id=2') }),
    '2',
    'the body goes before the query',
  );
  t.equal(parameterOf('id=1', 'id', { ...FORM, method: 'GET', body: Buffer.from('id=2') }), '1');
  t.equal(parameterOf('id=1', 'id', { ...FORM, contentType: 'text/plain', body: Buffer.from('id=2') }), '1');
});

t.test('bad escapes', async (t) => {
  for (const [query, shown] of [
    ['id=%zz', '%zz'],
    ['id=%4', '%4'],
    ['%', '%'],
  ]) {
    t.match(parseForm(request(query!)), {
      ok: false,
      message: `invalid URL escape ${JSON.stringify(shown)}`,
    });
  }
  t.notOk(parseForm(request('id=%ff')).ok);
});

t.test('unsigned ids', async (t) => {
  t.strictSame(parseUint('42'), { ok: true, value: { value: 42, text: '42' } });
  t.strictSame(parseUint('18446744073709551615'), {
    ok: true,
    value: { value: -1, text: '18446744073709551615' },
  });
  t.match(parseUint(''), { ok: false, message: 'strconv.ParseUint: parsing "": invalid syntax' });
  t.match(parseUint('-1'), { ok: false, message: 'strconv.ParseUint: parsing "-1": invalid syntax' });
  t.match(parseUint('18446744073709551616'), {
    ok: false,
    message: 'strconv.ParseUint: parsing "18446744073709551616": value out of range',
  });
  t.match(parseUint('9'.repeat(10_000)), { ok: false, message: /value out of range$/ });
});

t.test('signed ids', async (t) => {
  t.strictSame(parseInt64('+7'), { ok: true, value: { value: 7, text: '7' } });
  t.strictSame(parseInt64('-1'), { ok: true, value: { value: -1, text: '18446744073709551615' } });
  t.match(parseInt64('x'), { ok: false, message: 'strconv.Atoi: parsing "x": invalid syntax' });
  t.match(parseInt64('9223372036854775808'), { ok: false, message: /value out of range$/ });
});
