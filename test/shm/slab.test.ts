/** The slab against a plain list of slots: reserves, quotas, fall-up, owners. */
import fc from 'fast-check';
import t from 'tap';
import { createSlab, HEADROOM_BYTES, SLOT_OWNER, Slab } from '../../src/shm/slab.js';
import { SLOT_KIND, type SlotKind } from '../../src/shm/slabShare.js';

const CLASSES = [
  { bytes: 64, slots: 16 },
  { bytes: 256, slots: 8 },
  { bytes: 1024, slots: 6 },
];
const TOTAL_BYTES = 64 * 16 + 256 * 8 + 1024 * 6;

interface Held {
  handle: number;
  disk: number;
  kind: SlotKind;
  bytes: number;
  owner: number;
}

/** The rule of slabShare.ts said over again, over a list: may `kind` have `amount` more of `limit`, given what each holder has? */
function mayTake(limit: number, held: [SlotKind, number][], amount: number, kind: SlotKind): boolean {
  const used = [0, 1, 2, 3].map((of) => held.filter(([k]) => k === of).reduce((sum, [, n]) => sum + n, 0));
  const after = used.map((n, of) => (of === kind ? n + amount : n));
  if (after[SLOT_KIND.primary]! > limit / 2 && kind === SLOT_KIND.primary) return false;
  const quarter = Math.floor(limit / 4);
  if (after[SLOT_KIND.background]! > quarter && kind === SLOT_KIND.background) return false;
  let spoken = after[SLOT_KIND.background]!;
  // What is primary's binds leaf work never, and replies beyond their own quarter.
  const isFree = kind === SLOT_KIND.leaf || (kind === SLOT_KIND.reply && after[kind]! <= quarter);
  for (const of of [SLOT_KIND.primary, SLOT_KIND.leaf, SLOT_KIND.reply]) {
    const isOpen = of === kind || (of === SLOT_KIND.primary && isFree);
    spoken += isOpen ? after[of]! : Math.max(quarter, after[of]!);
  }
  return spoken <= limit;
}

function expectedClass(all: Held[], quota: number, bytes: number, disk: number, kind: SlotKind): number {
  const inClass = (c: number): Held[] => all.filter((one) => one.bytes === CLASSES[c]!.bytes);
  const room = (c: number): boolean =>
    mayTake(
      CLASSES[c]!.slots,
      inClass(c).map((one) => [one.kind, 1]),
      1,
      kind,
    );
  let c = CLASSES.findIndex((one) => one.bytes >= bytes);
  if (!room(c)) {
    c++;
    if (c === CLASSES.length || inClass(c).length * 2 >= CLASSES[c]!.slots || !room(c)) return -1;
  }
  const onDisk = all
    .filter((one) => one.disk === disk)
    .map((one): [SlotKind, number] => [one.kind, one.bytes]);
  return mayTake(quota, onDisk, CLASSES[c]!.bytes, kind) ? c : -1;
}

const step = fc.record({
  action: fc.constantFrom(
    'acquire',
    'acquire',
    'acquire',
    'release',
    'handOver',
    'takeBack',
    'quarantine',
    'reclaim',
  ),
  bytes: fc.integer({ min: 0, max: 1024 }),
  disk: fc.integer({ min: 0, max: 2 }),
  kind: fc.constantFrom(...Object.values(SLOT_KIND)),
  pick: fc.nat(),
});
const MOVES = {
  release: [SLOT_OWNER.network, SLOT_OWNER.free],
  handOver: [SLOT_OWNER.network, SLOT_OWNER.worker],
  takeBack: [SLOT_OWNER.worker, SLOT_OWNER.network],
  quarantine: [SLOT_OWNER.worker, SLOT_OWNER.quarantined],
  reclaim: [SLOT_OWNER.quarantined, SLOT_OWNER.free],
} as const;

