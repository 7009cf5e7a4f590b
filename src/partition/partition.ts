/**
 * A data partition: identity, status, space, and the dispatch of its operations. Owned by one worker thread.
 */
import type { Status } from '../storage/layout.js';
import type { Operation } from './operation.js';

export interface Peer {
  id: number;
  addr: string;
}

export class Partition {
  readonly id: number = 0;
  readonly volume: string = '';
  readonly sizeBytes: number = 0;
  /** Folder of the partition. */
  readonly path: string = '';
  hosts: string[] = [];
  peers: Peer[] = [];
  status: Status = 2;

  /** Bytes used, accounted in memory (`storage.md` 12, W17). */
  get usedBytes(): number {
    return 0;
  }

  /** Extent records in memory, tiny ones included. */
  get extentCount(): number {
    return 0;
  }

  /** Leader of its raft group, or the only host. */
  get isLeader(): boolean {
    return this.hosts.length === 1;
  }

  /**
   * Takes an operation whose fields stand as in its packet: ends it at once, or adds entries to `disk.batch` for it, or parks it until submitted work
   * completes. The batch must not be in flight and must have room for 8 entries.
   */
  execute(op: Operation): void {
    throw new Error(`not built yet: opcode ${op.opcode}`);
  }

  /** About once a second: status. */
  tick(nowMs: number): void {
    throw new Error(`not built yet: ${nowMs}`);
  }
}
