/**
 * One of two disks hangs under load: what the other one does meanwhile, how long requests for the hung one wait, whether heartbeats arrive, whether it comes back.
 * Used by the integration test and, with longer windows and the real bound, by the long run.
 */
import { RESULT } from '../../src/protocol/resultCodes.js';
import { type RunningNode, startStandalone, type Teardown } from './nodeProcess.js';
import { OpLoad } from './opLoad.js';
import { PacketClient } from './packetClient.js';
import { create, pattern, read, write } from './requests.js';
import { untilAnswer } from './until.js';

/** Partitions go to disks in turn: 1 on the first, 2 on the second. */
const HUNG_PARTITION = 1;
const OTHER_PARTITION = 2;
const STALL_MS = 1_000;
/** A client that was refused asks again after this; v1.4.0 clients wait 100 ms, and these share their cores with the node. */
const RETRY_MS = 250;

export interface HungDiskReport {
  /** Operations a second on the other disk, medians of the windows: while the first was idle, and while it hung. */
  idleRate: number;
  hungRate: number;
  /** Longest wait of a request for the hung disk until its error, and how many there were, by text. */
  waitMsMax: number;
  refusals: Map<string, number>;
  /** Time between two heartbeat responses that came at the master while the disk hung. */
  heartbeatGapMs: number;
  /** Time from the end of the hang to the first request served. */
  recoveredAfterMs: number;
  stallMs: number;
}

/** Measures with `windows` windows of `windowMs` before, during and after the hang. */
export async function hangOneDisk(t: Teardown, windows: number, windowMs: number): Promise<HungDiskReport> {
  const settings = ['faultInjection=true', `stallMs=${STALL_MS}`];
  const node = await startStandalone(t, { disks: 2, partitions: 2, settings });
  const content = await prepareHungPartition(node);
  const loads = [
    await OpLoad.prepare(node.port, OTHER_PARTITION, 'append', 2, 16),
    await OpLoad.prepare(node.port, OTHER_PARTITION, 'read', 2, 16),
  ];
  t.teardown(() => {
    for (const load of loads) load.close();
  });
  for (const load of loads) load.start();
  const measure = async (): Promise<number[]> => {
    const rates: number[] = [];
    for (let window = 0; window < windows; window++) {
      const parts = await Promise.all(loads.map((load) => load.rate(windowMs)));
      rates.push(parts.reduce((sum, rate) => sum + rate, 0));
    }
    return rates;
  };
  await measure();
  const before = await measure();
  const clients = new HungDiskClients(node.port);
  const beatsBefore = await heartbeatAtMs(node);
  await fault(node, 'hang');
  const hungFromMs = Date.now();
  clients.start();
  const during = await measure();
  // The embedded master asks every five seconds; two answers show that the first was not on its way already.
  const firstBeat = await untilAnswer(
    'a heartbeat',
    () => heartbeatAfter(node, Math.max(hungFromMs, beatsBefore)),
    12_000,
  );
  const secondBeat = await untilAnswer('another heartbeat', () => heartbeatAfter(node, firstBeat), 12_000);
  await fault(node, 'clear');
  const clearedMs = performance.now();
  await clients.stop();
  await untilAnswer('the disk serves again', () => reads(node, content), 20_000);
  const recoveredAfterMs = performance.now() - clearedMs;
  const after = await measure();
  for (const load of loads) await load.stop();
  const failed = loads.flatMap(({ errors }) => errors);
  if (failed.length > 0) throw new Error(`on the other disk: ${failed[0]}`);
  return {
    idleRate: median([...before, ...after]),
    hungRate: median(during),
    waitMsMax: clients.waitMsMax,
    refusals: clients.refusals,
    heartbeatGapMs: secondBeat - firstBeat,
    recoveredAfterMs,
    stallMs: STALL_MS,
  };
}

/** Clients of the hung disk: they ask, wait for an error, and ask again on a new connection, as clients do. */
class HungDiskClients {
  waitMsMax = 0;
  readonly refusals = new Map<string, number>();
  readonly #port: number;
  readonly #lanes: Promise<void>[] = [];
  #stopping = false;

  constructor(port: number) {
    this.#port = port;
  }

  start(): void {
    for (let lane = 0; lane < 8; lane++) this.#lanes.push(this.#run(lane));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#lanes);
  }

  async #run(lane: number): Promise<void> {
    while (!this.#stopping) {
      const client = new PacketClient(this.#port);
      const body = pattern(1025, 0, 4096);
      const asks = [
        create(HUNG_PARTITION),
        read(HUNG_PARTITION, 1025, 0, 4096),
        write(HUNG_PARTITION, 1025, 0, body, true),
      ];
      const fromMs = performance.now();
      const reply = await client.ask(asks[lane % asks.length]!).catch((error: Error) => error.message);
      this.waitMsMax = Math.max(this.waitMsMax, performance.now() - fromMs);
      const text =
        typeof reply === 'string' ? reply : reply.resultCode === RESULT.ok ? '' : reply.body.toString();
      if (text !== '') this.refusals.set(text, (this.refusals.get(text) ?? 0) + 1);
      await client.end();
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

/** An extent on the disk that will hang, with some acknowledged bytes. */
async function prepareHungPartition(node: RunningNode): Promise<Buffer> {
  const client = new PacketClient(node.port);
  const { extentId } = await client.ask(create(HUNG_PARTITION));
  const content = pattern(extentId, 0, 64 * 1024);
  const reply = await client.ask(write(HUNG_PARTITION, extentId, 0, content, true));
  if (reply.resultCode !== RESULT.ok) throw new Error(reply.body.toString());
  await client.end();
  return content;
}

/** True when the bytes acknowledged before the hang are served; null: not yet. */
async function reads(node: RunningNode, content: Buffer): Promise<true | null> {
  const client = new PacketClient(node.port);
  try {
    const reply = await client.ask(read(HUNG_PARTITION, 1025, 0, content.length));
    if (reply.resultCode !== RESULT.ok) return null;
    if (!reply.body.equals(content)) throw new Error('acknowledged bytes have changed');
    return true;
  } finally {
    await client.end();
  }
}

async function fault(node: RunningNode, kind: 'hang' | 'clear'): Promise<void> {
  const response = await fetch(`${node.httpUrl}/debug/fault?disk=0&kind=${kind}`, { method: 'POST' });
  if (response.status !== 200) throw new Error(`fault: ${await response.text()}`);
}

async function heartbeatAtMs(node: RunningNode): Promise<number> {
  const status = (await (await fetch(`${node.masterUrl}/status`)).json()) as {
    nodes: { heartbeatAtMs: number | null }[];
  };
  return status.nodes[0]?.heartbeatAtMs ?? 0;
}

async function heartbeatAfter(node: RunningNode, afterMs: number): Promise<number | null> {
  const atMs = await heartbeatAtMs(node);
  return atMs > afterMs ? atMs : null;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
