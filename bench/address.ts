/** `host:port` as the user types it. */

/** A host name or address, and a TCP port. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Parses `host:port` (also `[::1]:port`); null when it is not one. */
export function parseAddress(text: string): Address | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/[\]]+)):(\d{1,5})$/.exec(text);
  if (match === null) return null;
  const port = Number(match[3]);
  if (port < 1 || port > 65_535) return null;
  return { host: (match[1] ?? match[2])!, port };
}

/** The opposite of `parseAddress`. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
