/** Three real nodes on 127.0.0.1, .2 and .3 with one data port number, a master for them, and partitions that each of them has a replica of. */

import { formatFollowers } from '../../src/protocol/followers.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { freePorts } from '../../src/standalone/standaloneConfig.js';
import { type NodeFiles, nodeFiles, nodePorts, startMaster } from './nodeFiles.js';
import { type NodeProcess, startProcess, type Teardown } from './nodeProcess.js';
import { type Ask, PacketClient } from './packetClient.js';
import { createPartition } from './requests.js';

const PARTITION_BYTES = 2 ** 33;

/** One of the nodes. */
export interface Replica {
  ip: string;
  port: number;
  address: string;
  httpUrl: string;
  files: NodeFiles;
  process: NodeProcess;
}

export interface ReplicasOptions {
  /** Partitions 1..n. Hosts: the first node first, in all of them. */
  partitions?: number;
  count?: number;
  /** Keys of the config's `extentd`. */
  settings?: Record<string, unknown>;
  execArgv?: string[];
}

/** The nodes, ready, with their partitions. */
export async function startReplicas(t: Teardown, options: ReplicasOptions = {}): Promise<Replica[]> {
  const { partitions = 1, count = 3, settings = {}, execArgv = [] } = options;
  const master = await startMaster(t);
  const ports = nodePorts(await freePorts('0.0.0.0', 4));
  const nodes = Array.from({ length: count }, (_, index): Replica => {
    const ip = `127.0.0.${index + 1}`;
    const extentd = {
      listenAddress: ip,
      httpAddress: ip,
      raft: { journalSegmentBytes: 1_048_576 },
      ...settings,
    };
    const files = nodeFiles(t, master.address, ports, { localIP: ip, extentd });
    const process = startProcess(t, { args: ['-c', files.path, '-f'], execArgv });
    const address = `${ip}:${ports.port}`;
    return { ip, port: Number(ports.port), address, httpUrl: `http://${ip}:${ports.prof}`, files, process };
  });
  for (const { process } of nodes) await process.whenReady();
  const hosts = nodes.map(({ address }) => address);
  for (const { ip, port, address } of nodes) {
    const client = new PacketClient(port, ip);
    for (let id = 1; id <= partitions; id++) {
      const reply = await client.ask(createPartition(address, 0, id, PARTITION_BYTES, hosts));
      if (reply.resultCode !== RESULT.ok) throw new Error(reply.body.toString());
    }
    await client.end();
  }
  return nodes;
}

/** Starts a node again that has ended, on its disks and ports. */
export async function restartReplica(t: Teardown, node: Replica): Promise<void> {
  node.process = startProcess(t, { args: ['-c', node.files.path, '-f'] });
  await node.process.whenReady();
}

/** A request as a client sends it to the first host of `nodes`: the others follow. */
export function replicated(ask: Ask, nodes: readonly Replica[]): Ask {
  const followers = nodes.slice(1).map(({ address }) => address);
  return { ...ask, remainingFollowers: followers.length, arg: formatFollowers(followers) };
}
