/**
 * What a recovery leaves on a disk whose journal has lost a frame: everything that it serves from is durable, files that an earlier process wrote included.
 */
import t from 'tap';
import { openGroupFolder } from '../../src/raft/folderOpen.js';
import { type RecoveryReport, recoverDisk } from '../../src/raft/recovery.js';
import type { WatchedDisk } from '../crash/watchedDisk.js';
import { wholeImage } from '../sim/crashImages.js';
import { Random } from '../sim/random.js';
import { PowerCut } from '../sim/simFiles.js';
import { groupPath, JournalLife, LIFE_FILE_BYTES, LIFE_ROOT } from './journalLife.js';
import { framesOn } from './journalRig.js';

const JOURNAL = `${LIFE_ROOT}/.extentd.raft/0`;

function recover(disk: WatchedDisk): RecoveryReport {
  return recoverDisk(disk, LIFE_ROOT, { log: () => undefined, fileBytesMax: LIFE_FILE_BYTES });
}

function lastIndexOf(disk: WatchedDisk): number | string {
  const opened = openGroupFolder(disk, groupPath(1), { fileBytesMax: LIFE_FILE_BYTES });
  if (!opened.ok) return opened.reason;
  opened.folder.close();
  return opened.state.lastIndex;
}

t.test('a power loss after it takes no log file of the process before', async (t) => {
  let tried = 0;
  for (let seed = 1; tried < 15 && seed <= 40; seed += 1) {
    const lived = new JournalLife(1, new Random(seed));
    for (let count = 0; count < 24; count += 1) {
      lived.append(1);
      lived.settle();
    }
    const disk = lived.disk.processEnd(seed) as WatchedDisk;
    const names = disk.scan(groupPath(1)) as { name: string }[];
    if (names.filter(({ name }) => name.endsWith('log')).length < 2) continue;
    tried += 1;
    const [first] = framesOn(disk, JOURNAL);
    const fd = disk.open(`${JOURNAL}/${first!.segment}`, 2, 0);
    disk.write(fd, new Uint8Array(64), first!.offset);
    disk.close(fd);
    const report = recover(disk);
    t.same([report.failures, report.noVote.length], [[], 1]);
    const before = lastIndexOf(disk);
    t.type(before, 'number');
    const next = disk.powerLoss(seed) as WatchedDisk;
    t.equal(lastIndexOf(next), before, `seed ${seed}`);
  }
  t.equal(tried, 15, 'logs with sealed files');
});

/** A life whose last frame was written and not synced: the process that has asked for it is told, or gone. */
function lifeWithLostFrame(seed: number): { lived: JournalLife; last: number } {
  const lived = new JournalLife(1, new Random(seed));
  for (let count = 0; count < 6; count += 1) {
    lived.append(1);
    lived.settle();
  }
  const last = lastIndexOf(lived.disk.withRoot(wholeImage(lived.disk.rootFolder), 1) as WatchedDisk);
  if (typeof last === 'string') throw new Error(last);
  lived.disk.addFault({ call: 'fdatasync', path: /segment/, errno: 5, count: 1 });
  lived.journal.hardState(1, { term: 5, vote: 1, commit: last });
  lived.journal.flush();
  while (lived.disk.step());
  return { lived, last };
}

t.test('a frame that was never durable is made so before anything follows from it', async (t) => {
  for (let calls = 0; calls < 60; calls += 1) {
    const { lived, last } = lifeWithLostFrame(3);
    const disk = lived.disk.processEnd(1) as WatchedDisk;
    disk.callsToPowerCut = calls;
    try {
      recover(disk);
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
    }
    disk.callsToPowerCut = Number.POSITIVE_INFINITY;
    const next = disk.powerLoss(calls) as WatchedDisk;
    t.ok(
      recover(next).groups.every(({ outcome }) => outcome === 'recovered'),
      `power lost after ${calls} calls`,
    );
    t.ok(Number(lastIndexOf(next)) >= last, 'what was durable is there');
  }
});
