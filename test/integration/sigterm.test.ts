/** SIGTERM at any time: the node ends with exit code 0 within seconds, and what it acknowledged is there afterwards. */
import { mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { freePorts } from '../../src/standalone/standaloneConfig.js';
import { Random } from '../sim/random.js';
import {
  type NodeProcess,
  restart,
  startProcess,
  startStandalone,
  testFolder,
} from '../support/nodeProcess.js';
import { PacketClient } from '../support/packetClient.js';
import { create, pattern, read, write } from '../support/requests.js';
import { StoreLoad } from '../support/storeLoad.js';
import { until } from '../support/until.js';

/** Eight seconds is the node's own deadline; one more for a busy machine. */
const END_MS_MAX = 9_000;

for (const name of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`pains 17: ${name} under load`, async (t) => {
    const options = { disks: 2, partitions: 4 };
    const node = await startStandalone(t, options);
    const load = new StoreLoad(new Random(7));
    const running = load.run(node.port, { partitions: [1, 2, 3, 4], syncShare: 0.3, connections: 6 });
    await until('some load', () => load.appends > 500);
    const fromMs = performance.now();
    node.process.child.kill(name);
    const ended = await node.process.ended();
    t.equal(ended.code, 0, node.process.stderr);
    t.ok(performance.now() - fromMs < END_MS_MAX, `ended after ${Math.round(performance.now() - fromMs)} ms`);
    await running;
    t.strictSame(load.errors, [], 'no request was refused meanwhile');
    const again = await restart(t, node, options);
    t.strictSame(await load.verify(again.port, load.extents), []);
    t.notMatch(again.process.stderr, /not loaded|ERROR/);
  });
}

t.test('idle connections do not delay the end', async (t) => {
  const node = await startStandalone(t);
  const clients = Array.from({ length: 50 }, () => new PacketClient(node.port));
  await Promise.all(clients.map((client) => client.ask(create(1))));
  const ended = await node.process.terminate();
  t.equal(ended.code, 0);
  t.ok(ended.afterMs < END_MS_MAX / 3, `${Math.round(ended.afterMs)} ms`);
  await Promise.all(clients.map((client) => client.until('closed', () => client.closed)));
});

/** A node with a config file of its own whose master is at `masterAddr`. */
async function nodeWithMaster(t: Test, masterAddr: string): Promise<NodeProcess> {
  const folder = testFolder(t);
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  const [port, raftHeartbeat, raftReplica] = await freePorts('127.0.0.1', 3);
  const path = join(folder, 'datanode.json');
  const config = {
    ...{ role: 'datanode', port: String(port), localIP: '127.0.0.1', masterAddr: [masterAddr] },
    ...{ disks: [`${disk}:0`], raftDir: folder, logDir: folder, logLevel: 'info' },
    ...{ raftHeartbeat: String(raftHeartbeat), raftReplica: String(raftReplica) },
  };
  writeFileSync(path, JSON.stringify(config));
  return startProcess(t, { args: ['-c', path, '-f'] });
}

t.test('before the registration: a master that takes connections and does not answer', async (t) => {
  let asked = false;
  const silent = net.createServer((socket) => {
    socket.on('data', () => {
      asked = true;
    });
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.teardown(() => silent.close());
  const node = await nodeWithMaster(t, `127.0.0.1:${(silent.address() as net.AddressInfo).port}`);
  await until('the node asks its master', () => asked, 30_000);
  const ended = await node.terminate();
  t.equal(ended.code, 0, node.stderr);
  t.ok(ended.afterMs < END_MS_MAX, `${Math.round(ended.afterMs)} ms`);
  t.equal(node.stdout, '', 'it never was ready');
});

t.test('before the registration: no master at all', async (t) => {
  const [nobody] = await freePorts('127.0.0.1', 1);
  const node = await nodeWithMaster(t, `127.0.0.1:${nobody}`);
  // It retries for ever; the first line of its log comes when it has begun.
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  t.notOk(node.hasEnded, 'it waits for its master');
  const ended = await node.terminate();
  t.equal(ended.code, 0, node.stderr);
  t.ok(ended.afterMs < END_MS_MAX, `${Math.round(ended.afterMs)} ms`);
});

t.test('with a hung disk', async (t) => {
  const options = { disks: 2, partitions: 2, settings: ['faultInjection=true', 'stallMs=1000'] };
  const node = await startStandalone(t, options);
  const client = new PacketClient(node.port);
  const bodies = new Map<number, Buffer>();
  for (const partition of [1, 2]) {
    const { extentId } = await client.ask(create(partition));
    const body = pattern(extentId + partition, 0, 50_000);
    bodies.set(partition, body);
    for (let at = 0; at < 50_000; at += 10_000) {
      const reply = await client.ask(
        write(partition, extentId, at, body.subarray(at, at + 10_000), at === 0),
      );
      t.equal(reply.resultCode, RESULT.ok);
    }
  }
  const fault = await fetch(`${node.httpUrl}/debug/fault?disk=0&kind=hang`, { method: 'POST' });
  t.equal(fault.status, 200);
  // Work that hangs, on both the worker and its I/O threads.
  const stuck = Array.from({ length: 4 }, () => new PacketClient(node.port));
  for (const [index, one] of stuck.entries()) {
    one.askAll(index < 2 ? create(1) : write(1, 1025, 50_000, bodies.get(1)!, true), 1).catch(() => {});
  }
  await Promise.all(stuck.map((one) => one.until('sent', () => one.socket.writableLength === 0)));
  const ended = await node.process.terminate();
  t.equal(ended.code, 0, node.process.stderr);
  t.ok(ended.afterMs < END_MS_MAX, `ended after ${Math.round(ended.afterMs)} ms`);
  const again = await restart(t, node, options);
  const reader = new PacketClient(again.port);
  for (const [partition, body] of bodies) {
    const reply = await reader.ask(read(partition, 1025, 0, 50_000));
    t.ok(reply.body.equals(body), `partition ${partition}`);
  }
  await reader.end();
});
