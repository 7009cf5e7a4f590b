/** When a replica that joins is complete: sums, each extent, and the deletes inside tiny ones. */
import t from 'tap';
import type { ExtentInfo } from '../../src/protocol/extentInfo.js';
import { JOIN_LISTS_PAUSE_MS, JOIN_PAUSE_MS, JOIN_UNEQUAL_MS, Joining } from '../../src/repair/joining.js';
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
    /** Extents of the first host that it does not list: in its sums all the same, and there is something to read in those that are written to. */
    deletedThere: new Set<number>(),
    writtenThere: new Set<number>(),
    upToDateWith: '',
    lists: 0,
    nowMs: 0,
    summed: () => {},
  };
  const sum = (sizes: Map<number, number>, max: number): number =>
    [...sizes].reduce((all, [id, size]) => all + (id <= max ? size : 0), 0);
  const extents = (sizes: Map<number, number>): ExtentInfo[] =>
    [...sizes].map(([fileId, size]) => ({ fileId, size, crc: 0, deleted: false, modTime: 0, source: '' }));
  const replica = {
    own: {
      sizeUpTo: async (max: number) => sum(state.here, max),
      extents: async () => extents(state.here),
      extentSize: async (id: number) => state.here.get(id) ?? -1,
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
      sizeUpTo: async (_address, _id, max) => {
        state.summed();
        return sum(state.there, max);
      },
      list: async (_address, _id, tinyIds) => {
        state.lists += 1;
        return extents(state.there).filter(
          ({ fileId: id }) =>
            (tinyIds === null) === id > 64 && !state.deletedThere.has(id) && !state.writtenThere.has(id),
        );
      },
      hasExtent: async (_address, _id, id) => state.there.has(id) && !state.deletedThere.has(id),
    },
    nowMs: () => state.nowMs,
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

t.test(
  'what was deleted at the first host counts in its sum for a while, and is not waited for',
  async (t) => {
    const { state, look } = rig();
    state.upToDateWith = FIRST;
    state.deletedThere.add(1025);
    state.here = new Map([
      [5, 8192],
      [1026, 2000],
    ]);
    t.match(await look(), { missing: '10192 of 11192 bytes are here' });
    t.equal(state.lists, 0, 'something may still be coming');
    t.same(await look(), { missing: '', pauseMs: 0 });
  },
);

t.test('what is written to at the first host is in no list, and must be here', async (t) => {
  const { state, look } = rig();
  state.upToDateWith = FIRST;
  state.deletedThere.add(1025);
  state.writtenThere.add(1026);
  state.here = new Map([
    [5, 8192],
    [1026, 1999],
  ]);
  await look();
  t.match(await look(), { missing: 'extent 1026, which is being written to, is shorter here' });
  state.here.set(1026, 2000);
  state.nowMs += JOIN_UNEQUAL_MS;
  t.match(await look(), { missing: '10192 of 11192 bytes are here' }, 'it has just come');
  t.match(await look(), { missing: '' });
});

t.test(
  'lists are compared once a minute while the sums do not agree, and not while data comes',
  async (t) => {
    const { state, look } = rig();
    state.here = new Map([[5, 8192]]);
    await look();
    t.match(await look(), { missing: '2 extents are shorter here', pauseMs: JOIN_PAUSE_MS });
    t.equal(state.lists, 2);
    for (let i = 0; i < 3; i += 1) await look();
    t.equal(state.lists, 2);
    state.nowMs += JOIN_UNEQUAL_MS;
    state.here.set(1025, 1);
    await look();
    t.equal(state.lists, 2);
    await look();
    t.equal(state.lists, 4);
  },
);

t.test('where the first host has too many that it does not list, the sums must agree', async (t) => {
  const { state, look } = rig();
  state.upToDateWith = FIRST;
  state.here = new Map([[5, 8192]]);
  for (let id = 2000; id < 3000; id += 1) {
    state.there.set(id, 7);
    state.deletedThere.add(id);
  }
  for (const id of [1025, 1026]) state.here.set(id, state.there.get(id)!);
  await look();
  t.match(await look(), { missing: /too many/ });
  for (const id of state.deletedThere) state.there.delete(id);
  t.match(await look(), { missing: '' }, 'the sums agree');
});

t.test('one that is listed and grows meanwhile was as long here', async (t) => {
  const { state, look } = rig();
  state.upToDateWith = FIRST;
  state.deletedThere.add(1025);
  state.here = new Map([
    [5, 8192],
    [1026, 2000],
  ]);
  await look();
  state.summed = () => {
    if (state.lists > 0) state.there.set(1026, state.there.get(1026)! + 5000);
  };
  t.match(await look(), { missing: '' });
  t.ok(state.there.get(1026)! > 2000);
});
