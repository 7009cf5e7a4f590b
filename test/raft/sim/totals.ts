/**
 * Sums over runs, and the words in which runs and sums are told.
 */
import { FAULT_NAMES, type FaultCounts } from './faults.js';
import type { RunReport } from './run.js';

/** What all runs of a series came to. */
export class Totals {
  runs = 0;
  simulatedMs = 0;
  events = 0;
  elections = 0;
  committed = 0;
  restarts = 0;
  changes = 0;
  snapshots = 0;
  fetched = 0;
  compared = 0;
  answered = 0;
  unanswered = 0;
  readonly faults: FaultCounts;

  constructor() {
    this.faults = Object.fromEntries(FAULT_NAMES.map((name) => [name, 0])) as FaultCounts;
  }

  add(report: RunReport): void {
    const { cluster, clients, faults } = report;
    this.runs += 1;
    this.simulatedMs += report.simulatedMs;
    this.events += report.events;
    this.elections += report.elections;
    this.committed += report.committed;
    this.fetched += report.fetched;
    this.compared += report.compared;
    this.restarts += cluster.restarts;
    this.changes += cluster.changes;
    this.snapshots += cluster.snapshots;
    this.answered += clients.answered;
    this.unanswered += clients.unknown + clients.refused;
    for (const name of FAULT_NAMES) this.faults[name] += faults[name];
  }

  /** Everything that was counted, one line an idea. */
  lines(): string[] {
    const hours = (this.simulatedMs / 3_600_000).toFixed(2);
    const { elections, restarts, changes, snapshots, committed, fetched, compared } = this;
    return [
      `${this.runs} runs, ${hours} simulated hours, ${this.events} events`,
      `${elections} elections, ${restarts} restarts, ${changes} membership changes, ${snapshots} snapshots`,
      `${committed} entries committed, ${this.answered} operations answered, ${this.unanswered} not`,
      `${fetched} pieces fetched, ${compared} comparisons`,
      `hits: ${FAULT_NAMES.map((name) => `${name} ${this.faults[name]}`).join(', ')}`,
    ];
  }
}

/** One run in a line. */
export function toldRun({ seed, hash, simulatedMs, members, elections, cluster, faults }: RunReport): string {
  const hits = FAULT_NAMES.filter((name) => faults[name] > 0).map((name) => `${name} ${faults[name]}`);
  const { restarts, changes, snapshots } = cluster;
  const counts = `${elections} elections, ${restarts} restarts, ${changes} changes, ${snapshots} snapshots`;
  return `seed ${seed} ${hash}: ${members} nodes, ${(simulatedMs / 1000).toFixed(0)} s, ${counts}; ${hits.join(', ')}`;
}
