/** Scrapes of a real HTTP thread beside packets that are answered on the main thread of the test, as in a node. */
import { spawnSync } from 'node:child_process';
import net from 'node:net';
import t, { type Test } from 'tap';
import type { PartitionInfo } from '../../src/control/nodeView.js';
import type { MetricsSource } from '../../src/http/metricsSource.js';
import { FakeView, partitionOf } from '../control/fakeView.js';
import { FakeNode } from '../server/fakeNode.js';
import { honest, withNode } from '../server/honest.js';
import { PacketClient } from '../support/packetClient.js';
import { write } from '../support/requests.js';
import { until } from '../support/until.js';
import { startApi } from './apiThread.js';
import { fetchText } from './client.js';
import { MetricsRig, readMetrics } from './metricsRig.js';
import { onEachServer, type ServerKind } from './servers.js';

/** Counts what main is asked for the volumes of partitions. */
class CountingView extends FakeView {
  asked = 0;
  override partitions(): PartitionInfo[] {
    this.asked++;
    return super.partitions();
  }
}

async function start(
  test: Test,
  server: ServerKind,
  view: FakeView,
  metrics?: MetricsSource,
): Promise<{ port: number }> {
  return startApi(test, server, view, metrics === undefined ? {} : { metrics });
}

t.test(
  '/metrics is there when the exporter is on, and 404 otherwise',
  onEachServer(async (t, server) => {
    const off = await start(t, server, new FakeView());
    t.match(await fetchText(off.port, '/metrics'), { status: 404, text: '404 page not found\n' });
    const on = await start(t, server, new FakeView(), new MetricsRig(['/d1']).source);
    const { status, contentType, text } = await fetchText(on.port, '/metrics');
    t.strictSame([status, contentType], [200, 'text/plain; version=0.0.4; charset=utf-8']);
    t.ok(readMetrics(text).families.has('cfs_dataNode_start_time'));
    const { families } = readMetrics((await fetchText(on.port, '/metrics?partitions=1')).text);
    t.ok(families.has('extentd_partition_used_bytes'));
    t.equal((await fetchText(on.port, '/metrics?partitions=%zz')).status, 400);
  }),
);

const PARTITIONS_PER_DISK = 2_000;
const VOLUMES = 50;
const DISKS = ['/d1', '/d2'];
const SCRAPES = 12;

t.test(
  'a slow or huge scrape never stalls packets',
  onEachServer(async (t, server) => {
    const rig = new MetricsRig(DISKS, 'peer01', PARTITIONS_PER_DISK);
    const view = new CountingView();
    for (const [disk, diskPath] of DISKS.entries()) {
      for (let i = 0; i < PARTITIONS_PER_DISK; i++) {
        const id = 1 + disk * PARTITIONS_PER_DISK + i;
        rig.tables[disk]!.claim(id);
        view.partitionList.push(partitionOf(id, { diskPath, volume: `volume-${id % VOLUMES}` }));
      }
    }
    const { port } = await start(t, server, view, rig.source);
    await withNode(new FakeNode({ work: honest }), async (node) => {
      const client = new PacketClient(node.port);
      client.keepReplies = false;
      const ask = async (): Promise<void> => void (await client.ask(write(1, 1025, 0, Buffer.alloc(4_096))));

      // Some scrapers read nothing of their pages, which wait in the HTTP thread.
      const deaf = Array.from({ length: 3 }, () => {
        const socket = net.connect({ host: '127.0.0.1', port });
        socket.on('error', () => {});
        socket.pause();
        t.teardown(() => socket.destroy());
        socket.write('GET /metrics?partitions=1 HTTP/1.1\r\nHost: x\r\n\r\n');
        return socket;
      });

      let scraping = true;
      let answered = 0;
      const packets = (async () => {
        while (scraping) {
          await ask();
          answered++;
        }
      })();
      let bytes = 0;
      const scrapers = Array.from({ length: 4 }, async () => {
        for (let i = 0; i < SCRAPES / 4; i++) {
          const { status, text } = await fetchText(port, '/metrics?partitions=1');
          t.equal(status, 200);
          bytes = text.length;
        }
      });
      await Promise.all(scrapers);
      scraping = false;
      await packets;
      t.ok(bytes > 3_000_000, `a page of ${bytes} bytes`);
      for (const socket of deaf) t.equal(socket.bytesRead, 0, 'this scrape is still held up');
      for (let i = 0; i < 100; i++) await ask();
      t.ok(
        answered > 0,
        `${answered} packets were answered during ${SCRAPES} scrapes, and 100 beside the one that is held up`,
      );
      // No table has changed: main was asked once for names, by the first scrape, and for nothing else.
      t.equal(view.asked, 1);
      const { samples } = readMetrics((await fetchText(port, '/metrics')).text);
      const each = (DISKS.length * PARTITIONS_PER_DISK) / VOLUMES;
      t.equal(samples.get('extentd_volume_partitions{volume="volume-0"}'), each, 'and the page is whole');

      // The deaf are not forgotten: they get their pages when they listen at last.
      for (const socket of deaf) socket.resume();
      await until('whole pages', () => deaf.every(({ bytesRead }) => bytesRead > bytes));
      client.socket.destroy();
    });
  }),
);

t.test(
  'scrapes are answered while the main thread does nothing at all',
  onEachServer(async (t, server) => {
    const rig = new MetricsRig(['/d1']);
    const { port } = await start(t, server, new FakeView(), rig.source);
    await fetchText(port, '/metrics');
    rig.operations.moved(0, 5, 6);
    // A socket of a process of its own asks, while this thread stands still until it has its answer.
    const code = `require('node:http').get({ host: '127.0.0.1', port: ${port}, path: '/metrics' }, (reply) => reply.pipe(process.stdout))`;
    const { stdout } = spawnSync(process.execPath, ['-e', code], { encoding: 'utf8', timeout: 20_000 });
    t.ok(readMetrics(stdout).families.has('extentd_operations_total'));
  }),
);
