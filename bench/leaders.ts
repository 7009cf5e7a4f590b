/**
 * Where the raft leaders of the partitions are, as clients find them: begun with what the master has said, and one host further each time that one says it does not lead, or does not answer. Shared by the
 * connections of a thread, so that what one has found the others need not look for. Pure.
 */
import type { HostList } from './hostLists.js';

/** See the file comment. Hosts go by their numbers in the list of their partition. */
export class Leaders {
  readonly #hosts = new Map<number, { host: number; readonly count: number }>();

  constructor(lists: readonly HostList[]) {
    for (const { hosts, partitions, leaders } of lists)
      for (const [index, partitionId] of partitions.entries())
        this.#hosts.set(partitionId, { host: leaders[index]!, count: hosts.length });
  }

  /** The host to ask. */
  of(partitionId: number): number {
    return this.#hosts.get(partitionId)!.host;
  }

  /** It was not `host`: the one to ask now, which is the next unless another connection has gone on already. */
  after(partitionId: number, host: number): number {
    const known = this.#hosts.get(partitionId)!;
    if (known.host === host) known.host = (host + 1) % known.count;
    return known.host;
  }
}
