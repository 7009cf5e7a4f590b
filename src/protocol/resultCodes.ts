/**
 * Result codes of packets as a table (`wire.md` 5.1), and the rule that picks the code of an error reply (`wire.md` 5.2) as data.
 *
 * Peers find out what happened from the code alone, and the code follows from substrings of the error text: so texts (`errors.ts`) and this table belong
 * together, and nobody else picks codes.
 */

export interface ResultCodeRow {
  readonly value: number;
  /** Name of the reference. */
  readonly name: string;
  /** Whether a data node puts it into a packet. */
  readonly sent: boolean;
}

/** Result codes by name. */
export const RESULT = {
  /** Only in requests. */
  none: 0x00,
  ok: 0xf0,
  /** Also the catch-all. */
  intraGroupNetErr: 0xf3,
  argMismatchErr: 0xf4,
  notExistErr: 0xf5,
  diskNoSpaceErr: 0xf6,
  /** Only as raft's apply result inside a node. */
  diskErr: 0xf7,
  err: 0xf8,
  again: 0xf9,
  existErr: 0xfa,
  inodeFullErr: 0xfb,
  tryOtherAddr: 0xfc,
  notPerm: 0xfd,
  notEmpty: 0xfe,
} as const;

/** The whole table. */
export const RESULT_CODES: readonly ResultCodeRow[] = [
  { value: RESULT.none, name: '(initial)', sent: false },
  { value: RESULT.ok, name: 'OpOk', sent: true },
  { value: RESULT.intraGroupNetErr, name: 'OpIntraGroupNetErr', sent: true },
  { value: RESULT.argMismatchErr, name: 'OpArgMismatchErr', sent: true },
  { value: RESULT.notExistErr, name: 'OpNotExistErr', sent: true },
  { value: RESULT.diskNoSpaceErr, name: 'OpDiskNoSpaceErr', sent: true },
  { value: RESULT.diskErr, name: 'OpDiskErr', sent: false },
  { value: RESULT.err, name: 'OpErr', sent: false },
  { value: RESULT.again, name: 'OpAgain', sent: true },
  { value: RESULT.existErr, name: 'OpExistErr', sent: false },
  { value: RESULT.inodeFullErr, name: 'OpInodeFullErr', sent: false },
  { value: RESULT.tryOtherAddr, name: 'OpTryOtherAddr', sent: true },
  // The reference's never do; ours for an address that the access lists do not admit.
  { value: RESULT.notPerm, name: 'OpNotPerm', sent: true },
  { value: RESULT.notEmpty, name: 'OpNotEmpty', sent: false },
];

/** `OpOk`; `0x12` for a value without a name. */
export function resultName(code: number): string {
  return RESULT_CODES.find((row) => row.value === code)?.name ?? `0x${code.toString(16).padStart(2, '0')}`;
}

interface CodeRule {
  readonly where: 'action' | 'message';
  readonly contains: readonly string[];
  readonly code: number;
}

/** First match wins; nothing matches: `intraGroupNetErr`. */
export const RESULT_CODE_RULES: readonly CodeRule[] = [
  {
    where: 'action',
    contains: ['ActionReceiveFromFollower', 'ActionSendToFollowers', 'ConnIsNullErr'],
    code: RESULT.intraGroupNetErr,
  },
  { where: 'message', contains: ['parameter mismatch error', 'unknown opcode'], code: RESULT.argMismatchErr },
  { where: 'message', contains: ['data partition not exists'], code: RESULT.tryOtherAddr },
  {
    where: 'message',
    contains: ['extent does not exist', 'extent has been deleted'],
    code: RESULT.notExistErr,
  },
  // The operating system's ENOSPC text has no "the" and is not meant to match.
  { where: 'message', contains: ['no space left on the device'], code: RESULT.diskNoSpaceErr },
  { where: 'message', contains: ['try again'], code: RESULT.again },
  { where: 'message', contains: ['raft is not the leader.'], code: RESULT.tryOtherAddr },
  // Ours. A client tries a read again on the same host for 20 s with any other code; an overwrite fails at once with OpNotPerm, and so does the rest.
  { where: 'message', contains: ['address not admitted by this replica'], code: RESULT.tryOtherAddr },
  { where: 'message', contains: ['content is missing on this replica'], code: RESULT.tryOtherAddr },
  { where: 'message', contains: ['address not admitted'], code: RESULT.notPerm },
];

/** The code of the error reply `<action>_<message>`. */
export function resultCodeFor(action: string, message: string): number {
  for (const rule of RESULT_CODE_RULES) {
    const text = rule.where === 'action' ? action : message;
    for (const part of rule.contains) if (text.includes(part)) return rule.code;
  }
  return RESULT.intraGroupNetErr;
}
