/**
 * What is told of each operation when its reply is handed to the socket: figures in shared memory, always; a debug line and a call for time entries where somebody
 * wants them. Owned by the network thread; called by its reply queues.
 *
 * An operation is counted once, whatever the number of its packets: a read of several chunks ends with the last one. It lasts from the moment when its request was here
 * as a whole (the header of one without a body) to the reply; both clocks are read once for many packets, so a figure may be off by what the batch around it took.
 */
import type { Logger } from 'pino';
import { HEADER_OFFSET, headerV1, PacketHeader } from '../protocol/header.js';
import { isReadOp, metricOf, nameOf } from '../protocol/opcodes.js';
import { operationRow } from '../protocol/operationNames.js';
import { RESULT, resultName } from '../protocol/resultCodes.js';
import type { OperationTable } from '../shm/operationTable.js';
import { requestIdText } from './failedPacket.js';
import { type PendingTable, TAG_KIND } from './pending.js';

/** Hears of each operation with a metric name (`OpWrite`) that has ended. Returns at once, never throws. */
export type OperationListener = (operation: string, elapsedMs: number, failed: boolean) => void;

/** The part of a logger that is used. Its level may change at any time. */
export type OperationLog = Pick<Logger, 'debug' | 'isLevelEnabled' | 'on' | 'off'>;

const header = new PacketHeader();

export class Operations {
  /** Requests whose connection was gone, or had failed, before their reply. */
  abandoned = 0;
  readonly #table: OperationTable;
  readonly #log: OperationLog | null;
  readonly #listener: OperationListener | null;
  /** Somebody wants more than figures. */
  #told = false;
  #logged = false;
  readonly #onLevel = (): void => this.#look();

  constructor(table: OperationTable, log: OperationLog | null, listener: OperationListener | null) {
    this.#table = table;
    this.#log = log;
    this.#listener = listener;
    log?.on('level-change', this.#onLevel);
    this.#look();
  }

  /** Looks at the log's level no more. */
  close(): void {
    this.#log?.off('level-change', this.#onLevel);
  }

  #look(): void {
    this.#logged = this.#log?.isLevelEnabled('debug') === true;
    this.#told = this.#logged || this.#listener !== null;
  }

  /** A reply packet of `tag` with `bodyBytes` leaves at `nowMs` for the peer `remote`. Allocates nothing unless somebody wants to be told. */
  replied(
    pending: PendingTable,
    tag: number,
    resultCode: number,
    bodyBytes: number,
    nowMs: number,
    remote: string,
  ): void {
    const at = pending.headerOffset(tag);
    const opcode = pending.headers[at + HEADER_OFFSET.opcode]!;
    const row = operationRow(opcode);
    if (resultCode === RESULT.ok && pending.last[tag] === 0) {
      this.#table.moved(row, 0, bodyBytes);
      return;
    }
    const bytesIn = isReadOp(opcode) ? 0 : pending.headerView.getUint32(at + HEADER_OFFSET.size);
    this.#table.moved(row, bytesIn, bodyBytes);
    const ms = Math.max(0, nowMs - pending.arrivedMs[tag]!);
    this.#table.ended(row, resultCode, ms * 1000);
    if (this.#told) this.#tell(pending, tag, resultCode, ms, remote);
  }

  #tell(pending: PendingTable, tag: number, resultCode: number, ms: number, remote: string): void {
    headerV1.decode(pending.headerView, pending.headerOffset(tag), header);
    const { opcode } = header;
    const operation = metricOf(opcode);
    if (operation !== '') this.#listener?.(operation, ms, resultCode !== RESULT.ok);
    if (!this.#logged) return;
    // A tiny write is told its extent and offset by the reply.
    const assigned = pending.kind[tag] === TAG_KIND.packet && resultCode === RESULT.ok;
    this.#log?.debug(
      {
        operation: isReadOp(opcode) ? 'read' : 'write',
        op: nameOf(opcode),
        remote,
        requestId: requestIdText(pending.headers, pending.headerOffset(tag)),
        partitionId: header.partitionId,
        extentId: assigned ? pending.extentId[tag] : header.extentId,
        offset: assigned ? pending.extentOffset[tag] : header.extentOffset,
        size: header.size,
        result: resultName(resultCode),
        us: Math.round(ms * 1000),
      },
      'operation',
    );
  }
}