t.test('the slab does what a plain list with the same rules does', async (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 4096, max: TOTAL_BYTES }),
      fc.array(step, { maxLength: 200, size: 'max' }),
      (quota, steps) => {
        const slab = new Slab(createSlab({ classes: CLASSES }));
        for (let disk = 0; disk < 3; disk++) slab.setDiskQuota(disk, quota);
        let held: Held[] = [];
        for (const { action, bytes, disk, kind, pick } of steps) {
          if (action === 'acquire') {
            const wanted = expectedClass(held, quota, bytes, disk, kind);
            if (slab.canAcquire(bytes, disk, kind) !== wanted >= 0)
              throw new Error(`canAcquire, wanted class ${wanted}`);
            const handle = slab.acquire(bytes, disk, kind);
            if (handle >= 0 !== wanted >= 0)
              throw new Error(`acquire gave ${handle}, wanted class ${wanted}`);
            if (handle < 0) continue;
            if (held.some((one) => one.handle === handle)) throw new Error(`slot ${handle} given out twice`);
            if (slab.capacity(handle) !== CLASSES[wanted]!.bytes)
              throw new Error(`slot of class ${slab.capacity(handle)}`);
            held.push({ handle, disk, kind, bytes: slab.capacity(handle), owner: SLOT_OWNER.network });
          } else {
            const one = held[pick % Math.max(1, held.length)];
            if (one === undefined) continue;
            const [from, to] = MOVES[action as keyof typeof MOVES];
            let threw = false;
            try {
              slab[action as keyof typeof MOVES](one.handle);
            } catch {
              threw = true;
            }
            if (threw !== (one.owner !== from))
              throw new Error(`${action} from owner ${one.owner}: threw ${threw}`);
            if (!threw) one.owner = to;
            held = held.filter(({ owner }) => owner !== SLOT_OWNER.free);
          }
          const bytesOf = (list: Held[]): number => list.reduce((sum, one) => sum + one.bytes, 0);
          if (slab.bytesInUse() !== bytesOf(held)) throw new Error('bytesInUse');
          if (slab.diskBytesInUse(disk) !== bytesOf(held.filter((one) => one.disk === disk)))
            throw new Error('diskBytesInUse');
          for (const [c, { bytes: size, slots }] of CLASSES.entries()) {
            const used = held.filter((one) => one.bytes === size).length;
            if (slab.classBytesInUse(c) !== used * size || slab.classFreeSlots(c) !== slots - used)
              throw new Error('class');
          }
        }
      },
    ),
    { numRuns: 300 },
  );
  t.pass('300 random histories agree');
});

t.test('slots do not overlap, lie on 64 bytes, and have their headroom', async (t) => {
  const memory = createSlab({ classes: CLASSES, prefault: true });
  const slab = new Slab(memory);
  t.equal(slab.slotCount, 30);
  t.equal(memory.sab.byteLength, TOTAL_BYTES + 30 * HEADROOM_BYTES);
  let end = 0;
  for (let handle = 0; handle < slab.slotCount; handle++) {
    const offset = slab.payloadOffset(handle);
    if (offset % 64 !== 0 || offset - HEADROOM_BYTES !== end) t.fail(`slot ${handle} at ${offset}`);
    end = offset + slab.capacity(handle);
  }
  t.equal(end, slab.bytes.length);
});

t.test('the slot given back last is the next one given out', async (t) => {
  const slab = new Slab(createSlab({ classes: CLASSES }));
  const handles = [0, 1, 2].map(() => slab.acquire(10, 0, SLOT_KIND.leaf));
  slab.release(handles[0]!);
  slab.release(handles[2]!);
  t.equal(slab.acquire(10, 0, SLOT_KIND.leaf), handles[2]);
  t.equal(slab.acquire(10, 0, SLOT_KIND.leaf), handles[0]);
});

/** Takes slots of 64 bytes until none is left for this kind of work; how many. */
function takeAll(slab: Slab, kind: SlotKind): number {
  let count = 0;
  while (slab.acquire(64, 0, kind) >= 0) count++;
  return count;
}

t.test('primary work gets half, and leaf work and replies never wait for it', async (t) => {
  const slab = new Slab(createSlab({ classes: [{ bytes: 64, slots: 16 }] }));
  const take = (kind: SlotKind): number => takeAll(slab, kind);
  t.equal(take(SLOT_KIND.primary), 8);
  t.equal(take(SLOT_KIND.reply), 4, 'replies leave the reserve of leaf work');
  t.equal(take(SLOT_KIND.leaf), 4);
  t.equal(slab.refusals, 3);
  t.equal(slab.highWaterBytes, 1024);
});

t.test('what slow peers do not fetch leaves each other kind of work its quarter', async (t) => {
  const slab = new Slab(createSlab({ classes: [{ bytes: 64, slots: 16 }] }));
  const take = (kind: SlotKind): number => takeAll(slab, kind);
  t.equal(take(SLOT_KIND.background), 4, 'repair reads have no more than a quarter');
  t.equal(take(SLOT_KIND.reply), 4);
  t.equal(take(SLOT_KIND.primary), 4);
  t.equal(take(SLOT_KIND.leaf), 4);
});

