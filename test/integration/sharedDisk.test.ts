/** Several workers share a disk: each owns some of its partitions, and their number may change from start to start. */
import t from 'tap';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { restart, startStandalone } from '../support/nodeProcess.js';
import { PacketClient } from '../support/packetClient.js';
import { create, pattern, read, write } from '../support/requests.js';

const PARTITIONS = 5;
const BYTES = 20_000;

t.test(
  'partitions are divided among the workers of a disk, and found by any other number of them',
  async (t) => {
    const options = { disks: 1, partitions: PARTITIONS, settings: ['workersPerDisk=3'] };
    const node = await startStandalone(t, options);
    const client = new PacketClient(node.port);
    t.teardown(() => client.end());
    const ids: number[] = [];
    for (let partition = 1; partition <= PARTITIONS; partition++) {
      const created = await client.ask(create(partition));
      t.equal(created.resultCode, RESULT.ok, `create on partition ${partition}: ${created.body}`);
      ids.push(created.extentId);
      const written = await client.ask(
        write(partition, created.extentId, 0, pattern(partition, 0, BYTES), true),
      );
      t.equal(written.resultCode, RESULT.ok);
    }
    t.equal((await node.process.terminate()).code, 0);
    const disks = await restart(t, node, { ...options, settings: ['workersPerDisk=2'] });
    const after = new PacketClient(disks.port);
    t.teardown(() => after.end());
    for (const [index, extentId] of ids.entries()) {
      const partition = index + 1;
      const reply = await after.ask(read(partition, extentId, 0, BYTES));
      t.ok(reply.body.equals(pattern(partition, 0, BYTES)), `partition ${partition} reads back`);
      const next = await after.ask(create(partition));
      t.ok(next.extentId > extentId, 'no id is handed out twice');
    }
    const listed = (await (await fetch(`${disks.httpUrl}/disks`)).json()) as {
      data: { disks: { partitions: number }[] };
    };
    t.equal(listed.data.disks[0]!.partitions, PARTITIONS);
  },
);
