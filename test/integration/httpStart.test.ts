/** The start of a real node as its HTTP ports show it, and what is said when they cannot be had. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { freePorts } from '../../src/standalone/standaloneConfig.js';
import { UWS_SERVER } from '../http/servers.js';
import {
  type NodeProcess,
  startProcess,
  startStandalone,
  type Teardown,
  testFolder,
} from '../support/nodeProcess.js';
import { untilAnswer } from '../support/until.js';

interface Ports {
  prof: number;
  exporter: number;
  master: number;
}

/** `extentd -c FILE -f` with a config of its own, on 127.0.0.2. */
async function run(
  t: Teardown,
  extentd: Record<string, unknown>,
  change: Partial<Ports> = {},
): Promise<{ node: NodeProcess; ports: Ports }> {
  const folder = testFolder(t);
  mkdirSync(join(folder, 'disk'));
  const free = await freePorts('127.0.0.1', 6);
  const [port, heartbeat, replica, prof, exporter, master] = free.map(Number);
  const ports = { prof: prof!, exporter: exporter!, master: master!, ...change };
  const config = {
    ...{ role: 'datanode', localIP: '127.0.0.2', port: String(port), prof: String(ports.prof) },
    ...{ exporterPort: ports.exporter, raftHeartbeat: String(heartbeat), raftReplica: String(replica) },
    ...{ raftDir: join(folder, 'raft'), logDir: join(folder, 'log'), logLevel: 'info' },
    disks: [`${join(folder, 'disk')}:0`],
    masterAddr: [`127.0.0.1:${ports.master}`],
    extentd: { listenAddress: '127.0.0.2', ...extentd },
  };
  writeFileSync(join(folder, 'datanode.json'), JSON.stringify(config));
  return { node: startProcess(t, { args: ['-c', join(folder, 'datanode.json'), '-f'] }), ports };
}

async function get(port: number, path: string): Promise<string> {
  const reply = await fetch(`http://127.0.0.1:${port}${path}`);
  return `${reply.status} ${await reply.text()}`;
}

for (const server of UWS_SERVER === null ? ['node'] : ['node', 'uws']) {
  t.test(
    `without a master both ports say that the node is alive and not ready; with one it gets ready (${server})`,
    async (t) => {
      const { node, ports } = await run(t, { httpServer: server });
      for (const port of [ports.prof, ports.exporter]) {
        const ready = await untilAnswer('HTTP answers', () => get(port, '/readyz'), 20_000);
        t.equal(ready, '503 not ready: registering with the master\n');
        t.equal(await get(port, '/healthz'), '200 ok: starting: registering with the master\n');
        t.equal(await get(port, '/disks'), '404 404 page not found\n');
      }
      await startStandalone(t, { masterPort: ports.master });
      const addresses = await node.whenReady();
      t.equal(addresses.get('http'), `127.0.0.1:${ports.prof}`);
      t.equal(addresses.get('exporter'), `127.0.0.1:${ports.exporter}`);
      for (const port of [ports.prof, ports.exporter]) {
        t.equal(await get(port, '/readyz'), '200 ready\n');
        t.match(await get(port, '/disks'), /^200 \{"code":200,/);
      }
      t.equal((await node.terminate()).code, 0);
    },
  );

  t.test(
    `a signal while it waits for a master ends it with 0, whatever HTTP connections are open (${server})`,
    async (t) => {
      const { node, ports } = await run(t, { httpServer: server });
      await untilAnswer('HTTP answers', () => get(ports.prof, '/healthz'), 20_000);
      t.equal((await node.terminate()).code, 0);
    },
  );
}

t.test(
  'a taken prof port ends the start with one line; a taken exporter port is logged and the start goes on',
  async (t) => {
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    t.teardown(() => new Promise((resolve) => taken.close(resolve)));
    const { port } = taken.address() as { port: number };
    const { node } = await run(t, {}, { prof: port });
    t.equal((await node.ended(20_000)).code, 1);
    t.match(node.stderr, new RegExp(`err prof: cannot listen on 127\\.0\\.0\\.1:${port}: listen EADDRINUSE`));
    const other = await run(t, {}, { exporter: port });
    t.match(await untilAnswer('HTTP answers', () => get(other.ports.prof, '/healthz'), 20_000), /^200 /);
  },
);

t.test('TLS files that are missing end the start with one line that names the key', async (t) => {
  const { node } = await run(t, { tls: { certFile: '/nowhere/cert.pem', keyFile: '/nowhere/key.pem' } });
  t.equal((await node.ended(20_000)).code, 1);
  t.match(node.stderr, /err extentd\.tls\.certFile: \/nowhere\/cert\.pem cannot be read: ENOENT - /);
});
