/**
 * Space of a disk from its file system's numbers (`admin.md` 8.1, `storage.md` 12). Pure; used by the disk's owner and by the control plane.
 */

const GiB = 1024 ** 3;
/** Share of a disk that stays unused, and its bounds. */
export const RESERVED_SHARE = 0.02;
export const RESERVED_BYTES_MIN = 5 * GiB;
export const RESERVED_BYTES_MAX = 30 * GiB;

/** Bytes of a disk after the reserve. `available` 0 means that writes are refused. */
export interface DiskSpace {
  total: number;
  available: number;
  used: number;
  reserved: number;
}

/** Space numbers from statfs values: blocks, blocks available to non-root, bytes a block. */
export function spaceOf(blocks: number, availableBlocks: number, blockBytes: number): DiskSpace {
  const size = blocks * blockBytes;
  const reserved = Math.min(
    RESERVED_BYTES_MAX,
    Math.max(RESERVED_BYTES_MIN, Math.floor(size * RESERVED_SHARE)),
  );
  const total = Math.max(0, size - reserved);
  const available = Math.max(0, availableBlocks * blockBytes - reserved);
  return { total, available, used: Math.max(0, total - available), reserved };
}
