/** Memory that metrics are made of, as a node lays it out, with owners' ends for tests; and a reader of the text format that checks its grammar. */
import { figureIndexes, figureNames, type MetricsSource } from '../../src/http/metricsSource.js';
import { OPERATION_NAMES } from '../../src/protocol/operationNames.js';
import { repairCounterNames } from '../../src/repair/messages.js';
import { Counters, createCounters } from '../../src/shm/counters.js';
import { createDiskWork, DiskWork } from '../../src/shm/diskWork.js';
import { createHistogram, SharedHistogram } from '../../src/shm/histogram.js';
import { createLimitTable, LimitTable } from '../../src/shm/limitTable.js';
import { createOperationTable, OperationTable } from '../../src/shm/operationTable.js';
import { createRing, RingProducer } from '../../src/shm/ring.js';
import { createDiskTable, createPartitionTable, DiskTable, PartitionTable } from '../../src/shm/tables.js';
import { createTransportCounters } from '../../src/transport/figures.js';

const SLAB_CLASSES = [
  { bytes: 4096, slots: 64 },
  { bytes: 131_072, slots: 8 },
];

/** A node with `diskPaths.length` disks of one worker each. */
export class MetricsRig {
  readonly source: MetricsSource;
  readonly operations: OperationTable;
  readonly figures: Counters;
  readonly at: ReturnType<typeof figureIndexes>;
  readonly loopLag: SharedHistogram;
  readonly disks: DiskTable;
  readonly workerRows: DiskTable;
  readonly limits: LimitTable;
  readonly tables: PartitionTable[];
  readonly works: DiskWork[];
  readonly requests: RingProducer[];

  constructor(diskPaths: readonly string[], cluster = 'my.cluster', partitionRows = 8) {
    const count = diskPaths.length;
    const classes = SLAB_CLASSES.length;
    const workers = diskPaths.map((_, disk) => ({
      disk,
      partitions: createPartitionTable(partitionRows),
      work: createDiskWork(),
      requests: createRing(16),
      replies: createRing(16),
    }));
    this.source = {
      cluster,
      startedAtMs: 1_700_000_000_789,
      operations: createOperationTable(OPERATION_NAMES.length),
      figures: createCounters(figureNames(classes, count, count)),
      loopLag: createHistogram(),
      repair: createCounters(repairCounterNames(count)),
      raft: createTransportCounters(),
      slabClasses: SLAB_CLASSES,
      diskPaths,
      diskTable: createDiskTable(count),
      workerTable: createDiskTable(count),
      limitTable: createLimitTable(count),
      workers,
    };
    this.operations = new OperationTable(this.source.operations);
    this.figures = new Counters(this.source.figures);
    this.at = figureIndexes(classes, count);
    this.loopLag = new SharedHistogram(this.source.loopLag);
    this.disks = new DiskTable(this.source.diskTable);
    this.workerRows = new DiskTable(this.source.workerTable);
    this.limits = new LimitTable(this.source.limitTable);
    this.tables = workers.map(({ partitions }) => new PartitionTable(partitions));
    this.works = workers.map(({ work }) => new DiskWork(work));
    this.requests = workers.map(({ requests }) => new RingProducer(requests));
  }
}

/** A page of metrics, read. */
export interface ReadMetrics {
  /** Type by family. */
  families: Map<string, string>;
  /** Value by series, `name{label="value"}` as written. */
  samples: Map<string, number>;
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABELS = String.raw`\{[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*")*\}`;
const SAMPLE = new RegExp(`^(${NAME})(${LABELS})? (-?[0-9.e+-]+|[+-]Inf|NaN)$`);

/** Reads the text format; throws where it breaks the grammar, has a series twice, or a sample outside of its family. */
export function readMetrics(text: string): ReadMetrics {
  if (!text.endsWith('\n')) throw new Error('no line feed at the end');
  const families = new Map<string, string>();
  const samples = new Map<string, number>();
  let helped = '';
  let family = '';
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const [, kind, name = '', rest] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (kind === 'HELP') {
      if (families.has(name)) throw new Error(`family twice: ${name}`);
      helped = name;
    } else if (kind === 'TYPE') {
      if (helped !== name) throw new Error(`TYPE without HELP: ${name}`);
      families.set(name, rest!);
      family = name;
    } else {
      const [, sampleName, labels = '', value] = SAMPLE.exec(line) ?? [];
      if (sampleName === undefined) throw new Error(`not a sample: ${line}`);
      const suffix = families.get(family) === 'histogram' ? '(_bucket|_sum|_count)' : '';
      if (!new RegExp(`^${family}${suffix}$`).test(sampleName)) throw new Error(`${line} in ${family}`);
      const series = `${sampleName}${labels}`;
      if (samples.has(series)) throw new Error(`series twice: ${series}`);
      samples.set(series, Number(value!.replace('Inf', 'Infinity')));
    }
  }
  return { families, samples };
}
