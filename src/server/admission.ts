/**
 * What is to happen to a packet, decided from its header alone. Pure.
 *
 * The checks that need the body (CRC) or the partition's state (space, extents) are the worker's; this file keeps their order right for the packets that
 * never reach a worker (`wire.md` 6.1): extent type, then CRC of a write, then the partition. Before them all comes whether the sender may send such a packet.
 */
import { WIRE_LIMITS } from '../config/limits.js';
import { ACTION, ERROR_TEXT, parameterMismatch } from '../protocol/errors.js';
import type { PacketHeader } from '../protocol/header.js';
import {
  actionOf,
  bodyClassOf,
  isMasterOp,
  isReadOp,
  isWriteOp,
  OP,
  requestBodyBytes,
  UNKNOWN_OPCODE_ACTION,
} from '../protocol/opcodes.js';
import { notAdmitted, sendersOf } from '../protocol/portClasses.js';
import type { PacketFacts } from './packetFacts.js';

/** Opcodes that workers execute in this build. */
const SERVED = new Set<number>([
  OP.createExtent,
  OP.markDelete,
  OP.write,
  OP.syncWrite,
  OP.streamRead,
  OP.streamFollowerRead,
  OP.extentRepairRead,
  OP.readTinyDeleteRecord,
  OP.tinyExtentRepairRead,
  OP.getAllWatermarks,
  OP.randomWrite,
  OP.syncRandomWrite,
  OP.getAppliedId,
  OP.broadcastMinAppliedId,
  OP.getPartitionSize,
  OP.getMaxExtentIdAndPartitionSize,
]);
/** Carried out by the repair thread (`repairer.ts`): its body, megabytes of JSON, does not go through a slot. */
const REPAIR_TASK = OP.notifyReplicasToRepair;

const served = Uint8Array.from({ length: 256 }, (_, op) => (SERVED.has(op) ? 1 : 0));

/** `close`: nothing sensible can follow on this connection. `refuse`: answer an error once the body has passed. */
export const VERDICT = { route: 0, read: 1, control: 2, refuse: 3, close: 4, stream: 5 } as const;
export type Verdict = (typeof VERDICT)[keyof typeof VERDICT];

/** A decided packet; one object is reused. `action`/`message` are set for `refuse`, `reason` for `close`. */
export class Admission {
  verdict: Verdict = VERDICT.close;
  bodyBytes = 0;
  action = '';
  message = '';
  reason = '';
  /** The body's CRC is compared before the refusal, because its error comes first. */
  checkCrc = false;

  /**
   * Decides about `header`. `facts`: of this packet.
   */
  decide(header: PacketHeader, facts: PacketFacts): void {
    const { opcode, remainingFollowers } = header;
    this.bodyBytes = requestBodyBytes(header);
    this.checkCrc = false;
    const cap = bodyCapBytes(opcode);
    if (this.bodyBytes > cap) {
      this.verdict = VERDICT.close;
      this.reason = `body of ${this.bodyBytes} bytes, the limit for this operation is ${cap}`;
      return;
    }
    if ((sendersOf(opcode, remainingFollowers) & facts.classes) === 0) {
      return this.#refuse(ACTION.prepare, notAdmitted(opcode, remainingFollowers));
    }
    if (isMasterOp(opcode)) {
      this.verdict = VERDICT.control;
      return;
    }
    if (header.extentType > 1) return this.#refuse('ActionPreparePkt', ERROR_TEXT.incorrectStoreType);
    this.checkCrc = isWriteOp(opcode);
    if (!facts.partitionKnown) return this.#refuse('ActionPreparePkt', ERROR_TEXT.partitionNotExists);
    if (served[opcode] === 0 && opcode !== REPAIR_TASK)
      return this.#refuse(UNKNOWN_OPCODE_ACTION, `${UNKNOWN_OPCODE_ACTION}${opcode}`);
    if (facts.followersMessage !== '') return this.#refuse(ACTION.prepare, facts.followersMessage);
    // Before followers are told. The worker looks again, at what it knows itself.
    if (facts.partitionFull && (isWriteOp(opcode) || opcode === OP.createExtent)) {
      return this.#refuse(ACTION.prepare, ERROR_TEXT.noSpace);
    }
    if (!header.exact) {
      // No extent has such an id, and no extent reaches such an offset.
      if (!Number.isSafeInteger(header.extentId))
        return this.#refuse(actionOf(opcode), ERROR_TEXT.extentNotFound);
      return this.#refuse(actionOf(opcode), parameterMismatch(header.extentOffset, header.size));
    }
    if (facts.diskMessage !== '') return this.#refuse(actionOf(opcode), facts.diskMessage);
    if (opcode === REPAIR_TASK) {
      this.verdict = VERDICT.control;
      return;
    }
    if (!isReadOp(opcode)) {
      this.verdict = VERDICT.route;
      return;
    }
    if (opcode === OP.readTinyDeleteRecord || opcode === OP.tinyExtentRepairRead) {
      this.verdict = VERDICT.stream;
      return;
    }
    if (header.size === 0) {
      return this.#refuse(actionOf(opcode), parameterMismatch(header.extentOffset, 0));
    }
    this.verdict = VERDICT.read;
  }

  /** Decides as `decide` does, about a packet whose body has passed by with the checksum `bodyCrc`: `action` and `message` say what it is answered. */
  refuse(header: PacketHeader, facts: PacketFacts, bodyCrc: number): void {
    this.decide(header, facts);
    if (this.checkCrc && bodyCrc !== header.crc) {
      this.#refuse('ActionPreparePkt', ERROR_TEXT.crcMismatch);
    } else if (this.verdict !== VERDICT.refuse) {
      // The partition or its disk came back while the body passed by: the body is gone, so the peer has to send it again.
      this.#refuse('ActionPreparePkt', 'try again');
    }
  }

  #refuse(action: string, message: string): void {
    this.verdict = VERDICT.refuse;
    this.action = action;
    this.message = message;
  }
}

/** Most body bytes that a request with this opcode may announce. */
export function bodyCapBytes(opcode: number): number {
  const bodyClass = bodyClassOf(opcode);
  if (bodyClass === 'write') return WIRE_LIMITS.writeBodyBytesMax;
  if (isMasterOp(opcode)) return WIRE_LIMITS.adminBodyBytesMax;
  // A worker's request body must fit one slot; only refused and admin bodies may be larger.
  return served[opcode] === 1 ? WIRE_LIMITS.writeBodyBytesMax : WIRE_LIMITS.bodyBytesMax;
}
