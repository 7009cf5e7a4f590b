/**
 * Posts task responses to the master in the background: `POST /dataNode/response` (`admin.md` 4.2, 5.1). Used by `adminTasks.ts`.
 *
 * The master is asked to wait for nothing: a response that cannot be delivered is logged and dropped, because the master sends the task again.
 */
import { setMaxListeners } from 'node:events';
import type { Logger } from 'pino';
import type { MasterCaller } from './masterClient.js';

/** Responses under way at one time. A master that hangs holds each for its time-outs; the newest ones are dropped then. */
const POSTS_MAX = 32;
/** And bytes of them: a partition of 20,000 extents is told in 1.5 MB. One response alone may be longer. */
const POST_BYTES_MAX = 32 * 1024 * 1024;

export interface ResponsePosterOptions {
  master: MasterCaller;
  log: Pick<Logger, 'warn'>;
}

export class ResponsePoster {
  readonly #options: ResponsePosterOptions;
  readonly #stopping = new AbortController();
  readonly #open = new Set<Promise<void>>();
  #openBytes = 0;

  constructor(options: ResponsePosterOptions) {
    this.#options = options;
    // Every response under way listens for the stop.
    setMaxListeners(POSTS_MAX, this.#stopping.signal);
  }

  /** Sends a whole task with its Response. Returns at once; never fails. */
  post(taskId: string, body: Uint8Array): void {
    if (this.#stopping.signal.aborted) return;
    const isTooMuch = this.#open.size > 0 && this.#openBytes + body.byteLength > POST_BYTES_MAX;
    if (this.#open.size >= POSTS_MAX || isTooMuch) {
      this.#options.log.warn({ task: taskId }, 'response to the master dropped: too many are under way');
      return;
    }
    this.#openBytes += body.byteLength;
    const sending = this.#send(taskId, body).finally(() => {
      this.#open.delete(sending);
      this.#openBytes -= body.byteLength;
    });
    this.#open.add(sending);
  }

  async #send(taskId: string, body: Uint8Array): Promise<void> {
    const request = {
      method: 'POST' as const,
      path: '/dataNode/response',
      body,
    };
    const outcome = await this.#options.master.call(request, this.#stopping.signal);
    if (outcome.ok || outcome.kind === 'aborted') return;
    const { message, detail } = outcome;
    this.#options.log.warn({ task: taskId, reason: message, detail }, 'response to the master not delivered');
  }

  /** Gives up what is under way and takes nothing more. Resolves when nothing is left. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#open);
  }
}
