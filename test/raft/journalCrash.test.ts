/**
 * Crashes of a journal and its folders at every moment of a life: whatever the power loss leaves, recovery gives every group at least what it was told to be durable, and nothing that
 * it never had. Recovery itself is crashed as well.
 *
 * `CRASH_IMAGES=n` looks at more images.
 */
import t from 'tap';
import { native } from '../../src/native/addon.js';
import { readJournals } from '../../src/raft/journalReader.js';
import { recoverDisk } from '../../src/raft/recovery.js';
import { readRaftLog } from '../../src/tools/raftLog.js';
import { WatchedDisk } from '../crash/watchedDisk.js';
import { crashImages, wholeImage } from '../sim/crashImages.js';
import { Random } from '../sim/random.js';
import type { SimFolder } from '../sim/simFolder.js';
import {
  difference,
  groupPath,
  JournalLife,
  LIFE_FILE_BYTES,
  LIFE_ROOT,
  type LifeCounts,
} from './journalLife.js';

const IMAGES = Number(process.env['CRASH_IMAGES'] ?? 1500);
const PER_MOMENT = 6;
const GROUPS = 3;

/** What is wrong with an image of a life that may have any of the frames as its last one; null when nothing is. The image is used up. */
function problemOf(life: JournalLife, image: SimFolder, candidates: readonly number[]): string | null {
  const disk = life.disk.withRoot(image, 1) as WatchedDisk;
  const report = recoverDisk(disk, LIFE_ROOT, { log: () => undefined, fileBytesMax: LIFE_FILE_BYTES });
  if (report.failures.length > 0) return report.failures.join();
  const odd = report.groups.find(({ outcome, lost }) => outcome !== 'recovered' || lost !== null);
  if (odd !== undefined) return `${odd.group} ${odd.outcome}: ${odd.notes.join()}`;
  if (report.noVote.length > 0) return `no vote for ${report.noVote.map(({ group }) => group).join()}`;
  if (disk.openFds() > 0) return `${disk.openFds()} files are open`;
  const left = readJournals(disk, `${LIFE_ROOT}/.extentd.raft`, native.crc32c);
  if (typeof left === 'string' || left.some(({ isEmpty }) => !isEmpty))
    return 'a journal is not empty afterwards';
  return formatProblem(disk, life) ?? closest(disk, life, candidates);
}

/** What the reader of the tools, which is another, finds wrong. */
function formatProblem(disk: WatchedDisk, life: JournalLife): string | null {
  for (const { id } of life.groups) {
    const log = readRaftLog(disk, groupPath(id));
    if (typeof log === 'string') return log;
    const problems = [...log.problems, ...log.files.flatMap(({ problem }) => problem ?? [])];
    const unsealed = log.files.slice(0, -1).find(({ sealed }) => !sealed);
    if (unsealed !== undefined) problems.push(`${unsealed.name} is not sealed`);
    if (problems.length > 0) return problems.join();
  }
  return null;
}

/** All groups must be as they are after one and the same frame. */
function closest(disk: WatchedDisk, life: JournalLife, candidates: readonly number[]): string | null {
  const problems = candidates.map((frame) => {
    for (const { id } of life.groups) {
      const problem = difference(disk, id, life.truthAfter(frame, id));
      if (problem !== null) return `after frame ${frame}, group ${id}: ${problem}`;
    }
    return null;
  });
  return problems.includes(null) ? null : problems.join('; ');
}

interface Hunt {
  problems: string[];
  images: number;
  moments: number;
  /** Recoveries that were crashed, and images of those. */
  recoveries: number;
  recoveryImages: number;
  counts: LifeCounts;
  /** The last life of a segment that was seen. */
  frames: number;
}

/** Crashes lives until so many different images were judged, or something is wrong. */
function hunt(images: number): Hunt {
  const found: Hunt = {
    ...{ problems: [], images: 0, moments: 0, recoveries: 0, recoveryImages: 0, frames: 0 },
    counts: { appends: 0, conflicts: 0, cuts: 0, resets: 0, checkpoints: 0 },
  };
  for (let seed = 1; found.images < images && found.problems.length === 0; seed += 1) {
    const random = new Random(seed);
    const life = new JournalLife(GROUPS, random);
    const seen = new Set<string>();
    const judge = (image: SimFolder): void => {
      if (found.problems.length > 0) return;
      const { candidates } = life;
      found.images += 1;
      if (found.images % 50 === 0) crashRecovery(life, image, candidates, found, random);
      const problem = problemOf(life, image, candidates);
      if (problem !== null) found.problems.push(`seed ${seed}, image ${found.images}: ${problem}`);
    };
    life.disk.onBarrier = () => {
      found.moments += 1;
      for (const image of crashImages(life.disk.rootFolder, PER_MOMENT, random, seen)) judge(image);
    };
    life.disk.onWrite = () => {
      found.moments += 1;
      if (random.chance(0.2)) judge(wholeImage(life.disk.rootFolder));
    };
    for (let turn = 0; turn < 120 && found.problems.length === 0; turn += 1) life.turn();
    for (const name of Object.keys(found.counts) as (keyof LifeCounts)[])
      found.counts[name] += life.counts[name];
    found.frames = Math.max(found.frames, life.journal.durableFrame);
  }
  return found;
}

/** Recovers the image on a disk that is crashed at each of its moments, and judges what is left. */
function crashRecovery(
  life: JournalLife,
  image: SimFolder,
  candidates: readonly number[],
  found: Hunt,
  random: Random,
): void {
  const disk = life.disk.withRoot(wholeImage(image), 1) as WatchedDisk;
  const seen = new Set<string>();
  const watched = new WatchedDisk({ regions: [] }, disk.rootFolder);
  const judge = (left: SimFolder): void => {
    found.recoveryImages += 1;
    const problem = found.problems.length > 0 ? null : problemOf(life, left, candidates);
    if (problem !== null) found.problems.push(`recovery crashed: ${problem}`);
  };
  watched.onBarrier = () => {
    for (const left of crashImages(watched.rootFolder, 4, random, seen)) judge(left);
  };
  watched.onWrite = () => judge(wholeImage(watched.rootFolder));
  found.recoveries += 1;
  recoverDisk(watched, LIFE_ROOT, { log: () => undefined, fileBytesMax: LIFE_FILE_BYTES });
}

t.setTimeout(240_000 + IMAGES * 30);

t.test(
  'every image of a crashed journal recovers to what was durable',
  { timeout: 240_000 + IMAGES * 30 },
  async (t) => {
    const found = hunt(IMAGES);
    t.same(found.problems, []);
    t.ok(found.images >= IMAGES);
    t.ok(found.recoveryImages > found.recoveries, 'recovery was crashed in the middle');
    for (const [name, count] of Object.entries(found.counts)) t.ok(count > 10, `${name}: ${count}`);
    t.ok(found.frames > 60, `segments were used again: ${found.frames} frames`);
    t.comment(JSON.stringify({ ...found, problems: undefined }));
  },
);

t.test('a life that nobody crashes leaves folders and journal as they say', async (t) => {
  for (let seed = 500; seed < 510; seed += 1) {
    const life = new JournalLife(GROUPS, new Random(seed));
    for (let turn = 0; turn < 100; turn += 1) life.turn();
    life.settle();
    t.same(life.failures, []);
    t.equal(problemOf(life, wholeImage(life.disk.rootFolder), life.candidates), null, `seed ${seed}`);
  }
});
