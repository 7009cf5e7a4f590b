/**
 * What main asks the workers about checksums: how far computing and scrub are and what they have found, and that a scrub begins now (`docs/checksums.md`).
 */
import type { Outcome } from '../control/nodeView.js';
import type { DiskChecksumsView } from '../http/messages.js';
import {
  type ChecksumPaces,
  type ChecksumReport,
  COMMAND,
  type CommandAnswer,
} from '../partition/messages.js';
import { chooseDisks, noSuchDisk } from './diskChoice.js';
import type { DiskState } from './nodeState.js';

/** A worker answers within ms; one whose disk hangs is left out of the answer. */
const ANSWER_TIMEOUT_MS = 3_000;

export class ChecksumControl {
  readonly #disks: readonly DiskState[];
  readonly #timeoutMs: number;

  constructor(disks: readonly DiskState[], timeoutMs = ANSWER_TIMEOUT_MS) {
    this.#disks = disks;
    this.#timeoutMs = timeoutMs;
  }

  /** The reports of all workers, by disk. */
  view(): Promise<DiskChecksumsView[]> {
    return this.#ask([...this.#disks.keys()], false);
  }

  /** Begins a scrub of a disk (path or index; empty: of all), also when one is under way, and tells how they are then. */
  async scrub(diskText: string): Promise<Outcome<DiskChecksumsView[]>> {
    const chosen = chooseDisks(this.#disks, diskText);
    if (chosen.length === 0) return { ok: false, message: noSuchDisk(diskText), httpStatus: 400 };
    return { ok: true, value: await this.#ask(chosen, true) };
  }

  /** Other paces for all disks, of a disk each; its workers share them. */
  setPaces(paces: ChecksumPaces): void {
    for (const { handles } of this.#disks) {
      const share: ChecksumPaces = {
        checksumBytesPerSecond: paces.checksumBytesPerSecond / handles.length,
        scrubBytesPerSecond: paces.scrubBytesPerSecond / handles.length,
        scrubIntervalMs: paces.scrubIntervalMs,
      };
      for (const handle of handles) void handle.ask(COMMAND.setPaces, share);
    }
  }

  #ask(disks: readonly number[], scrub: boolean): Promise<DiskChecksumsView[]> {
    return Promise.all(
      disks.map(async (disk) => {
        const { path, handles } = this.#disks[disk]!;
        const asked = handles.map((handle) => this.#inTime(handle.ask(COMMAND.checksums, { scrub })));
        const workers = (await Promise.all(asked)).map((answer) =>
          answer.ok ? (answer.value as ChecksumReport) : { error: answer.message },
        );
        return { path, workers };
      }),
    );
  }

  async #inTime(answer: Promise<CommandAnswer>): Promise<CommandAnswer> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<CommandAnswer>((resolve) => {
      timer = setTimeout(() => resolve({ ok: false, message: 'the disk does not answer' }), this.#timeoutMs);
    });
    const first = await Promise.race([answer, late]);
    clearTimeout(timer);
    return first;
  }
}
