/**
 * What a recovery leaves on a disk whose journal has lost a frame: everything that it serves from is durable, files that an earlier process wrote included.
 */
import t from 'tap';
import { openGroupFolder } from '../../src/raft/folderOpen.js';
import { recoverDisk } from '../../src/raft/recovery.js';
import type { WatchedDisk } from '../crash/watchedDisk.js';
import { Random } from '../sim/random.js';
import { groupPath, JournalLife, LIFE_FILE_BYTES, LIFE_ROOT } from './journalLife.js';
import { framesOn } from './journalRig.js';

const JOURNAL = `${LIFE_ROOT}/.extentd.raft/0`;

function lastIndexOf(disk: WatchedDisk): number | string {
  const opened = openGroupFolder(disk, groupPath(1), { fileBytesMax: LIFE_FILE_BYTES });
  if (!opened.ok) return opened.reason;
  opened.folder.close();
  return opened.state.lastIndex;
}

t.test('a power loss after it takes no log file of the process before', async (t) => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const lived = new JournalLife(1, new Random(seed));
    for (let count = 0; count < 24; count += 1) {
      lived.append(1);
      lived.settle();
    }
    const disk = lived.disk.processEnd(seed) as WatchedDisk;
    const names = disk.scan(groupPath(1)) as { name: string }[];
    t.ok(names.filter(({ name }) => name.endsWith('log')).length > 1, 'the log has sealed files');
    const [first] = framesOn(disk, JOURNAL);
    const fd = disk.open(`${JOURNAL}/${first!.segment}`, 2, 0);
    disk.write(fd, new Uint8Array(64), first!.offset);
    disk.close(fd);
    const report = recoverDisk(disk, LIFE_ROOT, { log: () => undefined, fileBytesMax: LIFE_FILE_BYTES });
    t.same([report.failures, report.noVote.length], [[], 1]);
    const before = lastIndexOf(disk);
    t.type(before, 'number');
    const next = disk.powerLoss(seed) as WatchedDisk;
    t.equal(lastIndexOf(next), before, `seed ${seed}`);
  }
});
