/**
 * From errnos to what is reported and answered (`admin.md` 8.2, `wire.md` 5.4).
 */
import type { StoreHost } from './storeHost.js';

const EIO = 5;
const EROFS = 30;
export const ENOENT = 2;
export const EAGAIN = 11;
export const EOPNOTSUPP = 95;

/** Tells the host of a failing disk: EIO and EROFS only. Running out of space, or of descriptors, is none. `errno` may be negated. */
export function reportDiskError(host: StoreHost, errno: number, writing: boolean): void {
  const plain = Math.abs(errno);
  if (plain === EIO || plain === EROFS) host.diskError(plain, writing);
}

/** `<call> <path>: <the C library's words>`; a transfer that was cut short without an errno has its own words. */
export function ioErrorText(host: StoreHost, call: string, path: string, result: number): string {
  return `${call} ${path}: ${result < 0 ? host.disk.errnoText(result) : 'short write'}`;
}