t.test('slow readers leave primary work its quarter', async (t) => {
  const slab = new Slab(createSlab({ classes: [{ bytes: 64, slots: 16 }] }));
  let replies = 0;
  while (slab.acquire(64, 0, SLOT_KIND.reply) >= 0) replies++;
  t.equal(replies, 8, 'all but the reserves of primary and leaf work');
  for (let i = 0; i < 4; i++) t.ok(slab.acquire(64, 0, SLOT_KIND.primary) >= 0);
});

t.test('a small request takes a larger slot only where that class has plenty', async (t) => {
  const slab = new Slab(createSlab({ classes: CLASSES }));
  const capacities: number[] = [];
  for (let handle = 0; handle >= 0; ) {
    handle = slab.acquire(64, 0, SLOT_KIND.leaf);
    if (handle >= 0) capacities.push(slab.capacity(handle));
  }
  t.equal(capacities.filter((bytes) => bytes === 64).length, 12, 'all but the reserve of replies');
  t.equal(capacities.filter((bytes) => bytes === 256).length, 4, 'half of the next class');
  t.equal(capacities.filter((bytes) => bytes === 1024).length, 0, 'one class up, no further');
});

t.test('a disk that gives nothing back cannot pin more than its quota', async (t) => {
  const slab = new Slab(createSlab({ classes: [{ bytes: 64, slots: 1024 }] }));
  slab.setDiskQuota(1, 64 * 64);
  let hung = 0;
  for (const kind of [SLOT_KIND.primary, SLOT_KIND.leaf, SLOT_KIND.reply])
    while (slab.acquire(64, 1, kind) >= 0) hung++;
  t.equal(hung, 64);
  t.equal(slab.canAcquire(64, 1, SLOT_KIND.leaf), false);
  t.equal(slab.canAcquire(64, 0, SLOT_KIND.primary), true, 'the other disk goes on');
  t.equal(slab.diskHighWaterBytes(1), 64 * 64);
});

t.test('quarantined slots stay out of use and in the quota until reclaimed', async (t) => {
  const slab = new Slab(createSlab({ classes: CLASSES }));
  const handle = slab.acquire(64, 0, SLOT_KIND.leaf);
  slab.handOver(handle);
  slab.quarantine(handle);
  t.throws(() => slab.takeBack(handle), /slot \d+ is quarantined, must be worker to become network/);
  t.throws(() => slab.release(handle), /is quarantined/);
  t.equal(slab.diskBytesInUse(0), 64);
  slab.reclaim(handle);
  t.equal(slab.diskBytesInUse(0), 0);
  t.equal(slab.owner(handle), SLOT_OWNER.free);
});

t.test('each wrong move throws and says who has the slot', async (t) => {
  const slab = new Slab(createSlab({ classes: CLASSES }));
  const handle = slab.acquire(64, 0, SLOT_KIND.leaf);
  t.throws(() => slab.takeBack(handle), /is network, must be worker/);
  slab.handOver(handle);
  t.throws(() => slab.handOver(handle), /is worker, must be network/);
  t.throws(() => slab.release(handle), /is worker, must be network/);
  slab.takeBack(handle);
  slab.release(handle);
  t.throws(() => slab.release(handle), /is free, must be network/);
  t.throws(() => slab.release(999), /is no slot/);
  t.throws(() => slab.release(-1), /is no slot/);
});

t.test('arguments that can never be right throw', async (t) => {
  const slab = new Slab(createSlab({ classes: CLASSES }));
  const assertion = { code: 'ERR_ASSERTION' };
  t.throws(() => slab.acquire(1025, 0, SLOT_KIND.leaf), assertion, 'larger than the largest class');
  t.throws(() => slab.acquire(-1, 0, SLOT_KIND.leaf), assertion);
  t.throws(() => slab.canAcquire(1, 256, SLOT_KIND.leaf), assertion, 'disk out of range');
  t.throws(() => slab.setDiskQuota(0, 4095), assertion, 'below four of the largest slots');
  t.throws(() => createSlab({ classes: [] }), assertion);
  t.throws(() => createSlab({ classes: [{ bytes: 100, slots: 4 }] }), assertion, 'not a multiple of 64');
  t.throws(() => createSlab({ classes: [{ bytes: 128, slots: 3 }] }), assertion, 'too few slots');
  t.throws(
    () =>
      createSlab({
        classes: [
          { bytes: 128, slots: 4 },
          { bytes: 128, slots: 4 },
        ],
      }),
    assertion,
    'not rising',
  );
});
