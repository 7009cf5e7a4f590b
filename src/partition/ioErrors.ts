/**
 * From errnos to what is reported and answered (`admin.md` 8.2, `wire.md` 5.4).
 */
import { isDiskError } from '../storage/diskErrors.js';
import type { StoreHost } from './storeHost.js';

export const ENOENT = 2;
export const EIO = 5;
export const ENXIO = 6;
export const EAGAIN = 11;
export const EINVAL = 22;
export const ENOSYS = 38;
export const EOPNOTSUPP = 95;

/** Tells the host of a failing disk (`diskErrors.ts`). Running out of space, or of descriptors, is none. `errno` may be negated. */
export function reportDiskError(host: StoreHost, errno: number, writing: boolean): void {
  if (isDiskError(errno)) host.diskError(Math.abs(errno), writing);
}

/** `<call> <path>: <the C library's words>`; a transfer that was cut short without an errno has its own words. */
export function ioErrorText(host: StoreHost, call: string, path: string, result: number): string {
  return `${call} ${path}: ${result < 0 ? host.disk.errnoText(result) : 'short write'}`;
}
