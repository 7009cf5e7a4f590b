/**
 * What the transport counts: plain numbers that only grow, but for those that say what is now; and how they come into shared memory for the metrics page.
 */
import { RAFT_MESSAGE } from '../protocol/raftMessage.js';
import { type Counters, type CountersMemory, createCounters } from '../shm/counters.js';

const TYPE_COUNT = 1 + Math.max(...Object.values(RAFT_MESSAGE));

/** Messages and their bytes (lengths in front included) by type (`RAFT_MESSAGE`). */
export interface Traffic {
  readonly messages: number[];
  readonly bytes: number[];
}

/** Why a message went no further. */
export interface Drops {
  /** In: no worker has the group. */
  unknownGroup: number;
  /** In: its receiver is another node. */
  otherNode: number;
  /** In: a type that nobody may send, or a snapshot at the heartbeat port. */
  notForTheWire: number;
  /** In: longer than the rings take. */
  tooLong: number;
  /** In: a ring to a worker was full. Counted for each worker. */
  workerFull: number;
  /** Out: no address of the node is known. */
  unknownNode: number;
  /** Out: the peer could not be reached, or is not to be dialled yet. */
  unreachable: number;
  /** Out: its connection holds as much as it may. */
  queueFull: number;
  /** Out: in a connection when it was lost. Some of them may have arrived. */
  lost: number;
}

/** All counters of a transport. */
export interface TransportFigures {
  /** What came in whole, whatever became of it. */
  readonly received: Traffic;
  /** What was taken for a connection, whether or not it arrived. Snapshot headers: those that were dialled for. */
  readonly sent: Traffic;
  readonly drops: Drops;
  readonly incoming: {
    /** Now. */
    open: number;
    accepted: number;
    /** Closed: in no list of peers, when they came or when the lists changed. */
    notAdmitted: number;
    /** Closed: more than there may be. */
    refused: number;
    /** Closed for what they brought. */
    bad: number;
    /** Ended within a frame, by the peer or for want of progress. */
    cutOff: number;
  };
  readonly outgoing: {
    /** Now. */
    open: number;
    dials: number;
    dialFailures: number;
    losses: number;
    /** Times that a peer was reached again. */
    reconnects: number;
  };
  readonly snapshots: {
    /** On their way, now. */
    running: number;
    taken: number;
    failed: number;
    /** Failed at once: too many were running. */
    tooMany: number;
    /** Headers that came in for a group of ours, and how many of them were taken. */
    received: number;
    acknowledged: number;
  };
}

function traffic(): Traffic {
  return { messages: new Array<number>(TYPE_COUNT).fill(0), bytes: new Array<number>(TYPE_COUNT).fill(0) };
}

/** Counts one message. `bytes`: with its length in front. */
export function countMessage(of: Traffic, type: number, bytes: number): void {
  of.messages[type]! += 1;
  of.bytes[type]! += bytes;
}

/** All at 0. */
export function noFigures(): TransportFigures {
  return {
    received: traffic(),
    sent: traffic(),
    drops: {
      ...{ unknownGroup: 0, otherNode: 0, notForTheWire: 0, tooLong: 0, workerFull: 0 },
      ...{ unknownNode: 0, unreachable: 0, queueFull: 0, lost: 0 },
    },
    incoming: { open: 0, accepted: 0, notAdmitted: 0, refused: 0, bad: 0, cutOff: 0 },
    outgoing: { open: 0, dials: 0, dialFailures: 0, losses: 0, reconnects: 0 },
    snapshots: { running: 0, taken: 0, failed: 0, tooMany: 0, received: 0, acknowledged: 0 },
  };
}

/** Memory for all of them, a counter each. */
export function createTransportCounters(): CountersMemory {
  const names: string[] = [];
  walk(noFigures(), '', (_of, _key, name) => names.push(name));
  return createCounters(names);
}

/** Shows the figures as they are now. On the owner's thread. */
export function publishFigures(figures: TransportFigures, counters: Counters): void {
  let at = 0;
  walk(figures, '', (of, key) => counters.set(at++, of[key] as number));
}

/** What was shown last. */
export function readFigures(counters: Counters): TransportFigures {
  const figures = noFigures();
  let at = 0;
  walk(figures, '', (of, key) => {
    of[key] = counters.value(at++);
  });
  return figures;
}

type Branch = Record<string, unknown>;

/** Visits each number of `of`, always in the same order. */
function walk(of: object, path: string, visit: (of: Branch, key: string, name: string) => void): void {
  for (const [key, value] of Object.entries(of) as [string, unknown][]) {
    const name = path === '' ? key : `${path}.${key}`;
    if (typeof value === 'number') visit(of as Branch, key, name);
    else walk(value as object, name, visit);
  }
}
