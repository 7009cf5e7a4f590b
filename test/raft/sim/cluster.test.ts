/**
 * The simulation of clusters itself: a run is a function of its seed, a disk that forgets is found, and a failure tells how to see it again. Seeds that look for bugs are in
 * `seeds*.test.ts`.
 */
import t from 'tap';
import { SimDisk } from '../../sim/simDisk.js';
import type { SimFile, SyncPoint } from '../../sim/simFile.js';
import { RunFailed, runSeed } from './run.js';
import { CALM, STORMY } from './settings.js';
import { runOrTell } from './slice.js';

t.test('the same seed gives the same run, whatever ran before; another seed another one', async (t) => {
  const hashes = new Map<number, string>();
  for (const seed of [1, 2, 3, 4, 5, 6]) hashes.set(seed, runSeed(seed, { setting: STORMY }).hash);
  t.equal(new Set(hashes.values()).size, 6);
  for (const seed of [6, 4, 2, 1]) {
    const again = runSeed(seed, { setting: STORMY });
    t.equal(again.hash, hashes.get(seed), `seed ${seed}`);
  }
  t.not(runSeed(1, { setting: { ...STORMY, durationMs: 29_000 } }).hash, hashes.get(1));
});

t.test('printing the trace changes nothing', async (t) => {
  const lines: string[] = [];
  const printed = runSeed(2, { setting: STORMY, print: (line) => void lines.push(line) });
  t.equal(printed.hash, runSeed(2, { setting: STORMY }).hash);
  t.match(lines[0], /^ +0\.000 1 starts$/);
  t.ok(lines.length > 500);
});

t.test('hours in which little happens', async (t) => {
  for (let seed = 1; seed <= 4; seed += 1) {
    const report = runOrTell(t, seed, CALM);
    if (report === null) return;
    t.ok(report.simulatedMs >= CALM.durationMs);
    t.ok(report.clients.answered > report.clients.unknown, 'most operations are answered');
  }
});

/** Says that the journal is durable when it is not. */
class ForgetfulDisk extends SimDisk {
  protected override successor(...args: ConstructorParameters<typeof SimDisk>): SimDisk {
    return new ForgetfulDisk(...args);
  }

  protected override syncFile(file: SimFile, path: string, point: SyncPoint): number {
    return /segment/.test(path) ? 0 : super.syncFile(file, path, point);
  }
}

t.test('a disk that forgets is found, and the failure tells how to see it again', async (t) => {
  const planted = {
    makeDisk: (...args: ConstructorParameters<typeof SimDisk>) => new ForgetfulDisk(...args),
  };
  for (let seed = 1; seed <= 20; seed += 1) {
    try {
      runSeed(seed, { setting: STORMY, planted });
    } catch (error) {
      if (!(error instanceof RunFailed)) throw error;
      t.match(
        error.message,
        /^seed \d+: .+\nreplay: node dist\/test\/long\/raftSim\.js --setting stormy --seed \d+$/s,
      );
      t.equal(error.seed, seed);
      t.ok(error.lines.length > 0);
      t.match(error.lines.join('\n'), /power loss/);
      return;
    }
  }
  t.fail('no seed has noticed');
});
