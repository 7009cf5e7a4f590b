/**
 * One of several standalone nodes, as a process of its own: started from its config file as an operator would, watched, stopped.
 *
 * Owned by `severalNodes.ts`. The process has a channel to this one: it reports how its start ended, and it stops when the channel is closed, so it never
 * outlives this process, however that ends. It is the leader of a process group of its own: Ctrl-C on the terminal reaches it through here, once.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { type Report, SUPERVISED_VARIABLE } from '../cli/daemon.js';

export interface ChildNodeOptions {
  /** `node1`, ...: what its lines begin with. */
  readonly name: string;
  /** The program's entry point, and the node's config file. */
  readonly program: string;
  readonly configPath: string;
  /** Takes each line that the process writes to its standard error. */
  readonly line: (line: string) => void;
}

export class ChildNode {
  readonly name: string;
  /** Resolves with null when the node serves, else with one line that says why not. */
  readonly started: Promise<string | null>;
  /** Resolves with how the process ended, in words. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  #hasEnded = false;

  constructor({ name, program, configPath, line }: ChildNodeOptions) {
    this.name = name;
    this.#child = spawn(process.execPath, [...process.execArgv, program, '-f', '-c', configPath], {
      detached: true,
      env: { ...process.env, [SUPERVISED_VARIABLE]: '1' },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    createInterface({ input: this.#child.stderr! }).on('line', line);
    this.ended = once(this.#child, 'exit').then(
      ([code, signal]) => {
        this.#hasEnded = true;
        return signal === null ? `with exit code ${code}` : `by ${signal}`;
      },
      (error: Error) => {
        this.#hasEnded = true;
        return `before it began: ${error.message}`;
      },
    );
    this.started = Promise.race([
      once(this.#child, 'message').then(
        ([message]) => failureOf(message as Report),
        // Never rejects: `ended` says why.
        () => this.ended,
      ),
      this.ended.then((how) => `the process ended ${how}`),
    ]);
  }

  /** undefined: it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Asks it to stop; after `patienceMs` it is killed. Resolves when it has ended. */
  async stop(patienceMs: number): Promise<void> {
    if (this.#hasEnded) return;
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), patienceMs);
    await this.ended;
    clearTimeout(timer);
  }
}

function failureOf(report: Report): string | null {
  return report.extentd === 'started' ? null : report.message;
}
