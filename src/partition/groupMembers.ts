/**
 * The members of one partition as its group decides them: META follows what is committed, and what a snapshot tells. Owned by the partition's `RaftApply`.
 */
import type { RaftPeer } from '../protocol/raftStructs.js';
import { FILE } from '../storage/layout.js';
import { reportDiskError } from './ioErrors.js';
import { membersAfter, membersOfSnapshot } from './memberChange.js';
import type { Partition } from './partition.js';

/** Who is told of changes of members. */
export interface MembersListener {
  /** META has other members. */
  changed(): void;
  /** This node was removed from the group: group, log and folder are to go. META is as before. */
  removedHere(): void;
}

/** Who hears of a replica. */
export interface ApplyListener extends MembersListener {
  /** Applying has stopped for good; the text is the reference's alarm. */
  halted(alarm: string): void;
}

export class GroupMembers {
  private readonly partition: Partition;
  private readonly nodeId: number;
  private readonly listener: MembersListener;

  constructor(partition: Partition, nodeId: number, listener: MembersListener) {
    this.partition = partition;
    this.nodeId = nodeId;
    this.listener = listener;
  }

  /** Carries out the data of a committed change. 0, or the negated errno with which META could not be written: all is as it was then. */
  change(data: Uint8Array, index: number): number {
    const { partition } = this;
    const after = membersAfter(data, partition, this.nodeId);
    if (after.kind === 'same' && after.problem !== null) {
      const where = { partition: partition.id, index };
      partition.host.log('error', `a member change cannot be read, nothing changes: ${after.problem}`, where);
    }
    if (after.kind === 'changed') {
      const result = partition.setMembers(after.peers, after.hosts);
      if (result < 0) return result;
      this.listener.changed();
    }
    if (after.kind === 'removedHere') this.listener.removedHere();
    return 0;
  }

  /** `StateMachine.keepMembers`. */
  keep(peers: readonly RaftPeer[]): string | null {
    const { partition } = this;
    const ids = peers.map(({ nodeId }) => nodeId);
    const after = membersOfSnapshot(ids, partition);
    if (after === null) return null;
    const result = partition.setMembers(after.peers, after.hosts);
    if (result < 0) {
      reportDiskError(partition.host, result, true);
      return `write ${partition.path}/${FILE.meta}: ${partition.host.disk.errnoText(result)}`;
    }
    this.listener.changed();
    return null;
  }
}
