/** What is particular to the server with uWebSockets.js: addresses that it shows as bytes. */
import { networkInterfaces } from 'node:os';
import t from 'tap';
import { addressText } from '../../src/http/uwsServer.js';
import { startThread } from './apiThread.js';
import { onEachServer } from './servers.js';

const bytes = (hex: string): ArrayBuffer => new Uint8Array(Buffer.from(hex, 'hex')).buffer;
const hasIPv6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === '::1'),
);

t.test('addresses as text, IPv4 over IPv6 as IPv4', async (t) => {
  t.equal(addressText(bytes('7f000001')), '127.0.0.1');
  t.equal(addressText(bytes('00000000000000000000ffff0a000102')), '10.0.1.2');
  t.equal(addressText(bytes('fd00000000000000000000000000abcd')), 'fd00:0:0:0:0:0:0:abcd');
  t.equal(addressText(bytes('')), '');
  t.equal(addressText(bytes('0102')), '');
});

t.test(
  'access.admin over IPv6',
  { skip: !hasIPv6 && 'this host has no IPv6' },
  onEachServer(async (t, server) => {
    const listeners = [{ address: '::1', port: 0, prof: true, exporter: false }];
    const inside = await startThread(t, server, { listeners, access: ['::1/128'] });
    t.equal((await fetch(`http://[::1]:${inside.prof}/readyz`)).status, 200);
    const outside = await startThread(t, server, { listeners, access: ['fd00::/8', '127.0.0.0/8'] });
    await t.rejects(fetch(`http://[::1]:${outside.prof}/readyz`));
  }),
);

t.test(
  'a socket on all addresses shows IPv4 peers as such',
  { skip: !hasIPv6 && 'this host has no IPv6' },
  onEachServer(async (t, server) => {
    const listeners = [{ address: '::', port: 0, prof: true, exporter: false }];
    const http = await startThread(t, server, { listeners, access: ['127.0.0.0/8'] });
    t.equal((await fetch(`http://127.0.0.1:${http.prof}/readyz`)).status, 200);
    await t.rejects(fetch(`http://[::1]:${http.prof}/readyz`));
  }),
);
