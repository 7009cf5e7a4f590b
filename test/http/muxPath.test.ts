/** Paths as the reference's multiplexer reads them. */
import t from 'tap';
import { muxPath } from '../../src/http/muxPath.js';

t.test('escapes are decoded, unclean paths are redirected, bad escapes are 400', async (t) => {
  const ask = (path: string, method = 'GET', query = '') => muxPath({ method, path, query });
  for (const [sent, path] of [
    ['/', '/'],
    ['/disks', '/disks'],
    ['/disks/', '/disks/'],
    ['/%64isks', '/disks'],
    ['/a%2Fb', '/a/b'],
  ] as const) {
    t.strictSame(ask(sent), { kind: 'path', path }, sent);
  }
  for (const [sent, location] of [
    ['//disks', '/disks'],
    ['/./disks', '/disks'],
    ['/x/../disks', '/disks'],
    ['/../..', '/'],
    ['/x//y/', '/x/y/'],
    ['//', '/'],
    ['', '/'],
    ['/%2e%2e/disks', '/disks'],
    ['//%22', '/%22'],
  ] as const) {
    t.match(ask(sent), { response: { status: 301, headers: { Location: location } } }, sent);
  }
  t.match(ask('//partition', 'GET', 'id=1&x=<'), {
    response: {
      headers: { Location: '/partition?id=1&x=<' },
      body: '<a href="/partition?id=1&#38;x=&#60;">Moved Permanently</a>.\n\n',
    },
  });
  t.match(ask('//a', 'GET', 'x=\u0001\u007f\u00e9'), {
    response: { headers: { Location: '/a?x=%01%7F%C3%A9' } },
  });
  t.match(ask('//disks', 'POST'), { response: { status: 301, body: '' } });
  t.strictSame(ask('//disks', 'CONNECT'), { kind: 'path', path: '//disks' });
  for (const sent of ['/%', '/%zz', '/%ff']) t.match(ask(sent), { response: { status: 400 } }, sent);
});
