/**
 * The alarms of disks and their partitions (`admin.md` 11.4): what main hears and sees of the workers, in the words of `telemetry/alarms.ts`.
 *
 * Owned by `nodeServer.ts`, which tells it of each event and lets it look at the disks' states now and then. A disk that its worker has given up is told once.
 */
import { basename } from 'node:path';
import type { Alarms } from '../telemetry/alarms.js';

/** What it needs of `Alarms`. */
export type DiskAlarmSink = Pick<Alarms, 'disk' | 'partition' | 'raise'>;

export class DiskAlarms {
  readonly #alarms: DiskAlarmSink;
  /** Disks that were told to be unavailable for an errno. */
  readonly #told = new Set<string>();

  constructor(alarms: DiskAlarmSink) {
    this.#alarms = alarms;
  }

  /** A look at a worker's status in the shared table: -1 when an operation has failed with an errno of a failing disk. Counts as one error a disk until a restart. */
  look(disk: string, status: number, errors: { readErrors: number; writeErrors: number }): void {
    if (status !== -1 || this.#told.has(disk)) return;
    this.#told.add(disk);
    this.#alarms.disk(disk, '', errors);
  }

  /** Its worker cannot serve it, or has died. */
  outOfService(disk: string, reason: string): void {
    this.#alarms.disk(disk, 'out of service until a restart', { reason });
  }

  /** Requests wait, and nothing is answered. */
  silent(disk: string, inFlight: number): void {
    this.#alarms.disk(disk, 'does not answer', { inFlight });
  }

  /** Its probe or its worker is blocked. */
  hangs(disk: string, fields: { probeMs: number; loopSilentMs: number }): void {
    this.#alarms.disk(disk, 'hangs', fields);
  }

  /** A folder of a partition is not served. */
  partitionRefused(folder: string, reason: string): void {
    const id = /^datapartition_(\d+)_\d+$/.exec(basename(folder))?.[1] ?? basename(folder);
    this.#alarms.partition(id, reason, { folder });
  }
}
