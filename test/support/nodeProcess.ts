/**
 * A real node as a child process of a test: started from the compiled entry point of the same output folder, watched, killed, started again on the same disks.
 *
 * Nothing is left behind: every process ends and every folder goes with the test that made it (`t.teardown`), and with the test process in any case.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { CREATE_AVAILABLE_BYTES } from '../../src/control/space.js';
import { spaceOf } from '../../src/partition/diskSpace.js';
import { until } from './until.js';

export const mainPath = fileURLToPath(new URL('../../src/main.js', import.meta.url));

const START_TIMEOUT_MS = 30_000;
const END_TIMEOUT_MS = 15_000;
/** Text kept of each output stream; a node that writes more than this has a defect of its own. */
const OUTPUT_CHARS_MAX = 16 * 1024 * 1024;

/** What the helpers need of tap's test object. */
export interface Teardown {
  teardown(handler: () => Promise<void> | void): void;
}

/** How a process ended. */
export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** From the signal that asked for it, ms. */
  afterMs: number;
}

const alive = new Set<number>();
const folders = new Set<string>();

process.once('exit', () => {
  for (const pid of alive) killQuietly(pid);
  // A killed process may still be in the middle of a call that makes a file.
  const options = { recursive: true, force: true, maxRetries: 20, retryDelay: 50 };
  for (const folder of folders) rmSync(folder, options);
});
// A test that is interrupted does not run its teardown.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));

/**
 * A new folder on a file system where partitions can be created: more than 5 GiB must be available after the reserve (`admin.md` 8.3). It is removed
 * with the test.
 */
export function testFolder(t: Teardown): string {
  const parent = [tmpdir(), '/var/tmp'].find(hasRoom);
  if (parent === undefined) {
    throw new Error(`tests of the whole node need a temporary folder with more than 35 GiB free: set TMPDIR`);
  }
  const folder = mkdtempSync(join(parent, 'extentd-node-'));
  folders.add(folder);
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true });
    folders.delete(folder);
  });
  return folder;
}

function hasRoom(folder: string): boolean {
  const { blocks, bavail, bsize } = statfsSync(folder);
  return spaceOf(blocks, bavail, bsize).available > CREATE_AVAILABLE_BYTES;
}

export interface ProcessOptions {
  /** Arguments after the program's name. */
  args: string[];
  env?: Record<string, string>;
  /** Before the program's name: Node's own flags. */
  execArgv?: string[];
}

/** One child process of the entry point. */
export class NodeProcess {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  stdout = '';
  stderr = '';
  #ended: Omit<Ended, 'afterMs'> | null = null;
  #signalledMs = 0;

