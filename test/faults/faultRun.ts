/**
 * A life with a fault in it, and what is held against it: every operation is answered once; what was acknowledged is there, in this life and in those after
 * a stop, a kill or a power loss; no wrong checksum, no wrong size, no open file left; the store reaches a steady state, in this life or in the next one.
 */

import { readTinyDeleteRecord, TINY_DELETE_RECORD_BYTES } from '../../src/protocol/tinyDelete.js';
import { EXTENT_FLAG } from '../../src/storage/extentTable.js';
import { isTinyExtent } from '../../src/storage/layout.js';
import { ImageCheck } from '../crash/imageCheck.js';
import { PartitionPromises } from '../crash/promises.js';
import { ROOT } from '../partition/simRig.js';
import { BATCH_CAPACITY, rigRegions } from '../partition/storeRig.js';
import { wholeImage } from '../sim/crashImages.js';
import { SimClock } from '../sim/simClock.js';
import { SimDisk } from '../sim/simDisk.js';
import { SimFolder } from '../sim/simFolder.js';
import type { Fault } from './failpointDisk.js';
import { FaultRig } from './faultRig.js';
import { FaultScenario, type Outcome } from './faultScenario.js';
import { FOLDER, firstLife, OLD } from './firstLife.js';

const A_DAY_MS = 86_400_000;

export interface FaultRun {
  /** What is wrong, none when nothing is. */
  problems: string[];
  outcomes: Outcome[];
  /** By failpoint: its passes in this life. */
  passed: ReadonlyMap<string, number>;
  /** Failpoints at which a fault acted. */
  fired: readonly string[];
  /** Errnos told as disk errors. */
  diskErrors: number[];
  /** Log lines of warnings and errors, refused folders. */
  complaints: string[];
  /** Paths that hung, '' for a batch. */
  hung: string[];
}

export class FaultRuns {
  private readonly start: SimFolder;
  /** When the faulty lives begin. */
  private readonly startMs: number;
  private readonly promised: Map<number, PartitionPromises>;
  private readonly check = new ImageCheck();
  private readonly regions = rigRegions();
  /** Lives so far: each loses other things with the power. */
  private runs = 0;

  constructor() {
    const clock = new SimClock();
    const sim = this.disk(new SimFolder(), clock);
    sim.mkdir(ROOT, 0o755);
    sim.fsyncFolder('/');
    this.promised = firstLife(this.rig(sim, clock, false));
    this.start = sim.rootFolder;
    this.startMs = clock.nowMs() + A_DAY_MS;
  }

