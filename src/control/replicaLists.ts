/**
 * Asks the master for the replicas of each partition, `GET /dataPartition/get` (`admin.md` 4.2), and gives the lists to the node's view. When whose turn is, is decided in
 * `replicaSchedule.ts`. Started and stopped by the node.
 *
 * From the start to the first answer, and for as long as there is none, a partition's replicas are META's hosts. Lists are not saved: a list of yesterday is no better than META.
 */
import type { Logger } from 'pino';
import { MEMBERS_MAX } from '../protocol/adminBodies.js';
import { ADDRESS_CHARACTERS_MAX } from '../protocol/extentInfo.js';
import type { MasterCaller } from './masterClient.js';
import type { NodeView, Outcome } from './nodeView.js';
import { ReplicaSchedule } from './replicaSchedule.js';

/** A look at who is due. */
const TICK_MS = 1_000;

export interface ReplicaListsOptions {
  master: MasterCaller;
  nodeView: Pick<NodeView, 'partition' | 'attachments' | 'setReplicas'>;
  log: Pick<Logger, 'warn' | 'info' | 'debug'>;
  /** Monotonic, ms. */
  nowMs?: () => number;
  random?: () => number;
}

export class ReplicaLists {
  readonly #options: ReplicaListsOptions;
  readonly #schedule: ReplicaSchedule;
  readonly #nowMs: () => number;
  readonly #stopping = new AbortController();
  readonly #open = new Set<Promise<void>>();
  /** Partitions that the master has said it does not know. */
  readonly #unknown = new Set<number>();
  /** As of the last look. */
  #attachments: ReadonlyMap<number, number> = new Map();
  #timer: NodeJS.Timeout | null = null;

  constructor(options: ReplicaListsOptions) {
    this.#options = options;
    this.#schedule = new ReplicaSchedule(options.random ?? Math.random);
    this.#nowMs = options.nowMs ?? (() => performance.now());
  }

  start(): void {
    this.#timer = setInterval(() => this.tick(), TICK_MS);
    this.tick();
  }

  /** Looks who is due and asks for as many as may be asked for at one time. */
  tick(): void {
    const nowMs = this.#nowMs();
    const attachments = this.#options.nodeView.attachments();
    // Deleted and made again since the last look: the list of the one before was nobody's to keep.
    for (const [id, attachment] of this.#attachments)
      if (attachments.get(id) !== attachment) this.#schedule.forget(id);
    this.#attachments = attachments;
    this.#schedule.keep([...attachments.keys()], nowMs);
    this.#schedule.tick(nowMs);
    this.#askNext();
  }

  /** Gives up what is under way. Resolves when nothing is left. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#stopping.abort();
    await Promise.all(this.#open);
  }

  #askNext(): void {
    for (;;) {
      if (this.#stopping.signal.aborted) return;
      const id = this.#schedule.next(this.#nowMs());
      if (id === null) return;
      const asking = this.#ask(id).finally(() => {
        this.#open.delete(asking);
        this.#askNext();
      });
      this.#open.add(asking);
    }
  }

  async #ask(id: number): Promise<void> {
    const { master, nodeView, log } = this.#options;
    const partition = nodeView.partition(id);
    // It was deleted in this very turn: the next look forgets it.
    if (partition === undefined) return this.#schedule.refused(id, this.#nowMs());
    const outcome = await fetchReplicas(master, id, partition.volume, this.#stopping.signal);
    const nowMs = this.#nowMs();
    if (outcome.ok) {
      this.#unknown.delete(id);
      this.#schedule.answered(id, nowMs);
      const before = nodeView.partition(id)?.replicas.join(' ');
      const now = outcome.value.join(' ');
      if (before !== undefined && before !== now)
        log.info({ partition: id, before, now }, 'replicas changed, as the master lists them');
      nodeView.setReplicas(id, outcome.value);
      return;
    }
    if (outcome.isUnknown && !this.#unknown.has(id)) {
      this.#unknown.add(id);
      log.warn(
        { partition: id, volume: partition.volume, path: partition.path },
        'the master does not know this partition: it may be left over from a creation that was given up',
      );
    }
    if (outcome.isReachable) this.#schedule.refused(id, nowMs);
    else this.#schedule.unreachable(id, nowMs);
    log.debug({ partition: id, reason: outcome.message }, 'the master did not list the replicas');
  }
}

/** Code of the master for a partition that it has not (`admin.md` 4.1). */
const NO_SUCH_PARTITION = 9;

/** Why there is no list. `isReachable`: a master has answered; `isUnknown`: that there is no such partition. */
interface NoReplicas {
  ok: false;
  message: string;
  isReachable: boolean;
  isUnknown: boolean;
}

/** Asks for one partition's replicas, the first being the primary. */
export async function fetchReplicas(
  master: MasterCaller,
  id: number,
  volume: string,
  signal: AbortSignal,
): Promise<(Outcome<string[]> & { ok: true }) | NoReplicas> {
  const query = { id: String(id), name: volume };
  const reply = await master.call({ method: 'GET', path: '/dataPartition/get', query }, signal);
  if (!reply.ok) {
    const isReachable = reply.kind === 'refused' || reply.kind === 'undecodable';
    const isUnknown = reply.kind === 'refused' && reply.code === NO_SUCH_PARTITION;
    return { ok: false, message: `${reply.message} ${reply.detail}`, isReachable, isUnknown };
  }
  const hosts = hostsOf(reply.data, id);
  if (hosts === null)
    return { ok: false, message: 'no list of hosts in the answer', isReachable: true, isUnknown: false };
  return { ok: true, value: hosts };
}

/** The hosts of an answer about partition `id`; null when it has none that can be used. Other fields are passed over. */
function hostsOf(data: unknown, id: number): string[] | null {
  if (typeof data !== 'object' || data === null) return null;
  const { Hosts: hosts, PartitionID: answered = id } = data as Record<string, unknown>;
  if (answered !== id || !Array.isArray(hosts)) return null;
  if (hosts.length === 0 || hosts.length > MEMBERS_MAX) return null;
  const isAddress = (host: unknown): host is string =>
    typeof host === 'string' && host !== '' && host.length <= ADDRESS_CHARACTERS_MAX;
  return hosts.every(isAddress) ? hosts : null;
}
