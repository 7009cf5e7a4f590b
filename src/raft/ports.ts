/**
 * What main and a worker say to each other about raft, over a message ring each way (`shm/messageRing.ts`; docs/raftNode.md). Kinds of messages, and what their number `a` and their bytes are. Known to both sides: `src/transport` on main,
 * `src/workers` on the other end.
 *
 * What finds no room in a ring waits with its sender, in order (`shm/waitingRing.ts`). Beyond a bound messages to and from peers, and `reconnected`, are dropped as if the network had lost them; the others never are.
 */

/** Main to a worker. */
export const RAFT_IN = {
  /** `a`: number of the stream that it came on. Bytes: the body of a message as it came, without its length (`raft.md` 2.2). */
  message: 1,
  /** `a`: id of a node to which a connection was made anew. */
  reconnected: 2,
  /** `a`: group. Bytes: node id of the receiver (u64, big-endian), 1: it has taken the snapshot, 0: not. */
  snapshotSent: 3,
} as const;

/** A worker to main. */
export const RAFT_OUT = {
  /** `a`: id of the node that it goes to. Bytes: the message, with its length in front. A snapshot header wants a connection of its own; its end is told by `RAFT_IN.snapshotSent`. */
  message: 1,
  /** `a`: number of the stream that brought a snapshot header. Bytes: 1: taken, 0: refused. */
  verdict: 2,
  /** `a`: number of a stream that is not to be listened to any longer. Bytes: why, as text. */
  badStream: 3,
  /** `a`: id of a node. Bytes: the host part of its address, as text. Told when members are known or have changed. */
  address: 4,
} as const;

/** Bytes of each ring. */
export const RAFT_RING_BYTES = 2 * 1024 * 1024;
/** Longest message that goes through them: an append of one entry that the journal could still take. */
export const RAFT_MESSAGE_BYTES_MAX = 16 * 1024 * 1024;
