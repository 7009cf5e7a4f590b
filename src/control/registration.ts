/**
 * The node's first talk with the master: registration until it succeeds (`admin.md` 3.1), and the comparison of the partitions loaded here
 * with those the master expects (3.2). Called once each by the node's start.
 */
import { isIPv4 } from 'node:net';
import type { Logger } from 'pino';
import type { MasterOutcome } from './masterCall.js';
import type { MasterCaller } from './masterClient.js';
import type { Outcome } from './nodeView.js';

/** Pause before another attempt, ms. */
export const RETRY_PAUSE_MS = 2_000;
/** Attempts of the partition check that a master may refuse, without a pause between them. */
const CHECK_ATTEMPTS = 3;

/** Waits `ms`, or until `signal` is aborted. */
export type Sleep = (ms: number, signal: AbortSignal) => Promise<void>;

export interface RegistrationOptions {
  master: MasterCaller;
  /** Configured address of this node; empty: the one the master sees. */
  localIP: string;
  /** Data port. */
  port: number;
  /** Zone of a v2.x cluster, which wants it at the registration; empty: not told. */
  zoneName: string;
  log: Pick<Logger, 'info' | 'warn'>;
  sleep?: Sleep;
}

/** Who this node is in its cluster. */
export interface Registration {
  cluster: string;
  localIP: string;
  /** `<localIP>:<port>`. */
  address: string;
  /** Given by the master, stable for an address; the raft node id. */
  nodeId: number;
}

/** Registers, trying every 2 s for as long as it takes. Null: aborted. */
export async function register(
  options: RegistrationOptions,
  signal: AbortSignal,
): Promise<Registration | null> {
  const sleep = options.sleep ?? sleepMs;
  for (let attempt = 1; !signal.aborted; attempt++) {
    const outcome = await registerOnce(options, signal);
    if (signal.aborted) return null;
    if (outcome.ok) return outcome.value;
    options.log.warn(
      { attempt, reason: outcome.message },
      'registration with the master failed, trying again',
    );
    await sleep(RETRY_PAUSE_MS, signal);
  }
  return null;
}

/** One attempt to register. */
export async function registerOnce(
  options: RegistrationOptions,
  signal: AbortSignal,
): Promise<Outcome<Registration>> {
  const ipReply = await options.master.call({ method: 'GET', path: '/admin/getIp' }, signal);
  if (!ipReply.ok) return failureOf(ipReply);
  const { Cluster, Ip } = fieldsOf(ipReply.data);
  const cluster = typeof Cluster === 'string' ? Cluster : '';
  const localIP = options.localIP !== '' ? options.localIP : typeof Ip === 'string' ? Ip : '';
  if (!isIPv4(localIP)) return { ok: false, message: `local address ${JSON.stringify(localIP)} is not IPv4` };
  const address = `${localIP}:${options.port}`;
  const query = { addr: address, ...(options.zoneName === '' ? {} : { zoneName: options.zoneName }) };
  const addReply = await options.master.call({ method: 'POST', path: '/dataNode/add', query }, signal);
  if (!addReply.ok) return failureOf(addReply);
  const nodeId = addReply.data;
  // The reference goes on with id 0 here, which would be a raft member that nobody knows.
  if (typeof nodeId !== 'number' || !Number.isSafeInteger(nodeId) || nodeId <= 0) {
    return { ok: false, message: `bad node id ${JSON.stringify(nodeId)?.slice(0, 120)} from the master` };
  }
  options.log.info({ cluster, address, nodeId }, 'registered with the master');
  return { ok: true, value: { cluster, localIP, address, nodeId } };
}

export interface PartitionCheckOptions {
  master: MasterCaller;
  /** `<ip>:<port>` as registered. */
  address: string;
  /** Whether a partition is loaded here. */
  isLoaded(id: number): boolean;
  /** Start although partitions are missing. */
  allowLostPartitions: boolean;
  log: Pick<Logger, 'warn' | 'error'>;
  sleep?: Sleep;
}

/** Fails, with the reference's text, when the master lists partitions on this node that are not loaded. Partitions unknown to the master are fine. */
export async function checkPartitions(
  options: PartitionCheckOptions,
  signal: AbortSignal,
): Promise<Outcome<null>> {
  const list = await fetchPartitionList(options, signal);
  if (!list.ok) return list;
  const lost = list.value.filter((id) => !options.isLoaded(id));
  if (lost.length === 0) return { ok: true, value: null };
  const message = `LackPartitions [${lost.join(' ')}] on datanode ${options.address},datanode cannot start`;
  if (options.allowLostPartitions) {
    options.log.warn({ lost: lost.join(' ') }, 'partitions are missing on this node; starting as configured');
    return { ok: true, value: null };
  }
  options.log.error(message);
  return { ok: false, message };
}

/**
 * Three refusals end the start, as in the reference. Masters that are between two leaders, just when this node has registered, do not: those are waited for, as at the
 * registration.
 */
async function fetchPartitionList(
  options: PartitionCheckOptions,
  signal: AbortSignal,
): Promise<Outcome<number[]>> {
  const { master, address, log, sleep = sleepMs } = options;
  const request = { method: 'GET' as const, path: '/dataNode/get', query: { addr: address } };
  let message = '';
  for (let refusals = 0; refusals < CHECK_ATTEMPTS && !signal.aborted; ) {
    const reply = await master.call(request, signal);
    if (reply.ok) return partitionListOf(reply.data);
    message = `checkLocalPartitionMatchWithMaster error ${reply.message}`;
    if (reply.kind === 'aborted') break;
    log.warn({ reason: failureOf(reply).message }, 'the master did not list the partitions of this node');
    if (reply.kind === 'noMaster') await sleep(RETRY_PAUSE_MS, signal);
    else refusals += 1;
  }
  return { ok: false, message };
}

function partitionListOf(data: unknown): Outcome<number[]> {
  const { PersistenceDataPartitions: ids = null } = fieldsOf(data);
  if (ids === null) return { ok: true, value: [] };
  if (Array.isArray(ids) && ids.every((id) => Number.isSafeInteger(id) && id >= 0))
    return { ok: true, value: ids };
  return {
    ok: false,
    message:
      'checkLocalPartitionMatchWithMaster jsonUnmarsh failed PersistenceDataPartitions is not a list of ids',
  };
}

/** Masters, clients and peers come to the registered address; behind a translation of addresses the two may differ. */
export function warnOfOtherAddress(
  listenAddress: string,
  { localIP }: Registration,
  log: Pick<Logger, 'warn'>,
): void {
  if ([localIP, '0.0.0.0', '::'].includes(listenAddress)) return;
  log.warn(
    { registered: localIP, listening: listenAddress },
    'the data port does not listen on the registered address',
  );
}

function failureOf(reply: MasterOutcome & { ok: false }): { ok: false; message: string } {
  return { ok: false, message: reply.detail === '' ? reply.message : `${reply.message}: ${reply.detail}` };
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

/** The sleep used outside tests. */
function sleepMs(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
  });
}
