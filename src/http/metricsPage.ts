/**
 * `/metrics`: every figure read from shared memory, on the HTTP thread, at the moment of the scrape. Neither main nor a worker does anything for it (`volumes.ts` has the
 * one exception, which is bounded).
 */
import { OPERATION_NAMES, OTHER_OPERATION } from '../protocol/operationNames.js';
import { resultName } from '../protocol/resultCodes.js';
import { Counters } from '../shm/counters.js';
import { DISK_WORK, DiskWork } from '../shm/diskWork.js';
import { addSnapshots, SharedHistogram } from '../shm/histogram.js';
import { LimitTable } from '../shm/limitTable.js';
import { OPERATION_RESULTS, OperationTable } from '../shm/operationTable.js';
import { ringFill } from '../shm/ring.js';
import { DiskTable, PARTITION_COUNT, PARTITION_FLAG, PartitionTable } from '../shm/tables.js';
import type { HttpResponse } from './httpServer.js';
import type { MetricRow } from './metricRow.js';
import {
  FIGURE,
  type FigureIndexes,
  FOLLOWER_FAILURES,
  figureIndexes,
  type MetricsSource,
} from './metricsSource.js';
import { cleanName, METRICS_CONTENT_TYPE, MetricsText } from './metricsText.js';
import { METRICS } from './metricTable.js';
import { ProcessMetrics } from './processMetrics.js';
import { raftOf } from './raftMetrics.js';
import { repairOf } from './repairMetrics.js';
import { type AskPartitions, type ServedPartition, type VolumeSums, Volumes } from './volumes.js';

/** Result codes that are sent are 0xF0 and a number. */
const RESULT_BASE = 0xf0;

interface WorkerView {
  index: number;
  partitions: PartitionTable;
  work: DiskWork;
}

export class MetricsPage {
  readonly #source: MetricsSource;
  readonly #operations: OperationTable;
  readonly #figures: Counters;
  readonly #at: FigureIndexes;
  readonly #loopLag: SharedHistogram;
  readonly #disks: DiskTable;
  readonly #workerRows: DiskTable;
  readonly #limits: LimitTable;
  /** By disk. */
  readonly #workers: readonly (readonly WorkerView[])[];
  readonly #volumes: Volumes;
  readonly #process = new ProcessMetrics();

  /** `now`: monotonic ms. */
  constructor(source: MetricsSource, ask: AskPartitions, now: () => number) {
    const { diskPaths } = source;
    this.#source = source;
    this.#operations = new OperationTable(source.operations);
    this.#figures = new Counters(source.figures);
    this.#at = figureIndexes(source.slabClasses.length, diskPaths.length);
    this.#loopLag = new SharedHistogram(source.loopLag);
    this.#disks = new DiskTable(source.diskTable);
    this.#workerRows = new DiskTable(source.workerTable);
    this.#limits = new LimitTable(source.limitTable);
    const views = source.workers.map(({ disk, partitions, work }, index) => ({
      index,
      disk,
      partitions: new PartitionTable(partitions),
      work: new DiskWork(work),
    }));
    this.#workers = diskPaths.map((_, disk) => views.filter((view) => view.disk === disk));
    const tables = views.map(({ disk, partitions }) => ({ diskPath: diskPaths[disk]!, table: partitions }));
    this.#volumes = new Volumes(tables, ask, now);
  }

