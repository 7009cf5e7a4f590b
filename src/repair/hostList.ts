/**
 * What this node is to a partition, as far as repair goes (`repair.md` 2, 3): from the master's list of its hosts, and from how old that is. Pure; time comes in, monotonic ms.
 *
 * Only the master's list makes a first host, and only a fresh one: a node that was cut off from the master while the order changed would run rounds beside the new first host.
 */
import type { RepairRole } from './messages.js';

/** A list is asked for every ten minutes, a tenth more by chance; an answer that is late by a few failures still counts. */
export const LIST_FRESH_MS = 15 * 60_000;

export class HostList {
  #hosts: readonly string[];
  /** When the master told it; never, for META's. */
  #toldMs = Number.NEGATIVE_INFINITY;

  /** @param metaHosts stands until the master has told. */
  constructor(metaHosts: readonly string[]) {
    this.#hosts = metaHosts;
  }

  get hosts(): readonly string[] {
    return this.#hosts;
  }

  told(hosts: readonly string[], nowMs: number): void {
    this.#hosts = [...hosts];
    this.#toldMs = nowMs;
  }

  role(ownAddress: string, joining: boolean, nowMs: number): RepairRole {
    if (nowMs - this.#toldMs > LIST_FRESH_MS) return joining ? 'joining' : 'unknown';
    if (this.#hosts[0] === ownAddress) return this.#hosts.length === 1 ? 'alone' : 'primary';
    return joining ? 'joining' : 'member';
  }
}
