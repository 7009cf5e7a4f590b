/** What the repair thread is told of blocks that differ from their checksums (`INTERNAL_OP.listFindings`). */
import t from 'tap';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import { readFindings } from '../../src/partition/internalRecords.js';
import { EXTENT_FLAG } from '../../src/storage/extentTable.js';
import { follower, send, storeOf } from './internalRig.js';

t.test('findings come in pages, by extent', async (t) => {
  const rig = follower();
  const store = storeOf(rig);
  for (let i = 0; i < 1000; i += 1) {
    const row = store.table.insert(2000 + i);
    store.table.set(row, EXTENT_FLAG.used | EXTENT_FLAG.trusted);
    rig.stores.checksums.findings.mismatch(store, row, i % 900);
  }
  const all: unknown[] = [];
  let pages = 0;
  for (let from = 0; from !== -1; pages += 1) {
    const sent = send(rig, INTERNAL_OP.listFindings, { extentOffset: from });
    sent.op.bufferBytes = 4096;
    rig.run();
    all.push(...readFindings(sent.body));
    from = sent.extentOffset;
  }
  t.equal(pages, Math.ceil(1000 / 28));
  t.same(
    all,
    Array.from({ length: 1000 }, (_, i) => ({ extentId: 2000 + i, kind: 'damaged', blocks: [i % 900] })),
  );
  const small = send(rig, INTERNAL_OP.listFindings, { extentOffset: 2000 });
  small.op.bufferBytes = 100;
  rig.run();
  t.notOk(small.ok);
});
