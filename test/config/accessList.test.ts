/**
 * Lists of addresses and CIDR ranges: what an entry may be, and whom a list admits.
 */
import t from 'tap';
import { AccessList, parseRange } from '../../src/config/accessList.js';

t.test('an entry is an address or a range; anything else is not', async (t) => {
  t.strictSame(parseRange('10.1.2.3'), { address: '10.1.2.3', prefixBits: 32, family: 'ipv4' });
  t.strictSame(parseRange('10.0.0.0/8'), { address: '10.0.0.0', prefixBits: 8, family: 'ipv4' });
  t.strictSame(parseRange('fd00::/7'), { address: 'fd00::', prefixBits: 7, family: 'ipv6' });
  t.strictSame(parseRange('0.0.0.0/0'), { address: '0.0.0.0', prefixBits: 0, family: 'ipv4' });
  for (const text of [
    '',
    '10.0.0',
    'host',
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    '10.0.0.0/',
    'fe80::1%eth0',
  ]) {
    t.equal(parseRange(text), null, text);
  }
});

t.test('an empty list admits everybody', async (t) => {
  const list = new AccessList([]);
  for (const address of ['10.0.0.1', '::1', '::ffff:10.0.0.1', ''])
    t.equal(list.admits(address), true, address);
});

t.test('a list admits its addresses and ranges only, of either family', async (t) => {
  const list = new AccessList(['10.0.0.0/8', '192.168.1.7', 'fd00::/8']);
  const cases: [address: string, admitted: boolean][] = [
    ['10.255.0.1', true],
    ['::ffff:10.1.1.1', true],
    ['11.0.0.1', false],
    ['192.168.1.7', true],
    ['192.168.1.8', false],
    ['fd12::1', true],
    ['fe80::1%eth0', false],
    ['::1', false],
    ['', false],
    ['nonsense', false],
  ];
  for (const [address, admitted] of cases) t.equal(list.admits(address), admitted, address);
});

t.test('a range of all addresses of a family admits that family', async (t) => {
  const list = new AccessList(['0.0.0.0/0']);
  t.equal(list.admits('203.0.113.9'), true);
  t.equal(list.admits('fd00::1'), false);
});
