/**
 * Who may connect as what: lists of addresses and CIDR ranges (`extentd.access.*`). Pure.
 *
 * A list that is empty admits everybody, which is what the reference does. IPv4 addresses that a socket on an IPv6 address shows as `::ffff:a.b.c.d` are
 * matched as the IPv4 addresses they are.
 */
import assert from 'node:assert';
import { BlockList, isIP, isIPv4 } from 'node:net';

/** Entries of one list. */
export const RANGES_MAX = 1024;

/** One range: the addresses that share the first `prefixBits` bits with `address`. */
export interface AddressRange {
  readonly address: string;
  readonly prefixBits: number;
  readonly family: 'ipv4' | 'ipv6';
}

/** Reads `10.0.0.0/8`, `fd00::/8`, or a plain address, which is a range of one. Null: it is neither. */
export function parseRange(text: string): AddressRange | null {
  const [address, prefix, ...rest] = text.split('/');
  if (address === undefined || rest.length > 0 || isIP(address) === 0 || address.includes('%')) return null;
  const family = isIPv4(address) ? 'ipv4' : 'ipv6';
  const bits = family === 'ipv4' ? 32 : 128;
  if (prefix === undefined) return { address, prefixBits: bits, family };
  if (!/^\d{1,3}$/.test(prefix) || Number(prefix) > bits) return null;
  return { address, prefixBits: Number(prefix), family };
}

/** A list in the form in which addresses are looked up. */
export class AccessList {
  readonly #ranges: BlockList | null;

  /** `entries`: checked by `parseRange` before. Empty: everybody. */
  constructor(entries: readonly string[]) {
    this.#ranges = entries.length === 0 ? null : new BlockList();
    for (const entry of entries) {
      const range = parseRange(entry);
      assert(range !== null, `access list: ${entry}`);
      this.#ranges?.addSubnet(range.address, range.prefixBits, range.family);
    }
  }

  /** Whether `address`, an IP address as a socket shows it, is in the list. What is no address is in none but the empty one. */
  admits(address: string): boolean {
    if (this.#ranges === null) return true;
    const plain = address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
    const version = isIP(plain);
    return version !== 0 && this.#ranges.check(plain, version === 4 ? 'ipv4' : 'ipv6');
  }
}
