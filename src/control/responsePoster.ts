/**
 * Posts task responses to the master in the background: `POST /dataNode/response` (`admin.md` 4.2, 5.1). Used by `adminTasks.ts` and what it has of tasks.
 *
 * The master is asked to wait for nothing: a response that cannot be delivered is logged and dropped, because the master sends the task again. Heartbeats have
 * a way of their own, so that no pile of load responses keeps the node from being seen alive (pains.md 21).
 */
import type { Logger } from 'pino';
import type { MasterCaller } from './masterClient.js';

/** Responses under way at one time, heartbeats aside. A master that hangs holds each for its time-outs; the newest ones are dropped then. */
const POSTS_MAX = 32;
/** And bytes of them: a partition of 20,000 extents is told in 1.5 MB. One response alone may be longer. */
const POST_BYTES_MAX = 32 * 1024 * 1024;
/** Heartbeats under way: one that a master keeps waiting, and the next one. A third takes the place of the oldest. */
const HEARTBEATS_MAX = 2;

export interface ResponsePosterOptions {
  master: MasterCaller;
  log: Pick<Logger, 'warn' | 'debug'>;
}

/** A response on its way. */
interface Post {
  readonly bytes: number;
  readonly abort: AbortController;
  done: Promise<void>;
}

export class ResponsePoster {
  readonly #options: ResponsePosterOptions;
  readonly #posts = new Set<Post>();
  /** In order of age. */
  readonly #heartbeats = new Set<Post>();
  #postBytes = 0;
  #stopped = false;

  constructor(options: ResponsePosterOptions) {
    this.#options = options;
  }

  /** Sends a whole task with its Response. Returns at once; never fails. */
  post(taskId: string, body: Uint8Array): void {
    if (this.#stopped) return;
    const isTooMuch = this.#posts.size > 0 && this.#postBytes + body.byteLength > POST_BYTES_MAX;
    if (this.#posts.size >= POSTS_MAX || isTooMuch) {
      this.#options.log.warn({ task: taskId }, 'response to the master dropped: too many are under way');
      return;
    }
    this.#postBytes += body.byteLength;
    const post = this.#begin(taskId, [body], this.#posts);
    post.done = post.done.finally(() => {
      this.#postBytes -= post.bytes;
    });
  }

  /** The same for the response to a heartbeat, in pieces: always on its way at once, in place of the oldest where two are already. */
  postHeartbeat(taskId: string, pieces: readonly Uint8Array[]): void {
    if (this.#stopped) return;
    if (this.#heartbeats.size >= HEARTBEATS_MAX) {
      const [oldest] = this.#heartbeats;
      this.#heartbeats.delete(oldest!);
      oldest!.abort.abort();
      this.#options.log.warn(
        { task: taskId },
        'an older heartbeat was not delivered: this one takes its place',
      );
    }
    this.#begin(taskId, pieces, this.#heartbeats);
  }

  #begin(taskId: string, pieces: readonly Uint8Array[], open: Set<Post>): Post {
    const bytes = pieces.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const post: Post = { bytes, abort: new AbortController(), done: Promise.resolve() };
    open.add(post);
    post.done = this.#send(taskId, pieces, post.abort.signal).finally(() => open.delete(post));
    return post;
  }

  async #send(taskId: string, body: readonly Uint8Array[], signal: AbortSignal): Promise<void> {
    const request = { method: 'POST' as const, path: '/dataNode/response', body };
    const outcome = await this.#options.master.call(request, signal);
    if (outcome.ok) this.#options.log.debug({ task: taskId }, 'response delivered to the master');
    if (outcome.ok || outcome.kind === 'aborted') return;
    const { message, detail } = outcome;
    this.#options.log.warn({ task: taskId, reason: message, detail }, 'response to the master not delivered');
  }

  /** Gives up what is under way and takes nothing more. Resolves when nothing is left. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const open = [...this.#posts, ...this.#heartbeats];
    for (const { abort } of open) abort.abort();
    await Promise.all(open.map(({ done }) => done));
  }
}
