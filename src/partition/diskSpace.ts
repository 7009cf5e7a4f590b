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

/**
 * What may still be written to a disk between two looks at it (`admin.md` 15#13): what statfs told, less what was accepted since that statfs began. So a burst
 * between two looks is refused in time, above the reserve, before the disk itself is full. Pure.
 */
export class FreeSpace {
  /** Bytes; writes are refused from 0 on. Without bound before the first look. */
  leftBytes = Number.POSITIVE_INFINITY;
  /** Bytes accepted so far, and how many they were when the last look began. */
  private accepted = 0;
  private acceptedBefore = 0;

  get isExhausted(): boolean {
    return this.leftBytes <= 0;
  }

  /** An extent will grow by so many bytes. */
  accept(bytes: number): void {
    this.accepted += bytes;
    this.leftBytes -= bytes;
  }

  /** The disk has said that it is full, whatever statfs told: nothing more until the next look. */
  exhaust(): void {
    this.leftBytes = 0;
  }

  /** A statfs begins: what is accepted from now on it may not know. */
  beginLook(): void {
    this.acceptedBefore = this.accepted;
  }

  /** It told so many available bytes, above the reserve. */
  endLook(availableBytes: number): void {
    this.leftBytes = availableBytes - (this.accepted - this.acceptedBefore);
  }
}
