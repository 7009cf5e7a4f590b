/** The embedded master's memory: registration, partitions, and its file. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  createdOn,
  growPartitions,
  loadState,
  newState,
  pendingOn,
  registerNode,
  saveState,
} from '../../src/standalone/masterState.js';

t.test('node ids are stable for an address and differ between nodes', async (t) => {
  const state = newState('demo');
  t.strictSame(registerNode(state, '127.0.0.1:17310'), { id: 1, addr: '127.0.0.1:17310' });
  t.strictSame(registerNode(state, '127.0.0.2:17310'), { id: 2, addr: '127.0.0.2:17310' });
  t.strictSame(registerNode(state, '127.0.0.1:17310'), { id: 1, addr: '127.0.0.1:17310' });
});

t.test('a node on another port has moved, with its partitions', async (t) => {
  const state = newState('demo');
  growPartitions(state, 2, 1024, registerNode(state, '127.0.0.1:1000'));
  t.strictSame(registerNode(state, '127.0.0.1:2000'), { id: 1, addr: '127.0.0.1:2000' });
  t.strictSame(
    state.partitions.map(({ hosts, peers }) => ({ hosts, peers })),
    Array(2).fill({ hosts: ['127.0.0.1:2000'], peers: [{ id: 1, addr: '127.0.0.1:2000' }] }),
  );
});

t.test('partitions grow and never shrink; what is created is what the node must have', async (t) => {
  const state = newState('demo');
  const node = registerNode(state, '127.0.0.1:1000');
  growPartitions(state, 3, 1024, node);
  state.partitions[1]!.diskPath = '/d1';
  growPartitions(state, 2, 2048, node);
  growPartitions(state, 4, 2048, node);
  t.strictSame(
    state.partitions.map(({ id, sizeBytes }) => [id, sizeBytes]),
    [
      [1, 1024],
      [2, 1024],
      [3, 1024],
      [4, 2048],
    ],
  );
  t.strictSame(createdOn(state, node.addr), [2]);
  t.strictSame(
    pendingOn(state, node.addr).map(({ id }) => id),
    [1, 3, 4],
  );
  t.strictSame(createdOn(state, '127.0.0.9:1'), []);
});

t.test('the file brings everything back, and nothing temporary stays', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'extentd-master-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const inner = join(folder, 'master');
  t.equal(await loadState(inner), null);
  const state = newState('demo');
  growPartitions(state, 2, 1024, registerNode(state, '127.0.0.1:1000'));
  await saveState(inner, state);
  state.partitions[0]!.diskPath = '/d1';
  await saveState(inner, state);
  t.strictSame(await loadState(inner), state);
  t.strictSame(await readdir(inner), ['state.json']);
});

t.test('a file that is not ours is refused by name', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'extentd-master-'));
  t.teardown(() => rm(folder, { recursive: true }));
  for (const text of ['', '{', 'null', '[]', '{"version":2}', '{"version":1,"volume":"x"}']) {
    await writeFile(join(folder, 'state.json'), text);
    await t.rejects(loadState(folder), { message: /state\.json/ }, text);
  }
});