  constructor(options: ProcessOptions) {
    const args = [...(options.execArgv ?? []), mainPath, ...options.args];
    this.child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
    });
    if (this.child.pid !== undefined) alive.add(this.child.pid);
    this.child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (this.stdout.length < OUTPUT_CHARS_MAX) this.stdout += text;
    });
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (this.stderr.length < OUTPUT_CHARS_MAX) this.stderr += text;
    });
    this.child.once('close', (code, signal) => {
      alive.delete(this.pid);
      this.#ended = { code, signal };
    });
  }

  get pid(): number {
    return this.child.pid!;
  }

  get hasEnded(): boolean {
    return this.#ended !== null;
  }

  /** Lines of the log so far. */
  get logLines(): string[] {
    return this.stderr.split('\n').filter((line) => line !== '');
  }

  /** Waits for the ready line; throws with the log when the process ends first. Resolves with its `name=address` pairs. */
  async whenReady(timeoutMs = START_TIMEOUT_MS): Promise<Map<string, string>> {
    const ready = (): boolean => /^extentd ready .*\n/m.test(this.stdout);
    try {
      await until('the ready line', () => ready() || this.#ended !== null, timeoutMs);
    } catch (error) {
      throw new Error(`${(error as Error).message}; its log:\n${this.stderr}`);
    }
    if (!ready()) throw new Error(`the node did not start (${JSON.stringify(this.#ended)}):\n${this.stderr}`);
    const line = this.stdout.split('\n').find((one) => one.startsWith('extentd ready'))!;
    const pairs = line.split(' ').slice(2);
    return new Map(pairs.map((pair): [string, string] => [pair.split('=')[0]!, pair.split('=')[1]!]));
  }

  /** Sends SIGTERM; `ended` says what came of it. */
  terminate(): Promise<Ended> {
    return this.#signal('SIGTERM');
  }

  /** Ends the process as a power loss of the program alone would: SIGKILL. */
  kill(): Promise<Ended> {
    return this.#signal('SIGKILL');
  }

  /** Resolves when the process has ended. */
  async ended(timeoutMs = END_TIMEOUT_MS): Promise<Ended> {
    await until(`process ${this.pid} ends`, () => this.#ended !== null, timeoutMs);
    return { ...this.#ended!, afterMs: performance.now() - this.#signalledMs };
  }

  #signal(name: NodeJS.Signals): Promise<Ended> {
    this.#signalledMs = performance.now();
    this.child.kill(name);
    return this.ended();
  }
}

/** Starts the entry point with `args`; killed with the test at the latest. */
export function startProcess(t: Teardown, options: ProcessOptions): NodeProcess {
  const node = new NodeProcess(options);
  t.teardown(async () => {
    if (!node.hasEnded) await node.kill();
  });
  return node;
}

export interface StandaloneOptions {
  /** A folder of an earlier node, to start on its disks again. Default: a new one. */
  folder?: string;
  /** Default 1. With several, `RunningNode` is the first. */
  nodes?: number;
  disks?: number;
  partitions?: number;
  /** Ports to use again; default any free ones. */
  port?: number;
  httpPort?: number;
  masterPort?: number;
  /** `--set` texts without the leading `extentd.`. */
  settings?: string[];
  logLevel?: string;
  execArgv?: string[];
  env?: Record<string, string>;
}

/** A standalone node that serves, and where. */
export interface RunningNode {
  process: NodeProcess;
  folder: string;
  /** Data port, and the whole `host:port`. */
  port: number;
  address: string;
  httpUrl: string;
  masterUrl: string;
}

/** Starts `extentd standalone` and waits until it serves. */
export async function startStandalone(t: Teardown, options: StandaloneOptions = {}): Promise<RunningNode> {
  const folder = options.folder ?? testFolder(t);
  const node = startProcess(t, {
    args: standaloneArgs(folder, options),
    ...(options.execArgv === undefined ? {} : { execArgv: options.execArgv }),
    ...(options.env === undefined ? {} : { env: options.env }),
  });
  // The processes of several nodes end a little after this one when it is killed, and their folders go with the test.
  if ((options.nodes ?? 1) > 1) {
    t.teardown(async () => {
      if (!node.hasEnded) await node.terminate();
    });
  }
  const addresses = await node.whenReady();
  const address = addresses.get('data')!;
  return {
    process: node,
    folder,
    port: Number(address.split(':')[1]),
    address,
    httpUrl: `http://${addresses.get('http')}`,
    masterUrl: `http://${addresses.get('master')}`,
  };
}

/** The command line of a standalone node. */
export function standaloneArgs(folder: string, options: StandaloneOptions): string[] {
  const { disks = 1, partitions = 1, port = 0, httpPort = 0, masterPort = 0, settings = [] } = options;
  return [
    'standalone',
    ...['--data', folder],
    ...['--nodes', String(options.nodes ?? 1)],
    ...['--disks', String(disks)],
    ...['--partitions', String(partitions)],
    ...['--port', String(port)],
    ...['--http', String(httpPort)],
    ...['--master', String(masterPort)],
    ...['--raft-heartbeat', '0', '--raft-replica', '0'],
    ...['--log-level', options.logLevel ?? 'info'],
    // Of 32 MiB, each worker would write that much at its first start.
    ...['--set', 'extentd.raft.journalSegmentBytes=1048576'],
    ...settings.flatMap((text) => ['--set', `extentd.${text}`]),
  ];
}

/** Starts the node of `node` again on its disks and its ports, as an operator would. */
export function restart(t: Teardown, node: RunningNode, options: StandaloneOptions): Promise<RunningNode> {
  const masterPort = Number(new URL(node.masterUrl).port);
  return startStandalone(t, { ...options, folder: node.folder, port: node.port, masterPort });
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}
