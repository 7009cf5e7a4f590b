/**
 * What is told of a packet that was answered with an error, for the log: read from the raw header of the request. Pure; used by `replyQueue.ts`.
 */
import { HEADER_OFFSET } from '../protocol/header.js';

export interface FailedPacket {
  readonly opcode: number;
  readonly resultCode: number;
  readonly text: string;
  /** Decimal text of the signed 64 bits, as clients log it. */
  readonly requestId: string;
  /** As the request named them; decimal text where a number would not be exact. */
  readonly partitionId: number | string;
  readonly extentId: number | string;
}

/** `headers`: raw headers, the packet's at `at`. */
export function failedPacket(headers: Buffer, at: number, resultCode: number, text: string): FailedPacket {
  return {
    opcode: headers[at + HEADER_OFFSET.opcode]!,
    resultCode,
    text,
    requestId: requestIdText(headers, at),
    partitionId: exactly(headers.readBigUInt64BE(at + HEADER_OFFSET.partitionId)),
    extentId: exactly(headers.readBigUInt64BE(at + HEADER_OFFSET.extentId)),
  };
}

/** ReqID of the raw header at `at`: decimal text of the signed 64 bits, as clients log it. */
export function requestIdText(headers: Buffer, at: number): string {
  return String(headers.readBigInt64BE(at + HEADER_OFFSET.reqId));
}

function exactly(value: bigint): number | string {
  return value <= Number.MAX_SAFE_INTEGER ? Number(value) : String(value);
}
