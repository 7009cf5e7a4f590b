/** What a Go node reads back from a partition folder: its name, META, APPLY. `docs/parity.md` names these tests. */
import t from 'tap';
import { decodeApply } from '../../src/storage/applyFile.js';
import { parsePartitionFolderName, partitionFolderName } from '../../src/storage/layout.js';
import { decodeMeta, encodeMeta, type PartitionMeta } from '../../src/storage/metaFile.js';

const bytes = (text: string): Uint8Array => Buffer.from(text);

/** The worked example of `storage.md` 3.2. */
const TEXT =
  '{"VolumeID":"ltptest","PartitionID":7,"PartitionSize":128849018880,"CreateTime":"2019-11-13 10:20:30",' +
  '"Peers":[{"id":2,"addr":"192.168.0.31:17030"},{"id":3,"addr":"192.168.0.32:17030"},{"id":4,"addr":"192.168.0.33:17030"}],' +
  '"Hosts":["192.168.0.31:17030","192.168.0.32:17030","192.168.0.33:17030"],"DataPartitionCreateType":0,"LastTruncateID":0}';

const META: PartitionMeta = {
  volume: 'ltptest',
  partitionId: 7,
  sizeBytes: 128849018880,
  createTime: '2019-11-13 10:20:30',
  peers: [
    { id: 2, addr: '192.168.0.31:17030' },
    { id: 3, addr: '192.168.0.32:17030' },
    { id: 4, addr: '192.168.0.33:17030' },
  ],
  hosts: ['192.168.0.31:17030', '192.168.0.32:17030', '192.168.0.33:17030'],
  createType: 0,
  lastTruncateId: 0,
};

t.test('every key of META is written in its place and read back', async (t) => {
  t.equal(encodeMeta(META), TEXT);
  t.same(decodeMeta(bytes(TEXT)), { ok: true, value: META });
  const moved = { ...META, createType: 1, lastTruncateId: 99 };
  t.match(encodeMeta(moved), /"DataPartitionCreateType":1,"LastTruncateID":99\}$/);
  t.same(decodeMeta(bytes(encodeMeta(moved))), { ok: true, value: moved });
});

t.test('META without volume, id or size is illegal', async (t) => {
  for (const change of [{ volume: '  ' }, { partitionId: 0 }, { sizeBytes: 0 }]) {
    t.same(decodeMeta(bytes(encodeMeta({ ...META, ...change }))), {
      ok: false,
      message: 'illegal data partition metadata',
    });
  }
});

t.test('partition folders are told from everything else by their name', async (t) => {
  t.equal(partitionFolderName(42, 128849018880), 'datapartition_42_128849018880');
  t.same(parsePartitionFolderName('datapartition_42_128849018880'), { id: 42, sizeBytes: 128849018880 });
  for (const name of [
    'datapartition_42',
    'datapartition_42_',
    'xdatapartition_4_2',
    'datapartition_4_2_1',
    'META',
  ]) {
    t.equal(parsePartitionFolderName(name), null, name);
  }
});

t.test('the applied id is decimal text, whatever follows it', async (t) => {
  t.same(decodeApply(bytes('12345')), { index: 12345, problem: null });
  t.same(decodeApply(bytes(' 12x')), { index: 12, problem: null });
  t.match(decodeApply(bytes('')), { index: 0, problem: '[loadApplyIndex]: ApplyIndex is empty' });
});
