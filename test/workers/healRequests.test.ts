/** When a worker asks for the heal of a block, so that reads wait for it: only where a heal can come, and where main hears of it. */
import t from 'tap';
import { EVENT } from '../../src/partition/messages.js';
import { ByteRingConsumer, createByteRing } from '../../src/shm/byteRing.js';
import { EventQueue } from '../../src/workers/eventQueue.js';
import { HealRequests } from '../../src/workers/healRequests.js';

const PLACE = { partitionId: 7, extentId: 1025, block: 3 };

function rig() {
  const memory = createByteRing(1024);
  const events = new EventQueue(memory);
  const ring = new ByteRingConsumer(memory);
  const healing = new Int32Array(new SharedArrayBuffer(4));
  const partition = { replicas: ['a:1', 'b:1', 'c:1'] };
  const requests = new HealRequests(healing, events, (id) => (id === 7 ? partition : undefined));
  const take = (): unknown[] => {
    const taken: unknown[] = [];
    ring.read((kind, _a, _b, payload) => {
      taken.push([kind, JSON.parse(Buffer.from(payload.slice()).toString())]);
    });
    return taken;
  };
  return { events, healing, partition, requests, take };
}

t.test('a frame for main says which block, while somebody heals', async (t) => {
  const { requests, healing, take } = rig();
  t.notOk(requests.isThere);
  t.notOk(requests.ask(PLACE));
  t.same(take(), []);
  healing[0] = 1;
  t.ok(requests.isThere);
  t.ok(requests.ask(PLACE));
  t.same(take(), [[EVENT.damaged, PLACE]]);
  healing[0] = 0;
  t.notOk(requests.isThere);
});

t.test('fewer than three hosts have no majority against one of them: nothing waits', async (t) => {
  const { requests, healing, partition, take } = rig();
  healing[0] = 1;
  for (const hosts of [1, 2]) {
    partition.replicas = ['a:1', 'b:1'].slice(0, hosts);
    t.notOk(requests.ask(PLACE));
  }
  t.notOk(requests.ask({ ...PLACE, partitionId: 8 }), 'a partition that is gone');
  t.same(take(), []);
});

t.test('while main takes nothing, nothing waits, and no frame is kept', async (t) => {
  const { requests, healing, events } = rig();
  healing[0] = 1;
  while (events.waiting === 0) events.json(EVENT.log, 0, { message: 'x'.repeat(100) });
  t.notOk(requests.ask(PLACE));
  t.equal(events.waiting, 1);
});
