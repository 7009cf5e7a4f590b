/** Sinks on several addresses that replicate among each other, and a master that names them: for tests of the generator's replicated runs. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';
import { Sink, type SinkOptions } from '../../bench/sink.js';

export interface FakeCluster {
  /** `host:port` of the master. */
  master: string;
  /** `host:port` of each node. */
  hosts: string[];
  sinks: Sink[];
  /** Ends a node: nobody reaches it any more. */
  kill(index: number): Promise<void>;
}

export interface FakeClusterOptions {
  nodes: number;
  partitions: number;
  /** Number of the node that the master names as raft leader of a partition; absent: it knows none. */
  leaderOf?: (partitionId: number) => number;
  /** How a node acts up. */
  optionsOf?: (index: number) => SinkOptions;
  /** What the master says instead of the partitions. */
  answer?: string;
}

/** Three replicas a partition, whose hosts rotate. */
export async function startFakeCluster(t: Test, options: FakeClusterOptions): Promise<FakeCluster> {
  const { nodes, partitions, optionsOf = () => ({}) } = options;
  const byAddress = new Map<string, Sink>();
  const follower = (address: string): Sink | undefined => byAddress.get(address);
  const sinks: Sink[] = [];
  for (let index = 0; index < nodes; index++) {
    const address = `127.0.0.${index + 1}`;
    const group = (partitionId: number): Sink[] =>
      [0, 1, 2].map((turn) => sinks[(partitionId - 1 + turn) % nodes]!).filter((one) => one !== sink);
    const sink: Sink = await Sink.listen(0, {
      keepData: true,
      address,
      follower,
      group,
      ...optionsOf(index),
    });
    byAddress.set(`${address}:${sink.port}`, sink);
    sinks.push(sink);
  }
  const hosts = [...byAddress.keys()];
  const view = Array.from({ length: partitions }, (_, index) => ({
    PartitionID: index + 1,
    Status: 2,
    ReplicaNum: 3,
    Hosts: [0, 1, 2].map((turn) => hosts[(index + turn) % nodes]!),
    LeaderAddr: options.leaderOf === undefined ? '' : hosts[options.leaderOf(index + 1)],
    Epoch: 0,
  }));
  const answer = JSON.stringify({ code: 0, msg: 'success', data: { DataPartitions: view.reverse() } });
  const server = createServer((request, response) => {
    const known = request.url === '/client/partitions?name=demo';
    response.end(
      options.answer ?? (known ? answer : JSON.stringify({ code: 7, msg: 'vol not exists', data: null })),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const kill = async (index: number): Promise<void> => {
    byAddress.delete(hosts[index]!);
    await sinks[index]!.close();
  };
  t.teardown(async () => {
    for (const [index, host] of hosts.entries()) if (byAddress.has(host)) await kill(index);
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return { master: `127.0.0.1:${(server.address() as AddressInfo).port}`, hosts, sinks, kill };
}
