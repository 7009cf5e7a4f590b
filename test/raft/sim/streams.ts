/**
 * Streams of snapshots (`raft.md` 2.6): each on a connection of its own, which the leader opens, and on which the follower says whether it took the snapshot. A stream
 * ends once; what it ends with goes to the process that began it, unless a newer one to the same node has begun.
 */
import type { RaftMessage } from '../../../src/protocol/raftMessage.js';
import type { SnapshotVerdict } from '../../../src/raft/types.js';
import type { Cluster } from './cluster.js';
import type { ClusterNode } from './clusterNode.js';
import type { RaftWire } from './network.js';
import { GROUP } from './simNode.js';

/** A word that does not come in this time will not. */
const ACK_MS_MAX = 20_000;
const WAY_MS_MAX = 10;

interface Stream {
  from: ClusterNode;
  life: number;
  to: number;
  open: boolean;
}

export class SnapshotStreams {
  /** Share of streams that break, before or after the header has arrived. */
  failShare = 0;
  private readonly cluster: Cluster;
  private readonly codec: RaftWire | null;
  /** Streams whose header has arrived, by header. */
  private readonly arrived = new Map<RaftMessage, Stream>();
  private open: Stream[] = [];

  constructor(cluster: Cluster, codec: RaftWire | null) {
    this.cluster = cluster;
    this.codec = codec;
  }

  /** A leader sends a header. */
  begin(from: ClusterNode, header: RaftMessage): void {
    const { events, network } = this.cluster;
    const { to } = header;
    for (const stream of this.open) if (stream.from === from && stream.to === to) stream.open = false;
    this.open = this.open.filter(({ open }) => open);
    const stream = { from, life: from.life, to, open: true };
    this.open.push(stream);
    events.after(ACK_MS_MAX, () => this.end(stream, false));
    const carried = this.codec === null ? header : this.codec.decode(this.codec.encode(header));
    this.way(() => {
      const target = this.cluster.nodes.get(to);
      const breaks = this.cluster.random.chance(this.failShare);
      if (network.isCut(from.id, to) || breaks || target?.phase !== 'up') return this.end(stream, false);
      this.arrived.set(carried, stream);
      this.cluster.deliver(to, carried);
    });
  }

  /** A follower has judged a header. */
  verdict({ header, accepted }: SnapshotVerdict): void {
    const stream = this.arrived.get(header);
    if (stream === undefined) return;
    this.arrived.delete(header);
    this.way(() => {
      const { network, random } = this.cluster;
      const breaks = network.isCut(stream.to, stream.from.id) || random.chance(this.failShare);
      this.end(stream, accepted && !breaks);
    });
  }

  /** A process has ended, and its connections with it. */
  ended(node: number): void {
    for (const stream of this.open) if (stream.to === node) this.way(() => this.end(stream, false));
  }

  private end(stream: Stream, ok: boolean): void {
    if (!stream.open) return;
    stream.open = false;
    this.open = this.open.filter((each) => each !== stream);
    const { from, life, to } = stream;
    if (!ok) this.cluster.counts.streamsFailed += 1;
    if (from.life === life) from.act((sim) => sim.host.snapshotSent(GROUP, to, ok));
  }

  private way(then: () => void): void {
    this.cluster.events.after(1 + this.cluster.random.below(WAY_MS_MAX), then);
  }
}
