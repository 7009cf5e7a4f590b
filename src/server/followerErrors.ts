/**
 * How a follower that cannot be reached is told of to clients and logs: the texts of the reference (`wire.md` 7.1, 7.3), which are those of its network library. Pure.
 */

/** The operating system's words for an errno, as the reference has them. */
export type ErrnoText = (errno: number) => string;

/** A socket's error, as Node tells it. */
export interface SocketError {
  readonly message: string;
  readonly code?: string | undefined;
  /** Negated errno where it is the system's. */
  readonly errno?: number | undefined;
  readonly syscall?: string | undefined;
}

/** Why a follower's address could not be dialled. */
export function dialText(address: string, error: SocketError, errnoText: ErrnoText): string {
  if (error.syscall === 'getaddrinfo') {
    const name = address.slice(0, address.lastIndexOf(':'));
    return `dial tcp: lookup ${name}: ${error.code === 'ENOTFOUND' ? 'no such host' : error.message}`;
  }
  return `dial tcp ${address}: connect: ${systemText(error, errnoText)}`;
}

/** A dial that took too long. */
export function dialTimeoutText(address: string): string {
  return `dial tcp ${address}: i/o timeout`;
}

/** An address that is none. */
export function badAddressText(address: string): string {
  return `dial tcp: address ${address}: ${address.includes(':') ? 'invalid port' : 'missing port in address'}`;
}

/** Why a connection was lost; `local` and `remote`: its ends. */
export function lostText(local: string, remote: string, error: SocketError, errnoText: ErrnoText): string {
  const call = error.syscall === 'write' ? 'write' : 'read';
  return `${call} tcp ${local}->${remote}: ${call}: ${systemText(error, errnoText)}`;
}

/** A reply that did not come in time. */
export function replyTimeoutText(local: string, remote: string): string {
  return `read tcp ${local}->${remote}: i/o timeout`;
}

function systemText({ errno, message }: SocketError, errnoText: ErrnoText): string {
  return errno === undefined || errno >= 0 ? message : errnoText(-errno);
}
