/** When a replica that joins is complete: sums, each extent, and the deletes inside tiny ones. */
import t from 'tap';
import type { ExtentInfo } from '../../src/protocol/extentInfo.js';
import { JOIN_LISTS_PAUSE_MS, JOIN_PAUSE_MS, Joining } from '../../src/repair/joining.js';
import type { LocalReplica } from '../../src/repair/localReplica.js';

const FIRST = '10.0.0.1:17310';

/** A first host and a replica of it, as plain lists of sizes. */
function rig() {
  const state = {
    there: new Map([
      [5, 8192],
      [1025, 1000],
      [1026, 2000],
    ]),
    here: new Map<number, number>(),
    deleted: new Set<number>(),
    upToDateWith: '',
    lists: 0,
  };
  const sum = (sizes: Map<number, number>, max: number): number =>
    [...sizes].reduce((all, [id, size]) => all + (id <= max ? size : 0), 0);
  const extents = (sizes: Map<number, number>): ExtentInfo[] =>
    [...sizes].map(([fileId, size]) => ({ fileId, size, crc: 0, deleted: false, modTime: 0, source: '' }));
  const replica = {
    own: {
      sizeUpTo: async (max: number) => sum(state.here, max),
      extents: async () => extents(state.here),
    },
    learnDeleted: async () => {},
    isDeleted: (id: number) => state.deleted.has(id),
    deletes: {
      get upToDateWith() {
        return state.upToDateWith;
      },
    },
  } as unknown as LocalReplica;
  const joining = new Joining({
    partitionId: 7,
    replica,
    peers: {
      maxIdAndSize: async () => ({
        extentIdMax: Math.max(...state.there.keys()),
        sizeBytes: sum(state.there, Infinity),
      }),
      sizeUpTo: async (_address, _id, max) => sum(state.there, max),
      list: async (_address, _id, tinyIds) => {
        state.lists += 1;
        return extents(state.there).filter(({ fileId }) => (tinyIds === null) === fileId > 64);
      },
    },
  });
  return { state, look: () => joining.look(FIRST) };
}

t.test('as long as the sum is too small no list is asked for', async (t) => {
  const { state, look } = rig();
  state.here.set(1025, 1000);
  t.same(await look(), { missing: '1000 of 11192 bytes are here', pauseMs: JOIN_PAUSE_MS });
  t.equal(state.lists, 0);
});

t.test('an extent that was deleted here, and is back on the first host, is not waited for', async (t) => {
  const { state, look } = rig();
  state.here = new Map([
    [5, 8192],
    [1026, 2000],
  ]);
  state.upToDateWith = FIRST;
  const missing = '10192 of 11192 bytes are here';
  t.same(await look(), { missing, pauseMs: JOIN_PAUSE_MS });
  t.same(await look(), { missing, pauseMs: JOIN_LISTS_PAUSE_MS }, 'no more has come: a list is asked for');
  t.equal(state.lists, 1);
  state.deleted.add(1025);
  t.same(await look(), { missing: '', pauseMs: 0 });
});

t.test('R13: what one extent has too much does not hide what another lacks', async (t) => {
  const { state, look } = rig();
  state.here = new Map([
    [5, 8192],
    [1025, 900],
    [1026, 9000],
  ]);
  state.upToDateWith = FIRST;
  t.same(await look(), { missing: '1 extents are shorter here', pauseMs: JOIN_LISTS_PAUSE_MS });
  state.deleted.add(1025);
  t.same(await look(), { missing: '', pauseMs: 0 }, 'unless it was deleted here for good');
});

t.test('R14: the deletes of the first host must have come, of this one and no other', async (t) => {
  const { state, look } = rig();
  state.here = new Map(state.there);
  t.match(await look(), { missing: /tiny deletes/ });
  state.upToDateWith = '10.0.0.2:17310';
  t.match(await look(), { missing: /tiny deletes/ });
  state.upToDateWith = FIRST;
  t.match(await look(), { missing: '' });
});

t.test(
  'extents that came after the start are left to later rounds; what is deleted there is not waited for',
  async (t) => {
    const { state, look } = rig();
    state.here = new Map([[5, 8192]]);
    state.upToDateWith = FIRST;
    t.match(await look(), { missing: '8192 of 11192 bytes are here' });
    state.there.set(4000, 10 ** 9);
    state.there.delete(1026);
    state.here.set(1025, 1000);
    t.match(await look(), { missing: '' });
  },
);
