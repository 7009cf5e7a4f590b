/**
 * Notices that the master has stopped sending heartbeat tasks, finds out why, and registers again where the master has lost this node (`admin.md` 14.1). Owned by the node; what
 * to do is decided by the pure functions below.
 *
 * A v1.4.0 master takes any posted response with 200 and drops it silently when it does not know the node, so responses tell nothing. What tells is that no task comes for 180 s: the time
 * after which a master takes a node for dead. The reference then waits for a restart by hand. A node that was decommissioned is unknown too, and must not come back by itself; what tells the two
 * apart is whether the master still lists this node among the hosts of one of its partitions.
 */
import type { Logger } from 'pino';
import type { MasterOutcome } from './masterCall.js';
import type { MasterCaller } from './masterClient.js';
import type { NodeView, Outcome } from './nodeView.js';
import type { Registration } from './registration.js';
import { fetchReplicas } from './replicaLists.js';

/** Without a heartbeat task for this long a master counts the node as inactive. */
export const SILENCE_MS = 180_000;
/** A silent master is asked for the reason this often, and the same reason is told again in the log this often. */
const LOOK_INTERVAL_MS = 60_000;
const TELL_AGAIN_MS = 600_000;
/** Partitions that are asked for, at most, to find one that has this node as a host. */
const SAMPLE_MAX = 16;
/** Code of a master that does not know a data node (`admin.md` 4.1). */
const NODE_NOT_EXISTS = 10;

/** Why no heartbeat task comes. */
export type Reason = 'noMaster' | 'known' | 'lost' | 'leftOut';

/** What the log says of each reason. */
const TEXT: Record<Reason, string> = {
  noMaster: 'no heartbeat task comes, and no master answers',
  known:
    'no heartbeat task comes although the master knows this node: look whether it can reach the data port',
  lost: 'the master has lost this node, which it lists as a host of partitions: registering again',
  leftOut:
    'the master does not know this node and lists it as a host of nothing here: it was decommissioned, or this is another cluster. It stays out until a restart',
};

/** What the master's answer to `/dataNode/get` means; null: it does not know the node, and who is a host must be asked. */
export function reasonOf(reply: MasterOutcome): Reason | null {
  if (reply.ok) return 'known';
  if (reply.kind === 'refused') return reply.code === NODE_NOT_EXISTS ? null : 'known';
  return 'noMaster';
}

export interface MasterContactOptions {
  master: MasterCaller;
  registration: Registration;
  nodeView: Pick<NodeView, 'partition' | 'partitionIds'>;
  /** One attempt to register (`registration.ts`). */
  register(signal: AbortSignal): Promise<Outcome<Registration>>;
  /** Raises an alarm. */
  alarm(text: string): void;
  log: Pick<Logger, 'info' | 'warn'>;
  /** Monotonic, ms. */
  nowMs?: () => number;
  silenceMs?: number;
  lookIntervalMs?: number;
}

export class MasterContact {
  readonly #options: MasterContactOptions;
  readonly #nowMs: () => number;
  readonly #silenceMs: number;
  readonly #stopping = new AbortController();
  #heardMs: number;
  #told: { reason: Reason; atMs: number } | null = null;
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> | null = null;

  constructor(options: MasterContactOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#silenceMs = options.silenceMs ?? SILENCE_MS;
    this.#heardMs = this.#nowMs();
  }

  start(): void {
    this.#timer = setInterval(() => this.tick(), this.#options.lookIntervalMs ?? LOOK_INTERVAL_MS);
  }

  /** A heartbeat task has come. */
  heard(): void {
    this.#heardMs = this.#nowMs();
    if (this.#told !== null) this.#options.log.info('heartbeat tasks come again');
    this.#told = null;
  }

  /** Looks for the reason when nothing has been heard for too long; one look at a time. Resolves when it has ended. */
  tick(): Promise<void> {
    if (this.#stopping.signal.aborted || this.#nowMs() - this.#heardMs < this.#silenceMs) return DONE;
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#stopping.abort();
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { master, registration } = this.#options;
    const { signal } = this.#stopping;
    const heardMs = this.#heardMs;
    const query = { addr: registration.address };
    const reply = await master.call({ method: 'GET', path: '/dataNode/get', query }, signal);
    const reason = reasonOf(reply) ?? (await this.#whyUnknown(signal));
    if (signal.aborted || this.#heardMs !== heardMs) return;
    this.#tell(reason);
    if (reason === 'lost') await this.#registerAgain(signal);
  }

  /** The master does not know this node: whether it lists it as a host of one of its partitions nevertheless. */
  async #whyUnknown(signal: AbortSignal): Promise<Reason> {
    const { master, nodeView, registration } = this.#options;
    for (const id of nodeView.partitionIds().slice(0, SAMPLE_MAX)) {
      const partition = nodeView.partition(id);
      if (partition === undefined) continue;
      const hosts = await fetchReplicas(master, id, partition.volume, signal);
      if (hosts.ok && hosts.value.includes(registration.address)) return 'lost';
      if (!hosts.ok && !hosts.isReachable) return 'noMaster';
    }
    return 'leftOut';
  }

  async #registerAgain(signal: AbortSignal): Promise<void> {
    const { registration, register, alarm, log } = this.#options;
    const outcome = await register(signal);
    if (signal.aborted) return;
    if (!outcome.ok) return log.warn({ reason: outcome.message }, 'registering again failed');
    const { nodeId, address } = outcome.value;
    // Its partitions' groups know it by the old id.
    if (nodeId !== registration.nodeId)
      alarm(
        `the master has registered ${address} as node ${nodeId}, which was ${registration.nodeId}: restart it`,
      );
  }

  #tell(reason: Reason): void {
    const nowMs = this.#nowMs();
    if (this.#told?.reason === reason && nowMs - this.#told.atMs < TELL_AGAIN_MS) return;
    this.#told = { reason, atMs: nowMs };
    const silentSeconds = Math.round((nowMs - this.#heardMs) / 1000);
    this.#options.log.warn({ reason, silentSeconds }, TEXT[reason]);
  }
}

const DONE = Promise.resolve();