  /** One life with these faults, and what follows. `threaded`: batches run on an I/O thread. `armed`: the faults begin at once, or when the reads do. */
  run(faults: readonly Fault[], threaded = false, armed: 'at once' | 'at reads' = 'at once'): FaultRun {
    this.runs += 1;
    const clock = new SimClock(this.startMs);
    const sim = this.disk(wholeImage(this.start), clock);
    const rig = this.rig(sim, clock, threaded);
    const waiting = [...faults];
    const arm = (): void => {
      for (const fault of waiting.splice(0)) rig.failpoints.arm(fault);
    };
    if (armed === 'at once') arm();
    const result: FaultRun = {
      ...{ problems: [], outcomes: [], diskErrors: rig.diskErrors, complaints: [], hung: [] },
      ...{ passed: rig.failpoints.passed, fired: rig.failpoints.fired },
    };
    const scenario = new FaultScenario(rig, copyOf(this.promised), () => {
      result.hung.push(...rig.failpoints.hanging);
      const before = scenario.unanswered.length;
      if (!result.hung.includes('')) scenario.independentWork(result.hung[0]!);
      // One extent waits for its slots.
      const held = result.hung[0]!.endsWith('/EXTENT_CRC') ? 1 : 0;
      if (scenario.unanswered.length > before + held) {
        result.problems.push(`behind the hang wait ${scenario.unanswered.slice(before)}`);
      }
      this.checkImages(sim, scenario, 'while it hangs', result);
    });
    try {
      this.live(sim, scenario, result, arm);
    } catch (error) {
      result.problems.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    result.outcomes = scenario.outcomes;
    result.complaints = [...rig.complaints, ...rig.told];
    return result;
  }

  private live(sim: SimDisk, scenario: FaultScenario, result: FaultRun, onReads: () => void): void {
    const { rig } = scenario;
    const { problems } = result;
    scenario.run((share) => {
      sim.coldReads = share;
      onReads();
    });
    const served = rig.partitions.size > 0;
    const last = scenario.outcomes.filter(({ step }) => step.startsWith('round')).slice(-4);
    if (served && rig.health.status !== -1 && last.some(({ error }) => error !== '')) {
      problems.push(`no steady state: ${last.map(({ step, error }) => `${step}: ${error}`)}`);
    }
    problems.push(...wrongSizes(rig, sim));
    this.checkImages(sim, scenario, 'before the stop', result);
    scenario.stop();
    if (scenario.unanswered.length > 0) problems.push(`never answered: ${scenario.unanswered}`);
    if (rig.unanswered > 0) problems.push(`${rig.unanswered} operations are not answered`);
    if (rig.stores.parkedOperations > 0)
      problems.push(`${rig.stores.parkedOperations} operations are parked`);
    if (sim.openFds() > 0) problems.push(`${sim.openFds()} files are left open`);
    this.checkImages(sim, scenario, 'after the stop', result);
    this.nextLife(sim, scenario, problems);
  }

  /** The process ends, and the next one finds a disk without faults. */
  private nextLife(sim: SimDisk, before: FaultScenario, problems: string[]): void {
    const next = sim.processEnd(1);
    const scenario = new FaultScenario(this.rig(next, before.rig.simClock, false), before.promises, () => {});
    if (!scenario.start()) problems.push(`the next start fails: ${scenario.outcomes[0]?.error}`);
    problems.push(...forgotten(next, before));
    const wrong = (): Outcome[] => scenario.outcomes.filter(({ error }) => error !== '');
    if (!scenario.isSteady('next') || !scenario.stop())
      problems.push(`the next life: ${JSON.stringify(wrong())}`);
    if (next.openFds() > 0) problems.push(`the next life leaves ${next.openFds()} files open`);
  }

  private checkImages(
    sim: SimDisk,
    { promises, stopped }: FaultScenario,
    when: string,
    result: FaultRun,
  ): void {
    const point = { partitions: promises, heals: [], stopped };
    const seed = this.runs;
    const power = sim.withRoot(sim.rootFolder, seed).powerLoss(seed).rootFolder;
    const images: { crash: 'kill' | 'power'; image: SimFolder }[] = [{ crash: 'power', image: power }];
    // What a kill leaves after the stop is what the next life finds.
    if (!stopped) images.push({ crash: 'kill', image: wholeImage(sim.rootFolder) });
    for (const { crash, image } of images) {
      const problem = this.check.problem(image, { ...point, crash }, seed);
      if (problem !== null) result.problems.push(`${when}, ${crash}: ${problem}`);
    }
  }

  private disk(root: SimFolder, clock: SimClock): SimDisk {
    const { regions } = this;
    const nowMs = (): number => clock.nowMs();
    return new SimDisk({ regions, seed: 1, batchCapacity: BATCH_CAPACITY, nowMs }, root);
  }

  private rig(sim: SimDisk, clock: SimClock, threaded: boolean): FaultRig {
    return FaultRig.on(sim, {
      ...{ root: ROOT, regions: this.regions, threaded, clock },
      step: () => sim.step(),
      onSyncFailed: (fd) => sim.loseUnsynced(fd),
    });
  }
}

/** What the lists of partition 7 should know and do not. */
function forgotten(disk: SimDisk, { deleted, promises }: FaultScenario): string[] {
  const wrong: string[] = [];
  const folder = `${ROOT}/${FOLDER(7)}`;
  const list = Buffer.from(disk.content(`${folder}/NORMALEXTENT_DELETE`));
  const listed = Array.from({ length: list.length / 8 }, (_, i) => Number(list.readBigUInt64BE(i * 8)));
  for (const id of deleted) {
    if (disk.node(`${folder}/${id}`) !== undefined) wrong.push(`deleted extent ${id} is back`);
  }
  for (const id of [OLD.deleted, ...deleted]) {
    if (!listed.includes(id)) wrong.push(`the deleted id ${id} is not listed any more`);
  }
  const records = new DataView(disk.content(`${folder}/TINYEXTENT_DELETE`).buffer);
  const record = readTinyDeleteRecord(records, TINY_DELETE_RECORD_BYTES);
  if (record?.extentOffset !== 0 || record.sizeBytes !== 4096) {
    wrong.push('the first record of a tiny delete is gone');
  }
  const ids = promises.get(7)!.handedOut();
  const reused = ids.find((id, i) => ids.indexOf(id) !== i || (id > OLD.small && id <= OLD.lastId));
  if (reused !== undefined) wrong.push(`id ${reused} is handed out twice`);
  return wrong;
}

/** Extents whose size in memory is not their file's. */
function wrongSizes(rig: FaultRig, sim: SimDisk): string[] {
  const wrong: string[] = [];
  for (const { store } of rig.partitions.values()) {
    const { table } = store;
    for (let row = 0; row < table.rowCount; row += 1) {
      const id = table.ids[row]!;
      const lives = table.has(row, EXTENT_FLAG.used) && !table.has(row, EXTENT_FLAG.deleted);
      if (!lives || isTinyExtent(id)) continue;
      const bytes = sim.content(store.extentPath(id)).length;
      if (bytes !== table.sizes[row]) wrong.push(`extent ${id} has ${bytes} bytes, not ${table.sizes[row]}`);
      if (table.ends[row] !== table.sizes[row]) wrong.push(`extent ${id} waits for writes that have ended`);
    }
  }
  return wrong;
}

/** Promises that a life can add to, and take from. */
export function copyOf(promised: Map<number, PartitionPromises>): Map<number, PartitionPromises> {
  return new Map(
    [...promised].map(([id, { created, creates, writes }]) => {
      const copy = new PartitionPromises();
      copy.created = created;
      copy.creates.push(...creates);
      for (const [extentId, list] of writes) copy.writes.set(extentId, [...list]);
      return [id, copy];
    }),
  );
}
