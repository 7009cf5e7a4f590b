/**
 * The one line on standard output that says a node serves, and where. Scripts wait for it: `extentd ready` first, then `name=address` pairs.
 */

/** Name → `host:port` or URL; null: not served. */
export type NamedAddresses = Readonly<Record<string, string | null>>;

/** E.g. `extentd ready node=127.0.0.1:17310 http=http://127.0.0.1:17320/`, with a line break. */
export function readyLine(addresses: NamedAddresses): string {
  let line = 'extentd ready';
  for (const [name, address] of Object.entries(addresses)) {
    if (address !== null) line += ` ${name}=${address}`;
  }
  return `${line}\n`;
}
