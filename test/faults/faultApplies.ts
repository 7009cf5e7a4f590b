/**
 * Committed entries in the life of `faultScenario.ts`: random writes, one of an extent that is not here, a member change, saves of APPLY and RAFT_MISSING, on a partition's
 * state machine.
 */

import { Operation } from '../../src/partition/operation.js';
import type { RaftApply } from '../../src/partition/raftApply.js';
import { encodeMemberChange } from '../../src/protocol/memberChange.js';
import { OP } from '../../src/protocol/opcodes.js';
import { CHANGE_TYPE, ENTRY_TYPE, encodeConfigurationChange } from '../../src/protocol/raftStructs.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { commandOf } from '../partition/applyRig.js';
import { pattern, type Sent } from '../partition/storeRig.js';
import type { FaultRig } from './faultRig.js';
import { OLD, type Partitions } from './firstLife.js';

/** Extents that no replica has, twice so many: RAFT_MISSING is replaced when most of its records say nothing any more. */
const UNKNOWN = { first: 5000, count: 80 };

export class FaultApplies {
  /** Entries that have not ended, and what became of the others. */
  readonly open = new Set<string>();
  readonly ended: { step: string; error: string }[] = [];
  private readonly rig: FaultRig;
  private readonly apply: RaftApply;
  private readonly promises: Partitions;
  private index: number;
  private seeds = 700;

  constructor(rig: FaultRig, apply: RaftApply, promises: Partitions) {
    this.rig = rig;
    this.apply = apply;
    this.promises = promises;
    this.index = apply.appliedIndex;
  }

  /** Entries, and the time until they and APPLY are on disk. `first`: an extent of this life. */
  entries(first: number | undefined): void {
    this.write(OLD.blocks, 300, 2000, false);
    this.write(OLD.blocks, 0, BLOCK_BYTES, true);
    this.writeUnknown(UNKNOWN.first);
    if (first !== undefined) this.write(first, 100, 500, false);
    this.removePeer(3);
    this.write(OLD.small, 10, 1000, false);
    this.seconds(14);
    this.forget(UNKNOWN.first);
    this.write(OLD.small, 20, 1000, false);
    // Too short for a second attempt, when this one fails.
    this.seconds(5);
  }

  /** What a stop still has to save. */
  lastEntries(): void {
    this.writeUnknown(UNKNOWN.first + UNKNOWN.count);
    this.untilEnded();
    this.write(OLD.small, 30, 700, false);
    this.untilEnded();
    this.forget(UNKNOWN.first + UNKNOWN.count);
  }

  /** What a full disk has held up is tried again each second. */
  untilEnded(): void {
    this.rig.run();
    for (let second = 0; second < 3 && this.open.size > 0; second += 1) this.rig.second();
  }

  private writeUnknown(first: number): void {
    for (let each = 0; each < UNKNOWN.count; each += 1) this.write(first + each, 0, 100, false);
  }

  /** Nobody has these extents, but one. */
  private forget(first: number): void {
    for (let each = 1; each < UNKNOWN.count; each += 1) this.apply.missing.ranges.forget(first + each);
  }

  private seconds(count: number): void {
    for (let second = 0; second < count; second += 1) {
      this.rig.run();
      this.rig.second();
    }
  }

  private write(extentId: number, at: number, bytes: number, sync: boolean): void {
    this.seeds += 1;
    const body = pattern(bytes, this.seeds);
    const sent = unsent();
    const { writes } = this.promises.get(7)!;
    const known = writes.get(extentId);
    if (known !== undefined) known.push({ sent, at, body, sync });
    // Which of two extents that were made at once has which id is chance.
    const step =
      extentId > OLD.lastId && extentId < UNKNOWN.first ? 'entry to a new extent' : `entry to ${extentId}`;
    this.entry(step, commandOf({ extentId, at, body, sync }), ENTRY_TYPE.normal, sent);
  }

  private removePeer(id: number): void {
    const peer = { id, addr: `10.0.0.${id}:17310` };
    const context = encodeMemberChange({ addPeer: { id: 0, addr: '' }, partitionId: 7, removePeer: peer });
    const change = { type: CHANGE_TYPE.remove, peer: { type: 0, priority: 0, nodeId: id }, context };
    const data = encodeConfigurationChange(change);
    this.entry('member change', data, ENTRY_TYPE.configurationChange, unsent());
  }

  private entry(step: string, data: Uint8Array, type: number, sent: Sent): void {
    this.index += 1;
    const name = `${step} @${this.index}`;
    this.open.add(name);
    this.apply.apply({ type, term: 1, index: this.index, data }, (outcome) => {
      this.open.delete(name);
      const missing = outcome.kind === 'applied' && outcome.error !== null;
      const error = outcome.kind === 'stopped' ? outcome.reason : '';
      this.ended.push({ step: missing ? `${step} is missing` : step, error });
      sent.ended = true;
      sent.ok = error === '' && !missing;
    });
  }
}

/** Stands for a write that no packet brought. */
function unsent(): Sent {
  const op = new Operation();
  op.opcode = OP.randomWrite;
  return {
    ...{ op, ended: false, ok: false, error: '', extentId: 0, extentOffset: 0, crc: 0 },
    body: new Uint8Array(0),
    assigned: null,
  };
}
