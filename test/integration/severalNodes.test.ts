/** Several nodes on one host, and IPv6: what listens where, and that nobody shares a disk. */
import t from 'tap';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { freePorts } from '../../src/standalone/standaloneConfig.js';
import { nodeFiles, nodePorts, noIPv6, startMaster } from '../support/nodeFiles.js';
import { type NodeProcess, startProcess } from '../support/nodeProcess.js';
import { PacketClient } from '../support/packetClient.js';
import { create, createPartition, pattern, read, write } from '../support/requests.js';
import { until } from '../support/until.js';

const PARTITION_BYTES = 1024 ** 3;

function run(path: string): NodeProcess {
  return startProcess(t, { args: ['-c', path, '-f'] });
}

/** Creates the partition through this address of a data port, writes to it and reads it back. */
async function serves(host: string, port: number, nodeAddr: string, partitionId: number): Promise<boolean> {
  const client = new PacketClient(port, host);
  await client.ask(createPartition(nodeAddr, 1, partitionId, PARTITION_BYTES));
  const { extentId, resultCode } = await client.ask(create(partitionId));
  const body = pattern(extentId, 0, 5000);
  await client.ask(write(partitionId, extentId, 0, body, true));
  const reply = await client.ask(read(partitionId, extentId, 0, body.length));
  await client.end();
  return resultCode === RESULT.ok && reply.body.equals(body);
}

t.test('pains 23: several nodes on one host, each with its own addresses and the same ports', async (t) => {
  const master = await startMaster(t);
  // Free on every address of the machine.
  const ports = nodePorts(await freePorts('0.0.0.0', 4));
  const nodes = ['127.0.0.1', '127.0.0.2', '127.0.0.3'].map((address) => {
    const extentd = { listenAddress: address, httpAddress: address };
    const files = nodeFiles(t, master.address, ports, { localIP: address, extentd });
    return { address, files, process: run(files.path) };
  });
  for (const [index, { address, files, process }] of nodes.entries()) {
    const ready = await process.whenReady();
    t.equal(ready.get('data'), `${address}:${ports.port}`);
    t.equal(ready.get('http'), `${address}:${ports.prof}`);
    t.ok(await serves(address, Number(ports.port), `${address}:${ports.port}`, 100 + index), address);
    const page = await (await fetch(`http://${address}:${ports.prof}/disks`)).json();
    t.match(page, { data: { disks: [{ path: files.disk, partitions: 1 }] } }, 'its own disk');
    t.match(files.log('dataNode_info.log'), `"data":"${address}:${ports.port}"`, 'its own log');
  }
  await until('three nodes have told the master about themselves', () => {
    const told = master.state.nodes.map((node) => master.heartbeatOf(node));
    return told.length === 3 && told.every((one) => one?.response.partitionReports.length === 1);
  });
  t.strictSame(
    master.state.nodes.map(({ addr }) => addr).sort(),
    nodes.map(({ address }) => `${address}:${ports.port}`),
  );

  const thief = nodeFiles(t, master.address, nodePorts(await freePorts('127.0.0.4', 4)), {
    localIP: '127.0.0.4',
    disks: [`${nodes[0]!.files.disk}:0`],
    extentd: { listenAddress: '127.0.0.4', httpAddress: '127.0.0.4' },
  });
  const refused = run(thief.path);
  t.equal((await refused.ended(30_000)).code, 1);
  t.match(refused.stderr, `disk ${nodes[0]!.files.disk} is in use by another process`);

  for (const { process } of nodes) t.equal((await process.terminate()).code, 0);
});

t.test('a port that another node has: one clear line that names it', async (t) => {
  const master = await startMaster(t);
  const ports = nodePorts(await freePorts('127.0.0.1', 4));
  const extentd = { listenAddress: '127.0.0.1' };
  const first = run(nodeFiles(t, master.address, ports, { localIP: '127.0.0.1', extentd }).path);
  await first.whenReady();
  const elsewhere = { ...nodePorts(await freePorts('127.0.0.2', 4)), port: ports.port };
  const second = run(nodeFiles(t, master.address, elsewhere, { localIP: '127.0.0.2', extentd }).path);
  t.equal((await second.ended(30_000)).code, 1);
  t.match(
    second.stderr,
    `Fatal: failed to start the ChubaoFS datanode daemon err listen EADDRINUSE: address already in use 127.0.0.1:${ports.port} - `,
  );
  const other = { ...nodePorts(await freePorts('127.0.0.2', 4)), prof: ports.prof };
  const change = { localIP: '127.0.0.2', extentd: { listenAddress: '127.0.0.2' } };
  const third = run(nodeFiles(t, master.address, other, change).path);
  t.equal((await third.ended(30_000)).code, 1, 'the HTTP port, too, as in the reference');
  t.match(third.stderr, `err prof: cannot listen on 127.0.0.1:${ports.prof}: `);
  t.equal((await first.terminate()).code, 0);
});

t.test(
  'a node that listens on :: is reached over IPv4 and IPv6, one on ::1 over IPv6 only',
  { skip: noIPv6() },
  async (t) => {
    const master = await startMaster(t);
    const ports = nodePorts(await freePorts('::', 4));
    const both = nodeFiles(t, master.address, ports, {
      localIP: '127.0.0.1',
      extentd: { listenAddress: '::', httpAddress: '::' },
    });
    const node = run(both.path);
    await node.whenReady();
    const nodeAddr = `127.0.0.1:${ports.port}`;
    t.ok(await serves('127.0.0.1', Number(ports.port), nodeAddr, 1), 'IPv4');
    t.ok(await serves('::1', Number(ports.port), nodeAddr, 2), 'IPv6');
    for (const host of ['127.0.0.1', '[::1]'])
      t.equal((await fetch(`http://${host}:${ports.prof}/disks`)).status, 200, host);
    t.equal((await node.terminate()).code, 0);

    const one = nodeFiles(t, master.address, nodePorts(await freePorts('::', 4)), {
      localIP: '127.0.0.1',
      extentd: { listenAddress: '::1' },
    });
    const six = run(one.path);
    await six.whenReady();
    const port = Number(one.config['port']);
    t.ok(await serves('::1', port, `127.0.0.1:${port}`, 3), 'IPv6');
    const client = new PacketClient(port, '127.0.0.1');
    await until('IPv4 is refused', () => client.closed);
    t.match(client.error, /ECONNREFUSED/);
    t.equal((await six.terminate()).code, 0);
  },
);
