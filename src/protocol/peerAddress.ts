/**
 * Addresses of other nodes' data ports as packets, tasks and configurations name them: `ip:port`, `name:port`, `[ipv6]:port`.
 */

/** Where to connect to. */
export interface PeerAddress {
  readonly host: string;
  readonly port: number;
}

/** Host and port of `ip:port`; null: it is no such thing. */
export function parsePeerAddress(address: string): PeerAddress | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/[\]]+)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3] ?? 0);
  if (match === null || port < 1 || port > 65_535) return null;
  return { host: match[1] ?? match[2]!, port };
}
