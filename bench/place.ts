/**
 * Makes the place that a connection talks to (`connection.ts`) from addresses that were checked before. Pure.
 */
import assert from 'node:assert';
import { formatFollowers } from '../src/protocol/followers.js';
import { parseAddress } from './address.js';
import type { Place } from './connection.js';

/** `host`: whom to connect to; `followers`: whom it forwards to. `remainingFollowers` is 1 for a primary without followers, 0 for a follower. */
export function placeOf(host: string, followers: readonly string[], remainingFollowers: number): Place {
  const address = parseAddress(host);
  assert(address !== null, 'addresses were checked with the flags or the answer of the master');
  return { ...address, address: host, arg: formatFollowers(followers), remainingFollowers };
}
