/** The metrics of a real node, counted packet by packet; and the line that it writes for each operation at level debug. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { freePorts } from '../../src/standalone/standaloneConfig.js';
import { type ReadMetrics, readMetrics } from '../http/metricsRig.js';
import { startProcess, startStandalone, testFolder } from '../support/nodeProcess.js';
import { PacketClient } from '../support/packetClient.js';
import { create, createPartition, deletePartition, pattern, read, write } from '../support/requests.js';
import { untilAnswer } from '../support/until.js';

const IP = '127.0.0.2';
const PARTITION = 900;

const master = await startStandalone(t);
const folder = testFolder(t);
const disk = join(folder, 'disk');
mkdirSync(disk);
const [port, prof, exporter, heartbeat, replica] = await freePorts(IP, 5);
const path = join(folder, 'datanode.json');
const written = JSON.parse(readFileSync(join(master.folder, 'datanode.json'), 'utf8')) as object;
const config = {
  ...written,
  ...{ localIP: IP, port: String(port), prof: String(prof), exporterPort: exporter, disks: [`${disk}:0`] },
  ...{ raftHeartbeat: String(heartbeat), raftReplica: String(replica), raftDir: join(folder, 'raft') },
  ...{ logDir: join(folder, 'log'), logLevel: 'debug' },
  extentd: { listenAddress: IP, httpAddress: IP },
};
writeFileSync(path, JSON.stringify(config));
const node = startProcess(t, { args: ['-c', path, '-f'] });
const addresses = await node.whenReady();
const http = `http://${addresses.get('http')}`;

/** The metrics, once `ready`. */
function metrics(what: string, ready: (read: ReadMetrics) => boolean): Promise<ReadMetrics> {
  return untilAnswer(what, async () => {
    const page = readMetrics(await (await fetch(`${http}/metrics?partitions=1`)).text());
    return ready(page) ? page : null;
  });
}

t.test('a node whose exporter is off has no metrics', async (t) => {
  t.equal((await fetch(`${master.httpUrl}/metrics`)).status, 404);
});

t.test(
  'every packet is in the metrics once: of the node, of its disk, of the volume, of the partition',
  async (t) => {
    const client = new PacketClient(port!, IP);
    const made = await client.ask(createPartition(addresses.get('data')!, 2, PARTITION, 1024 ** 3));
    t.equal(made.resultCode, RESULT.ok, made.body.toString());
    const { extentId } = await client.ask(create(PARTITION));
    for (let i = 0; i < 3; i++)
      await client.ask(write(PARTITION, extentId, i * 100_000, pattern(extentId, i, 100_000)));
    await client.askAll(read(PARTITION, extentId, 0, 300_000), 3);
    for (const [ask, code] of [
      [read(PARTITION, extentId + 77, 0, 10), RESULT.notExistErr],
      [write(PARTITION + 1, extentId, 0, Buffer.alloc(10)), RESULT.tryOtherAddr],
    ] as const) {
      const failing = new PacketClient(port!, IP);
      t.equal((await failing.ask(ask)).resultCode, code);
      await failing.end();
    }
    const volume = 'made-by-test';
    const { samples } = await metrics('the volume and the figures of main are there', ({ samples }) => {
      return (
        samples.has(`extentd_volume_partitions{volume="${volume}"}`) &&
        samples.get('extentd_connections')! > 0 &&
        // Main writes its figures four times a second: what they say of the last packet is over by now.
        samples.get('extentd_requests_in_flight') === 0 &&
        samples.get('extentd_slab_slots_used{bytes="4096"}') === 0
      );
    });
    const own = `partition="${PARTITION}",volume="${volume}",disk="${disk}"`;
    const wanted: [string, number][] = [
      ['cfs_dataNode_OpWrite_count', 4],
      ['cfs_dataNode_OpCreateExtent_count', 1],
      ['cfs_dataNode_OpStreamRead_count', 2],
      ['cfs_dataNode_OpCreateDataPartition_count', 1],
      ['extentd_operations_total{op="OpWrite",result="OpOk"}', 3],
      ['extentd_operations_total{op="OpWrite",result="OpTryOtherAddr"}', 1],
      ['extentd_operations_total{op="OpStreamRead",result="OpNotExistErr"}', 1],
      ['extentd_operation_bytes_total{op="OpWrite",direction="in"}', 300_010],
      ['extentd_operation_duration_seconds_count{op="OpStreamRead"}', 2],
      [`extentd_disk_operation_duration_seconds_count{disk="${disk}",kind="write"}`, 3],
      [`extentd_disk_operation_duration_seconds_count{disk="${disk}",kind="read"}`, 3],
      [`extentd_disk_bytes_total{disk="${disk}",kind="write"}`, 300_000],
      [`extentd_disk_bytes_total{disk="${disk}",kind="read"}`, 300_000],
      [`extentd_disk_other_operations_total{disk="${disk}"}`, 1],
      [`extentd_disk_failed_operations_total{disk="${disk}"}`, 1],
      [`extentd_disk_status{disk="${disk}"}`, 2],
      [`extentd_disk_partitions{disk="${disk}"}`, 1],
      [`extentd_volume_operations_total{volume="${volume}",kind="write"}`, 3],
      [`extentd_volume_operations_total{volume="${volume}",kind="read"}`, 3],
      [`extentd_volume_bytes_total{volume="${volume}",kind="read"}`, 300_000],
      [`extentd_volume_failed_operations_total{volume="${volume}"}`, 1],
      [`extentd_partition_operations_total{${own},kind="other"}`, 1],
      ['extentd_requests_in_flight', 0],
      ['extentd_slab_slots_used{bytes="4096"}', 0],
    ];
    for (const [series, value] of wanted) t.equal(samples.get(series), value, series);
    t.ok(samples.get('cfs_dataNode_OpWrite')! > 1_000, 'ns');
    t.ok(samples.get(`extentd_disk_available_bytes{disk="${disk}"}`)! > 0);
    t.ok(samples.get('extentd_main_loop_lag_seconds_count')! > 0);
    t.match(
      [...samples.keys()].filter((name) => name.endsWith('_dataNode_warning')),
      [/^cfs_dataNode_\w+_dataNode_warning$/],
    );

    // The volume's counts outlive its last partition.
    await client.ask(deletePartition(addresses.get('data')!, PARTITION));
    const after = await metrics('the partition is gone', ({ samples }) => {
      return samples.get(`extentd_volume_partitions{volume="${volume}"}`) === 0;
    });
    t.equal(after.samples.get(`extentd_volume_operations_total{volume="${volume}",kind="write"}`), 3);
    t.equal(after.samples.get(`extentd_disk_partitions{disk="${disk}"}`), 0);
    await client.end();
  },
);

t.test('at level debug the log has a line for each operation', async (t) => {
  const ended = await node.terminate();
  t.equal(ended.code, 0);
  const lines = ['read', 'write'].flatMap((kind) =>
    readFileSync(join(folder, 'log', 'dataNode', `dataNode_${kind}.log`), 'utf8')
      .trim()
      .split('\n'),
  );
  const operations = lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ op }) => op !== undefined);
  const reads = operations.filter(
    ({ operation, partitionId }) => operation === 'read' && partitionId === PARTITION,
  );
  t.strictSame(
    reads.map(({ op, size, result }) => [op, size, result]),
    [
      ['OpStreamRead', 300_000, 'OpOk'],
      ['OpStreamRead', 10, 'OpNotExistErr'],
    ],
  );
  t.equal(operations.filter(({ op }) => op === 'OpWrite').length, 4);
  t.ok(operations.every(({ remote }) => /^(::ffff:)?127\./.test(String(remote))));
});
