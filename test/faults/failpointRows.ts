/**
 * What a row of the table of failpoints (`failpoints.ts`) is, and how many of them are written at once.
 */
import type { FaultKind } from './failpointDisk.js';

export type Effect = 'unavailable' | 'told' | 'nothing';

export interface Failpoint {
  name: string;
  /** What the call is for. */
  use: string;
  onEio: Effect;
  /** What the node does when it fails. */
  then: string;
  /** It is passed only when these others fail, with EIO unless something else is said. */
  behind?: readonly string[];
  behindKind?: FaultKind;
}

export function all(
  names: readonly string[],
  use: string,
  onEio: Effect,
  then: string,
  behind?: readonly string[],
  behindKind: FaultKind = 'EIO',
): Failpoint[] {
  return names.map((name) =>
    behind === undefined ? { name, use, onEio, then } : { name, use, onEio, then, behind, behindKind },
  );
}

export function one(name: string, use: string, onEio: Effect, then: string): Failpoint {
  return { name, use, onEio, then };
}

export const AUXILIARY = ['EXTENT_META', 'EXTENT_CRC', 'NORMALEXTENT_DELETE', 'TINYEXTENT_DELETE'];
export const OWN = [...AUXILIARY, 'EXTENT_CLEAN'];

export function of(call: string, files: readonly string[]): string[] {
  return files.map((file) => `${call}:${file}`);
}
