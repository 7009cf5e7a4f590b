/**
 * Raft entries appended, made durable, filed and handed to a state machine a second, by groups of one member that share a disk's journal:
 * `node dist/bench/micro/raftEntries.js FOLDER [seconds a row 3] [entry bytes 4096]`.
 *
 * Everything is a worker's: cores, host, journal, folders in Go's format; only the state machine does nothing. The ceiling that is printed beside the rows is what one thread
 * gets of durable writes of the same size, one after the other, from the same disk: to a file that grows, with fdatasync, and over what a file holds, with O_DSYNC.
 */
import assert from 'node:assert';
import {
  closeSync,
  constants,
  fdatasyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { native } from '../../src/native/addon.js';
import { RaftHost } from '../../src/raft/host.js';
import { Journal } from '../../src/raft/journal.js';
import type { ApplyOutcome, StateMachine } from '../../src/raft/types.js';
import { createDoorbell } from '../../src/shm/doorbell.js';
import { NativeDisk } from '../../src/storage/nativeDisk.js';

/** Groups, and proposals of each that are under way. */
const ROWS: readonly (readonly [groups: number, outstanding: number])[] = [
  [1, 1],
  [1, 64],
  [16, 1],
  [16, 16],
  [300, 1],
];
const BUFFER_BYTES = 4 * 1024 * 1024;
const SCRATCH_BYTES = 64 * 1024;
const SEGMENT_BYTES = 32 * 1024 * 1024;
const SEGMENTS_MAX = 8;
/** The disk's work is waited for so long at most. */
const WAIT_MS = 1000;
const SPIN_NS = 20_000;
/** Entries of a group between two cuts of its log. */
const CUT_EVERY = 1000;
const TICKS_TO_LEAD = 20;

class NoMachine implements StateMachine {
  readonly lacksRoom = false;
  durableApplied = 0;

  resumeAt(): void {}

  apply({ index }: { index: number }, done: (outcome: ApplyOutcome) => void): void {
    this.durableApplied = index;
    done({ kind: 'applied', error: null });
  }

  keepMembers(): null {
    return null;
  }

  restore(_meta: unknown, done: (outcome: ApplyOutcome) => void): void {
    done({ kind: 'stopped', reason: 'a lone member gets no snapshot' });
  }
}

/** Durable writes a second of one thread. */
function ceiling(path: string, bytes: number, seconds: number, overwrite: boolean): number {
  const body = Buffer.alloc(bytes, 0x5a);
  const flags = constants.O_RDWR | constants.O_CREAT;
  const span = 32 * 1024 * 1024;
  if (overwrite) {
    const fd = openSync(path, flags);
    for (let at = 0; at < span; at += 1024 * 1024)
      writeSync(fd, Buffer.alloc(1024 * 1024), 0, 1024 * 1024, at);
    fdatasyncSync(fd);
    closeSync(fd);
  }
  const fd = openSync(path, overwrite ? flags | constants.O_DSYNC : flags);
  const startedMs = performance.now();
  let done = 0;
  for (let at = 0; performance.now() - startedMs < seconds * 1000; at += bytes) {
    if (overwrite && at + bytes > span) at = 0;
    writeSync(fd, body, 0, bytes, at);
    if (!overwrite) fdatasyncSync(fd);
    done += 1;
  }
  const elapsed = (performance.now() - startedMs) / 1000;
  closeSync(fd);
  return done / elapsed;
}

/** A disk with a journal and `groups` groups that lead themselves. */
class Bench {
  readonly host: RaftHost;
  private readonly disk: NativeDisk;
  private readonly journal: Journal;
  private readonly doorbell = createDoorbell();
  private applied = 0;
  private frames = 0;

  constructor(root: string, groups: number) {
    const regions = [new Uint8Array(new SharedArrayBuffer(BUFFER_BYTES + SCRATCH_BYTES))];
    const { doorbell } = this;
    this.disk = new NativeDisk({ device: 0, regions, doorbell, threads: 4, batchCapacity: 64 });
    const log = (_level: string, message: string): void => console.error(message);
    const journal = Journal.open({
      ...{ disk: this.disk, folder: join(root, '.extentd.raft/0'), regions, region: 0, bufferOffset: 0 },
      ...{ bufferBytes: BUFFER_BYTES, segmentBytes: SEGMENT_BYTES, segmentsMax: SEGMENTS_MAX },
      ...{ crc32c: native.crc32c, log },
    });
    assert(typeof journal !== 'string', String(journal));
    this.journal = journal;
    const scratch = { regions, region: 0, bufferOffset: BUFFER_BYTES, bufferBytes: SCRATCH_BYTES };
    this.host = new RaftHost({
      scratch,
      ...{ disk: this.disk, journal, folder: {}, nodeId: 1, random: (below) => Math.floor(below / 2), log },
      ...{ send: () => undefined, snapshotVerdict: () => undefined, caughtUp: () => undefined },
      groupFailed: (group, reason) => assert.fail(`group ${group}: ${reason}`),
    });
    for (let group = 1; group <= groups; group += 1) {
      const path = join(root, `wal_${group}`);
      const peers = [{ type: 0, priority: 0, nodeId: 1 }];
      const problem = this.host.start({ group, path, peers, machine: new NoMachine(), lost: false });
      assert(problem === null, String(problem));
    }
    for (let tick = 0; tick < TICKS_TO_LEAD; tick += 1) {
      this.host.tick();
      this.settle();
    }
  }

  /** Proposals for `seconds`, `outstanding` of each group under way. */
  run(seconds: number, bytes: number, outstanding: number): { entries: number; frames: number } {
    const groups = this.host.groupIds;
    const endMs = performance.now() + seconds * 1000;
    const startFrame = this.journal.durableFrame;
    let running = true;
    const propose = (group: number, number: number): void => {
      this.host.propose(group, new Uint8Array(bytes).fill(number), (error) => {
        assert(error === null, String(error));
        this.applied += 1;
        if (number % CUT_EVERY === 0) this.host.compact(group, this.host.group(group)!.core.log.applied);
        if (running) propose(group, number + outstanding);
      });
    };
    for (const group of groups) for (let lane = 1; lane <= outstanding; lane += 1) propose(group, lane);
    const startedMs = performance.now();
    while (performance.now() < endMs) this.turn();
    const entries = (this.applied * 1000) / (performance.now() - startedMs);
    this.frames = this.journal.durableFrame - startFrame;
    running = false;
    this.settle();
    return { entries, frames: (this.frames * 1000) / (performance.now() - startedMs) };
  }

  close(): void {
    let problems: string[] | null = null;
    while (problems === null) {
      problems = this.host.stopStep();
      this.disk.drainCompletions();
    }
    assert.deepEqual(problems, []);
    assert(this.disk.stop(WAIT_MS), 'no I/O thread is stuck');
  }

  private turn(): void {
    const seen = Atomics.load(this.doorbell, 0);
    this.host.turn();
    if (this.disk.drainCompletions() > 0) return;
    native.waitDoorbell(this.doorbell, seen, SPIN_NS, WAIT_MS);
    this.disk.drainCompletions();
  }

  private settle(): void {
    while (!this.host.isQuiet || this.disk.pending() > 0) this.turn();
    this.host.turn();
    while (!this.host.isQuiet || this.disk.pending() > 0) this.turn();
  }
}

function main(): void {
  const [root, secondsText = '3', bytesText = '4096'] = process.argv.slice(2);
  const seconds = Number(secondsText);
  const bytes = Number(bytesText);
  assert(
    root !== undefined && seconds > 0 && bytes > 0 && bytes <= 131_072,
    'FOLDER [seconds] [entry bytes]',
  );
  const folder = mkdtempSync(join(root, 'raftEntries-'));
  try {
    for (const overwrite of [false, true]) {
      const rate = ceiling(join(folder, `ceiling${Number(overwrite)}`), bytes, seconds, overwrite);
      const what = overwrite ? 'over what is there, O_DSYNC' : 'growing file, fdatasync';
      console.log(`ceiling of one thread, ${what.padEnd(28)} ${rate.toFixed(0).padStart(8)} /s`);
    }
    for (const [groups, outstanding] of ROWS) {
      const below = join(folder, `${groups}-${outstanding}`);
      mkdirSync(below);
      const bench = new Bench(below, groups);
      const { entries, frames } = bench.run(seconds, bytes, outstanding);
      bench.close();
      const row = `${String(groups).padStart(4)} groups x ${String(outstanding).padStart(2)} under way`;
      console.log(
        `${row.padEnd(51)} ${entries.toFixed(0).padStart(8)} entries/s in ${frames.toFixed(0)} frames/s`,
      );
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

main();
