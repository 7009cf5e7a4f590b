/**
 * Metrics of the process under the names of the Go client library, from `prom-client`. Of its defaults those are left out that are of one thread, since the
 * HTTP thread, which runs this, is not the one that counts.
 */
import { type Counter, collectDefaultMetrics, Registry } from 'prom-client';
import { PROCESS_METRICS } from './metricTable.js';

/** The library's monitor of this thread's event loop, which nobody reads: as seldom as possible, ms. */
const UNUSED_MONITOR_MS = 60_000;

export class ProcessMetrics {
  readonly #defaults = new Registry();

  constructor() {
    const { user, system } = process.cpuUsage();
    collectDefaultMetrics({ register: this.#defaults, eventLoopMonitoringPrecision: UNUSED_MONITOR_MS });
    for (const { name } of this.#defaults.getMetricsAsArray()) {
      if (!PROCESS_METRICS.includes(name)) this.#defaults.removeSingleMetric(name);
    }
    // The library counts CPU time from its own start on; the process has run before.
    this.#seed('process_cpu_user_seconds_total', user);
    this.#seed('process_cpu_system_seconds_total', system);
    this.#seed('process_cpu_seconds_total', user + system);
  }

  /** The families as text. */
  text(): Promise<string> {
    return this.#defaults.metrics();
  }

  #seed(name: string, us: number): void {
    (this.#defaults.getSingleMetric(name) as Counter).inc(us / 1e6);
  }
}