  /** The page. `partitions`: with figures of each partition, which are many. */
  async response(partitions: boolean): Promise<HttpResponse> {
    await this.#volumes.refresh();
    const page = new MetricsText();
    this.#reference(page);
    this.#traffic(page);
    repairOf(page, this.#source);
    raftOf(page, this.#source, this.#raftDropped());
    this.#disksOf(page);
    const look = this.#volumes.look();
    volumesOf(page, look.volumes);
    if (partitions) partitionsOf(page, look.partitions);
    return {
      status: 200,
      contentType: METRICS_CONTENT_TYPE,
      body: page.text() + (await this.#process.text()),
    };
  }

  /** The names of the reference. An operation's appear with its first sample. */
  #reference(page: MetricsText): void {
    const { cluster, startedAtMs } = this.#source;
    page.family(METRICS.startTime).sample(Math.floor(startedAtMs / 1000) * 1000);
    for (const [row, operation] of OPERATION_NAMES.entries()) {
      if (operation === OTHER_OPERATION) continue;
      const { count } = this.#operations.durations(row);
      if (count === 0) continue;
      const name = cleanName(`cfs_dataNode_${operation}`);
      page.family(METRICS.lastDuration, name).sample(Math.round(this.#operations.lastUs(row) * 1000));
      page.family(METRICS.samples, `${name}_count`).sample(count);
    }
    const name = cleanName(`cfs_dataNode_${cluster}_dataNode_warning`);
    page.family(METRICS.warnings, name).sample(this.#figures.value(FIGURE.alarms));
  }

  #traffic(page: MetricsText): void {
    const operations = this.#operations;
    const seen = [...OPERATION_NAMES.entries()].map(([row, operation]) => ({
      row,
      operation,
      durations: operations.durations(row),
    }));
    page.family(METRICS.operations);
    for (const { row, operation } of seen) {
      for (let result = 0; result < OPERATION_RESULTS; result++) {
        const count = operations.count(row, result);
        if (count > 0) page.sample(count, operation, resultName(RESULT_BASE | result));
      }
    }
    const served = seen.filter(({ durations }) => durations.count > 0);
    page.family(METRICS.durations);
    for (const { operation, durations } of served) page.histogram(durations, operation);
    page.family(METRICS.bytes);
    for (const { row, operation } of served) {
      page
        .sample(operations.bytesIn(row), operation, 'in')
        .sample(operations.bytesOut(row), operation, 'out');
    }
    page.family(METRICS.abandoned).sample(this.#figures.value(FIGURE.abandoned));
    page.family(METRICS.connections).sample(this.#figures.value(FIGURE.connections));
    page.family(METRICS.inFlight).sample(this.#figures.value(FIGURE.inFlight));
    page.family(METRICS.followerLinks).sample(this.#figures.value(FIGURE.followerLinks));
    page.family(METRICS.replicating).sample(this.#figures.value(FIGURE.replicating));
    page.family(METRICS.followerFailures);
    for (const [reason, figure] of FOLLOWER_FAILURES) page.sample(this.#figures.value(figure), reason);
    page.family(METRICS.slabSlots);
    for (const { bytes, slots } of this.#source.slabClasses) page.sample(slots, String(bytes));
    page.family(METRICS.slabUsed);
    for (const [index, { bytes }] of this.#source.slabClasses.entries()) {
      page.sample(this.#figures.value(this.#at.slabUsed(index)), String(bytes));
    }
    this.#rings(page);
    page.family(METRICS.loopLag).histogram(this.#loopLag.snapshot());
  }

  #rings(page: MetricsText): void {
    const { workers, diskPaths } = this.#source;
    const rings = workers.flatMap(({ disk, requests, replies }, index) => [
      { labels: [diskPaths[disk]!, String(index), 'requests'], memory: requests },
      { labels: [diskPaths[disk]!, String(index), 'replies'], memory: replies },
    ]);
    page.family(METRICS.ringSlots);
    for (const { labels, memory } of rings) page.sample(memory.slotCount, ...labels);
    page.family(METRICS.ringUsed);
    for (const { labels, memory } of rings) page.sample(ringFill(memory), ...labels);
  }

  #raftDropped(): number {
    return sum(this.#workers.flat(), ({ work }) => work.counters.value(DISK_WORK.raftDropped));
  }

  #disksOf(page: MetricsText): void {
    const disks = this.#disks;
    const rows = this.#workerRows;
    const figure = (index: number): number => this.#figures.value(index);
    const perDisk = (
      row: MetricRow,
      value: (disk: number, workers: readonly WorkerView[]) => number,
    ): void => {
      page.family(row);
      for (const [disk, path] of this.#source.diskPaths.entries())
        page.sample(value(disk, this.#workers[disk]!), path);
    };
    perDisk(METRICS.diskTotal, (disk) => disks.totalBytes(disk));
    perDisk(METRICS.diskUsed, (disk) => disks.usedBytes(disk));
    perDisk(METRICS.diskAvailable, (disk) => disks.availableBytes(disk));
    perDisk(METRICS.diskReserved, (disk) => disks.reservedBytes(disk));
    perDisk(METRICS.diskStatus, (disk) => figure(this.#at.diskStatus(disk)));
    perDisk(METRICS.diskHung, (_, workers) => most(workers, ({ index }) => figure(this.#at.hung(index))));
    perDisk(METRICS.diskRefusing, (_, workers) =>
      most(workers, ({ index }) => figure(this.#at.refusing(index))),
    );
    perDisk(METRICS.diskThreaded, (_, workers) => most(workers, ({ index }) => rows.mode(index)));
    perDisk(METRICS.diskPartitions, (_, workers) => sum(workers, ({ partitions }) => partitions.claimed()));
    const flagged = (flag: number) => (_: number, workers: readonly WorkerView[]) =>
      sum(workers, ({ partitions }) => partitions.flagged(flag));
    perDisk(METRICS.diskLeads, flagged(PARTITION_FLAG.leader));
    perDisk(METRICS.diskRaftOut, flagged(PARTITION_FLAG.raftOut));
    perDisk(METRICS.diskWaiting, (_, workers) => sum(workers, ({ index }) => this.#limits.waiting(index)));
    const counted = (counter: number) => (_: number, workers: readonly WorkerView[]) =>
      sum(workers, ({ work }) => work.counters.value(counter));
    perDisk(METRICS.diskRaftGroups, counted(DISK_WORK.raftGroups));
    perDisk(METRICS.diskRaftLeaders, counted(DISK_WORK.raftLeaders));
    perDisk(METRICS.diskRaftWaiting, counted(DISK_WORK.raftWaiting));
    perDisk(METRICS.diskOther, counted(DISK_WORK.otherOps));
    perDisk(METRICS.diskFailed, counted(DISK_WORK.errors));
    page.family(METRICS.diskErrors);
    for (const [disk, path] of this.#source.diskPaths.entries()) {
      page.sample(
        sum(this.#workers[disk]!, ({ index }) => rows.readErrors(index)),
        path,
        'read',
      );
      page.sample(
        sum(this.#workers[disk]!, ({ index }) => rows.writeErrors(index)),
        path,
        'write',
      );
    }
    page.family(METRICS.diskWaits);
    for (const [disk, path] of this.#source.diskPaths.entries()) {
      page.sample(counted(DISK_WORK.waitsServed)(disk, this.#workers[disk]!), path, 'healed');
      page.sample(counted(DISK_WORK.waitsGivenUp)(disk, this.#workers[disk]!), path, 'failed');
    }
    page.family(METRICS.diskBytes);
    for (const [disk, path] of this.#source.diskPaths.entries()) {
      page.sample(counted(DISK_WORK.readBytes)(disk, this.#workers[disk]!), path, 'read');
      page.sample(counted(DISK_WORK.writeBytes)(disk, this.#workers[disk]!), path, 'write');
    }
    page.family(METRICS.diskDurations);
    for (const [disk, path] of this.#source.diskPaths.entries()) {
      const works = this.#workers[disk]!.map(({ work }) => work);
      page.histogram(addSnapshots(works.map(({ reads }) => reads.snapshot())), path, 'read');
      page.histogram(addSnapshots(works.map(({ writes }) => writes.snapshot())), path, 'write');
    }
  }
}

function volumesOf(page: MetricsText, volumes: ReadonlyMap<string, VolumeSums>): void {
  const perVolume = (row: MetricRow, add: (sums: VolumeSums, volume: string) => void): void => {
    page.family(row);
    for (const [volume, sums] of volumes) add(sums, volume);
  };
  perVolume(METRICS.volumePartitions, ({ partitions }, volume) => page.sample(partitions, volume));
  perVolume(METRICS.volumeUsed, ({ usedBytes }, volume) => page.sample(usedBytes, volume));
  perVolume(METRICS.volumeOperations, ({ counts }, volume) => {
    page.sample(counts.get(PARTITION_COUNT.readOps)!, volume, 'read');
    page.sample(counts.get(PARTITION_COUNT.writeOps)!, volume, 'write');
    page.sample(counts.get(PARTITION_COUNT.otherOps)!, volume, 'other');
  });
  perVolume(METRICS.volumeBytes, ({ counts }, volume) => {
    page.sample(counts.get(PARTITION_COUNT.readBytes)!, volume, 'read');
    page.sample(counts.get(PARTITION_COUNT.writeBytes)!, volume, 'write');
  });
  perVolume(METRICS.volumeSeconds, ({ counts }, volume) => {
    page.sample(counts.get(PARTITION_COUNT.readUs)! / 1e6, volume, 'read');
    page.sample(counts.get(PARTITION_COUNT.writeUs)! / 1e6, volume, 'write');
  });
  perVolume(METRICS.volumeFailed, ({ counts }, volume) =>
    page.sample(counts.get(PARTITION_COUNT.errors)!, volume),
  );
}

function partitionsOf(page: MetricsText, partitions: readonly ServedPartition[]): void {
  const each = (row: MetricRow, add: (one: ServedPartition, ...labels: string[]) => void): void => {
    page.family(row);
    for (const one of partitions) add(one, String(one.id), one.volume, one.diskPath);
  };
  each(METRICS.partitionUsed, ({ table, row }, ...labels) => page.sample(table.usedBytes(row), ...labels));
  each(METRICS.partitionStatus, ({ table, row }, ...labels) => page.sample(table.status(row), ...labels));
  each(METRICS.partitionOperations, ({ table, row }, ...labels) => {
    page.sample(table.counted(row, PARTITION_COUNT.readOps), ...labels, 'read');
    page.sample(table.counted(row, PARTITION_COUNT.writeOps), ...labels, 'write');
    page.sample(table.counted(row, PARTITION_COUNT.otherOps), ...labels, 'other');
  });
  each(METRICS.partitionBytes, ({ table, row }, ...labels) => {
    page.sample(table.counted(row, PARTITION_COUNT.readBytes), ...labels, 'read');
    page.sample(table.counted(row, PARTITION_COUNT.writeBytes), ...labels, 'write');
  });
  each(METRICS.partitionSeconds, ({ table, row }, ...labels) => {
    page.sample(table.counted(row, PARTITION_COUNT.readUs) / 1e6, ...labels, 'read');
    page.sample(table.counted(row, PARTITION_COUNT.writeUs) / 1e6, ...labels, 'write');
  });
  each(METRICS.partitionFailed, ({ table, row }, ...labels) =>
    page.sample(table.counted(row, PARTITION_COUNT.errors), ...labels),
  );
}

function sum(workers: readonly WorkerView[], value: (worker: WorkerView) => number): number {
  return workers.reduce((all, worker) => all + value(worker), 0);
}

function most(workers: readonly WorkerView[], value: (worker: WorkerView) => number): number {
  return Math.max(...workers.map(value));
}
