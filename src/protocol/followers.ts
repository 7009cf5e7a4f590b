/**
 * The follower list in Arg (`wire.md` 3.3): `a/b/`, every address followed by a slash.
 *
 * The server parses it for each request of a primary; clients of this package build it. The count is that of the slashes, cut to 8 bits as the reference
 * does; text behind the last slash does not count.
 */

const SLASH = 0x2f;
/** Longest address that is taken: a host name of 253 bytes, a colon and a port. */
export const FOLLOWER_ADDRESS_BYTES_MAX = 260;

/** How many followers an Arg names, 0..255. */
export function followerCount(arg: Uint8Array): number {
  let slashes = 0;
  for (let i = 0; i < arg.length; i += 1) if (arg[i] === SLASH) slashes += 1;
  return slashes & 0xff;
}

/** The addresses of a list; a message where one of them is too long to be one. Empty addresses are handed out as such. */
export type FollowerListOutcome =
  | { readonly ok: true; readonly addresses: readonly string[] }
  | { readonly ok: false; readonly message: string };

/** Parses an Arg. At most 255 addresses come out, however long it is. */
export function parseFollowers(arg: Uint8Array): FollowerListOutcome {
  const count = followerCount(arg);
  const addresses: string[] = [];
  let from = 0;
  for (let i = 0; i < arg.length && addresses.length < count; i += 1) {
    if (arg[i] !== SLASH) continue;
    if (i - from > FOLLOWER_ADDRESS_BYTES_MAX) {
      return { ok: false, message: `follower address of ${i - from} bytes` };
    }
    addresses.push(Buffer.from(arg.buffer, arg.byteOffset + from, i - from).toString('latin1'));
    from = i + 1;
  }
  return { ok: true, addresses };
}

/** Formats a list for Arg. */
export function formatFollowers(addresses: readonly string[]): Uint8Array {
  return Buffer.from(addresses.map((address) => `${address}/`).join(''), 'latin1');
}

/** Parses the lists of one connection: they repeat from packet to packet, and an equal Arg gives the same outcome without allocating. */
export class FollowerListParser {
  #arg = new Uint8Array(0);
  #outcome: FollowerListOutcome = { ok: true, addresses: [] };

  parse(arg: Uint8Array): FollowerListOutcome {
    if (!sameBytes(this.#arg, arg)) {
      this.#outcome = parseFollowers(arg);
      this.#arg = arg.slice();
    }
    return this.#outcome;
  }
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false;
  for (let i = 0; i < left.length; i += 1) if (left[i] !== right[i]) return false;
  return true;
}
