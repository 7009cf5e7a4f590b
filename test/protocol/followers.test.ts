/** Follower lists in Arg (`wire.md` 3.3). */
import fc from 'fast-check';
import t from 'tap';
import {
  FOLLOWER_ADDRESS_BYTES_MAX,
  FollowerListParser,
  followerCount,
  formatFollowers,
  parseFollowers,
} from '../../src/protocol/followers.js';
import { hex, unhex, wireVector } from './vectors.js';

const bytes = (text: string): Uint8Array => Buffer.from(text);

t.test('every address is followed by a slash', async (t) => {
  const arg = unhex(wireVector('W1').arg);
  t.equal(followerCount(arg), 2);
  t.same(parseFollowers(arg), { ok: true, addresses: ['10.0.0.2:17310', '10.0.0.3:17310'] });
  t.equal(hex(formatFollowers(['10.0.0.2:17310', '10.0.0.3:17310'])), wireVector('W1').arg);
});

t.test('text behind the last slash does not count', async (t) => {
  t.same(parseFollowers(bytes('a:1')), { ok: true, addresses: [] });
  t.same(parseFollowers(bytes('a:1/b:2')), { ok: true, addresses: ['a:1'] });
  t.same(parseFollowers(bytes('')), { ok: true, addresses: [] });
});

t.test('empty addresses are handed out as such', async (t) => {
  t.same(parseFollowers(bytes('/')), { ok: true, addresses: [''] });
  t.same(parseFollowers(bytes('a:1//')), { ok: true, addresses: ['a:1', ''] });
});

t.test('the count is cut to eight bits', async (t) => {
  t.equal(followerCount(bytes('/'.repeat(256))), 0);
  t.same(parseFollowers(bytes('x/'.repeat(257))), { ok: true, addresses: ['x'] });
});

t.test('an address that is none is refused', async (t) => {
  const longest = 'h'.repeat(FOLLOWER_ADDRESS_BYTES_MAX);
  t.same(parseFollowers(bytes(`${longest}/`)), { ok: true, addresses: [longest] });
  t.match(parseFollowers(bytes(`${longest}h/`)), { ok: false, message: 'follower address of 261 bytes' });
});

t.test('lists round-trip', async (t) => {
  const address = fc
    .string({ maxLength: 30, unit: 'grapheme-ascii' })
    .map((text) => text.replaceAll('/', ''));
  fc.assert(
    fc.property(fc.array(address, { maxLength: 255 }), (addresses) => {
      t.same(parseFollowers(formatFollowers(addresses)), { ok: true, addresses });
    }),
    { seed: 3, numRuns: 100 },
  );
});

t.test('an equal Arg gives the same outcome without parsing again', async (t) => {
  const parser = new FollowerListParser();
  const first = parser.parse(bytes('a:1/b:2/'));
  t.same(first, { ok: true, addresses: ['a:1', 'b:2'] });
  t.equal(parser.parse(bytes('a:1/b:2/')), first);
  t.same(parser.parse(bytes('a:1/b:3/')), { ok: true, addresses: ['a:1', 'b:3'] });
  t.same(parser.parse(bytes('')), { ok: true, addresses: [] });
});

t.test('the bytes of a parsed Arg may be reused by the caller', async (t) => {
  const parser = new FollowerListParser();
  const arg = Uint8Array.from(bytes('a:1/'));
  parser.parse(arg);
  arg.set(bytes('b:2/'));
  t.same(parser.parse(arg), { ok: true, addresses: ['b:2'] });
});
