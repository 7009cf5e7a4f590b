/**
 * The operations that are counted, in one order: what the network thread writes into its table by number, the metrics page reads by name.
 */
import { OPCODES } from './opcodes.js';

/** Name for opcodes that v1.4.0 has no metric for, and for those that it does not know. */
export const OTHER_OPERATION = 'other';

/** `<Op>` of `cfs_dataNode_<Op>` by row (`admin.md` 11.1); row 0 is `other`. */
export const OPERATION_NAMES: readonly string[] = [
  OTHER_OPERATION,
  ...OPCODES.map(({ metric }) => metric).filter((metric) => metric !== ''),
];

const rows = new Uint8Array(256);
for (const { value, metric } of OPCODES) if (metric !== '') rows[value] = OPERATION_NAMES.indexOf(metric);

/** The row that an opcode is counted in. */
export function operationRow(opcode: number): number {
  return rows[opcode]!;
}
