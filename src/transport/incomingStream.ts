/**
 * What an accepted connection is doing: bringing messages, or waiting behind a snapshot header for the verdict of its group (`raft.md` 2.6). Pure: bytes in, messages and
 * a state out.
 *
 * A snapshot carries no data that anybody needs, so what follows a header is counted and thrown away. A v1.4.0 leader never stops sending blocks: beyond a bound the stream wants to be
 * read no further until its verdict is known. No stream is waited for: the verdict ends it, come or not come the end of its blocks.
 */
import assert from 'node:assert';
import { RaftFramer } from '../protocol/raftFramer.js';
import { emptyHead, type RaftHead, readRaftHead } from '../protocol/raftHead.js';

/** What is to follow a message. */
export const TAKE = {
  nextMessage: 0,
  /** It was a snapshot header that a group is to judge. */
  verdict: 1,
  /** The connection is of no use any more, through no fault of its bytes. */
  end: 2,
} as const;

/** Gets a message; body and head are valid only during the call. */
export type MessageTaker = (body: Uint8Array, head: RaftHead) => (typeof TAKE)[keyof typeof TAKE];

/** `messages`; `blocks`: behind a header; `ended`: behind the end of the blocks; `closed`: nothing is taken any more. */
export type StreamState = 'messages' | 'blocks' | 'ended' | 'closed';

/** How a stream ends by a verdict. */
export interface StreamEnd {
  /** `SNAPSHOT_ACK` is to be written. */
  readonly isTaken: boolean;
  /** Nothing more is to come: a close cannot lose the byte by a reset. */
  readonly isQuiet: boolean;
}

export class IncomingStream {
  /** What is wrong with its bytes; the state is `closed` then. */
  fault: string | null = null;
  readonly #framer = new RaftFramer();
  readonly #head = emptyHead();
  readonly #blockBytesMax: number;
  readonly #take: MessageTaker;
  readonly #onBody = (body: Uint8Array): void => this.#body(body);
  #state: StreamState = 'messages';
  /** Bytes that came after the chunk with the header. */
  #blockBytes = 0;
  #blocks = 0;

  constructor(blockBytesMax: number, take: MessageTaker) {
    this.#blockBytesMax = blockBytesMax;
    this.#take = take;
  }

  get state(): StreamState {
    return this.#state;
  }

  /** Bytes of memory for the frame under way. */
  get heldBytes(): number {
    return this.#framer.heldBytes;
  }

  /** A message has begun and not come to its end. */
  get isMidFrame(): boolean {
    return this.#state === 'messages' && this.#framer.isMidFrame;
  }

  /** A snapshot waits for its verdict. */
  get waits(): boolean {
    return this.#state === 'blocks' || this.#state === 'ended';
  }

  /** Enough came behind a header: it is to be read on only when its verdict is known. */
  get isFull(): boolean {
    return this.waits && this.#blockBytes >= this.#blockBytesMax;
  }

  /** Takes the next bytes. What is wrong with them stands in `fault`. */
  push(chunk: Uint8Array): void {
    if (this.#state === 'closed') return;
    if (this.waits) this.#blockBytes += chunk.byteLength;
    const fault = this.#framer.push(chunk, this.#onBody);
    if (fault !== null) this.#fail(fault);
  }

  /** The group has judged the snapshot. */
  judge(isTaken: boolean): StreamEnd {
    assert(this.waits, 'a verdict is for a snapshot that waits');
    const isQuiet = this.#state === 'ended' || (this.#blocks === 0 && this.#blockBytes === 0);
    this.close();
    return { isTaken, isQuiet };
  }

  /** Nothing is taken any more. */
  close(): void {
    this.#state = 'closed';
  }

  #body(body: Uint8Array): void {
    switch (this.#state) {
      case 'messages':
        return this.#message(body);
      case 'blocks':
        this.#blocks += 1;
        if (body.byteLength === 0) this.#state = 'ended';
        return;
      case 'ended':
        return this.#fail('bytes behind the end of a snapshot');
      case 'closed':
        return;
    }
  }

  #message(body: Uint8Array): void {
    const fault = readRaftHead(body, this.#head);
    if (fault !== null) return this.#fail(fault);
    const next = this.#take(body, this.#head);
    // The receiver may have closed the stream.
    if (this.#state !== 'messages') return;
    if (next === TAKE.verdict) this.#state = 'blocks';
    else if (next === TAKE.end) this.close();
  }

  #fail(fault: string): void {
    if (this.#state === 'closed') return;
    this.fault = fault;
    this.close();
  }
}
