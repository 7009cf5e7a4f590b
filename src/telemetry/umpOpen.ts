/**
 * Opens the UMP files where their folder is there (`admin.md` 11.3). Called by `log.ts`; nothing that goes wrong here keeps a node from starting.
 */
import type { FileFacts } from './fileCalls.js';
import { FileLane } from './fileLane.js';
import { UmpFiles, type UmpParts } from './umpFiles.js';

export interface UmpOpening extends UmpParts {
  /** Where the lane's files are: UMP files on the same disk share the lane, on another one they have one of their own. */
  readonly logFolder: string;
  /** How long the folder may take to be looked at; after that there are no UMP files. */
  readonly timeoutMs: number;
}

/** The files, or undefined where `folder` is empty or no folder. */
export async function openUmpFiles(opening: UmpOpening): Promise<UmpFiles | undefined> {
  const { folder, timeoutMs, report } = opening;
  if (folder === '') return undefined;
  const ownLane = new FileLane();
  const facts = await factsWithin(ownLane, opening, folder, timeoutMs);
  if (facts === null || !facts.isFolder) return undefined;
  // The disk of a lane that is still busy with opening log files may hang: nothing more is asked of it, and no other thread risked.
  const logs = opening.lane.busy
    ? null
    : await factsWithin(opening.lane, opening, opening.logFolder, timeoutMs);
  const lane = logs === null || logs.device === facts.device ? opening.lane : ownLane;
  const ump = new UmpFiles({ ...opening, lane });
  for (const file of ump.files) {
    lane.run(() => file.open().catch((error: Error) => report(file.path, error.message)));
  }
  return ump;
}

/** null: nothing is there, or it cannot be told in time. */
function factsWithin(
  lane: FileLane,
  { calls, report }: UmpOpening,
  path: string,
  timeoutMs: number,
): Promise<FileFacts | null> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      report(path, `is not looked at after ${timeoutMs} ms: the disk hangs`);
      resolve(null);
    }, timeoutMs);
    lane.run(async () => {
      const facts = await calls.factsAt(path).catch((error: Error) => {
        report(path, error.message);
        return null;
      });
      clearTimeout(timer);
      resolve(facts);
    });
  });
}
