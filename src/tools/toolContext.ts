/**
 * What a tool gets from the program around it: where its words go, and whether the operator still wants them.
 */
import { setImmediate } from 'node:timers/promises';

/** Exit codes of the tools. */
export const EXIT = {
  /** Done, and nothing is wrong. */
  fine: 0,
  /** Done, and something is wrong: it was named. */
  found: 1,
  /** Not done: flags, a folder that cannot be read, a signal. */
  failed: 2,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export interface ToolContext {
  /** To standard output. */
  out(text: string): void;
  /** To standard error. */
  complain(text: string): void;
  /** One line that replaces the one before, on a terminal only; empty: none any more. */
  progress(line: string): void;
  /** A stop signal has come. */
  interrupted(): boolean;
  /** A call to a disk has not come back and is not waited for: the process has to be ended by force. */
  abandon(): void;
}

/** Lets signals in; true when the tool shall end. Tools call it between pieces of bounded work. */
export async function shallEnd(context: ToolContext): Promise<boolean> {
  await setImmediate();
  return context.interrupted();
}

/**
 * Writes a JSON object whose member `list` has many items, one item at a time, so that only one has to be in memory. `head` and `tail` are its other
 * members, in front and behind.
 */
export class JsonStream {
  readonly #context: ToolContext;
  #items = 0;

  constructor(context: ToolContext, head: Readonly<Record<string, unknown>>, list: string) {
    this.#context = context;
    const members = Object.entries(head).map(
      ([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)},`,
    );
    context.out(`{${members.join('')}${JSON.stringify(list)}:[`);
  }

  item(value: unknown): void {
    this.#context.out(`${this.#items === 0 ? '' : ','}\n${JSON.stringify(value)}`);
    this.#items += 1;
  }

  end(tail: Readonly<Record<string, unknown>>): void {
    const members = Object.entries(tail).map(
      ([key, value]) => `,${JSON.stringify(key)}:${JSON.stringify(value)}`,
    );
    this.#context.out(`\n]${members.join('')}}\n`);
  }
}
